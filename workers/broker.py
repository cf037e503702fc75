"""What kombu's Redis transport is told to do otherwise. One patch, for the versions that it was made for.

kombu makes a Redis client for each message that it publishes and each that it acknowledges, which costs more than
the sending itself: a seventh of a busy worker's time. A client only borrows connections from a pool and may be
shared by threads, so a channel keeps one as long as it keeps its pool.
"""

from __future__ import annotations

from typing import Any

import kombu
from kombu.transport.redis import Channel
from packaging.version import Version

#: The versions of kombu whose channel was read for it.
MADE_FOR = Version("5.7") <= Version(kombu.__version__) < Version("5.8")

_create_client: Any = Channel._create_client  # noqa: SLF001 - what is patched


def _one_client(channel: Any, asynchronous: bool = False) -> Any:
    if asynchronous:  # made once a channel by kombu itself
        return _create_client(channel, asynchronous)
    pool, kept = channel.pool, channel.__dict__.get("_kept_client")
    if kept is None or kept.connection_pool is not pool:  # the pool is another one after a reconnection
        kept = channel.__dict__["_kept_client"] = _create_client(channel)
    return kept


def patch() -> None:
    """Keep one client a channel, if this kombu is one that it was made for."""
    if MADE_FOR:
        Channel._create_client = _one_client  # type: ignore[method-assign]  # noqa: SLF001
