"""The demo: the real system against the sandbox, with faults on, and a summary that is counted, not claimed.

Every number of the summary is read from the three sides when all is over: the stand-in VTEX's own audit, the
ERP's database, and the ledger.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import click
import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from workers import child, embedded, private, redis_address, settings, telemetry
from workers.ledger import Counts, Ledger
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import FaultPlan
from workers.sandbox.process import SandboxProcess
from workers.supervisor import Supervisor
from workers.vtex.states import DEFAULT_FEED_STATES

FAULTS = FaultPlan.parse("5xx=0.04,lost=0.03,cut=0.02,html=0.01,truncated=0.01,429=0.004,duplicates=0.1")
#: An order that has not arrived after so many seconds counts as lost.
PATIENCE = 180.0
WORKERS = 2
#: What the stand-in calls a fault, in words.
_FAULTS = {
    "lost_answer": "lost answers",
    "duplicate_event": "doubled events",
    "error_5xx": "server errors",
    "cut_before": "cut connections",
    "html_error": "web pages",
    "truncated_json": "torn answers",
    "error_429": "too many requests",
    "slow": "slow answers",
}
#: How the names of our settings begin.
OURS = (
    "VTEX_", "ERP_", "FEED_", "REDIS_", "DATA_DIR", "WORKER_", "FLOWER_", "RETRY_", "SWEEP_", "RECONCILE_",
    "HTTP_TIMEOUT", "TIMEZONE", "LOG_", "ACCOUNTS_", "ORDER_SCOPE", "SHADOW", "CHANGE_API",
    "WEB_", "HOOK_", "METRICS_", "ALARM_", "RETENTION_", "ALLOW_",
)  # fmt: skip


@dataclass(slots=True)
class Figures:
    """What the three sides say at the end."""

    audit: dict[str, Any]
    in_erp: int
    distinct_in_erp: int
    counts: Counts
    stats: dict[str, int]
    seconds: float

    def problems(self, orders: int) -> list[str]:
        """Every way in which an order did not arrive exactly once; empty is what we want."""
        audit = self.audit
        wrong = {
            f"{orders - self.distinct_in_erp} orders are not in the ERP": self.distinct_in_erp != orders,
            f"{self.in_erp - self.distinct_in_erp} orders are in the ERP twice": self.in_erp
            != self.distinct_in_erp,
            f"start handling had its effect {audit['start_handling_effects']} times": audit[
                "start_handling_effects"
            ]
            != orders,
            f"{audit['start_handling_more_than_once']} orders were handled twice": audit[
                "start_handling_more_than_once"
            ]
            > 0,
            f"{audit['early_commits']} events were committed too early": audit["early_commits"] > 0,
            f"{audit['events_pending']} events are still in the feed": audit["events_pending"] > 0,
            f"{self.counts.dead} orders are dead": self.counts.dead > 0,
        }
        return [problem for problem, is_so in wrong.items() if is_so]


@dataclass(slots=True)
class Demo:
    """One run; :meth:`run` returns the exit code."""

    orders: int
    seed: int
    folder: Path
    keep: bool
    as_json: bool = False
    console: Console = field(default_factory=Console)
    _finished: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Start everything, watch it, sum up, leave nothing running."""
        if self.as_json:
            self.console = Console(stderr=True)
        folder = self.folder.absolute()
        with embedded.lock_data_dir(folder) as lock, Supervisor(spawn=self._spawner(folder)) as supervisor:
            _empty(folder)
            with ExitStack() as stack:
                say = self.console.print
                say(f"[bold]{self.orders} orders[/bold] wait in the feed of a stand-in VTEX that misbehaves.")
                vtex = stack.enter_context(SandboxProcess(self._sandbox()))
                _environment(folder, vtex.url, _free_port())
                valkey = stack.enter_context(embedded.Embedded(folder, lock=lock))
                stack.enter_context(child.take_along())
                os.environ["REDIS_URL"] = valkey.url
                loaded = settings.load()
                log = io.TextIOWrapper(_log(folder), encoding="utf-8", line_buffering=True)
                telemetry.set_up(loaded, stream=stack.enter_context(log))
                supervisor.watch(valkey.alive, valkey.restart)
                me = [sys.executable, "-m", "workers.cli"]
                for n in range(1, WORKERS + 1):
                    supervisor.add(f"worker {n}", [*me, "worker", "--name", f"worker{n}"])
                supervisor.add("beat", [*me, "beat"], stage=0)
                supervisor.add("flower", [*me, "flower"], grace=5)
                ledger = Ledger(
                    stack.enter_context(closing(redis_address.connect(loaded))), vtex.config.account
                )
                outcome: list[Figures] = []
                watcher = threading.Thread(
                    target=self._watch, args=(vtex, ledger, folder / "erp.db", loaded.flower_port, outcome)
                )
                watcher.start()
                supervisor.run()
                self._finished.set()
                watcher.join()
        if not outcome:
            say("Stopped before the end.")
            return 1
        problems = outcome[0].problems(self.orders)
        if self.as_json:
            document = {"ok": not problems, "orders": self.orders, "problems": problems} | asdict(outcome[0])
            click.echo(json.dumps(document, ensure_ascii=False))
        return 1 if problems else 0

    def _sandbox(self) -> SandboxConfig:
        return SandboxConfig(
            account="demostore",
            seed=self.seed,
            orders=self.orders,
            latency=0.05,
            faults=FAULTS,
            visibility_timeout=4,
            feed_states=DEFAULT_FEED_STATES,
            retry_after=1.0,
        )

    def _spawner(self, folder: Path) -> Any:
        """Children write to a file, so that the terminal shows the demo alone."""

        def spawn(argv: Any, *, env: Any = None) -> Any:
            with _log(folder) as log:
                return child.spawn(argv, env=env, cwd=folder, stdout=log, stderr=log)

        return spawn

    def _watch(
        self, vtex: SandboxProcess, ledger: Ledger, database: Path, flower: int, outcome: list[Figures]
    ) -> None:
        """In a thread of its own: show progress, sum up, then ask the supervisor to stop."""
        started = time.monotonic()
        try:
            if self._progress(ledger, started):
                figures = _figures(vtex, ledger, database, time.monotonic() - started)
                outcome.append(figures)
                _summary(self.console, self.orders, figures, database, flower if self.keep else None)
                if self.keep:
                    self._finished.wait()
        finally:
            if not self._finished.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    def _progress(self, ledger: Ledger, started: float) -> bool:
        """Until every order has ended, or patience has; False when somebody stopped the demo."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            seen = progress.add_task("read from the feed", total=self.orders)
            erp = progress.add_task("in the ERP", total=self.orders)
            handled = progress.add_task("start handling", total=self.orders)
            done = progress.add_task("acknowledged", total=self.orders)
            while time.monotonic() - started < PATIENCE:
                try:
                    counts, stats = ledger.counts(), ledger.stats()
                    waiting = ledger.waiting_acks()
                except redis.RedisError as error:
                    logging.getLogger(__name__).warning("no progress to show: %s", type(error).__name__)
                else:
                    ended = counts.done + counts.ignored + counts.dead
                    progress.update(seen, completed=ended + counts.open + counts.parked)
                    progress.update(erp, completed=stats.get("delivered", 0))
                    progress.update(handled, completed=stats.get("handled", 0))
                    progress.update(done, completed=ended)
                    if ended >= self.orders and not counts.open and not counts.parked and not waiting:
                        return True
                if self._finished.wait(0.2):
                    return False
        return True


def _figures(vtex: SandboxProcess, ledger: Ledger, database: Path, seconds: float) -> Figures:
    deadline = time.monotonic() + 60
    audit = vtex.audit(per_order=False)
    while audit["events_pending"] and time.monotonic() < deadline:  # doubles of events that are still hidden
        time.sleep(0.3)
        audit = vtex.audit(per_order=False)
    with closing(sqlite3.connect(database)) as erp:
        rows, distinct = erp.execute("SELECT count(*), count(DISTINCT order_id) FROM vtex_orders").fetchone()
    return Figures(audit, rows, distinct, ledger.counts(), ledger.stats(), seconds)


def _summary(console: Console, orders: int, figures: Figures, database: Path, flower: int | None) -> None:
    audit, stats = figures.audit, figures.stats
    table = Table(show_header=False, box=None, padding=(0, 2))
    handled_once = audit["start_handling_effects"] - audit["start_handling_more_than_once"]
    given = sorted(audit["faults"].items(), key=lambda fault: -fault[1])
    faults = ", ".join(f"{count} {_FAULTS.get(kind, kind)}" for kind, count in given) or "not at all"
    table.add_row("Orders in the feed", f"{orders}", f"in {audit['events_created']} events")
    table.add_row("In the ERP", f"{figures.distinct_in_erp}", "each once")
    table.add_row("Start handling at VTEX", f"{handled_once}", "each once")
    table.add_row(
        "Acknowledged", f"{audit['events_committed']} events", f"{audit['early_commits']} too early"
    )
    table.add_row("VTEX misbehaved", f"{sum(audit['faults'].values())} times", faults)
    table.add_row(
        "Absorbed", f"{stats.get('retries', 0)} retries", f"{stats.get('duplicates', 0)} repeated events"
    )
    table.add_row("Time", f"{figures.seconds:.1f} s", f"{orders / figures.seconds:.0f} orders/s")
    console.print(table)
    problems = figures.problems(orders)
    for problem in problems:
        console.print(f"[red]WRONG:[/red] {problem}")
    if not problems:
        console.print("[green]Every order arrived exactly once.[/green]")
    console.print(f"\nThe ERP's database:  {database}", soft_wrap=True)
    console.print("  its orders:        SELECT order_id, status, received_at FROM vtex_orders")
    console.print(f"The log:             {database.with_name('log.jsonl')}", soft_wrap=True)
    if flower:
        console.print(f"Flower:              http://127.0.0.1:{flower}\nCtrl-C ends it.", soft_wrap=True)


def _empty(folder: Path) -> None:
    """Remove an earlier demo's files, and nothing else: a folder that no demo made must be empty."""
    mark = folder / ".vtexorders-demo"
    if not mark.exists() and {path.name for path in folder.iterdir()} - {"lock"}:
        raise click.UsageError(f"{folder} has files that no demo made: name an empty folder, or a new one")
    os.close(private.open_own(mark, os.O_WRONLY | os.O_CREAT))
    shutil.rmtree(folder / "valkey", ignore_errors=True)
    for name in ("erp.db", "erp.db-wal", "erp.db-shm", "log.jsonl"):
        (folder / name).unlink(missing_ok=True)


def _log(folder: Path) -> IO[bytes]:
    return os.fdopen(private.open_own(folder / "log.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


def _environment(folder: Path, vtex_url: str, flower_port: int) -> None:
    """The demo's settings, and none of the settings of a real store that may be lying around."""
    os.chdir(folder)  # a .env of the working directory does not count here
    for name in list(os.environ):
        if name.startswith(OURS):
            del os.environ[name]
    os.environ.update(
        VTEX_ACCOUNT="demostore",
        VTEX_APP_KEY="key",
        VTEX_APP_TOKEN="token",  # noqa: S106 - the stand-in's
        VTEX_BASE_URL=vtex_url,
        ERP_URL="sqlite:///erp.db",
        DATA_DIR=str(folder),
        FEED_POLL_SECONDS="1",
        SWEEP_SECONDS="2",
        FLOWER_PORT=str(flower_port),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
