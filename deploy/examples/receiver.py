"""An ERP's side of the HTTP sink, small and complete: takes each order once, whatever is repeated or comes late.

    python receiver.py --port 8700 --database erp.db

and for the workers ``ERP_URL=http://127.0.0.1:8700/orders``. ``ERP_TOKEN`` and ``ERP_SIGNING_SECRET`` are checked
when they are set here too. It needs nothing but Python; in your ERP the same few rules go into your language.
"""
# ruff: noqa: INP001

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS orders (
        account TEXT, order_id TEXT, status TEXT, last_change TEXT, message TEXT, PRIMARY KEY (account, order_id)
    );
    CREATE TABLE IF NOT EXISTS cancellations (
        account TEXT, order_id TEXT, type TEXT, last_change TEXT, PRIMARY KEY (account, order_id, type, last_change)
    );
"""
CANCELED = "canceled"


class Erp:
    """A database with two tables: orders, and what was said about canceling them."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._database.executescript(TABLES)
        self._one_at_a_time = threading.Lock()

    def take(self, message: dict[str, Any], text: str) -> None:
        """Return when it is on the disk. Taking it again changes nothing."""
        whose = message["account"], message["orderId"]
        kind, change = message["type"], message["lastChange"] or ""
        with self._one_at_a_time, self._database as erp:  # commits at the end, rolls back on an error
            erp.execute("BEGIN IMMEDIATE")
            row = erp.execute(
                "SELECT status, last_change FROM orders WHERE account = ? AND order_id = ?", whose
            ).fetchone()
            status, known = row or ("", None)
            # The three rules: canceled is final; it wins; otherwise the later document does.
            final = status == CANCELED
            newer = known is None or change > known or kind == "order.canceled"
            if newer and not final:
                status = CANCELED if kind == "order.canceled" else message["order"].get("status", "")
                erp.execute("REPLACE INTO orders VALUES (?, ?, ?, ?, ?)", (*whose, status, change, text))
            if kind == "order.canceled" and final:
                return  # it was said before
            if kind != "order.ready":
                erp.execute("INSERT OR IGNORE INTO cancellations VALUES (?, ?, ?, ?)", (*whose, kind, change))

    def close(self) -> None:
        """Let whoever is storing an order finish, and let go of the file."""
        with self._one_at_a_time:
            self._database.close()


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Check the signature, and that it is not older than five minutes."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    timestamp = headers.get("webhook-timestamp", "")
    content = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")  # several while a secret is being changed
    recent = timestamp.isdigit() and abs(time.time() - int(timestamp)) <= 300  # noqa: PLR2004
    return recent and any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


class Handler(BaseHTTPRequestHandler):
    """Answers 200 once the order is stored, and says why when it is not."""

    protocol_version = "HTTP/1.1"  # connections stay open
    wbufsize = -1  # the answer in one piece: in two it would take 40 ms longer
    erp: Erp
    token = secret = ""

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        given = headers.get("authorization", "")
        if self.token and not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            self.answer(401, "the token is not ours")
        elif self.secret and not is_signed(self.secret, headers, body):
            self.answer(401, "the signature is not valid")
        else:
            try:
                message = json.loads(body)
                if not str(message["type"]).startswith("order."):
                    self.answer(200, "not for us")  # a type that comes later must not stop the orders
                    return
                self.erp.take(message, body.decode())
            except (ValueError, KeyError, TypeError, AttributeError):
                self.answer(400, "not a message about an order")
            except sqlite3.Error:
                self.answer(503, "the database is busy")  # it comes again
            else:
                self.answer(200, "stored")

    def do_OPTIONS(self) -> None:
        """Say that we are here: ``vtexorders check`` asks."""
        self.answer(200, "POST orders here")

    def answer(self, status: int, words: str) -> None:
        """Answer in JSON."""
        content = json.dumps({"message": words}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Allow", "POST, OPTIONS")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


class Server(ThreadingHTTPServer):
    """A thread a connection; the workers keep theirs open."""

    daemon_threads = True
    request_queue_size = 128


def serve(port: int, database: str, token: str = "", secret: str = "") -> Server:
    """Make the server; its ``serve_forever()`` runs it."""
    handler = type("Bound", (Handler,), {"erp": Erp(database), "token": token, "secret": secret})
    return Server(("127.0.0.1", port), handler)


def main() -> None:
    """Run until Ctrl-C."""
    arguments = argparse.ArgumentParser(description="Takes orders by HTTP into an SQLite file.")
    arguments.add_argument("--port", type=int, default=8700)
    arguments.add_argument("--database", default="erp.db")
    given = arguments.parse_args()
    token, secret = os.environ.get("ERP_TOKEN", ""), os.environ.get("ERP_SIGNING_SECRET", "")
    with serve(given.port, given.database, token, secret) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/orders\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
