"""Sends orders on their way: a canvas chain of the steps that are still to be done, by the names of the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import redis
from celery import chain
from kombu.exceptions import KombuError

from workers.app import app
from workers.ledger import DOWNLOAD, START_HANDLING, Ledger

#: The steps that are tasks, in their order.
CHAIN = {DOWNLOAD: "orders.download", START_HANDLING: "orders.start_handling"}


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
    """The whole chain for each of many orders, sent together, with a fifth of the work of :func:`enqueue`.

    To build each message through the canvas and to send it alone costs as much as an order's two calls to VTEX
    do. Here what the canvas publishes is written down directly, and goes to Redis in one piece.
    """
    try:
        _publish(account, order_ids)
    except (
        redis.RedisError,
        KombuError,
    ):  # a connection that Redis has closed: what is sent alone is sent again
        for order_id in order_ids:
            enqueue(account, order_id)


def _publish(account: str, order_ids: Sequence[str]) -> None:
    queue = app.amqp.router.route({}, CHAIN[DOWNLOAD], (), {"account": account})["queue"].name
    with app.producer_or_acquire() as producer, producer.batch():
        for order_id in order_ids:
            message = message_of(account, order_id)
            producer.publish(
                message.body,
                exchange="",
                routing_key=queue,
                serializer=app.conf.task_serializer,
                headers=message.headers,
                **message.properties,
            )


def message_of(account: str, order_id: str) -> Any:
    """What the canvas publishes for the whole chain of one order."""
    kwargs = {"account": account, "order_id": order_id}
    following: dict[str, Any] = {
        "task": CHAIN[START_HANDLING],
        "args": [],
        "kwargs": kwargs,
        "options": {"task_id": str(uuid4()), "reply_to": app.thread_oid},
        "subtask_type": None,
        "immutable": True,
    }
    return app.amqp.create_task_message(
        str(uuid4()),
        CHAIN[DOWNLOAD],
        (),
        kwargs,
        chain=[following],
        reply_to=app.thread_oid,
        ignore_result=True,
        argsrepr="()",
        kwargsrepr=repr(kwargs),  # Celery's own way to this text costs as much as all else here
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
