"""VTEX's endpoints for order changes, the asynchronous kind.

The call that changes wants the account as ``accountName``, all others as ``an``: that is how VTEX has it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from workers.sandbox.answers import answer
from workers.sandbox.api_outbound import json_body
from workers.sandbox.refused import Refused

if TYPE_CHECKING:
    from workers.sandbox.world import World

_CHANGES = "/api/order-system/orders/{changeOrderId}/changes"
_CHANGE = f"{_CHANGES}/{{changeRequestId}}"
_SETTINGS = "/api/order-system/orders/changes/settings"


class ChangesApi:
    """One method an endpoint; the world holds the state."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return what the server registers."""
        return [
            web.get(_SETTINGS, self.settings),
            web.put(_SETTINGS, self.configure),
            web.patch(_CHANGES, self.ask),
            web.get(_CHANGES, self.history),
            web.post(f"{_CHANGES}/preview", self.preview),
            web.get(_CHANGE, self.show),
            web.post(f"{_CHANGE}/retry", self.retry),
            web.post(f"{_CHANGE}/cancel", self.cancel),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """Take a change; whether it is made shows later."""
        self._check_account(request, "accountName")
        body = await json_body(request)
        return answer(self._world.changes.ask(_order_id(request), body), HTTPStatus.ACCEPTED)

    async def preview(self, request: web.Request) -> web.Response:
        """Say what a change would do."""
        self._check_account(request)
        return answer(self._world.changes.preview(_order_id(request), await json_body(request)))

    async def history(self, request: web.Request) -> web.Response:
        """Show an order's changes."""
        self._check_account(request)
        return answer(self._world.changes.history(_order_id(request)))

    async def show(self, request: web.Request) -> web.Response:
        """Show one change."""
        self._check_account(request)
        return answer(self._world.changes.show(_order_id(request), _request_id(request)))

    async def retry(self, request: web.Request) -> web.Response:
        """Begin a change anew."""
        self._check_account(request)
        self._world.changes.retry(_order_id(request), _request_id(request))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a change."""
        self._check_account(request)
        body = await json_body(request)
        self._world.changes.cancel(_order_id(request), _request_id(request), body)
        return web.Response()

    async def settings(self, request: web.Request) -> web.Response:
        """Show the account's settings for changes."""
        self._check_account(request)
        return answer(self._world.changes.settings)

    async def configure(self, request: web.Request) -> web.Response:
        """Change them."""
        self._check_account(request)
        return answer(self._world.changes.configure(await json_body(request)))

    def _check_account(self, request: web.Request, name: str = "an") -> None:
        if request.query.get(name) != self._world.config.account:
            raise Refused(400, f"The query needs {name} with the name of the account")


def _order_id(request: web.Request) -> str:
    return request.match_info["changeOrderId"]


def _request_id(request: web.Request) -> str:
    return request.match_info["changeRequestId"]
