"""The port that answers Prometheus and the platform: who says nothing, or says it slowly, is sent away."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
import urllib.request

import pytest

from workers.heartbeat import Health
from workers.monitor import server as server_module
from workers.monitor.server import Server


@pytest.fixture
def port(_settings):
    """A running server's port."""
    server = Server(
        dataclasses.replace(_settings, metrics_port=0), lambda: Health("one", "beat", 1, True, True, "")
    )
    server.start()
    yield server.server_address[1]
    server.stop()


def lives(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
        return answer.status


def drip(connection):
    for _ in range(300):
        connection.sendall(b"y")
        time.sleep(0.1)


def test_a_head_that_drips_ends(port, monkeypatch):
    monkeypatch.setattr(server_module, "PATIENCE", 1.0)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # it is closed
            drip(slow)
    assert lives(port) == 200


def test_of_too_many_silent_connections_the_first_are_sent_away(port):
    with contextlib.ExitStack() as open_:
        silent = [
            open_.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(2 * server_module.MOST)
        ]
        assert lives(port) == 200
        assert {one.recv(1) for one in silent[: server_module.MOST]} == {b""}
        silent[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert silent[-1].recv(12) == b"HTTP/1.0 200"
