"""A password of PostgreSQL goes to another machine only by TLS, and only to who it should be (P8).

Nothing here is another machine, so libpq is told what it would be told for one, and is led here by ``hostaddr``.
"""

import contextlib
import shutil
import socket
import socketserver
import threading

import pytest
import sqlalchemy as sa

from workers import errors
from workers.erp import sql_engine, sql_tls
from workers.erp.contract import delivery
from workers.erp.sql import SqlSink

from .test_sql_postgresql import SERVER, erp, server  # noqa: F401 - fixtures
from .tls import Terminator

ELSEWHERE = "postgresql+psycopg://erp:canary-password@erp.example/erp"


def opened(url, port):
    """The sink of an address on another machine, which is port ``port`` here."""
    told = sql_tls.options(sql_engine.parse(url), lambda _host: False, {})
    here = sql_engine.parse(url).set(port=port).update_query_dict({"hostaddr": "127.0.0.1"})
    return SqlSink(sql_engine.PostgreSQL(here, 1, told))


@pytest.fixture
def whoever_answers():
    """A server without TLS that asks for the password, as anybody's could; its port and all that it was told."""
    heard = []

    class Asks(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                self.request.settimeout(10)
                while data := self.request.recv(4096):
                    heard.append(data)
                    if len(data) == 8:  # it asks for TLS, or for GSSAPI
                        self.request.sendall(b"N")
                    else:  # authentication by a password in clear
                        self.request.sendall(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Asks) as asks:
        thread = threading.Thread(target=asks.serve_forever, args=(0.05,))
        thread.start()
        yield asks.server_address[1], heard
        asks.shutdown()
        thread.join()


def test_who_answers_without_tls_gets_nothing(whoever_answers):
    port, heard = whoever_answers
    sink = opened(ELSEWHERE, port)
    with contextlib.closing(sink), pytest.raises(errors.AccessDenied, match="SSL"):
        sink.check()
    assert heard
    assert b"canary-password" not in b"".join(heard)
    assert b"erp" not in b"".join(heard)


def agrees(connection):
    """PostgreSQL's own beginning of TLS (its documentation, "SSL Session Encryption")."""
    while True:
        asked = connection.recv(8, socket.MSG_WAITALL)
        if asked == bytes.fromhex("0000000804d2162f"):
            connection.sendall(b"S")
            return
        connection.sendall(b"N")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates; it is not here")
def test_orders_go_to_whom_the_certificate_names(certificate, erp):  # noqa: F811 - the fixture
    url = sa.make_url(erp.role("GRANT CREATE ON SCHEMA public TO {role}")).set(host="erp.example")
    behind = sa.make_url(SERVER)
    key, crt = certificate("DNS:erp.example")
    other_key, other = certificate("DNS:another.example")
    for of_server, signers, good in (
        ((key, crt), crt, True),
        ((key, crt), other, False),  # nobody whom we trust signed it
        ((other_key, other), other, False),  # signed by whom we trust, for another host
    ):
        named = url.update_query_dict({"sslrootcert": str(signers)}).render_as_string(hide_password=False)
        terminator = Terminator((behind.host, behind.port or 5432), *of_server, before=agrees)
        with (
            terminator.running() as port,
            contextlib.closing(opened(named, port)) as sink,
        ):
            if good:
                sink.deliver(delivery())
                assert len(erp.orders()) == 1
            else:
                with pytest.raises(errors.AccessDenied, match="certificate"):
                    sink.check()
