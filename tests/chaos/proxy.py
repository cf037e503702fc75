"""A TCP proxy between the workers and Redis or VTEX, which can be told to misbehave.

It runs in a thread of its own, an asyncio loop for all of them, and forwards on the loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field

PIECE = 65536
TRICKLE = 256  # bytes


class Loop:
    """The event loop of all proxies, in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def call(self, coroutine):
        """Run it there and wait for its answer."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def close(self) -> None:
        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@dataclass(eq=False)
class _Link:
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    dead: bool = False  # half open: whatever is sent is swallowed, and nobody says so

    def abort(self) -> None:
        for side in (self.client, self.server):
            side.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Forwards to ``target``, a port of this machine. The attributes may be changed at any time.

    ``stalled``: bytes wait until it ends. ``refusing``: new connections are closed at once. ``delay``: seconds
    for each piece. ``trickle``: answers come in small pieces. ``deaf``: answers are lost. ``accepted``: how many
    connections there were.
    """

    loop: Loop
    target: int
    stalled: bool = False
    refusing: bool = False
    deaf: bool = False
    trickle: bool = False
    delay: float = 0.0
    port: int = 0
    accepted: int = 0
    _links: set[_Link] = field(default_factory=set)
    _server: asyncio.Server | None = None

    def start(self) -> Proxy:
        self.loop.call(self._start())
        return self

    def stop(self) -> None:
        self.loop.call(self._stop())

    def cut(self) -> None:
        """Reset every connection."""
        self.loop.call(self._each(_Link.abort))

    def half_open(self) -> None:
        """Every connection that is there now is dead, and stays so without a word; new ones work."""
        self.loop.call(self._each(lambda link: setattr(link, "dead", True)))

    def calm(self) -> None:
        """Forward again as if nothing had been; connections that died stay dead until somebody closes them."""
        self.stalled = self.refusing = self.deaf = self.trickle = False
        self.delay = 0.0

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server:
            self._server.close()
        await self._each(_Link.abort)

    async def _each(self, do) -> None:
        for link in list(self._links):
            do(link)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            client_out.transport.abort()
            return
        try:
            server_in, server_out = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client_out.transport.abort()
            return
        link = _Link(client_out, server_out)
        self._links.add(link)
        try:
            there = asyncio.ensure_future(self._pump(link, client_in, server_out, answers=False))
            back = asyncio.ensure_future(self._pump(link, server_in, client_out, answers=True))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in (there, back):
                    pump.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._links.discard(link)
            link.abort()

    async def _pump(self, link: _Link, source, sink, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE):
                while self.stalled:  # noqa: ASYNC110 - another thread ends it
                    await asyncio.sleep(0.05)
                if link.dead or (answers and self.deaf):
                    continue
                if self.delay:
                    await asyncio.sleep(self.delay)
                if answers and self.trickle:
                    await self._drip(sink, piece)
                    continue
                sink.write(piece)
                await sink.drain()

    async def _drip(self, sink, piece: bytes) -> None:
        for at in range(0, len(piece), TRICKLE):
            sink.write(piece[at : at + TRICKLE])
            await sink.drain()
            if self.trickle:
                await asyncio.sleep(0.05)
