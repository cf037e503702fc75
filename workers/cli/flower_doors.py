"""Two doors that Flower leaves open, shut in the process that runs it and in no other.

What it is asked to send it reads as any JSON, and of a name that stands twice it takes the last value; its metrics it
shows to everybody, whoever has to give a password for all the rest.
"""

from __future__ import annotations

from typing import Any

from flower.api import tasks
from flower.views.monitor import Metrics
from tornado import web

from workers import strict_json


def shut() -> None:
    """From now on."""
    tasks.json_decode = _message
    Metrics.get = web.authenticated(Metrics.get)


def _message(body: bytes) -> Any:
    """A task that is to be sent, read as a request over HTTP is; ValueError says what is wrong, and Flower tells it."""
    try:
        return strict_json.read(body)
    except strict_json.Unreadable as wrong:
        raise ValueError(f"the message {wrong}") from None
