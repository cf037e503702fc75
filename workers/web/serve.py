"""Runs the front door until it is asked to stop.

The server is aiohttp's own: it reads slow requests without holding a thread, and is what the stand-in runs on, too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers import telemetry
from workers.web import connections
from workers.web.app import HEADERS, STRANGERS, make
from workers.web.connections import Connections
from workers.web.office import Office
from workers.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import Settings

log = telemetry.get(__name__)

#: Seconds that requests get to end once we stop.
GRACE = 10.0
#: Seconds that a connection may be idle, that its first request may take to come, and that what was refused may still
#: come in.
_IDLE = 60.0
_FIRST = 10.0
_LINGER = 2.0
_BACKLOG = 1024
#: So many are taken at once: what the event loop takes it cannot count before it has taken all of them.
_AT_ONCE = 4


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

    def __init__(self, manager: web.Server, all_: Connections, **more: Any) -> None:
        super().__init__(manager, **more)
        self._all = all_
        self._requests = 0
        self._first: asyncio.TimerHandle | None = None
        self.remote: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a request of it is being answered."""
        return self._current_request is not None or bool(self._messages)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room for it if there is none, and give it a while for its first request."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if isinstance(peer, tuple) else None
        self._first = self._loop.call_later(_FIRST, self._end_if_silent)
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Whether it was a request."""
        super().data_received(data)
        if self._request_count != self._requests:
            self._requests = self._request_count
            self._all.asked(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is none any more."""
        self._all.remove(self)
        if self._first:
            self._first.cancel()
        super().connection_lost(exc)

    def drop(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    def _end_if_silent(self) -> None:
        if not self._request_count:
            self.drop()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes
    ) -> web.StreamResponse:
        """The connection is closed after it."""
        self._all.strangers.count(f"no HTTP ({type(exc).__name__})", request.remote)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        response = Problem(status, "this is no request that can be read").response()
        response.headers.update(HEADERS)
        response.force_close()
        return response


async def listen(
    runner: web.AppRunner, address: str, port: int, most: int = connections.MOST
) -> asyncio.Server:
    """Take connections, so many at most; the caller closes it before he cleans up the runner."""
    loop, manager = asyncio.get_running_loop(), runner.server
    all_ = Connections(most, runner.app[STRANGERS])
    loop.set_exception_handler(all_.failed)
    if manager is None:
        raise RuntimeError("the runner is not set up")

    def connection() -> _Connection:
        limits: dict[str, Any] = {"keepalive_timeout": _IDLE, "lingering_time": _LINGER, "access_log": None}
        return _Connection(manager, all_, loop=loop, **limits)

    server = await loop.create_server(connection, address, port, backlog=_AT_ONCE)
    for taken in server.sockets:  # more than are taken at once may wait
        with socket.socket(fileno=os.dup(taken.fileno())) as same:
            same.listen(_BACKLOG)
    return server


async def _serve(settings: Settings, ready: Callable[[int], None] | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = runner_of(Office(settings))
    server = None
    try:
        await runner.setup()
        server = await listen(runner, settings.web_address, settings.web_port, connections.room())
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
