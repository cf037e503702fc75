"""Orders that the ERP has and that are not invoiced yet: VTEX is asked about each now and then, until it is over.

Its feed may have told of a cancellation while nobody could hear it. Here is when to look at which order next, and which
of them stand still at VTEX. The ledger's scripts put an order in when the ERP gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from workers.ledger import Ledger

#: Seconds between two looks: a quarter of the time since the order last changed, within these bounds.
SHORTEST_LOOK, LONGEST_LOOK = 3600.0, 86400.0
#: While a cancellation is requested somebody waits for the answer.
SHORTEST_IF_REQUESTED = 600.0


def next_look(quiet: float, *, requested: bool) -> float:
    """Seconds until the next look at an order that has not changed for ``quiet`` seconds."""
    return min(max(quiet / 4, SHORTEST_IF_REQUESTED if requested else SHORTEST_LOOK), LONGEST_LOOK)


class Watchlist:
    """One account's."""

    def __init__(self, ledger: Ledger) -> None:
        self._redis = ledger.redis
        self._watch = ledger.key("watch")
        self._stuck = ledger.key("stuck")
        self._now = ledger.now

    def __len__(self) -> int:
        """How many orders are watched."""
        return int(self._redis.zcard(self._watch))

    def due(self, limit: int) -> list[str]:
        """The orders to look at now, the one that waits longest first."""
        ids = self._redis.zrangebyscore(self._watch, "-inf", self._now(), start=0, num=limit)
        return cast("list[str]", ids)

    def later(self, order_id: str, seconds: float) -> None:
        """Look at it again then."""
        self._redis.zadd(self._watch, {order_id: self._now() + seconds})

    def add(self, order_ids: Sequence[str], within: float) -> int:
        """Watch these, too: the first looks are spread over so many seconds. How many were not watched yet."""
        if not order_ids:
            return 0
        now, step = self._now(), within / len(order_ids)
        looks = {order_id: now + step * place for place, order_id in enumerate(order_ids)}
        return int(str(self._redis.zadd(self._watch, looks, nx=True)))

    def drop(self, order_id: str) -> None:
        """It is over."""
        self._redis.zrem(self._watch, order_id)
        self.moves(order_id)

    def stands_still(self, order_id: str, status: str, since: str) -> None:
        """VTEX itself should have moved it on from that status, in which it is since then."""
        self._redis.hset(self._stuck, order_id, f"{status} {since}")

    def moves(self, order_id: str) -> None:
        """It does not stand still (any more)."""
        self._redis.hdel(self._stuck, order_id)

    def stuck(self) -> dict[str, tuple[str, str]]:
        """Orders that stand still: ``{order id: (status, since)}``, with VTEX's instants, the longest first."""
        stored = cast("dict[str, str]", self._redis.hgetall(self._stuck))
        rows = [(order_id, *text.partition(" ")[::2]) for order_id, text in stored.items()]
        return {order_id: (status, since) for order_id, status, since in sorted(rows, key=lambda row: row[2])}
