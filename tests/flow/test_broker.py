"""What our transport keeps in a real Redis: kombu's own form, and nothing is lost on the way (P1)."""

from __future__ import annotations

import contextlib
import json

import kombu
import pytest
import redis
from kombu.asynchronous import Hub, set_event_loop
from kombu.transport import redis as theirs

from workers.connection import Connection

QUEUES = ("first", "second")


class Worker:
    """What a worker's main thread does with the transport: a loop, a consumer, slots."""

    def __init__(self, url, slots=64, kind=Connection) -> None:
        self.hub = Hub()
        set_event_loop(self.hub)
        self.connection = kind(
            url, transport_options={"queue_order_strategy": "priority", "priority_steps": [0]}
        )
        self.channel = self.connection.default_channel
        self.got = []
        self.connection.register_with_event_loop(self.hub)
        self.consumer = kombu.Consumer(
            self.channel,
            [kombu.Queue(name, kombu.Exchange(name), routing_key=name) for name in QUEUES],
            on_message=self.got.append,
            accept=["json"],
        )
        self.consumer.qos(prefetch_count=slots)
        self.consumer.consume()
        self.loop = self.hub.create_loop()

    def turn(self, times=10) -> list:
        """Let the loop turn; what was delivered by now."""
        for _ in range(times):
            self.hub.call_soon(lambda: None)  # do not wait
            next(self.loop)
        return [message.payload for message in self.got]

    def until(self, condition) -> None:
        for _ in range(2000):
            if condition():
                return
            next(self.loop)
        raise AssertionError("not within 2000 turns")


@pytest.fixture
def server(valkey, fresh_redis):
    with contextlib.closing(redis.Redis.from_url(valkey, decode_responses=True)) as client:
        yield client


@pytest.fixture
def worker(valkey, server):
    made = []

    def start(slots=64, kind=Connection) -> Worker:
        made.append(Worker(valkey, slots, kind))
        return made[-1]

    yield start
    for one in made:
        one.connection.release()
        one.hub.close()
    set_event_loop(None)


@pytest.fixture
def send(valkey, server):
    with Connection(valkey) as connection, connection.Producer() as producer:

        def publish(*bodies, queue="first") -> None:
            for body in bodies:
                producer.publish(body, exchange="", routing_key=queue, serializer="json")

        yield publish


def unacknowledged(server) -> set:
    """The messages that stand there; the index must know the same ones."""
    kept = server.hgetall("unacked")
    assert set(kept) == set(server.zrange("unacked_index", 0, -1))
    return {json.loads(kept[tag])[0]["properties"]["delivery_tag"] for tag in kept}


def away(worker, patch) -> None:
    """From now on Redis does not answer what the worker asks."""

    def fail(*_, **__):
        raise redis.ConnectionError

    patch.setattr(worker.channel._create_client(), "execute_command", fail)


def commands(server, name) -> int:
    return server.info("commandstats").get(f"cmdstat_{name}", {}).get("calls", 0)


def test_free_slots_are_filled_at_once(worker, send, server):
    """One BRPOP for several; each is written down before it is delivered."""
    send(*range(6))
    one = worker()
    before = commands(server, "brpop")
    one.until(lambda: len(one.got) == 6)
    assert one.turn(0) == list(range(6))
    assert commands(server, "brpop") - before <= 2
    assert len(unacknowledged(server)) == 6


def test_no_more_than_there_are_slots(worker, send, server):
    send(*range(9))
    one = worker(slots=4)
    one.until(lambda: len(one.got) == 4)
    assert one.turn() == [0, 1, 2, 3]
    assert (server.llen("first"), len(unacknowledged(server))) == (5, 4)
    one.got[2].ack()
    one.until(lambda: len(one.got) == 5)
    assert one.turn() == [0, 1, 2, 3, 4]


def test_what_is_under_way_comes_before_new_work(worker, send):
    send("later", "latest", queue="second")
    send("a", "b", "c")
    one = worker(slots=4)
    one.until(lambda: len(one.got) == 4)
    assert one.turn() == ["a", "b", "c", "later"]


def test_it_is_written_as_kombu_writes_it(worker, send, server, monkeypatch):
    send('é ☃ "\\', {"deep": [1, None]})
    one = worker()
    one.until(lambda: len(one.got) == 2)
    ours = {tag: json.loads(text) for tag, text in server.hgetall("unacked").items()}
    for message in one.got:
        theirs.QoS.append(one.channel.qos, message, message.delivery_tag)
    assert {tag: json.loads(text) for tag, text in server.hgetall("unacked").items()} == ours


def test_kombu_gives_back_what_was_fetched_here(worker, send, server):
    """Of a worker that dies: by another one, that may have kombu's own transport."""
    send("one", "two", "three", queue="second")
    dead = worker()
    dead.until(lambda: len(dead.got) == 3)
    for tag in list(server.hgetall("unacked")):
        theirs.QoS.restore_by_tag(dead.channel.qos, tag)
    assert (server.llen("second"), unacknowledged(server)) == (3, set())
    dead.channel.qos._delivered.clear()
    heir = worker()
    heir.until(lambda: len(heir.got) == 3)
    assert sorted(heir.turn()) == ["one", "three", "two"]


def test_an_acknowledgement_is_written_soon(worker, send, server):
    send(*range(3))
    one = worker()
    one.until(lambda: len(one.got) == 3)
    one.got[0].ack()
    one.got[1].ack()
    one.until(lambda: len(unacknowledged(server)) == 1)
    assert unacknowledged(server) == {one.got[2].delivery_tag}


def test_or_with_the_next_message(worker, send, server):
    send("first")
    one = worker(slots=1)
    one.until(lambda: one.got)
    one.got[0].ack()
    send("next")
    one.until(lambda: len(one.got) == 2)
    assert unacknowledged(server) == {one.got[1].delivery_tag}


def test_without_a_loop_it_is_written_at_once(valkey, send, server):
    send("alone")
    with Connection(valkey) as connection:
        message = connection.SimpleQueue("first").get(timeout=5)
        assert unacknowledged(server) == {message.delivery_tag}
        message.ack()
        assert unacknowledged(server) == set()


def test_redis_is_away_when_it_is_to_be_written(worker, send, server, monkeypatch):
    """It is written when Redis is there again; the message does not come a second time."""
    send("done")
    one = worker()
    one.until(lambda: one.got)
    one.got[0].ack()
    with monkeypatch.context() as patch:
        away(one, patch)
        with pytest.raises(redis.ConnectionError):
            one.channel.qos.cross_out()
    assert len(unacknowledged(server)) == 1
    one.channel.qos.cross_out()
    assert unacknowledged(server) == set()


def test_what_comes_again_is_written_again(worker, send, server):
    """Given back by this worker itself, and fetched by it once more, under the same tag."""
    send("by itself", "with it")
    one = worker()
    one.until(lambda: len(one.got) == 2)
    one.got[1].requeue()
    assert unacknowledged(server) == {one.got[0].delivery_tag}
    one.until(lambda: len(one.got) == 3)
    assert one.got[2].delivery_tag == one.got[1].delivery_tag
    assert len(unacknowledged(server)) == 2


def test_a_channel_closes_while_redis_is_away(worker, send, server, monkeypatch):
    send("done")
    one = worker()
    one.until(lambda: one.got)
    one.got[0].ack()
    away(one, monkeypatch)
    one.channel.qos.restore_unacked_once()
    assert len(unacknowledged(server)) == 1, "it comes again when its visibility timeout is over"


def test_a_worker_that_stops_leaves_everything_in_order(worker, send, server):
    """The done one is acknowledged, the others wait in the queue: also what was fetched and never delivered."""
    send(*range(5))
    one = worker()
    one.until(lambda: len(one.got) == 5)
    one.got[0].ack()
    never = one.got.pop()
    tag = never.delivery_tag
    one.channel.qos._delivered.pop(tag)
    item = json.dumps(json.loads(server.hget("unacked", tag))[0])
    one.channel.fetched.append((b"first", item.encode()))
    one.channel.close()
    assert unacknowledged(server) == set()
    heir = worker()
    heir.until(lambda: len(heir.got) == 4)
    assert sorted(heir.turn()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "text", ["no json", "[]", "5", '{"properties": 5}', '{"properties": {"delivery_tag": 5}}']
)
def test_what_kombu_did_not_write_stays_for_kombu_to_read(worker, send, server, text):
    send("before")
    server.lpush("first", text)
    one = worker()
    one.until(lambda: one.got)
    assert server.lrange("first", 0, -1) == [text]
    assert len(unacknowledged(server)) == 1


def test_a_server_that_forgot_the_script(worker, send, server):
    one = worker()
    send("a")
    one.until(lambda: len(one.got) == 1)
    server.script_flush()
    send("b", "c")
    one.until(lambda: len(one.got) == 3)
    assert len(unacknowledged(server)) == 3


def test_kombu_still_needs_this(worker, send, server):
    """By itself it asks for each message, and has a transaction for each: when this fails, ours can go."""
    send(*range(3))
    before = [commands(server, name) for name in ("brpop", "exec")]
    one = worker(kind=kombu.Connection)
    one.until(lambda: len(one.got) == 3)
    for message in one.got:
        message.ack()
    assert commands(server, "brpop") - before[0] >= 3
    assert commands(server, "exec") - before[1] >= 6


@pytest.mark.parametrize("refused", [False, True])
def test_who_publishes_over_a_closed_channel_gets_another_one(valkey, server, refused):
    """As beat does, whose channel was closed while Redis was full and took nothing: it keeps one for its whole life."""
    with Connection(valkey) as connection, connection.Producer(auto_declare=False) as producer:
        policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0}

        def publish() -> None:
            producer.publish(
                "tick", exchange="", routing_key="first", serializer="json", retry=True, retry_policy=policy
            )

        publish()
        if refused:
            server.config_set("maxmemory", 1)
            try:
                with pytest.raises(kombu.exceptions.OperationalError):
                    publish()
            finally:
                server.config_set("maxmemory", 0)
        producer.channel.close()
        publish()
        assert server.llen("first") == 2
