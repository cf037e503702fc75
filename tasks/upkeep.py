"""What keeps the system whole: the sweeper brings back what is due, reconciliation what the feed did not tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from logging import ERROR, WARNING
from typing import Literal, cast

from tasks import bereaved
from tasks.base import Tick
from workers import errors, intake, runtime, telemetry
from workers.app import app
from workers.dispatch import enqueue
from workers.erp.sink import Delivery, Forgetful
from workers.feed_watch import GAP, LISTED, shared
from workers.outcome import report
from workers.queues import COMMANDS, HANDLING, ORDERS
from workers.reconcile import LOOK_BACK, close_gap, close_other_gaps
from workers.runtime import Link

log = telemetry.get(__name__)

LEASE_SECONDS = 60.0
#: Seconds until VTEX's list is searched again for cancellations and for what is under way.
LIST_AGAIN_SECONDS = 6 * 3600.0
#: Short, as a sweep that died with its worker holds up the recovery of all that died with it. Renewed while it goes on.
SWEEP_LEASE_SECONDS = 15.0
#: So many ends are told at once; whoever tells looks for more after so many seconds, and makes room after so many.
TELL_LOT, TELL_PAUSE_SECONDS, TELL_SECONDS = 20, 0.05, 30.0
#: What the ERP was told is written down for a lot together, unless that takes longer.
SLOW_SECONDS = 1.0
#: So many messages in flight are looked at one by one.
LOOKED_AT = 2000
#: So often it is looked whether messages are missing, and so many seconds apart.
LOOKS, LOOK_AGAIN_SECONDS = 4, 0.05


@app.task(name="upkeep.sweep", base=Tick)
def sweep(link: Link) -> None:
    """Enqueue again what is parked until now, and what should have been looked at and was not."""
    if "vtex" in link.ledger.paused():
        return
    with link.ledger.alone("sweep", SWEEP_LEASE_SECONDS) as renew:
        if renew is not None:
            _sweep(link, renew)


@app.task(name="upkeep.reconcile", base=Tick)
def reconcile(link: Link) -> None:
    """Take in what waits at VTEX and is not known here: events that were lost, or a ledger that was.

    What waits no more is searched for seldom, and soon after the ledger began anew or the feed had a gap.
    """
    if link.ledger.paused() or link.settings.shadow:
        return
    with link.ledger.alone("reconcile", LEASE_SECONDS) as renew:
        if renew is None:
            return
        link.ledger.forget_deliveries()
        until = datetime.now(UTC) - timedelta(seconds=link.settings.reconcile_min_age)
        try:
            gap = close_gap(link, until - LOOK_BACK, until, renew)
            if link.ledger.recall(LISTED) is None or link.ledger.recall(GAP) is not None:
                close_other_gaps(link, gap, until - LOOK_BACK, until, renew)
                link.ledger.remember(LISTED, link.ledger.now(), LIST_AGAIN_SECONDS)
        except errors.OrderLinkError as error:
            link.trouble(error)
            log.warning("reconcile_failed", why=str(error))
            return
        link.ledger.remember("reconcile_missing", len(gap.missing))
        link.ledger.remember("reconcile_dead", len(gap.dead))
        shared(link, gap.strangers)
        if gap.missing or gap.dead or gap.canceled:
            log.warning(
                "reconciled",
                taken_in=len(gap.missing),
                dead_but_waiting=len(gap.dead),
                cancellations=len(gap.canceled),
            )


@app.task(name="upkeep.expire", base=Tick)
def expire(link: Link) -> None:
    """Erase personal data that is older than the retention period."""
    days = link.settings.retention_days
    if not days or link.settings.shadow:
        return
    before = link.ledger.now() - days * 86400
    gone = link.commands.expire(before) + link.ledger.forget_dead(before)
    try:
        gone += link.sink.expire(before) if isinstance(link.sink, Forgetful) else 0
    except errors.OrderLinkError as error:
        log.warning("expire_failed", why=str(error))
    if gone:
        log.info("expired", documents=gone)


@app.task(name="orders.tell", base=Tick)
def tell(link: Link) -> None:
    """Tell the ERP how its commands ended; each until it has it.

    It stays for what ends meanwhile, so that many commands need one message. What it cannot keep up with is left to
    one more.
    """
    if "erp" in link.ledger.paused() or link.settings.shadow:
        return
    until, alone = time.monotonic() + TELL_SECONDS, True
    while ids := link.commands.untold(TELL_LOT):
        if len(ids) == TELL_LOT and alone:
            alone = False
            app.send_task("orders.tell", kwargs={"account": link.account.name})
        if not _tell_lot(link, ids):
            return
        if time.monotonic() > until or runtime.current().stopping.is_set():
            if alone:
                app.send_task("orders.tell", kwargs={"account": link.account.name})
            return
        if len(ids) < TELL_LOT:
            time.sleep(TELL_PAUSE_SECONDS)


def _tell_lot(link: Link, ids: Sequence[str]) -> bool:
    """Tell of some ends. False: the ERP takes nothing now."""
    book, written = link.commands, time.monotonic()
    records = dict(zip(ids, book.records(ids), strict=True))
    reports = {id_: report(record, link.account.name) for id_, record in records.items() if record}
    ends = {id_: record.ended if record else None for id_, record in records.items()}
    if link.deliver_ends(list(reports.values())):
        book.told_all(ends)
        return True
    told: dict[str, float | None] = {}
    try:
        for id_, ended in ends.items():
            if id_ in reports:
                match _tell(link, id_, reports[id_], ended):
                    case "later":
                        continue  # the others must not wait for it
                    case "paused":
                        return False
            told[id_] = ended
            if time.monotonic() - written > SLOW_SECONDS:  # or they would be told once more meanwhile
                book.told_all(told)
                told, written = {}, time.monotonic()
    finally:
        book.told_all(told)
    return True


def _tell(link: Link, id_: str, end: Delivery, ended: float | None) -> Literal["told", "later", "paused"]:
    try:
        link.deliver(end)
    except errors.SinkDenied as error:
        link.trouble(error)
        return "paused"
    except errors.Retryable as error:
        if link.paused_at(error):
            return "paused"
        late = ended and link.ledger.now() - ended > link.policy.horizon
        log.log(ERROR if late else WARNING, "not_told", command=id_, why=str(error))
        if not late:
            return "later"
    except errors.Permanent as error:
        log.error("erp_refuses_outcome", command=id_, why=str(error))
    return "told"


def _sweep(link: Link, renew: Callable[[], object]) -> None:
    total = bereaved.take_over(link)
    backlog = _queues_hold_all(link)
    while found := link.ledger.due(backlog=backlog):
        for order_id, step in found:
            enqueue(link.account.name, order_id, step)
        total += len(found)
        renew()
    waiting = bool(link.ledger.redis.llen(link.queues[COMMANDS]))
    while asked := link.commands.due(waiting=waiting):
        for command, kind, order_id in asked:
            intake.enqueue(link.account.name, command, kind, order_id)
        total += len(asked)
        renew()
    if total:
        log.info("swept", orders=total)


def _queues_hold_all(link: Link) -> bool:
    """A long queue is not a loss: as many messages as open orders means that none is missing.

    A message is in no place for the moment in which it is fetched or published. What stays away is lost.
    """
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_AGAIN_SECONDS)
        with link.ledger.redis.pipeline() as pipe:  # one instant
            pipe.llen(link.queues[ORDERS])
            pipe.llen(link.queues[HANDLING])
            pipe.hget(link.ledger.key("counts"), "open")
            pipe.zcard(link.ledger.key("acks"))
            orders, handling, still_open, commits = (int(n or 0) for n in pipe.execute())
        if orders + handling + _in_flight(link) >= still_open - commits:
            return True
    return False


def _in_flight(link: Link) -> int:
    """How many messages of the store's orders the workers hold.

    What a worker fetched long ago does not count: that worker died with it. Nor do messages of other kinds,
    such as the tick that runs this: they would hide as many losses.
    """
    broker, ours = link.ledger.redis, {link.queues[ORDERS], link.queues[HANDLING]}
    newest = time.time() - link.ledger.patience
    found, start = 0, 0
    while True:
        tags = cast(
            "list[str]",
            broker.zrevrangebyscore("unacked_index", "+inf", newest, start=start, num=LOOKED_AT),
        )
        if len(tags) == LOOKED_AT and ours == {ORDERS, HANDLING}:
            # one store's alone: so many that a few of another kind do not matter
            return int(broker.zcount("unacked_index", newest, "+inf"))
        held = cast("list[str | None]", broker.hmget("unacked", tags)) if tags else []
        found += sum(json.loads(text)[2] in ours for text in held if text)  # message, exchange, key
        if len(tags) < LOOKED_AT:
            return found
        start += LOOKED_AT
