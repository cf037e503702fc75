"""Who runs: the bare script, the textbook's chain, and the real system; each as processes of its own.

A contender is started and ready before there are any orders, so that no start-up is measured.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import redis

from workers import child, embedded
from workers.bench import usage
from workers.demo import OURS as SETTINGS
from workers.heartbeat import living

#: The threads of each worker process, of the textbook's as of ours.
THREADS = 64
#: Seconds for a contender to be ready, or to end.
PATIENCE = 120.0
ACCOUNT = "teststore"


class NotReady(Exception):
    """A contender did not start; the words are its own."""


@dataclass(slots=True)
class Runner:
    """A contender that is ready. ``others`` belong to it and are no workers: supervisor, beat."""

    workers: list[int]
    others: list[int] = field(default_factory=list)
    redis: list[int] = field(default_factory=list)
    redis_url: str = ""
    go: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """There are orders now."""
        if self.go and self.go.stdin:
            self.go.stdin.write(b"go\n")
            self.go.stdin.flush()


class Contender(Protocol):
    """Starts one of them in a folder of its own, against a stand-in VTEX."""

    def __call__(
        self, folder: Path, vtex: str, processes: int, **more: str
    ) -> contextlib.AbstractContextManager[Runner]:
        """Start, and end in order. ``more`` are settings of ours."""


@contextmanager
def floor(folder: Path, vtex: str, processes: int, **_: str) -> Iterator[Runner]:  # noqa: ARG001 - it is one process
    """The bare script."""
    argv = [sys.executable, "-m", "workers.bench.floor", vtex, str(folder / "floor.db")]
    process = child.spawn(argv, env=_environment(), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise NotReady("the bare script did not start")
            yield Runner([process.pid], go=process)
        finally:
            process.kill()


@contextmanager
def textbook(folder: Path, vtex: str, processes: int, **_: str) -> Iterator[Runner]:
    """The plain chain, on a Valkey of its own."""
    with embedded.Embedded(folder) as valkey, (folder / "textbook.log").open("wb") as log:
        environment = _environment() | {
            "TEXTBOOK_URL": vtex,
            "TEXTBOOK_REDIS": valkey.url,
            "TEXTBOOK_DATABASE": str(folder / "textbook.db"),
        }
        celery = [sys.executable, "-m", "celery", "-A", "workers.bench.textbook"]
        started = []
        try:
            for n in range(processes):
                pool = ["-P", "threads", "-c", str(THREADS), "-l", "INFO"]  # as tutorials have it
                argv = [*celery, "worker", "-n", f"w{n}@%h", *pool]
                started.append(child.spawn(argv, env=environment, cwd=folder, stdout=log, stderr=log))
            said = folder / "textbook.log"
            _wait(lambda: said.read_text(errors="replace").count(" ready.") == processes, said)
            beat = child.spawn(
                [*celery, "beat", "-l", "WARNING"], env=environment, cwd=folder, stdout=log, stderr=log
            )
            workers = [one.pid for one in started]
            started.append(beat)
            yield Runner(workers, [beat.pid], [valkey.pid or 0], valkey.url)
        finally:
            for one in started:
                one.kill()
                one.wait()


@contextmanager
def ours(folder: Path, vtex: str, processes: int, **more: str) -> Iterator[Runner]:
    """The real system: ``vtexorders up``, with its own Valkey, ledger, pace, logs and events."""
    environment = _environment() | settings(vtex, processes) | more
    with (folder / "log.jsonl").open("wb") as log:
        up = child.spawn(
            [sys.executable, "-m", "workers.cli", "up"], env=environment, cwd=folder, stdout=log, stderr=log
        )
        try:
            _wait(lambda: embedded.find(folder / "var") is not None, folder / "log.jsonl", up)
            url = str(embedded.find(folder / "var"))
            with closing(redis.Redis.from_url(url, decode_responses=True)) as client, _listening(url):
                _wait(lambda: len(_workers(client)) == processes, folder / "log.jsonl", up)
                pids = _workers(client)
                family = usage.family(up.pid)
                servers = [pid for pid, command in family.items() if "valkey" in command and pid not in pids]
                others = [pid for pid in family if pid not in {*pids, *servers}]
                yield Runner(pids, others, servers, url)
        finally:
            up.terminate()
            try:
                up.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()


@contextmanager
def _listening(url: str) -> Iterator[None]:
    """Somebody hears the workers' events, as Flower does: while nobody did, they would make none."""
    with closing(redis.Redis.from_url(url)) as client, closing(client.pubsub()) as events:  # type: ignore[no-untyped-call]
        events.psubscribe(**{"/*.celeryev/*": lambda _: None})
        thread = events.run_in_thread(sleep_time=0.5, daemon=True)
        try:
            yield
        finally:
            thread.stop()
            thread.join()


CONTENDERS: dict[str, Contender] = {"floor": floor, "textbook": textbook, "ours": ours}


def settings(vtex: str, processes: int) -> dict[str, str]:
    """The settings of ours: a pace that never asks to wait, so that the speed is its own."""
    return {
        "VTEX_ACCOUNT": ACCOUNT,
        "VTEX_APP_KEY": "key",
        "VTEX_APP_TOKEN": "token",
        "VTEX_BASE_URL": vtex,
        "VTEX_REQUESTS_PER_MINUTE": "600000",
        "ERP_URL": "sqlite:///erp.db",
        "WORKER_PROCESSES": str(processes),
        "WORKER_CONCURRENCY": str(THREADS),
        "LOG_FORMAT": "json",
    }


def _workers(client: redis.Redis) -> list[int]:
    """The process ids of ours that serve queues."""
    return [int(one["pid"]) for one in living(client).values() if one["queues"]]


def _environment() -> dict[str, str]:
    """The environment without settings of a real store that may be lying around."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


def _wait(condition: Callable[[], bool], log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise NotReady(log.read_text(errors="replace")[-1500:])
        time.sleep(0.1)
