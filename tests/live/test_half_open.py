"""Connections that are dead without a word: a cable pulled, a NAT that forgot. Workers find out and go on."""

from urllib.parse import urlsplit

import pytest

from tests.chaos.proxy import Loop, Proxy
from workers.embedded import Embedded

from .conftest import ROOT
from .system import LONG, System

#: Shorter waits in every process of the test. What finds out is the same.
SHORTER = """
from tests import after_import
from workers import redis_address

redis_address._TIMEOUTS.update(socket_timeout=2)


def app(module):
    configuration = module.configuration

    def shorter(settings):
        found = configuration(settings)
        found["broker_transport_options"]["socket_timeout"] = 4
        return found

    module.configuration = shorter


after_import.change({"workers.app": app})
"""


@pytest.fixture
def proxied():
    """Makes proxies."""
    loop, made = Loop(), []

    def proxy(port):
        made.append(Proxy(loop, port).start())
        return made[-1]

    yield proxy
    for one in made:
        one.stop()
    loop.close()


@pytest.mark.promise("P1", "P2", "P9")
def test_dead_connections_to_redis_and_to_vtex_are_found_out_without_a_restart(tmp_path, proxied, wait_until):
    (tmp_path / "shorter").mkdir()
    (tmp_path / "shorter" / "sitecustomize.py").write_text(SHORTER)
    with (
        Embedded(tmp_path / "redis") as server,
        System(tmp_path / "a store", orders=80, latency=0.1) as system,
    ):
        to_redis, to_vtex = proxied(urlsplit(server.url).port), proxied(urlsplit(system.vtex.url).port)
        up = system.start(
            "up",
            PYTHONPATH=f"{tmp_path / 'shorter'}:{ROOT}",
            REDIS_URL=server.url.replace(str(to_redis.target), str(to_redis.port)),
            VTEX_BASE_URL=f"http://127.0.0.1:{to_vtex.port}",
            HTTP_TIMEOUT_SECONDS="2",
            WORKER_PROCESSES="1",
            WORKER_CONCURRENCY="8",
        )
        for handled, proxy in ((10, to_redis), (30, to_vtex), (50, to_redis)):
            system.until_handled(handled)
            known = proxy.accepted
            proxy.half_open()
            wait_until(lambda p=proxy, n=known: p.accepted > n, "a new connection", LONG)
        system.each_once()
        assert len(system.started(up, "worker 1")) == len(system.started(up, "beat")) == 1
        assert to_redis.accepted + to_vtex.accepted < 400, "nobody may hammer"
        assert system.stop(up) == 0
