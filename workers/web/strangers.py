"""Who comes with a wrong token, or a wrong secret of the hook: counted, and slowed down if he keeps guessing.

Each address may be wrong a few times at once, and then now and then. What is wrong beyond that is answered with 429,
after a moment, and the connection is closed. Whoever has a right token is never asked to wait, from whatever address:
behind a proxy, whose address everybody shares, one who guesses is no harm to the others. What a request says of where
it comes from (X-Forwarded-For) does not count, since anybody can write that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from typing import TYPE_CHECKING

from workers.web.pace import Pace
from workers.web.problems import Problem
from workers.web.tally import Tally

if TYPE_CHECKING:
    from aiohttp import web

#: Of one address, after twenty at once.
WRONG_PER_MINUTE = 10
#: Seconds that the answer is held back, and how many answers at most: more of them are given at once.
HELD_BACK = 1.0
MOST_HELD_BACK = 64


class Strangers:
    """One for all ways in, so that who tries one after the other gains nothing."""

    def __init__(self) -> None:
        self._pace = Pace(WRONG_PER_MINUTE)
        self._tally = Tally("strangers_refused")
        self._held_back = 0

    async def refuse(self, request: web.Request, kind: str, guess: str, problem: Problem) -> Problem:
        """The answer to a wrong ``guess``: ``problem``, or 429 after a moment. ``kind`` says in the log of what.

        Who comes with nothing at all guesses nothing, and is counted alone.
        """
        address = address_of(request.remote)
        self._tally.count(kind, address)
        wait = self._pace.wait(address) if guess else 0.0
        if not wait:
            return problem
        if self._held_back < MOST_HELD_BACK:
            self._held_back += 1
            try:
                await asyncio.sleep(HELD_BACK)
            finally:
                self._held_back -= 1
        return Problem(
            429,
            f"from {address} too many were wrong: {problem.detail}",
            headers={"Retry-After": str(math.ceil(wait)), "Connection": "close"},
        )

    def count(self, kind: str, address: str | None) -> None:
        """Count what no answer can be slowed down of."""
        self._tally.count(kind, address_of(address))

    def close(self) -> None:
        """At the end."""
        self._tally.close()


def address_of(remote: str | None) -> str:
    """What an address is counted by: of IPv6 the network, since one host there may have any of its addresses."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
