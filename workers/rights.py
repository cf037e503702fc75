"""What our user of Redis may do, asked before anything runs, without doing any of it.

Inside of MULTI, Redis looks at a command's rights when the command is queued; what was queued is thrown away.
``deploy/redis/users.acl`` has a user with just these rights for each kind of process.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, cast

from redis.exceptions import NoPermissionError, ResponseError

from workers import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import redis

Kind = Literal["worker", "web", "flower"]
#: Keys as kombu names the broker's, and one of the ledger's.
_QUEUES = ("upkeep", "handling", "commands", "celery", "orders", "any.reply.celery.pidbox")
_BROADCAST = ("celery.pidbox", "reply.celery.pidbox", "celeryev")
_LEDGER = keys.RIGHTS
_BOUND = "_kombu.binding.celery"
_CHANNELS = ("/{db}.celeryev/worker.heartbeat", "/{db}.celery.pidbox")
_TAKE, _BIND = "LPUSH {} x; RPUSH {} x; BRPOP {} 1; RPOP {}; LLEN {}", "SADD {} x; SREM {} x; SMEMBERS {}"
#: What is sent to which keys: a command with harmless arguments in good number, for none of it is run.
_SENT: tuple[tuple[tuple[str, ...], str], ...] = (
    (_QUEUES, _TAKE),
    (tuple(f"_kombu.binding.{name}" for name in (*_QUEUES[:-1], *_BROADCAST)), _BIND),
    (("unacked",), "HSET {} f x; HGET {} f; HDEL {} f; HLEN {}; EVALSHA x 1 {}"),
    (("unacked_index",), "ZADD {} 1 x; ZREM {} x; ZREVRANGEBYSCORE {} 1 0"),
    (("unacked_mutex",), "SET {} x; GET {}; DEL {}"),
    (_CHANNELS, "PUBLISH {} x"),
    (
        (_LEDGER,),
        _RECORD := (
            "GET {}; SET {} x; DEL {}; MGET {}; EXISTS {}; EXPIRE {} 1; PEXPIRE {} 1; PERSIST {}; "
            "INCR {}; INCRBY {} 1; HGET {} f; HSET {} f x; HSETNX {} f x; HDEL {} f; HLEN {}; "
            "HMGET {} f; HVALS {}; HGETALL {}; HINCRBY {} f 1; HINCRBYFLOAT {} f 1; "
            "SADD {} x; SREM {} x; SPOP {} 1; SCARD {}; SMEMBERS {}; ZADD {} 1 x; ZREM {} x; ZCARD {}; ZSCORE {} x; "
            "ZRANGE {} 0 1; ZREVRANGE {} 0 1; ZRANGEBYSCORE {} 0 1; "
            "ZREMRANGEBYSCORE {} 0 1; ZPOPMIN {}; ZRANDMEMBER {}; XRANGE {} - +; "
            "LRANGE {} 0 1; LTRIM {} 0 1; EVALSHA x 1 {}"
        ),
    ),
    (("",), "PING; INFO; TIME; SCAN 0; SCRIPT LOAD x; SCRIPT EXISTS x"),
)
#: Who only sends: to a queue, and what a message's way is found by.
_PUT, _ROUTE = "LPUSH {} x; LLEN {}", "SADD {} x; SMEMBERS {}"
#: The front door: the ledger, and messages that it cannot read once they are sent.
_WEB = (
    (_QUEUES[:-1], _PUT),
    (tuple(f"_kombu.binding.{name}" for name in _QUEUES[:-1]), _ROUTE),
    ((_LEDGER,), _RECORD),
    (("",), "PING; TIME; SCAN 0; SCRIPT LOAD x; SCRIPT EXISTS x"),
)
#: Flower: events, questions to workers and their answers, messages that it cannot read, and nothing of the ledger.
_FLOWER = (
    (_QUEUES[:-1], _PUT),
    (_QUEUES[-1:], "BRPOP {} 1; LLEN {}; DEL {}"),
    (tuple(f"_kombu.binding.{name}" for name in (*_QUEUES[:-1], *_BROADCAST)), _BIND),
    (("_kombu.binding_deadlines",), "ZADD {} 1 x; ZREM {} x; EVALSHA x 1 {}"),
    (("unacked_index",), "ZREVRANGEBYSCORE {} 1 0"),
    (("unacked_mutex",), "SET {} x; GET {}; DEL {}"),
    (_CHANNELS[1:], "PUBLISH {} x"),
    (("",), "PING; SCRIPT LOAD x; SCRIPT EXISTS x"),
)
_BY_KIND: dict[Kind, tuple[tuple[tuple[tuple[str, ...], str], ...], str, str]] = {
    "worker": (_SENT, _TAKE, _BIND),
    "web": (_WEB, _PUT, _ROUTE),
    "flower": (_FLOWER, _PUT, _BIND),
}


def do(kind: Kind = "worker") -> str:
    """What to do about a right that is missing."""
    return f"give it the rights of the user {kind} in deploy/redis/users.acl"


def needed(
    db: int = 0, more: Iterable[str] = (), kind: Kind = "worker"
) -> Iterator[tuple[str, str, list[str]]]:
    """Each right: the command's name, the key or channel ("" for none), and the words to try it with.

    ``more`` are the queues of stores, where there are several.
    """
    sent, queue, binding = _BY_KIND[kind]
    of_stores = (tuple(more), queue), (tuple(f"_kombu.binding.{name}" for name in more), binding)
    for names, commands in (*sent, *of_stores):
        for key in names:
            for command in commands.split("; "):
                name = key.replace("{db}", str(db))
                words = [name if word == "{}" else word for word in command.split()]
                yield " ".join(words[: 2 if words[0] == "SCRIPT" else 1]), name, words


def missing(client: redis.Redis, more: Iterable[str] = (), kind: Kind = "worker") -> list[str]:
    """The rights that our user lacks, such as ``LPUSH orders``; ``RedisError`` when nobody answers."""
    pool = client.connection_pool
    db = pool.connection_kwargs.get("db", 0)
    connection: Any = pool.get_connection()
    try:
        watched = _BOUND if kind == "flower" else _LEDGER
        around = ("EXEC", f"WATCH {watched}", "UNWATCH", "DISCARD", "MULTI")
        lacking = [words for words in around if _refused(connection, words.split())]
        if "MULTI" not in lacking:
            lacking += [
                f"{name} {key}".strip()
                for name, key, words in needed(db, more, kind)
                if _refused(connection, words)
            ]
    finally:
        connection.disconnect()  # and with it goes what was queued, whatever happened
        pool.release(connection)
    if kind == "web":  # it listens to nobody
        return lacking
    with contextlib.closing(cast("Any", client).pubsub()) as listener:
        channel = _CHANNELS[0].format(db=db)
        try:
            listener.psubscribe(f"{channel}*")
            listener.get_message(timeout=1)
        except NoPermissionError:
            lacking.append(f"PSUBSCRIBE {channel}*")
    return lacking


def _refused(connection: Any, words: list[str]) -> bool:
    try:
        connection.send_command(*words)
        connection.read_response()
    except NoPermissionError:
        return True
    except ResponseError:  # another one: it may, but not so
        return False
    return False


def said(user: str | None, lacking: list[str]) -> str:
    """What is missing, in words."""
    more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""  # noqa: PLR2004
    return f"user {user or 'default'} of REDIS_URL may not: {', '.join(lacking[:3])}{more}"
