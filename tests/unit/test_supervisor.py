from __future__ import annotations

import logging
import signal

import pytest

from workers import child
from workers.supervisor import Backoff, Supervisor, describe


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Process:
    """Stands in for a Popen that ends when the test says so."""

    count = 0

    def __init__(self):
        Process.count += 1
        self.pid = Process.count
        self.returncode = None
        self.signals = []


class Scene:
    """A supervisor whose time, children and signals are the test's."""

    def __init__(self, monkeypatch):
        self.clock = Clock()
        self.started = {}
        self.refuse = False
        self.ends = []
        self.supervisor = Supervisor(
            clock=self.clock, spawn=self.spawn, on_end=lambda *end: self.ends.append(end)
        )
        monkeypatch.setattr(child, "ended", lambda process: process.returncode is not None)
        monkeypatch.setattr(child, "send", lambda process, signum: process.signals.append(signum))
        monkeypatch.setattr(child, "kill", self.kill)

    def spawn(self, argv, *, env=None):
        if self.refuse:
            raise OSError("no more processes")
        process = Process()
        self.started.setdefault(argv[0], []).append(process)
        return process

    def kill(self, process):
        process.signals.append(signal.SIGKILL)
        process.returncode = -9

    def signal(self, after=1.0):
        self.clock.now += after
        self.supervisor._signals._note(signal.SIGTERM, None)

    def step(self, after=0.0):
        self.clock.now += after
        return self.supervisor._step()


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def test_the_pause_doubles_up_to_its_limit_and_starts_anew_after_a_steady_life():
    backoff = Backoff()
    assert [backoff.died(1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.died(60) == 0.5
    for _ in range(2000):
        assert backoff.died(0) <= 30


def test_every_end_is_told_with_its_process_and_a_listener_that_fails_stops_nothing(scene):
    scene.supervisor.add("worker", ["worker"])
    assert scene.step()
    (first,) = scene.started["worker"]
    first.returncode = -9
    scene.step()
    assert scene.ends == [("worker", first.pid)]
    scene.supervisor._on_end = None
    scene.step(after=10)
    scene.started["worker"][1].returncode = 1
    scene.step()
    scene.step(after=10)
    assert len(scene.started["worker"]) == 3


def test_what_dies_is_started_again_after_its_pause(scene, caplog):
    scene.supervisor.add("worker", ["worker"])
    with caplog.at_level(logging.INFO):
        assert scene.step()
        first = scene.started["worker"][0]
        first.returncode = -9
        scene.step()
        assert len(scene.started["worker"]) == 1
        scene.step(after=0.5)
    assert len(scene.started["worker"]) == 2
    assert caplog.messages[:2] == [
        f"worker started, pid {first.pid}",
        f"worker ended, pid {first.pid}, SIGKILL; next try in 0.5 s",
    ]


def test_what_dies_again_and_again_is_tried_for_ever_and_loudly(scene, caplog):
    scene.supervisor.add("worker", ["worker"])
    for _ in range(12):
        scene.step()
        scene.started["worker"][-1].returncode = 1
        scene.step()
        scene.clock.now += 30
    assert len(scene.started["worker"]) == 12
    loud = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "12 times in a row" in loud[-1]
    assert "exit code 1" in loud[-1]


def test_what_cannot_even_be_started_is_tried_again(scene, caplog):
    scene.supervisor.add("worker", ["worker"])
    scene.refuse = True
    scene.step()
    assert "worker cannot be started: no more processes; next try in 0.5 s" in caplog.text
    scene.refuse = False
    scene.step(after=0.5)
    assert len(scene.started["worker"]) == 1


def test_beat_stops_before_the_workers(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.supervisor.add("beat", ["beat"], stage=0)
    scene.step()
    (worker,), (beat,) = scene.started["worker"], scene.started["beat"]
    scene.signal()
    assert scene.step()
    assert (beat.signals, worker.signals) == ([signal.SIGTERM], [])
    beat.returncode = 0
    assert scene.step()
    assert worker.signals == [signal.SIGTERM]
    worker.returncode = 0
    assert not scene.step()
    assert not scene.supervisor._killed


def test_what_does_not_stop_in_time_is_killed(scene):
    scene.supervisor.add("worker", ["worker"], grace=20)
    scene.step()
    scene.signal()
    scene.step()
    assert scene.step(after=19)
    assert not scene.step(after=1)
    assert scene.started["worker"][0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert scene.supervisor._killed


def test_a_second_signal_hurries_and_a_third_kills(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.supervisor.add("beat", ["beat"], stage=0)
    scene.step()
    (worker,), (beat,) = scene.started["worker"], scene.started["beat"]
    scene.signal()
    scene.step()
    scene.signal()
    assert scene.step()
    assert beat.signals == [signal.SIGTERM, signal.SIGQUIT]
    assert worker.signals == [signal.SIGTERM]
    scene.signal()
    assert not scene.step()
    assert worker.signals[-1] == beat.signals[-1] == signal.SIGKILL


def test_after_a_second_signal_there_are_five_seconds(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.step()
    scene.signal()
    scene.step()
    scene.signal()
    assert scene.step()
    assert not scene.step(after=5)


def test_two_signals_of_one_gesture_count_once(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.step()
    scene.signal()
    scene.signal(after=0.001)
    scene.step()
    assert scene.started["worker"][0].signals == [signal.SIGTERM]


def test_a_signal_before_the_first_start_starts_nothing(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.signal()
    assert not scene.step()
    assert scene.started == {}


def test_a_signal_between_two_starts_leaves_the_rest(scene):
    scene.supervisor.add("first", ["first"])
    scene.supervisor.add("second", ["second"])
    spawn = scene.supervisor._spawn

    def interrupted(argv, *, env=None):
        scene.signal()
        return spawn(argv, env=env)

    scene.supervisor._spawn = interrupted
    scene.step()
    assert list(scene.started) == ["first"]
    assert scene.step()
    assert scene.started["first"][0].signals == [signal.SIGTERM]


def test_nothing_is_started_again_while_draining(scene):
    scene.supervisor.add("one", ["one"])
    scene.supervisor.add("two", ["two"])
    scene.step()
    scene.signal()
    scene.step()
    scene.started["one"][0].returncode = 1
    assert scene.step(after=30)
    assert len(scene.started["one"]) == 1


def test_what_is_vital_is_restarted_also_while_draining(scene, caplog):
    state = {"alive": True, "restarts": 0, "broken": False}

    def restart():
        if state["broken"]:
            raise RuntimeError("the port was taken")
        state.update(alive=True, restarts=state["restarts"] + 1)

    scene.supervisor.watch(lambda: state["alive"], restart)
    scene.supervisor.add("worker", ["worker"])
    scene.step()
    assert state["restarts"] == 0
    state["alive"] = False
    scene.step()
    assert state["restarts"] == 1
    scene.signal()
    state.update(alive=False, broken=True)
    scene.step()
    assert "the port was taken; next try in 0.5 s" in caplog.text
    state["broken"] = False
    scene.step()
    assert not state["alive"]
    scene.step(after=0.5)
    assert state == {"alive": True, "restarts": 2, "broken": False}


def test_it_sleeps_until_something_is_due(scene):
    scene.supervisor.add("worker", ["worker"])
    scene.step()
    assert scene.supervisor._next_look() - scene.clock.now == 1.0
    scene.started["worker"][0].returncode = 1
    scene.step()
    assert scene.supervisor._next_look() - scene.clock.now == 0.5


def test_return_codes_in_words():
    assert describe(0) == "exit code 0"
    assert describe(-15) == "SIGTERM"
    assert describe(-200) == "signal 200"
