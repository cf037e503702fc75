"""Sentinels, a replica and users with few rights: the primary is killed in the middle of work."""

import contextlib

import pytest

from .redis_servers import RedisServers, password
from .system import FAULTS, System


@pytest.fixture
def killed(tmp_path, wait_until, ports):
    """A system whose primary was killed while it worked, and whose Sentinels have chosen another one."""
    with contextlib.ExitStack() as stack:

        def start(orders):
            system = stack.enter_context(System(tmp_path / "system", orders=orders, faults=FAULTS))
            servers = RedisServers(system.processes, tmp_path / "redis", ports)
            system.settings |= {"REDIS_URL": servers.url, "SENTINEL_PASSWORD": password("watchers")}
            running = system.start("up")
            system.until_handled(orders // 5)
            servers.kill_primary()
            wait_until(servers.promoted, "another primary")
            handled = system.audit()["start_handling_effects"]
            assert handled < orders, "the work ended before the failover: it needs more orders"
            return system, running, handled

        yield start


def test_work_goes_on_with_another_primary(killed, wait_until):
    system, running, handled = killed(300)
    system.until_handled(handled + 20)
    system.vtex.control("faults", {"faults": ""})  # check asks each thing once, and would meet one
    assert system.run("check").returncode == 0
    assert system.stop(running) == 0
    assert password("worker") not in system.output(running)


@pytest.mark.soak  # what the replica had not got yet is looked for after a minute
def test_nothing_is_lost_with_the_primary(killed, wait_until):
    system, running, _ = killed(1000)
    system.each_once()
    wait_until(lambda: system.json("status")["orders"]["open"] == 0, "the ledger's end")
    assert system.stop(running) == 0
