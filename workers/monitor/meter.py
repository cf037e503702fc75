"""Counts in memory; the totals of all processes stand in Redis.

Each process adds what it counted to one hash a store, every few seconds (with its heartbeat). So there is one set of
numbers, whichever and however many processes there are on whatever machine; a worker's end loses none of them
(``kill -9``: those of the last seconds); and alarms, the console and Prometheus read the same. A count costs a lock
and an addition, and no call of Redis.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

import redis

from workers.monitor.catalog import COUNTED

if TYPE_CHECKING:
    from workers.ledger import Ledger

_KEY = "metrics"


class Meter:
    """One account's counts of this process, between two :meth:`flush`. Fields are ``name|label|…[|bucket]``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._counts: defaultdict[str, float] = defaultdict(float)

    def count(self, name: str, *labels: str) -> None:
        """One more. Labels as in the catalog, without the account."""
        key = "|".join((name, *labels))
        with self._lock:
            self._counts[key] += 1

    def observe(self, name: str, value: float, *labels: str) -> None:
        """One more value of a histogram."""
        bounds = COUNTED[name].buckets
        place = bisect_left(bounds, value)
        key = "|".join((name, *labels))
        with self._lock:
            self._counts[f"{key}|{place}"] += 1
            self._counts[f"{key}|sum"] += value

    def called(self, endpoint: str, status: int | None, seconds: float) -> None:
        """A call of VTEX ended with that status (None: without an answer)."""
        self.count("vtexorders_vtex_requests_total", endpoint, str(status or "none"))
        self.observe("vtexorders_vtex_request_seconds", seconds, endpoint)

    def flush(self) -> bool:
        """Add to the totals; what Redis did not take stays for the next time. False: it did not."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
        if not counts:
            return True
        try:
            with self._ledger.redis.pipeline() as pipe:  # whole or not at all
                for key, value in counts.items():
                    pipe.hincrbyfloat(self._ledger.key(_KEY), key, value)
                pipe.execute()
        except redis.RedisError:
            with self._lock:
                for key, value in counts.items():
                    self._counts[key] += value
            return False
        return True


def totals(ledger: Ledger) -> dict[str, float]:
    """What all processes counted: field → number."""
    return {str(key): float(value) for key, value in ledger.redis.hgetall(ledger.key(_KEY)).items()}
