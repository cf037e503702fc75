"""Celery's task events, for a worker whose tasks are threads.

Celery 5.6 and 5.7 empty the buffer of events after it was published, and forget what another thread put in
meanwhile: Flower then shows finished tasks as received for ever. Here exactly what was published is removed.
"""

from __future__ import annotations

from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """The dispatcher of a worker process."""

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Publish what is buffered; what comes in meanwhile stays for the next time."""
        super().flush(errors=errors, groups=False)
        if not groups:
            return
        with self.mutex:
            for group, events in self._group_buffer.items():
                batch = list(events)
                if batch:
                    self._publish(batch, self.producer, f"{group}.multi")
                    del events[: len(batch)]


class Events(CeleryEvents):  # type: ignore[misc]
    """Makes a Celery application use it: ``Celery(events=...)``."""

    dispatcher_cls = "workers.events:Dispatcher"
