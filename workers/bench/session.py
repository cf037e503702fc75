"""A whole measurement: rounds in which the contenders take turns, so that what else the machine does hits all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from workers import private
from workers.bench import invoices, light, paced, race, report, stores
from workers.bench.race import Result
from workers.bench.report import Figures


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. ``latency`` is in seconds, ``pace`` in calls a minute.

    The light load has ``poll`` (FEED_POLL_SECONDS) and ``rate`` (orders a second). It, ``pace`` and ``stores`` take the
    first of all else.
    """

    contenders: list[str]
    orders: tuple[int, ...]
    latency: tuple[float, ...]
    processes: tuple[int, ...]
    runs: int
    poll: tuple[float, ...] = ()
    rate: tuple[float, ...] = ()
    invoices: int = 0
    pace: tuple[int, ...] = ()
    stores: int = 0

    def races(self) -> Iterator[tuple[str, int, float, int]]:
        """(contender, orders, latency, processes) in the order in which they run: the floor before and after."""
        for latency in self.latency:
            for orders in self.orders:
                for _ in range(self.runs):
                    for name in self.contenders:
                        for processes in self.processes if name != "floor" else self.processes[:1]:
                            yield name, orders, latency, processes
                if "floor" in self.contenders and len(self.contenders) > 1:
                    yield "floor", orders, latency, self.processes[0]


def measure(plan: Plan, folder: Path, path: Path) -> int:
    """Run it all, show it, keep it in ``path``; 1 if a run lost or doubled an order."""
    _claim(folder)
    console = Console(width=None if Console().is_terminal else 150)
    figures = Figures()

    def ran(one: Result) -> None:
        figures.runs.append(one)
        said = f"{one.name}: {one.per_second:.0f} {one.what}/s, {one.cpu_ms:.2f} ms CPU each"
        console.print(said, style="dim")

    try:
        for name, orders, latency, processes in plan.races():
            ran(race.run(name, folder / name, orders=orders, latency=latency, processes=processes))
        for latency in plan.latency if plan.invoices and "ours" in plan.contenders else ():
            for who in invoices.NAMES * plan.runs:
                ran(
                    invoices.run(
                        who,
                        folder / "ours",
                        invoices=plan.invoices,
                        latency=latency,
                        processes=plan.processes[0],
                    )
                )
        if "ours" in plan.contenders:
            _alone(plan, folder / "ours", figures)
    finally:
        report.save(path, figures)
        report.show(console, figures)
    return int(figures.worthless())


def _alone(plan: Plan, folder: Path, figures: Figures) -> None:
    """What is measured of ours by itself; each figure counts, also if the next one fails."""
    latency, processes = plan.latency[0], plan.processes[0]
    for per_minute in plan.pace:
        figures.paced.append(paced.run(folder, per_minute, latency, processes))
    if plan.stores:
        for _ in range(plan.runs):
            for count in (plan.stores, 1):
                orders = plan.orders[0] * plan.stores // count
                figures.stores.append(stores.run(folder, count, orders, latency, processes))
    for rate in plan.rate:
        for poll in plan.poll:
            figures.light.append(light.run(folder, latency, processes, poll, rate))


def _claim(folder: Path) -> None:
    """Work only in a folder of one's own: what is in the way there is removed."""
    mark = folder / ".vtexorders-bench"
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} has files that no bench made: name an empty folder, or a new one")
    private.folder(folder)
    os.close(private.open_own(mark, os.O_WRONLY | os.O_CREAT))
