"""Orders on their way through the whole system, when nothing goes wrong: plain ones and special ones."""

from __future__ import annotations

import pytest

from workers.errors import Rejected
from workers.vtex.states import DEFAULT_FEED_STATES


def test_what_is_left_is_committed_without_a_tick_of_its_own(flow):
    store = flow(orders=3)
    store.until(lambda: store.ledger.counts().done == 3, "the commits", ticks=("feed.poll",))
    assert store.vtex.audit()["events_committed"] == 3


@pytest.mark.promise("P1", "P2")
def test_orders_go_into_the_erp_are_handled_once_and_committed(flow):
    store = flow(orders=25)
    audit = store.settled(events=25)
    ids = sorted(audit["per_order"])
    assert [order for order, _ in store.rows()] == ids
    assert {status for _, status in store.rows()} == {"ready-for-handling"}
    for order in ids:
        facts = audit["per_order"][order]
        assert (facts["startHandlingCount"], facts["startHandlingAttempts"]) == (1, 1)
        assert store.codes(order)[:4] == ["seen", "delivered", "handled", "committed"]
    assert audit["early_commits"] == 0
    assert store.ledger.counts().done == 25
    assert store.ledger.stats().get("retries", 0) == 0


@pytest.mark.promise("P1")
def test_an_order_that_is_canceled_before_it_is_read_is_not_delivered(flow):
    store = flow()
    store.redis.set(store.ledger.key("began"), store.ledger.now() - 7200)
    (order,) = store.vtex.create()
    store.vtex.move(order, "canceled")
    audit = store.settled(events=2)
    assert store.rows() == []
    assert store.told() == []
    assert audit["start_handling_attempts"] == 0
    assert store.ledger.record(order).state == "ignored"


@pytest.mark.promise("P1", "P2")
def test_an_order_that_is_canceled_between_the_erp_and_start_handling_is_taken_back(flow):
    store = flow()
    store.fault("slow", "start-handling", slow_seconds=1.5)
    (order,) = store.vtex.create()
    store.until(store.rows, "the ERP to have it")
    store.vtex.move(order, "canceled")
    audit = store.settled(events=2)
    assert audit["start_handling_effects"] == 0
    assert store.rows() == [(order, "canceled")]
    assert store.told() == ["order.canceled"]
    assert "canceled_meanwhile" in store.codes(order)


@pytest.mark.promise("P2")
def test_an_order_that_is_canceled_after_the_end_is_taken_back(flow):
    store = flow(orders=1)
    (order,) = store.settled(events=1)["per_order"]
    store.vtex.move(order, "cancel")
    store.vtex.move(order, "canceled")
    store.until(lambda: store.ledger.counts().done == 1 and store.told())
    audit = store.settled(events=3)
    assert store.rows() == [(order, "canceled")]
    assert store.told() == ["order.canceled"]
    assert audit["start_handling_effects"] == 1


@pytest.mark.promise("P2", "P3")
@pytest.mark.parametrize("status", ["handling", "invoiced"])
def test_an_order_that_was_moved_on_by_hand_is_delivered_and_not_handled_again(flow, status):
    store = flow(feed_states=("ready-for-handling", "handling", "invoiced"))
    (order,) = store.vtex.create(status=status)
    audit = store.settled(events=1)
    assert store.rows() == [(order, status)]
    assert audit["start_handling_attempts"] == 0
    assert store.calls("start-handling") == []
    assert store.codes(order) == ["seen", "delivered", "committed"]


@pytest.mark.promise("P2")
def test_a_cancellation_request_and_its_denial_are_both_told(flow):
    store = flow(feed_states=DEFAULT_FEED_STATES)
    (order,) = store.vtex.create()
    store.settled(events=1)
    store.until(lambda: store.vtex.state(order)["status"] == "handling")
    for turn in (1, 2):
        store.vtex.move(order, "cancellation-requested")
        store.until(lambda: store.rows() == [(order, "cancellation-requested")], "the request in the ERP")
        assert store.told() == ["order.cancellation_requested"] * turn
        store.vtex.move(order, "handling")
        store.until(lambda: store.rows() == [(order, "handling")], "the denial in the ERP")
    audit = store.settled()
    assert audit["start_handling_effects"] == 1
    assert audit["events_pending"] == 0


@pytest.mark.promise("P1", "P6")
def test_an_incomplete_order_waits_and_holds_nothing_back(flow, monkeypatch):
    from tasks import base
    from workers.policy import Policy

    class Most:
        def random(self):
            return 1.0

        def uniform(self, _low, high):
            return high

    store = flow()
    monkeypatch.setattr(base, "_rng", Most())
    store.link.policy = Policy(base=100.0)
    (waits,) = store.vtex.create(status=None)
    store.until(lambda: store.ledger.counts().parked == 1, "it to be parked")
    store.vtex.create(count=3)
    store.until(lambda: store.ledger.counts().done == 3, "the others")
    assert len(store.rows()) == 3
    assert store.vtex.state(waits)["eventsCommitted"] == 0
    store.vtex.move(waits, "ready-for-handling")
    audit = store.settled()
    assert len(store.rows()) == 4
    assert audit["start_handling_effects"] == 4, "news wakes a parked order"


def test_a_state_that_nobody_knows_is_recorded_committed_and_told_to_a_person(flow):
    store = flow(feed_states=("ready-for-handling", "teleported"))
    (order,) = store.vtex.create(status="teleported")
    audit = store.settled(events=1)
    assert store.rows() == []
    assert audit["events_pending"] == 0
    assert store.ledger.record(order).state == "ignored"
    (alarm,) = store.logs("unknown_status")
    assert (alarm["level"], alarm["status"], alarm["order_id"]) == ("error", "teleported", order)


@pytest.mark.promise("P1")
def test_an_order_that_cannot_be_read_yet_gets_a_grace(flow, monkeypatch):
    from workers.errors import NotFound

    store = flow()
    read, misses = store.link.vtex.get_order, []

    def late(order_id):
        if len(misses) < 2:
            misses.append(order_id)
            raise NotFound("get order: VTEX answered 404", status=404)
        return read(order_id)

    monkeypatch.setattr(store.link.vtex, "get_order", late)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    assert len(misses) == 2
    assert store.rows() == [(order, "ready-for-handling")]
    assert audit["start_handling_effects"] == 1


@pytest.mark.promise("P6")
def test_an_order_that_vtex_does_not_know_dies_after_the_grace_and_is_committed(flow, monkeypatch):
    import dataclasses

    from workers.errors import NotFound

    store = flow()
    store.link.policy = dataclasses.replace(store.link.policy, grace_for_404=0.0)

    def missing(order_id):
        raise NotFound(f"get order {order_id}: VTEX answered 404", status=404)

    monkeypatch.setattr(store.link.vtex, "get_order", missing)
    (order,) = store.vtex.create()
    store.settled(events=1)
    record = store.ledger.record(order)
    assert (record.state, record.error) == ("dead", f"get order {order}: VTEX answered 404")


@pytest.mark.promise("P1")
def test_feed_items_that_cannot_be_used_are_kept_and_committed(flow, monkeypatch):
    store = flow()
    take = store.link.vtex.take_feed
    spoilt = []

    def spoil(maxlot=10):
        events, unusable = take(maxlot)
        if events and not spoilt:
            event = events.pop()
            spoilt.append({"handle": event.handle, "orderId": "\ud83d", "state": "ready-for-handling"})
            unusable = [*unusable, spoilt[0], {"item": 7}]
        return events, unusable

    monkeypatch.setattr(store.link.vtex, "take_feed", spoil)
    store.vtex.create(count=3)
    audit = store.settled()
    assert len(spoilt) == 1
    assert audit["stranded"] == 1, "its event is committed; nobody could know the order"
    assert len(store.rows()) == 2
    kept = store.redis.lrange(f"{store.ledger._prefix}oddities", 0, -1)
    assert len(kept) == 2
    assert {line["level"] for line in store.logs("unusable_feed_item")} == {"error"}


@pytest.mark.promise("P2")
def test_a_message_that_comes_twice_has_one_effect(flow, monkeypatch):
    from tasks import feed

    enqueue_all = feed.enqueue_all

    def twice(account, order_ids):
        enqueue_all(account, [*order_ids, *order_ids])

    monkeypatch.setattr(feed, "enqueue_all", twice)
    store = flow(orders=20, latency=0.02)
    audit = store.settled(events=20)
    store.idle()
    assert len(store.rows()) == 20
    assert store.ledger.stats()["delivered"] == 20
    assert (audit["start_handling_effects"], audit["start_handling_attempts"]) == (20, 20)


def test_several_ticks_at_once_are_one_drain(flow, monkeypatch):
    import threading

    from tasks import feed

    drain, running, most, calls = feed.drain, threading.Semaphore(100), [], []

    def watched(*args):
        with running:
            most.append(100 - running._value)
            calls.append(1)
            return drain(*args)

    monkeypatch.setattr(feed, "drain", watched)
    store = flow(orders=60, latency=0.05)
    store.tick(*["feed.poll"] * 8)
    audit = store.settled(events=60)
    assert max(most) == 1
    assert audit["start_handling_effects"] == 60


def test_a_drain_whose_time_is_over_is_followed_by_another_at_once(flow, monkeypatch):
    from tasks import feed

    monkeypatch.setattr(feed, "DRAIN_SECONDS", 0.01)
    store = flow(latency=0.05)
    store.vtex.create(count=60)
    store.tick("feed.poll")
    store.until(lambda: store.vtex.audit()["start_handling_effects"] == 60, "one tick to read all", ticks=())


@pytest.mark.promise("P1")
def test_a_handle_that_vtex_refuses_does_not_hold_back_the_others(flow, monkeypatch):
    store = flow()
    commit, bad = store.link.vtex.commit, []

    def picky(handles):
        bad[:] = bad or handles[:1]
        if bad[0] in handles:
            raise Rejected("commit the feed: VTEX answered 400", status=400)
        commit(handles)

    monkeypatch.setattr(store.link.vtex, "commit", picky)
    store.vtex.create(count=6)
    store.until(lambda: store.vtex.audit()["events_committed"] >= 5, "the other commits")
    store.until(lambda: store.vtex.audit()["events_pending"] == 0, "the refused one to come back")
    assert store.logs("handle_refused")
    assert store.vtex.audit()["early_commits"] == 0
    assert store.ledger.counts().done == 6
