"""TLS before a real server: whose certificate is not signed by whom we trust, or is another host's, gets nothing."""

import contextlib
import shutil
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import redis
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers import redis_address
from workers.settings import Account, Secret, Settings

from .system import System
from .tls import Terminator

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="openssl makes the certificates; it is not here"
)


@pytest.fixture
def tls(valkey):
    """Puts TLS before the session's server; answers the address."""
    with contextlib.ExitStack() as stack:

        def start(key, crt):
            parts = urlsplit(valkey)
            port = stack.enter_context(Terminator(("127.0.0.1", parts.port), key, crt).running())
            return f"rediss://:{parts.password}@127.0.0.1:{port}/0"

        yield start


def _settings(url, ca):
    store = Account("store", Secret("key"), Secret("token"))
    return Settings(accounts={"store": store}, erp_url="sqlite:///erp.db", redis_url=url, redis_ca=ca)


def _reach(settings):
    """A call by the ledger's client, and a message through the broker."""
    with contextlib.closing(redis_address.connect(settings)) as client:
        assert client.ping()
    found = redis_address.broker(settings)
    with (
        Connection(found["broker_url"], ssl=found["broker_use_ssl"]) as broker,
        contextlib.closing(broker.SimpleQueue("tls-test")) as queue,
    ):
        queue.put("hello")
        got = queue.get(timeout=10)
        got.ack()
        assert got.payload == "hello"


def test_the_certificate_is_verified_by_ledger_and_broker(certificate, tls):
    key, crt = certificate("IP:127.0.0.1")
    good = _settings(tls(key, crt), crt.read_text())
    _reach(good)
    other_key, other = certificate("DNS:another.example")
    for wrong in (
        replace(good, redis_ca=None),  # nobody here signed it
        _settings(tls(other_key, other), other.read_text()),  # signed by whom we trust, for another host
    ):
        with contextlib.closing(redis_address.connect(wrong)) as client:
            client.set_retry(Retry(NoBackoff(), 0))
            with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                client.ping()
        found = redis_address.broker(wrong)
        with (
            Connection(found["broker_url"], ssl=found["broker_use_ssl"]) as broker,
            pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            broker.connect()


def test_orders_flow_over_tls(certificate, tls, fresh_redis, tmp_path, wait_until):
    key, crt = certificate("IP:127.0.0.1")
    with System(tmp_path / "system", orders=10) as system:
        system.settings |= {"REDIS_URL": tls(key, crt), "REDIS_CA_FILE": str(crt)}
        running = system.start("up")
        system.each_once()
        assert system.stop(running) == 0
