"""What every test may use. Each tier has its own conftest for its own machinery."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "deploy" / "examples"


@pytest.fixture(autouse=True)
def _every_credential_is_read(monkeypatch):
    """A front door or a Flower that a test ran here must not spare the next test's settings."""
    monkeypatch.setattr(importlib.import_module("workers.settings.load"), "_spared", frozenset())


class SpoolErp:
    """An ERP that reads a spool folder and follows the rules of docs/erp.md."""

    def __init__(self, folder):
        self.folder = folder
        self.url = f"file://{folder}"

    def names(self):
        return sorted(path.name for path in self.folder.glob("*.json"))

    def messages(self):
        """(message, the order's document as it was written) of all files, the earliest change first."""
        found = []
        for name in self.names():
            text = (self.folder / name).read_text()
            found.append((json.loads(text), text.split(', "order": ', 1)[1].removesuffix("}")))
        return sorted(found, key=lambda one: one[0]["lastChange"] or "")

    def held(self, order_id):
        mine = [
            (message, document)
            for message, document in self.messages()
            if (message["account"], message["orderId"]) == ("store", order_id)
        ]
        for message, document in mine:
            if message["type"] == "order.canceled":
                return "canceled", document
        return (mine[-1][0]["order"]["status"], mine[-1][1]) if mine else None

    def told(self, order_id):
        return [
            message["type"]
            for message, _ in self.messages()
            if (message["account"], message["orderId"]) == ("store", order_id)
            and message["type"] != "order.ready"
        ]

    def orders(self):
        return {message["orderId"] for message, _ in self.messages()}


class HttpErp:
    """The receiver of deploy/examples, in a thread, and a look into its database."""

    def __init__(self, database, **options):
        self.database = database
        self.server = example("receiver").serve(0, str(database), **options)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/orders?tenant=7"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.server.RequestHandlerClass.erp.close()

    def rows(self, sql, *values):
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()

    def held(self, order_id):
        sql = "SELECT status, message FROM orders WHERE account = 'store' AND order_id = ?"
        rows = self.rows(sql, order_id)
        return (rows[0][0], rows[0][1].split(', "order": ', 1)[1].removesuffix("}")) if rows else None

    def told(self, order_id):
        sql = "SELECT type FROM cancellations WHERE account = 'store' AND order_id = ? ORDER BY last_change"
        return [kind for (kind,) in self.rows(sql, order_id)]

    def orders(self):
        return {order_id for (order_id,) in self.rows("SELECT order_id FROM orders")}


def example(name):
    """A module of deploy/examples."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spool_erp(tmp_path):
    """An empty spool folder."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return SpoolErp(folder)


@pytest.fixture
def receiver(tmp_path):
    """Starts a receiver, with a token or a secret of its own."""
    running = []

    def start(**options):
        running.append(HttpErp(tmp_path / f"received-{len(running)}.db", **options))
        return running[-1]

    yield start
    for erp in running:
        erp.close()


@pytest.fixture
def http_erp(receiver):
    """A receiver that runs."""
    return receiver()
