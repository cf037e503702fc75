"""Keeps one store's trouble from slowing another, inside of each worker process.

Where several stores are served, each has queues of its own, and

- the stores take *turns*: after a message of one store the others' queues are looked at first, so that a backlog of
  a hundred thousand delays nobody else by more than one message;
- a store gets another slot (thread) only while it holds fewer than are free. So it never has more than half of them,
  however long its calls hang, and there is always room for the next store: one busy store has a half, two have a
  third each, three a quarter. Network switches share their buffers in this way (dynamic thresholds, Choudhury and
  Hahne, 1998).

What is over its share stays in its queue, where another worker may take it, and is not touched: no attempt is
counted. A retry whose time has come, and which this worker holds already, waits here a little longer.

For a single store nothing of this is used.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from celery.worker import state
from celery.worker.consumer import Consumer

from workers import runtime
from workers.handover import InPlace

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds between two looks at the queues of a store that has its share. Slots become free without Redis knowing.
LOOK_AGAIN_SECONDS = 0.02


def store_of(queue: str) -> str:
    """The store whose queue it is; "" for one that is everybody's."""
    return queue.partition(".")[2]


class Shares:
    """How the slots of this process are used at one moment."""

    def __init__(self, slots: int) -> None:
        requests = state.requests.copy()  # in one piece: threads change it
        self._held = Counter(
            store_of(request.delivery_info.get("routing_key") or "")
            for request in requests.values()
            if not isinstance(request, InPlace)
        )
        self._free = slots - self._held.total()

    def full(self, store: str) -> bool:
        """Whether the store may not have another slot now."""
        return bool(store) and self._held[store] >= self._free


def now() -> Shares:
    """The shares at this moment."""
    return Shares(runtime.current().settings.worker_concurrency)


class Turns:
    """The order in which a channel of :mod:`workers.broker` asks for the queues: a ``queue_order_strategy``."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        self._stores: dict[str, list[str]] = {}  # in the order of their turns
        self._ready: list[str] = []
        self.update(queues)

    def update(self, queues: Iterable[str]) -> None:
        """These are read from now on; among those of one store, the first come first."""
        found: dict[str, list[str]] = {}
        for queue in queues:
            found.setdefault(store_of(queue), []).append(queue)
        order = [store for store in self._stores if store in found]
        self._stores = {store: found[store] for store in dict.fromkeys([*order, *found])}

    def look(self) -> float | None:
        """Decide what is asked for next; if some store must wait because it has its share, for how many seconds."""
        shares = now()
        ready = [store for store in self._stores if not shares.full(store)]
        self._ready = [queue for store in ready for queue in self._stores[store]]
        return LOOK_AGAIN_SECONDS if len(ready) < len(self._stores) else None

    def consume(self, _number: int) -> list[str]:
        """The queues to ask for, the first one first."""
        return self._ready

    def rotate(self, last_used: str) -> str:
        """A message came from that queue: its store is the last one now."""
        store = store_of(last_used)
        if store in self._stores:
            self._stores[store] = self._stores.pop(store)
        return last_used


class FairConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, but for retries whose time has come while their store has its share."""

    def apply_eta_task(self, task: Any) -> None:
        """Begin it, or look again soon: it is in no queue, so nobody else can take it."""
        if now().full(store_of(task.delivery_info.get("routing_key") or "")):
            self.timer.call_after(LOOK_AGAIN_SECONDS, self.apply_eta_task, (task,), priority=6)
        else:
            super().apply_eta_task(task)
