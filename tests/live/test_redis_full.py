"""A Redis that takes nothing more (``noeviction``, full): it is said once, nothing accepted is lost, and it heals."""

import json

import pytest
import redis

from workers.embedded import Embedded

from .system import LONG, System


@pytest.mark.promise("P9")
def test_a_full_redis_is_said_and_everything_goes_on_when_there_is_room(tmp_path, wait_until):
    with (
        Embedded(tmp_path / "redis") as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
        System(tmp_path / "a store", orders=60, latency=0.1) as system,
    ):
        up = system.start("up", REDIS_URL=server.url, WORKER_PROCESSES="1", WORKER_CONCURRENCY="8")
        system.until_handled(10)
        client.config_set("maxmemory", 1)

        def alarms():
            done = system.run("status", "--json", REDIS_URL=server.url)
            return [alarm["name"] for alarm in json.loads(done.stdout)["alarms"]] if done.stdout else []

        wait_until(lambda: "redis_full" in alarms(), lambda: system.output(up)[-3000:], LONG)
        order = system.vtex.create(1)[0]
        invoice = tmp_path / "invoice.json"
        invoice.write_text("{}")
        asked = system.run("cancel", order, "--key", "c-1", REDIS_URL=server.url)
        assert asked.returncode == 1, asked
        print(asked.stderr)
        print(*{l[:300] for l in system.output(up).splitlines() if "rror" in l or "arn" in l}, sep="\n")
        client.config_set("maxmemory", 0)
        system.each_once()
        assert "Traceback" not in system.output(up)
        wait_until(lambda: "redis_full" not in alarms(), "the end of the alarm", LONG)
        assert system.stop(up) == 0
