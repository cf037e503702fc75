"""Which client a channel of ours has, which connections are ours, and whether kombu is one that it was made for."""

from __future__ import annotations

import contextlib

import kombu
import kombu.pools
import pytest
import redis
from kombu.transport import redis as theirs
from packaging.version import Version

from workers import broker, connection
from workers.app import app
from workers.net.sentinel import without_tls

URL = "redis://127.0.0.1:1/0"
SENTINELS = "sentinel://127.0.0.1:1/0;sentinel://127.0.0.1:2/0"


def release(one):
    with contextlib.suppress(Exception):
        one.release()


@pytest.fixture
def made(monkeypatch):
    """Makes a channel of a kind of connection. It has no server: its pool connects only when it is used."""
    monkeypatch.setattr(redis.Redis, "ping", lambda *_: True)
    with contextlib.ExitStack() as stack:

        def make(kind, url=URL, **options):
            one = kind(url, **options)
            stack.callback(release, one)
            return one.channel()

        yield make


@pytest.fixture
def channel(made):
    return made(connection.Connection)


def client_of(channel):
    with channel.conn_or_acquire() as client:
        return client


def test_a_channel_has_one_client(channel):
    assert client_of(channel) is client_of(channel)


def test_another_pool_has_another_client(channel):
    """After a reconnection: the old pool's connections are gone."""
    before = client_of(channel)
    channel._pool = None
    after = client_of(channel)
    assert after is not before
    assert after.connection_pool is channel.pool


def test_the_connection_that_waits_for_messages_is_left_alone(channel):
    assert channel._create_client(asynchronous=True).connection_pool is channel.async_pool


def test_the_application_has_our_transport():
    assert type(app) is connection.OrderLink
    for url, ours in ((URL, broker.Transport), (SENTINELS, broker.SentinelTransport)):
        one = connection.OrderLink("one", broker=url)
        for made in (
            one.connection_for_read(),
            one.connection_for_write(),
            one.connection_for_write().clone(),
        ):
            assert made.get_transport_cls() is ours
        with one.connection_or_acquire() as pooled:
            assert pooled.get_transport_cls() is ours
    assert theirs.Transport.Channel is theirs.Channel
    assert theirs.Channel.QoS is theirs.QoS


@pytest.mark.parametrize(
    ("urls", "ours"),
    [
        (f"{URL};redis://127.0.0.1:2/0", broker.Transport),
        ("rediss://127.0.0.1:1/0;rediss://127.0.0.1:2/0", broker.Transport),
        (SENTINELS, broker.SentinelTransport),
    ],
)
def test_the_next_address_of_a_list_has_our_transport(urls, ours):
    """kombu takes the class of the address anew at each ``switch``."""
    tls = {"ssl_cert_reqs": "required"} if urls.startswith("rediss") else False
    with connection.Connection(urls, ssl=tls) as one:
        first = one.as_uri()
        assert isinstance(one.transport, ours)
        one.maybe_switch_next()
        assert one.as_uri() != first
        assert isinstance(one.transport, ours)
        assert isinstance(one.clone().transport, ours)


def test_nobody_else_gets_our_connections_from_kombus_pools():
    ours, others = connection.Connection(URL), kombu.Connection(URL)
    assert kombu.pools.connections[ours] is not kombu.pools.connections[others]
    assert kombu.pools.connections[ours] is kombu.pools.connections[connection.Connection(URL)]


def test_kombu_still_needs_this(made):
    """kombu makes a client each time: when this fails, ours can go."""
    plain = made(kombu.Connection)
    assert client_of(plain) is not client_of(plain)


def test_another_kombu_keeps_its_own(monkeypatch):
    """It must be read anew first; this says so when the pin moves."""
    assert (Version("5.7") <= Version(kombu.__version__) < Version("5.8")) == broker.MADE_FOR
    monkeypatch.setattr(broker, "MADE_FOR", False)
    assert connection.Connection(URL).get_transport_cls() is theirs.Transport
    assert connection.Connection(SENTINELS).get_transport_cls() is theirs.SentinelTransport


@pytest.mark.parametrize("how", ["the channel", "the connection"])
def test_who_asks_a_connection_that_is_gone_is_told_so(made, how):
    """kombu and Celery connect again then, and do not end with the attribute of a None."""
    channel = made(connection.Connection)
    transport = channel.connection
    if how == "the channel":
        transport.close_channel(channel)
    else:
        transport.client = None
    channel._pool = channel._async_pool = None
    for ask in (
        lambda: client_of(channel),
        lambda: channel.qos.ack("tag"),
        lambda: channel._put("orders", {"properties": {}}),
        lambda: channel._put_fanout("events", {}, ""),
        lambda: channel._create_client(asynchronous=True),
        channel.qos.restore_visible,
    ):
        with pytest.raises(redis.ConnectionError) as gone:
            ask()
        assert isinstance(gone.value, transport.connection_errors)


@pytest.mark.parametrize(
    ("allowed", "kind"), [(lambda _: False, "OnlyThere"), (None, "SentinelManagedConnection")]
)
def test_a_primary_without_tls_is_only_spoken_to_where_it_may_be(made, allowed, kind):
    guard = {"connection_class": without_tls(allowed)} if allowed else {}
    channel = made(connection.Connection, SENTINELS, transport_options={"master_name": "orders", **guard})
    for pool in (channel.pool, channel.async_pool):
        classes = [one.__name__ for one in pool.connection_class.__mro__]
        assert kind in classes
        if allowed:
            with pytest.raises(redis.ConnectionError, match="without TLS"):
                pool.make_connection().connect_to(("192.0.2.1", 6379))
