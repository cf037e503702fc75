"""All connections to Redis are reset while orders are under way, again and again: each worker connects again."""

import contextlib
import os

import pytest
import redis

from .system import LONG, System

ROUNDS = 8


@pytest.mark.promise("P1", "P2", "P9")
def test_workers_live_on_when_their_connections_are_reset(tmp_path, wait_until):
    rounds = int(os.environ.get("RESETS", ROUNDS))
    with System(tmp_path / "system", orders=60 * rounds + 240, latency=0.1) as system:
        system.settings |= {"WORKER_CONCURRENCY": "32"}
        up = system.start("up")
        with contextlib.closing(redis.Redis.from_url(system.redis_url(), decode_responses=True)) as client:

            def at_work():
                """Both workers wait for messages (again), and their slots are in use."""
                clients = [one["cmd"] for one in client.client_list()]
                return clients.count("brpop") >= 2 and client.hlen("unacked") > 16

            for number in range(rounds):
                wait_until(at_work, lambda: system.output(up)[-3000:], LONG)
                assert client.client_kill_filter(_type="normal", skipme=True) > 0
                if number % 2:  # what listens for events, too
                    client.client_kill_filter(_type="pubsub", skipme=True)
        system.each_once()
        for name in ("worker 1", "worker 2", "beat"):
            assert len(system.started(up, name)) == 1, f"{name}\n{system.output(up)}"
        assert "Traceback" not in system.output(up), system.output(up)
        assert system.stop(up) == 0
