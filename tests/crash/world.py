"""One store, one ERP's database, one Redis database: as small as it gets, with short times."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from pathlib import Path
from typing import Any, Self

import redis

from tasks import base, command, feed, orders, upkeep
from workers import breaker, runtime, settings, telemetry
from workers.app import app, configuration
from workers.command_ledger import CommandLedger
from workers.ledger import Ledger
from workers.policy import Policy
from workers.runtime import Runtime
from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess

ACCOUNT, KEY, TOKEN = "teststore", "crash-app-key", "crash-app-token"
LEASE, PATIENCE = 0.6, 0.4  # seconds


class World:
    """``with World(folder, redis_url) as world``; the same one serves many lives, one after the other."""

    def __init__(self, folder: Path, redis_url: str, seed: int) -> None:
        self.folder, self._redis_url = folder, redis_url
        self.vtex = SandboxProcess(
            SandboxConfig(
                account=ACCOUNT,
                app_key=KEY,
                app_token=TOKEN,
                seed=seed,
                visibility_timeout=0.4,
                short_reads=False,
                marketplace_events=0.0,
                handling_delay=0.01,
                invoice_delay=0.01,
                invoicing_delay=0.01,
            )
        )

    def __enter__(self) -> Self:
        self.vtex.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.vtex.stop()

    def empty(self) -> None:
        """Forget in Redis what earlier lives left there."""
        with contextlib.closing(redis.Redis.from_url(self._redis_url)) as client:
            client.flushdb()

    def enter_process(self) -> Runtime:
        """What a worker process makes when it begins; for the forked one."""
        os.environ |= {
            "VTEX_ACCOUNT": ACCOUNT,
            "VTEX_APP_KEY": KEY,
            "VTEX_APP_TOKEN": TOKEN,
            "VTEX_BASE_URL": self.vtex.url,
            "VTEX_REQUESTS_PER_MINUTE": "100000",
            "ERP_URL": f"sqlite:///{self.folder / 'erp.db'}",
            "REDIS_URL": self._redis_url,
            "DATA_DIR": str(self.folder),
            "WORKER_CONCURRENCY": "4",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "ERROR",
        }
        loaded = dataclasses.replace(settings.load(), reconcile_min_age=0)
        app.conf.update(configuration(loaded))
        telemetry.set_up(loaded)
        process = Runtime(loaded)
        runtime.use(process)
        link = process.link(ACCOUNT)
        link.ledger.lease, link.ledger.patience = LEASE, PATIENCE
        # VTEX's client waits as long as ever; but a call of before this ledger began has ended after this time
        link.settings = dataclasses.replace(loaded, http_timeout=0.2)
        link.policy = Policy(base=0.02, longest=0.2)
        feed.EMPTY_READS = 1  # this store gives no short reads
        feed.LEASE_SECONDS = upkeep.LEASE_SECONDS = LEASE
        breaker.TELL_SECONDS = 0.0  # of every call, as time would make it another effect in each run
        base.PAUSE_SECONDS = command.PAUSE_SECONDS = orders.COMMIT_AGAIN_SECONDS = 0.1
        command.FOLLOW, command.WAIT = (0.02, 0.05), (0.05, 0.1)
        command.ABSENT_AFTER, command.ABSENT_GAP = 0.3, 0.1
        return process

    def settled(self, ledger: Ledger) -> bool:
        """Nothing is left to do."""
        audit = self.vtex.audit(per_order=False)
        counts, commands = ledger.counts(), CommandLedger(ledger).counts()
        return not (
            audit["events_pending"]
            or audit["stranded"]
            or ledger.waiting_acks()
            or counts.open
            or counts.parked
            or commands.open
            or commands.parked
            or ledger.redis.exists(ledger.key("ctell"))
        )

    # What came of it

    def in_erp(self, order: str) -> list[str]:
        """The status of the ERP's rows of that order."""
        return [
            status for (status,) in self._rows("SELECT status FROM vtex_orders WHERE order_id = ?", order)
        ]

    def told(self, order: str) -> list[str]:
        """What the ERP was told of it afterwards, sorted."""
        rows = self._rows("SELECT kind FROM vtex_order_events WHERE order_id = ?", order)
        return sorted(kind for (kind,) in rows)

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        path = self.folder / "erp.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as erp:
            try:
                return erp.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise
