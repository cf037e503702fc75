"""What Celery and kombu must do for the orders: queues, chains, a Redis that forgets, clocks that differ."""

from __future__ import annotations

import contextlib
import time

import pytest
import time_machine
from celery import signals

from workers.dispatch import enqueue
from workers.ledger import START_HANDLING


@pytest.fixture
def seen():
    """(task, queue, retries) of every order task that begins, from now on."""
    begun = []

    def note(task, **_):
        if task.name.startswith("orders.") and task.name != "orders.ack":
            info = task.request.delivery_info
            begun.append((task.name, info["routing_key"], task.request.retries))

    signals.task_prerun.connect(note, weak=False)
    yield begun
    signals.task_prerun.disconnect(note)


def test_a_chain_goes_through_its_queues(flow, seen):
    store = flow(orders=1)
    store.settled(events=1)
    store.idle()
    assert seen == [("orders.download", "orders", 0), ("orders.start_handling", "handling", 0)]


def test_a_retried_download_is_still_followed_by_start_handling(flow, seen):
    store = flow()
    store.fault("error_5xx", "/api/oms/", "GET", times=2)
    (order,) = store.vtex.create()
    store.settled(events=1)
    assert seen == [
        ("orders.download", "orders", 0),
        ("orders.download", "orders", 1),
        ("orders.download", "orders", 2),
        ("orders.start_handling", "handling", 0),
    ]
    assert store.codes(order)[:5] == ["seen", "retry", "retry", "delivered", "handled"]


def test_a_retried_start_handling_stays_in_its_queue(flow, seen):
    store = flow()
    store.fault("error_5xx", "start-handling", times=2)
    store.vtex.create()
    store.settled(events=1)
    assert seen == [
        ("orders.download", "orders", 0),
        ("orders.start_handling", "handling", 0),
        ("orders.start_handling", "handling", 1),
        ("orders.start_handling", "handling", 2),
    ]


def test_an_order_that_needs_no_start_handling_leaves_no_message_behind(flow, seen):
    store = flow()
    (order,) = store.vtex.create()
    store.vtex.move(order, "payment-pending")
    store.settled(events=1)
    store.idle()
    assert seen == [("orders.download", "orders", 0)]


def test_a_step_that_was_swept_goes_on_from_there(flow, seen):
    store = flow()
    store.link.vtex.close()
    (order,) = store.vtex.create()
    events, _ = store.link.vtex.take_feed()
    store.ledger.observe(events)
    claim = store.ledger.claim(order, "download", "a worker elsewhere")
    store.ledger.advance(claim, START_HANDLING, "delivered", erp="has", told="order.ready")
    enqueue("teststore", order, START_HANDLING)
    store.settled(events=1)
    assert seen == [("orders.start_handling", "handling", 0)]


@pytest.mark.promise("P3")
def test_publishing_and_consuming_go_on_after_redis_forgot_everything(flow, seen):
    """kombu keeps its bindings in Redis, and a worker its place in the queues."""
    store = flow()
    for done in range(1, 4):
        store.redis.flushall()
        store.fault("error_5xx", "/api/oms/", "GET")
        store.fault("error_5xx", "start-handling")
        store.vtex.create(count=2)
        audit = store.settled()
        assert audit["start_handling_effects"] == 2 * done
    assert {queue for _, queue, _ in seen} == {"orders", "handling"}


@pytest.mark.promise("P3")
def test_a_retry_that_the_worker_holds_survives_the_loss_of_redis_harmlessly(flow, monkeypatch):
    """Its message is in the worker's memory; its order is unknown when the time has come."""
    from workers.policy import Policy

    store = flow(visibility_timeout=1.0)
    store.link.policy = Policy(base=1.0)
    store.fault("error_5xx", "/api/oms/", "GET")
    (order,) = store.vtex.create()
    store.until(lambda: "retry" in store.codes(order), "the retry")
    store.redis.flushall()
    audit = store.settled(events=1)
    store.idle()
    assert store.rows() == [(order, "ready-for-handling")]
    assert audit["start_handling_effects"] == 1


@pytest.mark.promise("P4")
@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_wrong_changes_nothing(flow, minutes):
    store = flow(visibility_timeout=3.0)
    store.fault("error_5xx", "/api/oms/", "GET")
    with time_machine.travel(time.time() + 60 * minutes):
        store.vtex.create(count=5)
        audit = store.settled()
        assert abs(store.ledger.now() - time.time()) > 500, "Redis keeps its own time"
        store.idle()
    assert len(store.rows()) == 5
    assert (audit["start_handling_effects"], audit["early_commits"]) == (5, 0)
    assert store.ledger.stats().get("crashes", 0) == 0


def test_the_record_of_a_finished_order_is_small(flow):
    store = flow()
    plain = store.vtex.create(count=3)
    store.settled(events=3)
    (busy,) = store.vtex.create(status=None)
    for _ in range(30):
        events = store.ledger.record(busy)
        if events is None:
            store.until(lambda: store.ledger.record(busy), "its first event")
        claim = store.ledger.claim(busy, "download", str(time.monotonic()))
        with contextlib.suppress(AttributeError):
            store.ledger.defer(claim, 0.0, "VTEX answered 503: " + "é" * 150, park=False)
    store.vtex.move(busy, "ready-for-handling")
    store.settled()
    for order in plain:
        assert store.redis.memory_usage(f"{store.ledger._prefix}o:{order}") <= 1024
    assert store.redis.memory_usage(f"{store.ledger._prefix}o:{busy}") <= 2048
    assert store.redis.object("encoding", f"{store.ledger._prefix}o:{busy}") == "listpack"
