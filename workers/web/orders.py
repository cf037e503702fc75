"""Orders: how one stands, which ones need a look, and trying a dead one again."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from workers import documents
from workers.books import Books
from workers.web.answers import OrderListSchema, OrderSchema, ReplaySchema
from workers.web.lists import OrdersQuery, page, wanted
from workers.web.operations import Ask, Operation, address
from workers.web.problems import Problem, reply
from workers.web.replaying import answer_of
from workers.web.tokens import OPERATE, READ


async def show(ask: Ask) -> web.Response:
    """Everything that is known of one order."""
    document = await ask.office.do(_look, ask.books, ask.part("orderId"))
    if document is None:
        raise Problem(
            404, "this order is not known here: its event has not been read yet, or it ended long ago"
        )
    return reply(document)


def _look(books: Books, order_id: str) -> dict[str, Any] | None:
    record, asked = books.orders.record(order_id), books.commands.of_order(order_id)
    if record is None and not asked:
        return None
    return documents.order(order_id, record, asked, now=books.orders.now(), paused=books.orders.paused())


async def listed(ask: Ask) -> web.Response:
    """The orders of one state."""
    rows, following = await ask.office.do(page, ask.books, "orders", wanted(OrdersQuery, ask.request))
    return reply({"orders": rows, "next": following})


async def replay(ask: Ask) -> web.Response:
    """Try a dead order once more."""
    order_id = ask.part("orderId")
    verdict = await ask.office.do(ask.books.replay_order, order_id, ask.token.name)
    return answer_of(verdict, order_id, address("orders", order_id))


OPERATIONS = (
    Operation(
        "GET",
        "/v1/orders",
        "listOrders",
        "The orders that are open, parked or dead",
        (READ,),
        listed,
        {200: ("One page, by order id", OrderListSchema)},
        query=OrdersQuery,
    ),
    Operation(
        "GET",
        "/v1/orders/{orderId}",
        "getOrder",
        "How an order stands: its story, its commands, and what happens next",
        (READ,),
        show,
        {200: ("The order", OrderSchema)},
        refusals={404: "no such order"},
    ),
    Operation(
        "POST",
        "/v1/orders/{orderId}/replay",
        "replayOrder",
        "Try a dead order once more, or a parked one now; VTEX is looked at first",
        (OPERATE,),
        replay,
        {202: ("It is on its way", ReplaySchema)},
        refusals={
            404: "no such order",
            409: "there is nothing to replay, and why",
        },
    ),
)
