"""Each worker process says every few seconds that it lives, and which queues it serves.

Celery's own ping asks over pub/sub and waits; this is one key a process that expires by itself.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import redis

from workers import telemetry

EVERY, EXPIRES = 5.0, 20
_PREFIX = "vo:worker:"

log = telemetry.get(__name__)


class Heartbeat(threading.Thread):
    """Beats until :meth:`stop`; a Redis that is away is waited for."""

    def __init__(self, client: redis.Redis, name: str, queues: list[str]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._redis = client
        #: Another process may take the same name after this one died: the process id tells them apart.
        self.who = f"{name}:{os.getpid()}"
        self._key = _PREFIX + self.who
        self._about = {"pid": os.getpid(), "queues": queues, "since": time.time()}
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat."""
        while not self._stopped.is_set():
            try:
                self._redis.set(self._key, json.dumps(self._about), ex=EXPIRES)
            except redis.RedisError as error:
                log.debug("heartbeat_missed", error=type(error).__name__)
            self._stopped.wait(EVERY)

    def stop(self) -> None:
        """The process ends in order: it is gone at once, not when the key expires."""
        self._stopped.set()
        self.join(timeout=2 * EVERY)
        try:
            self._redis.delete(self._key)
        except redis.RedisError as error:
            log.debug("heartbeat_not_removed", error=type(error).__name__)


def living(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """The worker processes that beat: name → pid, queues, since (seconds since 1970)."""
    names = sorted(client.scan_iter(match=f"{_PREFIX}*", count=1000))
    said = client.mget(names) if names else []
    return {
        name.removeprefix(_PREFIX): json.loads(text) for name, text in zip(names, said, strict=True) if text
    }
