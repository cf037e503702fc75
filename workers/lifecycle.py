"""What begins and ends with a worker or a beat of ours: the log, the heartbeat, the connections.

Celery's signals are the whole process's. So they are connected when such a process starts, and not when this program
is imported.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from celery import bootsteps, signals
from celery.app.log import Logging as CeleryLogging

from workers import interpreter, runtime, telemetry, tracebacks
from workers import settings as settings_module
from workers.heartbeat import Heartbeat


class Logging(CeleryLogging):  # type: ignore[misc]
    """The log of our application's processes."""

    def setup_logging_subsystem(self, *_: Any, **__: Any) -> bool:
        """Set it up, once; True: Celery need not."""
        if not self.already_setup:
            CeleryLogging._setup = True  # noqa: SLF001 - where Celery keeps it
            telemetry.set_up(settings_module.load())
        return True


class SignalsStep(bootsteps.Step):  # type: ignore[misc]
    """Hears of what happens in a worker of ours from its start on."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        listen()


def listen() -> None:
    """Hear of what happens to workers and tasks in this process, which is one of ours."""
    signals.worker_ready.connect(_ready)
    signals.heartbeat_sent.connect(_looped)
    signals.task_retry.connect(_let_go)
    signals.worker_shutting_down.connect(_stopping)
    signals.worker_shutdown.connect(_stopped)


def beat_starts() -> None:
    """Beat has started: say so from now on."""
    _live(f"beat@{socket.gethostname()}", [], "beat")


def _ready(sender: Any, **_: Any) -> None:
    runtime.current().warm_up()
    interpreter.settle()
    _live(sender.hostname, list(sender.app.amqp.queues.consume_from), "worker")


def _live(name: str, queues: list[str], kind: str) -> None:
    process = runtime.current()
    process.heartbeat = Heartbeat(
        process.redis, name, queues, kind=kind, folder=process.settings.health_dir, also=process.flush
    )
    process.heartbeat.start()


def _looped(**_: Any) -> None:
    heartbeat = runtime.current().heartbeat
    if heartbeat:  # the worker's loop sends it, not a thread of its own
        heartbeat.pulse()


def _let_go(reason: BaseException, **_: Any) -> None:
    """Celery's tracer and the exceptions of a retry hold each other, with half a megabyte of frames and documents.

    Until Python looked for such circles, a few hundred commands that wait would be a hundred megabytes.
    """
    for error in tracebacks.causes_of(reason):
        error.__traceback__ = None


def _stopping(**_: Any) -> None:
    logging.getLogger(__name__).info("stopping: running tasks end, waiting ones stay in the queue")
    runtime.current().stopping.set()


def _stopped(**_: Any) -> None:
    runtime.current().close()
