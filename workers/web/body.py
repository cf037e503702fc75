"""Reads a request's body: JSON of a bounded size, in bounded time."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from workers import strict_json
from workers.web.problems import Problem

LARGEST: Final = strict_json.LARGEST
#: No body, which is not null.
NOTHING: Final = object()
#: Seconds that a whole body may take to come.
SECONDS: Final = 20.0
#: A body that is smaller is parsed at once; a larger one would keep others waiting.
SMALL: Final = 64 * 2**10


class TooLarge(Problem):
    """The body is larger than it may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes")


async def read(request: web.Request, limit: int = LARGEST, *, optional: bool = False) -> Any:
    """The JSON value of the body; with ``optional`` :data:`NOTHING` if there is no body at all."""
    if optional and not request.can_read_body:
        return NOTHING
    if request.content_type != "application/json":
        raise Problem(415, "the body must be JSON: send Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "the body must not be compressed")
    if (request.content_length or 0) > limit:
        raise TooLarge(limit)
    raw = await _bytes(request, limit)
    if optional and not raw:
        return NOTHING
    return parsed(raw) if len(raw) <= SMALL else await asyncio.to_thread(parsed, raw)


async def _bytes(request: web.Request, limit: int) -> bytes:
    parts, size = [], 0
    try:
        # most have come whole with their headers, and need no alarm clock
        async with asyncio.timeout(None if request.content.is_eof() else SECONDS):
            async for part in request.content.iter_any():
                size += len(part)
                if size > limit:
                    raise TooLarge(limit)
                parts.append(part)
    except TimeoutError:
        raise Problem(
            408, f"the body did not come within {SECONDS:g} s", headers={"Connection": "close"}
        ) from None
    return b"".join(parts)


def parsed(raw: bytes) -> Any:
    """The JSON value; a problem (400) says why there is none."""
    try:
        return strict_json.read(raw)
    except strict_json.Unreadable as wrong:
        raise Problem(400, f"the body {wrong}") from None
