"""The fault plan: what it accepts, and that a seed makes it repeat itself."""

from collections import Counter

import pytest

from workers.sandbox.faults import FaultPlan, Faults


def test_a_plan_is_read_from_words():
    plan = FaultPlan.parse(
        " 5xx=0.1, lost=0.05,duplicates=0.1,429=0.02,cut=0.02,html=0.01,truncated=0.01,other=0.03,slow=0.5 "
    )
    assert plan == FaultPlan(
        error_5xx=0.1,
        lost_answer=0.05,
        duplicate_event=0.1,
        error_429=0.02,
        cut_before=0.02,
        html_error=0.01,
        truncated_json=0.01,
        other_json=0.03,
        slow=0.5,
    )
    assert FaultPlan.parse("") == FaultPlan()
    assert FaultPlan.parse("error_5xx=1,slow_seconds=7").slow_seconds == 7


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("6xx=0.1", "not a fault: '6xx=0.1'.*5xx, 429, lost"),
        ("5xx", "not a fault: '5xx'"),
        ("5xx=often", "not a number in '5xx=often'"),
        ("5xx=1.5", "error_5xx is a probability, so at most 1"),
        ("5xx=-1", "from 0 up"),
        ("5xx=nan", "from 0 up"),
        ("5xx=0.6,lost=0.6", "exclude each other"),
    ],
)
def test_a_wrong_plan_is_refused_in_words(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        FaultPlan.parse(text)


def test_the_same_call_at_the_same_place_fails_the_same_way_in_every_run():
    plan = FaultPlan(error_5xx=0.3, lost_answer=0.3)
    runs = [
        [faults.draw("GET", f"/api/{number % 5}") for number in range(200)]
        for faults in (Faults(plan, 3), Faults(plan, 3))
    ]
    assert runs[0] == runs[1]
    other = Faults(plan, 4)
    assert [other.draw("GET", f"/api/{number % 5}") for number in range(200)] != runs[0]


def test_other_calls_in_between_change_nothing():
    plan = FaultPlan(error_5xx=0.5)
    alone, crowded = Faults(plan, 1), Faults(plan, 1)
    expected = [alone.draw("GET", "/a") for _ in range(50)]
    seen = []
    for number in range(50):
        crowded.draw("POST", "/a")
        crowded.draw("GET", f"/{number}")
        seen.append(crowded.draw("GET", "/a"))
    assert seen == expected


def test_a_retry_is_drawn_anew():
    faults = Faults(FaultPlan(error_5xx=0.5), 1)
    kinds = {faults.draw("GET", "/same").kind for _ in range(50)}
    assert kinds == {None, "error_5xx"}


def test_the_shares_are_what_the_plan_says():
    faults = Faults(FaultPlan(error_5xx=0.2, cut_before=0.1, slow=0.5, slow_seconds=9), 1)
    draws = [faults.draw("GET", f"/{number}") for number in range(5000)]
    kinds = Counter(draw.kind for draw in draws)
    assert kinds["error_5xx"] == pytest.approx(1000, rel=0.1)
    assert kinds["cut_before"] == pytest.approx(500, rel=0.15)
    assert Counter(draw.delay for draw in draws)[9] == pytest.approx(2500, rel=0.1)
    assert all(0 <= draw.choice < 1 and 0 <= draw.pace < 1 for draw in draws)


def test_a_scripted_fault_comes_first_and_only_so_often():
    faults = Faults(FaultPlan(), 1)
    faults.script("lost_answer", "start-handling", method="POST", times=2)
    faults.script("slow", "feed")
    assert faults.draw("GET", "/start-handling").kind is None
    assert [faults.draw("POST", "/1/start-handling").kind for _ in range(3)] == ["lost_answer"] * 2 + [None]
    slow = faults.draw("GET", "/feed")
    assert (slow.kind, slow.delay) == (None, FaultPlan().slow_seconds)
    with pytest.raises(ValueError, match="not a fault of a call: 'boom'"):
        faults.script("boom", "/")


def test_duplicates_are_drawn_by_event():
    faults = Faults(FaultPlan(duplicate_event=0.3), 1)
    drawn = [faults.duplicates(f"event {number}") for number in range(2000)]
    assert sum(drawn) == pytest.approx(600, rel=0.15)
    assert drawn == [faults.duplicates(f"event {number}") for number in range(2000)]
    assert not Faults(FaultPlan(), 1).duplicates("event 1")
