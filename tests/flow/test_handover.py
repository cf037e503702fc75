"""The second step of an order's chain, run in the thread of the first: Celery must not be able to tell."""

from __future__ import annotations

import threading
import time

import pytest
from celery import signals
from celery.events.dispatcher import EventDispatcher
from celery.worker import state

from workers import broker, handover, runtime


@pytest.fixture
def begun():
    """(task, id, parent id, root id, queue, thread) of each step that begins, from now on."""
    seen = []

    def note(task, task_id, **_):
        if task.name in ("orders.download", "orders.start_handling"):
            request = task.request
            seen.append(
                {
                    "task": task.name,
                    "id": task_id,
                    "parent": request.parent_id,
                    "root": request.root_id,
                    "queue": request.delivery_info["routing_key"],
                    "retries": request.retries,
                    "thread": threading.get_ident(),
                }
            )

    signals.task_prerun.connect(note, weak=False)
    yield seen
    signals.task_prerun.disconnect(note)


@pytest.fixture
def events(_worker, monkeypatch):
    """(type, task id) of each event of the worker, from now on; it believes that somebody listens."""
    monkeypatch.setattr(broker, "heard", lambda channel: True)
    handover.current()._consumer.event_dispatcher._heard = True
    sent = []
    send = EventDispatcher.send

    def note(self, type, *args, **fields):  # noqa: A002 - Celery's name for it
        sent.append((type, fields.get("uuid")))
        return send(self, type, *args, **fields)

    monkeypatch.setattr(EventDispatcher, "send", note)
    return sent


def of(events, task_id):
    return [kind for kind, uuid in events if uuid == task_id]


def test_both_steps_run_in_one_thread_and_look_like_a_chain(flow, begun, events):
    store = flow(orders=1)
    store.settled(events=1)
    store.idle()
    first, second = begun
    assert (first["task"], second["task"]) == ("orders.download", "orders.start_handling")
    assert second["thread"] == first["thread"]
    assert (second["parent"], second["root"]) == (first["id"], first["id"])
    assert (first["queue"], second["queue"]) == ("orders", "handling")
    for step in begun:
        assert of(events, step["id"]) == ["task-received", "task-started", "task-succeeded"]


def test_the_first_message_stays_unacknowledged_until_the_second_step_has_ended(flow, begun, monkeypatch):
    store = flow()
    works, go = store.link.vtex.start_handling, threading.Event()
    monkeypatch.setattr(store.link.vtex, "start_handling", lambda order_id: go.wait(60) and works(order_id))
    store.vtex.create()
    store.until(lambda: len(begun) > 1, "the second step")

    def held() -> list[str]:
        return [m[0]["headers"]["id"] for m in store.unacked() if m[2] in ("orders", "handling")]

    assert held() == [begun[0]["id"]]
    go.set()
    store.settled(events=1)
    store.idle()
    store.until(lambda: not held(), "an acknowledgement", ticks=())


def test_a_step_that_fails_here_is_retried_by_a_message(flow, begun, events):
    store = flow()
    store.fault("error_5xx", "start-handling", times=1)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    store.idle()
    here, again = begun[1:]
    assert here["id"] == again["id"]
    assert [step["retries"] for step in (here, again)] == [0, 1]
    assert again["queue"] == "handling"
    assert "task-retried" in of(events, here["id"])
    assert [code for code in store.codes(order) if code in ("retry", "handled", "committed")][:3] == [
        "retry",
        "handled",
        "committed",
    ]
    assert audit["start_handling_effects"] == 1


def test_a_step_that_raises_does_not_take_the_first_one_with_it(flow, begun, events, monkeypatch):
    """What no body may do, and one might: the worker goes on, and the sweeper brings the step back."""
    from tasks.orders import start_handling

    store = flow()
    works, broken = start_handling._work, [True]

    def fail_once(*args):
        if broken:
            broken.clear()
            raise RuntimeError("not expected at all")
        return works(*args)

    monkeypatch.setattr(start_handling, "_work", fail_once)
    store.vtex.create()
    audit = store.settled(events=1)
    store.idle()
    assert "task-failed" in of(events, begun[1]["id"])
    assert "task-succeeded" in of(events, begun[0]["id"])
    assert audit["start_handling_effects"] == 1
    assert not state.active_requests


def test_a_revoked_step_is_not_run_here(flow, begun, events, monkeypatch):
    store = flow()
    ids = []
    request_of = handover.Handover._request

    def revoke_first(self, *args):
        request = request_of(self, *args)
        if not ids:
            ids.append(request.id)
            state.revoked.add(request.id)
        return request

    monkeypatch.setattr(handover.Handover, "_request", revoke_first)
    (order,) = store.vtex.create()
    audit = store.settled(events=1)
    store.idle()
    assert of(events, ids[0]) == ["task-received", "task-revoked"]
    assert "swept" in store.codes(order), "its order is brought back like any that lost its message"
    assert audit["start_handling_effects"] == 1


def test_a_worker_that_stops_publishes_the_next_step(flow, begun):
    store = flow()
    store.link.vtex.close()
    runtime.current().stopping.set()
    try:
        store.vtex.create()
        events, _ = store.link.vtex.take_feed()
        store.ledger.observe(events)
        from workers.dispatch import enqueue

        enqueue("teststore", events[0].order_id)
        store.until(lambda: len(begun) > 1, "the second step", ticks=())
    finally:
        runtime.current().stopping.clear()
    store.settled(events=1)
    published = [step for step in begun if step["task"] == "orders.start_handling"]
    assert published[0]["parent"] == begun[0]["id"]


def test_a_step_whose_queue_is_not_read_here_is_published(flow, begun, monkeypatch):
    store = flow()
    monkeypatch.setattr(handover.Handover, "_queue", lambda *_: "elsewhere")
    store.vtex.create()
    store.settled(events=1)
    store.idle()
    assert [step["queue"] for step in begun] == ["orders", "handling"]


def test_two_copies_of_a_message_end_in_one_start_handling(flow, begun):
    from workers.dispatch import enqueue

    store = flow(latency=0.2)
    store.vtex.create()
    events, _ = store.link.vtex.take_feed()
    store.ledger.observe(events)
    for _ in range(3):
        enqueue("teststore", events[0].order_id)
    audit = store.settled(events=1)
    assert audit["start_handling_attempts"] == audit["start_handling_effects"] == 1


def test_no_time_is_lost_on_a_step_that_nobody_fetches(flow, begun):
    """The queue of second steps stays empty however many orders there are."""
    store = flow(orders=40)
    longest = 0
    deadline = time.monotonic() + 60
    store.tick("feed.poll")
    while len(begun) < 80 and time.monotonic() < deadline:
        longest = max(longest, store.redis.llen("handling"))
        time.sleep(0.01)
    store.settled(events=40)
    assert longest == 0
