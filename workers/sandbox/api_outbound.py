"""VTEX's endpoints that tell about an order from outside: invoice, tracking, cancellation, old changes, log."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers.sandbox.answers import answer
from workers.sandbox.mail import messages
from workers.sandbox.refused import Refused, object_of, text_of

if TYPE_CHECKING:
    from workers.sandbox.world import World

_ORDER = "/api/oms/pvt/orders/{orderId}"
_DOCUMENT = "/api/orders/pvt/document/{orderId}"
_INVOICE = f"{_ORDER}/invoice/{{invoiceNumber}}"
#: A client that means to confirm a cancellation request can say so; VTEX itself knows no such header.
CONFIRMS = "X-Sandbox-Confirms-Cancellation"


class OutboundApi:
    """One method an endpoint; the world holds the state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return what the server registers."""
        return [
            web.post(f"{_ORDER}/invoice", self.invoice),
            web.patch(_INVOICE, self.name_parcel),
            web.put(f"{_INVOICE}/tracking", self.report_tracking),
            web.post(f"{_ORDER}/cancel", self.cancel),
            web.post(f"{_DOCUMENT}/deny-cancellation-request", self.deny),
            web.post(f"{_ORDER}/changes", self.change),
            web.post(f"{_ORDER}/interactions", self.log),
            web.get(f"{_ORDER}/conversation-message", self.conversation),
            web.get("/api/oms/pvt/orders/order-group/{orderGroup}", self.order_group),
        ]

    async def invoice(self, request: web.Request) -> web.Response:
        """Take an invoice."""
        return answer(self._world.invoices.send(_order_id(request), await json_body(request)))

    async def name_parcel(self, request: web.Request) -> web.Response:
        """Take an invoice's tracking number."""
        number = request.match_info["invoiceNumber"]
        body = await json_body(request)
        return answer(self._world.tracking.name_parcel(_order_id(request), number, body))

    async def report_tracking(self, request: web.Request) -> web.Response:
        """Take what happened on the way."""
        number = request.match_info["invoiceNumber"]
        body = await json_body(request)
        return answer(self._world.tracking.report(_order_id(request), number, body))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel, or ask for it, or confirm it."""
        body = await json_body(request)
        expected = request.headers.get(CONFIRMS, "").lower() == "true"
        return answer(self._world.cancellations.ask(_order_id(request), body, expected=expected))

    async def deny(self, request: web.Request) -> web.Response:
        """Refuse a cancellation request."""
        self._world.cancellations.deny(_order_id(request), await json_body(request))
        return web.Response()

    async def change(self, request: web.Request) -> web.Response:
        """Change an order the old way."""
        return answer(self._world.legacy_changes.ask(_order_id(request), await json_body(request)))

    async def log(self, request: web.Request) -> web.Response:
        """Add to an order's log; every call adds."""
        order = self._world.store.get(_order_id(request))
        body = object_of(await json_body(request))
        entry = {"source": text_of(body, "source"), "message": text_of(body, "message")}
        self._world.store.outbound(order).log.append(entry)
        return web.Response(status=self._world.config.log_status)

    async def conversation(self, request: web.Request) -> web.Response:
        """Show the mails about an order."""
        order = self._world.store.get(_order_id(request))
        return answer(messages(self._world.config.account, order, self._world.store.facts(order)))

    async def order_group(self, request: web.Request) -> web.Response:
        """Show all orders of one purchase; the sandbox splits none, so there is one at most."""
        order_id = f"{request.match_info['orderGroup']}-01"
        if order_id not in self._world.store:
            return answer([])
        rendered = self._world.store.render(self._world.store.get(order_id))
        return web.Response(
            body=b"[" + rendered + b"]",
            status=HTTPStatus.OK,
            content_type="application/json",
            charset="utf-8",
        )


async def json_body(request: web.Request) -> Any:
    """Return the body; None when there is none."""
    body = await request.read()
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "The body is not JSON") from None


def _order_id(request: web.Request) -> str:
    return request.match_info["orderId"]
