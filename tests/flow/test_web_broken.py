"""Requests that are broken, endless or slow: each is refused cleanly, others are served, and nothing is quoted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket

import pytest

from workers.settings import Secret
from workers.web import body, serve

from .web import ALL, SECRET, TOKENS, front_door

INVOICES = "/v1/orders/1-01/invoices"
MARK = "do-not-quote-this"
HEAD = f"POST {INVOICES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def door(_settings, fresh_redis):
    """A front door with a ledger and nobody who works; nothing is recorded in the end."""
    settings = dataclasses.replace(_settings, web_tokens=Secret(TOKENS), hook_secret=Secret(SECRET))
    with front_door(settings) as door:
        yield door
    assert not fresh_redis.keys("vo:*")


@contextlib.contextmanager
def connected(door):
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
        yield connection


def all_of(connection):
    """What comes until the server closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts).decode("latin-1")


def problem(said, status):
    """An answer that is a problem in form, and gives away neither the server's make nor what was sent."""
    head, _, content = said.partition("\r\n\r\n")
    assert head.split(" ")[1] == str(status), said
    assert "\r\nServer: vtexorders" in head
    assert "aiohttp" not in said
    assert "Python" not in said
    assert MARK not in said
    assert json.loads(content)["status"] == status
    return json.loads(content)


@pytest.mark.parametrize(
    "sent",
    [
        f"{MARK}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {MARK}\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\n{MARK} : 1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX: {MARK * 1000}\r\n\r\n",
        f"GET /{MARK * 1000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET http://[{MARK} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST {INVOICES} HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n",
        f"{HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        f"{CHUNKED}{MARK}\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_not_quoted(door, sent, capfd):
    with connected(door) as connection:
        connection.sendall(sent.encode("latin-1"))
        problem(all_of(connection), 400)
    assert MARK not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"{HEAD}Expect: {MARK}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}", 417),
        (f"GET /v1/orders/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xff{MARK}\r\n\r\n", 401),
        (f"GET /v1/orders/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ALL}\r\n\r\n", 404),
    ],
)  # fmt: skip
def test_what_is_odd_is_refused_as_the_rest_is(door, sent, status):
    with connected(door) as connection:
        connection.sendall(sent.encode("latin-1"))
        problem(all_of(connection), status)


def test_a_body_that_breaks_off_in_the_middle(door, capfd, monkeypatch):
    monkeypatch.setattr(body, "SECONDS", 0.5)
    with connected(door) as connection:
        connection.sendall(f"{CHUNKED}1\r\n{{\r\n".encode())
        assert door.get("/health", token=None).status_code == 200  # until its head was read
        connection.sendall(f"{MARK}\r\n".encode())
        problem(all_of(connection), 408)  # aiohttp waits for what cannot come any more
    with connected(door) as connection:
        connection.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert door.get("/health", token=None).status_code == 200
    assert door.get("/health", token=None).status_code == 200
    said = "".join(capfd.readouterr())
    assert MARK not in said
    assert "web_failed" not in said


def test_whoever_asks_first_may_send_his_body(door):
    with connected(door) as connection:
        connection.sendall(
            f"{HEAD}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n".encode()
        )
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"[]")
        problem(all_of(connection), 422)


def test_a_head_that_trickles_is_cut_off(door, monkeypatch):
    monkeypatch.setattr(serve, "_IDLE", 0.3)
    with connected(door) as connection:
        said = trickle(connection, f"GET /health HTTP/1.1\r\nX: {MARK * 1000}")
        assert said == ""  # not even an answer
    with connected(door) as connection:  # after a request, too
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert trickle(connection, f"GET /health HTTP/1.1\r\nX: {MARK * 1000}").count("HTTP/1.1") == 1


def test_a_body_that_trickles_is_cut_off(door, monkeypatch):
    monkeypatch.setattr(body, "SECONDS", 0.3)
    monkeypatch.setattr(serve, "_LINGER", 0.1)
    with connected(door) as connection:
        connection.sendall(f"{HEAD}Content-Length: 100000\r\n\r\n".encode())
        assert "did not come within" in problem(trickle(connection, MARK * 1000), 408)["detail"]


def trickle(connection, text):
    """Send it byte by byte until the server closes; what it said."""
    connection.settimeout(0.02)
    said = ""
    for byte in text.encode():
        with contextlib.suppress(TimeoutError):
            try:
                connection.sendall(bytes([byte]))
                part = connection.recv(65_536)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                return said
            if not part:
                return said
            said += part.decode("latin-1")
    raise AssertionError("it took all of it")


def test_many_slow_ones_keep_nobody_waiting(door):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(connected(door))
            slow.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert door.get("/health", token=None).status_code == 200


def test_a_connection_that_asks_for_nothing_is_closed_and_one_that_has_asked_stays(door, monkeypatch):
    monkeypatch.setattr(serve, "_FIRST", 0.3)
    with connected(door) as asked, connected(door) as silent, connected(door) as slow:
        asked.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.recv(65_536).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        assert all_of(silent) == all_of(slow) == ""
        asked.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.recv(65_536).startswith(b"HTTP/1.1 200 ")
