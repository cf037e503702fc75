"""What goes wrong when: from a seed, and from nothing else.

The same options give the same schedule. Which of several workers it meets, and what that worker was doing just
then, is decided by the machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

#: Which kinds the kills are, and how often each.
KILLS = {"worker killed": 14, "beat killed": 3, "supervisor killed": 1.5, "redis killed": 1.5}
#: Seconds of rest after a fault that stops everybody.
BREATH = 1.0


class Kind(Protocol):
    """What a plan needs to know of a fault."""

    name: str
    weight: float
    seconds: tuple[float, float]
    wide: bool


@dataclass(frozen=True, slots=True)
class Options:
    """One run. ``every`` and ``kills``: seconds between two faults, and between two kills besides (0: none).

    ``seconds``: how long there are faults and orders come. ``drain``: how long the end may take after that.
    """

    seed: int = 1
    orders: int = 1200
    commands: int = 300
    seconds: float = 150.0
    every: float = 2.0
    kills: float = 1.0
    workers: int = 8  # besides those of the two systems
    erp: str = "sqlite"
    hasty: bool = False
    drain: float = 420.0


@dataclass(frozen=True, slots=True)
class Act:
    """A fault: when (seconds since the beginning), which, for how long, and a number to choose its victim by."""

    at: float
    fault: str
    seconds: float
    pick: int


def schedule(options: Options, kinds: list[Kind]) -> list[Act]:
    """Kills at their own pace, and between them every kind once in a random order, then by weight.

    Two of a kind are never there at once, and of those that stop everybody (``wide``) only one: something must be
    at work for a kill to hit it.
    """
    rng = random.Random(f"{options.seed} {options.seconds} {options.every} {options.kills}")
    return sorted(_kills(options, rng) + _others(options, kinds, rng), key=lambda act: act.at)


def _kills(options: Options, rng: random.Random) -> list[Act]:
    count = int(options.seconds / options.kills) if options.kills else 0
    acts = []
    for number in range(count):
        [name] = rng.choices(list(KILLS), list(KILLS.values()))
        at = round((number + rng.random()) * options.kills, 3)
        acts.append(Act(at, name, 1.0 if name == "redis killed" else 0.0, rng.randrange(1_000_000)))
    return acts


def _others(options: Options, kinds: list[Kind], rng: random.Random) -> list[Act]:
    acts: list[Act] = []
    until: dict[str, float] = {}
    waiting = list(kinds)
    rng.shuffle(waiting)
    at, wide = options.every, 0.0
    while at < options.seconds:
        free = [kind for kind in kinds if until.get(kind.name, 0.0) <= at and (at >= wide or not kind.wide)]
        first = next((kind for kind in waiting if kind in free), None)
        if first:
            waiting.remove(first)
        kind = first or rng.choices(free, [one.weight for one in free])[0]
        seconds = min(rng.uniform(*kind.seconds), max(0.5, options.seconds - at))
        acts.append(Act(round(at, 3), kind.name, round(seconds, 3), rng.randrange(1_000_000)))
        until[kind.name] = at + seconds
        if kind.wide:
            wide = at + seconds + BREATH
        at += options.every * rng.uniform(0.7, 1.3)
    return acts
