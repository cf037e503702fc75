"""The pace that the sandbox allows an account."""

from collections import Counter

from workers.sandbox.clock import ManualClock
from workers.sandbox.gate import Pace, busiest


def test_a_burst_of_ten_seconds_passes_and_then_the_rate_counts():
    clock = ManualClock()
    pace = Pace(clock, per_minute=600)
    assert [pace.admits() for _ in range(101)] == [True] * 100 + [False]
    clock.now += 1
    assert [pace.admits() for _ in range(11)] == [True] * 10 + [False]
    clock.now += 3600
    assert sum(pace.admits() for _ in range(200)) == 100


def test_without_a_limit_everything_passes():
    pace = Pace(ManualClock(), per_minute=0)
    assert all(pace.admits() for _ in range(10_000))


def test_the_smallest_limit_still_lets_a_call_through():
    assert Pace(ManualClock(), per_minute=1).admits()


def test_the_busiest_minute_is_a_minute_wherever_it_begins():
    calls = Counter({0: 5, 59: 7, 60: 9, 130: 15})
    assert busiest(calls, 60) == 16  # from 1 to 60, or from 59
    assert busiest(calls, 1) == 15
    assert busiest(calls, 3600) == 36
    assert busiest(Counter(), 60) == 0
