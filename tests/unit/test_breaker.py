"""When a breaker opens, what counts, and that it costs nothing when all is well."""

from __future__ import annotations

import pytest
import redis

from workers import errors
from workers.breaker import Breaker, unavailable


@pytest.fixture
def ledger(make_ledger):
    return make_ledger()


@pytest.fixture
def processes(make_ledger, clock):
    """``processes(n)``: the breaker for the ERP of one account in as many processes."""
    return lambda number: [Breaker(make_ledger(), "erp", clock=clock.time) for _ in range(number)]


def many(breaker, *, worked=0, failed=0) -> None:
    for _ in range(worked):
        breaker.worked()
    for _ in range(failed):
        breaker.failed("503")


def test_half_of_twenty_calls_open_it_for_everybody(processes, ledger):
    one, other = processes(2)
    many(one, worked=10)
    many(other, failed=9)
    assert ledger.paused() == {}
    one.failed("the answer 503")
    pause = ledger.paused()["erp"]
    assert (pause["kind"], pause["by"]) == ("breaker", "")
    assert pause["why"] == "it does not answer: 10 of 20 calls failed, the last one: the answer 503"


def test_less_than_half_or_less_than_twenty_do_not(processes, ledger, clock):
    (one,) = processes(1)
    many(one, failed=19)
    assert ledger.paused() == {}
    clock.advance(10.1)
    many(one, worked=21, failed=20)
    assert ledger.paused() == {}


def test_failures_that_lie_far_apart_do_not(processes, ledger, clock):
    (one,) = processes(1)
    for _ in range(60):
        many(one, failed=1)
        clock.advance(0.7)
    assert ledger.paused() == {}


def test_what_was_before_does_not_hide_a_failure_for_long(processes, ledger, clock):
    (one,) = processes(1)
    for _ in range(12):
        many(one, worked=1000)
        clock.advance(1.0)
    clock.advance(10.1)
    many(one, failed=20)
    assert "erp" in ledger.paused()


def test_it_asks_redis_once_a_second_when_all_is_well(processes, clock, monkeypatch):
    (one,) = processes(1)
    asked = []
    monkeypatch.setattr(one._ledger, "move_breaker", lambda *args: asked.append(args) or (0, 0))
    for _ in range(300):
        one.worked()
        clock.advance(0.01)
    assert len(asked) in (2, 3)
    assert all(calls in range(99, 103) for _, calls, *_ in asked), "and nothing is forgotten"


def test_the_scopes_and_a_persons_pause_are_apart(processes, ledger):
    (one,) = processes(1)
    ledger.pause("erp", "stock-taking", by="maria")
    many(one, failed=30)
    assert ledger.paused()["erp"]["by"] == "maria"
    assert set(ledger.paused()) == {"erp"}


def test_after_its_end_it_counts_anew(processes, ledger):
    (one,) = processes(1)
    many(one, failed=20)
    assert ledger.resume("erp")
    many(one, failed=19)
    assert ledger.paused() == {}


def test_without_redis_it_lets_everything_pass(processes, monkeypatch):
    (one,) = processes(1)

    def away(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(one._ledger, "move_breaker", away)
    many(one, failed=30)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.Unavailable("no connection"), True),
        (errors.Unavailable("503", status=503), True),
        (errors.OutcomeUnknown("no answer in time"), True),
        (errors.OutcomeUnknown("502", status=502), True),
        (errors.Unavailable("too many", status=429), False),
        (errors.RateLimited("pace"), False),
        (errors.AccessDenied("401", status=401), False),
        (errors.NotYet("early"), False),
        (errors.Rejected("422", status=422), False),
    ],
)
def test_only_that_nobody_is_there_counts(error, counts):
    assert unavailable(error) is counts


@pytest.mark.parametrize(
    ("status", "counts"), [(None, True), (500, True), (503, True), (429, False), (404, False), (200, False)]
)
def test_what_an_answer_of_vtex_means(processes, ledger, status, counts):
    (one,) = processes(1)
    for _ in range(20):
        one.answered(status)
    assert bool(ledger.paused()) is counts
