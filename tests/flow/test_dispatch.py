"""Many orders sent together: what stands in Redis must be what the canvas publishes, one by one."""

from __future__ import annotations

import base64
import contextlib
import json
import re

import pytest
import redis
from celery import Celery

from workers import app as module
from workers import dispatch
from workers.settings import Account, Secret, Settings

ACCOUNTS = {name: Account(name, Secret("key"), Secret("token")) for name in ("teststore", "other")}

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def step(account, order_id):
    """Never called."""


@pytest.fixture(params=[["teststore"], ["teststore", "other"]], ids=["one store", "several"])
def queue(valkey, monkeypatch, request):
    """What waits in the queue of downloads, the first first; of an application and a database of these tests' own."""
    url = valkey.removesuffix("/0") + "/1"
    stores = {name: ACCOUNTS[name] for name in request.param}
    settings = Settings(accounts=stores, erp_url="sqlite:///erp.db", redis_url=url)
    if len(stores) == 1:
        settings = settings.of("teststore")
    app = Celery("dispatching", set_as_current=False, config_source=module.configuration(settings))
    for name in dispatch.CHAIN.values():
        app.task(name=name, shared=False)(step)
    monkeypatch.setattr(dispatch, "app", app)
    dispatch._stencil.cache_clear()
    name = app.amqp.router.route({}, "orders.download", (), {"account": "teststore"})["queue"].name
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        client.flushdb()
        yield lambda: client.lrange(name, 0, -1)[::-1]
    dispatch._stencil.cache_clear()


def body(message):
    """Arguments and chain."""
    return json.loads(base64.b64decode(message["body"]))


def told(text) -> tuple[object, int]:
    """A message, its ids replaced by numbers in the order in which they come, and how many there are."""
    message = json.loads(text)
    message["body"] = body(message)
    ids = {}
    numbered = _ID.sub(
        lambda found: ids.setdefault(found[0], f"id {len(ids)}"), json.dumps(message, sort_keys=True)
    )
    return json.loads(numbered), len(ids)


def test_it_is_what_the_canvas_publishes(queue):
    """When this fails, Celery or kombu publish otherwise than they did: ``_stencil`` must follow."""
    dispatch.enqueue("teststore", "1-01")
    dispatch.enqueue_all("teststore", ["1-01", "1-01"])
    canvas, *direct = map(told, queue())
    assert canvas[0]["body"][2]["chain"][0]["task"] == "orders.start_handling"
    assert direct == [canvas, canvas]


def test_every_message_has_its_order_and_ids_of_its_own(queue):
    dispatch.enqueue_all("teststore", ["1-01", "2-01"])
    ids = set()
    for text, order in zip(queue(), ("1-01", "2-01"), strict=True):
        message = json.loads(text)
        _, kwargs, embed = body(message)
        assert kwargs["order_id"] == embed["chain"][0]["kwargs"]["order_id"] == order
        ids |= {message["headers"]["id"], message["properties"]["delivery_tag"]}
        ids.add(embed["chain"][0]["options"]["task_id"])
    assert len(ids) == 6


def test_an_id_that_json_writes_otherwise_goes_by_the_canvas(queue):
    odd = 'v1"\\<body>ção'
    dispatch.enqueue_all("teststore", ["1-01", odd])
    sent = [body(json.loads(text))[1]["order_id"] for text in queue()]
    assert sent == ["1-01", odd]


def test_what_cannot_be_sent_together_is_sent_alone(queue, monkeypatch):
    def fail(*_):
        raise redis.ConnectionError("the connection is an old one")

    monkeypatch.setattr(redis.Redis, "lpush", fail)
    sent = []
    monkeypatch.setattr(dispatch, "enqueue", lambda *args: sent.append(args))
    dispatch.enqueue_all("teststore", ["1-01", "2-01"])
    assert sent == [("teststore", "1-01"), ("teststore", "2-01")]
