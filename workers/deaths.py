"""Which worker processes died: silent ones, and those that their supervisor saw die.

A process that ends in order takes itself off the list of those that began. One that is on it and does not beat any
more is silent: it died, or is cut off from Redis. What it says when it comes back is counted, so that a claim of its
is not taken for a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis

#: The processes that began and did not end; a stream of those that died; how often each process has said that it lives.
_BEGUN, _DEATHS, _SAID = "vo:begun", "vo:deaths", "vo:beats:"
_BEATING = "vo:worker:"
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Death:
    """A process that is gone: for certain, or because nothing is heard of it."""

    who: str
    certain: bool


def lives(client: redis.Redis, who: str) -> None:
    """That process says that it lives."""
    with client.pipeline() as pipe:
        pipe.incr(_SAID + who)
        pipe.expire(_SAID + who, 86400)
        pipe.sadd(_BEGUN, who)
        pipe.execute()


def ended(client: redis.Redis, who: str) -> None:
    """That process ends in order."""
    client.srem(_BEGUN, who)
    client.delete(_SAID + who)


def saw_die(client: redis.Redis, name: str, pid: int) -> None:
    """The supervisor of the process with that Celery name (``worker1-7@host``) and process id saw it die."""
    for who in cast("set[str]", client.smembers(_BEGUN)):
        if who.startswith(f"{name}:{pid}:") and client.srem(_BEGUN, who):
            client.delete(_BEATING + who)
            _note(client, who, "certain")


def since(client: redis.Redis, place: str) -> tuple[str, list[Death]]:
    """The processes that died after that place in the list (``0``: all), and the place to go on from next time."""
    begun = sorted(cast("set[str]", client.smembers(_BEGUN)))
    beats = client.mget([_BEATING + who for who in begun]) if begun else []
    for who, beat in zip(begun, cast("list[str | None]", beats), strict=True):
        if beat is None and client.srem(_BEGUN, who):  # one that lives comes back with its next beat
            _note(client, who, "silent")
    noted = cast("list[tuple[str, dict[str, str]]]", client.xrange(_DEATHS, min=f"({place}"))
    died = [Death(one["who"], one["how"] == "certain") for _, one in noted]
    return (noted[-1][0] if noted else place), died


def _note(client: redis.Redis, who: str, how: str) -> None:
    client.xadd(_DEATHS, {"who": who, "how": how}, maxlen=_REMEMBERED)
