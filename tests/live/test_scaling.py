"""Workers come and go while orders flow: the pace follows, nothing is lost, nothing stays stuck."""

import contextlib
import json
import signal
import time

import pytest
import redis

from workers import heartbeat

from .conftest import _wait_until
from .system import LONG, System

ORDERS = 5000
#: So few that a worker, and not this machine's processors, is what limits the pace.
THREADS = "8"
FAULTS = "5xx=0.02,lost=0.02,cut=0.01,duplicates=0.05"
SECONDS = 20.0


class Fleet:
    """Worker processes, added and taken away one by one."""

    def __init__(self, system):
        self.system = system
        self.running = []
        self.count = 0

    def grow(self, size):
        while len(self.running) < size:
            self.count += 1
            self.running.append(self.system.start("worker", "--name", f"w{self.count}"))

    def pace(self):
        """Orders a second that this fleet puts into handling, once all of its workers take part."""
        pids = {worker.pid for worker in self.running}
        _wait_until(lambda: pids <= living(self.system.settings["REDIS_URL"]), "all of the workers")
        before = self.system.audit()["start_handling_effects"]
        time.sleep(SECONDS)
        done = self.system.audit()["start_handling_effects"] - before
        assert self.system.audit()["start_handling_effects"] < ORDERS, "the orders are at an end: take more"
        return done / SECONDS

    def leave(self, grace=None):
        """SIGTERM to the oldest, and SIGKILL once ``grace`` seconds are over (without it, it gets all it needs)."""
        worker = self.running.pop(0)
        worker.send_signal(signal.SIGTERM)
        if grace is None:
            assert worker.wait(LONG) == 0, self.system.output(worker)[-3000:]
            return
        time.sleep(grace)
        worker.kill()
        worker.wait(LONG)


@pytest.mark.soak
@pytest.mark.promise("P4")
def test_workers_come_and_go_while_orders_flow(tmp_path, embedded):
    with System(
        tmp_path / "store", orders=ORDERS, faults=FAULTS, latency=0.2, visibility_timeout=30.0
    ) as system:
        system.settings |= {
            "REDIS_URL": embedded.url,
            "WORKER_CONCURRENCY": THREADS,
            "VTEX_REQUESTS_PER_MINUTE": "60000",
        }
        fleet, paces = Fleet(system), {}
        fleet.grow(1)
        beat = system.start("beat")
        for size in (1, 2, 4):
            fleet.grow(size)
            paces[f"{size}"] = fleet.pace()
        fleet.leave()
        fleet.leave()
        paces["2 after SIGTERM of two"] = fleet.pace()
        fleet.grow(4)
        fleet.leave(grace=0.0)  # killed at once
        fleet.leave(grace=0.05)  # killed in the middle of its good-bye
        fleet.grow(4)
        paces["4 after SIGKILL of two"] = fleet.pace()
        (tmp_path / "paces.json").write_text(json.dumps(paces))
        fleet.grow(8)
        system.each_once()
        assert paces["1"] < paces["2"] < paces["4"]
        assert paces["4"] > paces["2 after SIGTERM of two"] > paces["1"]
        # what the killed ones held is given back by the broker, and found done
        _wait_until(lambda: stuck(system.json("status")) == 0, lambda: str(system.json("status")), LONG)
        while fleet.running:
            fleet.leave()
        assert system.stop(beat) == 0


def living(url):
    """The process ids of the workers that beat."""
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        return {about["pid"] for about in heartbeat.living(client).values()}


def stuck(status):
    return (
        sum(status["orders"][state] for state in ("open", "parked", "dead"))
        + status["uncommitted"]
        + status["queues"]["in_flight"]
    )
