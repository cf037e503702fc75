"""Poll the feed and fan out: one chain of tasks an order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
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
#: Seconds between two looks at how many more orders may be opened; also whenever none may.
LOOK_SECONDS = 0.5
#: So often, and so many seconds apart, it is looked for room before the drain ends for want of it.
ROOM_LOOKS, ROOM_SECONDS = 10, 0.2
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
    """Read lots until a few reads in a row are empty; more readers at once as long as lots come.

    A reader that has ended is followed by the next one at once: none waits for the others. Returns whether there may be
    more to read.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    readers, empty, full, total, room, looked = 1, _Empty(), 0, 0, 0, 0.0
    reads: dict[Future[int], float] = {}  # and when they began
    more = False
    try:
        while empty.in_a_row < EMPTY_READS and not process.stopping.is_set():
            now = time.monotonic()
            more = now >= deadline
            if more:
                break
            if room <= 0 or now - looked > LOOK_SECONDS:
                renew()
                room, looked = _room(link) - LARGEST_LOT * len(reads), now
            if room <= 0 and not reads:
                if full >= ROOM_LOOKS:
                    log.info("feed_waits", why="enough orders are open", read=total)
                    break
                full += 1
                process.stopping.wait(ROOM_SECONDS)  # some of them end meanwhile
                continue
            full = 0
            while room > 0 and len(reads) < readers:
                reads[link.io.submit(read_lot, link)] = time.monotonic()
                room -= LARGEST_LOT
            for read in wait(reads, return_when=FIRST_COMPLETED).done:
                began, got = reads.pop(read), _outcome(read)
                total += got
                empty.note(began, got)
                readers = _readers(readers, got)
    finally:
        wait(reads)  # none outlives the lease, also if another one ended the drain
    for read in reads:
        _outcome(read)
    return more


class _Empty:
    """How many reads in a row brought nothing. What was asked at the same time counts as one.

    Where ten orders come a second, the many readers of what had gathered would else end the reading together, and what
    comes from then on would wait for the next tick: as would, again, what had gathered by then.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self._last = 0.0

    def note(self, began: float, got: int) -> None:
        """A read that began then has ended, and brought so much."""
        if got:
            self.in_a_row = 0
        elif began >= self._last:
            self.in_a_row += 1
            self._last = time.monotonic()


def _readers(now: int, got: int) -> int:
    """How many read at once after a read that brought so much.

    The feed gives short lots now and then, though more is there: one of them does not put off all readers.
    """
    if not got:
        return 1
    return min(now * 2, IO_THREADS) if got * 3 >= LARGEST_LOT else max(1, now // 2)


def read_lot(link: Link) -> int:
    """One read of the feed: record what it brought, start what is new. Returns how many items that was."""
    events, unusable = link.vtex.take_feed(LARGEST_LOT)
    fan_out(link, events)
    _set_aside(link, unusable)
    return len(events) + len(unusable)


def _outcome(read: Future[int]) -> int:
    """What a read brought; a passing failure counts as an empty read, any other one ends the drain."""
    try:
        return read.result()
    except (errors.Unavailable, errors.OutcomeUnknown) as error:
        log.warning("feed_read_failed", why=str(error))
        return 0


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
