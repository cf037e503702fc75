"""A worker's events, and who hears them."""

from __future__ import annotations

import contextlib
import threading

from celery.events.dispatcher import EventDispatcher


@contextlib.contextmanager
def monitor(app):
    """One that listens, as Flower does; (type, task id) of what it heard."""
    heard = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(
            connection, handlers={"*": lambda event: heard.append((event["type"], event.get("uuid")))}
        )
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": None, "wakeup": False})
        thread.start()
        try:
            yield heard
        finally:
            receiver.should_stop = True
            thread.join(30)


def test_events_are_made_from_when_somebody_listens(flow, monkeypatch):
    store, made = flow(), []
    send = EventDispatcher.send

    def note(self, type, *args, **fields):  # noqa: A002 - Celery's name for it
        made.append(type)
        return send(self, type, *args, **fields)

    monkeypatch.setattr(EventDispatcher, "send", note)

    def quiet() -> bool:
        made.clear()
        store.vtex.create()
        store.settled()
        store.idle()
        return not any(kind.startswith("task-") for kind in made)

    store.until(quiet, "a worker that makes no events", ticks=())
    with monitor(store.app) as heard:

        def beat() -> bool:  # the worker of these tests sends none by itself
            store.app.control.broadcast("heartbeat")
            return ("worker-heartbeat", None) in heard

        store.until(beat, "a heartbeat", ticks=())
        store.vtex.create()
        store.settled()
        kinds = ("task-received", "task-started", "task-succeeded")
        store.until(
            lambda: {uuid for _, uuid in heard if uuid and all((kind, uuid) in heard for kind in kinds)},
            "a task's events",
        )
    store.until(quiet, "a worker that makes no events again", ticks=())
