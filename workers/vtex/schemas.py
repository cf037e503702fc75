"""What VTEX sends, as small frozen objects.

VTEX marks nearly every field as required and still leaves fields out, sends null, or changes a number into
text. So only what we cannot work without is required; a wrong type in any other field makes that field None,
never costs us the order. What we do not know we leave alone: the document itself is kept whole, as text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate

from workers.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_ORDER_ID = 100
_LONGEST_HANDLE = 10_000

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))?",
    re.ASCII,
)


def instant(text: str) -> str:
    """Any of VTEX's dates as ``YYYY-MM-DDTHH:MM:SS.fffffffZ`` in UTC, which sorts as text.

    VTEX sends none to seven digits of a second (Python's datetime holds six, hence text), and ``Z``,
    ``+00:00``, ``-03:00`` or nothing behind them; nothing means UTC. ValueError for anything else.
    """
    match = _INSTANT.fullmatch(text)
    if not match:
        raise ValueError("not a date and time as VTEX writes them")
    *parts, fraction, sign, hours, minutes = match.groups()
    moment = datetime(*(int(part) for part in parts))  # type: ignore[arg-type]  # noqa: DTZ001 (made UTC here)
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            raise ValueError("a date outside of the years 1 to 9999") from None
    return f"{moment.isoformat()}.{(fraction or '').ljust(7, '0')}Z"


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

    Dates are canonical instants, or "" if absent or unreadable. ``value`` is in cents.
    """

    order_id: str
    status: str | None
    last_change: str
    creation_date: str
    origin: str | None
    sales_channel: str | None
    affiliate_id: str | None
    seller_ids: tuple[str, ...]
    order_group: str | None
    sequence: str | None
    is_completed: bool | None
    in_error: bool
    value: int | None
    text: str = field(repr=False)


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


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page of the order list; ``unusable`` counts its lines without a readable order id."""

    rows: list[OrderRow]
    total: int
    pages: int
    current_page: int
    unusable: int = 0


class _Text(fields.Field[str | None]):
    """A short text: trimmed; blank, unprintable or of another type is None; a number is its digits."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            return None
        text = value.strip()
        return text if text and text.isprintable() else None


class _Flag(fields.Field[bool | None]):
    """True, false, or None for whatever else."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool | None:
        return value if isinstance(value, bool) else None


class _Number(fields.Field[float | None]):
    """A finite number, also when written as text; None for whatever else."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if abs(number) < 2**53 else None  # false for nan, too


class _Count(_Number):
    """A whole number (cents, items); a fraction is None, not rounded."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int | None:
        number = super()._deserialize(value, *args, **kwargs)
        return int(number) if number is not None and number.is_integer() else None


class _Instant(fields.Field[str]):
    """A canonical instant, "" for whatever cannot be read as one."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        try:
            return instant(value) if isinstance(value, str) else ""
        except ValueError:
            return ""


class _Texts(fields.Field[tuple[str, ...]]):
    """The texts of a list, each once; of objects, their ``key``. Whatever else is an empty list."""

    def __init__(self, key: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = key

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else []
        if self._key is not None:
            items = [item.get(self._key) for item in items if isinstance(item, dict)]
        return tuple(dict.fromkeys(item for item in items if isinstance(item, str) and item))


def _usable_order_id(value: str) -> None:
    if (
        not 0 < len(value) <= _LONGEST_ORDER_ID
        or not value.isprintable()
        or " " in value
        or value in {".", ".."}  # a path would lose them
    ):
        raise ValidationError("not usable as an order id")


_ID: dict[str, Any] = {"required": True, "validate": _usable_order_id}
_OPTIONAL: dict[str, Any] = {"load_default": None, "allow_none": True}
_ABSENT_DATE: dict[str, Any] = {"load_default": "", "allow_none": True}


class _Lenient(Schema):
    class Meta:
        unknown = EXCLUDE


class _EventSchema(_Lenient):
    event_id = _Text(data_key="eventId", **_OPTIONAL)
    handle = fields.String(
        required=True,
        validate=[validate.Length(1, _LONGEST_HANDLE), validate.Predicate("isprintable")],
    )
    order_id = fields.String(data_key="orderId", **_ID)
    state = _Text(**_OPTIONAL)
    domain = _Text(**_OPTIONAL)
    last_change = _Instant(data_key="lastChange", **_ABSENT_DATE)
    current_change = _Instant(data_key="currentChange", **_ABSENT_DATE)

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


class _OrderSchema(_Lenient):
    order_id = fields.String(data_key="orderId", **_ID)
    status = _Text(required=True, allow_none=True)  # null: an incomplete order; absent: not an order
    last_change = _Instant(data_key="lastChange", **_ABSENT_DATE)
    creation_date = _Instant(data_key="creationDate", **_ABSENT_DATE)
    origin = _Text(**_OPTIONAL)
    sales_channel = _Text(data_key="salesChannel", **_OPTIONAL)
    affiliate_id = _Text(data_key="affiliateId", **_OPTIONAL)
    seller_ids = _Texts(key="id", data_key="sellers", **_OPTIONAL)
    item_seller_ids = _Texts(key="seller", data_key="items", **_OPTIONAL)
    order_group = _Text(data_key="orderGroup", **_OPTIONAL)
    sequence = _Text(**_OPTIONAL)
    is_completed = _Flag(data_key="isCompleted", **_OPTIONAL)
    in_error = _Flag(data_key="workflowIsInError", **_OPTIONAL)
    value = _Count(**_OPTIONAL)


class _FilterSchema(_Lenient):
    type = _Text(**_OPTIONAL)
    status = _Texts(**_OPTIONAL)
    expression = _Text(**_OPTIONAL)


class _QueueSchema(_Lenient):
    visibilitytimeoutinseconds = _Number(**_OPTIONAL)
    messageretentionperiodinseconds = _Number(**_OPTIONAL)


class _FeedConfigSchema(_Lenient):
    """Keys arrive in lower case: VTEX's reference and its examples differ in the case of several."""

    filter = fields.Nested(_FilterSchema, **_OPTIONAL)
    queue = fields.Nested(_QueueSchema, **_OPTIONAL)
    quantity = _Count(**_OPTIONAL)
    approximateageofoldestmessageinseconds = _Number(**_OPTIONAL)
    aproximateageofoldestmessageinseconds = _Number(**_OPTIONAL)  # one of VTEX's pages spells it so

    @pre_load
    def _lower(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        lowered = _lower_keys(data)
        for part in ("filter", "queue"):
            inner = lowered.get(part)
            lowered[part] = _lower_keys(inner) if isinstance(inner, dict) else None
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


class _RowSchema(_Lenient):
    order_id = fields.String(data_key="orderId", **_ID)
    status = _Text(**_OPTIONAL)
    creation_date = _Instant(data_key="creationDate", **_ABSENT_DATE)


class _PagingSchema(_Lenient):
    total = _Count(**_OPTIONAL)
    pages = _Count(**_OPTIONAL)
    current_page = _Count(data_key="currentPage", **_OPTIONAL)


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

    :class:`~workers.errors.Unavailable` if the text is not whole JSON (asking again helps),
    :class:`~workers.errors.Invalid` if it is JSON and not an order, or another order than we asked for.
    """
    try:
        document = load_json(text)
    except ValueError:
        raise Unavailable(f"order {expected_id}: the answer is not JSON, or only a part of it") from None
    if not isinstance(document, dict):
        raise Invalid(f"order {expected_id}: the answer is JSON, but not an order")
    data, wrong = _load(_ORDER, document)
    if wrong:
        raise Invalid(f"order {expected_id}: the answer is not an order (look at: {', '.join(wrong)})")
    if data["order_id"] != expected_id:
        raise Invalid(f"order {expected_id}: the answer is another order, {data['order_id']}")
    return Order(
        order_id=expected_id,
        status=data["status"],
        last_change=data["last_change"] or "",
        creation_date=data["creation_date"] or "",
        origin=data["origin"],
        sales_channel=data["sales_channel"],
        affiliate_id=data["affiliate_id"],
        seller_ids=data["seller_ids"] or data["item_seller_ids"] or (),
        order_group=data["order_group"],
        sequence=data["sequence"],
        is_completed=data["is_completed"],
        in_error=data["in_error"] is True,
        value=data["value"],
        text=text,
    )


def load_feed_config(body: object) -> FeedConfig:
    """The feed configuration; :class:`~workers.errors.Unavailable` if the answer is no object."""
    if not isinstance(body, dict):
        raise Unavailable("the feed configuration's answer is not an object")
    config: FeedConfig = _FEED_CONFIG.load(body)
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
            rows.append(OrderRow(data["order_id"], data["status"], data["creation_date"] or ""))
    paging = body.get("paging")
    page = _PAGING.load(paging if isinstance(paging, dict) else {})
    return OrderPage(
        rows=rows,
        total=page["total"] or 0,
        pages=page["pages"] or 0,
        current_page=page["current_page"] or 0,
        unusable=unusable,
    )


def _load(schema: Schema, data: Any) -> tuple[Any, list[str]]:
    """What the schema makes of it, and the names of the fields that keep it from that."""
    try:
        return schema.load(data), []
    except ValidationError as error:
        return None, sorted(error.messages_dict)  # not the error: it carries the data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _lower_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in data.items()}
