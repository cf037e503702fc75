"""The kinds of fault. Each begins something, and says how it ends if it does not end by itself.

A fault whose victim is not there just now (no worker runs yet) says so by :class:`Idle`, and is not counted.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from .arena import USUAL, Arena
from .plan import Act

End = Callable[[], None] | None


class Idle(Exception):
    """There is nothing that it could hit."""


@dataclass(frozen=True)
class Fault:
    """``weight``: how often among others; ``seconds``: how long it lasts; ``wide``: meanwhile nobody can work."""

    name: str
    begin: Callable[[Arena, Act], End]
    weight: float = 1.0
    seconds: tuple[float, float] = (0.0, 0.0)
    wide: bool = False


ALL: dict[str, Fault] = {}


def fault(name: str, *, weight: float = 1.0, seconds: tuple[float, float] = (0.0, 0.0), narrow: bool = False):
    """Register a kind. One that lasts stops everybody, unless it is ``narrow``."""

    def register(begin: Callable[[Arena, Act], End]):
        ALL[name] = Fault(name, begin, weight, seconds, wide=seconds[1] > 0 and not narrow)
        return begin

    return register


def kinds(erp_faults: tuple[str, ...]) -> list[Fault]:
    """All kinds, of the ERP's those that suit it."""
    return [one for one in ALL.values() if not one.name.startswith("erp") or one.name in erp_faults]


def _one(victims: list, act: Act):
    if not victims:
        raise Idle
    return victims[act.pick % len(victims)]


def _freeze(arena: Arena, pid: int) -> End:
    arena.signal(pid, signal.SIGSTOP)

    def thaw() -> None:
        if arena.owns(pid):
            arena.signal(pid, signal.SIGCONT)

    return thaw


# Processes


@fault("worker killed", weight=6)
def _(arena, act):
    """The one that works for the longest time: a kill is to hit work, and not a program that only starts."""
    workers = [pid for pid in arena.ready() if pid in arena.processes("worker")]
    arena.signal(_one(workers[:1], act), signal.SIGKILL)


@fault("beat killed", weight=2)
def _(arena, act):
    arena.signal(_one(arena.processes("beat"), act), signal.SIGKILL)


@fault("supervisor killed", weight=2)
def _(arena, act):
    up = _one([up for up in arena.ups if up.runs], act)
    arena.signal(up.pid, signal.SIGKILL)


@fault("system stopped and started", weight=1.5)
def _(arena, act):
    up = _one([up for up in arena.ups if up.runs], act)
    arena.signal(up.pid, signal.SIGTERM)


@fault("system stopped in a hurry")
def _(arena, act):
    up = _one([up for up in arena.ups if up.runs], act)
    arena.signal(up.pid, signal.SIGTERM)
    time.sleep(0.4)  # the same signal at once would be one gesture
    arena.signal(up.pid, signal.SIGTERM)


@fault("one worker told to stop")
def _(arena, act):
    arena.signal(_one(arena.processes("worker"), act), signal.SIGTERM)


@fault("worker frozen", weight=2, seconds=(2, 12), narrow=True)
def _(arena, act):
    return _freeze(arena, _one(arena.processes("worker"), act))


@fault("worker frozen beyond its lease", weight=0.7, seconds=(32, 40), narrow=True)
def _(arena, act):
    return _freeze(arena, _one(arena.processes("worker"), act))


@fault("supervisor frozen", weight=0.5, seconds=(2, 8), narrow=True)
def _(arena, act):
    return _freeze(arena, _one([up.pid for up in arena.ups if up.runs], act))


@fault("second beat", seconds=(5, 20), narrow=True)
def _(arena, _act):
    return _extra(arena, "beat")


@fault("another worker", weight=0.5, seconds=(8, 20), narrow=True)
def _(arena, _act):
    return _extra(arena, "worker")


def _extra(arena, command):
    process = arena.start(command, name=f"extra {command}")
    arena.extra.append(process)
    return lambda: process.kill() if process.poll() is None else None


# Redis


@fault("redis killed", weight=1.5, seconds=(0.2, 4))
def _(arena, _act):
    arena.signal(arena.valkey_pid(), signal.SIGKILL)

    def restart() -> None:
        if not arena.valkey.alive():
            arena.valkey.restart()

    return restart


@fault("redis frozen", seconds=(1, 6))
def _(arena, _act):
    return _freeze(arena, arena.valkey_pid())


@fault("redis emptied", weight=0.4)
def _(arena, _act):
    _at_redis(arena.redis.flushall)
    arena.flushes.append(time.monotonic())


@fault("redis drops its clients", weight=2)
def _(arena, _act):
    _at_redis(lambda: arena.redis.client_kill_filter(_type="normal", skipme=True))


@fault("redis is full", seconds=(2, 6))
def _(arena, _act):
    _at_redis(lambda: arena.redis.config_set("maxmemory", 1))

    def mend() -> None:
        with contextlib.suppress(redis.RedisError):
            arena.redis.config_set("maxmemory", 0)

    return mend


@fault("messages lost")
def _(arena, _act):
    """What waits, and what the workers hold: as if the broker had forgotten it."""
    _at_redis(
        lambda: arena.redis.delete("orders", "handling", "commands", "upkeep", "unacked", "unacked_index")
    )


@fault("messages doubled")
def _(arena, _act):
    def double() -> None:
        for queue in ("orders", "handling", "commands", "upkeep"):
            if waiting := arena.redis.lrange(queue, 0, 200):
                arena.redis.rpush(queue, *waiting)
        for held in map(json.loads, arena.redis.hvals("unacked")):  # message, exchange, queue
            arena.redis.rpush(held[2], json.dumps(held[0]))

    _at_redis(double)


@fault("redis stalls", seconds=(1, 8))
def _(arena, _act):
    return _set(arena.to_redis, "stalled", True, False)


@fault("redis connections cut", weight=1.5)
def _(arena, _act):
    arena.to_redis.cut()


@fault("redis unreachable", seconds=(1, 6))
def _(arena, _act):
    arena.to_redis.refusing = True
    arena.to_redis.cut()
    return lambda: setattr(arena.to_redis, "refusing", False)


@fault("redis slow", seconds=(2, 8))
def _(arena, _act):
    return _set(arena.to_redis, "delay", 0.05, 0.0)


@fault("redis half open", weight=0.3)
def _(arena, _act):
    arena.to_redis.half_open()


@fault("redis' answers lost", seconds=(0.5, 2))
def _(arena, _act):
    arena.to_redis.deaf = True

    def mend() -> None:
        arena.to_redis.deaf = False
        arena.to_redis.cut()  # a stream with a hole in it is of no use

    return mend


def _at_redis(do: Callable[[], object]) -> None:
    try:
        do()
    except redis.RedisError:
        raise Idle from None  # it is down just now


# VTEX


@fault("vtex stalls", seconds=(1, 8))
def _(arena, _act):
    return _set(arena.to_vtex, "stalled", True, False)


@fault("vtex connections cut", weight=1.5)
def _(arena, _act):
    arena.to_vtex.cut()


@fault("vtex unreachable", seconds=(1, 6))
def _(arena, _act):
    arena.to_vtex.refusing = True
    arena.to_vtex.cut()
    return lambda: setattr(arena.to_vtex, "refusing", False)


@fault("vtex slow", seconds=(2, 8))
def _(arena, _act):
    return _set(arena.to_vtex, "delay", 0.5, 0.0)


@fault("vtex half open", weight=0.7)
def _(arena, _act):
    arena.to_vtex.half_open()


@fault("vtex's bodies trickle", seconds=(2, 6))
def _(arena, _act):
    return _set(arena.to_vtex, "trickle", True, False)


@fault("vtex's answers lost on the way", seconds=(1, 4))
def _(arena, _act):
    arena.to_vtex.deaf = True

    def mend() -> None:
        arena.to_vtex.deaf = False
        arena.to_vtex.cut()

    return mend


def _plan(text: str):
    def begin(arena, _act):
        arena.vtex.control("faults", {"faults": text})
        return lambda: arena.vtex.control("faults", {"faults": USUAL})

    return begin


fault("vtex answers 5xx", seconds=(2, 8))(_plan("5xx=0.9,duplicates=0.1"))


@fault("vtex answers 429", weight=1.5, seconds=(1, 5))
def _(arena, _act):
    """The next calls, whenever they come, and nearly all of the time after them."""
    arena.vtex.control(
        "faults", {"faults": "429=0.9", "script": [{"kind": "error_429", "path": "/", "times": 3}]}
    )
    return lambda: arena.vtex.control("faults", {"faults": USUAL})


fault("vtex does it and answers nothing", seconds=(2, 6))(_plan("lost=0.7"))
fault("vtex answers pages and halves", seconds=(2, 6))(_plan("html=0.4,truncated=0.5"))
fault("vtex is slow to answer", seconds=(2, 8))(_plan("slow=0.7,slow_seconds=4"))
fault("vtex doubles its events", seconds=(3, 10), narrow=True)(_plan("duplicates=1.0,lost=0.05"))


@fault("vtex refuses the key", weight=0.3, seconds=(1, 3))
def _(arena, _act):
    arena.vtex.control("credentials", {"status": 401})
    return lambda: arena.vtex.control("credentials", {"status": None})


@fault("vtex loses its feed", weight=0.4, seconds=(1, 4))
def _(arena, _act):
    """Its configuration goes, and its events with it."""
    arena.vtex.control("feed", {"configured": False})
    return lambda: arena.vtex.control("feed", {"configured": True})


# ERP


@fault("erp locked", weight=2, seconds=(2, 10))
def _(arena, _act):
    if not arena.erp.lock():
        raise Idle
    return arena.erp.mend


def _mode(word: str):
    def begin(arena, _act):
        arena.erp.mode = word
        return arena.erp.mend

    return begin


fault("erp answers 500", seconds=(2, 10))(_mode("500"))
fault("erp keeps silent", seconds=(2, 8))(_mode("silent"))
fault("erp's answers get lost", seconds=(2, 8))(_mode("lost"))


def _set(proxy, name, value, usual) -> End:
    setattr(proxy, name, value)
    return lambda: setattr(proxy, name, usual)
