"""What Prometheus gets: counts of all processes once, facts of the ledger, and no name that breaks a convention."""

from __future__ import annotations

import re

import fakeredis
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from workers.conditions import Conditions, Fault
from workers.heartbeat import Heartbeat
from workers.ledger import DOWNLOAD, Claim
from workers.monitor import meter, readings
from workers.monitor.catalog import COUNTED, LEDGER_TOTALS, METRICS, READ
from workers.monitor.exporter import Exporter
from workers.monitor.meter import Meter
from workers.settings import Account, Secret, Settings
from workers.vtex.schemas import Event
from workers.watchlist import Watchlist

SETTINGS = Settings({"shop": Account("shop", Secret("key"), Secret("token"))}, "sqlite:///erp.db")


@pytest.fixture
def ledger(make_ledger):
    return make_ledger("shop")


@pytest.fixture
def scrape(client, ledger, monkeypatch):
    """The samples, as Prometheus would read them: (name, labels) → value."""
    monkeypatch.setattr(client, "info", lambda: {"used_memory": 10, "aof_enabled": 1})  # fakeredis has none

    def scrape():
        registry = CollectorRegistry()
        registry.register(Exporter(lambda: readings.read(client, [ledger], SETTINGS)))
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for sample in family.samples
        }

    return scrape


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_keep_to_prometheus_conventions(metric):
    assert re.fullmatch(r"vtexorders_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert not set(metric.labels) & {"order_id", "order", "id", "email", "client", "worker", "le"}
    assert metric.help[0].isupper()
    assert not metric.help.endswith(".")
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
        assert metric.labels[0] == "account"
    for unit in ("ms", "millis", "minutes", "kb", "mb", "percent"):
        assert unit not in metric.name.split("_")


def test_every_total_of_the_ledger_that_is_exported_is_in_the_catalog():
    assert set(LEDGER_TOTALS.values()) == {name for name, metric in READ.items() if metric.kind == "counter"}


def test_processes_add_up(ledger, scrape):
    first, second = Meter(ledger), Meter(ledger)
    first.called("get_order", 200, 0.07)
    second.called("get_order", 200, 0.4)
    second.called("get_order", None, 30.0)
    assert first.flush()
    assert second.flush()
    first.called("get_order", 429, 0.05)
    assert first.flush()
    samples = scrape()
    requests = "vtexorders_vtex_requests_total"
    assert samples[requests, "200", "get_order", "shop"] == 2
    assert samples[requests, "429", "get_order", "shop"] == 1
    assert samples[requests, "get_order", "none", "shop"] == 1
    seconds = "vtexorders_vtex_request_seconds"
    assert samples[f"{seconds}_bucket", "0.05", "get_order", "shop"] == 1  # a bound belongs to its bucket
    assert samples[f"{seconds}_bucket", "0.1", "get_order", "shop"] == 2
    assert samples[f"{seconds}_bucket", "0.5", "get_order", "shop"] == 3
    assert samples[f"{seconds}_bucket", "+Inf", "get_order", "shop"] == 4
    assert samples[f"{seconds}_count", "get_order", "shop"] == 4
    assert samples[f"{seconds}_sum", "get_order", "shop"] == pytest.approx(30.52)


def test_what_redis_did_not_take_is_not_lost(ledger, monkeypatch):
    counts = Meter(ledger)
    counts.count("vtexorders_order_steps_total", "download", "delivered")
    working = ledger.redis.pipeline

    def away(*_, **__):
        raise redis.ConnectionError

    monkeypatch.setattr(ledger.redis, "pipeline", away)
    assert not counts.flush()
    counts.count("vtexorders_order_steps_total", "download", "delivered")
    monkeypatch.setattr(ledger.redis, "pipeline", working)
    assert counts.flush()
    assert counts.flush()  # nothing is added twice
    assert meter.totals(ledger) == {"vtexorders_order_steps_total|download|delivered": 2}


def test_the_ledger_tells_how_its_orders_stand(ledger, clock, scrape):
    for number in range(3):
        ledger.observe([Event(f"h{number}", f"e{number}", f"{number}-01", "ready-for-handling", None, "")])
        clock.advance(100)
    claim = ledger.claim("0-01", DOWNLOAD, "- a")
    assert isinstance(claim, Claim)
    ledger.defer(claim, 600, "the ERP says no", park=True)
    dead = ledger.claim("1-01", DOWNLOAD, "- b")
    ledger.advance(dead, "dead", "dead", "poison")
    samples = scrape()
    assert samples["vtexorders_orders", "open", "shop"] == 1
    assert samples["vtexorders_orders", "parked", "shop"] == 1
    assert samples["vtexorders_orders", "dead", "shop"] == 1
    assert samples["vtexorders_unfinished_orders", "download", "open", "shop"] == 1
    assert samples["vtexorders_unfinished_orders", "download", "parked", "shop"] == 1
    assert samples["vtexorders_oldest_order_seconds", "shop"] == pytest.approx(300)
    assert samples["vtexorders_feed_events_total", "shop"] == 3
    assert samples["vtexorders_uncommitted_events", "shop"] == 1


def test_pauses_say_of_whom_and_why(ledger, scrape):
    ledger.pause("vtex", "VTEX answered 401", "")
    ledger.pause("erp", "inventory", by="maria")
    samples = scrape()
    assert samples["vtexorders_paused", "access", "shop", "vtex"] == 1
    assert samples["vtexorders_paused", "erp", "person", "shop"] == 1
    assert samples["vtexorders_paused", "access", "erp", "shop"] == 0


def test_what_is_wrong_with_the_account_and_what_stands_still(ledger, scrape):
    Conditions(ledger).begin(Fault("feed_gone", "there is no feed"))
    Watchlist(ledger).stands_still("1-01", "invoice", "2027-01-15T08:00:00.0000000Z")
    samples = scrape()
    assert samples["vtexorders_condition", "feed_gone", "shop"] == 1
    assert samples["vtexorders_condition", "orders_stuck", "shop"] == 0
    assert samples["vtexorders_stuck_orders", "invoice", "shop"] == 1
    assert samples["vtexorders_stuck_orders", "cancel", "shop"] == 0


def test_a_cool_down_and_what_tasks_left_a_note_of(ledger, clock, scrape):
    ledger.move_cool(None, 60.0, 600.0)
    clock.advance(20)
    ledger.remember("feed_configured", 1)
    ledger.remember("feed_oldest", 120)
    ledger.remember("polled", ledger.now() - 62)
    samples = scrape()
    assert samples["vtexorders_cool_down_seconds", "shop"] == pytest.approx(40)
    assert samples["vtexorders_feed_configured", "shop"] == 1
    assert samples["vtexorders_feed_oldest_event_seconds", "shop"] == 120
    assert samples["vtexorders_feed_reads_missed", "shop"] == 12
    assert ("vtexorders_feed_backlog_events", "shop") not in samples  # nobody knows: not 0


def test_without_redis_there_is_one_thing_to_say(ledger):
    server = fakeredis.FakeServer()
    server.connected = False
    gone = fakeredis.FakeRedis(server=server, decode_responses=True)
    reading = readings.read(gone, [ledger], SETTINGS)
    assert reading.values == {"vtexorders_redis_up": {(): 0}}


def test_nothing_that_is_counted_is_missing_in_the_catalog(ledger):
    counts = Meter(ledger)
    with pytest.raises(KeyError):
        counts.observe("vtexorders_no_such_seconds", 1.0)
    assert set(COUNTED) & set(READ) == set()


# Workers


def beating(client, name, **more):
    heartbeat = Heartbeat(client, name, ["orders"], **more)
    heartbeat.beat()
    return heartbeat


def test_a_worker_that_died_is_missed_until_another_comes(client, scrape, monkeypatch):
    first, second = beating(client, "one@host"), beating(client, "two@host")
    assert scrape()["vtexorders_workers",] == 2
    assert scrape()["vtexorders_queue_workers", "orders"] == 2
    first.beat()
    client.delete(first._key)  # as if it expired
    samples = scrape()
    assert samples["vtexorders_workers",] == 1
    assert samples["vtexorders_workers_lost",] == 1
    first.stop()  # it said good-bye after all
    assert scrape()["vtexorders_workers_lost",] == 0

    client.delete(second._key)
    assert scrape()["vtexorders_workers_lost",] == 1
    monkeypatch.setattr("os.getpid", lambda: 4242)
    beating(client, "two@host")  # its supervisor started it again
    assert scrape()["vtexorders_workers_lost",] == 0


def test_a_worker_of_another_name_takes_a_dead_ones_place_if_it_began_later(client, scrape):
    gone = beating(client, "pod-a@host")
    client.delete(gone._key)
    beating(client, "pod-b@host")
    assert scrape()["vtexorders_workers_lost",] == 0
