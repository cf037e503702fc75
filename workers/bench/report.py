"""Medians and their spread, each beside its reference, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from workers.bench import usage
from workers.bench.light import Waits
from workers.bench.paced import Paced
from workers.bench.race import Result
from workers.bench.stores import Served

MEGABYTE = 1_000_000
T = TypeVar("T")


@dataclass(slots=True)
class Figures:
    """All that was measured, each run by itself."""

    runs: list[Result] = field(default_factory=list)
    paced: list[Paced] = field(default_factory=list)
    stores: list[Served] = field(default_factory=list)
    light: list[Waits] = field(default_factory=list)

    def worthless(self) -> bool:
        """Whether a run lost or doubled an order."""
        judged: list[Result | Paced | Served] = [*self.runs, *self.paced, *self.stores]
        return any(one.problems for one in judged)


def show(console: Console, figures: Figures) -> None:
    """The tables."""
    races: dict[tuple[str, float, int], list[Result]] = {}
    for one in figures.runs:
        races.setdefault((one.what, one.latency, one.orders), []).append(one)
    for (what, latency, count), of_race in races.items():
        console.print(_race(of_race, what, latency, count))
    if figures.paced:
        console.print(_paced(figures.paced))
    if figures.stores:
        console.print(_stores(figures.stores))
    if figures.light:
        console.print(_light(figures.light))
    console.print(
        "Medians, with the lowest and the highest run. CPU: processor time for each, of the workers and of Redis. "
        "RSS: of the workers, at the end, and early: when a tenth was done. "
        "Ratios are to the floor of the same run; other programs on this machine move the figures, ratios least.",
        soft_wrap=True,
    )


def save(path: Path, figures: Figures) -> None:
    """Everything, each run by itself."""
    packages = ("celery", "kombu", "redis", "requests", "SQLAlchemy")
    document = {
        "machine": {
            "cores": usage.cores(),
            "processor": _processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        "versions": {name: version(name) for name in packages},
        **{part.name: [one.as_dict() for one in getattr(figures, part.name)] for part in fields(figures)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def ratio(results: list[Result], name: str, read: Callable[[Result], float]) -> float | None:
    """A contender's median in units of the floor's; None without both."""
    both = [[read(one) for one in results if one.name == wanted] for wanted in (name, "floor")]
    if not all(both) or not statistics.median(both[1]):
        return None
    return statistics.median(both[0]) / statistics.median(both[1])


def _race(results: list[Result], what: str, latency: float, count: int) -> Table:
    kind = "orders from the feed" if what == "orders" else "invoices for orders in handling"
    table = _table(
        f"{count} {kind}, VTEX answers in {latency * 1000:.0f} ms",
        f"{what}/s", "of the floor", "CPU ms", "of the floor", "Redis ms", "calls", "RSS MB",
        "early", "Redis bytes in flight", "finished",
    )  # fmt: skip
    for name in dict.fromkeys(result.name for result in results):
        for processes in sorted({one.processes for one in results if one.name == name}):
            mine = [one for one in results if (one.name, one.processes) == (name, processes)]
            compared = [one for one in results if one.name == "floor"] + mine
            table.add_row(
                f"{name}, {processes} process{'es' if processes > 1 else ''}, {len(mine)} runs",
                _spread(mine, lambda one: one.per_second, 0),
                _of_floor(ratio(compared, name, lambda one: one.per_second)),
                _spread(mine, lambda one: one.cpu_ms, 2),
                _of_floor(ratio(compared, name, lambda one: one.cpu_ms)),
                f"{statistics.median(one.redis_ms for one in mine):.2f}",
                f"{statistics.median(one.calls for one in mine):.2f}",
                f"{statistics.median(one.rss for one in mine) / MEGABYTE:.0f}",
                *(
                    f"{middle / unit:.0f}" if (middle := statistics.median(map(read, mine))) else ""
                    for read, unit in (
                        (lambda one: one.rss_early, MEGABYTE),
                        (lambda one: one.redis_in_flight, 1),
                        (lambda one: one.redis_finished, 1),
                    )
                ),
            )
            _warn(table, mine)
    return table


def _paced(paced: list[Paced]) -> Table:
    table = _table(
        "A backlog at VTEX_REQUESTS_PER_MINUTE, its steady part. CPU: of the whole machine",
        "calls/s", "allowed", "of it", "busiest 10 s", "429s", "orders read/s",
        "CPU %", "workers", "Redis", "beat, supervisor, Flower",
    )  # fmt: skip
    for one in paced:
        table.add_row(
            f"{one.per_minute} calls a minute, VTEX answers in {one.latency * 1000:.0f} ms, {one.window:.0f} s",
            f"{one.calls:.1f}",
            f"{one.limit:.1f}",
            f"{one.calls / one.limit:.3f}",
            f"{one.busiest:.1f}",
            f"{one.too_many_requests}",
            f"{one.gets:.1f}",
            *(f"{100 * share:.1f}" for share in (one.cpu, one.cpu_workers, one.cpu_redis, one.cpu_others)),
        )
        _warn(table, [one])
    return table


def _stores(served: list[Served]) -> Table:
    first = served[0]
    table = _table(
        f"{first.orders} orders in the feeds, VTEX answers in {first.latency * 1000:.0f} ms",
        "orders/s", "slowest store", "fastest store", "CPU ms", "Redis ms",
    )  # fmt: skip
    for count in dict.fromkeys(one.stores for one in served):
        mine = [one for one in served if one.stores == count]
        table.add_row(
            f"{count} store{'s' if count > 1 else ''}, {first.processes} processes, {len(mine)} runs",
            _spread(mine, lambda one: one.per_second, 0),
            _spread(mine, lambda one: min(one.each), 0),
            _spread(mine, lambda one: max(one.each), 0),
            _spread(mine, lambda one: one.cpu_ms, 2),
            _spread(mine, lambda one: one.redis_ms, 2),
        )
        _warn(table, mine)
    return table


def _light(waits: list[Waits]) -> Table:
    table = _table(
        f"From an order's event to its start-handling, VTEX answers in {waits[0].latency * 1000:.0f} ms",
        "p50 s", "p95 s", "p99 s", "orders", "feed reads/s", "without orders, an hour",
    )  # fmt: skip
    for one in waits:
        table.add_row(
            f"feed polled each {one.poll_seconds:g} s, {one.rate:g} orders/s",
            *(f"{value:.2f}" for value in (one.p50, one.p95, one.p99)),
            f"{one.orders}",
            f"{one.reads:.1f}",
            f"{one.polling:.0f}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=None)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _warn(table: Table, runs: Sequence[Result | Paced | Served]) -> None:
    for problem in {problem for one in runs for problem in one.problems}:
        table.add_row(f"  [red]worthless: {problem}[/red]")


def _spread(results: list[T], read: Callable[[T], float], digits: int) -> str:
    values = [read(one) for one in results]
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _of_floor(value: Any) -> str:
    return f"{value:.2f}" if value is not None else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
