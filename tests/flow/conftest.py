"""Flow tests: the stand-in VTEX as a process, a real Valkey, and a real Celery worker in a thread of this process.

Times are short and nothing sleeps for a fixed time: a test sends the ticks that beat would send, until what it
waits for has come.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import logging
import sqlite3
import time
import warnings

import pytest
import redis

from workers import breaker, runtime, settings, telemetry
from workers.embedded import Embedded
from workers.runtime import Runtime
from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess

DEADLINE = 60.0  # seconds; no test measures time, it only must not wait for ever
ACCOUNT, KEY, TOKEN = "teststore", "flow-app-key", "flow-app-token"
TICKS = ("feed.poll", "orders.ack", "upkeep.sweep", "upkeep.probe")
#: Every test has orders of its own, so that a message of an earlier one finds nothing.
_seeds = itertools.count(1000)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory):
    """The URL of a server that the session's tests share, with the embedded configuration."""
    with Embedded(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def fresh_redis(valkey):
    """A client on the shared server, which is empty now."""
    with contextlib.closing(redis.Redis.from_url(valkey, decode_responses=True)) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def _settings(valkey, tmp_path_factory):
    """Settings from an environment as an operator would make it."""
    folder = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "VTEX_ACCOUNT": ACCOUNT,
            "VTEX_APP_KEY": KEY,
            "VTEX_APP_TOKEN": TOKEN,
            "VTEX_BASE_URL": "http://127.0.0.1:9",
            "ERP_URL": f"sqlite:///{folder / 'erp.db'}",
            "REDIS_URL": valkey,
            "DATA_DIR": str(folder),
            "WORKER_CONCURRENCY": "8",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
        }.items():
            patch.setenv(name, value)
        yield settings.load()


@pytest.fixture(scope="session", autouse=True)
def _configured(_settings):
    """The application publishes to the session's own server, whatever another test's first use made it know."""
    from workers.app import app, configuration

    app.conf.update(configuration(_settings))
    app.__dict__.pop("amqp", None)  # it keeps routes and connections
    app._pool = None


@pytest.fixture(scope="session")
def _worker(_settings, _configured):
    """A worker with its threads, for the whole session; it outlives every FLUSHALL between the tests."""
    from celery.contrib.testing.worker import start_worker

    import tasks.feed
    import tasks.orders
    import tasks.probe
    import tasks.upkeep
    import tasks.watch  # noqa: F401 - the worker's tasks
    from workers.app import app
    from workers.queues import QUEUES

    for task in app.tasks.values():
        task.acks_late = True  # bound at the app's first use, which may have been a unit test's
    before = logging.getLogger().handlers[:]
    runtime.use(Runtime(_settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with start_worker(
            app,
            pool="threads",
            concurrency=8,
            perform_ping_check=False,
            shutdown_timeout=30,
            queues=",".join(QUEUES),
            quiet=True,
        ):
            logging.getLogger().handlers[:] = before
            yield app
    runtime.use(None)
    app.pool.force_close_all()


class Flow:
    """One store with its stand-in VTEX, its ERP's database, and its ledger."""

    def __init__(self, app, process, vtex, erp, log) -> None:
        self.app, self.process, self.vtex, self.erp = app, process, vtex, erp
        self.link = process.link(ACCOUNT)
        self.ledger, self.redis = self.link.ledger, process.redis
        self._log = log

    # What beat does

    def tick(self, *names) -> None:
        """Send what beat sends."""
        for name in names or TICKS:
            self.app.send_task(name, kwargs={"account": ACCOUNT}, expires=5)

    def until(self, condition, what="what was expected", *, ticks=TICKS, seconds=DEADLINE):
        """The first truthy answer of ``condition``, with beat ticking."""
        deadline = time.monotonic() + seconds
        next_tick = 0.0
        while not (answer := condition()):
            now = time.monotonic()
            if now > deadline:
                pytest.fail(f"waited {seconds:.0f} s in vain for {what}\n{self._state()}")
            if ticks and now >= next_tick:
                self.tick(*ticks)
                next_tick = now + 0.15
            time.sleep(0.02)
        return answer

    def settled(self, *, events=None) -> dict:
        """Wait until no event waits in the feed and nothing is open; the stand-in's audit."""

        def over():
            counts = self.ledger.counts()
            if counts.open or counts.parked or self.ledger.waiting_acks():
                return None
            audit = self.vtex.audit()
            if audit["events_pending"] or (events and audit["events_committed"] < events):
                return None
            return audit

        return self.until(over, "an end")

    def idle(self) -> None:
        """Wait until the worker does nothing and has nothing to do."""
        from celery.worker import state

        def busy():
            at = [
                f"{request.name} {request.args} {request.kwargs}" for request in tuple(state.active_requests)
            ]
            return at + [f"{queue}: {n}" for queue in self._queues() if (n := self.redis.llen(queue))]

        deadline = time.monotonic() + DEADLINE
        while at := busy():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {DEADLINE:.0f} s in vain for an idle worker: {at}\n{self._state()}")
            time.sleep(0.02)

    # What the three sides say

    def rows(self) -> list[tuple[str, str]]:
        """(order id, status) of the ERP's orders."""
        return self._query("SELECT order_id, status FROM vtex_orders ORDER BY order_id")

    def told(self, order=None) -> list[str]:
        """The kinds of the ERP's events, the oldest first."""
        rows = self._query("SELECT order_id, kind FROM vtex_order_events ORDER BY occurred_at")
        return [kind for name, kind in rows if order in (None, name)]

    def _query(self, sql):
        if not self.erp.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.erp)) as erp:
            try:
                return erp.execute(sql).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def codes(self, order) -> list[str]:
        """What the ledger tells of an order."""
        record = self.ledger.record(order)
        return [entry.code for entry in record.timeline] if record else []

    def calls(self, part, method="") -> list[dict]:
        """The calls to VTEX whose path has that part."""
        calls = self.vtex.calls(last=10_000)["last"]
        return [call for call in calls if part in call["path"] and method in ("", call["method"])]

    def logs(self, message=None) -> list[dict]:
        """The log lines so far."""
        lines = [json.loads(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if message in (None, line["message"])]

    def fault(self, kind, path, method="", times=1, **plan) -> None:
        """The next calls to that path fail so."""
        step = {"kind": kind, "path": path, "method": method, "times": times}
        self.vtex.control("faults", {"script": [step]} | ({"faults": plan} if plan else {}))

    def unacked(self) -> list[list]:
        """The messages that the worker holds."""
        return [json.loads(message) for message in self.redis.hvals("unacked")]

    def _queues(self):
        return self.app.amqp.queues.consume_from

    def _state(self) -> str:
        records = {
            key.rpartition(":")[2]: self.redis.hgetall(key) for key in self.redis.scan_iter("vo:*:o:*")
        }
        audit = {name: value for name, value in self.vtex.audit().items() if value}
        return "\n".join(
            [str(self.ledger.counts()), str(records), str(audit), *self._log.getvalue().splitlines()[-30:]]
        )


@pytest.fixture
def flow(_worker, _settings, fresh_redis, tmp_path, monkeypatch):
    """``flow(orders=…, visibility_timeout=…, …)``: a whole small system on short times; ``also`` are settings."""
    from tasks import base, orders

    monkeypatch.setattr(runtime, "PROBE_SECONDS", 0.4)
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.4)
    monkeypatch.setattr(base, "PAUSE_SECONDS", 0.4)
    monkeypatch.setattr(orders, "COMMIT_AGAIN_SECONDS", 0.2)
    log = io.StringIO()
    before = logging.getLogger().handlers[:]
    with contextlib.ExitStack() as stack:
        stack.callback(logging.getLogger().handlers.__setitem__, slice(None), before)

        def begin(*, also=None, **options) -> Flow:
            config = {"short_reads": False, "marketplace_events": 0.0, "visibility_timeout": 5.0} | options
            vtex = stack.enter_context(
                SandboxProcess(
                    SandboxConfig(account=ACCOUNT, app_key=KEY, app_token=TOKEN, seed=next(_seeds), **config)
                )
            )
            account = dataclasses.replace(_settings.account(), base_url=vtex.url)
            erp = tmp_path / "erp.db"
            mine = dataclasses.replace(
                _settings, accounts={ACCOUNT: account}, erp_url=f"sqlite:///{erp}", http_timeout=5.0
            )
            mine = dataclasses.replace(mine, **(also or {}))
            telemetry.set_up(mine, stream=log)
            process = Runtime(mine)
            stack.callback(process.close)
            process.link(ACCOUNT).ledger.patience = 2.0
            process.link(ACCOUNT).ledger.lease = 5.0
            previous = runtime.current()
            runtime.use(process)
            stack.callback(runtime.use, previous)
            started = Flow(_worker, process, vtex, erp, log)
            stack.callback(started.idle)
            return started

        yield begin


class Erp:
    """An ERP that has only the broker's address and asks for things, and what must come of it."""

    TICKS = (*TICKS, "orders.tell")
    _keys = itertools.count(1)

    def __init__(self, run) -> None:
        from workers.command_ledger import CommandLedger

        self.run, self.book = run, CommandLedger(run.ledger)

    def ask(self, kind, order, payload=None, *, key=None, **more) -> str:
        """Send the command by its Celery name; its key."""
        key = key or f"key-{next(self._keys)}"
        kwargs = {"order_id": order, "key": key} | ({kind: payload} if payload is not None else {}) | more
        self.run.app.send_task(f"orders.{kind}", kwargs=kwargs, queue="celery")
        # two messages may overtake each other on their way; what is recorded has its place
        for _ in range(250):
            if self.book.record(key):
                break
            time.sleep(0.02)
        return key

    def end(self, key) -> tuple[str, dict]:
        """Its end: the state and the outcome."""

        def ended():
            record = self.book.record(key)
            return record if record and record.state in ("done", "refused", "dead") else None

        record = self.run.until(ended, f"the end of {key}: {self.book.record(key)}", ticks=self.TICKS)
        return record.state, record.outcome

    def waits(self, key, words) -> None:
        """Until it waits, and says why."""
        self.until(lambda: (r := self.book.record(key)) and r.waits and words in (r.error or ""), words)

    def says(self, key, words) -> None:
        """Until that is the last thing that it came upon."""
        self.until(lambda: (r := self.book.record(key)) and words in (r.error or ""), words)

    def until(self, condition, what):
        return self.run.until(condition, what, ticks=self.TICKS)

    def value(self, order) -> int:
        return self.run.link.vtex.get_order(order).details().value

    def invoice(self, order, number="9999", value=None, **more) -> dict:
        """An invoice in full, or of so many cents."""
        value = self.value(order) if value is None else value
        return {
            "type": "Output",
            "issuanceDate": "2026-01-31",
            "invoiceNumber": number,
            "invoiceValue": str(value),
            "items": [{"id": "1", "price": value, "quantity": 1}],
        } | more

    def facts(self, order) -> dict:
        return self.run.vtex.state(order)

    def never(self) -> dict:
        """What must never have happened, and did."""
        return {name: seen for name, seen in self.run.vtex.audit()["never"].items() if seen["count"]}


@pytest.fixture
def erp(flow, monkeypatch):
    """``erp(count, status=…, also=…, …)``: an ERP, and orders; the waits of commands are short."""
    from tasks import command

    for name, value in {
        "FOLLOW": (0.1, 0.2, 0.4),
        "WAIT": (0.2, 0.4, 0.8),
        "ABSENT_AFTER": 1.0,
        "ABSENT_GAP": 0.2,
        "PAUSE_SECONDS": 0.4,
    }.items():
        monkeypatch.setattr(command, name, value)

    def begin(count=1, status="handling", items=None, **options):
        run = flow(**options)
        run.redis.set(
            run.ledger.key("began"), run.ledger.now() - 7200
        )  # nothing that came before is forgotten
        return Erp(run), run.vtex.create(count, status=status, items=items)

    return begin
