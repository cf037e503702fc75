"""Poll the feed and fan out: one chain of tasks an order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from tasks.base import Tick
from workers import errors, runtime, telemetry
from workers.app import app
from workers.dispatch import enqueue_all
from workers.feed_watch import gone, remember
from workers.runtime import IO_THREADS, Link, Runtime
from workers.vtex.client import LARGEST_LOT, FeedNotConfigured
from workers.vtex.schemas import Event

log = telemetry.get(__name__)

#: An empty read does not mean that nothing is there: believe it after this many in a row.
EMPTY_READS = 3
#: One tick reads no longer than this, so that a worker that must stop can; another one goes on at once. Seconds.
DRAIN_SECONDS = 20.0
LEASE_SECONDS = 30.0
#: Orders that may be open before anything is known about how quickly they end.
FIRST_CAPACITY = 500
#: VTEX's documented default visibility timeout, in seconds, for when the configuration cannot be read.
DEFAULT_VISIBILITY = 30.0


@app.task(name="feed.poll", base=Tick)
def poll(link: Link) -> None:
    """Read the feed until it is empty or enough orders are open. One process at a time does it."""
    more = False
    with link.ledger.alone("poll", LEASE_SECONDS) as renew:
        if renew is None:
            return
        link.ledger.remember("polled", link.ledger.now())
        try:
            if not link.ledger.paused():
                more = drain(runtime.current(), link, renew)
        except FeedNotConfigured:
            gone(link)
        except errors.OrderLinkError as error:
            link.trouble(error)
            log.warning("feed_stopped", why=str(error))
    if more:
        app.send_task("feed.poll", kwargs={"account": link.account.name})


def drain(process: Runtime, link: Link, renew: Callable[[], object]) -> bool:
    """Read lots until a few reads in a row are empty; more readers at once as long as a lot comes.

    Returns whether only the time was over, so that there is more to read.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    readers, empty, total = 1, 0, 0
    while empty < EMPTY_READS and not process.stopping.is_set():
        if time.monotonic() >= deadline:
            return True
        room = _room(link)
        if room <= 0:
            log.info("feed_waits", why="enough orders are open", read=total)
            break
        readers = min(readers, IO_THREADS, -(-room // LARGEST_LOT))
        reads = [link.io.submit(read_lot, link) for _ in range(readers)]
        got = _sum_up(reads)
        total += got
        empty = 0 if got else empty + 1
        # the feed gives short lots now and then, though more is there: do not be put off by one
        more = readers * 2 if got * 3 >= readers * LARGEST_LOT else max(1, readers // 2)
        readers = more if got else 1
        renew()
    return False


def read_lot(link: Link) -> int:
    """One read of the feed: record what it brought, start what is new. Returns how many items that was."""
    events, unusable = link.vtex.take_feed(LARGEST_LOT)
    fan_out(link, events)
    _set_aside(link, unusable)
    return len(events) + len(unusable)


def _sum_up(reads: list[Future[int]]) -> int:
    """Wait for all reads; a passing failure counts as an empty one, any other failure ends the drain."""
    serious: errors.OrderLinkError | None = None
    got = 0
    for read in reads:
        try:
            got += read.result()
        except (errors.Unavailable, errors.OutcomeUnknown) as error:
            log.warning("feed_read_failed", why=str(error))
        except errors.OrderLinkError as error:
            serious = error
    if serious:
        raise serious
    return got


def fan_out(link: Link, events: list[Event]) -> None:
    """Record the events; what is new starts its chain."""
    verdicts = link.ledger.observe(events)
    fresh = [
        event.order_id for event, verdict in zip(events, verdicts, strict=True) if verdict in ("new", "again")
    ]
    enqueue_all(link.account.name, fresh)


def _set_aside(link: Link, items: Iterable[dict[str, Any]]) -> None:
    """Feed items that name no order: kept for a person, then committed, so that they hold nothing back."""
    for item in items:
        log.error("unusable_feed_item", keys=sorted(map(str, item)))
        link.ledger.keep_oddity(item)
        handle = item.get("handle")
        if isinstance(handle, str) and handle:
            link.ledger.discard(handle)


def _room(link: Link) -> int:
    """How many more orders may be opened: no more than can end inside half of the visibility timeout."""
    visibility = link.ledger.recall("visibility") or DEFAULT_VISIBILITY
    if link.ledger.once_every("feed-config", 60):
        config = link.vtex.feed_config()
        remember(link, config)
        if config and config.visibility_timeout:
            visibility = config.visibility_timeout
            link.ledger.remember("visibility", visibility)
    capacity = max(FIRST_CAPACITY, int(link.ledger.finished_per_second() * visibility / 2))
    return capacity - link.ledger.counts().open
