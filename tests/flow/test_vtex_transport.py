"""The client against a real server that behaves badly."""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from workers.errors import NotFound, OrderLinkError, OutcomeUnknown, Unavailable
from workers.net import transport
from workers.settings import Account, Secret
from workers.vtex.client import Vtex

KEY, TOKEN = "canary-key-7d1", "canary-token-9f2"
ORDER = json.dumps(
    {"orderId": "1-01", "status": "ready-for-handling", "note": "é" * 50}, ensure_ascii=False
).encode()

Script = Callable[[socket.socket], object]


@dataclass
class Server:
    """Answers each request with the next script; without one, with the last. Counts connections."""

    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    def next(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            state.connections += 1
            while head := _request(self.request):
                state.requests.append(head)
                try:
                    state.next()(self.request)
                except OSError:
                    return

    class Threaded(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # the client hung up: that is what some tests want

    with Threaded(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{listening.server_address[1]}"
        yield state
        listening.shutdown()


@pytest.fixture
def vtex(server: Server) -> Iterator[Vtex]:
    client = Vtex(Account("mystore", Secret(KEY), Secret(TOKEN), base_url=server.url), timeout=0.5)
    yield client
    client.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except OSError:
            return b""
        if not piece:
            return b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest


def answer(body: bytes = ORDER, status: str = "200 OK", headers: str = "") -> Script:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    return lambda connection: connection.sendall(head.encode() + body)


def no_content(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def raw(data: bytes, *, close: bool = True) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def chunked(body: bytes, *, size: int = 20, headers: str = "", end: bool = True) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode())
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if end:
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def drip(head: bytes, pause: float = 0.05) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"a")
            time.sleep(pause)

    return script


def silent(connection: socket.socket) -> None:
    time.sleep(1.5)


def cut(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


PLAIN = {
    "content-length": answer(),
    "gzip": answer(gzip.compress(ORDER), headers="Content-Encoding: gzip\r\n"),
    "chunked": chunked(ORDER),
    "chunked gzip": chunked(gzip.compress(ORDER), size=7, headers="Content-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("script", PLAIN.values(), ids=PLAIN.keys())
def test_a_connection_is_used_again_and_the_document_is_exact(
    server: Server, vtex: Vtex, script: Script
) -> None:
    server.scripts = [script]
    for _ in range(5):
        assert vtex.get_order("1-01").text.encode() == ORDER
    assert server.connections == 1


def test_a_connection_is_used_again_after_an_empty_answer_and_after_an_error(
    server: Server, vtex: Vtex
) -> None:
    server.scripts = [
        no_content,
        answer(b'{"error":{"code":"OMS007"}}', "404 Not Found"),
        answer(b""),
        answer(),
    ]
    vtex.start_handling("1-01")
    with pytest.raises(NotFound):
        vtex.get_order("1-01")
    vtex.commit(["h"])
    vtex.get_order("1-01")
    assert server.connections == 1


def test_threads_share_the_pool(server: Server, vtex: Vtex) -> None:
    server.scripts = [answer()]
    with ThreadPoolExecutor(8) as pool:
        orders = list(pool.map(vtex.get_order, ["1-01"] * 200))
    assert {order.text.encode() for order in orders} == {ORDER}
    assert server.connections <= 8


def test_an_idle_connection_that_the_server_closed_is_replaced(server: Server, vtex: Vtex) -> None:
    def answer_and_close(connection: socket.socket) -> None:
        answer()(connection)
        connection.shutdown(socket.SHUT_RDWR)

    server.scripts = [answer_and_close]
    vtex.get_order("1-01")
    time.sleep(0.05)
    vtex.get_order("1-01")
    assert server.connections == 2


BROKEN = {
    "cut before the answer": cut,
    "cut in the status line": raw(b"HTTP/1.1 20"),
    "cut in the headers": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut in the body": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"orderId": "1-01", "sta'),
    "cut in a chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "cut between chunks": chunked(ORDER, end=False),
    "not chunked as said": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "not gzip as said": answer(b"plain", headers="Content-Encoding: gzip\r\n"),
    "not HTTP": raw(b"220 smtp.example.com ESMTP\r\n"),
    "too many headers": raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
    "too long a header": raw(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n"),
    "silence": silent,
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
def test_a_read_that_broke_did_not_happen(server: Server, vtex: Vtex, script: Script) -> None:
    server.scripts = [script, answer()]
    with pytest.raises(Unavailable) as failure:
        vtex.get_order("1-01")
    assert_clean(failure.value)
    assert vtex.get_order("1-01").order_id == "1-01"


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN.keys())
def test_a_write_that_broke_may_have_happened(server: Server, vtex: Vtex, script: Script) -> None:
    server.scripts = [script, no_content]
    with pytest.raises(OutcomeUnknown) as failure:
        vtex.commit(["h"])
    assert_clean(failure.value)
    vtex.start_handling("1-01")


def test_nobody_listening_means_that_even_a_write_did_not_happen(server: Server) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        client = Vtex(Account("mystore", Secret(KEY), Secret(TOKEN), base_url=address), timeout=0.5)
        with pytest.raises(Unavailable, match="no connection") as failure:
            client.start_handling("1-01")
    assert_clean(failure.value)


def test_a_name_that_does_not_exist(server: Server) -> None:
    account = Account("mystore", Secret(KEY), Secret(TOKEN), base_url="http://nowhere.invalid")
    with pytest.raises(Unavailable, match="resolved") as failure:
        Vtex(account, timeout=2).start_handling("1-01")
    assert_clean(failure.value)


DRIPS = {
    "body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"),
    "chunks": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"),
    "chunk header": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "headers": drip(b"HTTP/1.1 200 OK\r\nA: "),
    "status line": drip(b""),
    "error body": drip(b"HTTP/1.1 500 Oops\r\nContent-Length: 10000\r\n\r\n"),
}


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS.keys())
def test_a_drip_ends_at_the_deadline(server: Server, vtex: Vtex, script: Script) -> None:
    server.scripts = [script, no_content]
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown) as failure:
        vtex.start_handling("1-01")
    assert time.monotonic() - started < 2.4, "twice the timeout, and some"
    assert_clean(failure.value)
    vtex.start_handling("1-01")
    assert server.connections == 2, "the dripping connection was not used again"


def test_a_body_beyond_the_limit_is_not_read_to_its_end(
    server: Server, vtex: Vtex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", 10_000)
    server.scripts = [answer(b" " * 10 * 2**20 + ORDER), answer()]
    with pytest.raises(Unavailable, match="larger than"):
        vtex.get_order("1-01")
    assert vtex.get_order("1-01").order_id == "1-01"
    assert server.connections == 2


def test_a_compressed_bomb_stops_at_the_limit(
    server: Server, vtex: Vtex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST_BODY", 2**20)
    bomb = gzip.compress(b" " * 200 * 2**20)
    server.scripts = [answer(bomb, headers="Content-Encoding: gzip\r\n"), answer()]
    with pytest.raises(Unavailable, match="larger than"):
        vtex.get_order("1-01")


def test_a_huge_error_page_is_cut_short(server: Server, vtex: Vtex) -> None:
    server.scripts = [answer(b"<html>" + b"x" * 10 * 2**20, "503 Busy", "Retry-After: 7\r\n")]
    with pytest.raises(Unavailable) as failure:
        vtex.get_order("1-01")
    assert failure.value.after == 7.0
    assert len(str(failure.value)) < 300


def test_what_is_sent(server: Server, vtex: Vtex) -> None:
    server.scripts = [answer(headers="Set-Cookie: session=stolen; Path=/\r\n"), answer(b""), no_content]
    vtex.get_order("1-01")
    vtex.commit(["one", "two", "one"])
    vtex.start_handling("a/../b?c#d%")
    get, commit, start = (head.decode() for head in server.requests)
    for text in (get, commit, start):
        assert f"X-VTEX-API-AppKey: {KEY}\r\n" in text
        assert f"X-VTEX-API-AppToken: {TOKEN}\r\n" in text
        assert "Accept: application/json\r\n" in text
        assert "Content-Type: application/json\r\n" in text
        assert "User-Agent: vtex-order-workers/" in text
        assert "cookie" not in text.lower()
    assert get.startswith("GET /api/oms/pvt/orders/1-01 HTTP/1.1\r\n")
    assert commit.startswith("POST /api/orders/feed HTTP/1.1\r\n")
    assert commit.endswith('\r\n\r\n{"handles": ["one", "two"]}')
    assert start.startswith("POST /api/oms/pvt/orders/a%2F..%2Fb%3Fc%23d%25/start-handling HTTP/1.1\r\n")
    assert "Content-Length: 0\r\n" in start


def test_a_redirect_is_not_followed(server: Server, vtex: Vtex) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/login?x=1\r\nContent-Length: 9\r\n\r\n"
    head += b"not asked"
    server.scripts = [raw(head, close=False)]
    with pytest.raises(Unavailable, match=r"elsewhere\.example;") as failure:
        vtex.start_handling("1-01")
    assert "login" not in str(failure.value)
    assert len(server.requests) == 1


def test_proxies_of_the_environment_are_read_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    account = Account("mystore", Secret(KEY), Secret(TOKEN), base_url="http://vtex.invalid")
    client = Vtex(account, timeout=0.5)
    monkeypatch.delenv("http_proxy")
    server.scripts = [answer()]
    client.get_order("1-01")
    assert server.requests[0].startswith(b"GET http://vtex.invalid/api/oms/pvt/orders/1-01 ")


def test_a_proxy_that_refuses_means_that_nothing_was_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", server.url.replace("//", "//user:hush@"))
    server.scripts = [answer(b"", "407 Proxy Authentication Required", "Connection: close\r\n")]
    client = Vtex(
        Account("mystore", Secret(KEY), Secret(TOKEN), base_url="https://vtex.invalid"), timeout=0.5
    )
    with pytest.raises(Unavailable, match="proxy") as failure:
        client.start_handling("1-01")
    assert_clean(failure.value)
    assert "hush" not in str(failure.value)
    assert server.requests[0].startswith(b"CONNECT vtex.invalid:443 ")
    assert TOKEN.encode() not in server.requests[0]


def test_a_missing_ca_bundle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    account = Account("mystore", Secret(KEY), Secret(TOKEN), base_url="https://127.0.0.1:9")
    with pytest.raises(Unavailable, match="CA bundle") as failure:
        Vtex(account, timeout=0.5).start_handling("1-01")
    assert_clean(failure.value)


def test_plain_http_behind_https_did_not_happen_or_is_not_known(server: Server) -> None:
    address = server.url.replace("http:", "https:")
    server.scripts = [answer()]
    client = Vtex(Account("mystore", Secret(KEY), Secret(TOKEN), base_url=address), timeout=0.5)
    with pytest.raises((Unavailable, OutcomeUnknown)) as failure:
        client.start_handling("1-01")
    assert_clean(failure.value)


def assert_clean(error: BaseException) -> None:
    """No credential in the error, in what it chains, or in the locals that a traceback could show."""
    assert isinstance(error, OrderLinkError)
    assert error.__cause__ is None
    shown = repr(error) + str(error) + repr(vars(error)) + repr(error.__context__)
    assert ORDER.decode()[:20] not in repr(vars(error.__context__) if error.__context__ else "")
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename != __file__:
            shown += repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert KEY not in shown
    assert TOKEN not in shown
