"""Which orders are looked at again, when, and what is said of an account as a whole."""

from __future__ import annotations

import pytest

from workers.conditions import FEED_BACKLOG, FEED_GONE, Conditions, Fault
from workers.ledger import ACK, DOWNLOAD, IGNORED, START_HANDLING
from workers.vtex.schemas import Event
from workers.watchlist import Watchlist, next_look


def at(second) -> str:
    return f"2027-01-15T08:00:{second:02d}.0000000Z"


@pytest.fixture
def ledger(make_ledger):
    return make_ledger()


@pytest.fixture
def watchlist(ledger):
    return Watchlist(ledger)


@pytest.fixture
def step(ledger):
    """An event, and the step that it leads to, as it goes well."""

    def take(status, code, to, second, **fields):
        ledger.observe([Event("", f"h{second}", "1-01", status, None, at(second))])
        claim = ledger.claim("1-01", DOWNLOAD, f"- {second}")
        return ledger.advance(claim, to, code, status, status=status, at=at(second), **fields)

    return take


def has(told):
    return {"erp": "has", "told": told}


def test_what_the_erp_gets_is_watched_until_it_is_invoiced_or_canceled(ledger, watchlist, step, clock):
    assert step("ready-for-handling", "delivered", START_HANDLING, 1, **has("order.ready")) == START_HANDLING
    handling = ledger.claim("1-01", START_HANDLING, "- handling")
    ledger.advance(handling, ACK, "handled", "", status="start-handling")
    ledger.settle_acks(ledger.take_acks())
    assert len(watchlist) == 1
    assert watchlist.due(10) == []
    clock.advance(3601)
    assert watchlist.due(10) == ["1-01"]
    step("cancellation-requested", "told_canceled", ACK, 2, **has("order.cancellation_requested"))
    clock.advance(599)
    assert watchlist.due(10) == []
    clock.advance(2)
    assert watchlist.due(10) == ["1-01"], "somebody waits for the answer"
    watchlist.stands_still("1-01", "cancel", at(3))
    ledger.settle_acks(ledger.take_acks())
    step("canceled", "told_canceled", ACK, 4, **has("order.canceled"))
    assert len(watchlist) == 0
    assert watchlist.stuck() == {}


def test_what_the_erp_never_had_is_not_watched(watchlist, step):
    step("canceled", "not_told", IGNORED, 1)
    assert len(watchlist) == 0


def test_an_erased_order_is_not_watched(ledger, watchlist, step):
    step("handling", "delivered", ACK, 1, **has("order.ready"))
    ledger.settle_acks(ledger.take_acks())
    watchlist.stands_still("1-01", "invoice", at(1))
    assert ledger.forget("1-01") == "erased"
    assert len(watchlist) == 0
    assert watchlist.stuck() == {}


def test_looks_become_seldom_and_never_end_by_themselves():
    waits = [next_look(hours * 3600.0, requested=False) / 3600 for hours in (0, 2, 8, 40, 96, 1000)]
    assert waits == [1, 1, 2, 10, 24, 24]
    assert next_look(0, requested=True) == 600


def test_first_looks_are_spread_and_what_is_watched_keeps_its_turn(watchlist, clock):
    watchlist.later("b", 10)
    assert watchlist.add(["a", "b", "c", "d"], within=400) == 3
    assert watchlist.due(10) == ["a"]
    clock.advance(11)
    assert watchlist.due(10) == ["a", "b"]
    clock.advance(300)
    assert watchlist.due(2) == ["a", "b"], "no more than asked for"
    assert watchlist.due(10) == ["a", "b", "c", "d"]
    assert watchlist.add([], within=400) == 0


def test_a_condition_is_said_once_by_whoever_sees_it_first(ledger, clock, monkeypatch):
    said = []

    class Log:
        def error(self, message, **about):
            said.append((message, about["condition"]))

        def warning(self, message, **about):
            said.append((message, about["condition"], about["lasted"]))

    monkeypatch.setattr("workers.conditions.log", Log())
    one, other = Conditions(ledger), Conditions(ledger)
    begun = clock.now
    one.settle((FEED_GONE, FEED_BACKLOG), [Fault(FEED_GONE, "gone", "make one")])
    clock.advance(60)
    other.settle((FEED_GONE, FEED_BACKLOG), [Fault(FEED_GONE, "still gone", "make one")])
    assert said == [("condition", FEED_GONE)]
    (lasts,) = one.all()
    assert (lasts.says, lasts.do, lasts.since) == ("still gone", "make one", begun)
    one.settle((FEED_BACKLOG,), [])
    assert len(one.all()) == 1, "that was not looked at"
    for conditions in (one, other):
        conditions.settle((FEED_GONE, FEED_BACKLOG), [])
    assert said[1:] == [("condition_over", FEED_GONE, 60)]
    assert one.all() == []
