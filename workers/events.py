"""Celery's task events, for a worker whose tasks are threads, and many.

Celery 5.6 and 5.7 empty the buffer of events after it was published, and forget what another thread put in
meanwhile: Flower then shows finished tasks as received for ever. Here exactly what was published is removed.
And they publish at each turn of the worker's loop, which costs a sixth of a busy worker's time: here events are
sent together, a moment later.

While nobody listens, no Flower and no other monitor, none are made: Redis says with each publication how many heard
it. The heartbeat (every 2 s) asks anew.
"""

from __future__ import annotations

import time
from typing import Any

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher

from workers import broker

#: Seconds that events may wait to be sent together; a worker's own heartbeat (every 2 s) sends what is left.
TOGETHER = 0.5
#: So many are sent without waiting.
MANY = 100


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """The dispatcher of a worker process."""

    _sent = 0.0
    _heard = True

    def send(self, type: str, *args: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's name for it
        """Send an event; one that is not buffered (a heartbeat) takes the buffered ones along."""
        if not self._heard and type.startswith("task-"):
            return None
        answer = super().send(type, *args, **fields)
        if not type.startswith("task-"):
            self.flush(errors=False, hurry=True)
        return answer

    def flush(self, errors: bool = True, groups: bool = True, *, hurry: bool = False) -> None:
        """Publish what is buffered, if it is worth it; what comes in meanwhile stays for the next time."""
        super().flush(errors=errors, groups=False)
        if not groups:
            return
        with self.mutex:
            if hurry and not self._heard:
                self._publish([], self.producer, "task.multi")
            waiting = sum(map(len, self._group_buffer.values()))
            if not waiting or not (hurry or waiting >= MANY or time.monotonic() - self._sent >= TOGETHER):
                return
            self._sent = time.monotonic()
            for group, events in self._group_buffer.items():
                batch = list(events)
                if batch:
                    self._publish(batch, self.producer, f"{group}.multi")
                    del events[: len(batch)]

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:
        unsent = len(self._outbound_buffer)
        super()._publish(event, producer, routing_key, **options)
        if routing_key == "task.multi" and len(self._outbound_buffer) == unsent:
            self._heard = broker.heard(producer.channel)


class Events(CeleryEvents):  # type: ignore[misc]
    """Makes a Celery application use it: ``Celery(events=...)``."""

    dispatcher_cls = "workers.events:Dispatcher"
