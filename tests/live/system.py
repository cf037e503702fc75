"""A whole system for live tests: a stand-in VTEX, an ERP's database, and our console as real processes."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from workers import embedded
from workers.demo import OURS
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import FaultPlan
from workers.sandbox.process import SandboxProcess

from .conftest import DEADLINE, ROOT, Processes, _wait_until

KEY, TOKEN = "vtexappkey-livetest-KEYSECRET", "LIVETESTTOKENSECRET"
FAULTS = "5xx=0.04,lost=0.03,cut=0.02,html=0.01,truncated=0.01,duplicates=0.1"
LONG = 420.0  # seconds: longer than the broker takes to give the messages of a killed worker to another one


class System:
    """One store and one working directory. ``with System(folder, orders=300) as system: …``."""

    def __init__(self, folder, *, orders=0, faults="", latency=0.03, **config):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.orders = orders
        self.mark = uuid.uuid4().hex
        self.processes = Processes(folder)
        self.vtex = SandboxProcess(
            SandboxConfig(
                app_key=KEY,
                app_token=TOKEN,
                orders=orders,
                latency=latency,
                faults=FaultPlan.parse(faults),
                **{"visibility_timeout": 4.0} | config,
            )
        )
        self.settings = {
            "VTEX_ACCOUNT": "teststore",
            "VTEX_APP_KEY": KEY,
            "VTEX_APP_TOKEN": TOKEN,
            "ERP_URL": "sqlite:///erp.db",
            "FEED_POLL_SECONDS": "0.5",
            "SWEEP_SECONDS": "1",
            "WORKER_PROCESSES": "2",
            "LOG_FORMAT": "json",
            "LIVE_TEST": self.mark,
        }

    def __enter__(self):
        self.vtex.start()
        self.settings["VTEX_BASE_URL"] = self.vtex.url
        return self

    def __exit__(self, *_):
        self.processes.end()
        self.vtex.stop()

    # Running the console

    def environment(self, **more):
        """The settings, and nothing of what the developer's own shell may hold. None removes one."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        merged = {**clean, "PYTHONPATH": str(ROOT), **self.settings, **more}
        return {name: value for name, value in merged.items() if value is not None}

    def start(self, *command, cwd=None, program=None, options=None, **settings):
        """``vtexorders COMMAND`` in the background."""
        return self.processes.start(
            [*(program or [sys.executable, "-m", "workers.cli"]), *command],
            env=self.environment(**settings),
            inherit=False,
            cwd=cwd or self.folder,
            **(options or {}),
        )

    def run(self, *command, cwd=None, **settings):
        """``vtexorders COMMAND`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", *command],
            env=self.environment(**settings),
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def json(self, *command, **settings):
        """The one document that a command with ``--json`` answers."""
        done = self.run(*command, "--json", **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self, process):
        """SIGTERM, and the exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE)

    def output(self, process):
        return self.processes.output(process)

    def said(self, process, message):
        """The log lines of that name that a process and its children have written."""
        found = []
        for line in self.output(process).splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and record.get("message") == message:
                    found.append(record)
        return found

    def started(self, process, name):
        """The process ids that the child of that name has had, the newest last."""
        return [int(pid) for pid in re.findall(rf"{name} started, pid (\d+)", self.output(process))]

    def valkey_pid(self, data_dir="var"):
        note = self.folder / data_dir / "valkey" / "running"  # empty for a moment while it is written anew
        return _wait_until(lambda: int(note.read_text() or 0), "the embedded Valkey's pid")

    def redis_url(self, data_dir="var"):
        """The embedded server's address, once it answers."""
        return _wait_until(lambda: embedded.find(self.folder / data_dir), "the embedded Valkey")

    # What came of it

    def audit(self):
        return self.vtex.audit(per_order=False)

    def until_handled(self, count):
        """Until VTEX was told about so many orders."""

        def handled():
            self._running()
            return self.audit()["start_handling_effects"] >= count

        _wait_until(handled, lambda: self._state(f"{count} handled"), LONG)

    def until_settled(self):
        """Until nothing is left to do: every order is handled, and the feed is empty."""

        def settled():
            self._running()
            audit = self.audit()
            return not audit["events_pending"] and audit["by_status"] == {"handling": audit["orders"]}

        _wait_until(settled, lambda: self._state("the end"), LONG)

    def _running(self):
        """Fail at once, and not after a long wait, when the process that should do it has ended."""
        last = self.processes.running[-1]
        assert last.poll() is None, self.output(last)[-3000:]

    def _state(self, what):
        audit = self.audit()
        logs = "\n".join(self.output(process)[-3000:] for process in self.processes.running)
        return f"{what}: {audit}\n{logs}"

    def each_once(self, rows=None):
        """Every order arrived exactly once, as VTEX and the ERP see it."""
        self.until_settled()
        audit = self.vtex.audit()
        assert audit["early_commits"] == 0, audit["early_commit_orders"]
        assert audit["start_handling_more_than_once"] == 0, audit["handled_twice_orders"]
        assert audit["start_handling_effects"] == audit["orders"] == len(audit["per_order"])
        assert audit["stranded"] == 0
        assert sorted(self.in_erp() if rows is None else rows) == sorted(audit["per_order"])

    def in_erp(self, database="erp.db"):
        with contextlib.closing(sqlite3.connect(self.folder / database, timeout=30)) as erp:
            return [order_id for (order_id,) in erp.execute("SELECT order_id FROM vtex_orders")]

    def left(self):
        """Processes that belong to this system and still run: by our mark, or by where they work."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                marked = self.mark.encode() in (process / "environ").read_bytes()
                here = (process / "cwd").readlink().is_relative_to(self.folder.resolve())
                if marked or here:
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if command:  # a zombie has none
                        found.append(f"{process.name} {command}")
        return found

    def none_left(self):
        _wait_until(lambda: not self.left(), lambda: f"the end of {self.left()}", LONG)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, user=None):
    """(status, text) of a page; status 0 when nothing answers."""
    request = urllib.request.Request(url)
    if user:
        import base64

        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except (urllib.error.URLError, ConnectionError):
        return 0, ""
