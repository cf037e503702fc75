"""What must be true in the end: VTEX, the ERP and the ledger side by side, one verdict a promise.

Pure: facts in, verdicts out, so that the tests can plant every kind of violation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_NAMED = 5


@dataclass
class OrderAtVtex:
    """What the stand-in knows of an order."""

    status: str | None
    handled: int
    early: int = 0
    pending: int = 0
    invoices: list[tuple[str, int]] = field(default_factory=list)  # number, cents
    tracking: list[str] = field(default_factory=list)
    returns: int = 0  # invoices that give money back
    changes: list[str] = field(default_factory=list)  # their status


@dataclass
class Command:
    """What the ERP asked for and what it was told; ``state``: what the ledger says in the end."""

    order: str
    kind: str
    times: int
    accepted: bool
    vanished: bool
    told: str
    state: str | None


@dataclass
class Facts:
    """The three sides, and what was done to them."""

    lives: dict[str, str]  # what is to become of each order
    vtex: dict[str, OrderAtVtex]
    erp: dict[str, str]  # status
    made: dict[str, int]  # how many orders the ERP made of each
    commands: dict[str, Command]
    ledger: dict[str, int]  # open, parked, dead, acks, commands open, commands parked, commands dead
    never: dict[str, int]
    early_commits: int
    events: dict[str, int]  # committed, pending, redelivered, duplicates
    stranded: int
    calls: int
    busiest_minute: int
    limit: int
    too_many: int
    storms: int
    faults: Counter[str]
    flushes: int
    lost_with_redis: int
    secrets: list[str]
    log_bytes: int
    drained: float | None  # seconds after the last fault; None: not at all
    repeats: int = 0


@dataclass(frozen=True)
class Verdict:
    """One promise: what was counted, and what is wrong, if anything is."""

    promise: str
    words: str
    wrong: list[str]

    @property
    def held(self) -> bool:
        return not self.wrong

    def line(self) -> str:
        if self.held:
            return f"{self.promise:<3} held      {self.words}"
        return f"{self.promise:<3} VIOLATED  {self.words}: {'; '.join(self.wrong)}"


def judge(facts: Facts) -> list[Verdict]:
    """All promises, and that it came to an end by itself."""
    return [
        _p1(facts),
        _p2(facts),
        _p3(facts),
        _p4(facts),
        _p5(facts),
        _p6(facts),
        _p7(facts),
        _p8(facts),
        _p9(facts),
        _end(facts),
    ]


def _p1(facts: Facts) -> Verdict:
    wrong = []
    if facts.early_commits:
        early = [order for order, one in facts.vtex.items() if one.early]
        wrong.append(f"{facts.early_commits} committed too early ({_some(early)})")
    return Verdict("P1", f"{facts.events['committed']} events committed, {facts.early_commits} early", wrong)


def _p2(facts: Facts) -> Verdict:
    missing = [order for order in facts.lives if order not in facts.erp and not _canceled_early(facts, order)]
    strange = [order for order in facts.erp if order not in facts.lives]
    twice = [order for order, count in facts.made.items() if count > 1]
    wrong = []
    if missing:
        wrong.append(f"{len(missing)} orders are not in the ERP ({_some(missing)})")
    if strange:
        wrong.append(f"{len(strange)} in the ERP are no orders ({_some(strange)})")
    if twice:
        wrong.append(f"{len(twice)} orders are in the ERP twice ({_some(twice)})")
    words = f"{len(facts.lives)} orders at VTEX, {len(facts.erp)} in the ERP, {len(twice)} twice"
    if facts.repeats:
        words += f" ({facts.repeats} repeats under the same key)"
    return Verdict("P2", words, wrong)


def _p3(facts: Facts) -> Verdict:
    wrong = []
    if facts.stranded:
        wrong.append(f"{facts.stranded} orders wait at VTEX, and nothing tells of them")
    untold = [
        order
        for order, one in facts.vtex.items()
        if one.status == "canceled" and facts.erp.get(order, "canceled") != "canceled"
    ]
    if untold:
        wrong.append(f"{len(untold)} cancellations that the ERP does not know ({_some(untold)})")
    words = f"Redis emptied {facts.flushes} times, {facts.stranded} orders lost, {len(untold)} cancellations"
    return Verdict("P3", words, wrong)


def _p4(facts: Facts) -> Verdict:
    wrong = []
    twice = [order for order, one in facts.vtex.items() if one.handled > 1]
    never = [
        order
        for order, life in facts.lives.items()
        if life != "shopper cancels" and not facts.vtex[order].handled and not _canceled_early(facts, order)
    ]
    invoices = [order for order, one in facts.vtex.items() if _repeated(one.invoices)]
    if twice:
        wrong.append(f"{len(twice)} orders handled twice ({_some(twice)})")
    if never:
        wrong.append(f"{len(never)} orders never handled ({_some(never)})")
    if invoices:
        wrong.append(f"{len(invoices)} orders with an invoice twice ({_some(invoices)})")
    wrong += [f"{name}: {facts.never[name]}" for name in _TWICE if facts.never.get(name)]
    kills = {name: count for name, count in facts.faults.items() if "killed" in name}
    words = f"{sum(kills.values())} kills ({', '.join(f'{n} {k.split()[0]}' for k, n in kills.items())})"
    handled = sum(one.handled > 0 for one in facts.vtex.values())
    sent = sum(len(one.invoices) for one in facts.vtex.values())
    words += f"; {handled} orders handled and {sent} invoiced, {len(twice) + len(invoices)} twice"
    return Verdict("P4", words, wrong)


def _p5(facts: Facts) -> Verdict:
    wrong = []
    if facts.busiest_minute > facts.limit:
        wrong.append(f"{facts.busiest_minute} calls in a minute, above {facts.limit}")
    words = f"{facts.calls} calls, {facts.busiest_minute} in the busiest minute of {facts.limit}; "
    words += f"{facts.storms} storms of 429, {facts.too_many} answers 429"
    return Verdict("P5", words, wrong)


def _p6(facts: Facts) -> Verdict:
    wrong = []
    if facts.ledger["dead"]:
        wrong.append(f"{facts.ledger['dead']} good orders are dead")
    bad = sum(life == "incomplete" for life in facts.lives.values())
    words = f"{bad} orders could not be used for the whole time, {facts.ledger['dead']} are dead"
    return Verdict("P6", words, wrong)


def _p7(facts: Facts) -> Verdict:
    wrong = [f"{name}: {facts.never[name]}" for name in _OVERLAP if facts.never.get(name)]
    overlaps = facts.never.get("overlapping_writes", 0)
    return Verdict("P7", f"{overlaps} overlapping writes to one order", wrong)


def _p8(facts: Facts) -> Verdict:
    words = f"{facts.log_bytes / 1e6:.1f} MB of logs at DEBUG, {len(facts.secrets)} secrets in them"
    return Verdict("P8", words, [f"found: {_some(facts.secrets)}"] if facts.secrets else [])


def _p9(facts: Facts) -> Verdict:
    wrong = []
    vanished = [key for key, one in facts.commands.items() if one.vanished]
    untold = [key for key, one in facts.commands.items() if not one.told]
    bad = [key for key, one in facts.commands.items() if one.told not in ("", "command.done")]
    idle = [key for key, one in facts.commands.items() if one.told and not _had_effect(facts, one)]
    if vanished:
        wrong.append(f"{len(vanished)} were accepted and are gone ({_some(vanished)})")
    if untold:
        wrong.append(f"{len(untold)} never ended ({_some(untold)})")
    if bad:
        wrong.append(f"{len(bad)} were refused ({_some(bad)})")
    if idle:
        wrong.append(f"{len(idle)} are said to be done and had no effect ({_some(idle)})")
    if facts.ledger["commands dead"]:
        wrong.append(f"{facts.ledger['commands dead']} are dead")
    done = sum(one.told == "command.done" for one in facts.commands.values())
    again = sum(one.times > 1 for one in facts.commands.values())
    words = f"{done} commands done of {len(facts.commands)}, {again} asked for more than once"
    if facts.flushes:
        words += (
            f"; {facts.lost_with_redis} went with Redis' memory and were asked for again, as the README says"
        )
    return Verdict("P9", words, wrong)


def _end(facts: Facts) -> Verdict:
    wrong = []
    if facts.drained is None:
        wrong.append("it did not drain by itself")
    left = ("open", "parked", "acks", "commands open", "commands parked")
    wrong += [f"{facts.ledger[name]} {name} in the ledger" for name in left if facts.ledger[name]]
    if facts.events["pending"]:
        wrong.append(f"{facts.events['pending']} events wait in the feed")
    words = "the backlog did not drain"
    if facts.drained is not None:
        words = f"the backlog drained without help, {facts.drained:.0f} s after the last fault"
    return Verdict("end", words, wrong)


#: Of the stand-in's counters of what no client may do: an effect twice, and writes that meet.
_TWICE = (
    "invoice_repeated_same",
    "invoice_repeated_different",
    "over_invoicing",
    "refund_before_invoice",
    "refund_twice",
    "accidental_confirmations",
    "tracking_lost",
    "change_applied_twice",
    "cancel_after_invoice",
)
_OVERLAP = ("overlapping_writes", "invoice_during_change")


def _canceled_early(facts: Facts, order: str) -> bool:
    """Whether the order was canceled: the ERP may never have needed it."""
    return facts.vtex[order].status == "canceled"


def _had_effect(facts: Facts, command: Command) -> bool:
    order = facts.vtex[command.order]
    if command.kind == "invoice":
        return bool(order.invoices)
    if command.kind == "return":
        return order.returns == 1
    if command.kind == "change":
        return order.changes.count("done") == 1
    if command.kind == "tracking":
        return bool(order.tracking)
    return order.status == "canceled"


def _repeated(invoices: list[tuple[str, int]]) -> bool:
    numbers = [number for number, _ in invoices]
    return len(set(numbers)) < len(numbers)


def _some(names: list[Any]) -> str:
    shown = ", ".join(map(str, names[:_NAMED]))
    return shown + (", …" if len(names) > _NAMED else "")
