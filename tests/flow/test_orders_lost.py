"""What gets lost on the way: answers of VTEX, messages of the broker, all of Redis, a worker."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import redis

from workers import deaths, handover
from workers.erp.sink import ORDER_READY
from workers.ledger import DOWNLOAD


class Watched:
    """The ERP's sink, and the keys of what it was given."""

    def __init__(self, sink) -> None:
        self._sink = sink
        self.keys = []
        self.before = lambda _delivery: None
        self.after = lambda: None

    def deliver(self, delivery) -> None:
        self.before(delivery)
        self._sink.deliver(delivery)
        self.keys.append(delivery.key)
        self.after()

    def __getattr__(self, name):
        return getattr(self._sink, name)


@pytest.fixture
def watched(flow):
    def begin(**options):
        store = flow(**options)
        store.link.sink = Watched(store.link.sink)
        return store

    return begin


# --- answers of VTEX ---------------------------------------------------------------------------------------


@pytest.mark.promise("P4")
@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_answer_to_start_handling_is_found_out(flow, times):
    store = flow()
    store.fault("lost_answer", "start-handling", times=times)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    facts = audit["per_order"][order]
    assert facts["startHandlingCount"] == 1
    assert facts["startHandlingAttempts"] == 1 + times
    assert "handled" in store.codes(order)
    assert store.ledger.record(order).state == "done"


@pytest.mark.promise("P1")
def test_a_lost_answer_to_a_commit_is_said_again(flow):
    store = flow()
    store.fault("lost_answer", "/api/orders/feed", "POST")
    store.vtex.create(count=3)
    audit = store.settled(events=3)
    assert audit["stale_commits"] >= 1, "some were committed twice, which does no harm"
    assert audit["early_commits"] == 0
    assert store.ledger.counts().done == 3


@pytest.mark.promise("P1")
@pytest.mark.parametrize("kind", ["error_5xx", "cut_before", "html_error", "truncated_json"])
def test_every_call_may_fail_once(flow, kind):
    store = flow(visibility_timeout=3.0)
    for method, path in (("GET", "/api/orders/feed"), ("GET", "/api/oms/"), ("POST", "start-handling")):
        store.fault(kind, path, method)
    store.fault(kind, "/api/orders/feed", "POST")
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    assert store.rows() == [(order, "ready-for-handling")]
    assert audit["start_handling_effects"] == 1
    assert audit["early_commits"] == 0


# --- messages of the broker ----------------------------------------------------------------------------------


@pytest.fixture
def loses(monkeypatch):
    """``loses(n)``: the first ``n`` orders that the feed brings get no message at all."""

    def begin(number):
        from tasks import feed

        enqueue_all, lost = feed.enqueue_all, []

        def enqueue_some(account, order_ids):
            few = order_ids[: number - len(lost)]
            lost.extend(few)
            enqueue_all(account, order_ids[len(few) :])

        monkeypatch.setattr(feed, "enqueue_all", enqueue_some)
        return lost

    return begin


@pytest.mark.promise("P4")
@pytest.mark.parametrize("visibility", [60.0, 1.0], ids=["the sweeper", "the sweeper and the feed"])
def test_a_lost_message_is_healed_with_one_effect(flow, loses, visibility):
    lost = loses(1)
    store = flow(visibility_timeout=visibility)
    store.vtex.create(count=5)
    audit = store.settled(events=5)
    assert "swept" in store.codes(lost[0])
    assert len(store.rows()) == 5
    assert store.ledger.stats()["delivered"] == 5
    assert (audit["start_handling_effects"], audit["start_handling_attempts"]) == (5, 5)
    assert audit["early_commits"] == 0


@pytest.mark.promise("P4")
def test_a_message_that_vanishes_from_its_queue_is_healed(flow, monkeypatch):
    """The second of the chain: the broker took it, and no worker ever saw it."""
    store = flow(visibility_timeout=60.0)
    monkeypatch.setattr(handover, "current", lambda: None)  # that one goes over the broker
    start_handling = store.app.tasks["orders.start_handling"]
    publish, lost = start_handling.apply_async, []

    def into_the_void(*args, **options):
        if not lost:
            lost.append(options)
            return None
        return publish(*args, **options)

    monkeypatch.setattr(start_handling, "apply_async", into_the_void)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    assert lost
    assert store.codes(order)[:5] == ["seen", "delivered", "swept", "handled", "committed"]
    assert audit["start_handling_attempts"] == 1


def test_a_backlog_is_not_taken_for_a_loss(flow):
    """Orders that wait in a long queue, longer than patience, are not all sent again."""
    from tasks.feed import read_lot

    store = flow(latency=0.3, visibility_timeout=60.0)
    store.ledger.patience = 60.0
    store.vtex.create(count=60)
    while store.ledger.counts().open < 60:  # here, so that every message is published before the sweep
        read_lot(store.link)
    waiting = store.redis.zrange(store.ledger.key("due"), 0, -1)
    patience_ago = store.ledger.now() - 1
    store.redis.zadd(store.ledger.key("due"), dict.fromkeys(waiting, patience_ago), xx=True)
    store.settled(events=60)
    assert store.ledger.stats().get("healed", 0) < 6, "one or two may be seen between two queues"
    assert len(store.rows()) == 60


# --- all of Redis ------------------------------------------------------------------------------------------


@pytest.mark.promise("P2", "P3")
def test_redis_loses_everything_while_start_handling_is_on_its_way(watched):
    store = watched(visibility_timeout=2.0)
    store.fault("slow", "start-handling", slow_seconds=1.0)
    (order,) = store.vtex.create()
    store.until(store.rows, "the ERP to have it")
    store.redis.flushall()
    audit = store.settled(events=1)
    assert [row for row, _ in store.rows()] == [order]
    assert set(store.link.sink.keys) == {f"teststore:{order}:order.ready"}
    assert audit["start_handling_effects"] == 1
    assert audit["start_handling_attempts"] == 1
    assert audit["early_commits"] == 0
    assert store.ledger.counts().done == 1


@pytest.mark.promise("P2", "P3")
def test_redis_loses_everything_before_start_handling(watched):
    store = watched(visibility_timeout=2.0)
    store.fault("cut_before", "start-handling")
    store.link.sink.after = lambda: len(store.link.sink.keys) == 1 and store.redis.flushall()
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    assert store.rows() == [(order, "ready-for-handling")]
    assert store.link.sink.keys == [f"teststore:{order}:order.ready"] * 2
    assert audit["start_handling_effects"] == 1
    assert audit["early_commits"] == 0


@pytest.mark.promise("P3")
def test_redis_loses_everything_again_and_again(flow):
    store = flow(visibility_timeout=1.5, latency=0.02, feed_states=("ready-for-handling",))
    store.vtex.create(count=30)
    for share in (5, 12, 20):
        store.until(lambda share=share: len(store.rows()) >= share, f"{share} orders")
        store.redis.flushall()
    audit = store.settled()
    assert len(store.rows()) == 30
    assert audit["start_handling_effects"] == 30
    assert audit["start_handling_more_than_once"] == 0
    assert audit["early_commits"] == 0
    assert audit["events_pending"] == 0


@pytest.mark.promise("P3")
@pytest.mark.parametrize("state", ["canceled", "cancellation-requested"])
def test_a_cancellation_reaches_the_erp_though_nobody_remembers_its_order(flow, state):
    """Redis was lost, or the record of an old order has expired."""
    store = flow(orders=1)
    (order,) = store.settled(events=1)["per_order"]
    store.redis.flushall()
    store.vtex.move(order, state)
    store.settled(events=2)
    assert store.rows() == [(order, state)]
    assert store.told() == [f"order.{state.replace('-', '_')}"]


# --- orders that fail for long --------------------------------------------------------------------------------


@pytest.mark.promise("P1", "P3", "P6")
def test_orders_that_fail_for_long_hold_nothing_back_and_are_found_again(flow, monkeypatch):
    """Durably parked, their events are committed; and when the ledger is lost as well, VTEX's list names them."""
    from tasks import base, feed
    from workers import errors
    from workers.policy import Policy

    class Longest:
        def uniform(self, _low, high):
            return high

    store = flow(visibility_timeout=2.0)
    monkeypatch.setattr(base, "_rng", Longest())
    monkeypatch.setattr(feed, "FIRST_CAPACITY", 3)
    store.link.policy = Policy(base=100.0)  # long waits: parked at once
    store.ledger.held = 1.0
    bad = set(store.vtex.create(count=6))
    read, broken = store.link.vtex.get_order, True

    def spoilt(order_id):
        if broken and order_id in bad:
            raise errors.Unavailable("get order: VTEX answered 500")
        return read(order_id)

    monkeypatch.setattr(store.link.vtex, "get_order", spoilt)
    store.until(lambda: store.ledger.counts().parked == 6, "all of them parked")
    good = set(store.vtex.create(count=6))
    store.until(lambda: {row for row, _ in store.rows()} == good, "the good ones")
    for order in bad:  # their time comes, and they fail once more
        store.redis.hset(store.ledger.key(f"o:{order}"), "born", store.ledger.now() - 2)
        assert store.ledger.reopen(order, "replay", "a test") == "open"
    store.until(lambda: store.vtex.audit()["events_pending"] == 0, "an empty feed")
    assert store.ledger.counts().parked == 6

    broken = False
    store.redis.flushall()
    store.link.settings = dataclasses.replace(store.link.settings, reconcile_min_age=0.0)
    monkeypatch.setattr(store.process, "settings", store.link.settings)
    ticks = ("feed.poll", "orders.ack", "upkeep.sweep", "upkeep.reconcile")
    store.until(lambda: {row for row, _ in store.rows()} == good | bad, "all of them", ticks=ticks)
    audit = store.settled()
    assert (audit["start_handling_effects"], audit["start_handling_more_than_once"]) == (12, 0)


# --- a worker ----------------------------------------------------------------------------------------------


@pytest.mark.promise("P2", "P4")
def test_an_order_canceled_after_its_worker_died_with_the_erps_answer_is_taken_back(watched):
    store = watched()
    store.ledger.lease = 0.5
    died = []

    def die():
        if not died:
            died.append(1)
            raise redis.ConnectionError("nothing can be written down any more")

    store.link.sink.after = die
    (order,) = store.vtex.create()
    store.until(lambda: died, "the worker's end")
    store.vtex.move(order, "canceled")
    audit = store.settled(events=2)
    assert store.rows() == [(order, "canceled")]
    assert store.told() == ["order.canceled"]
    assert audit["start_handling_effects"] == 0


@pytest.mark.promise("P2", "P4")
def test_an_order_that_a_stalled_worker_delivers_after_its_cancellation_stays_canceled(watched):
    store = watched(visibility_timeout=3.0)
    store.ledger.lease = 0.5
    stalls, goes_on = threading.Event(), threading.Event()

    def stall(delivery):
        if delivery.type == ORDER_READY and not stalls.is_set():
            stalls.set()
            goes_on.wait(120)

    store.link.sink.before = stall
    (order,) = store.vtex.create()
    store.until(stalls.is_set, "a worker that stalls")
    store.vtex.move(order, "canceled")
    store.until(lambda: store.rows() == [(order, "canceled")], "the cancellation, by another worker")
    goes_on.set()
    store.until(lambda: any(key.endswith(ORDER_READY) for key in store.link.sink.keys), "what comes too late")
    audit = store.settled(events=2)
    assert store.rows() == [(order, "canceled")]
    assert audit["start_handling_effects"] == 0


@pytest.mark.promise("P2", "P4")
def test_a_worker_that_stalls_beyond_its_lease_changes_nothing(flow):
    store = flow(visibility_timeout=60.0)
    store.ledger.lease = 0.3
    store.fault("slow", "/api/oms/", "GET", slow_seconds=2.0)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    store.idle()
    assert "crash" in store.codes(order)
    assert store.codes(order).count("delivered") == 1
    assert audit["start_handling_effects"] == 1
    assert store.logs("claim_lost") or store.logs("delivered")


@pytest.mark.promise("P6")
def test_an_order_that_kills_every_worker_ends_dead_and_the_others_go_on(flow, monkeypatch):
    store = flow()
    (poison,) = store.vtex.create()
    events, _ = store.link.vtex.take_feed()
    assert store.ledger.observe(events) == ["new"]
    store.ledger.lease = 0.02
    for number in range(10):
        store.until(lambda: (store.ledger.record(poison).claimed_until or 0) < store.ledger.now(), ticks=())
        store.ledger.claim(poison, DOWNLOAD, f"dying-{number}")
    store.ledger.lease = 5.0
    store.vtex.create(count=3)
    audit = store.settled(events=4)
    record = store.ledger.record(poison)
    assert record.state == "dead"
    assert "10 times" in record.error
    assert len(store.rows()) == 3
    assert audit["start_handling_effects"] == 3
    (alarm,) = store.logs("dead")
    assert (alarm["level"], alarm["order_id"]) == ("error", poison)


@pytest.mark.promise("P4", "P6")
def test_what_a_dead_process_had_fetched_and_claimed_goes_on_at_the_next_sweep(flow):
    store = flow()
    store.ledger.patience = store.ledger.lease = 3600.0  # neither of them is waited for
    fetched, claimed = store.vtex.create(count=2)
    events, _ = store.link.vtex.take_feed()
    store.ledger.observe(events)
    store.ledger.claim(claimed, DOWNLOAD, "worker1@host:7:abc t1")
    store.redis.sadd("vo:_:begun", "worker1@host:7:abc", "worker2@host:8:def")
    deaths.saw_die(store.redis, "worker1@host", 7)
    audit = store.settled(events=2)
    assert audit["start_handling_effects"] == 2
    assert "crash" in store.codes(claimed)
    assert "crash" not in store.codes(fetched)
    taken = store.logs("taken_over")
    assert sum(line["dead"] for line in taken) == 2
    assert sum(line["were_claimed"] for line in taken) == 1


@pytest.mark.promise("P4", "P6")
def test_what_died_twice_with_its_workers_is_done_one_after_the_other(flow):
    store = flow(latency=0.02)
    orders = store.vtex.create(count=9)
    events, _ = store.link.vtex.take_feed()
    store.ledger.observe(events)
    for who in ("a", "b"):
        for order in orders:
            store.ledger.claim(order, DOWNLOAD, f"{who} {order}")
        store.ledger.release(who)
    store.ledger.patience = store.ledger.lease = 3600.0  # one brings the next
    audit = store.settled(events=9)
    assert audit["start_handling_effects"] == 9
    for order in orders:
        assert store.codes(order).count("crash") == 2


@pytest.mark.promise("P4", "P6")
def test_an_error_that_nobody_thought_of_is_tried_again(flow, monkeypatch):
    store = flow()
    read, failed = store.link.vtex.get_order, []

    def odd(order_id):
        if not failed:
            failed.append(order_id)
            raise KeyError("surprise")
        return read(order_id)

    monkeypatch.setattr(store.link.vtex, "get_order", odd)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    assert audit["start_handling_effects"] == 1
    assert "retry" in store.codes(order)
    (alarm,) = store.logs("unexpected_error")
    assert "KeyError" in alarm["exception"]
    assert alarm["order_id"] == order
