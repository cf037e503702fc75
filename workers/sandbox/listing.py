"""The order list: an index that runs behind, pages that end, and rows that say less than the order does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workers.sandbox.catalog import PAYMENTS
from workers.sandbox.clock import moment, short_stamp
from workers.sandbox.machine import DESCRIPTIONS
from workers.sandbox.orders import sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.sandbox.store import Order
    from workers.sandbox.world import World

MAX_PAGE = 30
MAX_PER_PAGE = 100
_DEFAULT_PER_PAGE = 15
_WINDOW = re.compile(r"^(?P<field>\w+):\[(?P<first>\S+) TO (?P<last>\S+)\]$")
_ALL_STATES = "$$ALL_VALUES$$"


class BadQueryError(ValueError):
    """The query cannot be answered: VTEX says 400."""


def list_orders(world: World, query: Mapping[str, str]) -> dict[str, Any]:
    """Answer the list call. Unknown filters are ignored, as VTEX ignores them."""
    page = _number(query, "page", 1, MAX_PAGE)
    per_page = _number(query, "per_page", _DEFAULT_PER_PAGE, MAX_PER_PAGE)
    rows = _matching(world, query)
    field, _, direction = query.get("orderBy", "creationDate,desc").partition(",")
    if field == "orderId":
        rows.sort(key=lambda order: order.order_id)
    elif field == "totalValue":
        rows.sort(key=lambda order: world.store.facts(order).value)
    if direction != "asc":
        rows.reverse()
    total = len(rows)
    shown = rows[(page - 1) * per_page : page * per_page]
    return {
        "list": [_row(world, order) for order in shown],
        "facets": [],
        "paging": {
            "total": total,
            "pages": -(-total // per_page),
            "currentPage": page,
            "perPage": per_page,
        },
        "stats": {"stats": {"totalValue": _stats(total), "totalItems": _stats(total)}},
        "reportRecordsLimit": 300_000,
    }


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise BadQueryError(f"{name} must be a number between 1 and {most}")
    return int(text)


def _window(query: Mapping[str, str], name: str, field: str) -> tuple[float, float] | None:
    text = query.get(name)
    if not text:
        return None
    match = _WINDOW.match(text)
    if match is None or match["field"] != field:
        raise BadQueryError(
            f"{name} must look like {field}:[2026-01-01T00:00:00.000Z TO 2026-01-02T00:00:00.000Z]"
        )
    try:
        return moment(match["first"]), moment(match["last"])
    except ValueError as error:
        raise BadQueryError(f"{name}: {error}") from None


def _matching(world: World, query: Mapping[str, str]) -> list[Order]:
    """Return the indexed orders that fit, the oldest first."""
    indexed = world.clock() - world.config.index_lag
    created = _window(query, "f_creationDate", "creationDate") or (0.0, indexed)
    rows = world.store.created_between(created[0], min(created[1], indexed))
    authorized = _window(query, "f_authorizedDate", "authorizedDate")
    if authorized is not None:
        first, last = authorized
        rows = [order for order in rows if order.authorized is not None and first <= order.authorized <= last]
    invoiced = _window(query, "f_invoicedDate", "invoicedDate")
    if invoiced is not None:
        first, last = invoiced
        rows = [order for order in rows if order.invoiced is not None and first <= order.invoiced <= last]
    incomplete = query.get("incompleteOrders", "false").lower() == "true"
    rows = [order for order in rows if (order.status is None) == incomplete]
    states = query.get("f_status")
    if states and states != _ALL_STATES:
        wanted = frozenset(states.split(","))
        rows = [order for order in rows if _indexed_status(order, indexed) in wanted]
    words = query.get("q")
    if words:
        rows = [order for order in rows if words in (order.order_id, sequence(order.index))]
    for name, pick in (("f_affiliateId", 0), ("salesChannelId", 1)):
        value = query.get(name)
        if value:
            rows = [order for order in rows if _channel(world, order)[pick] == value]
    return rows


def _indexed_status(order: Order, indexed: float) -> str | None:
    """Return the state that the index knows: the one before, while the last change is not indexed."""
    if order.changed > indexed and order.last_status is not None:
        return order.last_status
    return order.status


def _channel(world: World, order: Order) -> tuple[str, str]:
    affiliate = world.store.facts(order).affiliate
    return affiliate, "2" if affiliate else "1"


def _row(world: World, order: Order) -> dict[str, Any]:
    known = world.store.facts(order)
    status = _indexed_status(order, world.clock() - world.config.index_lag)
    affiliate, channel = _channel(world, order)
    return {
        "orderId": order.order_id,
        "creationDate": short_stamp(order.created),
        "clientName": f"{known.first_name} {known.last_name}",
        "items": None,
        "totalValue": float(known.value),
        "paymentNames": PAYMENTS[known.payment].name,
        "status": status,
        "statusDescription": DESCRIPTIONS.get(status or "", ""),
        "marketPlaceOrderId": None,
        "sequence": sequence(order.index),
        "salesChannel": channel,
        "affiliateId": affiliate,
        "origin": "Fulfillment" if affiliate else "Marketplace",
        "workflowInErrorState": False,
        "workflowInRetry": False,
        "lastMessageUnread": None,
        "ShippingEstimatedDate": None,
        "ShippingEstimatedDateMax": None,
        "ShippingEstimatedDateMin": None,
        "orderIsComplete": order.status is not None,
        "listId": None,
        "listType": None,
        "authorizedDate": None if order.authorized is None else short_stamp(order.authorized),
        "callCenterOperatorName": None,
        "totalItems": sum(line.quantity for line in known.lines),
        "currencyCode": "BRL",
        "hostname": world.config.account,
        "invoiceOutput": None,
        "invoiceInput": None,
    }


def _stats(count: int) -> dict[str, Any]:
    # The sums are left at zero: they would cost a look at every order, and nobody may book from them.
    numbers = {
        "Count": count,
        "Max": 0,
        "Mean": 0,
        "Min": 0,
        "Missing": 0,
        "StdDev": 0,
        "Sum": 0,
        "SumOfSquares": 0,
    }
    part = {**numbers, "Facets": None}
    return {
        **numbers,
        "Facets": {"origin": {"Fulfillment": part, "Marketplace": part}, "currencyCode": {"BRL": part}},
    }
