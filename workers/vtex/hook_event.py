"""An event as VTEX's hook posts it: PascalCase names, no event id, no handle, and where it comes from.

Source: VTEX's guide to feed and hook, whose sample lacks LastState and CurrentChange, and its orders API reference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields

from workers.vtex.lenient import ABSENT_DATE, OPTIONAL, AnyCase, Instant, Part, Text
from workers.vtex.schemas import Event, usable_order_id


@dataclass(frozen=True, slots=True)
class HookEvent:
    """An event, and the account and application key whose hook it is of; None if VTEX left them out."""

    event: Event
    account: str | None
    key: str | None


class _OriginSchema(AnyCase):
    account = Text(**OPTIONAL)
    key = Text(**OPTIONAL)


class _HookEventSchema(AnyCase):
    order_id = fields.String(data_key="orderid", required=True, validate=usable_order_id)
    state = Text(**OPTIONAL)
    domain = Text(**OPTIONAL)
    last_change = Instant(data_key="lastchange", **ABSENT_DATE)
    current_change = Instant(data_key="currentchange", **ABSENT_DATE)
    origin = Part(_OriginSchema())


_SCHEMA = _HookEventSchema()


def is_ping(body: Any) -> bool:
    """What VTEX posts when the hook is configured: it saves nothing unless that is answered with 200."""
    return isinstance(body, dict) and {str(name).lower(): value for name, value in body.items()} == {
        "hookconfig": "ping"
    }


def load(body: Any) -> HookEvent | None:
    """The event; None if it names no order."""
    if not isinstance(body, dict):
        return None
    try:
        data = _SCHEMA.load(body)
    except ValidationError:
        return None
    origin = data["origin"] or {}
    at = max(data["last_change"] or "", data["current_change"] or "")
    # a repeat of the same call is known by what it says
    said = f"{data['state']} {data['last_change']} {data['current_change']} {data['domain']}"
    event = Event(
        event_id=hashlib.sha256(said.encode()).hexdigest(),
        handle="",
        order_id=data["order_id"],
        state=data["state"],
        domain=data["domain"],
        at=at,
    )
    return HookEvent(event, origin.get("account"), origin.get("key"))
