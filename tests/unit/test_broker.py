"""Which client a channel of kombu's has, and whether kombu is one that the patch was made for."""

from __future__ import annotations

import contextlib

import kombu
import pytest
from kombu.transport import redis as transport
from packaging.version import Version

from workers import broker


@pytest.fixture
def channel(monkeypatch):
    """A channel that has no server: its pool connects only when it is used."""
    monkeypatch.setattr(transport.redis.Redis, "ping", lambda *_: True)
    connection = kombu.Connection("redis://127.0.0.1:1/0")
    made = connection.channel()
    yield made
    with contextlib.suppress(Exception):
        connection.release()


def client_of(channel):
    with channel.conn_or_acquire() as client:
        return client


def test_a_channel_has_one_client(channel, monkeypatch):
    monkeypatch.setattr(transport.Channel, "_create_client", broker._one_client)
    assert client_of(channel) is client_of(channel)


def test_another_pool_has_another_client(channel, monkeypatch):
    """After a reconnection: the old pool's connections are gone."""
    monkeypatch.setattr(transport.Channel, "_create_client", broker._one_client)
    before = client_of(channel)
    channel._pool = None
    after = client_of(channel)
    assert after is not before
    assert after.connection_pool is channel.pool


def test_the_connection_that_waits_for_messages_is_left_alone(channel, monkeypatch):
    monkeypatch.setattr(transport.Channel, "_create_client", broker._one_client)
    assert channel._create_client(asynchronous=True).connection_pool is channel.async_pool


def test_it_is_patched():
    from workers.app import app

    assert app
    assert transport.Channel._create_client is broker._one_client


def test_kombu_still_needs_this(channel, monkeypatch):
    """kombu makes a client each time: when this fails, the patch can go."""
    monkeypatch.setattr(transport.Channel, "_create_client", broker._create_client)
    assert client_of(channel) is not client_of(channel)


def test_another_kombu_is_not_patched(monkeypatch):
    """It must be read anew first; this says so when the pin moves."""
    assert (Version("5.7") <= Version(kombu.__version__) < Version("5.8")) == broker.MADE_FOR
    monkeypatch.setattr(broker, "MADE_FOR", False)
    theirs = {
        (transport.Channel, "_create_client"): broker._create_client,
        (transport.Channel, "_brpop_read"): broker._brpop_read,
        (transport.QoS, "append"): broker._append,
        (transport.QoS, "ack"): broker._ack,
        (transport.QoS, "restore_unacked_once"): broker._restore,
        (transport.Transport, "register_with_event_loop"): broker._register,
    }
    for (of, name), original in theirs.items():
        monkeypatch.setattr(of, name, original)
    broker.patch()
    assert all(getattr(of, name) is original for (of, name), original in theirs.items())
