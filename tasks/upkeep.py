"""What keeps the system whole: the sweeper brings back what is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tasks.base import Tick, enqueue
from workers import telemetry
from workers.app import HANDLING, ORDERS, app
from workers.runtime import Link

log = telemetry.get(__name__)

LEASE_SECONDS = 60.0


@app.task(name="upkeep.sweep", base=Tick)
def sweep(link: Link) -> None:
    """Enqueue again what is parked until now, and what should have been looked at and was not."""
    if link.ledger.paused():
        return
    with link.ledger.alone("sweep", LEASE_SECONDS) as renew:
        if renew is not None:
            _sweep(link, renew)


def _sweep(link: Link, renew: Callable[[], object]) -> None:
    total = 0
    backlog = _queues_hold_all(link)
    while found := link.ledger.due(backlog=backlog):
        for order_id, step in found:
            enqueue(app, link.account.name, order_id, step)
        total += len(found)
        renew()
    if total:
        log.info("swept", orders=total)


def _queues_hold_all(link: Link) -> bool:
    """A long queue is not a loss: as many messages as open orders means that none is missing."""
    with link.ledger.redis.pipeline(transaction=False) as pipe:
        pipe.llen(ORDERS)
        pipe.llen(HANDLING)
        pipe.hlen("unacked")
        messages = sum(cast("list[int]", pipe.execute()))
    return messages >= link.ledger.counts().open - link.ledger.waiting_acks()
