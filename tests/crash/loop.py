"""A worker and its beat in one thread: ticks, and the messages that follow from them, one at a time.

It takes messages from the real broker, runs Celery's own tracer, and acknowledges late, as a worker does.
"""

from __future__ import annotations

import time
from datetime import datetime

from celery.app.trace import trace_task

from workers.app import app
from workers.queues import QUEUES

from .seams import Seams

TICKS = ("feed.poll", "orders.ack", "upkeep.sweep", "upkeep.reconcile", "orders.tell")


class Loop:
    """``turn()`` is all that happens in one period of beat."""

    def __init__(self, account: str, seams: Seams) -> None:
        self._account, self._seams = account, seams
        self._connection = app.connection_for_read()
        self._channel = self._connection.default_channel
        self._later: list[
            tuple[float, object]
        ] = []  # messages that wait for their time, as a worker holds them

    def turn(self) -> None:
        for tick in TICKS:
            self._seams.tick()
            with self._seams.outside():
                app.send_task(tick, kwargs={"account": self._account})
            self._drain()

    def _drain(self) -> None:
        while message := self._next():
            self._run(message)

    def _next(self):
        now = time.time()
        for held in self._later:
            if held[0] <= now:
                self._later.remove(held)
                return held[1]
        for queue in QUEUES:
            while self._channel._size(queue) and (message := self._channel.basic_get(queue)):
                if not (eta := message.headers.get("eta")):
                    return message
                self._later.append((datetime.fromisoformat(eta).timestamp(), message))
        return None

    def _run(self, message) -> None:
        task = app.tasks[message.headers["task"]]
        args, kwargs, embed = message.decode()
        request = {
            **message.headers,
            **embed,
            "args": args,
            "kwargs": kwargs,
            "hostname": "crash",
            "is_eager": False,
            "delivery_info": message.delivery_info,
        }
        self._seams.task = task.name
        trace_task(task, message.headers["id"], args, kwargs, request, app=app)
        self._seams.task = "broker"
        message.ack()
