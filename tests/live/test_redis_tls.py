"""TLS before a real server: whose certificate is not signed by whom we trust, or is another host's, gets nothing."""

import contextlib
import select
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
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

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="openssl makes the certificates; it is not here"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Makes a certificate for a host: the files of its key and of itself."""

    def make(alternative):
        folder = tmp_path_factory.mktemp("certificate")
        key, crt = folder / "key.pem", folder / "crt.pem"
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=redis"
        files = ["-keyout", key, "-out", crt, "-addext", f"subjectAltName={alternative}"]
        subprocess.run(["openssl", *options.split(), *files], check=True, capture_output=True)
        return key, crt

    return make


class _Terminator(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, behind, key, crt):
        self.behind = behind
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(crt, key)
        super().__init__(("127.0.0.1", 0), _Passing)


class _Passing(socketserver.BaseRequestHandler):
    def handle(self):
        with (
            contextlib.suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", self.server.behind)) as inner,
        ):
            while True:
                ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                for end, other in ((outer, inner), (inner, outer)):
                    if end in ready:
                        data = end.recv(65536)
                        if not data:
                            return
                        other.sendall(data)


@pytest.fixture
def tls(valkey):
    """Puts TLS before the session's server; answers the address."""
    with contextlib.ExitStack() as stack:

        def start(key, crt):
            parts = urlsplit(valkey)
            server = stack.enter_context(_Terminator(parts.port, key, crt))
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"rediss://:{parts.password}@127.0.0.1:{server.server_address[1]}/0"

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
