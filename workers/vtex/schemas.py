"""What VTEX sends, as small frozen objects.

VTEX marks nearly every field as required and still leaves fields out, sends null, or changes a number into
text. So only what we cannot work without is required; a wrong type in any other field makes that field None,
never costs us the order. What we do not know we leave alone: the document itself is kept whole, as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from workers.errors import Unavailable
from workers.vtex.details import OrderDetails
from workers.vtex.lenient import (
    ABSENT_DATE,
    OPTIONAL,
    Count,
    Instant,
    Lenient,
    Number,
    Text,
    Texts,
    instant,
    lower_keys,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Event",
    "FeedConfig",
    "Order",
    "OrderPage",
    "OrderRow",
    "instant",
    "load_events",
    "load_feed_config",
    "load_json",
    "load_order",
    "load_order_page",
]

_LONGEST_ORDER_ID = 100
_LONGEST_HANDLE = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One feed item: "look at this order". ``at`` is the newer of its two dates, "" if none is readable."""

    event_id: str
    handle: str
    order_id: str
    state: str | None
    domain: str | None
    at: str


@dataclass(frozen=True, slots=True)
class Order:
    """The few fields of an order that decide what we do, and ``text``: the document exactly as VTEX sent it.

    Dates are canonical instants, or "" if absent or unreadable. ``asked``: a cancellation may have been asked for.
    """

    order_id: str
    status: str | None
    last_change: str
    creation_date: str
    origin: str | None
    sales_channel: str | None
    affiliate_id: str | None
    seller_ids: tuple[str, ...]
    text: str = field(repr=False)
    asked: bool = True

    def details(self) -> OrderDetails:
        """What writing to the order needs to know of it: packages, totals, cancellations, changes.

        The document is parsed at each call, since reading an order into the ERP never needs it: keep the answer.
        """
        try:
            document = load_json(self.text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Unavailable(f"order {self.order_id}: its document cannot be read")
        return OrderDetails(document)

    def requested_at(self) -> str:
        """When a cancellation was last asked for; "" if it never was, or if VTEX does not say when."""
        if not self.asked:
            return ""  # nearly always; to parse the document costs more
        return max(
            map(_instant, (request.at for request in self.details().cancellation_requests)), default=""
        )


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """The feed of our application key: what it lets through, and its queue. Times are in seconds."""

    filter_type: str | None
    states: tuple[str, ...]
    expression: str | None
    visibility_timeout: float | None
    retention: float | None
    quantity: int | None
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One line of the order list. The list lags behind and rounds: read the order itself before acting."""

    order_id: str
    status: str | None
    creation_date: str
    authorized_date: str = ""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page of the order list; ``unusable`` counts its lines without a readable order id."""

    rows: list[OrderRow]
    total: int
    pages: int
    current_page: int
    unusable: int = 0


def usable_order_id(value: str) -> None:
    """Refuse what could not be part of an address; for marshmallow's ``validate``."""
    if (
        not 0 < len(value) <= _LONGEST_ORDER_ID
        or not value.isprintable()
        or " " in value
        or value in {".", ".."}  # a path would lose them
    ):
        raise ValidationError("not usable as an order id")


_ID: dict[str, Any] = {"required": True, "validate": usable_order_id}


class _EventSchema(Lenient):
    event_id = Text(data_key="eventId", **OPTIONAL)
    handle = fields.String(
        required=True,
        validate=[validate.Length(1, _LONGEST_HANDLE), validate.Predicate("isprintable")],
    )
    order_id = fields.String(data_key="orderId", **_ID)
    state = Text(**OPTIONAL)
    domain = Text(**OPTIONAL)
    last_change = Instant(data_key="lastChange", **ABSENT_DATE)
    current_change = Instant(data_key="currentChange", **ABSENT_DATE)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Event:
        if data["handle"].isspace():
            raise ValidationError("blank", "handle")
        return Event(
            event_id=data["event_id"] or "",
            handle=data["handle"],
            order_id=data["order_id"],
            state=data["state"],
            domain=data["domain"],
            at=max(data["last_change"] or "", data["current_change"] or ""),
        )


class _OrderSchema(Lenient):
    order_id = fields.String(data_key="orderId", **_ID)
    status = Text(required=True, allow_none=True)  # null: an incomplete order; absent: not an order
    last_change = Instant(data_key="lastChange", **ABSENT_DATE)
    creation_date = Instant(data_key="creationDate", **ABSENT_DATE)
    origin = Text(**OPTIONAL)
    sales_channel = Text(data_key="salesChannel", **OPTIONAL)
    affiliate_id = Text(data_key="affiliateId", **OPTIONAL)
    seller_ids = Texts(key="id", data_key="sellers", **OPTIONAL)
    item_seller_ids = Texts(key="seller", data_key="items", **OPTIONAL)


class _FilterSchema(Lenient):
    type = Text(**OPTIONAL)
    status = Texts(**OPTIONAL)
    expression = Text(**OPTIONAL)


class _QueueSchema(Lenient):
    visibilitytimeoutinseconds = Number(**OPTIONAL)
    messageretentionperiodinseconds = Number(**OPTIONAL)


class _FeedConfigSchema(Lenient):
    """Keys arrive in lower case: VTEX's reference and its examples differ in the case of several."""

    filter = fields.Nested(_FilterSchema, **OPTIONAL)
    queue = fields.Nested(_QueueSchema, **OPTIONAL)
    quantity = Count(**OPTIONAL)
    approximateageofoldestmessageinseconds = Number(**OPTIONAL)
    aproximateageofoldestmessageinseconds = Number(**OPTIONAL)  # one of VTEX's pages spells it so

    @pre_load
    def _lower(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        lowered = lower_keys(data)
        for part in ("filter", "queue"):
            inner = lowered.get(part)
            lowered[part] = lower_keys(inner) if isinstance(inner, dict) else None
        return lowered

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> FeedConfig:
        only, queue = data["filter"] or {}, data["queue"] or {}
        spelt, misspelt = "approximateageofoldestmessageinseconds", "aproximateageofoldestmessageinseconds"
        return FeedConfig(
            filter_type=only.get("type"),
            states=only.get("status") or (),
            expression=only.get("expression"),
            visibility_timeout=queue.get("visibilitytimeoutinseconds"),
            retention=queue.get("messageretentionperiodinseconds"),
            quantity=data["quantity"],
            oldest_seconds=data[misspelt] if data[spelt] is None else data[spelt],
        )


class _RowSchema(Lenient):
    order_id = fields.String(data_key="orderId", **_ID)
    status = Text(**OPTIONAL)
    creation_date = Instant(data_key="creationDate", **ABSENT_DATE)
    authorized_date = Instant(data_key="authorizedDate", **ABSENT_DATE)


class _PagingSchema(Lenient):
    total = Count(**OPTIONAL)
    pages = Count(**OPTIONAL)
    current_page = Count(data_key="currentPage", **OPTIONAL)


# Building a schema costs more than using it: each is built once. Loading is safe from many threads.
_EVENT, _ORDER, _FEED_CONFIG = _EventSchema(), _OrderSchema(), _FeedConfigSchema()
_ROW, _PAGING = _RowSchema(), _PagingSchema()


def load_json(text: str) -> Any:
    """The value of a JSON text. ValueError for all else: truncated, empty, HTML, NaN, too deep."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    raise ValueError("not whole JSON")  # not from the error itself: that one carries the text


def load_events(body: object) -> tuple[list[Event], list[dict[str, Any]]]:
    """The events of a feed answer, and the items that cannot be used; one bad item never spoils the lot.

    An item is unusable without an order id (or with one that could not be part of an address), without a
    handle to commit it with, or if it is no object at all (then it comes back as ``{"item": ...}``).
    :class:`~workers.errors.Unavailable` if the answer is no list.
    """
    if not isinstance(body, list):
        raise Unavailable("the feed's answer is not a list of events")
    events: list[Event] = []
    unusable: list[dict[str, Any]] = []
    for item in body:
        if not isinstance(item, dict):
            unusable.append({"item": item})
            continue
        event, wrong = _load(_EVENT, item)
        if wrong:
            unusable.append(item)
        else:
            events.append(event)
    return events, unusable


def load_order(text: str, expected_id: str) -> Order:
    """The order in a get-order answer.

    :class:`~workers.errors.Unavailable` if the text is not whole JSON, or not an order, or another one than we asked
    for: gateways answer so in bad moments, and it says nothing about this order. Asking again helps.
    """
    try:
        document = load_json(text)
    except ValueError:
        raise Unavailable(f"order {expected_id}: the answer is not JSON, or only a part of it") from None
    if not isinstance(document, dict):
        raise Unavailable(f"order {expected_id}: the answer is JSON, but not an order")
    data, wrong = _load(_ORDER, document)
    if wrong:
        raise Unavailable(f"order {expected_id}: the answer is not an order (look at: {', '.join(wrong)})")
    if data["order_id"] != expected_id:
        raise Unavailable(f"order {expected_id}: the answer is another order, {data['order_id']}")
    return Order(
        order_id=expected_id,
        status=data["status"],
        last_change=data["last_change"] or "",
        creation_date=data["creation_date"] or "",
        origin=data["origin"],
        sales_channel=data["sales_channel"],
        affiliate_id=data["affiliate_id"],
        seller_ids=data["seller_ids"] or data["item_seller_ids"] or (),
        text=text,
        asked=any(value and name.lower() == "cancellationrequests" for name, value in document.items()),
    )


def load_feed_config(body: object) -> FeedConfig:
    """The feed configuration; :class:`~workers.errors.Unavailable` if the answer has neither a filter nor a queue."""
    parts = lower_keys(body) if isinstance(body, dict) else {}
    if not any(isinstance(parts.get(name), dict) for name in ("filter", "queue")):
        raise Unavailable("the answer is not the feed's configuration")
    config: FeedConfig = _FEED_CONFIG.load(parts)
    return config


def load_order_page(body: object) -> OrderPage:
    """One page of the order list; :class:`~workers.errors.Unavailable` if it has no list."""
    if not isinstance(body, dict) or not isinstance(body.get("list"), list):
        raise Unavailable("the order list's answer has no list")
    rows: list[OrderRow] = []
    unusable = 0
    for item in body["list"]:
        data, wrong = _load(_ROW, item)
        if wrong:
            unusable += 1
        else:
            dates = data["creation_date"] or "", data["authorized_date"] or ""
            rows.append(OrderRow(data["order_id"], data["status"], *dates))
    paging = body.get("paging")
    page = _PAGING.load(paging if isinstance(paging, dict) else {})
    return OrderPage(
        rows=rows,
        total=page["total"] or 0,
        pages=page["pages"] or 0,
        current_page=page["current_page"] or 0,
        unusable=unusable,
    )


def _instant(text: str | None) -> str:
    try:
        return instant(text or "")
    except ValueError:
        return ""


def _load(schema: Schema, data: Any) -> tuple[Any, list[str]]:
    """What the schema makes of it, and the names of the fields that keep it from that."""
    try:
        return schema.load(data), []
    except ValidationError as error:
        return None, sorted(error.messages_dict)  # not the error: it carries the data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
