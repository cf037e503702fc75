"""``python -m tests.chaos``: begin everything, let it go wrong, let it drain, and judge.

Exit code 0 when every promise held, 1 when one did not. Output: one line a promise.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import redis

from .arena import Arena
from .checker import judge
from .erp import ERPS
from .facts import collect, settled
from .faults import ALL, Idle, kinds
from .plan import KILLS, Act, Options, schedule
from .traffic import Traffic

LOOK = 0.1  # seconds between two looks at what is due
TELL = 15.0  # seconds between two lines about how it goes
WARM_UP = 120.0  # seconds at most until the workers run
QUIET_LOOKS = 3  # it is over when so many looks in a row find nothing to do


def options_of(argv: list[str] | None = None) -> Options:
    """From arguments, else from CHAOS_… in the environment, else the defaults."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for one in fields(Options):
        usual = os.environ.get(f"CHAOS_{one.name.upper()}", one.default)
        if one.name == "hasty":
            parser.add_argument("--hasty", action="store_true", default=bool(usual))
        else:
            kind = type(one.default)
            parser.add_argument(
                f"--{one.name}", type=kind, default=kind(usual), choices=list(ERPS) if kind is str else None
            )
    parser.add_argument("--keep", metavar="FOLDER", help="keep logs and databases there")
    parser.add_argument("--plan", action="store_true", help="print the schedule and do nothing")
    parsed = vars(parser.parse_args(argv))
    options = Options(**{one.name: parsed[one.name] for one in fields(Options)})
    if parsed["plan"]:
        for act in schedule(options, kinds(ERPS[options.erp].faults)):
            say(f"{act.at:8.1f} s  {act.fault}" + (f" for {act.seconds:.1f} s" if act.seconds else ""))
        raise SystemExit
    return options, parsed["keep"]


class Run:
    """One run, from the first order to the verdicts."""

    def __init__(self, arena: Arena, options: Options) -> None:
        self.arena, self.options = arena, options
        self.traffic = Traffic(arena)
        self.done: Counter[str] = Counter()
        self.idle: Counter[str] = Counter()
        self._ends: list[tuple[float, int, Act, object]] = []
        self._number = itertools.count()
        self._told = 0.0

    def warm_up(self) -> None:
        """Until the single workers are at work: what is killed before has nothing to lose."""
        begin = time.monotonic()
        while len(self.arena.ready()) < self.options.workers and time.monotonic() - begin < WARM_UP:
            self.arena.tend()
            time.sleep(LOOK)
        self.traffic.begin()

    def faults(self) -> None:
        """Orders arrive and things go wrong, for the planned time."""
        acts = schedule(self.options, kinds(self.arena.erp.faults))
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < self.options.seconds:
            while acts and acts[0].at <= now:
                self._begin(acts.pop(0), now)
            self._end_those_until(now)
            self._step(all_of_them=False)
            time.sleep(LOOK)
        self._end_those_until(float("inf"))
        self.arena.to_redis.calm()
        self.arena.to_vtex.calm()

    def meanwhile(self) -> str:
        """What was done while things went wrong: the kills are to hit work."""
        handled, ended = self._progress()
        kills = sum(count for name, count in self.done.items() if name in KILLS)
        words = f"{sum(self.done.values())} faults of {len(self.done)} kinds. Between two of {kills} kills"
        each = (handled + ended) / max(1, kills)
        return f"{words} {each:.1f} orders and commands ended ({handled} and {ended}). Now nothing more goes wrong"

    def _progress(self) -> tuple[int, int]:
        audit = self.arena.vtex.audit(per_order=False)
        return audit["start_handling_effects"], sum(bool(one.told) for one in self.traffic.asked.values())

    def drain(self) -> float | None:
        """Only wait: seconds until nothing was left to do, or None."""
        if self.done["vtex loses its feed"]:
            self.arena.hours_pass()
        begin, quiet = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < self.options.drain:
            self._step(all_of_them=True)
            with contextlib.suppress(redis.RedisError):
                over = self.traffic.over() and settled(self.arena, self.traffic)
                quiet = quiet + 1 if over else 0
                if quiet >= QUIET_LOOKS:
                    return passed
            time.sleep(LOOK * 5)
        return None

    def _step(self, *, all_of_them: bool) -> None:
        self.arena.tend()
        self.traffic.step(all_of_them=all_of_them)
        if time.monotonic() - self._told > TELL:
            self._told = time.monotonic()
            audit = self.arena.vtex.audit(per_order=False)
            ended = sum(bool(one.told) for one in self.traffic.asked.values())
            say(
                f"  {audit['orders']} orders, {audit['start_handling_effects']} handled, {ended} commands done, "
                f"{audit['events_pending']} events wait, {sum(self.done.values())} faults"
            )

    def _begin(self, act: Act, now: float) -> None:
        try:
            end = ALL[act.fault].begin(self.arena, act)
        except Idle:
            self.idle[act.fault] += 1
            return
        self.done[act.fault] += 1
        if end:
            heapq.heappush(self._ends, (now + act.seconds, next(self._number), act, end))

    def _end_those_until(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            heapq.heappop(self._ends)[3]()


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - it is a program


def main() -> int:
    options, keep = options_of()
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    with contextlib.ExitStack() as stack:
        folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("erp*")):
            raise SystemExit(f"{folder} has the ERP of an earlier run: name an empty folder")
        say(
            f"seed {options.seed}: {options.orders} orders and {options.commands} commands in {options.seconds:.0f} s, "
            f"a kill every {options.kills:g} s and another fault every {options.every:g} s, an ERP by {options.erp}"
        )
        arena = stack.enter_context(Arena(folder, options))
        run = Run(arena, options)
        stack.callback(run.traffic.close)
        run.warm_up()
        run.faults()
        say(run.meanwhile())
        drained = run.drain()
        verdicts = judge(collect(arena, run.traffic, faults=run.done, drained=drained))
        say("\n".join(f"  {count:4} {name}" for name, count in sorted(run.done.items())))
        if run.idle:
            say(f"  ({sum(run.idle.values())} more found nothing to hit: {', '.join(sorted(run.idle))})")
        say("\n".join(verdict.line() for verdict in verdicts))
        return int(not all(verdict.held for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
