"""The HTTP sink against real servers: the example receiver, and some that misbehave."""

import base64
import json
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workers import errors
from workers.erp.contract import SinkContract, delivery
from workers.erp.sink import CANCELED, SinkOptions, open_sink
from workers.settings import Secret

PAGE = (Path(__file__).parents[2] / "docs" / "erp.md").read_text()
WHSEC = "whsec_" + base64.b64encode(b"a key that is long enough").decode()


@contextmanager
def opened(url, *, timeout=5.0, token="", secret=""):
    sink = open_sink(
        url, pool=8, options=SinkOptions(token=Secret(token), signing_secret=Secret(secret), timeout=timeout)
    )
    yield sink
    sink.close()


@contextmanager
def serving(server):
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/orders"
        server.shutdown()
        thread.join()


class TestHttpSink(SinkContract):
    @pytest.fixture
    def erp(self, http_erp):
        return http_erp


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass  # the client hung up: that is what some tests want


@pytest.fixture
def endpoint():
    """Starts a server whose POST is the given function of its handler."""

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                answer(self)

            def log_message(self, *_):
                pass

        return serving(Server(("127.0.0.1", 0), Handler))

    return start


def body_of(handler):
    return handler.rfile.read(int(handler.headers["Content-Length"]))


def reply(handler, status, body=b""):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ({"token": "right"}, {"token": "wrong"}, "the token is not ours"),
        ({"token": "right"}, {}, "the token is not ours"),
        ({"secret": WHSEC}, {"secret": "other"}, "the signature is not valid"),
        ({"secret": WHSEC}, {}, "the signature is not valid"),
    ],
)
def test_the_receiver_lets_nobody_else_in(receiver, theirs, ours, words):
    erp = receiver(**theirs)
    with opened(erp.url, **ours) as sink, pytest.raises(errors.AccessDenied, match=words):
        sink.deliver(delivery())
    with opened(erp.url, token="right", secret=f"{WHSEC} another") as sink:
        sink.check()
        sink.deliver(delivery())
    assert erp.orders() == {"1-01"}


def test_the_receiver_refuses_what_is_no_order_and_ignores_what_it_does_not_know(http_erp):
    from dataclasses import replace

    with opened(http_erp.url) as sink:
        with pytest.raises(errors.Rejected, match="not a message about an order"):
            sink.deliver(replace(delivery(), document="{"))
        sink.deliver(replace(delivery(), type="command.done"))
    assert http_erp.orders() == set()


# The signature checks of docs/erp.md, on a real delivery


@pytest.fixture(scope="module")
def received():
    """Headers and body of a delivery that went over a socket, and its secret."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            got.append((headers, body_of(self)))
            reply(self, 204)

        def log_message(self, *_):
            pass

    with (
        serving(Server(("127.0.0.1", 0), Handler)) as url,
        opened(url, secret=f"plain {WHSEC}") as sink,
    ):
        sink.deliver(delivery(more='"ção 😀"'))
    return got[0]


def documented(language):
    [code] = re.findall(rf"```{language} verify\n(.*?)```", PAGE, re.DOTALL)
    return code


def in_python(secret, headers, body):
    names = {}
    exec(documented("python"), names)
    return names["is_ours"](secret, headers, body)


def in_node(secret, headers, body):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node on this machine")
    ask = "\nconst [s, h, b] = JSON.parse(process.argv[1]);\nconsole.log(isOurs(s, h, Buffer.from(b, 'base64')));"
    given = json.dumps([secret, headers, base64.b64encode(body).decode()])
    done = subprocess.run(
        [node, "-e", documented("javascript") + ask, given], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "true"


@pytest.mark.parametrize("is_ours", [in_python, in_node])
def test_the_documented_checks_know_us(received, is_ours):
    headers, body = received
    assert is_ours(WHSEC, headers, body)
    assert is_ours("plain", headers, body)
    assert not is_ours("other", headers, body)
    assert not is_ours(WHSEC, headers, body + b" ")
    assert not is_ours(WHSEC, headers | {"webhook-id": "msg_other"}, body)
    assert not is_ours(WHSEC, headers | {"webhook-timestamp": str(int(time.time()) - 1000)}, body)


# Servers that misbehave


@pytest.mark.promise("P2")
def test_stored_and_not_answered_is_sent_again_with_the_same_key(endpoint):
    keys = []

    def store_and_say_nothing(handler):
        body_of(handler)
        keys.append(handler.headers["Idempotency-Key"])
        if len(keys) > 1:
            reply(handler, 409)
        else:
            time.sleep(1.0)
            handler.close_connection = True

    with endpoint(store_and_say_nothing) as url, opened(url, timeout=0.3) as sink:
        with pytest.raises(errors.OutcomeUnknown, match="no answer in time"):
            sink.deliver(delivery())
        sink.deliver(delivery())
    assert keys == ["store:1-01:order.ready"] * 2


def test_a_yes_without_an_end_is_a_yes(endpoint):
    def endless(handler):
        body_of(handler)
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(10_000):
            handler.wfile.write(b"x" * 10_000)

    with endpoint(endless) as url, opened(url) as sink:
        sink.deliver(delivery())


def test_a_yes_that_drips_is_a_yes_in_time(endpoint):
    def dripping(handler):
        body_of(handler)
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with endpoint(dripping) as url, opened(url, timeout=0.3) as sink:
        sink.deliver(delivery())


def test_headers_that_never_end_are_no_answer(endpoint):
    def dripping(handler):
        body_of(handler)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            handler.wfile.write(b"X-More: yes\r\n")
            time.sleep(0.05)

    with (
        endpoint(dripping) as url,
        opened(url, timeout=0.3) as sink,
        pytest.raises(errors.OutcomeUnknown, match="no answer in time"),
    ):
        sink.deliver(delivery())


def test_an_answer_that_was_cut_off_in_the_headers_is_no_yes(endpoint):
    def cut(handler):
        body_of(handler)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        handler.close_connection = True

    with endpoint(cut) as url, opened(url) as sink, pytest.raises(errors.OutcomeUnknown, match="cut"):
        sink.deliver(delivery())


def test_too_large_is_heard_although_the_order_was_not_read(endpoint):
    class Impatient(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1000)
            self.request.sendall(
                b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much"
            )
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(2**20):
                pass

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Impatient)
    server.daemon_threads = True
    big = delivery(more=json.dumps("x" * 5_000_000))
    with (
        serving(server) as url,
        opened(url) as sink,
        pytest.raises(errors.Rejected, match="answered 413: too much"),
    ):
        sink.deliver(big)


def test_a_redirect_gets_no_token(endpoint):
    seen = []

    def elsewhere(handler):
        body_of(handler)
        seen.append(handler.path)
        handler.send_response(307)
        handler.send_header("Location", "/login")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with (
        endpoint(elsewhere) as url,
        opened(url, token="t") as sink,
        pytest.raises(errors.AccessDenied, match="not followed"),
    ):
        sink.deliver(delivery())
    assert seen == ["/orders"]


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with opened(f"http://127.0.0.1:{port}/") as sink:
        for call in (sink.check, lambda: sink.deliver(delivery())):
            with pytest.raises(errors.Unavailable, match=rf"127\.0\.0\.1:{port}: no connection"):
                call()


def test_a_certificate_that_nobody_vouches_for(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Secure(Server):
        def get_request(self):
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body_of(self)
            reply(self, 201)

        def log_message(self, *_):
            pass

    with serving(Secure(("127.0.0.1", 0), Handler)) as plain:
        url = plain.replace("http://127.0.0.1", "https://localhost")
        with opened(url) as sink, pytest.raises(errors.Unavailable, match="certificate is not trusted"):
            sink.deliver(delivery())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            with opened(url) as sink:
                sink.deliver(delivery())


def test_a_server_that_knows_nothing_but_post_passes_the_check(endpoint):
    with endpoint(lambda handler: reply(handler, 500)) as url, opened(url) as sink:
        sink.check()  # http.server answers 501 to OPTIONS


def test_connections_are_kept_and_shared_by_threads(endpoint):
    connections = set()

    def note(handler):
        body_of(handler)
        connections.add(handler.client_address)
        reply(handler, 200, b"stored")

    with endpoint(note) as url, opened(url) as sink, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: sink.deliver(delivery(CANCELED, order_id=str(n))), range(200)))
    assert len(connections) <= 8


def test_the_example_starts_as_a_program(tmp_path):
    program = Path(__file__).parents[2] / "deploy" / "examples" / "receiver.py"
    arguments = [sys.executable, program, "--port", "0", "--database", tmp_path / "erp.db"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as receiver:
        with opened(receiver.stdout.readline().strip()) as sink:
            sink.check()
            sink.deliver(delivery())
        receiver.terminate()
