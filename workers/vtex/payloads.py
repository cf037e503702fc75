"""What an ERP sends, checked whole before anything of it goes to VTEX.

``load_invoice``, ``load_tracking``, ``load_cancel`` and ``load_change`` each make a frozen object that is ready to
be sent, or raise one :class:`InvalidPayload` that names every problem: where, what was expected, what to write
instead. The names are VTEX's own, and the examples of VTEX's ERP guide are accepted as they stand.

A name that is not known is refused where it resembles a known one (``invoiceNumer``), since the field would
silently not count. In an invoice and in its items any other name is passed to VTEX as it is: VTEX knows more
fields than its reference lists (``volumes``, ``cfop``), and an ERP's extra field does no harm there. Elsewhere it
is refused, because it could only be lost.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError

from workers.errors import Invalid
from workers.net.words import clean
from workers.vtex.change import LONGEST_REASON, Change, ChangeSchema, make_change
from workers.vtex.forms import Form, fingerprint, given
from workers.vtex.invoice import Invoice, InvoiceSchema, make_invoice
from workers.vtex.tracking import Tracking, TrackingSchema, make_tracking
from workers.vtex.values import Flag, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Cancel",
    "CancelSchema",
    "Change",
    "ChangeSchema",
    "InvalidPayload",
    "Invoice",
    "InvoiceSchema",
    "Tracking",
    "TrackingSchema",
    "load_cancel",
    "load_change",
    "load_invoice",
    "load_tracking",
]

LARGEST = 2 * 2**20  # characters: an invoice's XML and all else
DEEPEST = 20
MOST_VALUES = 20_000
MOST_FIELDS = 300  # of one object
LARGEST_INTEGER = 2**63
_MOST_PROBLEMS = 20
_LONGEST_KEY = 100


class InvalidPayload(Invalid):
    """What the ERP sent cannot be used. ``problems`` are those that the message names, one by one."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)


@dataclass(frozen=True, slots=True, repr=False)
class Cancel:
    """A cancellation, ready to be asked for.

    ``confirm`` is ours: the second call, which turns an order whose cancellation is requested into a canceled one.
    """

    reason: str | None
    requested_by_user: bool
    confirm: bool

    def __repr__(self) -> str:
        return "<Cancel, confirming>" if self.confirm else "<Cancel>"

    def body(self) -> dict[str, Any]:
        """What VTEX gets."""
        return {**given(reason=self.reason), "requestedByUser": self.requested_by_user}

    def fingerprint(self) -> str:
        """The same for the same cancellation."""
        return fingerprint("cancel", self)


class CancelSchema(Form):
    """A cancellation of an order."""

    reason = Text("Why; it can be seen at VTEX", longest=LONGEST_REASON, lines=True, load_default=None)
    requested_by_user = Flag(
        "Whether the customer asked for it", data_key="requestedByUser", load_default=None
    )
    confirm = Flag(
        "Not sent to VTEX. True: cancel the order although its cancellation is requested already",
        load_default=None,
    )
    hints: ClassVar[dict[str, str]] = {}


#: Where a value is: what it is in, and its name or number there. None is the whole payload.
_Place: TypeAlias = "tuple[_Place, str | int] | None"

# Building a schema costs more than using it: each is built once. Loading is safe from many threads.
_INVOICE, _TRACKING, _CANCEL, _CHANGE = InvoiceSchema(), TrackingSchema(), CancelSchema(), ChangeSchema()


def load_invoice(payload: object, *, zone: str) -> Invoice:
    """The invoice in ``payload``; a date without an offset is of the time zone ``zone``."""
    return make_invoice(_load(_INVOICE, payload), _zone(zone))


def load_tracking(payload: object, *, zone: str) -> Tracking:
    """The tracking in ``payload``; a date without an offset is of the time zone ``zone``."""
    return make_tracking(_load(_TRACKING, payload), _zone(zone))


def load_cancel(payload: object = None) -> Cancel:
    """The cancellation in ``payload``: an object, the reason alone, or nothing."""
    if payload is None or isinstance(payload, str):
        payload = {"reason": payload}
    data = _load(_CANCEL, payload)
    return Cancel(data["reason"], bool(data["requested_by_user"]), bool(data["confirm"]))


def load_change(payload: object) -> Change:
    """The change in ``payload``."""
    return make_change(_load(_CHANGE, payload))


def _load(schema: Schema, payload: object) -> dict[str, Any]:
    plain = _plain(payload)
    try:
        data: dict[str, Any] = schema.load(plain)
    except ValidationError as error:
        problems = list(_sentences(error.normalized_messages()))  # type: ignore[no-untyped-call]
    else:
        return data
    # Not from the error: it carries the payload.
    shown = problems[:_MOST_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more problems")
    raise InvalidPayload(" | ".join(shown), tuple(shown))


def _sentences(messages: Any, path: str = "") -> Iterator[str]:
    """Every message of marshmallow's tree, with its path as ``items[0].price``."""
    if not isinstance(messages, dict):
        for message in messages if isinstance(messages, list) else [messages]:
            yield f"{path}: {message}" if path else str(message)
        return
    for key, inner in messages.items():
        if isinstance(key, int):
            yield from _sentences(inner, f"{path}[{key}]")
        elif key == "_schema":
            yield from _sentences(inner, path)
        else:
            yield from _sentences(inner, f"{path}.{key}" if path else key)


def _plain(payload: object) -> dict[str, Any]:
    """A copy of a payload that is an object of ordinary JSON and ordinary size."""
    if not isinstance(payload, dict):
        kind = (
            "a list" if isinstance(payload, list) else "a text" if isinstance(payload, str) else "no object"
        )
        raise InvalidPayload(f"the payload is {kind}; expected a JSON object, {{…}}")
    size = values = 0
    waiting: list[tuple[Any, int, _Place]] = [(payload, 1, None)]
    while waiting:
        value, depth, place = waiting.pop()
        values += 1
        if isinstance(value, str):
            size += len(value)
        problem = _problem(value, depth) or _too_much(size, values)
        if problem:
            raise InvalidPayload(f"{_path(place) or 'the payload'}: {problem}")
        if isinstance(value, dict):
            size += sum(map(len, value))
            waiting += [(inner, depth + 1, (place, key)) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1, (place, number)) for number, inner in enumerate(value)]
    plain: dict[str, Any] = json.loads(json.dumps(payload))
    return plain


def _path(place: _Place) -> str:
    """A place as ``items[0].price``; made only where there is a problem to tell."""
    if place is None:
        return ""
    above, key = place
    path = _path(above)
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = clean(key, (), 40) or "?"
    return f"{path}.{name}" if path else name


def _too_much(size: int, values: int) -> str | None:
    if size > LARGEST:
        return f"is too large; the limit is {LARGEST} characters in all"
    if values > MOST_VALUES:
        return f"is too large; the limit is {MOST_VALUES} values in all"
    return None


def _problem(value: object, depth: int) -> str | None:  # noqa: PLR0911 (one ladder)
    """Why a value is not ordinary JSON, or None."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, int):
        return (
            None if abs(value) < LARGEST_INTEGER else "is too large for a number; write it as text, in quotes"
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a number; write one, or null"
    if isinstance(value, (dict, list)) and depth > DEEPEST:
        return f"is nested deeper than {DEEPEST} levels"
    if isinstance(value, list):
        return None if len(value) <= MOST_VALUES else f"has more than {MOST_VALUES} entries"
    if isinstance(value, dict):
        if len(value) > MOST_FIELDS:
            return f"has more than {MOST_FIELDS} fields"
        if any(not isinstance(key, str) or len(key) > _LONGEST_KEY or _text_problem(key) for key in value):
            return "has a field whose name is no ordinary text"
        return None
    return f"is of the kind {type(value).__name__}, which JSON does not have"


def _text_problem(text: str) -> str | None:
    if len(text) > LARGEST:
        return f"is too large; the limit is {LARGEST} characters in all"
    if "\0" in text:
        return f"has a NUL character at position {text.index(chr(0)) + 1}; take it out"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"has half of a character (a lone surrogate) at position {error.start + 1}; send it as UTF-8"
    return None


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        pass
    raise Invalid(f"TIMEZONE: {name!r} is not a time zone; write for example America/Sao_Paulo")
