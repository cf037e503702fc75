"""What is wrong with an account as a whole: raised once and cleared once, by whichever process sees it.

Kept in Redis, so that every process and every command sees the same. A log line tells when one begins and when it
ends; ``status`` and ``check`` show what lasts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from workers import telemetry
from workers.ledger import Ledger

log = telemetry.get(__name__)

FEED_GONE = "feed_gone"
FEED_FILTER = "feed_filter"
FEED_BACKLOG = "feed_backlog"
FEED_SHARED = "feed_shared"
ORDERS_STUCK = "orders_stuck"
#: All there are; the names of metrics and alarms.
NAMES = (FEED_GONE, FEED_FILTER, FEED_BACKLOG, FEED_SHARED, ORDERS_STUCK)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong: in one sentence, and what to do about it. ``look``: it may be harmless."""

    name: str
    says: str
    do: str = ""
    level: Literal["look", "bad"] = "bad"


@dataclass(frozen=True, slots=True)
class Condition:
    """A fault that lasts, since when (seconds since 1970)."""

    name: str
    says: str
    do: str
    since: float


class Conditions:
    """One account's."""

    def __init__(self, ledger: Ledger) -> None:
        self._redis = ledger.redis
        self._key = ledger.key("conditions")
        self._now = ledger.now

    def settle(self, looked_at: Iterable[str], faults: Iterable[Fault]) -> None:
        """After a look: these faults are there, and what else was looked at is not (any more)."""
        found: Mapping[str, Fault] = {fault.name: fault for fault in faults}
        for name in looked_at:
            if name in found:
                self.begin(found[name])
            else:
                self.end(name)

    def begin(self, fault: Fault) -> None:
        """It is there. Only the first to see it says so."""
        fresh = {"says": fault.says, "do": fault.do, "since": self._now()}
        if self._redis.hsetnx(self._key, fault.name, json.dumps(fresh)):
            log.error("condition", condition=fault.name, says=fault.says, do=fault.do)
        elif (known := self._redis.hget(self._key, fault.name)) is not None:
            since = json.loads(str(known))["since"]
            self._redis.hset(self._key, fault.name, json.dumps(fresh | {"since": since}))

    def end(self, name: str) -> None:
        """It is over, if it was there."""
        known = self._redis.hget(self._key, name)
        if known is not None and self._redis.hdel(self._key, name):
            lasted = round(self._now() - json.loads(str(known))["since"])
            log.warning("condition_over", condition=name, lasted=lasted)

    def all(self) -> list[Condition]:
        """What lasts, the oldest first."""
        stored = cast("dict[str, str]", self._redis.hgetall(self._key))
        found = [Condition(name, **json.loads(text)) for name, text in stored.items()]
        return sorted(found, key=lambda condition: condition.since)
