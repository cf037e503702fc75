"""The pace of a whole account, kept over all processes and machines, and its cool-down after a 429.

A slot is reserved in Redis (GCRA on Redis' clock). A wait that is short is slept here; a longer one is given
back as :class:`RateLimited`, so that the worker does something else meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator

import redis

from workers.errors import RateLimited
from workers.ledger import Ledger, Pace

log = logging.getLogger(__name__)

#: VTEX recommends to wait a minute after a 429 on the orders API.
COOL_DOWN, LONGEST_COOL_DOWN = 60.0, 600.0
#: A ``Retry-After: 0`` beside a 429 is no leave to go on at once.
SHORTEST_COOL_DOWN = 1.0
#: A wait up to this holds the worker; a longer one gives its slot back. Seconds.
WORTH_WAITING = 1.0
#: The same for a command, which somebody waits for. Other calls reserve no slot farther away than the above, so a
#: command takes the next one, a little more than a second away, however many others are to come again in turn.
COMMAND_WAITS = 5.0
#: Who gives it back comes again in turn, within so many seconds: not all at once, and before a retry becomes a park.
FARTHEST_TURN = 40.0


class Limiter:
    """``per_minute`` calls of one account; up to ``burst`` of them at once after a quiet time.

    ``observe`` is told of each wait, in seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        per_minute: int,
        *,
        burst: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        observe: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._ledger = ledger
        most = burst if burst is not None else max(1, per_minute // 60)
        #: For those who reserve a slot together with something else.
        self.pace = Pace(60.0 / per_minute, most, WORTH_WAITING, FARTHEST_TURN)
        #: The same for those who call in :meth:`first`.
        self.first_pace = dataclasses.replace(self.pace, longest=COMMAND_WAITS)
        self._held = threading.local()
        self._sleep = sleep
        self._observe = observe

    def hold(self, slot: tuple[bool, float] | None) -> None:
        """The next call of this thread has that slot (see :meth:`Ledger.move_pace`); None takes it back."""
        self._held.slot = slot and (*slot, time.monotonic())

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """The calls of this thread go before those of others; no slots are kept free for them."""
        self._held.pace = self.first_pace
        try:
            yield
        finally:
            self._held.pace = self._held.slot = None

    def wait(self) -> None:
        """Return when a call may be made; raise :class:`RateLimited` when that is not soon.

        When Redis cannot be asked, the call is made after a moderate wait: slower, and nothing is lost.
        """
        held, self._held.slot = getattr(self._held, "slot", None), None
        pace = getattr(self._held, "pace", None) or self.pace
        try:
            reserved, wait = held[:2] if held else self._ledger.move_pace(pace)
        except redis.RedisError:
            self._sleep(max(WORTH_WAITING, self.pace.interval))
            return
        self._observe(wait)
        if not reserved:
            raise RateLimited(f"the account's pace asks to wait {wait:.1f} s", after=wait)
        if held:
            wait -= time.monotonic() - held[2]
        if wait > 0:
            self._sleep(wait)

    def cool_down(self, asked: float | None) -> float:
        """VTEX said 429: the whole account pauses. Returns for how long (seconds)."""
        if asked is not None:
            asked = max(asked, SHORTEST_COOL_DOWN)
        pause = self._ledger.move_cool(asked, COOL_DOWN, LONGEST_COOL_DOWN)
        log.warning("VTEX said 429: the account pauses for %.1f s", pause)
        return pause
