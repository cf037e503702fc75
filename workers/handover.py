"""Runs the next step of a chain in the thread that has just ended the step before.

The canvas chain stays what it is: the message carries it, and Flower shows both steps as tasks, with parent and
root. Only the way between them is shorter. Published and fetched as a message of its own, the second step costs
more than its work does; here it is handed to a worker's request of Celery's own, with a pool that is this very
thread. So a retry, a failure, a revoked id and every event are Celery's, as if it had come from the queue.

The message of the first step is acknowledged when both have ended. If the worker dies in between, the ledger
knows which step is done, and the sweeper brings back the other one.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.concurrency.base import apply_target
from celery.exceptions import TaskRevokedError
from celery.worker.request import Request
from celery.worker.state import task_reserved

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery, Task
    from celery.app.task import Context


class Handover:
    """A worker process that can do so. ``consumer`` is Celery's; its events come from whichever connection it has."""

    def __init__(self, app: Celery, consumer: Any) -> None:
        self._app = app
        self._consumer = consumer
        self._queues: dict[tuple[str, str], str] = {}

    def takes(self, chain: list[dict[str, Any]]) -> bool:
        """Whether the next step of a chain may run here: this worker reads its queue, and is not being emptied."""
        following = chain[-1]
        ours = following["task"] in self._app.tasks and not following.get("args")
        return ours and self._queue(following) in self._app.amqp.queues.consume_from

    def run(self, chain: list[dict[str, Any]], before: Context, given: object) -> bool:
        """Run the next step of ``chain``, which follows the task of the request ``before``, to its end.

        Its task finds what it is ``given`` by :func:`take`. False: it was revoked and did not run.
        """
        *rest, following = chain
        task = self._app.tasks[following["task"]]
        request = self._request(task, following, rest, before)
        _thread.given = (request.id, given)
        task_reserved(request)
        request.send_event(
            "task-received",
            name=request.name,
            args=request.argsrepr,
            kwargs=request.kwargsrepr,
            root_id=request.root_id,
            parent_id=request.parent_id,
            retries=0,
            eta=None,
            expires=None,
        )
        try:
            request.execute_using_pool(_ThisThread)
        except TaskRevokedError:  # which Celery has announced
            return False
        finally:
            _thread.given = None
        return True

    def _queue(self, step: dict[str, Any]) -> str:
        kind = (step["task"], str(step["kwargs"].get("account")))
        if (
            kind not in self._queues
        ):  # by nothing else is it routed, and to be asked twice an order would cost
            route = self._app.amqp.router.route({}, step["task"], (), step["kwargs"])
            self._queues[kind] = str(route["queue"].name)
        return self._queues[kind]

    def _request(
        self, task: Task, following: dict[str, Any], rest: list[dict[str, Any]], before: Context
    ) -> InPlace:
        """What a worker makes of the message that the canvas would have published."""
        made = self._app.amqp.create_task_message(
            following["options"]["task_id"],
            task.name,
            (),
            following["kwargs"],
            parent_id=before.id,
            root_id=before.root_id or before.id,
            chain=rest,
            ignore_result=True,
            argsrepr="()",
            kwargsrepr=repr(following["kwargs"]),
        )
        message = SimpleNamespace(
            headers=made.headers,
            properties=made.properties,
            body=made.body,
            delivery_info={"exchange": "", "routing_key": self._queue(following)},
        )
        return InPlace(
            message,
            hostname=self._consumer.hostname,
            eventer=self._consumer.event_dispatcher,
            app=self._app,
            task=task,
            decoded=True,
        )


class InPlace(Request):  # type: ignore[misc]
    """The request of a step that runs in another one's thread: it takes no slot of its own."""


class HandoverStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells the tasks of a worker process who can do it. Celery calls it at each connection."""

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, consumer: Any) -> None:
        """The consumer works from now on."""
        global _current  # noqa: PLW0603 - one a process is what it is for
        _current = Handover(consumer.app, consumer)


_current: Handover | None = None


def current() -> Handover | None:
    """The worker process's own; None in a process that is no worker."""
    return _current


_thread = threading.local()


def take(task_id: str) -> object:
    """What the task with that id was given by the one before it, which ran in this thread; else None."""
    for_whom, given = getattr(_thread, "given", None) or ("", None)
    return given if for_whom == task_id else None


class _ThisThread:
    """A pool that has no place but the caller's."""

    @staticmethod
    def apply_async(
        target: Callable[..., Any],
        args: tuple[Any, ...],
        accept_callback: Callable[..., Any],
        callback: Callable[..., Any],
        **_: Any,
    ) -> None:
        apply_target(target, args, None, callback, accept_callback)
