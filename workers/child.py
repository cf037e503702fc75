"""Starts child processes that cannot outlive the process that started them.

The new process first runs this very file as a tiny shim, which ties itself to its owner and then *becomes*
the command (``exec``), so nothing lingers between the two and ``Popen.pid`` is the command's own.

How it is tied: on Linux the kernel sends SIGTERM when the owner dies, ``kill -9`` included. The kernel means
the *thread* that started the child, so that is used from the main thread only. From any other thread, and on
other systems, a guard does it: a forked copy of the shim that waits until a pipe closes, which only the owner
holds open.

Asked so, a child ends in its own time. Where its owner takes along what the child works with (the embedded Redis),
there is nothing to wait for: :func:`take_along` and :func:`end_with_owner` end it the hard way.

A child gets a session of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops the others
in order.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from typing import IO, TYPE_CHECKING, Literal, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_Stream: TypeAlias = int | IO[bytes] | None
_PR_SET_PDEATHSIG = 1
NOT_RUN = 127  # what a shell answers for a command that cannot be run
#: In the environment of children that must not outlive their owner for long: the owner's process id.
_OWNER = "_VTEXORDERS_OWNER"
_LOOK_SECONDS = 0.5
_RESET = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGPIPE", "SIGXFSZ")


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: _Stream = subprocess.DEVNULL,
    stdout: _Stream = None,
    stderr: _Stream = None,
    pass_fds: Sequence[int] = (),
    tie: Literal["signal", "pipe"] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``argv``, tied to this process; ``OSError`` when not even the shim can be started.

    A command that cannot be run shows as exit code 127, with the reason on its stderr.
    """
    if tie is None:
        kernel = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        tie = "signal" if kernel else "pipe"
    lifeline = _lifeline()
    shim = [sys.executable, "-I", "-S", __file__, tie, str(os.getpid()), str(lifeline)]
    return subprocess.Popen(  # noqa: S603 - our own commands, no shell
        [*shim, *(os.fspath(part) for part in argv)],
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=(lifeline, *pass_fds),
        start_new_session=True,
    )


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the child has ended. Then it is reaped, and what it left running in its session is killed."""
    if process.returncode is not None:
        return True
    if hasattr(
        os, "waitid"
    ):  # look first, reap later: until then nobody else can get this process group's number
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
            _signal_group(process.pid, signal.SIGKILL)
    return process.poll() is not None


def send(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send a signal to the child, if it still runs; to it alone, not to what it started."""
    if not ended(process):
        os.kill(process.pid, signum)


def stop(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Ask the child to end, and wait; True if it did within so many seconds, False if it was killed."""
    send(process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while not ended(process):
        if time.monotonic() > deadline:
            kill(process)
            return False
        time.sleep(0.01)
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and everything in its session, now."""
    if not ended(process):
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def take_along() -> Iterator[None]:
    """What is started within goes with this process, kill -9 included, if it calls :func:`end_with_owner`."""
    os.environ[_OWNER] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(_OWNER, None)


def end_with_owner(seconds: float = 3.0) -> None:
    """End this process and all in its session, now, if its owner (:func:`take_along`) has been dead for so long.

    SIGTERM has come by then, and is what ends it in order: this is for whoever waits in vain for something.
    """
    owner = os.environ.pop(_OWNER, "")  # not for what this process starts
    if owner:
        threading.Thread(target=_outlive, args=(int(owner), seconds), name="owner", daemon=True).start()


def _outlive(owner: int, seconds: float) -> None:
    while os.getppid() == owner:  # it is another one's from the moment in which its parent is dead
        time.sleep(_LOOK_SECONDS)
    time.sleep(seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _signal_group(group: int, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


@cache
def _lifeline() -> int:
    """The reading end of a pipe that closes when this process ends; the writing end is never handed on."""
    reading, _writing = os.pipe()
    return reading


# What follows runs in the child, before it becomes the command.


def _become(tie: str, owner: int, lifeline: int, command: list[str]) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in _RESET:  # Python ignores some of them, and ignored signals stay ignored through exec
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if not (tie == "signal" and _die_with_parent()) and os.fork() == 0:
        _guard(os.getppid(), lifeline)
    os.close(lifeline)
    if os.getppid() != owner:  # it died before we were tied to it
        sys.exit(0)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
    sys.exit(NOT_RUN)


def _die_with_parent() -> bool:
    try:
        import ctypes  # noqa: PLC0415 - some Pythons are built without it; then the guard does it

        return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _guard(command: int, lifeline: int) -> NoReturn:
    """Wait for the owner's end, then end the command; or for the command's own end."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.closerange(3, lifeline)  # a pipe or a lock that we hold open would look like a living command
    os.closerange(lifeline + 1, 4096)
    while os.getppid() == command:
        if select.select([lifeline], [], [], 1.0)[0]:
            os.kill(command, signal.SIGTERM)
            break
    os._exit(0)


if __name__ == "__main__":
    _become(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
