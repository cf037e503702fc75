"""Who lives, who ended in order, and who died."""

from __future__ import annotations

import fakeredis
import pytest

from workers import deaths, heartbeat
from workers.deaths import Death
from workers.heartbeat import Heartbeat


@pytest.fixture
def client():
    return fakeredis.FakeRedis(decode_responses=True)


@pytest.fixture
def beating(client):
    """Starts a process's heartbeat, and waits for the first beat."""
    begun = []

    def begin(name):
        one = Heartbeat(client, name, ["orders"])
        begun.append(one)
        one.start()
        while one.who not in heartbeat.living(client):
            one.join(0.01)
        return one

    yield begin
    for one in begun:
        one.stop()


def falls_silent(client, one) -> None:
    client.delete(f"vo:_:worker:{one.who}")


def test_one_that_ends_in_order_did_not_die(client, beating):
    one = beating("worker1@host")
    one.stop()
    assert heartbeat.living(client) == {}
    assert deaths.since(client, "0") == ("0", [])


def test_a_silent_one_is_told_once_and_to_everybody_who_asks(client, beating):
    one, _ = beating("worker1@host"), beating("worker2@host")
    falls_silent(client, one)
    place, died = deaths.since(client, "0")
    assert died == [Death(one.who, certain=False)]
    assert deaths.since(client, place) == (place, [])
    assert deaths.since(client, "0") == (place, died), "as another store does"


def test_what_a_supervisor_saw_is_certain_and_exact(client, beating):
    one, other = beating("worker1@host"), beating("worker11@host")
    pid = one._about["pid"]
    deaths.saw_die(client, "worker1@host", pid + 1)
    deaths.saw_die(client, "worker@host", pid)
    assert deaths.since(client, "0")[1] == []
    deaths.saw_die(client, "worker1@host", pid)
    deaths.saw_die(client, "worker1@host", pid)
    assert deaths.since(client, "0")[1] == [Death(one.who, certain=True)]
    assert list(heartbeat.living(client)) == [other.who]


def test_a_process_of_the_same_name_and_id_is_another_one(client, beating):
    assert beating("worker1@host").who != beating("worker1@host").who
