"""Forks a process for each place to die at, lets another one go on, and compares the end with an undisturbed one.

A list of places comes from a run in which nobody dies. What a survivor does that nobody had done before (it looks
whether VTEX was told, say) are effects, too: the sweep goes on until it has died before every effect that was ever
seen. Then it lists them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .loop import Loop
from .scenarios import Scenario
from .seams import DIED, Seams
from .world import ACCOUNT, World

SECONDS = 120.0  # a life that takes longer has no end
QUIET_TURNS = 2
PLUMBING = ("broker:", "calls:")  # around every call and every message, as often as they are
PERIOD = 0.15  # seconds between two turns
TRIES = 6  # what a survivor does depends on how long things take, too


@dataclass(frozen=True, slots=True)
class Place:
    """Die before the ``turn``-th effect of that name; then the survivor before the first that is called ``then``."""

    name: str = ""
    turn: int = 1
    then: str = ""


@dataclass(slots=True)
class Lived:
    """What one process did: its effects and, if it came to the end, what was to be seen then."""

    died_before: str
    effects: list[str] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)
    ticks: list[int] = field(default_factory=list)  # where in the effects those of another tick begin

    def places(self) -> list[Place]:
        """Before every effect; but once only in ticks that did just the same, as most find nothing to do."""
        places, known = [], set()
        for begin, end in itertools.pairwise([*self.ticks, len(self.effects)]):
            did = self.effects[begin:end]
            work = tuple(name for name in did if not name.startswith(PLUMBING))
            if work not in known:
                known.add(work)
                places += [
                    Place(name, self.effects[:at].count(name) + 1) for at, name in enumerate(did, begin)
                ]
        return places


@dataclass(slots=True)
class Report:
    """``covered``: before which effects a process died, and how often; ``wrong``: where the end was another one."""

    places: int = 0
    covered: dict[str, int] = field(default_factory=Counter)
    uncovered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    def reaches(self, *parts: str) -> None:
        """Each of these is a part of some effect before which a process died: the seams see what they should."""
        for part in parts:
            assert any(part in name for name, deaths in self.covered.items() if deaths), part


def sweep(scenarios: list[Scenario], redis_url: str, *, slots: int, quick: bool) -> Report:
    """``redis_url`` without a database's number: every slot has its own. ``quick``: once before each name only."""
    report, seen = Report(), set()
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        slotted = [Slot(Path(folder), f"{redis_url}/{number}", number) for number in range(1, slots + 1)]
        try:
            for scenario in scenarios:
                seen |= _sweep(scenario, slotted, report, quick=quick)
        finally:
            for slot in slotted:
                slot.stop()
    report.uncovered = sorted(name for name in seen if not report.covered[name])
    return report


def _sweep(scenario: Scenario, slots: list[Slot], report: Report, *, quick: bool) -> set[str]:
    """Die at every place of it; the names of all effects that were seen."""
    undisturbed = slots[0].whole(scenario)
    effects, expected, places = undisturbed.effects, undisturbed.seen, undisturbed.places()
    if quick:
        places = [place for place in places if place.turn == 1 and not report.covered[place.name]]
    reached: dict[str, Place] = {}
    tried: Counter[Place] = Counter()
    while places:
        report.places += len(places)
        tried.update(places)
        for place, lived in _all(scenario, slots, places):
            deaths = [one.died_before for one in lived if one.died_before]
            report.covered.update(deaths)
            for name in lived[-1].effects:
                reached.setdefault(name, place)
            if lived[-1].seen != expected:
                how = " and then before ".join(deaths) or "nothing"
                what = _difference(expected, lived[-1].seen)
                report.wrong.append(f"{scenario.name}: died before {how}: {what}")
        # what a survivor did and nobody has died before yet: let the survivor die there
        places = [
            again
            for name, place in reached.items()
            if not report.covered[name] and tried[again := replace(place, then=name)] < TRIES
        ]
    return {*effects, *reached}


def _all(scenario: Scenario, slots: list[Slot], places: list[Place]):
    """Every place by whichever slot is free."""
    waiting, busy = list(places), {}
    while waiting or busy:
        for slot in slots:
            if waiting and slot not in busy.values():
                place = waiting.pop(0)
                busy[slot.ask(scenario, place)] = slot
                slot.place = place
        ready, _, _ = select.select(list(busy), [], [], SECONDS * 4)
        if not ready:
            raise TimeoutError("a slot does not answer")
        for pipe in ready:
            slot = busy.pop(pipe)
            yield slot.place, slot.answer()


def _difference(expected: dict[str, Any], seen: dict[str, Any]) -> str:
    names = [name for name in expected | seen if expected.get(name) != seen.get(name)]
    return ", ".join(f"{name} is {seen.get(name)} and not {expected.get(name)}" for name in names)


class Slot:
    """A process with a world of its own, which forks those that live and die in it."""

    def __init__(self, folder: Path, redis_url: str, number: int) -> None:
        self.place = Place()
        mine = folder / f"slot {number}"
        mine.mkdir()
        asked, self._asks = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._asks)
            os.close(self._answers)
            _guarded(lambda: self._serve(World(mine, redis_url, seed=100 + number), asked, answers))
        os.close(asked)
        os.close(answers)
        self._buffer = os.fdopen(self._answers, "rb", buffering=0)

    def whole(self, scenario: Scenario) -> Lived:
        """A life that nobody ends."""
        self.ask(scenario, Place())
        [lived] = self.answer()
        if not lived.seen:
            raise RuntimeError("the undisturbed run came to no end")
        return lived

    def ask(self, scenario: Scenario, place: Place):
        os.write(self._asks, json.dumps([scenario.name, place.name, place.turn, place.then]).encode() + b"\n")
        return self._buffer

    def answer(self) -> list[Lived]:
        line = b""
        while not line.endswith(b"\n"):
            piece = self._buffer.read(65536)
            if not piece:
                raise RuntimeError("a slot ended; its own words are on standard error")
            line += piece
        return [Lived(**one) for one in json.loads(line)]

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._asks, b"null\n")  # its end would not be seen: later slots hold a copy of this pipe
        os.close(self._asks)
        self._buffer.close()
        os.waitpid(self._pid, 0)

    def _serve(self, world: World, asked: int, answers: int) -> None:
        from .scenarios import ALL

        with world, os.fdopen(asked, "rb") as questions:
            for line in questions:
                if not (asked_for := json.loads(line)):
                    break
                name, *place = asked_for
                lived = lives(world, ALL[name], Place(*place))
                text = json.dumps([{n: getattr(one, n) for n in one.__slots__} for one in lived]).encode()
                os.write(answers, text + b"\n") if len(text) < 4000 else _write_all(answers, text + b"\n")


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def lives(world: World, scenario: Scenario, place: Place) -> list[Lived]:
    """Processes one after the other, until one comes to the end."""
    world.empty()
    order = scenario.begin(world)
    ends = [(place.name, place.turn)] if place.name else []
    ends += [(place.then, 1)] if place.then else []
    lived = []
    for end in [*ends, ("", 0)]:
        lived.append(_fork(world, scenario, order, end))
        if not lived[-1].died_before:
            break
    return lived


def _fork(world: World, scenario: Scenario, order: str, end: tuple[str, int]) -> Lived:
    """One process. What it died before, or what it did and saw, comes through a pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _guarded(lambda: _live(world, scenario, order, Seams(writing, *end), writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        words = told.read().decode()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == DIED:
        return Lived(words)
    if code:
        raise RuntimeError(f"the process ended with {code}; its own words are on standard error")
    return Lived("", **json.loads(words))


def _live(world: World, scenario: Scenario, order: str, seams: Seams, tell: int) -> None:
    with seams.outside():
        process = world.enter_process()
        ledger = process.link(ACCOUNT).ledger
        loop = Loop(ACCOUNT, seams)
    deadline, quiet = time.monotonic() + SECONDS, 0
    while quiet < QUIET_TURNS and time.monotonic() < deadline:
        with seams.outside():
            nothing_more = scenario.meanwhile(world, order, ledger)
        loop.turn()
        with seams.outside():
            over = nothing_more and world.settled(ledger)
        quiet = quiet + 1 if over else 0
        if not over:
            time.sleep(PERIOD)
    with seams.outside():
        seen = scenario.seen(world, order, ledger)
    _write_all(tell, json.dumps({"effects": seams.seen, "seen": seen, "ticks": seams.ticks}).encode())


def _guarded(do) -> None:
    """The whole life of a forked process."""
    try:
        do()
    except BaseException:  # noqa: BLE001 - nothing may get out of it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
