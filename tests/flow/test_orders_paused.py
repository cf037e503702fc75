"""When VTEX or the ERP lets nobody in: everything waits where it is safe, nobody hammers, and it goes on by itself."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tasks import upkeep
from workers.ledger import Refusal


def config_reads(store) -> int:
    return len(store.calls("/feed/config", "GET"))


def waits_for_probes(store, number) -> None:
    """Until it was tried so many times whether access is back."""
    before = len(store.logs("still_paused"))
    store.until(lambda: len(store.logs("still_paused")) >= before + number, f"{number} probes")


@pytest.mark.promise("P1", "P6")
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_pause_the_account_and_nobody_hammers(flow, status):
    store = flow(orders=30, latency=0.02, visibility_timeout=3.0)
    store.until(lambda: len(store.rows()) >= 5, "some orders")
    store.vtex.control("credentials", {"status": status})
    store.until(lambda: "vtex" in store.ledger.paused(), "the pause")
    store.idle()
    calls, probes = store.vtex.calls()["total"], config_reads(store)
    waits_for_probes(store, 3)
    made, probed = store.vtex.calls()["total"] - calls, config_reads(store) - probes
    assert made == probed, "nothing but the question whether access is back"
    assert made <= 6
    assert len(store.logs("paused")) == 1, "one alarm, not one an order"
    assert store.ledger.counts().dead == 0

    store.vtex.control("credentials", {"status": None})
    audit = store.settled()
    assert store.logs("resumed")
    assert not store.ledger.paused()
    assert len(store.rows()) == 30
    assert audit["start_handling_effects"] == 30
    assert audit["start_handling_more_than_once"] == audit["early_commits"] == 0


@pytest.mark.promise("P6")
@pytest.mark.parametrize(("scope", "what"), [("vtex", "orders"), ("erp", "orders"), ("vtex", "commands")])
def test_a_sweep_in_which_a_pause_begins_comes_to_an_end(flow, monkeypatch, scope, what):
    store, sent = flow(), []
    store.ledger.patience = 0.0  # all that comes in now is due
    if what == "orders":
        store.vtex.create(count=3)
        store.ledger.observe(store.link.vtex.take_feed()[0])
    else:
        store.link.commands.accept([(f"c{n}", "invoice", f"o{n}", {}, "same") for n in range(3)])
    store.ledger.patience = 60.0

    def worked_at(account, name, step, *order):
        sent.append(name)
        assert len(sent) < 50, "it finds the same ones again and again"
        store.ledger.pause(scope, "it began just now")
        claim = store.link.commands.claim(name, "t") if order else store.ledger.claim(name, step, "t")
        assert claim == Refusal("paused")

    monkeypatch.setattr(upkeep, "enqueue", worked_at)
    monkeypatch.setattr(upkeep.intake, "enqueue", worked_at)
    upkeep._sweep(store.link, lambda: None)
    assert len(sent) == 3


def test_credentials_refused_from_the_start(flow):
    store = flow(orders=3)
    store.vtex.control("credentials", {"status": 401})
    store.until(lambda: "vtex" in store.ledger.paused(), "the pause")
    store.vtex.control("credentials", {"status": None})
    assert store.settled()["start_handling_effects"] == 3


@contextlib.contextmanager
def database(path):
    with contextlib.closing(sqlite3.connect(path)) as erp:
        yield erp
        erp.commit()


@pytest.mark.promise("P1", "P6")
def test_an_erp_that_refuses_everybody_pauses_and_orders_wait_in_the_feed(flow):
    store = flow(visibility_timeout=3.0)
    store.vtex.create(count=2)
    store.settled(events=2)
    with database(store.erp) as erp:
        erp.execute("ALTER TABLE vtex_orders RENAME COLUMN document TO renamed")
    store.vtex.create(count=8)
    store.until(lambda: "erp" in store.ledger.paused(), "the pause")
    waits_for_probes(store, 2)
    assert "erp" in store.ledger.paused()["erp"]["why"].lower()
    assert store.ledger.counts().dead == 0
    audit = store.vtex.audit()
    assert audit["start_handling_effects"] == 2
    assert audit["events_pending"] >= 8, "they wait in the feed"
    assert len(store.logs("paused")) == 1

    with database(store.erp) as erp:
        erp.execute("ALTER TABLE vtex_orders RENAME COLUMN renamed TO document")
    audit = store.settled()
    assert len(store.rows()) == 10
    assert audit["start_handling_effects"] == 10
    assert audit["early_commits"] == 0


@pytest.mark.promise("P6")
def test_what_the_erp_has_is_handled_and_committed_while_it_refuses_new_orders(flow):
    store = flow()
    store.fault("slow", "start-handling", slow_seconds=1.0)
    (order,) = store.vtex.create()
    store.until(store.rows, "the ERP to have it")
    store.ledger.pause("erp", "no table")
    store.ledger.redis.set(f"{store.ledger._prefix}once:probe:erp", 1)  # it is not tried for now
    store.until(lambda: store.vtex.state(order)["eventsCommitted"] >= 1, "its commit")
    assert "erp" in store.ledger.paused()
    assert store.ledger.record(order).state == "done"


@pytest.mark.promise("P6")
def test_an_order_that_the_erp_refuses_dies_alone(flow):
    store = flow()
    store.vtex.create(count=1)
    store.settled(events=1)
    bad = store.vtex.create()[0]
    with database(store.erp) as erp:
        erp.execute(
            "CREATE TRIGGER picky BEFORE INSERT ON vtex_orders"
            f" WHEN NEW.order_id = '{bad}' BEGIN SELECT RAISE(ABORT, 'we do not sell that'); END"
        )
    store.vtex.create(count=3)
    audit = store.settled()
    record = store.ledger.record(bad)
    assert record.state == "dead"
    assert "we do not sell that" in record.error
    assert audit["per_order"][bad]["startHandlingCount"] == 0
    assert audit["per_order"][bad]["eventsPending"] == 0
    assert audit["start_handling_effects"] == 4
    assert not store.ledger.paused()


@pytest.mark.promise("P6")
def test_a_feed_without_configuration_is_told_and_nothing_breaks(flow):
    store = flow(orders=2)
    store.settled(events=2)
    store.vtex.control("feed", {"configured": False})
    store.until(lambda: store.logs("condition"), "the alarm")
    (alarm,) = store.logs("condition")
    assert (alarm["level"], alarm["condition"]) == ("error", "feed_gone")
    assert not store.ledger.paused()
    store.vtex.control("feed", {"configured": True})
    store.vtex.create(count=3)
    audit = store.settled()
    assert audit["start_handling_effects"] == 5


@pytest.mark.promise("P1")
def test_a_feed_that_is_taken_away_before_the_commit_holds_no_order_open(flow):
    store = flow()
    store.fault("slow", "start-handling", slow_seconds=1.0)
    store.vtex.create(count=10)
    store.until(store.rows, "the ERP to have one")
    store.vtex.control("feed", {"configured": False})
    store.until(lambda: store.ledger.counts().done == 10, "the end")
    assert store.ledger.waiting_acks() == 0
    asked = len(store.calls("/api/orders/feed", "POST"))
    assert asked <= 10, "a lot is asked about once, not handle by handle"


@pytest.mark.promise("P5")
def test_a_429_slows_everything_down_and_nothing_is_lost(flow):
    store = flow(retry_after=1.0, latency=0.01)
    store.fault("error_429", "/api/oms/", times=2)
    store.vtex.create(count=20)
    audit = store.settled()
    assert audit["start_handling_effects"] == 20
    assert store.ledger.stats()["cooldowns"] in (1, 2), "calls in flight count once"
    refused = [call for call in store.calls("/") if call["status"] == 429]
    after = [
        call["at"] - refused[0]["at"] for call in store.calls("/") if call["at"] > refused[0]["at"] + 0.3
    ]
    assert min(after) >= 0.9, "the account paused as VTEX asked"


@pytest.mark.promise("P5")
def test_the_pace_stays_under_the_accounts_limit(flow):
    store = flow(requests_per_minute=1200, retry_after=1.0)
    from workers.limiter import Limiter

    limiter = Limiter(store.ledger, 960)
    store.link.limiter = limiter
    store.link.vtex._pace = lambda _endpoint: limiter.wait()
    store.vtex.create(count=30)
    audit = store.settled()
    assert audit["start_handling_effects"] == 30
    assert audit["too_many_requests"] == 0
