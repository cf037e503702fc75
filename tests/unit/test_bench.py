"""What the bench makes of its figures. That it measures the real thing is tried by running it."""

from __future__ import annotations

import os

import click
import pytest

from workers.bench import report, session, usage
from workers.bench.race import Result


def result(name, per_second, **more):
    facts = {"cpu_ms": 2.0, "redis_ms": 0.0, "calls": 3.1, "rss": 50_000_000} | more
    return Result(name, 0.1, 1000, 1, seconds=1000 / per_second, per_second=per_second, **facts)


def test_a_ratio_is_of_medians():
    results = [result("floor", rate) for rate in (100, 200, 1000)]
    results += [result("ours", rate) for rate in (150, 180, 20)]
    assert report.ratio(results, "ours", lambda one: one.per_second) == 0.75


def test_without_a_floor_there_is_no_ratio():
    assert report.ratio([result("ours", 10)], "ours", lambda one: one.per_second) is None


def test_the_floor_runs_before_and_after():
    plan = session.Plan(["floor", "textbook", "ours"], (1000,), (0.1,), (1, 2), 2, None)
    round_of = [("floor", 1), ("textbook", 1), ("textbook", 2), ("ours", 1), ("ours", 2)]
    assert [(name, processes) for name, _, _, processes in plan.races()] == [*round_of * 2, ("floor", 1)]


def test_it_works_only_in_a_folder_of_its_own(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(click.UsageError, match="no bench made"):
        session._claim(tmp_path)
    session._claim(tmp_path / "new")
    session._claim(tmp_path / "new")


def test_everything_is_kept(tmp_path):
    report.save(tmp_path / "a" / "b.json", [result("floor", 10)], [])
    assert '"per_second": 10' in (tmp_path / "a" / "b.json").read_text()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="Linux only")  # noqa: PTH110
def test_usage_is_that_of_the_process():
    before = usage.of(os.getpid())
    sum(number * number for number in range(3_000_000))
    after = usage.of(os.getpid())
    assert after.cpu > before.cpu
    assert after.rss > 1_000_000
    assert os.getpid() in usage.family(os.getpid())
    assert usage.of(2**22 + 1) == usage.Usage()
