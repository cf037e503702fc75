"""What keeps the system whole: the sweeper brings back what is due."""

from __future__ import annotations

from typing import cast

from redis.exceptions import LockError

from tasks.base import enqueue
from workers import runtime, telemetry
from workers.app import HANDLING, ORDERS, app
from workers.runtime import Link

log = telemetry.get(__name__)

LEASE_SECONDS = 60.0


@app.task(name="upkeep.sweep")
def sweep(*, account: str) -> None:
    """Enqueue again what is parked until now, and what should have been looked at and was not."""
    link = runtime.current().link(account)
    if link.ledger.paused():
        return
    lease = link.ledger.exclusive("sweep", LEASE_SECONDS)
    if not lease.acquire():
        return
    try:
        _sweep(link)
    finally:
        try:
            lease.release()
        except LockError:
            log.warning("sweep_lease_lost", account=account)


def _sweep(link: Link) -> None:
    total = 0
    backlog = _queues_hold_all(link)
    while found := link.ledger.due(backlog=backlog):
        for order_id, step in found:
            enqueue(app, link.account.name, order_id, step)
        total += len(found)
    if total:
        log.info("swept", orders=total, account=link.account.name)


def _queues_hold_all(link: Link) -> bool:
    """A long queue is not a loss: as many messages as open orders means that none is missing."""
    with link.ledger.redis.pipeline(transaction=False) as pipe:
        pipe.llen(ORDERS)
        pipe.llen(HANDLING)
        pipe.hlen("unacked")
        messages = sum(cast("list[int]", pipe.execute()))
    return messages >= link.ledger.counts().open - link.ledger.waiting_acks()
