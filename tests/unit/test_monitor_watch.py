"""An alarm is raised once and cleared once, whatever flickers, and is told until somebody heard it."""

from __future__ import annotations

import dataclasses

import fakeredis
import pytest
import redis
import structlog

from workers.monitor import rules, watch
from workers.monitor.readings import Reading
from workers.monitor.rules import RULES, Rule
from workers.monitor.watch import Watch
from workers.settings import Account, Secret, Settings

SETTINGS = Settings({"shop": Account("shop", Secret("key"), Secret("token"))}, "sqlite:///erp.db")
LEVEL = Rule("level", "critical", "vtexorders_redis_memory_ratio", 0.8, "{percent} % full", "do it", ends=0.7)
LASTING = Rule("lasting", "warning", "vtexorders_cool_down_seconds", 0, "cool", "wait", hold=60, linger=300)
RISING = Rule("rising", "warning", "vtexorders_healed_total", 100, "{value} healed", "look", over=600)


@pytest.fixture
def operator(monkeypatch, client):
    """Somebody who listens to a store of which the test says how it stands."""
    return Operator(monkeypatch, client)


class Operator:
    def __init__(self, monkeypatch, client) -> None:
        self.redis, self.now, self.heard, self.hears = client, 1000.0, [], True
        self.reading = Reading()
        self.patch = monkeypatch
        self.rules(LEVEL, LASTING, RISING)
        monkeypatch.setattr(watch, "read", lambda *_: self.reading)
        self.watch = self.another()

    def rules(self, *chosen) -> None:
        self.patch.setattr(rules, "RULES", chosen)
        self.patch.setattr(rules, "BY_NAME", {rule.name: rule for rule in chosen})

    def another(self, client=None):
        """Another beat."""
        return Watch(client or self.redis, [], SETTINGS, send=self.send, clock=lambda: self.now)

    def send(self, document) -> bool:
        if self.hears:
            self.heard.append(document)
        return self.hears

    def look(self, seconds=15.0, *, by=None, **values) -> list[str]:
        """So much later, with these values, the watch looks; what was heard."""
        self.now += seconds
        for name, value in values.items():
            labels = ("shop",) if name in ("cool_down_seconds", "healed_total") else ()
            self.reading.put(f"vtexorders_{name}", value, *labels)
        before = len(self.heard)
        (by or self.watch).look()
        return [f"{one['alarm']} {one['state']}" for one in self.heard[before:]]


def test_a_level_is_raised_high_and_cleared_low(operator):
    assert operator.look(redis_memory_ratio=0.79) == []
    assert operator.look(redis_memory_ratio=0.81) == ["level raised"]
    assert operator.look(redis_memory_ratio=0.75) == []
    assert operator.look(redis_memory_ratio=0.9) == []
    assert operator.look(redis_memory_ratio=0.7) == ["level cleared"]
    assert operator.look(redis_memory_ratio=0.75) == []


def test_what_must_last_must_last_and_what_flickers_stays(operator):
    assert operator.look(cool_down_seconds=50) == []
    assert operator.look(45, cool_down_seconds=5) == []
    assert operator.look(cool_down_seconds=20) == ["lasting raised"]
    assert operator.look(cool_down_seconds=0) == []
    assert operator.look(200, cool_down_seconds=0) == []
    assert operator.look(50, cool_down_seconds=9) == []
    assert operator.look(10, cool_down_seconds=0) == []
    assert operator.look(290, cool_down_seconds=0) == []
    assert operator.look(10, cool_down_seconds=0) == ["lasting cleared"]


def test_a_rise_counts_over_its_window_and_survives_a_counter_that_begins_anew(operator):
    assert operator.look(healed_total=5000) == []  # what was before nobody knows
    assert operator.look(300, healed_total=5090) == []
    assert operator.look(200, healed_total=11) == ["rising raised"]  # 90, then 11 since Redis was lost
    assert operator.heard[-1]["says"] == "101 healed"
    assert operator.look(590, healed_total=11) == ["rising cleared"]


def test_what_is_sent_has_all_that_is_needed(operator):
    operator.look(redis_memory_ratio=0.85, cool_down_seconds=1)
    operator.look(60, cool_down_seconds=1)
    level, lasting = operator.heard
    assert level["severity"] == "critical"
    assert level["says"] == "85 % full"
    assert level["account"] is None
    assert level["text"] == "[critical] 85 % full. do it"
    assert level["runbook"].endswith("#level")
    assert lasting["account"] == "shop"
    assert lasting["text"].startswith("[warning] shop: ")
    operator.look(redis_memory_ratio=0.5)
    over = operator.heard[-1]
    assert over["state"] == "cleared"
    assert over["id"] != level["id"]


def test_an_alarm_is_told_until_somebody_heard_it_and_ever_more_seldom(operator):
    operator.hears = False
    operator.look(redis_memory_ratio=0.9)
    tries = []
    operator.watch._send = lambda document: tries.append(document["id"]) or False
    for _ in range(40):
        operator.look(15)
    assert 3 <= len(tries) <= 8
    assert len(set(tries)) == 1, "always the same one"
    operator.watch._send, operator.hears = operator.send, True
    assert operator.look(300) == ["level raised"]
    assert operator.look(300) == []


def test_who_did_not_hear_that_it_began_does_not_hear_that_it_is_over(operator):
    operator.hears = False
    operator.look(redis_memory_ratio=0.9)
    operator.look(redis_memory_ratio=0.1)
    operator.hears = True
    assert operator.look(600) == []


def test_another_beat_goes_on_where_one_ended_and_two_tell_once(operator):
    second = operator.another()
    assert operator.look(redis_memory_ratio=0.9) == ["level raised"]
    assert operator.look(by=second) == []
    assert operator.look(by=second, redis_memory_ratio=0.1) == []  # the first one has the lease
    operator.reading.put("vtexorders_redis_memory_ratio", 0.9)
    operator.watch.stop()
    assert operator.look(by=second) == []
    assert operator.look(by=second, redis_memory_ratio=0.1) == ["level cleared"]


def test_a_redis_that_takes_nothing_keeps_nobody_from_hearing(operator, monkeypatch):
    def full(*_, **__):
        raise redis.OutOfMemoryError

    monkeypatch.setattr(operator.redis, "pipeline", full)
    monkeypatch.setattr(operator.watch._lock, "acquire", full)
    assert operator.look(redis_memory_ratio=0.99) == ["level raised"]
    assert operator.look() == []
    assert operator.look(redis_memory_ratio=0.5) == ["level cleared"]


def test_a_redis_that_is_away_is_told_and_changes_nothing_else(operator, monkeypatch):
    down = Rule("redis_down", "critical", "vtexorders_redis_up", 1, "away", "start it", beyond="below")
    operator.rules(down, LEVEL)
    assert operator.look(redis_memory_ratio=0.9, redis_up=1) == ["level raised"]
    server = fakeredis.FakeServer()
    gone = operator.another(fakeredis.FakeRedis(server=server, decode_responses=True))
    gone._standings = operator.watch._standings
    server.connected = False
    operator.reading = Reading()
    assert operator.look(by=gone, redis_up=0) == ["redis_down raised"]
    assert operator.look(by=gone) == []
    server.connected = True
    assert operator.look(by=gone, redis_up=1, redis_memory_ratio=0.9) == ["redis_down cleared"]


def test_the_log_has_one_line_for_each(operator, monkeypatch):
    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(watch, "log", log)
    for ratio in (0.9, 0.9, 0.1, 0.1):
        operator.look(redis_memory_ratio=ratio)
    lines = [(one.method_name, one.args[0], one.kwargs["alarm"]) for one in log.calls]
    assert lines == [("error", "alarm_raised", "level"), ("warning", "alarm_cleared", "level")]


# The console


def test_the_console_shows_what_was_raised_and_what_it_sees_itself(operator):
    operator.look(redis_memory_ratio=0.9)
    operator.reading.put("vtexorders_beats", 1)
    operator.reading.put("vtexorders_redis_memory_ratio", 0.75)  # not over yet
    operator.reading.put("vtexorders_cool_down_seconds", 5, "shop")  # not for a minute yet
    alarms = watch.alarms(operator.redis, SETTINGS, operator.reading)
    assert [(one.name, one.says, one.since) for one in alarms] == [("level", "90 % full", operator.now)]
    operator.reading.put("vtexorders_beats", 0)  # nobody watches
    assert [one.name for one in watch.alarms(operator.redis, SETTINGS, operator.reading)] == ["lasting"]


def test_a_trial_run_keeps_its_alarms_apart(operator):
    operator.look(redis_memory_ratio=0.9)
    trial = dataclasses.replace(SETTINGS, shadow="look")
    operator.reading = Reading()
    operator.reading.put("vtexorders_beats", 1)
    assert watch.alarms(operator.redis, trial, operator.reading) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_condition_can_begin_and_be_over(rule):
    assert rule.bad(rule.begins + (1e-6 if rule.beyond == "above" else -1e-6))
    assert rule.fine(rule.over_at)
    assert not rule.bad(rule.over_at)
    reading = Reading()
    labels = [rule.where.get(label, "shop") for label in rules.METRICS[rule.metric].labels]
    reading.put(rule.metric, 7, *labels)
    assert list(rule.values(reading)) == ["shop" if rule.of_a_store else ""]
    said = rule.words(reading, "shop", 7)
    assert "{" not in said
    assert rule.do
