"""An ERP: takes orders in the way that it likes, and remembers what it was given and told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from aiohttp import web

from .proxy import Loop


class SqliteErp:
    """A database that the workers write into."""

    faults = ("erp locked",)

    def __init__(self, folder: Path, _loop: Loop) -> None:
        self._path = folder / "erp.db"
        self.url = f"sqlite:///{self._path}"
        self.repeats = 0  # a repeat leaves no trace in a table
        self._order_row = self._event_row = 0
        self._values: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._locks: list[sqlite3.Connection] = []

    def look(self) -> None:
        """Take what is new."""
        for row, order, value in self._rows(
            "SELECT rowid, order_id, json_extract(document, '$.value') FROM vtex_orders WHERE rowid > ?",
            self._order_row,
        ):
            self._order_row = max(self._order_row, row)
            self._values[order] = value
        for row, kind, document in self._rows(
            "SELECT rowid, kind, document FROM vtex_order_events WHERE kind LIKE 'command%' AND rowid > ?",
            self._event_row,
        ):
            self._event_row = max(self._event_row, row)
            self._told[json.loads(document)["id"]] = kind

    @property
    def values(self) -> dict[str, int]:
        """The orders' values, in cents."""
        return self._values

    @property
    def told(self) -> dict[str, str]:
        """How commands ended, by their ids: command.done or command.refused."""
        return self._told

    def orders(self) -> dict[str, str]:
        """The orders and their status."""
        return dict(self._rows("SELECT order_id, status FROM vtex_orders"))

    def times(self) -> dict[str, int]:
        """How many orders the ERP made out of each."""
        rows = self._rows("SELECT order_id, count(*) FROM vtex_orders GROUP BY order_id")
        return {order: int(count) for order, count in rows}

    def personal(self, order: str) -> list[str]:
        """What must show in no log: the customer of that order."""
        [(document,)] = self._rows("SELECT document FROM vtex_orders WHERE order_id = ?", order)
        return customer(json.loads(document))

    def lock(self) -> bool:
        """Hold the database's one writer's place; False when that cannot be had soon."""
        if not self._path.exists():
            return False
        held = sqlite3.connect(self._path, timeout=1, isolation_level=None)
        try:
            held.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # a frozen worker holds it
            held.close()
            return False
        self._locks.append(held)
        return True

    def mend(self) -> None:
        while self._locks:
            self._locks.pop().close()

    def close(self) -> None:
        self.mend()

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as erp:
            try:
                return erp.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise


class HttpErp:
    """An endpoint that the workers post to. It makes one order of each Idempotency-Key, as a plain ERP would."""

    faults = ("erp answers 500", "erp keeps silent", "erp's answers get lost")

    def __init__(self, _folder: Path, loop: Loop) -> None:
        self.mode = ""
        self.asked = 0
        self.repeats = 0
        self._loop = loop
        self._lock = threading.Lock()
        self._made: dict[str, set[str]] = defaultdict(set)
        self._documents: dict[str, dict[str, Any]] = {}
        self._status: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self.url = f"http://127.0.0.1:{loop.call(self._start())}/orders"

    def look(self) -> None:
        """It comes by itself."""

    @property
    def values(self) -> dict[str, int]:
        with self._lock:
            return {order: document["value"] for order, document in self._documents.items()}

    @property
    def told(self) -> dict[str, str]:
        with self._lock:
            return dict(self._told)

    def orders(self) -> dict[str, str]:
        with self._lock:
            return dict(self._status)

    def times(self) -> dict[str, int]:
        with self._lock:
            return {order: max(1, len(self._made[order])) for order in self._status}

    def personal(self, order: str) -> list[str]:
        return customer(self._documents[order])

    def mend(self) -> None:
        self.mode = ""

    def close(self) -> None:
        self._loop.call(self._runner.cleanup())

    async def _start(self) -> int:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_post("/orders", self._post)
        app.router.add_route("OPTIONS", "/orders", self._options)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def _options(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=503 if self.mode == "500" else 200, headers={"Allow": "POST, OPTIONS"})

    async def _post(self, request: web.Request) -> web.Response:
        self.asked += 1
        message = json.loads(await request.read() or b"{}")
        if self.mode == "500":
            return web.Response(status=500)
        if self.mode == "silent":
            while self.mode == "silent":  # noqa: ASYNC110 - another thread ends it
                await asyncio.sleep(0.2)
            return web.Response(status=503)
        self._take(message, request.headers["Idempotency-Key"])
        if self.mode == "lost" and request.transport is not None:
            request.transport.abort()
        return web.Response(text="stored")

    def _take(self, message: dict[str, Any], key: str) -> None:
        kind, order = message["type"], message["orderId"]
        with self._lock:
            if kind.startswith("command."):
                self.repeats += message["command"]["id"] in self._told
                self._told[message["command"]["id"]] = kind
                return
            if kind == "order.ready":
                self.repeats += key in self._made[order]
                self._made[order].add(key)
            if self._status.get(order) != "canceled":
                self._documents[order] = message["order"]
                self._status[order] = (
                    "canceled" if kind == "order.canceled" else message["order"].get("status", "")
                )


def customer(document: dict[str, Any]) -> list[str]:
    """What an order's document says of its customer: numbers and addresses, long enough to be found in a text."""
    profile = document.get("clientProfileData") or {}
    found = [profile.get(name) for name in ("email", "document", "phone", "corporateDocument")]
    return [value for value in found if isinstance(value, str) and len(value) > 6]


ERPS = {"sqlite": SqliteErp, "http": HttpErp}
