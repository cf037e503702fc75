"""Which worker processes died: silent ones, and those that their supervisor saw die.

A process that ends in order takes itself off the list of those that began. One that is on it and does not beat any
more is silent: it died, or is cut off from Redis. What it says when it comes back is counted, so that a claim of its
is not taken for a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis

from workers import keys

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Death:
    """A process that is gone: for certain, or because nothing is heard of it."""

    who: str
    certain: bool


def lives(client: redis.Redis, who: str) -> None:
    """That process says that it lives."""
    with client.pipeline() as pipe:
        pipe.incr(keys.BEATS + who)
        pipe.expire(keys.BEATS + who, 86400)
        pipe.sadd(keys.BEGUN, who)
        pipe.execute()


def ended(client: redis.Redis, who: str) -> None:
    """That process ends in order."""
    client.srem(keys.BEGUN, who)
    client.delete(keys.BEATS + who)


def saw_die(client: redis.Redis, name: str, pid: int) -> None:
    """The supervisor of the process with that Celery name (``worker1-7@host``) and process id saw it die."""
    for who in cast("set[str]", client.smembers(keys.BEGUN)):
        if who.startswith(f"{name}:{pid}:") and client.srem(keys.BEGUN, who):
            client.delete(keys.WORKER + who)
            _note(client, who, "certain")


def since(client: redis.Redis, place: str) -> tuple[str, list[Death]]:
    """The processes that died after that place in the list (``0``: all), and the place to go on from next time."""
    begun = sorted(cast("set[str]", client.smembers(keys.BEGUN)))
    beats = client.mget([keys.WORKER + who for who in begun]) if begun else []
    for who, beat in zip(begun, cast("list[str | None]", beats), strict=True):
        if beat is None and client.srem(keys.BEGUN, who):  # one that lives comes back with its next beat
            _note(client, who, "silent")
    noted = cast("list[tuple[str, dict[str, str]]]", client.xrange(keys.DEATHS, min=f"({place}"))
    died = [Death(one["who"], one["how"] == "certain") for _, one in noted]
    return (noted[-1][0] if noted else place), died


def _note(client: redis.Redis, who: str, how: str) -> None:
    client.xadd(keys.DEATHS, {"who": who, "how": how}, maxlen=_REMEMBERED)
