"""What happens after an error: every branch of the ladder, and its numbers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import errors
from workers.policy import LONGEST_COUNTDOWN, Bury, Park, Pause, Policy, Retry
from workers.vtex.client import FeedNotConfigured

HOUR = 3600.0
POLICY = Policy()


class Always(random.Random):
    """Draws the same end of every range."""

    def __init__(self, fraction) -> None:
        super().__init__()
        self.fraction = fraction

    def random(self):
        return self.fraction

    def uniform(self, a, b):
        return a + (b - a) * self.fraction


LOW, HIGH = Always(0.0), Always(1.0)


def decide(error, attempt=1, age=0.0, rng=HIGH, policy=POLICY):
    return policy.decide(error, attempt=attempt, age=age, rng=rng)


@pytest.mark.parametrize(
    ("error", "options", "expected"),
    [
        # 401 and 403: nothing is wrong with the order, however old it is
        (errors.AccessDenied("401", status=401), {}, Pause("vtex", "401")),
        (errors.AccessDenied("403", status=403), {"age": 1000 * HOUR, "attempt": 99}, Pause("vtex", "403")),
        (errors.SinkDenied("no table"), {}, Pause("erp", "no table")),
        # the pace of the account: our own limiter's wait is no attempt, VTEX's 429 is one
        (errors.RateLimited("pace", after=10.0), {"rng": LOW}, Retry(10.05, counts=False)),
        (errors.RateLimited("pace", after=10.0), {"rng": HIGH}, Retry(12.55, counts=False)),
        (errors.RateLimited("429", status=429), {"rng": LOW}, Retry(1.05)),
        (errors.RateLimited("429", status=429, after=30.0), {"rng": LOW}, Retry(30.05)),
        (errors.RateLimited("429", status=429, after=60.0), {"rng": LOW}, Park(60.05)),
        (errors.RateLimited("pace", after=0.0), {"rng": LOW}, Retry(0.05, counts=False)),
        (errors.RateLimited("429", status=429), {"rng": LOW, "age": 1000 * HOUR}, Retry(1.05)),
        # not found: an order from the feed may take a moment to be readable
        (errors.NotFound("404", status=404), {"age": 599.0}, Retry(1.0)),
        (errors.NotFound("404", status=404), {"age": 600.0}, Bury("404")),
        (FeedNotConfigured("404", status=404), {"age": 600.0}, Bury("404")),
        # permanent
        (errors.Rejected("400", status=400), {}, Bury("400")),
        (errors.Invalid("no"), {}, Bury("no")),
        (errors.Conflict("409", status=409), {}, Bury("409")),
        (errors.Permanent("no"), {}, Bury("no")),
        # what may pass
        (errors.Unavailable("503", status=503), {}, Retry(1.0)),
        (errors.NotYet("early"), {"attempt": 3}, Retry(4.0)),
        (errors.OutcomeUnknown("504"), {"attempt": 6}, Retry(32.0)),
        (errors.Unavailable("503"), {"attempt": 7}, Park(64.0)),
        (errors.Unavailable("503"), {"attempt": 500}, Park(1800.0)),
        (errors.Unavailable("503"), {"attempt": 500, "rng": LOW}, Retry(0.1)),
        # what the other side asked for is honoured
        (errors.Unavailable("503", after=20.0), {}, Retry(20.0)),
        (errors.Unavailable("503", after=900.0), {}, Park(900.0)),
        (errors.Unavailable("503", after=0.0), {}, Retry(1.0)),
        # the horizon
        (errors.Unavailable("503"), {"age": 72 * HOUR - 1}, Retry(1.0)),
        (errors.Unavailable("503"), {"age": 72 * HOUR}, Bury("given up after 72 h; the last answer: 503")),
        (errors.NotYet("early", after=20.0), {"age": 99 * HOUR}, Bury("given up after 99 h; the last answer: early")),
        # not one of ours: whatever it is, it may pass
        (KeyError("x"), {}, Retry(1.0)),
    ],
)  # fmt: skip
def test_the_ladder(error, options, expected):
    decision = decide(error, **options)
    assert type(decision) is type(expected)
    if isinstance(expected, Retry | Park):
        assert decision.after == pytest.approx(expected.after)
    if isinstance(expected, Retry):
        assert decision.counts == expected.counts
    if isinstance(expected, Bury | Pause):
        assert decision == expected


def _tree(kind):
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


@pytest.mark.parametrize("kind", _tree(errors.OrderLinkError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_gets_a_decision(kind):
    assert decide(kind("why")) is not None


def test_the_horizon_is_a_setting():
    assert isinstance(decide(errors.NotYet("x"), age=11.0, policy=Policy(horizon=10.0)), Bury)
    assert isinstance(decide(errors.NotYet("x"), age=9.0, policy=Policy(horizon=10.0)), Retry)


@pytest.mark.promise("P6")
@given(
    error=st.builds(
        lambda kind, **options: kind("why", **options),
        st.sampled_from(_tree(errors.Retryable)),
        after=st.one_of(st.none(), st.floats(0, 10 * HOUR)),
        status=st.sampled_from([None, 429, 503]),
    ),
    attempt=st.integers(0, 10_000),
    age=st.floats(0, 72 * HOUR, exclude_max=True),
    seed=st.integers(),
)
def test_a_wait_is_never_negative_nor_longer_than_a_countdown_may_be(error, attempt, age, seed):
    decision = POLICY.decide(error, attempt=attempt, age=age, rng=random.Random(seed))
    assert not isinstance(decision, Bury)
    if isinstance(decision, Retry):
        assert 0 < decision.after <= LONGEST_COUNTDOWN
    elif isinstance(decision, Park):
        assert LONGEST_COUNTDOWN < decision.after <= max(POLICY.longest, 1.25 * (error.after or 0) + 0.05)
    else:
        assert isinstance(error, errors.AccessDenied)
    if isinstance(decision, Retry | Park) and error.after:
        assert decision.after >= error.after, "what the other side asked for is the least"


@given(attempt=st.integers(1, 40), seed=st.integers())
def test_the_jitter_is_full_and_its_range_doubles(attempt, seed):
    decision = decide(errors.Unavailable("503"), attempt=attempt, rng=random.Random(seed))
    assert 0.1 <= decision.after <= min(0.5 * 2**attempt, POLICY.longest)


def test_many_orders_that_fail_at_once_do_not_come_back_at_once():
    rng = random.Random(1)
    waits = [decide(errors.Unavailable("503"), attempt=5, rng=rng).after for _ in range(1000)]
    buckets = [sum(1 for wait in waits if second <= wait < second + 1) for second in range(16)]
    assert max(buckets) < 120
    waits = [decide(errors.RateLimited("pace", after=20.0), rng=rng).after for _ in range(100)]
    assert max(waits) - min(waits) > 3
