"""A worker dies at any instruction between the ledger and VTEX, and the end is the same.

A death is an exception that nothing catches and after which nothing is written: claim and lease stay as they
are, and the message is gone. Every order of a test dies once, each at another place, all at the same time.
"""

from __future__ import annotations

import functools
from collections import Counter

import pytest

from tasks.base import Tick
from tasks.command import Command
from workers.command_ledger import CommandLedger
from workers.erp.sink import COMMANDS
from workers.vtex.client import Vtex

#: A whole life is killed at each of its hundred places: minutes on a busy machine.
pytestmark = pytest.mark.soak

EVENT = {"city": "Niterói", "state": "RJ", "description": "saiu para entrega", "date": "2026-02-01"}


class Killed(BaseException):
    """The worker is gone."""


class Deaths:
    """Counts the places that an order's commands pass, and kills at the one that was chosen for it."""

    def __init__(self, monkeypatch) -> None:
        self.passed: Counter[str] = Counter()
        self.chosen: dict[str, int] = {}
        self.died: dict[str, str] = {}
        self._patch = monkeypatch
        for owner in (Command, Tick):
            self._patch.setattr(owner, "__call__", self._surviving(owner.__call__))

    def at(self, owner, name, order_of) -> None:
        """That call is two places: before it, and after it."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def watched(*args, **kwargs):
            order = order_of(*args, **kwargs)
            self._pass(order, f"before {name}")
            answer = original(*args, **kwargs)
            self._pass(order, f"after {name}")
            return answer

        self._patch.setattr(owner, name, watched)

    def _pass(self, order, what) -> None:
        self.passed[order] += 1
        if self.passed[order] == self.chosen.get(order):
            self.died[order] = what
            raise Killed

    @staticmethod
    def _surviving(call):
        @functools.wraps(call)
        def task(*args, **kwargs):
            try:
                return call(*args, **kwargs)
            except Killed:
                return "killed"

        return task


def order_in(key) -> str:
    return key.partition("/")[0]


@pytest.fixture
def deaths(monkeypatch, erp):
    deaths = Deaths(monkeypatch)

    def begin(count, **options):
        system, orders = erp(count, **options)
        system.run.ledger.lease, system.run.ledger.patience = 2.0, 1.0
        for name in ("accept", "claim"):
            deaths.at(CommandLedger, name, lambda _, id_, *__: order_in(id_))
        for name in ("mark", "defer", "finish"):
            deaths.at(CommandLedger, name, lambda _, claim, *__, **___: order_in(claim.id))
        for name in ("send_invoice", "update_invoice", "update_tracking", "cancel", "change"):
            deaths.at(Vtex, name, lambda _, order_id, *__, **___: order_id)
        # the order itself is delivered as well, by a task that is not for here
        deaths.at(system.run.link.sink, "deliver", lambda it: it.order_id if it.type in COMMANDS else "")
        deaths.at(CommandLedger, "told", lambda _, id_: order_in(id_))
        return system, orders, deaths

    return begin


def live(erp, lives, *, on_the_way=lambda: None):
    """Let the ERP ask for all of it, one thing after the other an order; what is lost before it stood is re-sent."""
    at = dict.fromkeys(lives, 0)
    asked: Counter[str] = Counter()

    def over():
        for order, steps in lives.items():
            while at[order] < len(steps):
                kind, payload = steps[at[order]]
                key = f"{order}/{at[order]}-{kind}"
                record = erp.book.record(key)
                if record and record.state in ("done", "refused", "dead"):
                    assert record.state == "done", (key, record.outcome)
                    at[order] += 1
                    continue
                # the first time, and then now and then while nobody knows it
                if record is None and asked[key] % 40 == 0:
                    erp.ask(kind, order, payload, key=key)
                asked[key] += 1
                break
        on_the_way()
        return all(at[order] == len(steps) for order, steps in lives.items())

    erp.run.until(over, lambda: (at, erp.never()), ticks=erp.TICKS, seconds=120)
    erp.until(lambda: not erp.run.redis.exists(erp.run.ledger.key("ctell")), "the ERP to be told")


def life(erp, order, number):
    """Changed, invoiced in two parts, tracked, delivered, and a part of it returned."""
    left = erp.value(order) - 1000 - 10
    number = {"invoiceNumber": "2", "trackingNumber": "BR1", "courier": "Correios"}
    return [
        ("change", {"reason": "Promotion by phone.", "discountValue": 1000}),
        ("invoice", erp.invoice(order, "1", 10)),
        ("invoice", erp.invoice(order, "2", left)),
        ("tracking", number | {"events": [EVENT]}),
        ("tracking", {"invoiceNumber": "2", "isDelivered": True, "events": []}),
        ("invoice", erp.invoice(order, "R1", 50, type="Input")),
    ]


def what_is(erp, order):
    """What a customer, the store and the ERP can see in the end."""
    facts = erp.facts(order)
    told = Counter(erp.run.told(order))
    return {
        "status": facts["status"],
        "invoices": [(one["type"], one["invoiceNumber"], len(one["receipts"])) for one in facts["invoices"]],
        "all of it": facts["invoicedSum"] == facts["value"],
        "refunded": facts["refundedSum"],
        "changes": [one["status"] for one in facts["changes"]],
        "tracking": [
            (t["trackingNumber"], t["isDelivered"], t["events"])
            for t in (i["tracking"] for i in facts["invoices"])
        ],
        "told": {kind: n for kind, n in told.items() if kind.startswith("command")},
        "counted": facts["counted"],
    }


@pytest.mark.promise("P4", "P7")
def test_killed_at_every_place_of_a_whole_life(deaths, flow):
    erp, [first], deaths = deaths(1)
    live(erp, {first: life(erp, first, 1)})
    places, undisturbed = deaths.passed[first], what_is(erp, first)
    assert places > 60
    assert undisturbed["all of it"]
    assert undisturbed["refunded"] == 50
    orders = erp.run.vtex.create(places, status="handling")
    deaths.chosen = {order: place for place, order in enumerate(orders, 1)}
    live(erp, {order: life(erp, order, 1) for order in orders})
    assert len(deaths.died) >= places * 0.8  # a life has a few looks more or less
    assert {what.partition(" ")[2] for what in deaths.died.values()} >= {
        "accept", "claim", "mark", "finish", "defer", "told", "deliver",
        "send_invoice", "update_invoice", "update_tracking", "change",
    }  # fmt: skip
    for order in orders:
        assert what_is(erp, order) == undisturbed, deaths.died.get(order)
    assert not erp.never()
    counts = erp.book.counts()
    assert (counts.open, counts.parked, counts.dead, counts.refused) == (0, 0, 0, 0)
    assert counts.done == 6 * (places + 1)


@pytest.mark.promise("P4", "P7")
def test_killed_at_every_place_of_a_cancellation(deaths):
    erp, [first], deaths = deaths(1)

    def decide():
        for order in orders:
            if erp.facts(order)["status"] == "cancellation-requested":
                erp.run.vtex.move(order, "canceled")

    orders = [first]
    live(erp, {first: [("cancel", {"reason": "sem estoque"})]}, on_the_way=decide)
    places = deaths.passed[first]
    orders = erp.run.vtex.create(places + 2, status="handling")
    deaths.chosen = {order: place for place, order in enumerate(orders, 1)}
    live(erp, {order: [("cancel", {"reason": "sem estoque"})] for order in orders}, on_the_way=decide)
    for order in orders:
        facts = erp.facts(order)
        assert (facts["status"], facts["counted"]) == ("canceled", {}), deaths.died.get(order)
        assert [one for one in erp.run.told(order) if one.startswith("command")] == ["command.done"]
    assert len(erp.run.calls("/cancel", "POST")) == len(orders) + 1
    assert not erp.never()
