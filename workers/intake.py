"""How a command is accepted: validate, record, enqueue. Console, HTTP and tasks all come through here.

What the ERP asks for is in VTEX's own words; see :mod:`workers.vtex.payloads`. It is accepted once it stands in
the ledger: its id can be looked up from then on, whatever happens to worker or broker.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers import queues, runtime
from workers.app import app
from workers.command_ledger import ENDS, Accepted, CommandClaim, CommandLedger
from workers.errors import Conflict, Invalid, OrderLinkError
from workers.ledger import Pace, Refusal
from workers.vtex.payloads import load_cancel, load_change, load_invoice, load_tracking

#: The task of each kind of command.
KINDS = {
    "invoice": "orders.invoice",
    "tracking": "orders.tracking",
    "cancel": "orders.cancel",
    "change": "orders.change",
}
#: An order's id, a command's id.
ID = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class Request:
    """A command that was asked for and can be carried; ``fingerprint`` tells its content from another's."""

    id: str
    kind: str
    order_id: str
    payload: Any = field(repr=False)
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A command's id, whether it was there already, and its state (open, parked, done, refused, dead)."""

    id: str
    repeated: bool
    state: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that was accepted and, if it is its turn, claimed; ``wanted`` is its payload, checked."""

    acceptance: Acceptance
    claim: CommandClaim | Refusal
    wanted: Any


class InvalidName(Invalid):
    """What is to name the order or the command cannot be a name; the text begins with which of the two."""


def accept(
    book: CommandLedger, kind: str, order_id: str, payload: Any, *, zone: str, key: str | None = None
) -> Acceptance:
    """Record a command; from then on it is carried to VTEX whatever happens. The caller enqueues it.

    ``key`` becomes its id: the same key with the same payload is the same command; :class:`Conflict` with another.
    :class:`Invalid` names every problem of the payload, and nothing is recorded.
    """
    [answer] = record(book, [prepare(kind, order_id, payload, zone=zone, key=key)])
    if isinstance(answer, Conflict):
        raise answer
    return answer


def prepare(kind: str, order_id: str, payload: Any, *, zone: str, key: str | None = None) -> Request:
    """What :func:`record` takes, checked; :class:`Invalid` names every problem."""
    return _prepare(kind, order_id, payload, zone, key)[0]


def begin(
    book: CommandLedger,
    kind: str,
    order_id: str,
    payload: Any,
    *,
    zone: str,
    key: str,
    token: str,
    pace: Pace,
) -> Begun:
    """As :func:`accept`, for a worker that carries it at once: with the claim ``token``, if it is its turn."""
    request, wanted = _prepare(kind, order_id, payload, zone, key)
    accepted, claim = book.begin(
        (request.id, request.kind, request.order_id, request.payload, request.fingerprint), token, pace
    )
    answer = _answer(request, accepted)
    if isinstance(answer, Conflict):
        raise answer
    return Begun(answer, claim, wanted)


def record(book: CommandLedger, requests: Sequence[Request]) -> list[Acceptance | Conflict]:
    """Record them in one trip, each for itself. They are the caller's to enqueue."""
    found = book.accept([(one.id, one.kind, one.order_id, one.payload, one.fingerprint) for one in requests])
    return [_answer(request, accepted) for request, accepted in zip(requests, found, strict=True)]


def refuse(
    book: CommandLedger, kind: str, order_id: Any, payload: Any, *, id_: str, why: OrderLinkError
) -> bool:
    """Record a request that cannot be carried, with the reason, for a caller who is not there to be told.

    False: the id belongs to a request that was accepted.
    """
    kept = payload if isinstance(payload, dict) else {"unusable": str(payload)[:500]}
    try:
        json.dumps(kept, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        kept = {"unusable": "not plain JSON"}
    order = order_id if isinstance(order_id, str) and ID.fullmatch(order_id) else "unknown"
    return book.refuse(id_, kind, order, kept, str(why))


def check(kind: str, order_id: str, payload: Any, *, zone: str) -> Any:
    """The payload as VTEX's API wants it; :class:`Invalid` names every problem."""
    if (
        not isinstance(order_id, str)
        or not ID.fullmatch(order_id)
        or "/" in order_id
        or order_id in {".", ".."}
    ):
        raise InvalidName("order_id: an order's id is expected, such as 1234567890123-01")
    match kind:
        case "invoice":
            return load_invoice(payload, zone=zone)
        case "tracking":
            return load_tracking(payload, zone=zone)
        case "cancel":
            return load_cancel(payload)
        case "change":
            return load_change(payload)
    raise Invalid(f"there is no command {kind!r}; there are {', '.join(KINDS)}")


def enqueue(account: str, id_: str, kind: str, order_id: str) -> None:
    """Send a recorded command on its way; the message holds its id and nothing of its payload."""
    app.send_task(KINDS[kind], kwargs=message(account, id_, order_id))


def enqueue_all(commands: Iterable[tuple[str, str, str, str]]) -> None:
    """The same for many, each (account, id, kind, order id), in one trip.

    The messages are those of ``send_task``. What else that does for each (it looks for routes and results, prepares
    repeats) would cost three times as much as all the rest, and a message that gets lost is sent again anyway.
    """
    with app.producer_or_acquire() as producer, producer.batch():
        for account, id_, kind, order_id in commands:
            kwargs = message(account, id_, order_id)
            made = app.amqp.create_task_message(
                uuid.uuid4().hex, KINDS[kind], (), kwargs, argsrepr="()", kwargsrepr=repr(kwargs)
            )
            queue = queues.among(app.amqp.queues, queues.COMMANDS, account)
            producer.publish(
                made.body, routing_key=queue, serializer="json", headers=made.headers, **made.properties
            )


def message(account: str, id_: str, order_id: str) -> dict[str, Any]:
    """The arguments of a task that carries a recorded command."""
    return {"account": account, "order_id": order_id, "key": id_, "recorded": True}


def ask(
    kind: str,
    order_id: str,
    payload: Any = None,
    *,
    account: str | None = None,
    key: str | None = None,
) -> Acceptance:
    """Accept a command and send it on its way, with the settings of this process's environment.

    For a program of your own that runs beside the workers; ``kind`` is invoice, tracking, cancel or change. Raises
    :class:`Invalid` (every problem of the payload; nothing is recorded), :class:`Conflict` (the key belongs to
    another request), and ``KeyError`` for an account that the settings do not have.
    """
    process = runtime.current()
    name = process.settings.account(account).name
    book = process.link(name).commands
    accepted = accept(book, kind, order_id, payload, zone=process.settings.of(name).timezone, key=key)
    if accepted.state not in ENDS:
        enqueue(name, accepted.id, kind, order_id)
    return accepted


def _prepare(kind: str, order_id: str, payload: Any, zone: str, key: str | None) -> tuple[Request, Any]:
    id_ = _id(key)
    wanted = check(kind, order_id, payload, zone=zone)
    return Request(id_, kind, order_id, payload, f"{order_id} {wanted.fingerprint()}"), wanted


def _answer(request: Request, accepted: Accepted) -> Acceptance | Conflict:
    if accepted.verdict == "other":
        return Conflict(
            f"the key {request.id} belongs to another request already; use a new key for a new request"
        )
    return Acceptance(request.id, accepted.verdict == "same", accepted.state)


def _id(key: str | None) -> str:
    if key is None:
        return uuid.uuid4().hex
    if not isinstance(key, str) or not ID.fullmatch(key):
        raise InvalidName("key: up to 200 printable characters without spaces are expected")
    return key
