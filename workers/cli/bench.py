"""How fast it is on this machine, beside a bare script and a textbook's chain."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option("--orders", default=(1000,), multiple=True, show_default=True, type=click.IntRange(100, 1_000_000),
              help="How many wait in the feed; may be given several times.")  # fmt: skip
@click.option("--latency", default=(100.0, 0.0), multiple=True, show_default=True, type=click.FloatRange(0, 5000),
              help="How long VTEX takes to answer, in ms; may be given several times.")  # fmt: skip
@click.option("--processes", default=(2,), multiple=True, show_default=True, type=click.IntRange(1, 64),
              help="Worker processes; may be given several times.")  # fmt: skip
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1, 100), help="How often each.")
@click.option("--only", "contenders", default="floor,textbook,ours", show_default=True, metavar="A,B",
              help="Who runs.")  # fmt: skip
@click.option("--light/--no-light", default=True, show_default=True,
              help="Also measure how long an order takes at 10 orders/s.")  # fmt: skip
@click.option("--poll", default=5.0, show_default=True, type=click.FloatRange(0.1, 3600),
              help="FEED_POLL_SECONDS of that.")  # fmt: skip
@click.option("--invoices", default=500, show_default=True, type=click.IntRange(0, 100_000),
              help="How many invoices to send for an ERP, beside a bare script; 0 for none.")  # fmt: skip
@click.option("--json", "path", default=Path("var/bench/bench.json"), show_default=True,
              type=click.Path(path_type=Path, dir_okay=False), help="Where all figures go.")  # fmt: skip
@click.option("--dir", "folder", default=Path("var/bench"), show_default=True,
              type=click.Path(path_type=Path, file_okay=False), help="Where it works; emptied.")  # fmt: skip
def bench(
    *,
    orders: tuple[int, ...],
    latency: tuple[float, ...],
    processes: tuple[int, ...],
    runs: int,
    contenders: str,
    poll: float,
    invoices: int,
    path: Path,
    folder: Path,
    light: bool,
) -> None:
    """Measure how fast orders go through on this machine.

    Three contenders take the same backlog out of the same stand-in VTEX: "floor", a bare script of 128 threads
    without queue and memory; "textbook", a plain Celery chain; "ours", the whole system as "up" runs it. The
    floor runs before and after the others of each round. Linux only.

    \b
    Quick:   --runs 1 --latency 100 --only floor,ours --no-light --invoices 0
    Backlog: --orders 1000 --orders 10000 --orders 100000 --latency 100 --only floor,ours --no-light --invoices 0
    """  # noqa: D301 - click's mark
    from workers.bench.contenders import CONTENDERS, NotReady
    from workers.bench.race import Stuck
    from workers.bench.session import Plan, measure

    names = contenders.split(",")
    if wrong := sorted(set(names) - CONTENDERS.keys()):
        raise click.UsageError(f"no such contender: {', '.join(wrong)} (there are {', '.join(CONTENDERS)})")
    if not Path("/proc/self/stat").exists():
        raise click.UsageError("processor time and memory are read from /proc, which only Linux has")
    plan = Plan(
        names, orders, tuple(ms / 1000 for ms in latency), processes, runs, poll if light else None, invoices
    )
    try:
        sys.exit(measure(plan, folder.absolute(), path))
    except (NotReady, Stuck) as error:
        raise click.ClickException(str(error)) from None
