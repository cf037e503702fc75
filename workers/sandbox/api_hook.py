"""VTEX's endpoint for the configuration of the order hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers.sandbox.answers import answer, refusal
from workers.sandbox.api_outbound import json_body
from workers.sandbox.hook import Target

if TYPE_CHECKING:
    from workers.sandbox.postman import Postman
    from workers.sandbox.world import World

_CONFIG = "/api/orders/hook/config"


class HookApi:
    """Reads, saves and deletes; saving asks the address first."""

    def __init__(self, world: World, postman: Postman) -> None:
        self._world = world
        self._postman = postman

    def routes(self) -> list[web.RouteDef]:
        """Return what the server registers."""
        return [
            web.get(_CONFIG, self.show),
            web.post(_CONFIG, self.save),
            web.delete(_CONFIG, self.delete),
        ]

    async def show(self, _request: web.Request) -> web.Response:
        """Show the configuration."""
        target = self._world.hook.target
        return _no_hook() if target is None else answer(target.as_answer())

    async def save(self, request: web.Request) -> web.Response:
        """Create or replace it, if the address answers a ping with 200."""
        target = Target.from_request(await json_body(request))
        if not await self._postman.ping(target):
            return refusal(400, "1", f"The address {target.url} did not answer the ping with 200")
        self._world.hook.target = target
        return answer(self._sample())

    async def delete(self, _request: web.Request) -> web.Response:
        """Delete it, and what waits for delivery."""
        if self._world.hook.target is None:
            return _no_hook()
        self._world.hook.target = None
        return web.Response()

    def _sample(self) -> dict[str, Any]:
        """Write what the reference shows as the answer: an event of nobody's order."""
        return {
            "Domain": "Fulfillment",
            "OrderId": "1000000000000-01",
            "State": "ready-for-handling",
            "LastState": "window-to-cancel",
            "LastChange": "2019-08-14T17:11:39.2550122Z",
            "CurrentChange": "2019-08-14T17:12:48.0965893Z",
            "Origin": {"Account": self._world.config.account, "Key": self._world.config.app_key},
        }


def _no_hook() -> web.Response:
    return refusal(404, "1", "Hook not found")
