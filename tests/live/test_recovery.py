"""Workers that die with their hands full, by accident or because of one order."""

import contextlib
import json
import os
import signal
import time

import pytest
import redis

from workers.ledger import Ledger

from .conftest import ROOT
from .system import LONG, System

#: An ERP's adapter: a folder, and an order that kills whoever brings it.
DEADLY = """
import os, signal
from workers.erp.sink import open_sink

class Deadly:
    def __init__(self, options):
        self.sink = open_sink("file://" + os.environ["SPOOL"], options=options)
        self.check, self.close = self.sink.check, self.sink.close

    def deliver(self, delivery):
        if delivery.order_id == os.environ["POISON"]:
            os.kill(os.getpid(), signal.SIGKILL)
        self.sink.deliver(delivery)
"""
#: The limit of crashes in every process of the test, which would take minutes otherwise.
FEWER_CRASHES = """
import workers.policy
workers.policy.CRASH_LIMIT = 4
"""


@pytest.fixture
def system(tmp_path):
    """Makes a system in this test's folder."""
    with contextlib.ExitStack() as stack:
        yield lambda **config: stack.enter_context(System(tmp_path / "a store", **config))


@pytest.mark.promise("P2", "P4")
def test_what_a_killed_worker_was_at_is_taken_over_at_the_next_sweep(system, wait_until):
    system = system(orders=128, latency=1.0, visibility_timeout=30.0)
    up = system.start("up", WORKER_CONCURRENCY="64")
    wait_until(lambda: system.audit()["start_handling_effects"] >= 1, "full hands", LONG)
    os.kill(system.started(up, "worker 1")[-1], signal.SIGKILL)
    system.each_once()
    taken = system.said(up, "taken_over")
    assert sum(line["were_claimed"] for line in taken) > 0, "its supervisor saw it die"
    assert system.stop(up) == 0


@pytest.mark.promise("P2", "P4")
def test_a_worker_that_is_killed_in_a_step_that_followed_in_its_thread(system, wait_until):
    """The message that it still holds is that of the download; start-handling never was one."""
    system = system(orders=1, latency=2.0, visibility_timeout=120.0, marketplace_events=0.0)
    up = system.start("up", WORKER_PROCESSES="1", WORKER_CONCURRENCY="4")
    with redis.Redis.from_url(system.redis_url(), decode_responses=True) as client:
        ledger = Ledger(client, "teststore")

        def in_start_handling():
            records = map(ledger.record, ledger.unfinished())
            return [one for one in records if one and one.step == "start-handling" and one.claimed_until]

        (order,) = wait_until(in_start_handling, "the second step", LONG)
        held = [json.loads(message)[0]["headers"]["task"] for message in client.hvals("unacked")]
        os.kill(system.started(up, "worker 1")[-1], signal.SIGKILL)
        system.each_once()
        assert "orders.download" in held
        assert "orders.start_handling" not in held
        codes = [entry.code for entry in ledger.record(order.order_id).timeline]
        assert codes.count("delivered") == codes.count("handled") == 1
        assert "crash" in codes
    assert system.stop(up) == 0


@pytest.mark.soak
@pytest.mark.promise("P2", "P4")
def test_sixty_four_orders_in_a_killed_worker_s_hands_are_done_within_a_minute(system, wait_until):
    """With the settings as they are. With -s it prints what was measured."""
    system = system(orders=300, faults="slow_seconds=8", latency=0.1, visibility_timeout=60.0)
    slow = {"kind": "slow", "path": "/api/oms/pvt/orders/", "method": "GET", "times": 400}
    system.vtex.control("faults", {"script": [slow]})  # so that hands fill on a slow machine, too
    up = system.start("up", SWEEP_SECONDS=None, FEED_POLL_SECONDS=None, WORKER_CONCURRENCY="80")
    ledger = None

    def in_hand(pid):
        """The orders that the worker with that process id has claimed."""
        ids = ledger.unfinished()
        claims = [ledger.redis.hget(ledger.key(f"o:{order_id}"), "claim") for order_id in ids]
        return [one for one, claim in zip(ids, claims, strict=True) if claim and f":{pid}:" in claim]

    with redis.Redis.from_url(system.redis_url(), decode_responses=True) as client:
        ledger = Ledger(client, "teststore")
        victim = wait_until(lambda: system.started(up, "worker 1"), "a worker")[-1]
        held = wait_until(lambda: len(hands := in_hand(victim)) >= 64 and hands, "full hands", LONG)
        os.kill(victim, signal.SIGKILL)
        begin = time.monotonic()
        wait_until(lambda: all(ledger.record(one).state == "done" for one in held), "their end", LONG)
        seconds = time.monotonic() - begin
    print(f"{len(held)} orders in hand: done {seconds:.0f} s after the kill")  # noqa: T201
    assert seconds <= 60
    assert system.audit()["start_handling_more_than_once"] == 0
    assert system.stop(up) == 0


@pytest.mark.soak
@pytest.mark.promise("P6")
def test_an_order_that_kills_its_workers_ends_dead_and_those_beside_it_do_not(system, wait_until, tmp_path):
    system = system(orders=60, latency=0.2, visibility_timeout=30.0)
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "deadly.py").write_text(DEADLY)
    (tmp_path / "patch" / "sitecustomize.py").write_text(FEWER_CRASHES)
    (tmp_path / "spool").mkdir()
    everyone = sorted(system.vtex.audit()["per_order"])
    poison = everyone[20]
    up = system.start(
        "up",
        ERP_URL="python:deadly:Deadly",
        SPOOL=str(tmp_path / "spool"),
        POISON=poison,
        PYTHONPATH=f"{tmp_path / 'patch'}:{ROOT}",
    )
    wait_until(lambda: system.audit()["start_handling_effects"] == 59, "all the others", LONG)
    wait_until(lambda: not system.audit()["events_pending"], "the feed's end", LONG)
    status = system.json("status")
    assert status["orders"]["dead"] == 1
    assert "died 4 times" in system.json("order", poison)["error"]
    assert system.audit()["start_handling_more_than_once"] == 0
    assert system.stop(up) == 0
