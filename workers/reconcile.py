"""Reads VTEX's order list for orders that wait in ready-for-handling, whole, in spite of the list's cap.

The list ends after 3,000 rows, so a window of time with more in it is halved. The list lags behind by minutes,
so what it says is only a reason to look (VTEX's orders API reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workers.dispatch import enqueue
from workers.runtime import Link
from workers.vtex.client import LARGEST_PAGE, LAST_PAGE, Vtex
from workers.vtex.schemas import Event
from workers.vtex.states import READY_FOR_HANDLING

#: How far back waiting orders are looked for. VTEX cancels what nobody handles long before.
LOOK_BACK = timedelta(days=60)
#: A window is not halved below this: 3,000 orders a second are not to be expected.
SHORTEST_WINDOW = timedelta(seconds=1)
_CAP = LARGEST_PAGE * LAST_PAGE


@dataclass(slots=True)
class Gap:
    """What waits at VTEX, by what the ledger knows of it."""

    waiting: int = 0
    missing: list[str] = field(default_factory=list)  # unknown here, or ended as not yet due: to be taken in
    dead: list[str] = field(default_factory=list)  # given up here: a person must decide
    in_progress: int = 0
    not_ours: int = 0  # left out by ORDER_SCOPE
    listed_late: int = 0  # finished here; the list has not caught up, or somebody set them back


def close_gap(
    link: Link, since: datetime, until: datetime, step: Callable[[], object], *, dry_run: bool = False
) -> Gap:
    """Compare what waits at VTEX with the ledger and, unless ``dry_run``, take in what is missing.

    ``step`` is called after each page of the list.
    """
    gap = Gap()
    for ids in waiting_orders(link.vtex, since, until):
        fresh = sort_out(gap, ids, link.ledger.states(ids, link.settings.order_scope.mark))
        if fresh and not dry_run:
            events = [
                Event("", "", order_id, "in its list of waiting orders", None, "") for order_id in fresh
            ]
            for order_id, verdict in zip(fresh, link.ledger.observe(events), strict=True):
                if verdict in ("new", "again"):
                    enqueue(link.account.name, order_id)
        step()
    return gap


def waiting_orders(vtex: Vtex, since: datetime, until: datetime) -> Iterator[list[str]]:
    """The ids of the orders created in the window that wait, a page at a time."""
    page = vtex.list_orders(status=READY_FOR_HANDLING, created=(since, until))
    if page.total > _CAP and until - since > SHORTEST_WINDOW:
        middle = since + (until - since) / 2
        yield from waiting_orders(vtex, since, middle)
        yield from waiting_orders(vtex, middle, until)
        return
    number = 1
    while page.rows:
        yield [row.order_id for row in page.rows]
        number += 1
        if number > min(page.pages, LAST_PAGE):
            return
        page = vtex.list_orders(status=READY_FOR_HANDLING, created=(since, until), page=number)


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
