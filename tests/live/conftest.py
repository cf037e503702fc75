"""Live tests use real servers and real processes, all of them started here and ended by their own id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from workers.embedded import PORTS, Embedded, _is_free

from .tls import certificate  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds; no test measures time, it only must not wait for ever


class Processes:
    """Starts programs, each in a session of its own, its output in a file, and ends them afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, argv, *, env=None, inherit=True, **options) -> subprocess.Popen[bytes]:
        folder = str(ROOT)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path} if inherit else {}
        environment |= env or {}
        with self._file(len(self.running)).open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        self.running.append(process)
        return process

    def python(self, code, *arguments, **options) -> subprocess.Popen[bytes]:
        """Run a piece of Python, given as text; it must flush what it prints (``-u`` would tear lines apart)."""
        return self.start([sys.executable, "-c", code, *arguments], **options)

    def output(self, process) -> str:
        """What the program has written so far."""
        return self._file(self.running.index(process)).read_text(errors="replace")

    def kill(self, process) -> None:
        """``kill -9`` the one process, as a crash would, and wait until it is gone."""
        process.kill()
        process.wait(DEADLINE)

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(DEADLINE)

    def _file(self, number) -> Path:
        return self.folder / f"process-{number}.out"


def _wait_until(condition, what="the condition", seconds=DEADLINE):
    """The first truthy answer of ``condition``; the test fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain for {what() if callable(what) else what}")
        time.sleep(0.02)
    return answer


def _exists(pid) -> bool:
    """Whether a process runs (a zombie that nobody has collected yet does not)."""
    if Path("/proc/self/stat").exists():
        try:
            return (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                not in "ZX"
            )
        except (FileNotFoundError, ProcessLookupError):
            return False
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(listed) and not listed.startswith("Z")


@pytest.fixture(scope="session")
def wait_until():
    return _wait_until


@pytest.fixture(scope="session")
def exists():
    return _exists


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path)
    yield started
    started.end()


@pytest.fixture
def ports():
    """Free ports below those of outgoing connections, so that nothing takes one before its server does."""
    return iter(random.sample([port for port in random.sample(PORTS, 200) if _is_free(port)], 50))


@pytest.fixture
def embedded(tmp_path):
    """A server of this test's own, to kill and restart."""
    with Embedded(tmp_path / "data") as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """The URL of a server that the session's tests share; never one that was running before."""
    with Embedded(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def fresh_redis(valkey):
    """A client on the shared server, which is empty now."""
    with contextlib.closing(redis.Redis.from_url(valkey, decode_responses=True)) as client:
        client.flushall()
        yield client
