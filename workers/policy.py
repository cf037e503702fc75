"""What happens after an error. Pure: (error, attempt, age, random) in, a decision out.

A short wait is a Celery retry (a message with a countdown); a longer one parks the order in Redis, because
a countdown above the broker's visibility timeout would multiply the message. After the horizon, or when the
other side refused for good, the order is buried: dead, kept whole, visible.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from workers import errors

#: The longest countdown of a Celery retry; must stay under a third of the broker's visibility timeout.
LONGEST_COUNTDOWN = 60.0
#: A worker died this often while it worked on one order: the order is the cause.
CRASH_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Retry:
    """Again in ``after`` seconds, by a message; ``counts`` tells an attempt from a wait for our own pace."""

    after: float
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Park:
    """Again in ``after`` seconds, by the sweeper."""

    after: float


@dataclass(frozen=True, slots=True)
class Bury:
    """Given up."""

    why: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is wrong with this order: its account (``vtex``) or sink (``erp``) stops until it lets us in."""

    scope: str
    why: str


Decision = Retry | Park | Bury | Pause


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers; all in seconds."""

    base: float = 0.5
    longest: float = 1800.0
    horizon: float = 72 * 3600.0
    grace_for_404: float = 600.0

    def decide(self, error: Exception, *, attempt: int, age: float, rng: random.Random) -> Decision:
        """One readable ladder, from the most particular to the most general."""
        if isinstance(error, errors.AccessDenied):
            return Pause(error.scope, str(error))
        if isinstance(error, errors.RateLimited):
            wait = error.after if error.after is not None else 1.0
            return self._later(wait * (1 + rng.random() / 4) + 0.05, counts=error.status is not None)
        if isinstance(error, errors.NotFound) and age < self.grace_for_404:
            return self._later(self._backoff(attempt, rng))
        if isinstance(error, errors.Permanent):
            return Bury(str(error))
        if age >= self.horizon:
            return Bury(f"given up after {age / 3600:.0f} h; the last answer: {error}")
        asked = error.after if isinstance(error, errors.Retryable) and error.after else 0.0
        return self._later(max(asked, self._backoff(attempt, rng)))

    def _backoff(self, attempt: int, rng: random.Random) -> float:
        """Full jitter over a doubling range, never quite nothing."""
        ceiling = min(self.longest, self.base * 2.0 ** min(attempt, 30))
        return max(0.1, rng.uniform(0, ceiling))

    def _later(self, after: float, *, counts: bool = True) -> Decision:
        return Retry(after, counts) if after <= LONGEST_COUNTDOWN else Park(after)
