"""A circuit breaker a store for VTEX and one for its ERP, shared by all workers.

A breaker opens when half of the calls of a moment fail because nobody is there: no connection, no answer in time,
a server error. What the other side says about one order never counts. Open, it is a pause like any other one
(:meth:`workers.ledger.Ledger.pause`): work waits where it is, the feed is not read, attempts are not counted.
:mod:`tasks.probe` asks every few seconds and ends it.

A call that succeeds costs nothing here: each process adds up by itself, and tells Redis once a second, or at once of
a failure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import redis

from workers import errors, telemetry

if TYPE_CHECKING:
    from workers.ledger import Ledger

log = telemetry.get(__name__)

#: It opens when of at least so many calls in so many seconds at least half have failed.
LEAST_CALLS, WINDOW_SECONDS = 20, 10.0
#: While it is open, the other side is asked every so many seconds.
PROBE_SECONDS = 5.0
#: Successes are told to the others every so many seconds.
TELL_SECONDS = 1.0


def unavailable(error: Exception) -> bool:
    """Whether the error says that nobody is there, whichever the order (its ``scope`` says who)."""
    return isinstance(error, errors.Unavailable | errors.OutcomeUnknown) and _failed(error.status)


def _failed(status: int | None) -> bool:
    return status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class Breaker:
    """Counts the calls of one scope (``vtex`` or ``erp``) in this process; opens it for all."""

    def __init__(self, ledger: Ledger, scope: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._scope = scope
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = 0
        self._told = clock()

    def answered(self, status: int | None) -> None:
        """A call ended with that HTTP status, or without any (None)."""
        if _failed(status):
            self.failed("no answer" if status is None else f"the answer {status}")
        else:
            self.worked()

    def worked(self) -> None:
        """A call was answered, whatever it said about its order."""
        calls = self._add(at_once=False)
        if calls:
            self._tell(calls, 0)

    def failed(self, why: str) -> None:
        """Nobody was there. ``why`` is for people."""
        seen = self._tell(self._add(at_once=True), 1)
        if seen and self._ledger.pause(self._scope, f"{seen}, the last one: {why}", kind="breaker"):
            # those calls were the first probes
            self._ledger.once_every(f"probe:{self._scope}", PROBE_SECONDS)
            log.error("breaker_opened", scope=self._scope, why=why, account=self._ledger.account)

    def _add(self, *, at_once: bool) -> int:
        """One call more; how many calls are to be told now, or 0."""
        with self._lock:
            now = self._clock()
            if now - self._told > WINDOW_SECONDS:  # what was before a quiet time says nothing about now
                self._calls, self._told = 0, now
            self._calls += 1
            if not at_once and now - self._told < TELL_SECONDS:
                return 0
            calls, self._calls, self._told = self._calls, 0, now
            return calls

    def _tell(self, calls: int, failed: int) -> str:
        """Add to what all processes saw; in words, if that is enough to open."""
        try:
            calls, failed = self._ledger.move_breaker(self._scope, calls, failed, WINDOW_SECONDS)
        except redis.RedisError:
            return ""  # whoever cannot reach Redis cannot work either
        if calls < LEAST_CALLS or failed * 2 < calls:
            return ""
        return f"it does not answer: {failed} of {calls} calls failed"
