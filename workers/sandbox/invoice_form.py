"""Reads an invoice as VTEX's reference describes it, with the liberties that its older guide takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from workers.sandbox.refused import Refused, object_of, text_of, whole

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\S+")
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
#: Texts that may be null or missing.
_OPTIONAL = (
    "invoiceKey",
    "invoiceUrl",
    "embeddedInvoice",
    "courier",
    "trackingNumber",
    "trackingUrl",
    "dispatchedDate",
)


class Form(NamedTuple):
    """An invoice that can be read. Money is in cents; ``issued`` is a moment in UTC."""

    kind: str
    number: str
    value: int
    issued: datetime
    items: list[dict[str, Any]]
    optional: dict[str, Any]

    @property
    def plain_number(self) -> bool:
        """Say whether later calls can name the invoice without trouble."""
        return _PLAIN.fullmatch(self.number) is not None


def read_form(raw: Any, *, date_only: bool) -> Form:
    """Read the body of the invoice call; Refused says what is wrong with it."""
    body = object_of(raw)
    kind = body.get("type")
    if kind not in ("Output", "Input"):
        raise Refused(400, "The type field must be Output or Input")
    optional = {name: body.get(name) for name in _OPTIONAL}
    for name, value in optional.items():
        if value is not None and not isinstance(value, str):
            raise Refused(400, f"The {name} field must be a text")
    return Form(
        kind=str(kind),
        number=text_of(body, "invoiceNumber"),
        value=_value(body.get("invoiceValue")),
        issued=_issued(text_of(body, "issuanceDate"), date_only=date_only),
        items=_items(body.get("items")),
        optional=optional,
    )


def _value(value: Any) -> int:
    cents = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if not whole(cents) or cents <= 0:
        raise Refused(400, "The invoiceValue field must be a number of cents greater than 0")
    return int(cents)


def _issued(text: str, *, date_only: bool) -> datetime:
    """Read a moment; without an offset VTEX takes it as UTC."""
    if not (_MOMENT.fullmatch(text) or (date_only and _DATE.fullmatch(text))):
        raise Refused(400, "The issuanceDate field must be a date and a time without spaces")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"The issuanceDate field is not a date: {text}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _items(items: Any) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not items:
        raise Refused(400, "The items field is required")
    read = []
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise Refused(400, "Every item needs an id, as a text")
        if not whole(item.get("price")) or item["price"] < 0:
            raise Refused(400, "Every item needs a price in cents")
        if not whole(item.get("quantity")) or item["quantity"] < 1:
            raise Refused(400, "Every item needs a quantity")
        read.append(
            {
                "id": item["id"],
                "price": item["price"],
                "quantity": item["quantity"],
                "description": item.get("description"),
            }
        )
    return read
