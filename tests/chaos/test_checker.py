"""The checker must be able to fail: every kind of violation is planted here, and found."""

import copy
from collections import Counter

import pytest

from .checker import Command, Facts, OrderAtVtex, judge


@pytest.fixture
def facts():
    """A run in which all went well: four orders, four commands."""
    return Facts(
        lives={"1-01": "commands", "2-01": "plain", "3-01": "shopper cancels", "4-01": "incomplete"},
        vtex={
            "1-01": OrderAtVtex(
                "invoiced",
                1,
                invoices=[("NF1", 100), ("RNF1", 50)],
                tracking=["BR1"],
                returns=1,
                changes=["canceled", "done"],
            ),
            "2-01": OrderAtVtex("handling", 1),
            "3-01": OrderAtVtex("canceled", 0),
            "4-01": OrderAtVtex("handling", 1),
        },
        erp={"1-01": "ready-for-handling", "2-01": "handling", "3-01": "canceled", "4-01": "handling"},
        made=dict.fromkeys(("1-01", "2-01", "3-01", "4-01"), 1),
        commands={
            "1-01/0-invoice": Command("1-01", "invoice", 1, True, False, "command.done", "done"),
            "1-01/1-tracking": Command("1-01", "tracking", 2, True, False, "command.done", "done"),
            "1-01/2-return": Command("1-01", "return", 1, True, False, "command.done", "done"),
            "1-01/3-change": Command("1-01", "change", 1, True, False, "command.done", "done"),
        },
        ledger=dict.fromkeys(
            ("open", "parked", "dead", "acks", "commands open", "commands parked", "commands dead"), 0
        ),
        never=dict.fromkeys(("overlapping_writes", "over_invoicing", "invoice_during_change"), 0),
        early_commits=0,
        events={"committed": 9, "pending": 0, "redelivered": 2, "created": 9},
        stranded=0,
        calls=40,
        busiest_minute=40,
        limit=6000,
        too_many=0,
        storms=0,
        faults=Counter({"worker killed": 3}),
        flushes=1,
        lost_with_redis=1,
        secrets=[],
        log_bytes=1000,
        drained=4.0,
    )


def violated(facts):
    return [one.promise for one in judge(facts) if not one.held]


def test_a_run_in_which_all_went_well(facts):
    assert violated(facts) == []
    lines = [one.line() for one in judge(facts)]
    assert [line.split()[0] for line in lines] == [*(f"P{n}" for n in range(1, 10)), "end"]
    assert all(" held " in line for line in lines)


def plant(**changes):
    """A function that changes facts: attributes, or entries of dictionaries by ``name__key``."""

    def change(facts):
        for name, value in changes.items():
            owner, _, key = name.partition("__")
            if key:
                getattr(facts, owner)[key] = value
            else:
                setattr(facts, owner, value)

    return change


def of_order(order, **changes):
    def change(facts):
        for name, value in changes.items():
            setattr(facts.vtex[order], name, value)

    return change


def of_command(key, **changes):
    def change(facts):
        for name, value in changes.items():
            setattr(facts.commands[key], name, value)

    return change


@pytest.mark.parametrize(
    ("promise", "change", "words"),
    [
        ("P1", plant(early_commits=1), "1 committed too early"),
        ("P2", lambda facts: facts.erp.pop("2-01"), "1 orders are not in the ERP (2-01)"),
        ("P2", lambda facts: facts.erp.update({"9-01": "handling"}), "are no orders (9-01)"),
        ("P2", lambda facts: facts.made.update({"2-01": 2}), "in the ERP twice (2-01)"),
        ("P3", plant(stranded=2), "2 orders wait at VTEX"),
        ("P3", lambda facts: facts.erp.update({"3-01": "handling"}), "1 cancellations that the ERP"),
        ("P4", of_order("2-01", handled=2), "1 orders handled twice (2-01)"),
        ("P4", of_order("2-01", handled=0), "1 orders never handled (2-01)"),
        ("P4", of_order("1-01", invoices=[("NF1", 100), ("NF1", 100)]), "an invoice twice (1-01)"),
        ("P4", plant(never__over_invoicing=1), "over_invoicing: 1"),
        ("P4", plant(never__accidental_confirmations=1), "accidental_confirmations: 1"),
        ("P5", plant(busiest_minute=6001), "6001 calls in a minute"),
        ("P6", plant(ledger__dead=1), "1 good orders are dead"),
        ("P7", plant(never__overlapping_writes=1), "overlapping_writes: 1"),
        ("P7", plant(never__invoice_during_change=2), "invoice_during_change: 2"),
        ("P8", plant(secrets=["the app token in 001-a.log"]), "found: the app token"),
        ("P9", of_command("1-01/0-invoice", vanished=True), "accepted and are gone"),
        ("P9", of_command("1-01/0-invoice", told=""), "1 never ended"),
        ("P9", of_command("1-01/0-invoice", told="command.refused"), "1 were refused"),
        ("P9", of_order("1-01", tracking=[]), "had no effect (1-01/1-tracking)"),
        ("P9", of_order("1-01", returns=0), "had no effect (1-01/2-return)"),
        ("P9", of_order("1-01", changes=["done", "done"]), "had no effect (1-01/3-change)"),
        ("P9", plant(**{"ledger__commands dead": 1}), "1 are dead"),
        ("end", plant(drained=None), "it did not drain"),
        ("end", plant(ledger__parked=3), "3 parked in the ledger"),
        ("end", plant(events__pending=1), "1 events wait"),
    ],
)
def test_every_kind_of_violation_is_found(facts, promise, change, words):
    before = copy.deepcopy(facts)
    change(facts)
    assert facts != before
    assert violated(facts) == [promise]
    [line] = [one.line() for one in judge(facts) if not one.held]
    assert line.startswith(f"{promise:<3} VIOLATED")
    assert words in line


def test_an_order_that_was_canceled_early_needs_nothing(facts):
    del facts.erp["3-01"]
    assert violated(facts) == []
