"""What is looked at now and then though nothing told to: the feed itself, and orders that VTEX has not ended."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from tasks.base import Tick
from workers import errors, feed_watch, telemetry
from workers.app import app
from workers.conditions import ORDERS_STUCK, Fault
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED
from workers.reconcile import LOOK_BACK, look_at
from workers.runtime import Link
from workers.vtex import states
from workers.vtex.schemas import Event, Order
from workers.watchlist import LONGEST_LOOK, Watchlist, next_look

log = telemetry.get(__name__)

LEASE_SECONDS = 60.0
#: A tick looks at so large a share of what the store's pace allows in a minute, and at least at so many orders.
SHARE, LEAST = 0.02, 10
#: Seconds until an order that could not be read is looked at again.
AGAIN_SECONDS = 600.0


@app.task(name="upkeep.watch_feed", base=Tick)
def watch_feed(link: Link) -> None:
    """Whether the feed is there, ours and read. After a gap, VTEX's list is searched at once."""
    if "vtex" in link.ledger.paused():
        return
    with link.ledger.alone("watch-feed", LEASE_SECONDS) as renew:
        if renew is None:
            return
        try:
            fresh = feed_watch.watch(link)
        except errors.OrderLinkError as error:
            link.trouble(error)
            log.warning("feed_not_watched", why=str(error))
            return
    if fresh:
        app.send_task("upkeep.reconcile", kwargs={"account": link.account.name}, expires=60)


@app.task(name="upkeep.look_again", base=Tick)
def look_again(link: Link) -> None:
    """Read orders again that the ERP has and VTEX has not ended: a cancellation may have got lost, or stand still."""
    if "vtex" in link.ledger.paused() or link.settings.shadow:
        return
    with link.ledger.alone("look-again", LEASE_SECONDS) as renew:
        if renew is None:
            return
        watchlist = Watchlist(link.ledger)
        for order_id in watchlist.due(max(LEAST, int(link.account.requests_per_minute * SHARE))):
            try:
                _look(link, watchlist, link.vtex.get_order(order_id))
            except errors.NotFound:
                watchlist.drop(order_id)  # VTEX shows orders for two years
            except errors.RateLimited as error:
                link.trouble(error)
                break
            except errors.OrderLinkError as error:
                link.trouble(error)
                log.warning("not_looked_at", order_id=order_id, why=str(error))
                if not isinstance(error, errors.Permanent):
                    watchlist.later(order_id, AGAIN_SECONDS)
                    break
                watchlist.later(order_id, LONGEST_LOOK)
            renew()
        _tell_what_stands_still(link, watchlist)


def _look(link: Link, watchlist: Watchlist, order: Order) -> None:
    ((state, told),) = link.ledger.told([order.order_id])
    if _is_news(order, state, told):
        look_at(link, [Event("", "", order.order_id, order.status, None, order.last_change)])
    now = link.ledger.now()
    limit = states.STANDS_STILL.get(order.status or "")
    quiet = _age(order.last_change, now)
    if limit is not None and quiet > limit:
        watchlist.stands_still(order.order_id, order.status or "", order.last_change)
    else:
        watchlist.moves(order.order_id)
        if (
            order.status in ("canceled", "invoiced")
            or _age(order.creation_date, now) > LOOK_BACK.total_seconds()
        ):
            watchlist.drop(order.order_id)
            return
    wait = next_look(quiet, requested=order.status in states.CANCELLATION_REQUESTED)
    if limit is not None and quiet <= limit:
        wait = min(wait, limit - quiet + 1)
    watchlist.later(order.order_id, wait)


def _is_news(order: Order, state: str | None, told: str) -> bool:
    """Whether the ERP was last told something else than what VTEX says now."""
    bearing = states.bearing(order.status)
    if state in ("open", "parked") or not bearing:
        return False
    if state is None:  # the record is lost: that it goes on, the ERP need not be told again
        return bearing == "cancels"
    if not told:
        return False
    if bearing == "goes on":
        return told == CANCELLATION_REQUESTED
    return told != CANCELED and (told != CANCELLATION_REQUESTED or order.status in states.CANCELED)


def _tell_what_stands_still(link: Link, watchlist: Watchlist) -> None:
    stuck = watchlist.stuck()
    if not stuck:
        link.conditions.end(ORDERS_STUCK)
        return
    kinds = ", ".join(
        f"{status} {n}" for status, n in Counter(status for status, _ in stuck.values()).items()
    )
    says = f"{len(stuck)} orders stand still at VTEX ({kinds}; such as {next(iter(stuck))})"
    do = "vtexorders reconcile --dry-run lists them; VTEX's support can move them on"
    link.conditions.begin(Fault(ORDERS_STUCK, says, do))


def _age(instant: str, now: float) -> float:
    """Seconds since one of VTEX's instants; 0 if it did not say. Good for hours: VTEX's clock is not Redis'."""
    if not instant:
        return 0.0
    return max(0.0, now - datetime.fromisoformat(instant).timestamp())
