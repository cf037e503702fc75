"""How fast it is on this machine, beside a bare script and a textbook's chain."""

from __future__ import annotations

import sys
from pathlib import Path

import click

#: The lowest pace, in calls a minute.
SLOWEST = 600


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
              help="Also measure how long an order takes when little is to do.")  # fmt: skip
@click.option("--rate", default=(1.0, 10.0), multiple=True, show_default=True, type=click.FloatRange(0.1, 50),
              help="Orders a second of that; may be given several times.")  # fmt: skip
@click.option("--poll", default=(5.0,), multiple=True, show_default=True, type=click.FloatRange(0.1, 600),
              help="FEED_POLL_SECONDS of that; may be given several times.")  # fmt: skip
@click.option("--invoices", default=500, show_default=True, type=click.IntRange(0, 5000),
              help="How many invoices to send for an ERP, beside a bare script; 0 for none.")  # fmt: skip
@click.option("--pace", default=(13_500,), multiple=True, show_default=True, type=click.IntRange(0, 30_000),
              help="VTEX_REQUESTS_PER_MINUTE at which half a minute's backlog is worked off; may be given several "
                   "times, 0 for none. VTEX documents a limit of 6000 reads of an order a minute: with all other "
                   "calls these are 13500.")  # fmt: skip
@click.option("--stores", default=3, show_default=True, type=click.IntRange(0, 16),
              help="So many stores have a backlog at once, beside one that has it all; 0 for none.")  # fmt: skip
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
    rate: tuple[float, ...],
    poll: tuple[float, ...],
    invoices: int,
    pace: tuple[int, ...],
    stores: int,
    path: Path,
    folder: Path,
    light: bool,
) -> None:
    """Measure how fast orders go through on this machine.

    Three contenders take the same backlog out of the same stand-in VTEX: "floor", a bare script of 128 threads
    without queue and memory; "textbook", a plain Celery chain; "ours", the whole system as "up" runs it. The
    floor runs before and after the others of each round. Linux only.

    \b
    Quick:   --runs 1 --latency 100 --only floor,ours --no-light --invoices 0 --pace 0 --stores 0
    Backlog: the same with --orders 1000 --orders 10000 --orders 100000
    Polling: --runs 1 --latency 100 --only ours --invoices 0 --pace 0 --stores 0 --rate 1 --poll 1 --poll 5 --poll 15
    Limit:   --runs 1 --latency 100 --only ours --no-light --invoices 0 --stores 0 --pace 6000 --pace 13500
    Stores:  --latency 100 --only ours --no-light --invoices 0 --pace 0 --stores 3
    """  # noqa: D301 - click's mark
    from workers.bench.contenders import CONTENDERS, NotReady
    from workers.bench.race import Stuck
    from workers.bench.session import Plan, measure

    names = contenders.split(",")
    if wrong := sorted(set(names) - CONTENDERS.keys()):
        raise click.UsageError(f"no such contender: {', '.join(wrong)} (there are {', '.join(CONTENDERS)})")
    if any(0 < one < SLOWEST for one in pace):
        raise click.UsageError(
            f"a pace below {SLOWEST} calls a minute is too slow to be measured in half a minute"
        )
    if not Path("/proc/self/stat").exists():
        raise click.UsageError("processor time and memory are read from /proc, which only Linux has")
    plan = Plan(
        names,
        orders,
        tuple(ms / 1000 for ms in latency),
        processes,
        runs,
        poll=poll if light else (),
        rate=rate,
        invoices=invoices,
        pace=tuple(filter(None, pace)),
        stores=stores,
    )
    try:
        sys.exit(measure(plan, folder.absolute(), path))
    except (NotReady, Stuck) as error:
        raise click.ClickException(str(error)) from None
