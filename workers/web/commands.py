"""Commands: an ERP asks for something, looks how it ended, and has it done again."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from workers import documents, intake
from workers.errors import Conflict, Invalid
from workers.vtex.payloads import CancelSchema, ChangeSchema, InvoiceSchema, TrackingSchema
from workers.web import body, examples
from workers.web.answers import AcceptedSchema, CommandListSchema, CommandSchema, ReplaySchema
from workers.web.lists import CommandsQuery, page, wanted
from workers.web.operations import Ask, Operation, address
from workers.web.problems import Problem, reply
from workers.web.replaying import answer_of
from workers.web.tokens import COMMAND, OPERATE, READ

#: Where HTTP has what names the order and the command.
_GIVEN = {"order_id": "orderId", "key": "Idempotency-Key"}


async def _ask(ask: Ask, kind: str, payload: Any) -> web.Response:
    """Record the command and send it on its way: 202, or 200 for a repeat."""
    key = _key(ask.request)
    check = partial(_checked, ask, kind, payload, key)
    # a small one is checked at once: a thread would cost more
    small = 0 < (ask.request.content_length or body.SMALL) < body.SMALL or not payload
    request = check() if small else await asyncio.to_thread(check)
    try:
        accepted = await ask.clerk.accept(ask.books.commands, request)
    except Conflict as conflict:
        raise Problem(409, str(conflict)) from None
    where = address("commands", accepted.id)
    return reply(
        {"id": accepted.id, "state": accepted.state, "url": where},
        status=HTTPStatus.OK if accepted.repeated else HTTPStatus.ACCEPTED,
        headers={"Location": where},
    )


def _key(request: web.Request) -> str | None:
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) > 1:
        problem = "Idempotency-Key: stands twice; send it once"
        raise Problem(422, "1 problem(s); nothing was recorded", problems=[problem], member="parameter")
    key = keys[0] if keys else None
    if key and len(key) > 1 and key[0] == key[-1] == '"':  # a structured header's string
        return key[1:-1]
    return key


def _checked(ask: Ask, kind: str, payload: Any, key: str | None) -> intake.Request:
    zone = ask.office.stores[ask.account].timezone
    try:
        return intake.prepare(kind, ask.part("orderId"), payload, zone=zone, key=key)
    except intake.InvalidName as wrong:
        name, _, why = str(wrong).partition(": ")
        raise Problem(
            422, "1 problem(s); nothing was recorded", problems=[f"{_GIVEN[name]}: {why}"], member="parameter"
        ) from None
    except Invalid as invalid:
        problems = getattr(invalid, "problems", (str(invalid),))
        raise Problem(422, f"{len(problems)} problem(s); nothing was recorded", problems=problems) from None


async def invoice(ask: Ask) -> web.Response:
    """Send an invoice, or a return's."""
    return await _ask(ask, "invoice", await body.read(ask.request))


async def tracking(ask: Ask) -> web.Response:
    """Send what is known of an invoice's parcel."""
    payload, number = await body.read(ask.request), ask.part("number")
    if isinstance(payload, dict):
        said = payload.get("invoiceNumber")
        if said not in (None, "", number):
            problem = "invoiceNumber: is another one than in the address; leave it out"
            raise Problem(422, "1 problem(s); nothing was recorded", problems=[problem])
        payload = payload | {"invoiceNumber": number}
    return await _ask(ask, "tracking", payload)


async def cancellation(ask: Ask) -> web.Response:
    """Ask for a cancellation; without a body there is no reason."""
    payload = await body.read(ask.request, optional=True)
    if payload is None:  # what a program has sent that lost it is no wish to cancel
        problem = "the body is null; send an object, {…}, or no body"
        raise Problem(422, "1 problem(s); nothing was recorded", problems=[problem])
    return await _ask(ask, "cancel", {} if payload is body.NOTHING else payload)


async def change(ask: Ask) -> web.Response:
    """Ask for a change."""
    return await _ask(ask, "change", await body.read(ask.request))


async def show(ask: Ask) -> web.Response:
    """How a command stands."""
    id_ = ask.part("id")
    record = await ask.office.do(ask.books.commands.record, id_)
    if record is None:
        raise Problem(404, "this command is not known here")
    return reply(documents.command(record))


async def listed(ask: Ask) -> web.Response:
    """The commands of one state."""
    rows, following = await ask.office.do(page, ask.books, "commands", wanted(CommandsQuery, ask.request))
    return reply({"commands": rows, "next": following})


async def replay(ask: Ask) -> web.Response:
    """Carry a dead or refused command after all."""
    id_ = ask.part("id")
    verdict = await ask.office.do(ask.books.replay_command, id_, ask.token.name)
    return answer_of(verdict, id_, address("commands", id_))


_IN_USE = {409: "the Idempotency-Key belongs to another request"}


def _asking(path: str, name: str, about: str, **more: Any) -> Operation:
    return Operation(
        "POST",
        f"/v1/orders/{{orderId}}/{path}",
        name,
        about,
        (COMMAND,),
        answers={
            202: ("Recorded durably, and on its way to VTEX", AcceptedSchema),
            200: ("The same request was recorded before under this key", AcceptedSchema),
        },
        keyed=True,
        refusals=_IN_USE,
        **more,
    )


OPERATIONS = (
    _asking(
        "invoices",
        "sendInvoice",
        "Send an invoice, or a return",
        handler=invoice,
        body=InvoiceSchema,
        example=examples.INVOICE,
    ),
    _asking(
        "invoices/{number}/tracking",
        "sendTracking",
        "Send a tracking number, tracking events, or both",
        handler=tracking,
        body=TrackingSchema,
        example=examples.TRACKING,
    ),
    _asking(
        "cancellation",
        "cancelOrder",
        "Ask for an order's cancellation",
        handler=cancellation,
        body=CancelSchema,
        body_required=False,
        example=examples.CANCELLATION,
    ),
    _asking(
        "changes",
        "changeOrder",
        "Change an order's items or value",
        handler=change,
        body=ChangeSchema,
        example=examples.CHANGE,
    ),
    Operation(
        "GET",
        "/v1/commands",
        "listCommands",
        "The commands that are open, parked or dead",
        (READ,),
        listed,
        {200: ("One page, by id", CommandListSchema)},
        query=CommandsQuery,
    ),
    Operation(
        "GET",
        "/v1/commands/{id}",
        "getCommand",
        "How a command ended, or what it waits for",
        (READ, COMMAND),
        show,
        {200: ("The command", CommandSchema)},
        refusals={404: "no such command"},
    ),
    Operation(
        "POST",
        "/v1/commands/{id}/replay",
        "replayCommand",
        "Try a dead or refused command once more, or a parked one now",
        (OPERATE,),
        replay,
        {202: ("It is on its way", ReplaySchema)},
        refusals={
            404: "no such command",
            409: "there is nothing to replay, and why",
        },
    ),
)
