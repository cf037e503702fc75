"""Every effect on the world outside, seen where it leaves the process, whatever code it comes from.

The seams are urllib3 (VTEX), redis-py (ledger and broker) and SQLAlchemy (ERP). What only reads Redis is no
effect; what reads VTEX is one, as the limiter and the leases stand around it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import threading
from collections.abc import Iterator

import redis
import urllib3.connectionpool
from redis.client import Pipeline
from sqlalchemy.engine.default import DefaultDialect

import workers.scripts
from workers.net.kept import Kept

DIED = 9  # the exit code
#: Redis commands that change nothing. One that is not here counts as an effect.
READS = frozenset(
    (
        *("GET", "MGET", "HGET", "HMGET", "HGETALL", "HVALS", "HLEN", "HEXISTS", "EXISTS", "LLEN", "LRANGE"),
        *("SCARD", "SMEMBERS", "ZCARD", "ZCOUNT", "ZRANGE", "ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE"),
        *("ZSCORE", "XRANGE", "XLEN", "SCAN", "SELECT", "INFO", "TIME", "PING", "SCRIPT LOAD"),
    )
)
#: Commands whose key says what they are for.
NAMED_BY_KEY = ("LPUSH", "RPOP", "SET")
#: What whoever calls VTEX or the ERP does now and then: it belongs to no task.
ANYWHERE = ("ledger pace", "ledger breaker", "ledger cool")
#: What is another one in each life: an order, a change.
_NUMBERS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{6,}(-\d+)?")


def scripts() -> dict[str, str]:
    """The names of the ledger's scripts by their checksums."""
    return {hashlib.sha1(text.encode()).hexdigest(): name for name, text in workers.scripts.scripts().items()}


class Seams:
    """Counts effects by name; ends the process before the ``turn``-th one (from 1) that is called ``die_before``."""

    def __init__(self, tell: int, die_before: str = "", turn: int = 1) -> None:
        self.seen: list[str] = []
        self.ticks: list[int] = []
        self.task = "broker"
        self._tell = tell
        self._die_before, self._turn = die_before, turn
        self._scripts = scripts()
        self._outside = threading.local()
        self._lock = threading.RLock()
        self._patch(urllib3.connectionpool.HTTPConnectionPool, "urlopen", self._http)
        self._patch(redis.Redis, "execute_command", self._command)
        Kept.execute_command = redis.Redis.execute_command  # the same calls, on connections of the pool
        self._patch(Pipeline, "execute", self._pipeline)
        self._patch(DefaultDialect, "do_execute", self._statement)
        self._patch(DefaultDialect, "do_commit", lambda *_: "ERP COMMIT")

    def tick(self) -> None:
        """What follows belongs to another tick of beat."""
        self.ticks.append(len(self.seen))

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """What happens in here is done by others."""
        self._outside.now = True
        try:
            yield
        finally:
            self._outside.now = False

    def _patch(self, owner: type, name: str, describe) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def seen(*args, **kwargs):
            if not getattr(self._outside, "now", False) and (what := describe(*args, **kwargs)):
                self._before(f"{'calls' if what in ANYWHERE else self.task}: {what}")
            return original(*args, **kwargs)

        setattr(owner, name, seen)

    def _before(self, what: str) -> None:
        with self._lock:
            self.seen.append(what)
            if what == self._die_before and self.seen.count(what) == self._turn:
                os.write(self._tell, what.encode())
                os._exit(DIED)

    # What each is called

    def _http(self, _pool, method, url, *_, **__) -> str:
        return f"{method} {_NUMBERS.sub('…', url.partition('?')[0])}"

    def _command(self, _client, *args, **_) -> str:
        name = str(args[0]).upper()
        if name in READS:
            return ""
        if name == "EVALSHA":
            return (
                f"ledger {self._scripts[sha]}" if (sha := str(args[1])) in self._scripts else "redis script"
            )
        return f"redis {name} {_NUMBERS.sub('…', str(args[1]))}" if name in NAMED_BY_KEY else f"redis {name}"

    def _pipeline(self, pipe, *_, **__) -> str:
        commands = [self._command(pipe, *args).removeprefix("redis ") for args, _ in pipe.command_stack]
        return " + ".join(dict.fromkeys(filter(None, commands)))

    def _statement(self, _dialect, _cursor, statement, *_, **__) -> str:
        words = statement.split()
        return f"ERP {' '.join(words[:3])}" if words[0] in ("INSERT", "UPDATE", "DELETE") else ""
