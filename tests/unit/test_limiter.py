"""The pace of an account: kept over all processes, paused by a 429, never a reason to lose work."""

from __future__ import annotations

import itertools
import random

import pytest
import redis

from workers.errors import RateLimited
from workers.limiter import FARTHEST_TURN, WORTH_WAITING, Limiter
from workers.policy import Policy


@pytest.fixture
def limiters(make_ledger, clock):
    """``limiters(n, per_minute, ...)``: as many, each in a process of its own, of one account."""

    def make(number, per_minute, **options):
        return [Limiter(make_ledger(), per_minute, sleep=clock.advance, **options) for _ in range(number)]

    return make


def call(limiter, clock) -> float:
    """One call as soon as it may be made; the time of it."""
    while True:
        try:
            limiter.wait()
        except RateLimited as limited:
            clock.advance(limited.after)
        else:
            return clock.now


def most_in(times, window) -> int:
    """The most calls in any window of so many seconds."""
    return max(sum(1 for time in times if start <= time < start + window) for start in times)


@pytest.mark.promise("P5")
@pytest.mark.parametrize("per_minute", [60, 600, 4800])
def test_the_rate_is_kept_by_all_together(limiters, clock, per_minute):
    several, rng = limiters(3, per_minute), random.Random(per_minute)
    times = [call(rng.choice(several), clock) for _ in range(300)]
    rate, burst = per_minute / 60, max(1, per_minute // 60)
    for window in (1, 3, 10):
        assert most_in(times, window) <= rate * window + burst + 1e-6
    spent = times[-1] - times[0]
    assert len(times) / max(spent, 1) >= 0.9 * rate, "and the pace is not given away either"


def test_so_many_calls_at_once_after_a_quiet_time(limiters, clock):
    (limiter,) = limiters(1, 600, burst=5)
    clock.advance(1000)
    times = [call(limiter, clock) for _ in range(7)]
    assert [round(time - times[0], 3) for time in times] == [0, 0, 0, 0, 0, 0.1, 0.2]


def test_a_short_wait_is_slept_and_a_long_one_given_back(limiters, clock):
    (limiter,) = limiters(1, 30, burst=1)
    limiter.wait()
    before = clock.now
    with pytest.raises(RateLimited) as limited:
        limiter.wait()
    assert limited.value.after == pytest.approx(2.0)
    assert limited.value.status is None, "our own pace, not VTEX's answer"
    assert clock.now == before
    clock.advance(2.0 - WORTH_WAITING)
    limiter.wait()
    assert clock.now == pytest.approx(before + 2.0)


def given_back(limiter) -> float:
    with pytest.raises(RateLimited) as limited:
        limiter.wait()
    return limited.value.after


def test_what_is_given_back_is_not_reserved_and_comes_again_in_turn(limiters, clock):
    (limiter,) = limiters(1, 30, burst=1)
    limiter.wait()
    turns = [given_back(limiter) for _ in range(20)]
    assert turns == pytest.approx([2.0 + 1.6 * n for n in range(20)])
    clock.advance(2.0)
    limiter.wait()


def test_a_command_s_calls_go_before_those_that_come_again_in_turn(limiters, clock):
    others, commands = limiters(2, 600)
    others._sleep = commands._sleep = lambda _seconds: None  # the clock stands still: all at one moment
    for _ in range(20):  # until no slot is near enough
        others.wait()
    turns = [given_back(others) for _ in range(100)]
    assert max(turns) > 5
    waits = []
    commands._observe = waits.append
    with commands.first():
        for _ in range(30):
            commands.wait()
    assert waits == pytest.approx([WORTH_WAITING + 0.1 * (n + 1) for n in range(30)])
    given_back(commands)  # as anybody else again
    assert given_back(others) > 5


def test_nobodys_turn_is_too_far_away(limiters, clock):  # the clock stands still: however slow the machine
    (limiter,) = limiters(1, 600)
    limiter._sleep = lambda _seconds: None
    for _ in range(20):  # until no slot is near enough
        limiter.wait()
    turns = [given_back(limiter) for _ in range(3000)]
    assert max(turns) <= FARTHEST_TURN
    assert min(turns) >= 1.0
    assert (
        Policy().decide(RateLimited("", after=max(turns)), attempt=1, age=0, rng=random.Random(1)).after <= 60
    )


def test_accounts_have_a_pace_each(make_ledger, clock):
    one, other = (
        Limiter(make_ledger(name), 6, burst=1, sleep=clock.advance) for name in ("store-a", "store-b")
    )
    one.wait()
    other.wait()
    with pytest.raises(RateLimited):
        one.wait()


# --- the cool-down -----------------------------------------------------------------------------------------


def remaining(limiter) -> float:
    with pytest.raises(RateLimited) as limited:
        limiter.wait()
    return limited.value.after


@pytest.mark.promise("P5")
def test_one_429_pauses_everybody(limiters, clock):
    one, other = limiters(2, 6000)
    assert one.cool_down(None) == 60
    assert remaining(other) == pytest.approx(60, abs=0.01)
    clock.advance(59.9)
    assert remaining(one) == pytest.approx(0.1, abs=0.01)
    clock.advance(0.2)
    other.wait()


@pytest.mark.promise("P5")
def test_many_answers_to_calls_in_flight_count_once(limiters, clock):
    several = limiters(3, 6000)
    for limiter in itertools.islice(itertools.cycle(several), 64):
        assert limiter.cool_down(None) <= 60
        clock.advance(0.01)
    clock.advance(60)
    several[0].wait()
    assert several[0]._ledger.stats()["cooldowns"] == 1


def test_a_repeated_429_doubles_the_pause_up_to_ten_minutes(limiters, clock):
    (limiter,) = limiters(1, 6000)
    pauses = []
    for _ in range(7):
        pauses.append(limiter.cool_down(None))
        clock.advance(pauses[-1] + 5)
    assert pauses == [60, 120, 240, 480, 600, 600, 600]


def test_a_quiet_time_begins_it_anew(limiters, clock):
    (limiter,) = limiters(1, 6000)
    limiter.cool_down(None)
    clock.advance(60 + 61)
    assert limiter.cool_down(None) == 60


def test_what_vtex_asks_for_is_honoured(limiters, clock):
    (limiter,) = limiters(1, 6000)
    assert limiter.cool_down(7.5) == 7.5
    clock.advance(7.4)
    assert remaining(limiter) == pytest.approx(0.1, abs=0.01)
    clock.advance(0.2)
    limiter.wait()


def test_a_longer_wish_lengthens_the_pause_and_a_shorter_one_does_not(limiters, clock, on_real_server):
    (limiter,) = limiters(1, 6000)
    assert limiter.cool_down(10) == 10
    assert limiter.cool_down(3) == 10
    assert limiter.cool_down(1000) == 1000
    if not on_real_server:
        clock.advance(300)
        assert remaining(limiter) == pytest.approx(700), "it is not forgotten on the way"


def test_a_wish_of_nothing_is_still_a_pause(limiters, clock):
    """``Retry-After: 0`` beside a 429 must not let everybody go on hammering."""
    (limiter,) = limiters(1, 6000)
    assert limiter.cool_down(0.0) == 1.0
    assert remaining(limiter) == pytest.approx(1.0, abs=0.01)


# --- Redis away --------------------------------------------------------------------------------------------


@pytest.mark.promise("P5")
def test_without_redis_it_is_slower_and_goes_on(limiters, clock, monkeypatch):
    (limiter,) = limiters(1, 6000)

    def away(*_):
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(limiter._ledger, "move_pace", away)
    before = clock.now
    for _ in range(3):
        limiter.wait()
    assert clock.now == before + 3 * WORTH_WAITING


def test_without_redis_a_slow_account_stays_slow(limiters, clock, monkeypatch):
    (limiter,) = limiters(1, 6)

    def away(*_):
        raise redis.TimeoutError("gone")

    monkeypatch.setattr(limiter._ledger, "move_pace", away)
    before = clock.now
    limiter.wait()
    assert clock.now == before + 10
