"""What goes wrong, how often, and when: a plan that a seed makes repeatable.

A fault depends on the seed, the method, the path and how often that call was made before. So a run repeats,
and a client that tries the same call again gets a new draw.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

#: What a fault plan calls a fault on the command line, and the field it sets.
WORDS = {
    "5xx": "error_5xx",
    "429": "error_429",
    "lost": "lost_answer",
    "cut": "cut_before",
    "html": "html_error",
    "truncated": "truncated_json",
    "other": "other_json",
    "duplicates": "duplicate_event",
    "hook_lost": "hook_lost",
    "hook_late": "hook_late",
    "slow": "slow",
    "slow_seconds": "slow_seconds",
}

#: At most one of these happens to a call.
KINDS = (
    "error_5xx",
    "error_429",
    "lost_answer",
    "cut_before",
    "html_error",
    "truncated_json",
    "other_json",
)


@dataclass(frozen=True)
class FaultPlan:
    """Probabilities, each between 0 and 1. The first seven exclude each other, so their sum is at most 1."""

    #: 500, 502, 503 or 504, and nothing was done.
    error_5xx: float = 0.0
    #: "Too many requests", and nothing was done.
    error_429: float = 0.0
    #: It was done, and the client does not hear of it: a cut connection, or a 500 or 504 in HTML.
    lost_answer: float = 0.0
    #: The connection closes, and nothing was done.
    cut_before: float = 0.0
    #: A page in HTML where JSON belongs, and nothing was done; for a GET sometimes with status 200.
    html_error: float = 0.0
    #: It was done, and the JSON of the answer ends in the middle.
    truncated_json: float = 0.0
    #: 200 with JSON that is neither what was asked for nor a receipt; of a write to an order half of them were done.
    other_json: float = 0.0
    #: An event goes into the queue twice, under one eventId.
    duplicate_event: float = 0.0
    #: An event is never posted to the hook, or ``slow_seconds`` later than it should.
    hook_lost: float = 0.0
    hook_late: float = 0.0
    #: The call takes ``slow_seconds`` longer.
    slow: float = 0.0
    slow_seconds: float = 3.0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
                raise ValueError(f"fault {item.name} must be a number from 0 up, not {value!r}")
            if item.name != "slow_seconds" and value > 1:
                raise ValueError(f"fault {item.name} is a probability, so at most 1, not {value!r}")
        if sum(getattr(self, kind) for kind in KINDS) > 1 + 1e-9:
            raise ValueError(f"{', '.join(KINDS)} exclude each other, so their sum is at most 1")

    @cached_property
    def thresholds(self) -> list[tuple[float, str]]:
        """What may happen to a call: each kind, and below which number in [0, 1) it does."""
        possible = [kind for kind in KINDS if getattr(self, kind)]
        sums = itertools.accumulate(getattr(self, kind) for kind in possible)
        return list(zip(sums, possible, strict=True))

    @classmethod
    def parse(cls, text: str) -> FaultPlan:
        """Read ``5xx=0.1,lost=0.05,duplicates=0.1``; an empty text means no faults."""
        values: dict[str, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            word, equals, number = (piece.strip() for piece in part.partition("="))
            name = WORDS.get(word, word if word in WORDS.values() else None)
            if name is None or not equals:
                raise ValueError(
                    f"not a fault: {part!r}; write word=probability, words are {', '.join(WORDS)}"
                )
            try:
                values[name] = float(number)
            except ValueError:
                raise ValueError(f"not a number in {part!r}") from None
        return cls(**values)


class Draw(NamedTuple):
    """What happens to one call: a kind or none, and two numbers in [0, 1): for the variant and the pace."""

    kind: str | None
    choice: float
    pace: float
    #: Seconds to lose.
    delay: float


class Faults:
    """Draws the fault of each call. The plan may be replaced while calls come in."""

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self.plan = plan
        self.given: Counter[str] = Counter()
        self._seed = seed
        self._calls: Counter[tuple[str, str]] = Counter()
        self._scripted: list[tuple[str, str, str]] = []

    def script(self, kind: str, path: str, method: str = "", times: int = 1) -> None:
        """Make the next ``times`` calls whose path contains ``path`` fail so, whatever the plan says."""
        if kind not in (*KINDS, "slow"):
            raise ValueError(f"not a fault of a call: {kind!r}; one of {', '.join(KINDS)}, slow")
        self._scripted += [(kind, path, method)] * times

    def draw(self, method: str, path: str) -> Draw:
        """Say what happens to this call. Counting what was really given is the caller's part."""
        self._calls[method, path] += 1
        first, choice, pace, slowness = _fractions(
            f"{self._seed}|{method}|{path}|{self._calls[method, path]}"
        )
        kind = self._next_scripted(method, path) or self._by_chance(first)
        slow = kind == "slow" or slowness < self.plan.slow
        return Draw(None if kind == "slow" else kind, choice, pace, self.plan.slow_seconds if slow else 0.0)

    def _next_scripted(self, method: str, path: str) -> str | None:
        for number, (kind, part, verb) in enumerate(self._scripted):
            if part in path and verb in ("", method):
                del self._scripted[number]
                return kind
        return None

    def _by_chance(self, fraction: float) -> str | None:
        return next((kind for threshold, kind in self.plan.thresholds if fraction < threshold), None)

    def duplicates(self, event_id: str) -> bool:
        """Say whether this event goes into the queue twice."""
        return self.plan.duplicate_event > 0 and _fractions(event_id)[0] < self.plan.duplicate_event

    def hook_delay(self, event_id: str) -> float | None:
        """Say by how many seconds the hook tells of this event too late; None: never."""
        _, lost, late, _ = _fractions(event_id)
        if lost < self.plan.hook_lost:
            self.given["hook_lost"] += 1
            return None
        if late < self.plan.hook_late:
            self.given["hook_late"] += 1
            return self.plan.slow_seconds
        return 0.0


def _fractions(key: str) -> list[float]:
    """Turn a text into four numbers in [0, 1) that look random and never change."""
    digest = blake2b(key.encode(), digest_size=32).digest()
    return [int.from_bytes(digest[at : at + 8], "big") / 2**64 for at in range(0, 32, 8)]
