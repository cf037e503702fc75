"""Lists of orders and commands, a page at a time.

A page goes on after an id and not at a place: what ends or begins meanwhile makes nobody miss one that stays.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from workers import documents
from workers.books import Books
from workers.web.problems import Problem

STATES = ("open", "parked", "dead")
LONGEST_PAGE = 500
_LOT = 500


class _Query(Schema):
    class Meta:
        unknown = RAISE

    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "open: in progress; parked: waits for a later try; dead: given up"},
    )
    limit = fields.Integer(
        load_default=50,
        validate=validate.Range(1, LONGEST_PAGE),
        metadata={"description": "How many at most"},
    )
    after = fields.String(
        load_default="",
        validate=validate.Length(max=200),
        metadata={"description": "Go on after this id; better follow `next` of the page before"},
    )
    account = fields.String(metadata={"description": "Which store"})


class OrdersQuery(_Query):
    """Which orders."""


class CommandsQuery(_Query):
    """Which commands."""


_LOADED: dict[type[_Query], _Query] = {schema: schema() for schema in (OrdersQuery, CommandsQuery)}


def wanted(schema: type[_Query], request: web.Request) -> dict[str, Any]:
    """What the address asks for; a problem (422) names everything that is wrong with it."""
    twice = sorted(name for name in set(request.query) if len(request.query.getall(name)) > 1)
    if twice:
        raise Problem(
            422,
            "the query cannot be used",
            problems=[f"{name}: is given twice" for name in twice],
            member="parameter",
        )
    try:
        asked: dict[str, Any] = _LOADED[schema].load(dict(request.query))
    except ValidationError as error:
        problems = [f"{name}: {' '.join(map(str, words))}" for name, words in error.messages_dict.items()]
        raise Problem(422, "the query cannot be used", problems=problems, member="parameter") from None
    return asked


def page(books: Books, what: str, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """The rows, by id, and the address of the next page if there may be one."""
    state, limit = asked["state"], asked["limit"]
    rows: list[dict[str, Any]] = []
    ids = sorted(id_ for id_ in _ids(books, what, state) if id_ > asked["after"])
    for start in range(0, len(ids), _LOT):
        lot = ids[start : start + _LOT]
        for id_, is_ in zip(lot, _states(books, what, lot), strict=True):
            row = _row(books, what, id_) if is_ == state else None
            if row is None or row["state"] != state:
                continue
            if len(rows) == limit:
                last = rows[-1]["orderId" if what == "orders" else "id"]
                query = {"state": state, "limit": limit, "after": last, "account": books.orders.account}
                return rows, f"/v1/{what}?{urlencode(query)}"
            rows.append(row)
    return rows, None


def _ids(books: Books, what: str, state: str) -> list[str]:
    if what == "orders":
        return books.orders.dead_since(0) if state == "dead" else books.orders.unfinished()
    return books.commands.dead_since(0) if state == "dead" else books.commands.unfinished()


def _states(books: Books, what: str, ids: list[str]) -> list[str | None]:
    return books.orders.states(ids) if what == "orders" else books.commands.states(ids)


def _row(books: Books, what: str, id_: str) -> dict[str, Any] | None:
    if what == "orders":
        order = books.orders.record(id_)
        return documents.order_row(order) if order else None
    command = books.commands.record(id_)
    return documents.command_row(command) if command else None
