"""Compares VTEX's order list with the ledger: what the feed did not tell, or a ledger that was lost.

- Orders that wait in ready-for-handling and are not known here are taken in.
- Cancellations that the ERP was not told of are looked at. Only an order that was authorized can have been in the ERP,
  and only one from before the ledger's beginning can be there without a record.
- Orders that are under way at VTEX and not known here are watched from now on (:mod:`workers.watchlist`).

The list ends after 3,000 rows, so a window of time with more in it is halved. The list lags behind by minutes and shows
old states now and then, so what it says is only a reason to look (VTEX's orders API reference, known issues).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from workers import errors, feed_watch
from workers.dispatch import enqueue
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED
from workers.runtime import Link
from workers.vtex import states
from workers.vtex.client import LARGEST_PAGE, LAST_PAGE, Vtex
from workers.vtex.schemas import Event, OrderPage, OrderRow
from workers.watchlist import Watchlist

#: How far back waiting orders are looked for. VTEX cancels what nobody handles long before.
LOOK_BACK = timedelta(days=60)
#: How far back lost cancellations are looked for, by the orders' authorization: as long as VTEX keeps feed events.
CANCELED_LOOK_BACK = timedelta(days=14)
#: A window is not halved below this: 3,000 orders a second are not to be expected.
SHORTEST_WINDOW = timedelta(seconds=1)
#: Seconds over which the first looks at orders are spread that are watched anew.
SPREAD_SECONDS = 3600.0
#: So often a page is asked for, and so many seconds apart; at the most so long it waits for its turn in our own pace.
TRIES, TRY_AGAIN_SECONDS, LONGEST_WAIT = 3, 0.3, 10.0
#: By so many seconds VTEX's clock and Redis' may differ.
CLOCKS_DIFFER = 3600.0
#: States that VTEX's reference names as filters of the list. Others may work as well, or be refused, or ignored.
_FILTERS = frozenset({states.READY_FOR_HANDLING, "handling", "canceled"})
_CAP = LARGEST_PAGE * LAST_PAGE


@dataclass(slots=True)
class Gap:
    """What VTEX's list says, by what the ledger knows of it."""

    waiting: int = 0
    missing: list[str] = field(default_factory=list)  # unknown here, or ended as not yet due: to be taken in
    dead: list[str] = field(default_factory=list)  # given up here: a person must decide
    in_progress: int = 0
    not_ours: int = 0  # left out by ORDER_SCOPE
    listed_late: int = 0  # finished here; the list has not caught up, or somebody set them back
    canceled: list[str] = field(default_factory=list)  # the ERP may have them, and was not told
    unwatched: int = 0  # under way at VTEX and not known here
    strangers: list[str] = field(default_factory=list)  # their events must have come, and did not


def close_gap(
    link: Link,
    since: datetime,
    until: datetime,
    step: Callable[[], object],
    *,
    dry_run: bool = False,
) -> Gap:
    """Compare what waits at VTEX with the ledger and, unless ``dry_run``, take in what is missing.

    ``step`` is called after each page of the list.
    """
    gap = Gap()
    must_have_come = _must_have_come(link)
    for rows in listed(link.vtex, states.READY_FOR_HANDLING, since, until):
        ids = [row.order_id for row in rows]
        known = link.ledger.states(ids, link.settings.order_scope.mark)
        fresh = sort_out(gap, ids, known)
        gap.strangers += _strangers(rows, known, must_have_come)
        if not dry_run:
            look_at(link, [_note(order_id, "in its list of waiting orders") for order_id in fresh])
        step()
    return gap


def close_other_gaps(
    link: Link,
    gap: Gap,
    since: datetime,
    until: datetime,
    step: Callable[[], object],
    *,
    dry_run: bool = False,
) -> None:
    """The same for orders that wait no more: cancellations since then, and what is under way."""
    for status, told in (
        ("canceled", {CANCELED}),
        ("cancellation-requested", {CANCELED, CANCELLATION_REQUESTED}),
    ):
        for rows in listed(link.vtex, status, max(since, until - CANCELED_LOOK_BACK), until, by="authorized"):
            lost = _not_told(link, rows, told)
            gap.canceled += lost
            if not dry_run:
                look_at(link, [_note(order_id, status) for order_id in lost])
            step()
    must_have_come = _must_have_come(link)
    for status in states.UNDER_WAY:
        for rows in listed(link.vtex, status, since, until):
            known = link.ledger.states([row.order_id for row in rows])
            unknown = [row.order_id for row, state in zip(rows, known, strict=True) if state is None]
            gap.unwatched += len(unknown)
            gap.strangers += _strangers(rows, known, must_have_come)
            if not dry_run:
                Watchlist(link.ledger).add(unknown, SPREAD_SECONDS)
            step()


def look_at(link: Link, events: list[Event]) -> None:
    """As if the feed had brought these events."""
    for event, verdict in zip(events, link.ledger.observe(events), strict=True):
        if verdict in ("new", "again"):
            enqueue(link.account.name, event.order_id)


def _note(order_id: str, state: str) -> Event:
    return Event("", "", order_id, state, None, "")


def listed(
    vtex: Vtex,
    status: str,
    since: datetime,
    until: datetime,
    *,
    by: Literal["created", "authorized"] = "created",
) -> Iterator[list[OrderRow]]:
    """The orders created (or authorized) in the window that are in that status, a page at a time, each once."""
    seen: set[str] = set()  # the halves of a window share a millisecond
    try:
        for page in _pages(vtex, status, since, until, by):
            if status not in _FILTERS and any(row.status != status for row in page):
                return  # VTEX ignores the filter
            rows = [row for row in page if row.order_id not in seen]
            seen.update(row.order_id for row in rows)
            if rows:
                yield rows
    except errors.Rejected:
        if status in _FILTERS:
            raise


def _pages(
    vtex: Vtex, status: str, since: datetime, until: datetime, by: Literal["created", "authorized"]
) -> Iterator[list[OrderRow]]:
    if since >= until:
        return
    created, authorized = ((since, until), None) if by == "created" else (None, (since, until))
    page = _page(vtex, 1, status=status, created=created, authorized=authorized)
    if page.total > _CAP and until - since > SHORTEST_WINDOW:
        middle = since + (until - since) / 2
        yield from _pages(vtex, status, since, middle, by)
        yield from _pages(vtex, status, middle, until, by)
        return
    number = 1
    while page.rows:
        yield page.rows
        number += 1
        if number > min(page.pages, LAST_PAGE):
            return
        page = _page(vtex, number, status=status, created=created, authorized=authorized)


def _page(vtex: Vtex, number: int, **window: Any) -> OrderPage:
    """One page; again if it did not come: a long list has a hundred, and must not begin anew for each that is lost."""
    for _ in range(TRIES - 1):
        try:
            return vtex.list_orders(page=number, **window)
        except (errors.Unavailable, errors.OutcomeUnknown):
            time.sleep(TRY_AGAIN_SECONDS)
        except errors.RateLimited as error:
            if error.status is not None:  # VTEX's own word: everybody waits
                raise
            time.sleep(min(error.after or 0.0, LONGEST_WAIT))
    return vtex.list_orders(page=number, **window)


def sort_out(gap: Gap, ids: list[str], states: list[str | None]) -> list[str]:
    """Add a page to the gap; returns which of its orders must be taken in."""
    fresh = []
    for order_id, state in zip(ids, states, strict=True):
        gap.waiting += 1
        if state in (None, "ignored"):
            fresh.append(order_id)
        elif state == "not_ours":
            gap.not_ours += 1
        elif state == "dead":
            gap.dead.append(order_id)
        elif state == "done":
            gap.listed_late += 1
        else:
            gap.in_progress += 1
    gap.missing += fresh
    return fresh


def _not_told(link: Link, rows: Iterable[OrderRow], told: set[str]) -> list[str]:
    """Which of these canceled orders the ERP may have without knowing that they are canceled."""
    rows = list(rows)
    beginning = _instant(link.ledger.complete_since() + CLOCKS_DIFFER)
    lost = []
    for row, (state, last) in zip(rows, link.ledger.told([row.order_id for row in rows]), strict=True):
        if state is None:
            maybe = row.creation_date <= beginning
        else:
            maybe = bool(last) and last not in told and state not in ("open", "parked")
        if maybe:
            lost.append(row.order_id)
    return lost


def _must_have_come(link: Link) -> Callable[[OrderRow], bool]:
    """Whether an order became ready for handling while every such event must have reached us, and be known still."""
    good = feed_watch.good_since(link)
    if good is None:
        return lambda _: False
    begin = _instant(max(good, link.ledger.complete_since()) + CLOCKS_DIFFER)
    return lambda row: row.authorized_date > begin


def _strangers(
    rows: list[OrderRow], known: list[str | None], must_have_come: Callable[[OrderRow], bool]
) -> list[str]:
    return [
        row.order_id for row, state in zip(rows, known, strict=True) if state is None and must_have_come(row)
    ]


def _instant(moment: float) -> str:
    """Seconds since 1970 as VTEX's dates are kept here."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}"
