"""Each process says every few seconds that it lives: to the others in Redis, and to its own machine in a file.

Celery's own ping asks over pub/sub and waits; in Redis this is one key a process that expires by itself. The file, in
DATA_DIR, is for ``vtexorders health`` and needs no Redis: a process that waits for Redis must not be killed for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import redis

from workers import deaths, keys, private, telemetry

EVERY, EXPIRES = 5.0, 20
#: A main loop that was silent for so long takes no work now; for so long, although Redis answers: it hangs. Seconds.
SILENT, HANGS = 15.0, 60.0
#: A worker that stopped beating is missed for so long. Seconds.
MISSED = 3600.0

log = telemetry.get(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What a process says of itself. Not live: it must be started again. Not ready: it can do nothing now."""

    name: str
    kind: str
    pid: int
    live: bool
    ready: bool
    why: str


class Heartbeat(threading.Thread):
    """Beats until :meth:`stop`; a Redis that is away is waited for.

    The main loop of the process calls :meth:`pulse` each time around. ``also`` is called with each beat.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        queues: list[str],
        *,
        kind: str = "worker",
        folder: Path | None = None,
        also: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._redis = client
        self._name, self._kind = name, kind
        #: Another process may have the same name and process id after this one died (in a container, say).
        self.who = f"{name}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._key = keys.process(kind) + self.who
        self._about = {"pid": os.getpid(), "queues": queues, "since": time.time()}
        self._file = folder and folder / f"{socket.gethostname()}-{os.getpid()}.json"
        self._also = also
        self._clock = clock
        self._looped = clock()
        self._redis_since: float | None = None  # since when Redis has answered every time
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat."""
        while not self._stopped.is_set():
            self.beat()
            # to be known as living soon after Redis is there again
            self._stopped.wait(EVERY if self._redis_since is not None else 1.0)

    def beat(self) -> None:
        """Say it once."""
        try:
            # a Redis that is full still takes this, and not that
            if not self._redis.expire(self._key, EXPIRES):
                self._redis.set(self._key, json.dumps(self._about), ex=EXPIRES)
            if self._redis_since is None:
                self._redis_since = self._clock()
            if self._kind == "worker":
                self._redis.zadd(keys.WORKERS, {self.who: time.time()})
                deaths.lives(self._redis, self.who)
        except redis.OutOfMemoryError as error:
            log.debug("heartbeat_refused", error=type(error).__name__)
        except redis.RedisError as error:
            self._redis_since = None
            log.debug("heartbeat_missed", error=type(error).__name__)
        self._also()
        self._write()

    def pulse(self) -> None:
        """The main loop came around."""
        self._looped = self._clock()

    def health(self) -> Health:
        """How this process is."""
        now = self._clock()
        silent = now - self._looped
        answered = now - self._redis_since if self._redis_since is not None else 0.0
        hangs = min(silent, answered) > HANGS
        why = ""
        if hangs:
            why = f"its main loop has not come around for {silent:.0f} s, although Redis answers"
        elif self._redis_since is None:
            why = "Redis does not answer"
        elif silent > SILENT:
            why = f"its main loop has not come around for {silent:.0f} s"
        return Health(self._name, self._kind, os.getpid(), live=not hangs, ready=not why, why=why)

    def stop(self) -> None:
        """The process ends in order: it is gone at once, not when the key expires."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=2 * EVERY)
        if self._file:
            with contextlib.suppress(OSError):
                self._file.unlink()
        try:
            self._redis.delete(self._key)
            self._redis.zrem(keys.WORKERS, self.who)
            deaths.ended(self._redis, self.who)
        except redis.RedisError as error:
            log.debug("heartbeat_not_removed", error=type(error).__name__)

    def _write(self) -> None:
        if not self._file:
            return
        fresh = self._file.with_suffix(".new")
        try:
            for folder in (self._file.parent.parent, self._file.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            private.check_folder(self._file.parent)
            private.write_new(fresh, json.dumps(asdict(self.health())))
            fresh.replace(self._file)
        except OSError as error:
            log.debug("heartbeat_not_written", error=type(error).__name__)


def living(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """The worker processes that beat: name → pid, queues, since (seconds since 1970)."""
    names = sorted(client.scan_iter(match=f"{keys.WORKER}*", count=1000))
    said = client.mget(names) if names else []
    return {
        name.removeprefix(keys.WORKER): json.loads(text)
        for name, text in zip(names, said, strict=True)
        if text
    }


def beats(client: redis.Redis) -> int:
    """How many beats there are."""
    return sum(1 for _ in client.scan_iter(match=f"{keys.BEAT}*", count=1000))


def lost(client: redis.Redis, living: dict[str, dict[str, Any]]) -> list[str]:
    """The workers that stopped beating in the last hour without a word, and that no other one came for.

    Who came: a worker of the same name, or one that began later.
    """
    known = cast(
        "list[tuple[str, float]]",
        client.zrangebyscore(keys.WORKERS, time.time() - MISSED, "+inf", withscores=True),
    )
    came = dict(living)
    missing = []
    for who, last in known:  # the first to be lost is the first to be replaced
        if who in living:
            continue
        name = who.partition(":")[0]
        same = next((one for one in came if one.partition(":")[0] == name), None)
        instead = same or next((one for one, about in came.items() if about["since"] > last), None)
        if instead:
            del came[instead]
        else:
            missing.append(who)
    return missing


def here(folder: Path) -> list[Health]:
    """What the processes of this machine with this DATA_DIR last said of themselves; a dead one is not live."""
    said = []
    for file in sorted(folder.glob(f"{socket.gethostname()}-*.json")):
        try:
            health = Health(**json.loads(private.read_own(file)))
            age = time.time() - file.stat().st_mtime
        except (OSError, ValueError, TypeError):
            continue  # it ended just now, or another version wrote it
        why = ""
        if not _exists(health.pid):
            why = "it died"
        elif age > EXPIRES:
            why = f"it has said nothing for {age:.0f} s"
        said.append(
            Health(health.name, health.kind, health.pid, live=False, ready=False, why=why) if why else health
        )
    # a dead one whose place was taken is history
    taken = {health.name for health in said if health.live}
    return [health for health in said if health.live or health.name not in taken]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
