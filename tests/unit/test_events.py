from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from workers import events
from workers.events import Dispatcher


class Producer:
    def __init__(self):
        self.sent = []
        self.during = lambda: None
        self.channel = SimpleNamespace()

    def publish(self, body, **_):
        self.sent.append([one["type"] for one in body] if isinstance(body, list) else body["type"])
        self.during()


@pytest.fixture
def now(monkeypatch):
    moment = [100.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def dispatcher():
    from celery import Celery

    app = Celery("x", broker="memory://")
    made = Dispatcher(channel=MagicMock(), hostname="h", enabled=False, app=app, buffer_group=["task"])
    made.producer, made.enabled = Producer(), True
    made.on_send_buffered = made.flush
    yield made
    made.producer = None


def test_events_go_together(dispatcher, now):
    dispatcher.send("task-received")
    for _ in range(5):
        dispatcher.send("task-started")
    assert dispatcher.producer.sent == [["task-received"]]
    now[0] += events.TOGETHER
    dispatcher.send("task-succeeded")
    assert dispatcher.producer.sent[1] == ["task-started"] * 5 + ["task-succeeded"]


def test_a_heartbeat_takes_what_is_left(dispatcher, now):
    dispatcher.send("task-received")
    dispatcher.send("task-started")
    dispatcher.send("worker-heartbeat")
    assert dispatcher.producer.sent == [["task-received"], "worker-heartbeat", ["task-started"]]


def test_many_do_not_wait(dispatcher, now):
    dispatcher.send("task-received")
    for _ in range(events.MANY):
        dispatcher.send("task-started")
    assert len(dispatcher.producer.sent[1]) == events.MANY


def test_what_another_thread_adds_meanwhile_is_kept(dispatcher, now):
    dispatcher.producer.during = lambda: dispatcher._group_buffer["task"].append({"type": "task-late"})
    dispatcher.send("task-received")
    dispatcher.producer.during = lambda: None
    dispatcher.flush(hurry=True)
    assert dispatcher.producer.sent == [["task-received"], ["task-late"]]


def test_celery_still_needs_this(dispatcher, now):
    """Celery's own dispatcher forgets it: when this fails, the class can go."""
    from celery.events.dispatcher import EventDispatcher

    dispatcher._group_buffer["task"].append({"type": "task-received"})
    dispatcher.producer.during = lambda: dispatcher._group_buffer["task"].append({"type": "task-late"})
    EventDispatcher.flush(dispatcher)
    assert dispatcher._group_buffer["task"] == []


def test_while_nobody_listens_no_task_s_events_are_made_and_each_heartbeat_asks(dispatcher, now):
    sent = dispatcher.producer.sent
    dispatcher.send("task-received")
    assert sent == [["task-received"]]
    dispatcher.producer.channel.heard = 0
    dispatcher.send("worker-heartbeat")
    dispatcher.send("task-started")
    now[0] += events.TOGETHER
    dispatcher.send("task-succeeded")  # that nobody listens comes out here
    dispatcher.send("task-received")
    now[0] += events.TOGETHER
    dispatcher.send("task-started")
    assert sent[1:] == ["worker-heartbeat", ["task-started", "task-succeeded"]]
    dispatcher.send("worker-heartbeat")
    assert sent[3:] == ["worker-heartbeat", []]
    dispatcher.producer.channel.heard = 1
    dispatcher.send("worker-heartbeat")
    now[0] += events.TOGETHER
    dispatcher.send("task-received")
    assert sent[5:] == ["worker-heartbeat", [], ["task-received"]]


def test_a_connection_that_is_lost_says_nothing_of_who_listens(dispatcher, now):
    dispatcher.producer.channel.heard = 0
    dispatcher.producer.during = lambda: {}["the connection is lost"]
    dispatcher.send("task-received")
    dispatcher.producer = None  # it is closed, and tasks go on
    now[0] += events.TOGETHER
    dispatcher.send("task-started")
    assert dispatcher._outbound_buffer
    assert dispatcher._heard
