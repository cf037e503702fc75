"""VTEX's orders API, one method an endpoint.

A method makes one call and returns, or raises one error of :mod:`workers.errors`. It never sleeps and never
repeats: the policy decides. Rules are from VTEX's orders API reference and its feed guide.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from workers.errors import Invalid, NotFound
from workers.vtex.answers import Endpoint, json_of, text_of
from workers.vtex.calls import part
from workers.vtex.schemas import (
    Event,
    FeedConfig,
    Order,
    OrderPage,
    load_events,
    load_feed_config,
    load_order,
    load_order_page,
)
from workers.vtex.states import FEED_FILTER_STATES
from workers.vtex.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_LOT = 10  # what VTEX gives in one feed read, at most
LAST_PAGE = 30  # of the order list: beyond it VTEX answers with an error
LARGEST_PAGE = 100
LONGEST_VISIBILITY = 43_200
SHORTEST_RETENTION, LONGEST_RETENTION = 345_600, 1_209_600


class FeedNotConfigured(NotFound):
    """There is no feed for our application key: never configured, deleted, or removed by VTEX as unused.

    It does not mean that there are no events.
    """


_FEED_ADMIN = "Feed v3 and Hook Admin"
_TAKE = Endpoint("take_feed", "read the feed", "GET", _FEED_ADMIN, feed=True)
_COMMIT = Endpoint("commit", "commit the feed", "POST", _FEED_ADMIN, writes=True, feed=True)
_CONFIG = Endpoint("feed_config", "read the feed configuration", "GET", _FEED_ADMIN, feed=True)
_CONFIGURE = Endpoint("configure_feed", "configure the feed", "POST", _FEED_ADMIN, writes=True, feed=True)
_DELETE = Endpoint("delete_feed", "delete the feed", "DELETE", _FEED_ADMIN, writes=True, feed=True)
_ORDER = Endpoint("get_order", "get order", "GET", "View order")
_START = Endpoint(
    "start_handling",
    "start handling of",
    "POST",
    "Change order workflow status",
    writes=True,
    succeeds=(HTTPStatus.NO_CONTENT,),
)
_LIST = Endpoint("list_orders", "list orders", "GET", "List Orders")


class Vtex(Writes):
    """One VTEX account. Shared by all threads of a process.

    ``timeout`` is in seconds (see :class:`~workers.net.transport.Transport`).
    ``pace(endpoint)`` is asked before each call and may raise :class:`~workers.errors.RateLimited`.
    ``observe(endpoint, status, seconds)`` is told after each call; status is None if nothing was answered.
    An endpoint's name is its method's name.

    Here are the calls that bring orders in; those that carry an ERP's answers back are in :class:`Writes`.
    """

    def take_feed(self, maxlot: int = LARGEST_LOT) -> tuple[list[Event], list[dict[str, Any]]]:
        """Up to ``maxlot`` events (10 at most), and the items that cannot be used.

        Nothing to read is no proof that nothing waits. :class:`FeedNotConfigured` if there is no feed.
        """
        if not 1 <= maxlot <= LARGEST_LOT:
            raise Invalid(f"the feed gives 1 to {LARGEST_LOT} events a call, not {maxlot}")
        try:
            answer = self._call(_TAKE, f"/api/orders/feed?maxlot={maxlot}")
        except NotFound as error:
            raise FeedNotConfigured(
                f"{error}: this application key has no feed (run: vtexorders feed configure)",
                status=error.status,
                code=error.code,
            ) from None
        return load_events(json_of(_TAKE, answer))

    def commit(self, handles: Sequence[str]) -> None:
        """Take events out of the feed by their handles. Committing again does no harm."""
        if handles:
            self._call(_COMMIT, "/api/orders/feed", body={"handles": list(dict.fromkeys(handles))})

    def feed_config(self) -> FeedConfig | None:
        """The feed of our application key, None if there is none."""
        try:
            answer = self._call(_CONFIG, "/api/orders/feed/config")
        except NotFound:
            return None
        return load_feed_config(json_of(_CONFIG, answer))

    def configure_feed(
        self,
        states: Sequence[str],
        *,
        visibility_timeout: int = 300,
        retention: int = LONGEST_RETENTION,
    ) -> None:
        """Create or replace the feed: every change of an order into one of ``states`` becomes an event.

        FromWorkflow, not FromOrders: VTEX knows that an expression on the status may skip changes.
        ``visibility_timeout`` (seconds): how long a read event stays away from other readers, and the last
        moment to commit it. Five minutes hold an order's steps with their short repeats (VTEX's own example
        has 250 s), and are what an order waits for if the process that read it is lost.
        ``retention`` (seconds): the longest that VTEX allows, 14 days. For so long an event waits for an ERP
        that is down, and for so long a store may sell nothing before VTEX removes the configuration.
        VTEX accepts a misspelt state without a word and never fires it, so it is refused here.
        """
        wanted = list(dict.fromkeys(states))
        unknown = [state for state in wanted if state not in FEED_FILTER_STATES]
        if unknown or not wanted:
            raise Invalid(
                f"a feed needs states that VTEX lists; not among them: {', '.join(unknown) or '(none given)'}"
            )
        if not 1 <= visibility_timeout <= LONGEST_VISIBILITY:
            raise Invalid(
                f"the visibility timeout is 1 to {LONGEST_VISIBILITY} seconds, not {visibility_timeout}"
            )
        if not SHORTEST_RETENTION <= retention <= LONGEST_RETENTION:
            raise Invalid(
                f"the retention is {SHORTEST_RETENTION} to {LONGEST_RETENTION} seconds, not {retention}"
            )
        self._call(
            _CONFIGURE,
            "/api/orders/feed/config",
            body={
                "filter": {"type": "FromWorkflow", "status": wanted},
                "queue": {
                    "visibilityTimeoutInSeconds": visibility_timeout,
                    "MessageRetentionPeriodInSeconds": retention,
                },
            },
        )

    def delete_feed(self) -> None:
        """Remove the feed and what waits in it."""
        self._call(_DELETE, "/api/orders/feed/config")

    def get_order(self, order_id: str) -> Order:
        """The order as it is now, its document kept whole in ``text``."""
        answer = self._call(_ORDER, f"/api/oms/pvt/orders/{part(order_id)}", about=order_id)
        order = load_order(text_of(_ORDER, answer, order_id), order_id)
        self._remember(order_id, order.text)
        return order

    def start_handling(self, order_id: str) -> None:
        """Tell VTEX that the store prepares the order. Only once the ERP holds it.

        Conflict with code OMS003 if the order is not in ready-for-handling: it may be done already, too
        early, or canceled, so look.
        """
        self._call(_START, f"/api/oms/pvt/orders/{part(order_id)}/start-handling", about=order_id)

    def list_orders(
        self,
        *,
        page: int = 1,
        per_page: int = LARGEST_PAGE,
        status: str | None = None,
        created: tuple[datetime, datetime] | None = None,
        authorized: tuple[datetime, datetime] | None = None,
        order_by: str = "creationDate,asc",
    ) -> OrderPage:
        """One page of the order list, for reconciliation: it lags by minutes and ends after 3,000 rows."""
        if not 1 <= page <= LAST_PAGE or not 1 <= per_page <= LARGEST_PAGE:
            raise Invalid(f"the order list has pages 1 to {LAST_PAGE} of 1 to {LARGEST_PAGE} orders")
        query = {"page": str(page), "per_page": str(per_page), "orderBy": order_by}
        if status:
            query["f_status"] = status
        for field, window in (("creationDate", created), ("authorizedDate", authorized)):
            if window:
                since, until = (_milliseconds(moment) for moment in window)
                query[f"f_{field}"] = f"{field}:[{since} TO {until}]"
        answer = self._call(_LIST, f"/api/oms/pvt/orders?{urlencode(query, quote_via=quote)}")
        return load_order_page(json_of(_LIST, answer))


def _milliseconds(moment: datetime) -> str:
    """The form of VTEX's date filters, for example 2026-01-01T00:00:00.000Z."""
    if moment.tzinfo is None:
        raise Invalid("a time window needs dates with a time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
