"""A connection to the primary that Sentinels name, which may be on another machine than they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis
from redis.sentinel import SentinelManagedConnection

if TYPE_CHECKING:
    from collections.abc import Callable


class PrimaryElsewhere(redis.ConnectionError):
    """The primary would get the password without TLS, and is not this machine."""

    def __init__(self) -> None:
        super().__init__(
            "the Sentinels name a primary on another machine, and it would get the password without TLS: use"
            " sentinels:// in REDIS_URL (or allow that host, with ALLOW_INSECURE_HTTP)"
        )


def without_tls(allowed: Callable[[str], bool]) -> type[SentinelManagedConnection]:
    """The class of connections that go to ``allowed`` hosts and to no other."""

    class OnlyThere(SentinelManagedConnection):
        def connect_to(self, address: tuple[str, int]) -> None:
            if not allowed(address[0]):
                raise PrimaryElsewhere
            super().connect_to(address)  # type: ignore[no-untyped-call]

    return OnlyThere
