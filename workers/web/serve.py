"""Runs the front door until it is asked to stop.

The server is aiohttp's own: it reads slow requests without holding a thread, and is what the stand-in runs on, too.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers import telemetry
from workers.web.app import HEADERS, STRANGERS, make
from workers.web.office import Office
from workers.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import Settings
    from workers.web.strangers import Strangers

log = telemetry.get(__name__)

#: Seconds that requests get to end once we stop.
GRACE = 10.0
#: Seconds that a connection may be idle or bring the head of a request, and that what was refused may still come in.
_IDLE = 60.0
_LINGER = 2.0
_BACKLOG = 1024


def run(settings: Settings, ready: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called with the port. ``OSError`` if it cannot be had."""
    asyncio.run(_serve(settings, ready))


def runner_of(office: Office) -> web.AppRunner:
    """The server of an office, with all its limits."""
    return web.AppRunner(make(office), shutdown_timeout=GRACE)


class _Connection(web.RequestHandler):
    """Answers what is no HTTP as everything else is answered.

    aiohttp would quote it, in the answer and in the log, where a broken line may hold a token.
    """

    def __init__(self, manager: web.Server, strangers: Strangers, **more: Any) -> None:
        super().__init__(manager, **more)
        self.strangers = strangers

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes
    ) -> web.StreamResponse:
        """The connection is closed after it."""
        self.strangers.count(f"no HTTP ({type(exc).__name__})", request.remote)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        response = Problem(status, "this is no request that can be read").response()
        response.headers.update(HEADERS)
        response.force_close()
        return response


async def listen(runner: web.AppRunner, address: str, port: int) -> asyncio.Server:
    """Take connections; the caller closes it before he cleans up the runner."""
    loop, manager = asyncio.get_running_loop(), runner.server
    if manager is None:
        raise RuntimeError("the runner is not set up")

    def connection() -> _Connection:
        limits: dict[str, Any] = {"keepalive_timeout": _IDLE, "lingering_time": _LINGER, "access_log": None}
        return _Connection(manager, runner.app[STRANGERS], loop=loop, **limits)

    return await loop.create_server(connection, address, port, backlog=_BACKLOG)


async def _serve(settings: Settings, ready: Callable[[int], None] | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = runner_of(Office(settings))
    server = None
    try:
        await runner.setup()
        server = await listen(runner, settings.web_address, settings.web_port)
        port = server.sockets[0].getsockname()[1]
        log.info("listening", address=settings.web_address, port=port)
        if ready:
            ready(port)
        await stop.wait()
        log.info("stopping", why="a signal")
    finally:
        if server:
            server.close()
        await runner.cleanup()
