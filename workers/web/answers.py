"""What the API answers, as schemas: they describe it in the OpenAPI document, and tests hold the answers to them."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from workers import moments
from workers.web.lists import STATES

_ORDER_STATES = [*STATES, "done", "ignored"]
_COMMAND_STATES = [*STATES, "done", "refused"]


def _text(about: str = "", **more: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": about, **more} if about else more)


def _maybe(about: str = "", **more: Any) -> fields.String:
    return fields.String(
        required=True, allow_none=True, metadata={"description": about, **more} if about else more
    )


def _moment(about: str, *, or_null: bool = True, **more: Any) -> fields.String:
    return fields.String(
        allow_none=or_null,
        metadata={
            "description": f"{about}; {moments.FORM}{', or null' if or_null else ''}",
            "format": "date-time",
        },
        **{"required": True} | more,
    )


class AcceptedSchema(Schema):
    """A command that is recorded: it is carried to VTEX whatever happens."""

    id = _text("The Idempotency-Key, or an id of ours if none was sent")
    state = _text("How it stands", enum=_COMMAND_STATES)
    url = _text("Where to look how it ends")


class ReplaySchema(Schema):
    """What is tried again."""

    id = _text()
    state = _text(enum=["open"])
    url = _text("Where to look how it ends")


class LineSchema(Schema):
    """One thing that happened."""

    at = _moment("When", or_null=False)
    what = _text("A word for it")
    detail = _text()


class CommandSchema(Schema):
    """One command, without its payload."""

    id = _text()
    command = _text(enum=["invoice", "tracking", "cancel", "change"])
    order_id = fields.String(required=True, data_key="orderId")
    state = _text("done, refused and dead are ends", enum=_COMMAND_STATES)
    outcome = fields.Dict(
        required=True,
        metadata={"description": "What came of it: VTEX's receipt and `says`, or `why` it was refused"},
    )
    error = _maybe("What it last came upon, or waits for")
    attempts = fields.Integer(required=True)
    sent = fields.Boolean(
        required=True, metadata={"description": "VTEX may have it, and that is not known yet"}
    )
    waits = fields.Boolean(
        required=True, metadata={"description": "It waits for the order to be ready for it"}
    )
    ended = _moment("When it ended")
    due = _moment("When it is looked at again at the latest")
    timeline = fields.List(fields.Nested(LineSchema), required=True)


class CommandRowSchema(Schema):
    """A command in a list."""

    id = _text()
    command = _text(enum=["invoice", "tracking", "cancel", "change"])
    order_id = fields.String(required=True, data_key="orderId")
    state = _text(enum=_COMMAND_STATES)
    why = _maybe("What stands in its way")


class CommandListSchema(Schema):
    """One page of commands."""

    commands = fields.List(fields.Nested(CommandRowSchema), required=True)
    next = _maybe("The address of the next page; null: this is the last one")


class OrderCommandSchema(Schema):
    """A command of an order."""

    id = _text()
    command = _text(enum=["invoice", "tracking", "cancel", "change"])
    state = _text(enum=_COMMAND_STATES)
    outcome = fields.Dict(required=True)
    error = _maybe()


class OrderSchema(Schema):
    """One order; what begins with ``status`` is there once its event was read."""

    order_id = fields.String(required=True, data_key="orderId")
    state = _maybe("null: only asked for, its event has not been read", enum=[*_ORDER_STATES, None])
    timeline = fields.List(fields.Nested(LineSchema), required=True)
    commands = fields.List(fields.Nested(OrderCommandSchema), required=True)
    next = _text("What happens next, in words")
    step = fields.String(allow_none=True)
    status = fields.String(allow_none=True, metadata={"description": "VTEX's status when we last knew"})
    erp = fields.String(metadata={"description": "Whether the ERP has it: has, maybe, or nothing"})
    told = fields.String(metadata={"description": "What the ERP was last told of it"})
    attempts = fields.Integer()
    crashes = fields.Integer()
    error = fields.String(allow_none=True)
    due = _moment("When it is looked at again at the latest", required=False)
    claimed_until = _moment("A worker is at it until then", required=False, data_key="claimedUntil")
    uncommitted = fields.Integer(metadata={"description": "Feed events that are still to be committed"})


class OrderRowSchema(Schema):
    """An order in a list."""

    order_id = fields.String(required=True, data_key="orderId")
    state = _text(enum=_ORDER_STATES)
    step = _maybe()
    why = _maybe("What stands in its way")
    status = _maybe("VTEX's status when we last knew")
    erp = _text("Whether the ERP has it: has, maybe, or nothing")


class OrderListSchema(Schema):
    """One page of orders."""

    orders = fields.List(fields.Nested(OrderRowSchema), required=True)
    next = _maybe("The address of the next page; null: this is the last one")


class SingleProblemSchema(Schema):
    """One of several problems."""

    detail = _text()
    pointer = fields.String(metadata={"description": "The place in the body, as a JSON pointer"})
    parameter = fields.String(metadata={"description": "Or what in the address or the headers it is about"})


class ProblemSchema(Schema):
    """Problem details (RFC 9457)."""

    type = _text()
    title = _text()
    status = fields.Integer(required=True)
    detail = _text()
    errors = fields.List(fields.Nested(SingleProblemSchema))
