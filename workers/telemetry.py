"""Logs: one JSON object a line (or a readable form), with the order at hand, and never a credential."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import billiard.exceptions
import kombu.exceptions
import redis
import structlog

from workers import tracebacks
from workers.settings import Settings
from workers.settings.address_secrets import secrets_in

#: Bound to every line of a task: account, order_id, step, attempt, task_id; ``began`` makes its ``duration``.
bind = structlog.contextvars.bound_contextvars

_SHORTEST_SECRET = 4  # shorter ones would be found in innocent words

_QUIET = {
    "celery.app.trace": logging.WARNING,  # our own lines say what a task did
    "celery.worker.strategy": logging.WARNING,
    "celery.beat": logging.WARNING,
    "celery.pool": logging.INFO,  # below it: the arguments of each task
    "kombu": logging.WARNING,
    "urllib3": logging.WARNING,
    "amqp": logging.WARNING,
}


#: What Celery and kombu meet when Redis drops.
_AWAY = (redis.ConnectionError, redis.TimeoutError, ConnectionError, kombu.exceptions.OperationalError)
_SAY_AGAIN_SECONDS = 10.0
_ARGUMENTS = ("data", "args", "kwargs", "argsrepr", "kwargsrepr")
_AGAIN_AND_AGAIN = "the connections to Redis end again and again: the next ones are made in a second"
_FULL = (
    "Redis is full and takes nothing new: give it more memory (maxmemory). Nothing is lost, work goes on then"
)


class OneLine(logging.Filter):
    """When Redis drops or is full, Celery logs a traceback for each message at hand: one line says the same.

    So it is when Redis does not let us do something.

    With LOG_LEVEL=DEBUG everything stays, and so does every error that is of another kind.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a line that was just said; the first one loses its traceback."""
        theirs = record.name.startswith(("celery.", "kombu."))
        if not theirs or not record.exc_info or logging.getLogger().level <= logging.DEBUG:
            return True
        causes = list(tracebacks.causes_of(record.exc_info[1]))
        if record.name == "celery.beat" and len(causes) > 1:  # beat wraps what happened, and tells its stack
            del causes[0]
            record.msg, record.args = "Message Error: %s", (str(record.exc_info[1]),)
        if any(isinstance(cause, redis.exceptions.OutOfMemoryError) for cause in causes):
            record.msg, record.args = _FULL, ()
            what: object = _FULL
        elif causes and isinstance(causes[0], redis.exceptions.NoPermissionError):
            record.exc_info = record.exc_text = None
            record.msg, record.args = (
                "Redis does not allow it: %s (vtexorders check says more)",
                (str(causes[0]),),
            )
            return True
        elif causes and isinstance(causes[0], billiard.exceptions.RestartFreqExceeded):
            record.msg, record.args = _AGAIN_AND_AGAIN, ()
            what = _AGAIN_AND_AGAIN
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        elif causes and isinstance(causes[0], _AWAY):
            what = (record.name, record.msg)
            record.levelno = min(record.levelno, logging.WARNING)
            record.levelname = logging.getLevelName(record.levelno)
        else:
            return True
        now = self._clock()
        if now - self._said.get(what, -_SAY_AGAIN_SECONDS) < _SAY_AGAIN_SECONDS:
            return False
        self._said[what] = now
        record.exc_info = record.exc_text = None
        return True


class Redactor:
    """A structlog processor that replaces known secret values, wherever a library may have put them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def __call__(self, _logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
        return {key: self.clean(value) for key, value in event.items()}

    def clean(self, value: Any) -> Any:
        """The value without any secret in it, however deep; an object that would show one becomes text."""
        if isinstance(value, str):
            for secret in self._secrets:
                if secret in value:
                    value = value.replace(secret, "***")
            return value
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self.clean(key): self.clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(inner) for inner in value]
        shown = f"{value!r} {value}"
        return self.clean(repr(value)) if any(secret in shown for secret in self._secrets) else value


def _local_time(zone: str) -> Callable[..., dict[str, Any]]:
    """For people: when it was where they are, before everything else (where structlog's console form puts it)."""
    there = ZoneInfo(zone)

    def stamp(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
        event["timestamp"] = datetime.now(there).isoformat(" ", "milliseconds")[:23]
        return event

    return stamp


def _for_people(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """What a person looks for first; which module and which message it was stays in the JSON form."""
    for name in ("task_id", "logger"):
        event.pop(name, None)
    first = ("timestamp", "level", "event", "order_id", "step", "why", "says", "do")
    return {name: event[name] for name in first if name in event} | event


def _no_arguments(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Celery hangs a task's arguments on its records (``data``, ``args``, ``kwargs``): they hold people's data."""
    for name in _ARGUMENTS:
        event.pop(name, None)
    return event


def _duration(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Seconds since the task began (``began`` by the monotonic clock)."""
    if (began := event.pop("began", None)) is not None:
        event["duration"] = round(time.monotonic() - began, 3)
    return event


def secrets_of(settings: Settings) -> set[str]:
    """Every value of the settings that must not be printed, passwords inside of addresses included."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - only needed once a process

    from workers.web import tokens  # noqa: PLC0415

    found = {s.reveal() for a in settings.accounts.values() for s in (a.app_key, a.app_token)}
    found.add(settings.flower_basic_auth.reveal().partition(":")[2])
    found.add(settings.metrics_basic_auth.reveal().partition(":")[2])
    found.add(urlsplit(settings.alarm_url.reveal()).path.strip("/"))  # where chat programs have a key
    found |= secrets_in(settings.alarm_url.reveal())
    found |= tokens.secrets_in(settings.web_tokens.reveal())
    found.add(settings.sentinel_password.reveal())
    stores = [settings, *(settings.of(name) for name in settings.accounts)]
    for one in stores:
        found |= {one.erp_token.reveal(), one.hook_secret.reveal()}
        for secret in one.erp_signing_secret.reveal().split():
            found |= {secret, secret.removeprefix("whsec_")}
        found |= secrets_in(one.erp_url)
    return found | secrets_in(settings.redis_url or "")


def set_up(settings: Settings, *, stream: Any = None) -> None:
    """Send every log record of this process (ours, Celery's, libraries') through one pipeline."""
    pretty = settings.log_format == "console"
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _duration,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _local_time(settings.timezone)
        if pretty
        else structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.stdlib.ExtraAdder(),
        _no_arguments,
        structlog.processors.ExceptionRenderer(tracebacks.rendered),
    ]
    last: list[Any] = (
        [
            _for_people,
            structlog.dev.ConsoleRenderer(
                sort_keys=False,
                pad_event_to=20,
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
        if pretty
        else [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    redactor: Any = Redactor(secrets_of(settings))
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        # redacted last, so that whatever another processor or a library put in is seen, and by the newest settings:
        # a logger that was used before keeps its own processors
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redactor,
            *last,
        ],
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry what is bound."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
