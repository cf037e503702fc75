"""VTEX's endpoints, as the integration calls them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers.sandbox.answers import answer, raw, refusal
from workers.sandbox.feed import MAX_LOT
from workers.sandbox.listing import BadQueryError, list_orders
from workers.sandbox.store import WrongStateError
from workers.sandbox.subscription import MixedFilterError, Subscription

if TYPE_CHECKING:
    from workers.sandbox.world import World

_ORDER = "/api/oms/pvt/orders/{orderId}"


class Api:
    """One method an endpoint; the world holds the state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return what the server registers."""
        return [
            web.get("/api/orders/feed", self.read_feed),
            web.post("/api/orders/feed", self.commit_feed),
            web.get("/api/orders/feed/config", self.show_config),
            web.post("/api/orders/feed/config", self.save_config),
            web.delete("/api/orders/feed/config", self.delete_config),
            web.get("/api/oms/pvt/orders", self.list_orders),
            web.get(_ORDER, self.get_order),
            web.post(f"{_ORDER}/start-handling", self.start_handling),
        ]

    async def read_feed(self, request: web.Request) -> web.Response:
        """Hand out events, 10 at most."""
        if self._world.subscription is None:
            return _no_feed()
        try:
            limit = int(request.query.get("maxlot", MAX_LOT))
        except ValueError:
            limit = 0
        if not 1 <= limit <= MAX_LOT:
            return refusal(400, "1", f"maxlot must be between 1 and {MAX_LOT}")
        return answer(
            [
                {
                    "eventId": event.event_id,
                    "handle": handle,
                    "domain": event.domain,
                    "state": event.state,
                    "lastState": event.last_state,
                    "orderId": event.order_id,
                    "lastChange": event.last_change,
                    "currentChange": event.current_change,
                }
                for handle, event in self._world.queue.receive(limit)
            ]
        )

    async def commit_feed(self, request: web.Request) -> web.Response:
        """Take events away."""
        if self._world.subscription is None:
            return _no_feed()
        body = await _json(request)
        handles = body.get("handles") if isinstance(body, dict) else None
        if not isinstance(handles, list) or not all(isinstance(handle, str) for handle in handles):
            return refusal(400, "1", "The handles field is required")
        self._world.audit.note_commit(self._world.queue.commit(handles))
        return web.Response()

    async def show_config(self, _request: web.Request) -> web.Response:
        """Show the feed's configuration, and how much waits in it."""
        subscription = self._world.subscription
        if subscription is None:
            return _no_feed()
        return answer(
            {
                **subscription.as_answer(),
                "quantity": len(self._world.queue),
                "approximateAgeOfOldestMessageInSeconds": self._world.queue.oldest_age(),
            }
        )

    async def save_config(self, request: web.Request) -> web.Response:
        """Create or replace the feed's configuration."""
        try:
            self._world.subscribe(Subscription.from_request(await _json(request)))
        except MixedFilterError as error:
            return refusal(409, "1", str(error))
        except ValueError as error:
            return refusal(400, "1", str(error))
        return web.Response()

    async def delete_config(self, _request: web.Request) -> web.Response:
        """Delete the feed."""
        if self._world.subscription is None:
            return _no_feed()
        self._world.unsubscribe()
        return web.Response()

    async def list_orders(self, request: web.Request) -> web.Response:
        """List what is indexed."""
        try:
            return answer(list_orders(self._world, request.query))
        except BadQueryError as error:
            return refusal(400, "1", str(error))

    async def get_order(self, request: web.Request) -> web.Response:
        """Answer with the whole order."""
        return raw(self._world.store.render(self._world.store.get(request.match_info["orderId"])))

    async def start_handling(self, request: web.Request) -> web.Response:
        """Tell that the order is being prepared."""
        try:
            self._world.store.start_handling(request.match_info["orderId"])
        except WrongStateError as error:
            return refusal(409, "OMS003", str(error))
        return web.Response(status=HTTPStatus.NO_CONTENT)


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


def _no_feed() -> web.Response:
    return refusal(404, "1", "Feed not found")
