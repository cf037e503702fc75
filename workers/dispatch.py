"""Sends orders on their way: a canvas chain of the steps that are still to be done, by the names of the tasks."""

from __future__ import annotations

import functools
import json
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import redis
from celery import chain
from kombu.exceptions import KombuError
from kombu.serialization import registry

from workers.app import app
from workers.ledger import DOWNLOAD, START_HANDLING, Ledger

#: The steps that are tasks, in their order.
CHAIN = {DOWNLOAD: "orders.download", START_HANDLING: "orders.start_handling"}
#: An order id that stands in JSON as it is.
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
_serializers: Any = registry  # kombu does not say its types


def enqueue(account: str, order_id: str, step: str = DOWNLOAD, *, trial: str = "") -> None:
    """``chain(download, start_handling)`` for one order, or its rest from ``step`` on.

    A message is only a hint, so one too many does no harm, and one that gets lost is sent again by the sweeper.
    ``trial``: the first step is done although that scope (``vtex`` or ``erp``) is paused, to see whether it works.
    """
    names = list(CHAIN.values())[list(CHAIN).index(step) :]
    kwargs = {"account": account, "order_id": order_id}
    steps = [app.signature(name, kwargs=dict(kwargs), immutable=True) for name in names]
    if trial:
        steps[0].kwargs["trial"] = trial
    chain(*steps, app=app).apply_async()


def enqueue_all(account: str, order_ids: Sequence[str]) -> None:
    """The whole chain for each of many orders, sent together, with little of the work of :func:`enqueue`.

    To build each message through the canvas and to send it alone costs as much as an order's two calls to VTEX
    do. Here a message is made once, its text is kept, other ids are put into it, and all go to Redis in one piece.
    """
    queue = app.amqp.router.route({}, CHAIN[DOWNLOAD], (), {"account": account})["queue"].name
    try:
        fill = _stencil(account, queue)
        texts = [fill(order_id) for order_id in order_ids if _PLAIN.fullmatch(order_id)]
        with app.producer_or_acquire() as producer, producer.channel.conn_or_acquire() as client:
            if texts:
                client.lpush(queue, *texts)
        alone = [order_id for order_id in order_ids if not _PLAIN.fullmatch(order_id)]
    except (redis.RedisError, KombuError):  # such as of a connection that Redis has closed
        alone = list(order_ids)
    for order_id in alone:
        enqueue(account, order_id)


@functools.cache
def _stencil(account: str, queue: str) -> Callable[[str], str]:
    """What writes an order's message as kombu's Redis transport keeps it in that queue."""
    order, first, second, tag, body = (f"<{what}>" for what in ("order", "first", "second", "tag", "body"))
    message = _message(account, order, first, second)
    content_type, encoding, inner = _serializers.dumps(message.body, app.conf.task_serializer)
    properties = message.properties | {
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": tag,
    }
    envelope = {
        "body": body,
        "content-encoding": encoding,
        "content-type": content_type,
        "headers": message.headers,
        "properties": properties,
    }
    outer = json.dumps(envelope)

    def fill(order_id: str) -> str:
        one, two = str(uuid4()), str(uuid4())
        filled = inner.replace(order, order_id).replace(second, two)
        return (
            outer.replace(order, order_id)
            .replace(first, one)
            .replace(tag, str(uuid4()))
            .replace(body, b64encode(filled.encode()).decode())
        )

    return fill


def _message(account: str, order_id: str, first: str, second: str) -> Any:
    """What the canvas publishes for the whole chain of one order, and its tasks' ids."""
    kwargs = {"account": account, "order_id": order_id}
    following: dict[str, Any] = {
        "task": CHAIN[START_HANDLING],
        "args": [],
        "kwargs": kwargs,
        "options": {"task_id": second, "reply_to": app.thread_oid},
        "subtask_type": None,
        "immutable": True,
    }
    return app.amqp.create_task_message(
        first,
        CHAIN[DOWNLOAD],
        (),
        kwargs,
        chain=[following],
        reply_to=app.thread_oid,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr=repr(kwargs),
    )


def go_on(ledger: Ledger, scope: str, by: str = "") -> bool:
    """End a pause (a person's only with ``by``), and send what waited on its way at once; False if there was none."""
    if not ledger.resume(scope, by):
        return False
    kwargs = {"account": ledger.account}
    # a second later: until then the sweeper may have put something off by one
    app.send_task("upkeep.sweep", kwargs=kwargs, countdown=1)
    app.send_task("feed.poll", kwargs=kwargs)
    return True
