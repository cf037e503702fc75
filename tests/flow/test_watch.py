"""What is found out though no event told of it: a feed that is wrong, lost cancellations, orders that stand still."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from workers.cli import console
from workers.conditions import NAMES
from workers.vtex.states import DEFAULT_FEED_STATES
from workers.watchlist import Watchlist

TICKS = ("feed.poll", "orders.ack", "upkeep.sweep")


@pytest.fixture
def store(flow):
    """Its feed has every state; what it watches is due whenever it is looked at."""

    def begin(**options):
        options.setdefault("also", {"reconcile_min_age": 0.0})
        return flow(feed_states=DEFAULT_FEED_STATES, **options)

    return begin


def in_handling(store, count=1):
    """Orders that the ERP has and VTEX has in handling, their events committed."""
    ids = store.vtex.create(count, age=7200)
    store.until(lambda: all(store.vtex.state(one)["status"] == "handling" for one in ids), "handling")
    store.settled()
    return ids


def unheard(store, order, state):
    """VTEX moves an order while there is no feed, and then there is one again."""
    store.vtex.control("feed", {"configured": False})
    store.vtex.move(order, state)
    store.vtex.control("feed", {"configured": True})


def look(store):
    """All that is watched is due now."""
    for order in store.redis.zrange(store.ledger.key("watch"), 0, -1):
        store.redis.zadd(store.ledger.key("watch"), {order: 1})


def status(store, monkeypatch):
    monkeypatch.setenv("VTEX_BASE_URL", store.link.account.base_url)
    done = CliRunner().invoke(console, ["status", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def lasting(said):
    """The conditions among the alarms (that this small system has no beat is another one)."""
    return [alarm["name"] for alarm in said["alarms"] if alarm["name"] in NAMES]


# --- orders -------------------------------------------------------------------------------------------------


@pytest.mark.promise("P2", "P3")
@pytest.mark.parametrize("state", ["canceled", "cancellation-requested"])
def test_a_cancellation_that_the_feed_did_not_tell_is_found_by_looking_again(store, state):
    run = store()
    (order,) = in_handling(run)
    unheard(run, order, state)
    look(run)
    run.until(
        lambda: run.rows() == [(order, state)], "the ERP to hear of it", ticks=(*TICKS, "upkeep.look_again")
    )
    run.settled()
    assert run.told(order) == [f"order.{state.replace('-', '_')}"]
    assert len(Watchlist(run.ledger)) == (state != "canceled")


@pytest.mark.promise("P2")
def test_a_denial_that_the_feed_did_not_tell_is_found_by_looking_again(store):
    run = store()
    (order,) = in_handling(run)
    run.vtex.move(order, "cancellation-requested")
    run.until(lambda: run.rows() == [(order, "cancellation-requested")], "the request")
    run.settled()
    unheard(run, order, "handling")
    look(run)
    run.until(lambda: run.rows() == [(order, "handling")], "the denial", ticks=(*TICKS, "upkeep.look_again"))


@pytest.mark.promise("P3")
def test_looking_again_ends_with_the_invoice_and_costs_one_call_an_order(store):
    run = store()
    first, second = in_handling(run, 2)
    unheard(run, first, "invoiced")
    reads = len(run.calls(first, "GET")), len(run.calls(second, "GET"))
    look(run)
    watched = Watchlist(run.ledger)
    run.until(lambda: len(watched) == 1, "an end of the looks", ticks=("upkeep.look_again",))
    run.until(lambda: not watched.due(10), "the other one", ticks=("upkeep.look_again",))
    assert (len(run.calls(first, "GET")), len(run.calls(second, "GET"))) == (reads[0] + 1, reads[1] + 1)
    assert run.ledger.stats()["delivered"] == 2
    (left,) = run.redis.zrange(run.ledger.key("watch"), 0, -1, withscores=True)
    assert left[0] == second
    assert left[1] >= run.ledger.now() + 3000, "not again at once"


@pytest.mark.promise("P3")
@pytest.mark.parametrize("state", ["canceled", "cancellation-requested"])
def test_after_a_loss_of_redis_a_lost_cancellation_is_found_in_vtexs_list(store, state, monkeypatch):
    from workers import reconcile

    run = store()
    order, going_on = in_handling(run, 2)
    unheard(run, order, state)
    run.redis.flushall()
    monkeypatch.setattr(reconcile, "SPREAD_SECONDS", 0.0)
    run.until(
        lambda: (order, state) in run.rows(), "the ERP to hear of it", ticks=(*TICKS, "upkeep.reconcile")
    )
    run.settled()
    assert run.told() == [f"order.{state.replace('-', '_')}"]
    assert run.ledger.record(going_on) is None, "it is not delivered once more"
    assert going_on in run.redis.zrange(run.ledger.key("watch"), 0, -1), "but it is watched again"
    unheard(run, going_on, state)
    look(run)
    ticks = (*TICKS, "upkeep.look_again")
    run.until(lambda: (going_on, state) in run.rows(), "the other one, too", ticks=ticks)


def test_canceled_orders_that_the_erp_never_had_are_left_alone(store):
    """Canceled before they were paid, or taken in and canceled since the ledger began."""
    run = store()
    run.redis.set(run.ledger.key("began"), run.ledger.now() - 7200)
    paid, unpaid = run.vtex.create(2, status="payment-pending")
    run.vtex.move(paid, "payment-approved")
    for order in (paid, unpaid):
        unheard(run, order, "canceled")
    in_handling(run)
    run.tick("upkeep.reconcile")
    run.until(lambda: run.ledger.recall("listed"), "a whole pass", ticks=())
    run.settled()
    assert run.told() == []
    assert run.ledger.record(paid) is None
    assert run.ledger.record(unpaid) is None


def test_orders_that_stand_still_at_vtex_are_said_once_and_until_they_move(store, monkeypatch):
    from workers.vtex import states

    monkeypatch.setitem(states.STANDS_STILL, "invoice", 0)
    run = store()
    (order,) = in_handling(run)
    unheard(run, order, "invoice")
    look(run)
    ticks = ("upkeep.look_again",)
    run.until(lambda: run.logs("condition"), "an alarm", ticks=ticks)
    look(run)
    run.until(lambda: not Watchlist(run.ledger).due(1), "another look", ticks=ticks)
    (alarm,) = run.logs("condition")
    assert (alarm["level"], alarm["condition"]) == ("error", "orders_stuck")
    assert order in alarm["says"]
    said = status(run, monkeypatch)
    assert [(row["orderId"], row["status"]) for row in said["stuck"]] == [(order, "invoice")]
    assert lasting(said) == ["orders_stuck"]
    listed = CliRunner().invoke(console, ["reconcile", "--dry-run"])
    assert f"{order} stands still at VTEX in invoice" in listed.stdout
    assert "ALARM    orders stuck: 1 orders stand still" in CliRunner().invoke(console, ["status"]).stdout

    unheard(run, order, "invoiced")
    look(run)
    run.until(lambda: run.logs("condition_over"), "its end", ticks=ticks)
    said = status(run, monkeypatch)
    assert (said["stuck"], lasting(said), said["watched"]) == ([], [], 0)


def test_a_dry_run_shows_all_of_it_and_does_nothing(store, monkeypatch):
    run = store()
    lost, _ = in_handling(run, 2)
    unheard(run, lost, "canceled")
    run.redis.flushall()
    run.vtex.control("feed", {"configured": False})
    (waiting,) = run.vtex.create(age=3600)
    monkeypatch.setenv("VTEX_BASE_URL", run.link.account.base_url)
    done = CliRunner().invoke(console, ["reconcile", "--dry-run", "--json"])
    said = json.loads(done.stdout)
    assert (said["missing"], said["canceled"], said["unwatched"]) == ([waiting], [lost], 1)
    assert said["dryRun"]
    assert run.ledger.record(waiting) is None
    assert run.ledger.record(lost) is None
    assert len(Watchlist(run.ledger)) == 0
    words = CliRunner().invoke(console, ["reconcile", "--dry-run"]).stdout
    assert "1 are canceled at VTEX, the ERP may have them, and they would be looked at." in words
    assert "1 are under way at VTEX and not known here; they would be watched until invoiced." in words


# --- the feed -------------------------------------------------------------------------------------------------


def watch(run, condition, what):
    return run.until(condition, what, ticks=("upkeep.watch_feed",))


@pytest.mark.promise("P3")
def test_a_feed_that_is_gone_is_configured_again_and_its_gap_is_reconciled(store):
    run = store(visibility_timeout=30.0, also={"feed_managed": True, "reconcile_min_age": 0.0})
    (order,) = in_handling(run)
    watch(run, lambda: run.ledger.recall("feed-good"), "a good feed")
    run.until(lambda: run.ledger.recall("listed"), "the first search", ticks=("upkeep.reconcile",))
    run.vtex.control("feed", {"configured": False})
    run.vtex.move(order, "canceled")
    (missed,) = run.vtex.create()
    ticks = (*TICKS, "upkeep.watch_feed")  # and no tick of reconciliation: it begins by itself
    wanted = [(missed, "ready-for-handling"), (order, "canceled")]
    run.until(lambda: sorted(run.rows()) == sorted(wanted), "both", ticks=ticks)
    (alarm,) = run.logs("condition")
    assert alarm["condition"] == "feed_gone"
    watch(run, lambda: run.logs("condition_over"), "its end")
    config = run.link.vtex.feed_config()
    assert set(config.states) == set(DEFAULT_FEED_STATES)


@pytest.mark.promise("P3")
def test_after_a_gap_the_list_is_searched_until_it_has_caught_up(store):
    run = store(index_lag=2.0)
    (order,) = in_handling(run)
    run.until(lambda: run.ledger.recall("listed"), "a search", ticks=("upkeep.reconcile",))
    run.vtex.control("feed", {"configured": False})
    run.vtex.move(order, "canceled")
    run.until(lambda: run.logs("condition"), "the alarm", ticks=("feed.poll",))
    run.vtex.control("feed", {"configured": True})
    run.tick("upkeep.reconcile")  # which finds the order in handling, as it was two seconds ago
    ticks = (*TICKS, "upkeep.reconcile")
    run.until(lambda: run.rows() == [(order, "canceled")], "the cancellation, by VTEX's list", ticks=ticks)


@pytest.mark.promise("P3")
def test_a_page_of_the_list_that_is_lost_is_asked_for_again_and_not_the_whole_list(store):
    run = store(index_lag=0.0)
    in_handling(run)
    run.ledger.unremember("listed")
    lost = {"kind": "error_5xx", "path": "/pvt/orders", "method": "GET"}
    run.vtex.control("faults", {"script": [lost | {"times": 2}]})
    run.tick("upkeep.reconcile")
    run.until(lambda: run.ledger.recall("listed"), "a search", ticks=())
    assert run.logs("reconcile_failed") == []
    run.vtex.control("faults", {"script": [lost | {"times": 3}]})
    run.tick("upkeep.reconcile")
    run.until(lambda: run.logs("reconcile_failed"), "the end of its patience", ticks=())


def test_without_feed_managed_a_feed_is_left_as_it_is(store, monkeypatch):
    run = store()
    run.link.vtex.configure_feed(["ready-for-handling"])
    alarm = watch(run, lambda: run.logs("condition"), "an alarm")[0]
    assert alarm["condition"] == "feed_filter"
    assert "does not ask for handling" in alarm["says"]
    run.until(lambda: run.ledger.recall("feed-good") is None, "no trust in it", ticks=("upkeep.watch_feed",))
    assert run.link.vtex.feed_config().states == ("ready-for-handling",)
    assert lasting(status(run, monkeypatch)) == ["feed_filter"]
    run.link.vtex.configure_feed(DEFAULT_FEED_STATES)
    watch(run, lambda: run.logs("condition_over"), "its end")
    assert len(run.logs("condition")) == 1


def test_a_filter_of_somebody_else_is_mended_and_keeps_its_visibility(store):
    run = store(also={"feed_managed": True})
    run.link.vtex.configure_feed(["invoiced"], visibility_timeout=77)
    watch(run, lambda: set(run.link.vtex.feed_config().states) == set(DEFAULT_FEED_STATES), "our filter")
    assert run.link.vtex.feed_config().visibility_timeout == 77


def test_a_feed_that_may_not_be_configured_is_said_and_nothing_else_stops(store, monkeypatch):
    from workers.errors import AccessDenied

    run = store(also={"feed_managed": True}, feed_configured=False)

    def denied(*_, **__):
        raise AccessDenied("configure the feed: VTEX answered 403", status=403)

    monkeypatch.setattr(run.link.vtex, "configure_feed", denied)
    watch(run, lambda: run.logs("feed_not_mended"), "the reason")
    run.idle()
    assert [alarm["condition"] for alarm in run.logs("condition")] == ["feed_gone"]
    assert not run.ledger.paused()


def test_another_reader_of_the_feed_is_suspected_when_events_never_come(store, monkeypatch):
    run = store()
    watch(run, lambda: run.ledger.recall("feed-good"), "a good feed")
    run.ledger.remember("feed-good", run.ledger.now() - 2 * 86400)
    run.redis.set(run.ledger.key("began"), run.ledger.now() - 2 * 86400)
    taken = run.vtex.create(3, age=60)
    while events := run.link.vtex.take_feed()[0]:  # somebody else with our key
        run.link.vtex.commit([event.handle for event in events])
    run.until(lambda: len(run.rows()) == 3, "them by reconciliation", ticks=(*TICKS, "upkeep.reconcile"))
    (alarm,) = run.until(lambda: run.logs("condition"), "an alarm", ticks=())
    assert alarm["condition"] == "feed_shared"
    assert any(order in alarm["says"] for order in taken)
    run.ledger.unremember("strangers")  # an hour later
    run.until(lambda: run.logs("condition_over"), "its end", ticks=("upkeep.reconcile",))
    assert lasting(status(run, monkeypatch)) == []


def test_a_backlog_is_over_only_when_it_is_well_over():
    from workers.feed_watch import faults_of
    from workers.vtex.schemas import FeedConfig

    def names(quantity, oldest, lasting=()):
        config = FeedConfig("FromWorkflow", (), None, 300, 1209600, quantity, oldest)
        return [fault.name for fault in faults_of(config, DEFAULT_FEED_STATES, lasting)]

    assert names(9_000, 3_000) == []
    assert names(20_000, 10) == ["feed_backlog"]
    assert names(5, 4_000) == ["feed_backlog"]
    assert names(6_000, 10, ["feed_backlog"]) == ["feed_backlog"]
    assert names(5, 1_000, ["feed_backlog"]) == []
    assert names(None, None) == []
