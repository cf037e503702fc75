"""A sink of your own: puts orders into the tables of an ERP that only you know.

    MY_ERP_DATABASE=my-erp.db ERP_URL=python:my_erp:open_sink vtexorders up

The module lies in the working directory, or is installed. ``docs/erp.md`` tells the rules that a sink keeps and how
to test that it does; this one passes that test.
"""
# ruff: noqa: INP001

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from workers import errors
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, ORDER_READY, Delivery, SinkOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = """
    CREATE TABLE IF NOT EXISTS sales_orders (
        store TEXT, number TEXT, state TEXT, changed TEXT, customer TEXT, total_cents INTEGER, vtex TEXT,
        PRIMARY KEY (store, number)
    );
    CREATE TABLE IF NOT EXISTS stops (
        store TEXT, number TEXT, kind TEXT, at TEXT, PRIMARY KEY (store, number, kind, at)
    );
"""
#: What our ERP calls them.
NEW, ON_HOLD, VOID = "new", "on hold", "void"
STATES = {ORDER_READY: NEW, CANCELLATION_REQUESTED: ON_HOLD, CANCELED: VOID}


def open_sink(_options: SinkOptions) -> MyErp:
    """Give the workers their sink: they call this once a process and store.

    ``_options`` has ERP_TOKEN, ERP_SIGNING_SECRET, and a timeout. Whatever else a sink needs is its own business.
    """
    path = os.environ.get("MY_ERP_DATABASE")
    if not path:
        raise errors.Invalid("MY_ERP_DATABASE is missing: the file of the ERP's database")
    return MyErp(path)


class MyErp:
    """One object serves all threads of a process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._turn = threading.Lock()

    def deliver(self, delivery: Delivery) -> None:
        """Return when the ERP has it on disk; a repeat changes nothing."""
        if delivery.type not in STATES:
            return  # how a command ended: nothing that this ERP keeps
        order = json.loads(delivery.document)
        whose = delivery.account, delivery.order_id
        with self._transaction() as erp:
            row = erp.execute(
                "SELECT state, changed FROM sales_orders WHERE store = ? AND number = ?", whose
            ).fetchone()
            state, changed = row or (None, "")
            if state != VOID and (  # canceled is final, and may come first
                state is None or delivery.type == CANCELED or delivery.last_change > changed
            ):
                erp.execute(
                    "REPLACE INTO sales_orders VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*whose, STATES[delivery.type], delivery.last_change, *_facts(order), delivery.document),
                )
            if delivery.type == CANCELLATION_REQUESTED or (delivery.type == CANCELED and state != VOID):
                erp.execute(
                    "INSERT OR IGNORE INTO stops VALUES (?, ?, ?, ?)",
                    (*whose, delivery.type, delivery.last_change),
                )

    def check(self) -> None:
        """Raise, with one sentence, unless an order could be stored now."""
        with self._transaction() as erp:
            erp.execute("DELETE FROM sales_orders WHERE false")

    def close(self) -> None:
        """Nothing stays open between two deliveries."""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._turn, closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as erp:
                erp.executescript(TABLES)
                erp.execute("BEGIN IMMEDIATE")
                yield erp
                erp.execute("COMMIT")  # without it, closing rolls back
        except sqlite3.OperationalError as error:
            # Any other exception would do as well: all that is not one of workers.errors is tried again.
            raise errors.Unavailable(f"the ERP's database: {error}") from None


def _facts(order: dict[str, Any]) -> tuple[str | None, int | None]:
    """What our ERP wants to know; VTEX may leave anything out."""
    customer = order.get("clientProfileData") or {}
    return customer.get("email"), order.get("value")
