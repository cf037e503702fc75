"""How many requests a token may make: a steady rate, with some in advance (GCRA). Each process counts its own."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds' worth of requests that may come at once.
BURST_SECONDS = 10.0
SMALLEST_BURST = 20
#: So many are remembered; of more, who came longest ago is forgotten.
MOST = 10_000


class Pace:
    """One rate for everybody, counted for each by himself."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60.0 / per_minute
        self._room = max(BURST_SECONDS, SMALLEST_BURST * self._interval)
        self._clock = clock
        self._free: dict[object, float] = {}

    def wait(self, who: object) -> float:
        """0 if the request may be made now (it is counted), else the seconds until one may."""
        now = self._clock()
        free = max(self._free.pop(who, now), now) + self._interval
        wait = max(free - now - self._room, 0.0)
        self._free[who] = free - self._interval if wait else free
        if len(self._free) > MOST:
            del self._free[next(iter(self._free))]
        return wait
