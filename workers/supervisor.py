"""Keeps child processes running, and ends them in order.

What dies is started again, after a pause that doubles while it keeps dying young. SIGTERM or SIGINT drains:
the first stage (beat, so that nothing new is begun) is asked to stop, then the next. A second signal hurries,
a third kills. Whatever happens to the supervisor itself, no child outlives it (:mod:`workers.child`).
"""

from __future__ import annotations

import contextlib
import logging
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from workers import child

if TYPE_CHECKING:
    import subprocess
    from types import FrameType, TracebackType

log = logging.getLogger(__name__)

IDLE = 1.0  # seconds between two looks; a signal or a child's death wakes at once
HURRY = 5.0  # seconds that children get after a second signal
SAME_GESTURE = 0.25  # seconds: some launchers signal both the process and its group
_HURRIED = 2  # the signal that hurries
LOUD = 5  # deaths in a row that deserve an error

Clock = Callable[[], float]


class Spawn(Protocol):
    """How a child is started: :func:`workers.child.spawn`."""

    def __call__(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start ``argv``; ``OSError`` if that cannot be done."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next start (seconds): doubling while it dies young."""

    first: float = 0.5
    most: float = 30.0
    steady: float = 60.0
    deaths: int = 0

    def died(self, lived: float) -> float:
        """Note a death after ``lived`` seconds; answer how long to wait."""
        self.deaths = 1 if lived >= self.steady else self.deaths + 1
        return float(min(self.most, self.first * 2 ** min(self.deaths - 1, 32)))


@dataclass(slots=True)
class _Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    grace: float
    stage: int
    backoff: Backoff
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0  # when to start it (again)
    deadline: float | None = None  # once it was asked to stop: when it is killed


@dataclass(slots=True)
class _Vital:
    check: Callable[[], bool]
    restart: Callable[[], None]
    backoff: Backoff
    due: float = 0.0
    mended: float = 0.0


class Supervisor:
    """Add children, then :meth:`run` in the main thread.

    Signals are noted from ``run()`` on, or from the beginning of a ``with`` block around it, so that one that
    comes while something else is still being started is not lost. ``on_end`` is told the name and the process id of
    each child that ended, however it did; it must be quick.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic,
        spawn: Spawn = child.spawn,
        backoff: Callable[[], Backoff] = Backoff,
        on_end: Callable[[str, int], None] = lambda _name, _pid: None,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._backoff = backoff
        self._on_end = on_end
        self._children: list[_Child] = []
        self._vitals: list[_Vital] = []
        self._signals = _Signals(clock)
        self._stopping = 0  # how many signals asked for it
        self._killed = False

    def __enter__(self) -> Self:
        self._signals.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.__exit__()

    def add(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        grace: float = 60.0,
        stage: int = 1,
    ) -> None:
        """A child to keep running. Stage 0 stops first, and the next stage only once it is gone.

        Asked to stop, it gets ``grace`` seconds before it is killed.
        """
        self._children.append(_Child(name, list(argv), env, grace, stage, self._backoff()))

    def watch(self, check: Callable[[], bool], restart: Callable[[], None]) -> None:
        """Something else that must live (the embedded Valkey), also while the children drain.

        ``check`` is called about every second and must be quick; when it says no, ``restart`` is called,
        again and again if it raises.
        """
        self._vitals.append(_Vital(check, restart, self._backoff()))

    def run(self) -> int:
        """Run until a signal, drain, answer 0; 1 when a child had to be killed."""
        with self._signals:
            try:
                while self._step():
                    self._signals.wait(self._next_look() - self._clock())
            finally:
                for one in self._running():  # only when something above is broken
                    child.kill(one[1])
        log.info("all stopped%s", " (some had to be killed)" if self._killed else "")
        return int(self._killed)

    def _step(self) -> bool:
        """One look at everything; False when all is over."""
        self._hear()
        self._reap()
        self._tend()
        self._hear()
        if not self._stopping:
            self._start()
            return True
        self._drain()
        return any(True for _ in self._running())

    def _next_look(self) -> float:
        now = self._clock()
        times = [now + IDLE]
        if self._stopping:
            times += [one.deadline for one, _ in self._running() if one.deadline is not None]
        else:
            times += [one.due for one in self._children if one.process is None]
        return min(times)

    def _running(self) -> list[tuple[_Child, subprocess.Popen[bytes]]]:
        return [(one, one.process) for one in self._children if one.process is not None]

    # Keeping them alive

    def _start(self) -> None:
        for one in self._children:
            if self._signals.waiting:
                return
            now = self._clock()
            if one.process is not None or now < one.due:
                continue
            try:
                one.process = self._spawn(one.argv, env=one.env)
            except OSError as error:
                one.due = now + one.backoff.died(0)
                log.error("%s cannot be started: %s; next try in %.1f s", one.name, error, one.due - now)
            else:
                one.started = now
                log.info("%s started, pid %d", one.name, one.process.pid)

    def _reap(self) -> None:
        for one, process in self._running():
            if not child.ended(process):
                continue
            one.process = None
            self._tell_end(one, process)
            how = describe(process.returncode)
            if self._stopping:
                log.info("%s stopped, pid %d, %s", one.name, process.pid, how)
                continue
            now = self._clock()
            pause = one.backoff.died(now - one.started)
            one.due = now + pause
            deaths = one.backoff.deaths
            loud = logging.ERROR if deaths >= LOUD else logging.WARNING
            often = (
                f" ({deaths} times in a row; it needs a look, meanwhile we keep trying)"
                if deaths >= LOUD
                else ""
            )
            log.log(
                loud, "%s ended, pid %d, %s; next try in %.1f s%s", one.name, process.pid, how, pause, often
            )

    def _tell_end(self, one: _Child, process: subprocess.Popen[bytes]) -> None:
        try:
            self._on_end(one.name, process.pid)
        except Exception as error:  # noqa: BLE001 - the others must go on
            log.debug("the end of %s could not be told: %s", one.name, error)

    def _tend(self) -> None:
        for vital in self._vitals:
            now = self._clock()
            if now < vital.due:
                continue
            try:
                if vital.check():
                    continue
                vital.restart()
            except Exception as error:  # noqa: BLE001 - the others must go on, and we try again
                wait = vital.backoff.died(now - vital.mended)
                vital.due = self._clock() + wait
                log.error("%s; next try in %.1f s", error, wait)
            else:
                vital.mended = self._clock()

    # Ending them

    def _hear(self) -> None:
        for signum in self._signals.take():
            self._stopping += 1
            name = signal.Signals(signum).name
            if self._stopping == 1:
                log.info("%s: stopping; what is in progress may finish (a second signal hurries)", name)
            elif self._running():
                seconds = HURRY if self._stopping == _HURRIED else 0.0
                log.warning("%s again: what still runs in %.0f s is killed", name, seconds)
                self._hurry(self._clock() + seconds)

    def _hurry(self, limit: float) -> None:
        for one, process in self._running():
            # Celery knows SIGQUIT as "stop now"; who was not asked yet is asked first
            child.send(process, signal.SIGTERM if one.deadline is None else signal.SIGQUIT)
            one.deadline = limit if one.deadline is None else min(one.deadline, limit)

    def _drain(self) -> None:
        now = self._clock()
        stage = min((one.stage for one, _ in self._running()), default=0)
        for one, process in self._running():
            if one.deadline is None:
                if one.stage == stage:
                    child.send(process, signal.SIGTERM)
                    one.deadline = now + one.grace
            elif now >= one.deadline:
                log.warning("%s is killed, pid %d: it did not stop in time", one.name, process.pid)
                child.kill(process)
                self._killed = True
                one.process = None
                self._tell_end(one, process)


def describe(returncode: int) -> str:
    """A return code in words: ``exit code 1``, ``SIGKILL``."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


@dataclass
class _Signals:
    """Notes the signals that mean "stop", and wakes :meth:`wait` for them and for a child's death.

    The interpreter writes a byte into a socket the moment that a signal arrives, so none can slip in between
    looking and waiting. The ``with`` block may be nested; the outermost one installs and restores.
    """

    clock: Clock
    _depth: int = 0
    _noted: list[tuple[int, float]] = field(default_factory=list)
    _last: float | None = None
    _before: dict[int, Any] = field(default_factory=dict)
    _wakeup: int = -1
    _ends: tuple[socket.socket, socket.socket] | None = None

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth > 1:
            return self
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
        stop = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # a closed terminal, unless under nohup
            stop.append(signal.SIGHUP)
        self._before = {signum: signal.signal(signum, self._note) for signum in stop}
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._depth -= 1
        if self._depth or self._ends is None:
            return
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in self._ends:
            end.close()
        self._ends = None

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._noted.append((signum, self.clock()))

    @property
    def waiting(self) -> bool:
        return bool(self._noted)

    def take(self) -> list[int]:
        """The signals since last time, those of one gesture counted once."""
        taken = []
        while self._noted:
            signum, when = self._noted.pop(0)
            if self._last is None or when - self._last >= SAME_GESTURE:
                taken.append(signum)
                self._last = when
        return taken

    def wait(self, seconds: float) -> None:
        """Until a signal, or for so many seconds."""
        if self._ends is None:
            return
        reading = self._ends[0]
        if select.select([reading], [], [], max(0.0, seconds))[0]:
            with contextlib.suppress(BlockingIOError):
                while reading.recv(4096):
                    pass
