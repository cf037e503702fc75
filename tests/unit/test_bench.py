"""What the bench makes of its figures. That it measures the real thing is tried by running it."""

from __future__ import annotations

import io
import os
import tomllib

import click
import pytest
from rich.console import Console

from workers.bench import light, paced, report, session, stores, usage
from workers.bench.contenders import Runner
from workers.bench.race import Result
from workers.sandbox.process import SandboxProcess


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
    plan = session.Plan(["floor", "textbook", "ours"], (1000,), (0.1,), (1, 2), 2)
    round_of = [("floor", 1), ("textbook", 1), ("textbook", 2), ("ours", 1), ("ours", 2)]
    assert [(name, processes) for name, _, _, processes in plan.races()] == [*round_of * 2, ("floor", 1)]


def test_it_works_only_in_a_folder_of_its_own(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(click.UsageError, match="no bench made"):
        session._claim(tmp_path)
    session._claim(tmp_path / "new")
    session._claim(tmp_path / "new")


def test_everything_is_kept(tmp_path):
    report.save(tmp_path / "a" / "b.json", report.Figures([result("floor", 10)]))
    assert '"per_second": 10' in (tmp_path / "a" / "b.json").read_text()


def test_each_measurement_has_a_table_and_says_when_it_is_worthless():
    figures = report.Figures(
        runs=[result("floor", 300), result("ours", 200)],
        paced=[paced.Paced(6000, 0.1, 1400, 2, 25.0, 99.5, 100.4, 43.4, 0, 2, 0.2, 0.05, 0.01)],
        stores=[stores.Served(3, 0.1, 3000, 2, 120.0, [40.0, 41.0, 45.0], 5.0, 1.0)],
        light=[light.Waits(200, 10.0, 0.1, 5.0, 0.4, 4.9, 5.1, reads=0.6, polling=2160.0)],
    )
    assert not figures.worthless()
    shown = io.StringIO()
    report.show(Console(file=shown, width=250), figures)
    for row in ("99.5 100.0 0.995 100.4 0 43.4 26.0", "120 40 45 5.00 1.00", "0.40 4.90 5.10 200 0.6 2160"):
        assert row in " ".join(shown.getvalue().split())
    figures.stores[0].problems.append("an order was handled twice")
    assert figures.worthless()
    report.show(Console(file=shown, width=250), figures)
    assert "worthless: an order was handled twice" in shown.getvalue()


def test_the_busiest_seconds_are_so_many_wherever_they_begin():
    assert paced.busiest([0.0, 1.0, 9.9, 10.1, 10.2, 10.3, 30.0], 10.0) == 0.5  # from 1.0 to 10.3
    assert paced.busiest([], 10.0) == 0


def test_processor_time_is_that_between_two_moments(monkeypatch):
    used = iter([1.0, 2.0, 4.0, 9.0])
    moments = iter([10.0, 20.0, 30.0, 40.0])
    monkeypatch.setattr(usage, "of_all", lambda pids: usage.Usage(next(used) if pids else 0.0))
    monkeypatch.setattr(usage, "cores", lambda: 2)
    monkeypatch.setattr(paced.time, "time", lambda: next(moments))
    meter = paced.Meter(Runner([1]))
    for _ in range(4):
        meter.look()
    assert meter.between(15.0, 30.0) == (0.1, 0.0, 0.0)  # 2 of the 20 seconds that two cores have


def test_polling_is_counted_in_whole_polls():
    drained = [number / 10 for number in range(20)]
    reads = [at + read for at in (15.0, 30.0, 45.0) for read in (0.0, 0.1, 0.2)]
    assert light.polling([*drained, *reads], 15.0, since=1.05) == pytest.approx(3 * 240)
    assert light.polling([number / 10 for number in range(100)], 1.0, since=5.0) == pytest.approx(36_000)


@pytest.mark.parametrize(("poll", "seconds"), [(1.0, 20.0), (5.0, 20.0), (7.0, 28.0), (15.0, 60.0)])
def test_orders_come_at_every_moment_between_two_polls(poll, seconds):
    assert light._whole(poll, light.POLLS, light.SECONDS) == seconds


def test_each_store_has_a_key_of_its_own():
    shops = [SandboxProcess(stores._shop(number, 0.1)) for number in range(2)]
    tables = tomllib.loads("".join(map(stores._table, shops)))
    assert [table["app_key"] for table in tables.values()] == ["key-of-store1", "key-of-store2"]
    assert [shop.config.app_token for shop in shops] == [table["app_token"] for table in tables.values()]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="Linux only")  # noqa: PTH110
def test_usage_is_that_of_the_process():
    before = usage.of(os.getpid())
    sum(number * number for number in range(3_000_000))
    after = usage.of(os.getpid())
    assert after.cpu > before.cpu
    assert after.rss > 1_000_000
    assert os.getpid() in usage.family(os.getpid())
    assert usage.of(2**22 + 1) == usage.Usage()
