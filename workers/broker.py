"""Celery's transport to Redis, as this program uses it: kombu's own classes, told to do a few things otherwise.

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

The keys and what stands in them stay kombu's own: a worker without this can share the queues, and what kombu
does seldom (it gives back the messages of a worker that died) is left alone. kombu's own classes are not touched: a
program that imports this one and runs a Celery of its own keeps its own transport (:mod:`workers.connection` says
who has this one).

A connection may be gone at any time, closed by the worker's loop while a thread ends its task. Who asks for it then
gets a ``redis.ConnectionError``, which kombu and Celery answer by connecting again; kombu by itself fails at the
attribute of a ``None``.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any

import kombu
import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
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
theirs: Any = kombu_redis
_script: Any = Script(None, _WRITE.encode())  # type: ignore[arg-type]  # each call names its client
_json: Any = json
_plain: Any = virtual.QoS


class ChannelGone(redis.ConnectionError):
    """The channel was closed meanwhile, or its connection: another one is made."""

    def __init__(self) -> None:
        super().__init__("the connection to Redis was closed meanwhile")


class QoS(theirs.QoS):  # type: ignore[misc]
    """What of a channel is unacknowledged."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.acknowledged: deque[str] = deque()  # and not crossed out in Redis

    def append(self, message: Any, delivery_tag: str) -> None:
        """Write a message down before it is delivered, and fetch more if there is room."""
        channel = self.channel
        if channel.global_keyprefix:
            super().append(message, delivery_tag)
            return
        if delivery_tag != channel.written:
            came, room = message.delivery_info, self._room()
            kept = _json.dumps([message._raw, came["exchange"], came["routing_key"]])  # noqa: SLF001
            queues = channel._queue_cycle.consume(len(channel.active_queues)) if room > 0 else ()  # noqa: SLF001
            found = self._write(delivery_tag, kept, queues, room)
            channel.fetched.extend(zip(found[::2], found[1::2], strict=True))
        _plain.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Cross a message out: soon, where a loop does so, else at once."""
        if not self._loop():
            super().ack(delivery_tag)
            return
        self.acknowledged.append(delivery_tag)
        _plain.ack(self, delivery_tag)

    def cross_out(self) -> None:
        """Cross out in Redis all that is acknowledged."""
        while self.acknowledged:
            self._write()

    def restore_unacked_once(self, *args: Any, **options: Any) -> None:
        """Before a channel closes, and gives back what is unacknowledged: what nobody got goes back, too."""
        # while Redis is away: they come again when their visibility timeout is over
        with suppress(redis.RedisError):
            self.cross_out()
            while self.channel.fetched:
                _, item = self.channel.fetched.popleft()
                self.restore_by_tag(_json.loads(item)["properties"]["delivery_tag"])
        super().restore_unacked_once(*args, **options)

    def _loop(self) -> bool:
        """Whether a loop turns that crosses out; no, once the channel is closed."""
        transport = self.channel.connection
        return transport is not None and transport.crosses_out is not None

    def _room(self) -> int:
        """How many messages may be fetched beside the one that came."""
        channel = self.channel
        if not self._loop() or channel.queue_order_strategy != "priority" or channel.priority_steps != [0]:
            return 0  # several stores take turns, one message each
        free: int = self.prefetch_count - (len(self._delivered) - len(self._dirty)) - 1
        return min(free, _MORE)

    def _write(self, tag: str = "", message: str = "", more: Sequence[str] = (), room: int = 0) -> list[Any]:
        """Write a message down, cross out what is acknowledged, and fetch ``room`` more from the queues ``more``."""
        done = self.acknowledged
        lot = [done.popleft() for _ in range(min(len(done), _LOT))]
        keys = (self.unacked_index_key, self.unacked_key, *more)
        try:
            client = self.channel._create_client()  # noqa: SLF001
            return _script(keys=keys, args=(time(), tag, message, room, *lot), client=client)  # type: ignore[no-any-return]
        except redis.RedisError:
            done.extend(lot)
            raise


class Channel(theirs.Channel):  # type: ignore[misc]
    """A channel of one Redis."""

    QoS = QoS

    def __init__(self, *args: Any, **options: Any) -> None:
        self.kept_client: Any = None
        # queue and message, written down and not delivered
        self.fetched: deque[tuple[bytes, bytes]] = deque()
        self.written = ""  # the tag of the one that is being delivered
        self.heard: int | None = None
        super().__init__(*args, **options)

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ChannelGone
        return super()._connparams(asynchronous)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # made once a channel by kombu itself
            return super()._create_client(asynchronous)
        pool, kept = self.pool, self.kept_client
        if kept is None or kept.connection_pool is not pool:  # the pool is another one after a reconnection
            plain = self.Client is redis.Redis and type(pool) is redis.ConnectionPool
            kept = self.kept_client = Kept(connection_pool=pool) if plain else super()._create_client()
        return kept

    def _brpop_start(self, timeout: float | None = None) -> None:
        # several stores' turns: the shares are looked at first
        look = getattr(self._queue_cycle, "look", None)
        seconds = look() if look else None
        super()._brpop_start(timeout if seconds is None else seconds)

    def _brpop_read(self, **options: Any) -> Any:
        """Deliver the message that came, and those that were fetched with it."""
        answer = super()._brpop_read(**options)
        while self.fetched:
            if self.connection is None:
                raise ChannelGone
            queue, item = self.fetched.popleft()
            message = _json.loads(item)
            self.written = message["properties"]["delivery_tag"]
            try:
                self.connection._deliver(message, queue.decode())  # noqa: SLF001
            finally:
                self.written = ""  # should it come again, it is to be written again
        return answer

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **more: Any) -> None:
        """Publish an event; Redis answers how many heard it."""
        if more.get("_publish_batch") is not None:
            super()._put_fanout(exchange, message, routing_key, **more)
            return
        text, heard = _json.dumps(message), 0
        with self.conn_or_acquire() as client:
            for topic in self._get_publish_topics(exchange, routing_key):
                heard += client.publish(topic, text)
        self.heard = heard


class Transport(theirs.Transport):  # type: ignore[misc]
    """A connection's transport to one Redis."""

    Channel = Channel
    crosses_out: Any = None  # the timer of the loop that crosses out

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """A worker's loop crosses out what it is not about to write anyway."""
        super().register_with_event_loop(connection, loop)

        def cross_out() -> None:
            for channel in list(connection.channels):
                if channel._qos is not None and not channel.closed:  # noqa: SLF001
                    channel._qos.cross_out()  # noqa: SLF001

        if self.crosses_out is not None:
            self.crosses_out.cancel()
        self.crosses_out = loop.call_repeatedly(ACKNOWLEDGED_AFTER, cross_out)


class SentinelChannel(Channel, theirs.SentinelChannel):  # type: ignore[misc]
    """A channel of the primary that Sentinels name.

    The transport option ``connection_class`` is the class of connections to it
    (:func:`workers.net.sentinel.without_tls`).
    """

    from_transport_options = (*theirs.SentinelChannel.from_transport_options, "connection_class")


class SentinelTransport(Transport, theirs.SentinelTransport):  # type: ignore[misc]
    """A connection's transport to the primary that Sentinels name."""

    Channel = SentinelChannel


def heard(channel: Any) -> bool:
    """Whether anybody heard what was last published on a channel; True where nobody knows."""
    counted = getattr(channel, "heard", None)
    return counted is None or counted > 0
