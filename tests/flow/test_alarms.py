"""From alarm to cause: each trouble is provoked for real, and the metric, the alarm, status and check say so."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from workers.cli import console
from workers.heartbeat import Heartbeat
from workers.monitor import readings
from workers.monitor.exporter import Exporter
from workers.monitor.watch import Watch
from workers.monitor.webhook import Webhook
from workers.settings import Secret

ACCOUNT = "teststore"


class Inbox(http.server.ThreadingHTTPServer):
    """Where the operator's alarms arrive."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                inbox.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = Secret(f"http://127.0.0.1:{self.server_port}/alarms?key=SECRETKEY")


class Operator:
    """What an operator has: Prometheus, alarms in a chat, and the console."""

    def __init__(self, store, watch, inbox, monkeypatch) -> None:
        self.store, self.watch, self.inbox = store, watch, inbox
        settings = store.process.settings
        for name, value in {
            "VTEX_BASE_URL": settings.account().base_url,
            "ERP_URL": settings.erp_url,
        }.items():
            monkeypatch.setenv(name, value)

    def metric(self, name, **labels) -> float | None:
        registry = CollectorRegistry()

        def read():
            reading = readings.read(self.store.redis, [self.store.ledger], self.store.process.settings)
            self.watch.show(reading)
            return reading

        registry.register(Exporter(read))
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    def hears(self, alarm, state="raised", *, ticks=True) -> dict:
        """Until that alarm came by POST."""

        def heard():
            self.watch.look()
            found = [one for one in self.inbox.got if one["alarm"] == alarm and one["state"] == state]
            assert len(found) <= 1, "each is told once"
            return found[0] if found else None

        options = {} if ticks else {"ticks": ()}
        return self.store.until(heard, f"{alarm} {state}; heard: {self.inbox.got}", **options)

    def status(self) -> tuple[dict, str]:
        """As a program and as a person reads it."""
        document = CliRunner().invoke(console, ["status", "--json"])
        text = CliRunner().invoke(console, ["status"])
        assert document.exit_code == text.exit_code == 0, (document.output, text.output)
        return json.loads(document.stdout), text.stdout

    def check(self) -> str:
        return CliRunner().invoke(console, ["check"]).stdout

    def sees(self, alarm, *, status, check) -> None:
        """The metric, status and check."""
        assert self.metric("vtexorders_alarm", alarm=alarm) == 1
        document, text = self.status()
        (found,) = [one for one in document["alarms"] if one["name"] == alarm]
        line = f"ALARM    {alarm.replace('_', ' ')}: {found['says']}\n         -> {found['do']}\n"
        assert line in text
        assert status in found["says"] + found["do"]
        assert check in self.check()
        lines = [*self.store.logs("alarm_raised"), *self.store.logs("condition")]
        assert len([one for one in lines if alarm in (one.get("alarm"), one.get("condition"))]) == 1


@pytest.fixture
def operator(flow, monkeypatch):
    """``operator(orders=…, also=…)``."""
    with contextlib.ExitStack() as stack:
        inbox = stack.enter_context(Inbox())
        thread = threading.Thread(target=inbox.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(inbox.shutdown)
        webhook = Webhook(inbox.url)
        stack.callback(webhook.close)

        def begin(**options) -> Operator:
            store = flow(**options)
            watch = Watch(store.redis, [store.ledger], store.process.settings, send=webhook)
            stack.callback(watch.stop)
            beats = Heartbeat(store.redis, "beat@here", [], kind="beat")
            beats.beat()
            stack.callback(beats.stop)
            works = Heartbeat(store.redis, "flow@here", list(store.app.amqp.queues))
            works.beat()
            stack.callback(works.stop)
            return Operator(store, watch, inbox, monkeypatch)

        yield begin


def test_wrong_credentials(operator):
    op = operator(orders=2)
    op.store.vtex.control("credentials", {"status": 401})
    told = op.hears("credentials_refused")
    assert told["severity"] == "critical"
    assert "401" in told["says"]
    assert op.metric("vtexorders_paused", scope="vtex", kind="access") == 1
    op.sees("credentials_refused", status="VTEX_APP_TOKEN", check="BAD   VTEX feed: refused: ")
    op.store.vtex.control("credentials", {"status": None})
    op.hears("credentials_refused", "cleared")
    assert op.metric("vtexorders_alarm", alarm="credentials_refused") == 0
    assert op.status()[0]["alarms"] == []


def test_the_feed_is_gone(operator):
    op = operator()
    op.store.link.vtex.delete_feed()
    op.hears("feed_gone")
    assert op.metric("vtexorders_feed_configured") == 0
    op.sees("feed_gone", status="vtexorders feed configure", check="BAD   VTEX feed: there is no feed")


def test_the_erp_is_down(operator, monkeypatch):
    op = operator(orders=40)

    def away(_delivery):
        from workers.errors import Unavailable

        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(op.store.link.sink, "deliver", away)
    monkeypatch.setattr(op.store.link.sink, "check", lambda: away(None))
    told = op.hears("erp_down")
    assert "the database cannot be reached" in told["says"]
    assert op.metric("vtexorders_paused", scope="erp", kind="breaker") == 1
    op.store.link.meter.flush()
    assert op.metric("vtexorders_erp_delivery_seconds_count", outcome="failed") >= 10
    op.sees("erp_down", status="start the ERP", check="look  pause: the ERP was paused")


def test_vtex_throttles(operator):
    op = operator(orders=2)
    op.store.fault("error_429", "/api/oms/pvt/orders", times=3)
    op.hears("vtex_throttles")
    assert op.metric("vtexorders_cool_down_seconds") > 0
    assert op.metric("vtexorders_cool_downs_total") == 1
    op.store.link.meter.flush()
    assert op.metric("vtexorders_vtex_requests_total", status="429") >= 1
    op.sees(
        "vtex_throttles", status="VTEX_REQUESTS_PER_MINUTE", check="look  vtex throttles: VTEX answered 429"
    )


def test_one_poison_order(operator, monkeypatch):
    from workers.errors import Rejected

    op = operator(orders=4)
    deliver, poison = op.store.link.sink.deliver, op.store.vtex.audit()["orders"]
    victim = []

    def refuse(delivery):
        victim[:] = victim or [delivery.order_id]
        if delivery.order_id == victim[0]:
            raise Rejected("the ERP does not know the product")
        deliver(delivery)

    monkeypatch.setattr(op.store.link.sink, "deliver", refuse)
    told = op.hears("orders_dead")
    assert told["says"].startswith("1 orders")
    assert op.metric("vtexorders_orders", state="dead") == 1
    op.sees("orders_dead", status="vtexorders dead", check="look  orders: 1 dead")
    op.store.settled()
    assert len(op.store.rows()) == poison - 1
    cause = CliRunner().invoke(console, ["dead"]).stdout  # the second command
    assert victim[0] in cause
    assert "the ERP does not know the product" in cause


def test_a_dead_worker(operator, tmp_path):
    op = operator()
    output = (tmp_path / "worker.log").open("wb")
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "METRICS_PORT": "0"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "worker", "--name", "victim", "--queues", "commands"],
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with output:
        try:
            (key,) = op.store.until(
                lambda: list(op.store.redis.scan_iter("vo:_:worker:victim@*")), "the worker", ticks=()
            )
            assert op.metric("vtexorders_workers") == 2
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        op.store.redis.expire(key, 1)  # as it would in twenty seconds
        op.hears("worker_dead", ticks=False)
    assert op.metric("vtexorders_workers") == 1
    assert op.metric("vtexorders_workers_lost") == 1
    op.sees("worker_dead", status="start them again", check="look  worker dead: 1 worker processes died")


def test_redis_is_full(operator):
    op = operator()
    used = int(op.store.redis.info("memory")["used_memory"])
    op.store.redis.config_set("maxmemory", used - 2**16)
    try:
        op.hears("redis_full", ticks=False)
        assert op.metric("vtexorders_redis_memory_ratio") > 1
        op.sees("redis_full", status="maxmemory", check="BAD   Redis: is 10")
    finally:
        op.store.redis.config_set("maxmemory", 0)
    op.hears("redis_full", "cleared")
    deadline = time.monotonic() + 30
    while op.status()[0]["alarms"]:
        assert time.monotonic() < deadline
        op.watch.look()


def test_an_alarm_shows_no_key_of_its_address(operator):
    op = operator()
    op.inbox.shutdown()
    op.inbox.server_close()
    op.store.link.vtex.delete_feed()
    op.store.until(lambda: op.watch.look() or op.store.logs("alarm_not_sent"), "a failure to tell")
    assert "SECRETKEY" not in json.dumps(op.store.logs())
