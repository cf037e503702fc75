"""What the unit tests of the ledger share: a Redis in memory, and its clock in the tests' hands.

With ``LEDGER_TEST_REDIS_URL`` the same tests run on a real server: the scripts are then given the tests' clock,
and every test keeps to a prefix of its own.
"""

from __future__ import annotations

import os
import sys
import time
import uuid

import fakeredis
import pytest
import redis

from workers.ledger import Ledger

REAL = os.environ.get("LEDGER_TEST_REDIS_URL")
START = 1_800_000_000.0


class Clock:
    """Redis' clock: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def advance(self, seconds) -> None:
        self.now += seconds

    # Stands in for the module ``time`` inside of fakeredis, which takes all its times from there.

    def time(self) -> float:
        return self.now

    def __getattr__(self, name):
        return getattr(time, name)


@pytest.fixture(scope="session")
def _server():
    if REAL:
        client = redis.Redis.from_url(REAL, decode_responses=True)
        yield client
        client.close()
    else:
        yield None


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    if not REAL:
        for name, module in list(sys.modules.items()):
            if name.startswith("fakeredis") and getattr(module, "time", None) is time:
                monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def client(_server, clock):
    return _server or fakeredis.FakeRedis(decode_responses=True)


@pytest.fixture
def make_ledger(client, clock):
    """Ledgers on the tests' clock; the same ``account`` shares its records, none is one of the test's own."""
    made = []
    own = uuid.uuid4().hex[:12]

    def make(account=own, **options):
        ledger = Ledger(client, account, **options)
        if REAL:
            _set_clock(ledger, clock)
        made.append(ledger)
        return ledger

    yield make
    if REAL:
        for ledger in made:
            wipe(ledger)


def wipe(ledger) -> None:
    """Everything that Redis knows of this account is lost."""
    if keys := list(ledger.redis.scan_iter(f"{ledger._prefix}*", count=1000)):
        ledger.redis.delete(*keys)


def _set_clock(ledger, clock) -> None:
    """Give the scripts, which ask a real server for its time, the time of the tests."""
    now = f"{ledger._prefix}clock"
    move = ledger.move

    def move_at(name, *args, client=None):
        ledger.redis.hset(now, mapping={"s": int(clock.now), "us": round(clock.now % 1 * 1e6)})
        return move(name, *args, client=client)

    for name, script in ledger._scripts.items():
        text = script.script if isinstance(script.script, str) else script.script.decode()
        asks = "redis.call('TIME')"
        assert asks in text
        ledger._scripts[name] = ledger.redis.register_script(
            text.replace(asks, "redis.call('HMGET', KEYS[1] .. 'clock', 's', 'us')")
        )
    ledger.move = move_at
    ledger.now = clock.time


@pytest.fixture
def lose_everything():
    return wipe


@pytest.fixture
def on_real_server() -> bool:
    return bool(REAL)
