"""Medians and their spread, each beside its reference, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from workers.bench.light import Waits
from workers.bench.race import Result

MEGABYTE = 1_000_000


def show(console: Console, results: list[Result], waits: list[Waits]) -> None:
    """The tables."""
    races: dict[tuple[str, float, int], list[Result]] = {}
    for one in results:
        races.setdefault((one.what, one.latency, one.orders), []).append(one)
    for (what, latency, count), of_race in races.items():
        console.print(_race(of_race, what, latency, count))
    if waits:
        console.print(_light(waits))
    console.print(
        "Medians, with the lowest and the highest run. CPU: processor time for each, of the workers and of Redis. "
        "RSS: of the workers, at the end, and early: when a tenth was done. "
        "Ratios are to the floor of the same run; other programs on this machine move the figures, ratios least.",
        soft_wrap=True,
    )


def save(path: Path, results: list[Result], waits: list[Waits]) -> None:
    """Everything, each run by itself."""
    packages = ("celery", "kombu", "redis", "requests", "SQLAlchemy")
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        "versions": {name: version(name) for name in packages},
        "runs": [result.as_dict() for result in results],
        "light": [one.as_dict() for one in waits],
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
    table = Table(title=f"{count} {kind}, VTEX answers in {latency * 1000:.0f} ms", box=None)
    for column in ("", f"{what}/s", "of the floor", "CPU ms", "of the floor", "Redis ms", "calls", "RSS MB",
                   "early", "Redis bytes in flight", "finished"):  # fmt: skip
        table.add_column(column, justify="left" if not column else "right")
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
            for problem in {problem for one in mine for problem in one.problems}:
                table.add_row(f"  [red]worthless: {problem}[/red]")
    return table


def _light(waits: list[Waits]) -> Table:
    table = Table(title="From an order's event to its start-handling, at 10 orders/s", box=None)
    for column in ("", "p50 s", "p95 s", "p99 s"):
        table.add_column(column, justify="left" if not column else "right")
    for one in waits:
        table.add_row(
            f"feed polled each {one.poll_seconds:g} s, VTEX answers in {one.latency * 1000:.0f} ms",
            *(f"{value:.2f}" for value in (one.p50, one.p95, one.p99)),
        )
    return table


def _spread(results: list[Result], read: Callable[[Result], float], digits: int) -> str:
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
