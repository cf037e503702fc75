"""At a store's limit: whether the pace of the calls is the one that was asked for, and what is left of the machine.

A backlog is worked off while ``VTEX_REQUESTS_PER_MINUTE`` is the limit and not the machine. What is counted are the
calls that arrive at the stand-in, in the steady part: not the burst that a pause before it allows, nor the end, when
there are too few orders left to fill the pace.
"""

from __future__ import annotations

import bisect
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workers.bench import usage
from workers.bench.contenders import Runner, ours
from workers.bench.race import ALL, fresh, is_order, problems, sandbox, watch
from workers.sandbox.process import SandboxProcess

#: How long the backlog lasts, in seconds, and what one of its orders costs, in calls.
SECONDS, CALLS = 32.0, 2.25
#: What is left out of it at both ends, in seconds.
BEFORE, AFTER = 4.0, 2.0


@dataclass(frozen=True, slots=True)
class Paced:
    """``per_minute`` is the setting; rates are a second. CPU is the share of the whole machine's, between 0 and 1.

    ``busiest`` is the rate of the ten seconds that had most calls.
    """

    per_minute: int
    latency: float
    orders: int
    processes: int
    window: float
    calls: float
    busiest: float
    gets: float
    too_many_requests: int
    cores: int
    cpu_workers: float
    cpu_redis: float
    cpu_others: float
    problems: list[str] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """Calls a second that the setting allows."""
        return self.per_minute / 60

    @property
    def cpu(self) -> float:
        """Of everything that is ours."""
        return self.cpu_workers + self.cpu_redis + self.cpu_others

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"cpu": self.cpu}


def run(folder: Path, per_minute: int, latency: float, processes: int) -> Paced:
    """Work off a backlog at that pace. The stand-in answers 429 to whoever is faster than it for some seconds."""
    orders = max(1, round(per_minute / 60 / CALLS * SECONDS))
    with (
        SandboxProcess(sandbox(latency, requests_per_minute=per_minute)) as vtex,
        ours(fresh(folder), vtex.url, processes, VTEX_REQUESTS_PER_MINUTE=str(per_minute)) as runner,
    ):
        meter = Meter(runner)
        vtex.create(orders)
        watch(vtex, orders, meter.look)
        made = vtex.calls(ALL)["last"]
        audit = vtex.audit(per_order=False)
    reads = [call["at"] for call in made if is_order(call)]
    begin, end = min(reads) + BEFORE, max(reads) - AFTER
    steady = sorted(call["at"] for call in made if begin <= call["at"] < end)
    workers, redis, others = meter.between(begin, end)
    return Paced(
        per_minute,
        latency,
        orders,
        processes,
        window=end - begin,
        calls=len(steady) / (end - begin),
        busiest=busiest(steady, 10.0),
        gets=sum(begin <= at < end for at in reads) / (end - begin),
        too_many_requests=audit["too_many_requests"],
        cores=usage.cores(),
        cpu_workers=workers,
        cpu_redis=redis,
        cpu_others=others,
        problems=problems(audit, orders),
    )


class Meter:
    """Processor time as it grows: of the workers, of Redis, and of the rest of ours (supervisor, beat, Flower)."""

    def __init__(self, runner: Runner) -> None:
        self._groups = (runner.workers, runner.redis, runner.others)
        self._seen: list[tuple[float, list[float]]] = []

    def look(self, _handled: float = 0.0) -> None:
        """Take a look."""
        self._seen.append((time.time(), [usage.of_all(pids).cpu for pids in self._groups]))

    def between(self, begin: float, end: float) -> tuple[float, ...]:
        """Each group's share of the machine in that time, by the looks next to it."""
        first, last = (
            self._seen[min(bisect.bisect_left(self._seen, (at, [])), len(self._seen) - 1)]
            for at in (begin, end)
        )
        machine = (last[0] - first[0]) * usage.cores()
        return tuple((after - before) / machine for before, after in zip(first[1], last[1], strict=True))


def busiest(moments: list[float], seconds: float) -> float:
    """The most a second within so many seconds, wherever they begin; ``moments`` are in order."""
    most = 0
    for number, at in enumerate(moments):
        most = max(most, number + 1 - bisect.bisect_right(moments, at - seconds))
    return most / seconds
