"""What an operator decides: which orders are ours, a trial run, a pause, what waits since before, what to repeat."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from workers import scope
from workers.dispatch import enqueue
from workers.reconcile import close_gap


def test_orders_that_are_not_ours_are_acknowledged_and_left_alone(flow):
    run = flow(orders=3, also={"order_scope": scope.parse("channels=no-such-channel")})
    audit = run.settled(events=3)
    assert run.rows() == []
    assert audit["start_handling_attempts"] == 0
    assert audit["by_status"] == {"ready-for-handling": 3}
    assert run.ledger.counts().ignored == 3
    assert run.ledger.stats()["not_ours"] == 3


@pytest.mark.parametrize(("mode", "in_erp"), [("look", 0), ("deliver", 3)])
def test_a_trial_run_changes_nothing_at_vtex(flow, mode, in_erp):
    run = flow(orders=3, also={"shadow": mode}, visibility_timeout=1.0)
    done = "would_deliver" if mode == "look" else "delivered"
    run.until(
        lambda: (stats := run.ledger.stats()).get("would_handle") == 3 and stats.get(done) == 3 and stats,
        "a report",
    )
    run.until(lambda: run.vtex.audit()["events_redelivered"] > 3, "the events to come back")
    audit = run.vtex.audit()
    assert audit["events_committed"] == 0
    assert audit["start_handling_attempts"] == 0
    assert not run.calls("/api/orders/feed", "POST")
    assert len(run.rows()) == in_erp
    assert run.ledger.stats()[done] == 3
    assert run.redis.keys("vo:shadow:*")
    assert not run.redis.keys("vo:teststore:o:*")


def test_what_waits_since_before_the_link_is_shown_and_then_taken_in(flow):
    run = flow(feed_configured=False)
    waiting = run.vtex.create(3, age=3600)
    handled = run.vtex.create(1, age=3600, status="handling")
    since = datetime.now(UTC) - timedelta(hours=2)
    gap = close_gap(run.link, since, datetime.now(UTC), lambda: None, dry_run=True)
    assert sorted(gap.missing) == sorted(waiting)
    assert run.ledger.counts().open == 0
    assert close_gap(run.link, datetime.now(UTC), datetime.now(UTC), lambda: None, dry_run=True).waiting == 0
    gap = close_gap(run.link, since, datetime.now(UTC), lambda: None)
    assert sorted(gap.missing) == sorted(waiting)
    run.until(lambda: run.ledger.counts().done == 3, "all three")
    assert [order for order, _ in run.rows()] == sorted(waiting)
    audit = run.vtex.audit()
    assert audit["start_handling_effects"] == 3
    assert handled[0] not in dict(run.rows())
    assert close_gap(run.link, since, datetime.now(UTC), lambda: None).missing == []


@pytest.mark.promise("P3")
def test_after_a_loss_of_redis_what_was_committed_is_found_by_itself(flow):
    run = flow(feed_configured=False, also={"reconcile_min_age": 0.0})
    waiting = run.vtex.create(2, age=3600)
    run.until(lambda: run.ledger.counts().done == 2, "both", ticks=("upkeep.reconcile",))
    assert [order for order, _ in run.rows()] == sorted(waiting)
    assert run.vtex.audit()["start_handling_effects"] == 2


def test_an_order_list_beyond_its_cap_is_read_whole(flow):
    run = flow(feed_configured=False)
    run.vtex.create(2000, age=3600)
    run.vtex.create(1210, age=7200)
    gap = close_gap(
        run.link, datetime.now(UTC) - timedelta(hours=3), datetime.now(UTC), lambda: None, dry_run=True
    )
    assert gap.waiting == len(gap.missing) == len(set(gap.missing)) == 3210


def test_the_erp_gets_its_orders_again_and_vtex_is_only_read(flow):
    run = flow(orders=2)
    run.settled(events=2)
    before = run.rows()
    with contextlib.closing(sqlite3.connect(run.erp)) as erp, erp:
        erp.execute("DELETE FROM vtex_orders")
    writes = len(run.calls("/start-handling", "POST"))
    for order_id in run.ledger.delivered_since(0):
        assert run.ledger.reopen(order_id, "redeliver", "maria: backup") == "open"
        enqueue(run.ledger.account, order_id)
    run.until(lambda: len(run.rows()) == 2 and run.ledger.counts().done == 2, "both again")
    assert [order for order, _ in run.rows()] == [order for order, _ in before]
    assert len(run.calls("/start-handling", "POST")) == writes
    assert "redeliver" in run.codes(before[0][0])


def test_a_restart_does_not_end_what_a_person_paused(flow):
    from workers.cli.run import first_look

    run = flow(orders=1)
    run.ledger.pause("vtex", "stock-taking", by="maria")
    run.ledger.pause("erp", "no table")
    first_look(run.process.settings)
    assert run.ledger.paused()["vtex"]["by"] == "maria"
    assert set(run.ledger.paused()) == {"vtex"}
    assert not run.ledger.resume("vtex")
    assert run.ledger.resume("vtex", "joana")


def test_what_is_not_ours_is_not_taken_in_again_and_again(flow):
    run = flow(orders=3, also={"order_scope": scope.parse("channels=no-such-channel")})
    run.settled(events=3)
    now = datetime.now(UTC) + timedelta(minutes=1)
    gap = close_gap(run.link, now - timedelta(hours=2), now, lambda: None)
    assert (gap.not_ours, gap.missing) == (3, [])
    run.link.settings = dataclasses.replace(run.link.settings, order_scope=scope.parse(""))
    assert len(close_gap(run.link, now - timedelta(hours=2), now, lambda: None).missing) == 3
    run.until(lambda: len(run.rows()) == 3, "all, now that they are ours")


def test_a_cancellation_that_was_told_is_redelivered_too(flow):
    run = flow(orders=1)
    run.settled(events=1)
    [(order, _)] = run.rows()
    since = run.ledger.now()
    run.vtex.move(order, "canceled")
    run.until(lambda: run.told(order), "the cancellation")
    assert run.ledger.delivered_since(since) == [order]


def test_what_a_person_paused_stays_paused_until_a_person_resumes_it(flow):
    run = flow(orders=2)
    run.ledger.pause("vtex", "stock-taking", by="maria")
    for _ in range(5):
        run.tick()
        run.idle()
    assert run.calls("/api/") == []
    assert run.ledger.resume("vtex", "joana")
    run.settled(events=2)
    assert len(run.rows()) == 2


def test_a_dead_order_is_tried_again_by_hand(flow, monkeypatch):
    run = flow()
    monkeypatch.setattr("tasks.base.CRASH_LIMIT", 0)  # the first worker that takes it gives up
    [order] = run.vtex.create(1)
    run.until(lambda: run.ledger.counts().dead == 1, "its death")
    assert run.ledger.dead() == [order]
    assert run.rows() == []
    monkeypatch.setattr("tasks.base.CRASH_LIMIT", 10)
    assert run.ledger.reopen(order, "replay", "maria: fixed") == "open"
    enqueue(run.ledger.account, order)
    run.until(lambda: run.ledger.counts().done == 1, "its end")
    assert run.ledger.dead() == []
    assert run.vtex.audit()["start_handling_effects"] == 1


@pytest.mark.promise("P6")
def test_a_dead_order_that_still_waits_is_reported_and_left_and_its_replay_looks_at_vtex_first(
    flow, monkeypatch
):
    run = flow()
    monkeypatch.setattr("tasks.base.CRASH_LIMIT", 0)
    [order] = run.vtex.create(1, age=3600)
    run.until(lambda: run.ledger.counts().dead == 1, "its death")
    monkeypatch.setattr("tasks.base.CRASH_LIMIT", 10)
    since = datetime.now(UTC) - timedelta(hours=2)
    gap = close_gap(run.link, since, datetime.now(UTC), lambda: None)
    assert (gap.dead, gap.missing) == ([order], [])
    assert run.ledger.dead() == [order]
    run.vtex.move(order, "canceled")
    assert run.ledger.reopen(order, "replay", "maria") == "open"
    enqueue(run.ledger.account, order)
    run.until(lambda: run.ledger.counts().done == 1, "its end")
    assert run.rows() == [(order, "canceled")], "an order of before the ledger: the ERP may have had it"
    assert run.vtex.audit()["start_handling_attempts"] == 0
