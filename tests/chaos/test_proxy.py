"""Each way in which the proxy misbehaves."""

import contextlib
import socket
import threading

import pytest

from .proxy import Loop, Proxy


@pytest.fixture
def proxy():
    """In front of a server that answers every piece with itself."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection):
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(1000):
                connection.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    loop = Loop()
    proxy = Proxy(loop, server.getsockname()[1]).start()
    yield proxy
    proxy.stop()
    loop.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@contextlib.contextmanager
def client(proxy, patience=10.0):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience) as connection:
        yield connection


def echoed(connection, text=b"hello"):
    connection.sendall(text)
    found = b""
    while len(found) < len(text):
        piece = connection.recv(1000)
        if not piece:
            return None
        found += piece
    return found


def test_it_forwards(proxy):
    with client(proxy) as one, client(proxy) as two:
        assert echoed(one) == echoed(two) == b"hello"


def test_a_stall_loses_nothing(proxy):
    with client(proxy) as one:
        assert echoed(one)
        proxy.stalled = True
        one.sendall(b"later")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(5)
        proxy.calm()
        one.settimeout(10)
        assert one.recv(5) == b"later"


def test_a_cut_is_seen_at_once(proxy):
    with client(proxy) as one:
        assert echoed(one)
        proxy.cut()
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(5) == b""


def test_half_open_connections_stay_dead_and_new_ones_work(proxy):
    with client(proxy, 0.3) as one:
        assert echoed(one)
        proxy.half_open()
        proxy.calm()
        with pytest.raises(TimeoutError):
            echoed(one)
        with client(proxy) as two:
            assert echoed(two)


def test_deaf_loses_the_answers_and_refusing_the_connections(proxy):
    with client(proxy, 0.3) as one:
        proxy.deaf = True
        with pytest.raises(TimeoutError):
            echoed(one)
    proxy.calm()
    proxy.refusing = True
    with client(proxy) as two, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert echoed(two) is None


def test_a_trickle_is_whole_in_the_end(proxy):
    proxy.trickle = True
    with client(proxy) as one:
        assert echoed(one, b"x" * 700) == b"x" * 700
