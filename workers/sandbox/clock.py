"""Time, as VTEX writes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

#: Seconds since the epoch; handed in, so that a test can move it.
Clock = Callable[[], float]


class ManualClock:
    """A clock that moves only when it is told to: ``clock.now += 30``."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the moment it was put to."""
        return self.now


def stamp(seconds: float, zone: str = "Z") -> str:
    """Write a moment with seven digits of a second, as .NET does: ``2026-08-12T20:54:23.7153839Z``."""
    whole = int(seconds)
    ticks = int((seconds - whole) * 10_000_000)
    return f"{_second(whole)}.{ticks:07d}{zone}"


def short_stamp(seconds: float) -> str:
    """Write a moment as the order list does: ``2026-08-12T20:54:23+00:00``."""
    return f"{_second(int(seconds))}+00:00"


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def moment(text: str) -> float:
    """Read an ISO 8601 moment; ValueError when it is none or has no zone."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return parsed.timestamp()
