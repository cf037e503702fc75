"""What kombu's Redis transport is told to do otherwise, for the versions that it was made for.

kombu makes a Redis client for each message that it publishes and each that it acknowledges, fetches messages one by
one, and writes down what is unacknowledged by a transaction of four commands through redis-py's pool: together a
third of a busy worker's time. Here

- a channel keeps one client as long as it keeps its pool;
- what is unacknowledged is written by one script, which does the same as the transaction;
- how many heard an event is kept;
- the same script fetches more messages at once, for the slots that are free just then, and writes them down;
- a worker's acknowledgements are crossed out by the script that writes the next message down, or by the worker's loop
  soon after. Of a worker that dies before that the messages come again, as always when it dies before an
  acknowledgement, and the ledger knows that their steps are done.

The keys and what stands in them stay kombu's own: a worker without this patch can share the queues, and what kombu
does seldom (it gives back the messages of a worker that died) is left alone.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any

import kombu
import redis
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS, Transport
from kombu.utils import json
from packaging.version import Version
from redis.commands.core import Script

from workers.net.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The versions of kombu whose channel was read for it.
MADE_FOR = Version("5.7") <= Version(kombu.__version__) < Version("5.8")

#: Seconds until an acknowledgement is written at the latest, while a worker's loop turns.
ACKNOWLEDGED_AFTER = 0.2
#: So many are written by one script at most.
_LOT = 100

#: So many more messages are fetched at once at most: as long the worker's loop does nothing else.
_MORE = 8

#: As ``kombu.transport.redis.QoS`` does. KEYS: the index by time, the messages, then the queues to fetch from. ARGV:
#: the time; a new message's tag ("" for none) and the message; how many to fetch; the tags of what is acknowledged.
#: Returns what it fetched: queue, message, queue, message ... What is no message of kombu's stays for kombu to read.
_WRITE = """
local index, messages = KEYS[1], KEYS[2]
local now, tag, room = ARGV[1], ARGV[2], tonumber(ARGV[4])
local function keep(tag, message)
  redis.call('ZADD', index, now, tag)
  redis.call('HSET', messages, tag, message)
end
if tag ~= '' then keep(tag, ARGV[3]) end
for i = 5, #ARGV do
  redis.call('ZREM', index, ARGV[i])
  redis.call('HDEL', messages, ARGV[i])
end
local found = {}
for i = 3, #KEYS do
  while room > 0 do
    local item = redis.call('RPOP', KEYS[i])
    if not item then break end
    local is_one, properties = pcall(function() return cjson.decode(item).properties end)
    local came = is_one and type(properties) == 'table' and properties.delivery_info
    if type(came) ~= 'table' or type(properties.delivery_tag) ~= 'string' then
      redis.call('RPUSH', KEYS[i], item)
      return found
    end
    local from = cjson.encode(came.exchange) .. ',' .. cjson.encode(came.routing_key)
    keep(properties.delivery_tag, '[' .. item .. ',' .. from .. ']')
    found[#found + 1] = KEYS[i]
    found[#found + 1] = item
    room = room - 1
  end
end
return found
"""

# what redis-py and kombu do not say the types of
_script: Any = Script(None, _WRITE.encode())  # type: ignore[arg-type]  # each call names its client
_json: Any = json
_plain: Any = virtual.QoS
_create_client: Any = Channel._create_client  # noqa: SLF001 - what is patched
_append: Any = QoS.append
_ack: Any = QoS.ack
_restore: Any = QoS.restore_unacked_once
_brpop_read: Any = Channel._brpop_read  # noqa: SLF001
_put_fanout: Any = Channel._put_fanout  # noqa: SLF001
_register: Any = Transport.register_with_event_loop


def _one_client(channel: Any, asynchronous: bool = False) -> Any:
    if asynchronous:  # made once a channel by kombu itself
        return _create_client(channel, asynchronous)
    pool, kept = channel.pool, channel.__dict__.get("_kept_client")
    if kept is None or kept.connection_pool is not pool:  # the pool is another one after a reconnection
        plain = channel.Client is redis.Redis and type(pool) is redis.ConnectionPool
        kept = channel.__dict__["_kept_client"] = (
            Kept(connection_pool=pool) if plain else _create_client(channel)
        )
    return kept


def _write(qos: Any, tag: str = "", message: str = "", more: Sequence[str] = (), room: int = 0) -> list[Any]:
    """Write a message down, cross out what is acknowledged, and fetch ``room`` more from the queues ``more``."""
    done: deque[str] = qos.__dict__.setdefault("_acknowledged", deque())
    lot = [done.popleft() for _ in range(min(len(done), _LOT))]
    client = qos.channel._create_client()  # noqa: SLF001
    keys = (qos.unacked_index_key, qos.unacked_key, *more)
    try:
        return _script(keys=keys, args=(time(), tag, message, room, *lot), client=client)  # type: ignore[no-any-return]
    except redis.RedisError:
        done.extend(lot)
        raise


def _append_by_script(qos: Any, message: Any, tag: str) -> None:
    channel = qos.channel
    if channel.global_keyprefix:
        _append(qos, message, tag)
        return
    if tag != channel.__dict__.get("_written"):
        came, room = message.delivery_info, _room(qos)
        kept = _json.dumps([message._raw, came["exchange"], came["routing_key"]])  # noqa: SLF001
        queues = channel._queue_cycle.consume(len(channel.active_queues)) if room > 0 else ()  # noqa: SLF001
        found = _write(qos, tag, kept, queues, room)
        channel.__dict__.setdefault("_fetched", deque()).extend(zip(found[::2], found[1::2], strict=True))
    _plain.append(qos, message, tag)


def _room(qos: Any) -> int:
    """How many messages may be fetched beside the one that came."""
    channel = qos.channel
    loop = getattr(channel.connection.cycle, "crosses_out", False)
    if not loop or channel.queue_order_strategy != "priority" or channel.priority_steps != [0]:
        return 0  # several stores take turns, one message each
    free: int = qos.prefetch_count - (len(qos._delivered) - len(qos._dirty)) - 1  # noqa: SLF001
    return min(free, _MORE)


def _read_all(channel: Any, **options: Any) -> Any:
    """Deliver the message that came, and those that were fetched with it."""
    answer = _brpop_read(channel, **options)
    fetched = channel.__dict__.get("_fetched")
    while fetched:
        queue, item = fetched.popleft()
        message = _json.loads(item)
        channel.__dict__["_written"] = message["properties"]["delivery_tag"]
        try:
            channel.connection._deliver(message, queue.decode())  # noqa: SLF001
        finally:
            del channel.__dict__["_written"]  # should it come again, it is to be written again
    return answer


def _put_counted(channel: Any, exchange: str, message: Any, routing_key: str, **more: Any) -> None:
    """Publish an event; Redis answers how many heard it."""
    if more.get("_publish_batch") is not None:
        _put_fanout(channel, exchange, message, routing_key, **more)
        return
    text, heard = _json.dumps(message), 0
    with channel.conn_or_acquire() as client:
        for topic in channel._get_publish_topics(exchange, routing_key):  # noqa: SLF001
            heard += client.publish(topic, text)
    channel.__dict__["_heard"] = heard


def heard(channel: Any) -> bool:
    """Whether anybody heard what was last published on a channel; True where nobody knows."""
    return bool(channel.__dict__.get("_heard", True))


def _ack_soon(qos: Any, tag: str) -> None:
    if not getattr(qos.channel.connection.cycle, "crosses_out", False):
        _ack(qos, tag)
        return
    qos.__dict__.setdefault("_acknowledged", deque()).append(tag)
    _plain.ack(qos, tag)


def _cross_out(qos: Any) -> None:
    while qos.__dict__.get("_acknowledged"):
        _write(qos)


def _cross_out_first(qos: Any, *args: Any, **more: Any) -> None:
    """Before a channel closes, and gives back what is unacknowledged: what nobody got goes back, too."""
    with suppress(redis.RedisError):  # Redis is away: they come again when their visibility timeout is over
        _cross_out(qos)
        for _, item in qos.channel.__dict__.pop("_fetched", ()):
            qos.restore_by_tag(_json.loads(item)["properties"]["delivery_tag"])
    _restore(qos, *args, **more)


def _with_loop(transport: Any, connection: Any, loop: Any) -> None:
    """A worker's loop crosses out what it is not about to write anyway."""
    _register(transport, connection, loop)

    def cross_out() -> None:
        for channel in list(connection.channels):
            if channel._qos is not None and not channel.closed:  # noqa: SLF001
                _cross_out(channel._qos)  # noqa: SLF001

    before = getattr(transport.cycle, "crosses_out", None)
    if before is not None:
        before.cancel()
    transport.cycle.crosses_out = loop.call_repeatedly(ACKNOWLEDGED_AFTER, cross_out)


def patch() -> None:
    """Do so, if this kombu is one that it was made for."""
    if not MADE_FOR:
        return
    for of, name, ours in (
        (Channel, "_create_client", _one_client),
        (Channel, "_brpop_read", _read_all),
        (Channel, "_put_fanout", _put_counted),
        (QoS, "append", _append_by_script),
        (QoS, "ack", _ack_soon),
        (QoS, "restore_unacked_once", _cross_out_first),
        (Transport, "register_with_event_loop", _with_loop),
    ):
        setattr(of, name, ours)
