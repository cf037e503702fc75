"""The stage: a stand-in VTEX, an ERP, Redis, and through proxies two systems and single processes that share them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import redis

from workers import child, heartbeat
from workers.demo import OURS
from workers.embedded import Embedded
from workers.feed_watch import LISTED
from workers.ledger import Ledger
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import FaultPlan
from workers.sandbox.process import SandboxProcess

from .erp import ERPS
from .nursery import Forked, Nursery
from .plan import Options
from .proxy import Loop, Proxy

ROOT = Path(__file__).parents[2]
ACCOUNT, KEY, TOKEN = "teststore", "vtexappkey-chaos-KEYSECRET", "CHAOSTOKENSECRET"
#: VTEX fails so all the time; a fault makes it worse for a while.
USUAL = "5xx=0.02,lost=0.02,cut=0.01,html=0.005,truncated=0.01,duplicates=0.1,slow=0.005,slow_seconds=2"
#: Calls a minute: what the store may do, and what the workers are set to.
LIMIT, PACE = 6000, 4800
AGAIN = 1.0  # seconds after which a dead `up` is started again, as an init system does


@dataclass(eq=False)
class Program:
    """A ``vtexorders`` program with a DATA_DIR of its own, started again when it ended."""

    name: str
    command: str = "up"
    process: subprocess.Popen[bytes] | Forked | None = None
    due: float = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(eq=False)
class Arena:
    """``with Arena(folder, options) as arena``; everything in it is started here and ended by its own pid."""

    folder: Path
    options: Options
    ups: list[Program] = field(default_factory=lambda: [Program("a"), Program("b")])
    pods: list[Program] = field(default_factory=list)
    extra: list[Forked] = field(default_factory=list)
    starts: int = 0
    flushes: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.pods += [Program(f"pod {n}", "worker") for n in range(1, self.options.workers + 1)]
        self.pods.append(Program("pod beat", "beat"))
        with contextlib.ExitStack() as stack:
            self.loop = Loop()
            stack.callback(self.loop.close)
            self.valkey = stack.enter_context(Embedded(self.folder / "redis"))
            self.redis = redis.Redis.from_url(self.valkey.url, decode_responses=True, socket_timeout=1)
            stack.callback(self.redis.close)
            self.vtex = stack.enter_context(
                SandboxProcess(
                    SandboxConfig(
                        account=ACCOUNT,
                        app_key=KEY,
                        app_token=TOKEN,
                        seed=self.options.seed,
                        latency=0.03,
                        visibility_timeout=4.0,  # shorter than any trouble: events come again and again
                        requests_per_minute=LIMIT,
                        retry_after=2.0,
                        index_lag=1.0,
                        faults=FaultPlan.parse(USUAL),
                    )
                )
            )
            self.erp = ERPS[self.options.erp](self.folder, self.loop)
            stack.callback(self.erp.close)
            self.to_redis = Proxy(self.loop, urlsplit(self.valkey.url).port or 0).start()
            self.to_vtex = Proxy(self.loop, urlsplit(self.vtex.url).port or 0).start()
            stack.callback(self.to_redis.stop)
            stack.callback(self.to_vtex.stop)
            self.nursery = Nursery(self.folder, self._environment("data"))
            stack.callback(self.nursery.close)
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # The systems under test

    def tend(self) -> None:
        """Start what should run and does not."""
        now = time.monotonic()
        for one in self.programs:
            if one.runs:
                one.due = 0.0
            elif not one.due:
                one.due = now + AGAIN
            if (not one.runs and now >= one.due) or one.process is None:
                one.process = self.start(one.command, name=one.name)

    @property
    def programs(self) -> list[Program]:
        return [*self.ups, *self.pods]

    def start(self, command: str, *, name: str) -> subprocess.Popen[bytes] | Forked:
        """``vtexorders COMMAND``, its output in a file."""
        self.starts += 1
        log = self.folder / f"{self.starts:04} {name}.log"
        if command != "up":
            return self.nursery.fork([command], self._environment(f"data {name}"), self.folder, log)
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "workers.cli", command],
                cwd=self.folder,
                env=self._environment(f"data {name}"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def children(self, up: Program, what: str = "") -> list[int]:
        """The process ids of an ``up``'s children whose command has that word; all of them without one."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
                if int(parent) == up.pid and state not in "ZX":
                    words = (stat.parent / "cmdline").read_bytes().split(b"\0")
                    if not what or what.encode() in words:
                        found.append(int(stat.parent.name))
        return sorted(found)

    def processes(self, what: str) -> list[int]:
        """The workers or beats of all."""
        alone = [pod.pid for pod in self.pods if pod.runs and pod.command == what]
        return alone + [pid for up in self.ups if up.runs for pid in self.children(up, what)]

    def ready(self) -> list[int]:
        """The workers that said lately that they are at work, the oldest first."""
        with contextlib.suppress(redis.RedisError):
            living = heartbeat.living(self.redis).values()
            return [about["pid"] for about in sorted(living, key=lambda about: about["since"])]
        return []

    def owns(self, pid: int) -> bool:
        """Whether that process is one of ours still."""
        ours = {self.valkey_pid(), *(one.pid for one in self.programs if one.runs)}
        return pid in ours or any(pid in self.children(up) for up in self.ups if up.runs)

    def valkey_pid(self) -> int:
        return int((self.folder / "redis" / "valkey" / "running").read_text() or 0)

    def hours_pass(self) -> None:
        """Until VTEX's list is searched again for cancellations: what tells of those that went unseen with the feed."""
        Ledger(self.redis, ACCOUNT).unremember(LISTED)

    def signal(self, pid: int, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def _environment(self, data_dir: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        url = urlsplit(self.valkey.url)
        path = [str(ROOT)]
        if self.options.hasty:
            path.insert(0, str(Path(__file__).parent / "hasty"))
        return clean | {
            "PYTHONPATH": os.pathsep.join(path),
            "VTEX_ACCOUNT": ACCOUNT,
            "VTEX_APP_KEY": KEY,
            "VTEX_APP_TOKEN": TOKEN,
            "VTEX_BASE_URL": f"http://127.0.0.1:{self.to_vtex.port}",
            "VTEX_REQUESTS_PER_MINUTE": str(PACE),
            "ERP_URL": self.erp.url,
            "REDIS_URL": f"redis://:{url.password}@127.0.0.1:{self.to_redis.port}/0",
            "DATA_DIR": data_dir,
            "FEED_POLL_SECONDS": "0.5",
            "SWEEP_SECONDS": "1" if self.options.hasty else "5",
            "RECONCILE_SECONDS": "2" if self.options.hasty else "10",
            "RECONCILE_MIN_AGE_SECONDS": "3" if self.options.hasty else "10",
            "HTTP_TIMEOUT_SECONDS": "2" if self.options.hasty else "5",
            "WORKER_PROCESSES": "1",
            "WORKER_CONCURRENCY": "16",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
        }

    def _end(self) -> None:
        for one in self.programs:
            if one.runs:
                for pid in (one.pid, *self.children(one)):
                    self.signal(pid, signal.SIGCONT)
        processes = [*(one.process for one in self.programs if one.process), *self.extra]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            if process.poll() is None:
                child.kill(process) if isinstance(process, subprocess.Popen) else process.kill()
