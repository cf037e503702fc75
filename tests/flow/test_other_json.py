"""VTEX's gateways answer with JSON that is no answer: nothing is given up for it, and nothing taken for done."""

from __future__ import annotations

import pytest


def test_an_order_whose_document_does_not_come_is_read_again(flow):
    store = flow(orders=2)
    order = min(store.vtex.audit()["per_order"])
    store.fault("other_json", f"/orders/{order}", "GET", times=4)
    store.settled(events=2)
    assert len(store.rows()) == 2
    assert store.ledger.counts().dead == 0
    assert store.vtex.audit()["faults"]["other_json"] == 4
    assert [line for line in store.logs() if f"order {order}: the answer is" in str(line.get("why"))]


def test_the_feed_and_its_configuration_are_asked_again(flow):
    store = flow(orders=3)
    store.fault("other_json", "/api/orders/feed", times=4)
    store.settled(events=3)
    assert len(store.rows()) == 3
    assert not store.logs("feed_gone")


@pytest.mark.parametrize("times", [1, 3])
def test_the_answer_of_a_write_proves_nothing(erp, times):
    it, (order,) = erp(1)
    for _ in range(times):
        it.run.fault("other_json", f"{order}/invoice", "POST")
    key = it.ask("invoice", order, it.invoice(order))
    state, outcome = it.end(key)
    assert (state, outcome["invoiceNumber"]) == ("done", "9999")
    assert len(it.facts(order)["invoices"]) == 1
    assert not it.never()


def test_a_cancellation_whose_answer_says_nothing_is_looked_for(erp):
    it, (order,) = erp(1)
    it.run.fault("other_json", f"{order}/cancel", "POST")
    key = it.ask("cancel", order, reason="out of stock")
    it.says(key, "the cancellation is requested")
    assert it.facts(order)["status"] == "cancellation-requested"
    assert not it.never()  # a second call would have confirmed it


def test_a_start_of_handling_that_was_none_is_made_again(flow):
    store = flow(orders=1)
    store.fault("other_json", "/start-handling", "POST", times=3)
    audit = store.settled(events=1)
    assert audit["start_handling_effects"] == 1  # VTEX moves on to handling in its own time
    assert store.ledger.counts().dead == 0
