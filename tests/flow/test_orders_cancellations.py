"""Cancellations on their way to the ERP: requests and their denials under keys of their own, and old documents."""

from __future__ import annotations

import pytest

from workers.vtex.schemas import Event
from workers.vtex.states import DEFAULT_FEED_STATES


class Keys:
    """A sink that is an ERP which drops what comes under a key that it knows."""

    def __init__(self) -> None:
        self.taken = []

    def deliver(self, delivery) -> None:
        if delivery.key not in self.taken:
            self.taken.append(delivery.key)

    def check(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def by_key(flow):
    def begin(**options):
        store = flow(feed_states=DEFAULT_FEED_STATES, **options)
        store.link.sink = Keys()
        return store

    return begin


def _kinds(store, order):
    return [key.removeprefix(f"teststore:{order}:order.").partition(":")[0] for key in store.link.sink.taken]


def _until_told(store, order, *kinds):
    store.until(lambda: _kinds(store, order) == list(kinds), f"{kinds}, not {_kinds(store, order)}")


@pytest.mark.promise("P2")
def test_an_erp_that_knows_nothing_but_keys_hears_of_every_request_and_of_every_denial(by_key):
    store = by_key()
    (order,) = store.vtex.create()
    store.until(lambda: store.vtex.state(order)["status"] == "handling", "handling")
    told = ["ready"]
    for _ in range(2):
        store.vtex.move(order, "cancellation-requested")
        told.append("cancellation_requested")
        _until_told(store, order, *told)
        store.vtex.move(order, "handling")
        told.append("ready")
        _until_told(store, order, *told)
    store.settled()
    taken = list(store.link.sink.taken)
    assert taken[0] == f"teststore:{order}:order.ready"
    assert len(set(taken)) == 5

    # the same again, with nothing remembered here: the same keys
    store.redis.flushall()
    store.vtex.move(order, "handling")
    store.settled()
    assert store.link.sink.taken == taken


def test_a_request_is_told_once_though_its_document_changes(by_key):
    store = by_key()
    (order,) = store.vtex.create()
    store.settled(events=2)
    store.vtex.move(order, "cancellation-requested")
    _until_told(store, order, "ready", "cancellation_requested")
    before = store.link.vtex.get_order(order)
    store.vtex.control(f"orders/{order}/touch", {})
    after = store.link.vtex.get_order(order)
    assert after.last_change > before.last_change
    assert after.requested_at() == before.requested_at() != ""
    store.settled()
    assert store.ledger.observe([Event("", "", order, after.status, None, after.last_change)]) == ["again"]
    store.settled()
    assert _kinds(store, order) == ["ready", "cancellation_requested"]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("state", ["canceled", "cancellation-requested"])
def test_a_document_from_before_its_event_does_not_hide_a_cancellation(flow, monkeypatch, state):
    """VTEX answers for a while with the order as it was."""
    store = flow(feed_states=("canceled", "cancellation-requested"))
    (order,) = store.vtex.create(status="handling")
    old = store.link.vtex.get_order(order)
    read, stale = store.link.vtex.get_order, []

    def late(order_id):
        fresh = read(order_id)
        if len(stale) < 2:
            stale.append(fresh)
            return old
        return fresh

    monkeypatch.setattr(store.link.vtex, "get_order", late)
    store.vtex.move(order, state)
    store.until(lambda: store.told(order), "the ERP to hear of it")
    store.settled(events=1)
    assert len(stale) == 2
    assert store.rows() == [(order, state)]
    assert store.told(order) == [f"order.{state.replace('-', '_')}"]
    assert "delivered" not in store.codes(order), "the old document said that it is to be prepared"


def test_a_document_that_never_shows_its_event_is_believed_in_the_end(flow, monkeypatch):
    from tasks import orders

    monkeypatch.setattr(orders, "STALE_SECONDS", 0.5)
    store = flow(feed_states=("canceled",))
    (order,) = store.vtex.create(status="handling")
    old = store.link.vtex.get_order(order)
    monkeypatch.setattr(store.link.vtex, "get_order", lambda _: old)
    store.vtex.move(order, "canceled")
    store.settled(events=1)
    assert store.rows() == [(order, "handling")]
    assert store.logs("stale_document")
