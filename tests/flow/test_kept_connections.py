"""The ledger's Redis client on a real server: what it keeps, and what it never uses again."""

from __future__ import annotations

import contextlib
import os

import pytest
import redis
from redis.connection import parse_url

from workers.net.kept import Kept


@pytest.fixture
def kept(valkey, fresh_redis):
    options = {name: value for name, value in parse_url(valkey).items() if name != "connection_class"}
    with contextlib.closing(Kept(decode_responses=True, client_name="kept", **options)) as client:
        client.mset({"a": "1", "b": "2"})
        yield client


def ids(client) -> set[str]:
    """Its connections, as the server counts them."""
    return {one["id"] for one in client.client_list() if one["name"] == "kept"}


def test_one_connection_serves_one_caller(kept):
    before = ids(kept)
    assert [kept.get("a"), kept.get("b"), kept.hgetall("none")] == ["1", "2", {}]
    assert ids(kept) == before
    assert len(before) == 1


def test_an_error_of_the_server_is_an_answer(kept):
    before = ids(kept)
    with pytest.raises(redis.ResponseError):
        kept.hget("a", "field")
    assert kept.get("b") == "2"
    assert ids(kept) == before


def test_a_connection_that_the_server_closed_is_replaced(kept, fresh_redis):
    before = ids(kept)
    fresh_redis.client_kill_filter(_id=before.pop())
    assert kept.get("a") == "1"


def test_a_call_that_was_broken_off_leaves_its_answer_to_nobody(kept, monkeypatch):
    """The answer to it is still on its way: who uses that connection next would take it for his own."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(kept, "parse_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kept.get("a")
    assert kept.get("b") == "2"


def test_a_forked_process_has_connections_of_its_own(kept, monkeypatch):
    before = ids(kept)
    parents = list(kept._ready)
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    assert kept.get("a") == "1"
    monkeypatch.undo()
    assert before < ids(kept)
    assert [connection.can_read() for connection in parents] == [False], (
        "open, and with no answer to anybody's call"
    )
