"""Many orders sent together: the messages must be those that the canvas publishes, one by one."""

from __future__ import annotations

import contextlib
import json
import re

import kombu
import pytest
from celery import Celery

from workers import app as module
from workers import dispatch
from workers.settings import Account, Secret, Settings

SETTINGS = Settings(
    accounts={name: Account(name, Secret("key"), Secret("token")) for name in ("teststore", "other")},
    erp_url="sqlite:///erp.db",
    redis_url="redis://127.0.0.1:1/0",
)

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def step(account, order_id):
    """Never called."""


@pytest.fixture(autouse=True, params=[SETTINGS.of("teststore"), SETTINGS], ids=["one store", "several"])
def _app(monkeypatch, request):
    """An application of the same configuration that no other test uses."""
    app = Celery("dispatching", set_as_current=False, config_source=module.configuration(request.param))
    for name in dispatch.CHAIN.values():
        app.task(name=name)(step)
    monkeypatch.setattr(dispatch, "app", app)


@pytest.fixture
def published(monkeypatch):
    """What is handed to kombu's producer, with its ids replaced by numbers in the order in which they come."""
    sent = []

    def note(_producer, body, **options):
        named = {
            name: options[name] for name in ("exchange", "routing_key", "serializer", "headers", "reply_to")
        }
        ids = {}
        text = _ID.sub(
            lambda found: ids.setdefault(found[0], f"id {len(ids)}"), json.dumps([body, named], indent=1)
        )
        sent.append((text, options["correlation_id"] == options["headers"]["id"]))

    monkeypatch.setattr(kombu.Producer, "publish", note)
    return sent


def test_it_is_what_the_canvas_publishes(published):
    """When this fails, Celery publishes chains otherwise than it did: ``message_of`` must follow."""
    dispatch.enqueue("teststore", "1-01")
    dispatch.enqueue_all("teststore", ["1-01", "1-01"])
    canvas, *direct = published
    assert "orders.start_handling" in canvas[0]
    assert direct == [canvas, canvas]


def test_every_message_has_ids_of_its_own():
    messages = [dispatch.message_of("teststore", "1-01") for _ in range(2)]
    ids = [message.headers["id"] for message in messages]
    ids += [message.body[2]["chain"][0]["options"]["task_id"] for message in messages]
    assert len(set(ids)) == 4


def test_what_cannot_be_sent_together_is_sent_alone(monkeypatch):
    @contextlib.contextmanager
    def broken(*_):
        yield
        raise kombu.exceptions.BatchPublishError("the connection is an old one")

    sent = []
    monkeypatch.setattr(kombu.Producer, "publish", lambda *_, **__: None)
    monkeypatch.setattr(kombu.Producer, "batch", broken)
    monkeypatch.setattr(dispatch, "enqueue", lambda *args: sent.append(args))
    dispatch.enqueue_all("teststore", ["1-01", "2-01"])
    assert sent == [("teststore", "1-01"), ("teststore", "2-01")]
