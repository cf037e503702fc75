"""Forks programs from a process that has imported everything, so that one that was killed is back in a moment.

A worker spends most of its start on imports. At a kill a second none would get to work on a small machine; what is
to be tested is what happens to work. The two ``up`` start theirs in the usual, slow way.

``python -m tests.chaos.nursery`` reads a JSON object a line: ``{"argv", "env", "cwd", "log"}``. It answers with the
process' id, and later, in lines of their own, with ``["ended", id]``. It ends with its standard input, and its
children with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

#: All that a worker or a beat needs. None of these starts a thread.
EVERYTHING = (
    *("celery.apps.beat", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread"),
    *(
        "celery.worker.components",
        "celery.worker.consumer",
        "celery.worker.strategy",
        "kombu.transport.redis",
    ),
    *("tasks.commands", "tasks.feed", "tasks.orders", "tasks.probe", "tasks.upkeep", "tasks.watch"),
    *(
        "workers.cli",
        "workers.erp.http",
        "workers.erp.sql",
        "workers.monitor.exporter",
        "workers.monitor.server",
    ),
    *("workers.monitor.watch", "workers.monitor.webhook"),
)
LOOK = 0.1  # seconds between two looks whether one has ended


class Forked:
    """What ``subprocess.Popen`` is, for a child of the nursery's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return 0 if self._ended.is_set() else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        return 0

    def send_signal(self, signum: int) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def note_end(self) -> None:
        self._ended.set()


class Nursery:
    """The owner's side. ``env`` is what its process starts with, and with it those that are forked."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._log = (folder / "nursery.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            cwd=Path(__file__).parents[2],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self._children: dict[int, Forked] = {}
        self._born: list[int] = []
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listener.start()

    def fork(self, argv: list[str], env: Mapping[str, str], cwd: Path, log: Path) -> Forked:
        """A process that runs ``vtexorders`` with these arguments."""
        asked = {"argv": argv, "env": dict(env), "cwd": str(cwd), "log": str(log)}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        with self._news:
            if not self._news.wait_for(lambda: self._born, timeout=60):
                raise TimeoutError("the nursery does not answer: see nursery.log")
            return self._children[self._born.pop()]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()
        self._log.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            said = json.loads(line)
            with self._news:
                if isinstance(said, int):
                    self._children[said] = Forked(said)
                    self._born.append(said)
                else:
                    self._children.pop(said[1]).note_end()
                self._news.notify_all()


# The nursery's own process


def _serve() -> None:
    for name in EVERYTHING:
        importlib.import_module(name)
    gc.freeze()
    children: set[int] = set()
    rest = b""
    while True:
        if select.select([0], [], [], LOOK)[0]:
            piece = os.read(0, 65536)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                children.add(pid := _fork(json.loads(line)))
                _say(pid)
        while children and (pid := os.waitpid(-1, os.WNOHANG)[0]):
            children.remove(pid)
            _say(["ended", pid])
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _say(what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _fork(asked: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        null, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], os.O_WRONLY | os.O_CREAT, 0o600)
        for stream, target in enumerate((null, log, log)):
            os.dup2(target, stream)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = ["vtexorders", *asked["argv"]]
        sys.modules["workers.cli"].main()
    except SystemExit as ends:
        sys.stderr.flush()
        os._exit(ends.code if isinstance(ends.code, int) else 1)
    except BaseException:  # noqa: BLE001 - nothing may get out of it
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    _serve()
