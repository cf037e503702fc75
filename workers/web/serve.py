"""Runs the front door until it is asked to stop.

The server is aiohttp's own: it reads slow requests without holding a thread, and is what the stand-in runs on, too.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from aiohttp import web

from workers import telemetry
from workers.web.app import make
from workers.web.office import Office

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import Settings

log = telemetry.get(__name__)

#: Seconds that requests get to end once we stop.
GRACE = 10.0
#: Seconds that a connection may be idle, and that what was refused may still come in.
_IDLE = 60.0
_LINGER = 2.0
_BACKLOG = 1024


def run(settings: Settings, ready: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called with the port. ``OSError`` if it cannot be had."""
    asyncio.run(_serve(settings, ready))


def runner_of(office: Office) -> web.AppRunner:
    """The server of an office, with all its limits."""
    return web.AppRunner(
        make(office),
        access_log=None,
        shutdown_timeout=GRACE,
        keepalive_timeout=_IDLE,
        lingering_time=_LINGER,
    )


async def _serve(settings: Settings, ready: Callable[[int], None] | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = runner_of(Office(settings))
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.web_address or None, settings.web_port, backlog=_BACKLOG)
        await site.start()
        port = runner.addresses[0][1]
        log.info("listening", address=settings.web_address or "every address", port=port)
        if ready:
            ready(port)
        await stop.wait()
        log.info("stopping", why="a signal")
    finally:
        await runner.cleanup()
