"""Personal data goes when it must: one order on request, old ones by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time

import pytest
from click.testing import CliRunner

from workers.cli import console
from workers.command_ledger import CommandLedger
from workers.erp.sink import ORDER_READY, Delivery, Forgetful, open_sink


def _forget(order):
    return CliRunner().invoke(console, ["forget", order, "--yes"])


def _delivery(order="1-01", name="Zé Ninguém"):
    document = json.dumps({"orderId": order, "clientProfileData": {"firstName": name}})
    return Delivery(
        ORDER_READY, "teststore", order, "ready-for-handling", "2026-01-01T00:00:00.0000000Z", document
    )


def test_one_order_is_erased_everywhere_on_request(flow, monkeypatch, tmp_path):
    run = flow(orders=2)
    run.settled(events=2)
    (one, _), (other, _) = run.rows()
    monkeypatch.setenv("VTEX_BASE_URL", run.vtex.url)
    monkeypatch.setenv("ERP_URL", f"sqlite:///{run.erp}")
    monkeypatch.chdir(tmp_path)
    book = CommandLedger(run.ledger)
    book.accept([("c1", "cancel", one, {"reason": "Zé pediu"}, "f")])
    busy = _forget(one)
    assert busy.exit_code == 1
    assert "in progress" in busy.output
    book.finish(book.claim("c1", "t"), "refused", {"why": "x"}, "x")
    done = _forget(one)
    assert done.exit_code == 0, done.output
    assert "1 command(s)" in done.output
    assert "1 row(s) of vtex_orders" in done.output
    assert run.rows() == [(other, run.rows()[0][1])]
    assert run.ledger.record(one).timeline == []
    assert book.record("c1") is None
    assert [key for key in run.redis.scan_iter("*") if one in key] == [run.ledger.key(f"o:{one}")]
    unknown = CliRunner().invoke(console, ["forget", "9999-01", "--yes", "--json"])
    assert unknown.exit_code == 1
    assert json.loads(unknown.stdout)["record"] is False
    # what is left is enough to tell the ERP of a cancellation, without the customer
    run.vtex.move(one, "canceled")
    run.until(lambda: run.told(one) == ["order.canceled"], "the cancellation")
    [(document,)] = run._query(f"SELECT document FROM vtex_orders WHERE order_id = '{one}'")
    assert set(json.loads(document)) == {"orderId", "status", "lastChange"}


@pytest.mark.parametrize("kind", ["sqlite", "spool"])
def test_old_documents_are_emptied_and_young_ones_stay(kind, tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    sink = open_sink(f"sqlite:///{tmp_path / 'erp.db'}" if kind == "sqlite" else f"file://{folder}")
    assert isinstance(sink, Forgetful)
    with contextlib.closing(sink):
        sink.deliver(_delivery("1-01"))
        sink.deliver(_delivery("2-01"))
        if kind == "sqlite":
            with contextlib.closing(sqlite3.connect(tmp_path / "erp.db")) as db, db:
                db.execute(
                    "UPDATE vtex_orders SET received_at = '2020-01-01T00:00:00.0000000Z' WHERE order_id = '1-01'"
                )
        else:
            [old] = folder.glob("*1-01*")
            os.utime(old, (1, 1))
        assert sink.expire(time.time() - 86400) == 1
        assert sink.expire(time.time() - 86400) == 0
        sink.deliver(_delivery("1-01"))
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(tmp_path / "erp.db")) as db:
            rows = dict(db.execute("SELECT order_id, document FROM vtex_orders"))
            statuses = dict(db.execute("SELECT order_id, status FROM vtex_orders"))
        assert statuses["2-01"] == "ready-for-handling"
        assert "Zé" in json.loads(rows["2-01"])["clientProfileData"]["firstName"]
        assert set(rows) == {"1-01", "2-01"}
    else:
        assert [path.name for path in folder.glob("*.json")] == ["teststore-2-01-order.ready.json"]


def test_the_payload_of_a_dead_command_expires(flow):
    run = flow()
    book = CommandLedger(run.ledger)
    book.accept([("c1", "invoice", "1-01", {"embeddedInvoice": "CPF 123.456.789-09"}, "f")])
    book.finish(book.claim("c1", "t"), "dead", {"why": "72 h"}, "given up")
    assert book.expire(run.ledger.now() - 10) == 0
    assert book.expire(run.ledger.now() + 10) == 1
    assert book.record("c1").payload == {}
    assert book.dead() == []
