"""The sandbox as a web server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from aiohttp import web

from workers.sandbox.api import Api
from workers.sandbox.api_changes import ChangesApi
from workers.sandbox.api_hook import HookApi
from workers.sandbox.api_outbound import OutboundApi
from workers.sandbox.config import SandboxConfig
from workers.sandbox.control import Control, explain
from workers.sandbox.faults import FaultPlan
from workers.sandbox.postman import Postman
from workers.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

__all__ = ["FaultPlan", "Sandbox", "SandboxConfig", "run", "serve"]

#: How often planned moves are looked at when nobody calls.
_TICK = 0.02


class Sandbox:
    """A stand-in VTEX: ``await start()``, use ``url``, ``await stop()``."""

    def __init__(self, config: SandboxConfig) -> None:
        self.world = World(config)
        self.url = ""
        self.port = 0
        self.postman = Postman(self.world.hook, config.hook_timeout)
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    def app(self) -> web.Application:
        """Build the web application."""
        app = web.Application(middlewares=[self._advance, self.world.gate.middleware, explain])
        app.add_routes(Api(self.world).routes())
        app.add_routes(OutboundApi(self.world).routes())
        app.add_routes(ChangesApi(self.world).routes())
        app.add_routes(HookApi(self.world, self.postman).routes())
        app.add_routes(Control(self.world).routes())
        return app

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://{host}:{self.port}"
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Stop listening."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        await self.postman.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _advance(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.world.advance()
        return await handler(request)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.world.advance()
            self.postman.send_due()


async def serve(
    config: SandboxConfig,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until cancelled, or until ``stop`` is set; ``ready`` is called with the port."""
    sandbox = Sandbox(config)
    await sandbox.start(host, port)
    try:
        if ready is not None:
            ready(sandbox.port)
        await (stop or asyncio.Event()).wait()
    finally:
        await sandbox.stop()


def run(
    config: SandboxConfig, host: str = "127.0.0.1", port: int = 0, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(config, host, port, ready, stop)

    asyncio.run(main())
