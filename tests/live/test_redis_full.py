"""A Redis that takes nothing more (``noeviction``, full): that is said plainly, nothing accepted is lost, it heals."""

import json

import pytest
import redis

from workers.embedded import Embedded

from .system import LONG, System


@pytest.mark.promise("P1", "P2", "P9")
def test_a_full_redis_is_said_and_all_goes_on_when_there_is_room(tmp_path, wait_until):
    with (
        Embedded(tmp_path / "redis") as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
        System(tmp_path / "a store", orders=60, latency=0.1) as system,
    ):
        system.settings |= {"REDIS_URL": server.url, "WORKER_PROCESSES": "1", "WORKER_CONCURRENCY": "8"}

        def alarms():
            return [alarm["name"] for alarm in json.loads(system.run("status", "--json").stdout)["alarms"]]

        up = system.start("up")
        system.until_handled(10)
        [order] = system.vtex.create(1, status="handling")
        assert system.run("cancel", order, "--key", "accepted").returncode == 0
        client.config_set("maxmemory", 1)
        wait_until(lambda: "redis_full" in alarms(), lambda: system.output(up)[-3000:], LONG)
        refused = system.run("cancel", order, "--key", "refused")
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        wait_until(lambda: "Redis is full and takes nothing new" in system.output(up), "a plain line")

        client.config_set("maxmemory", 0)
        system.vtex.move(order, "canceled")
        wait_until(lambda: system.json("command", "accepted")["state"] == "done", "what was accepted", LONG)
        wait_until(lambda: not system.audit()["events_pending"], "the orders", LONG)
        audit = system.vtex.audit()
        assert audit["start_handling_effects"] == 60
        assert audit["start_handling_more_than_once"] == audit["early_commits"] == audit["stranded"] == 0
        assert sorted(system.in_erp()) == sorted(audit["per_order"])
        assert "redis_full" not in alarms()
        assert "Traceback" not in system.output(up)
        assert system.stop(up) == 0
