"""Live or not, ready or not: by the main loop and by Redis, and never restarted because Redis is away."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import redis

from workers import heartbeat
from workers.heartbeat import HANGS, SILENT, Heartbeat


@pytest.fixture
def process(client, tmp_path):
    """A worker whose clock and Redis the test has in its hands."""
    times = [0.0]
    beats = Heartbeat(client, "orders@here", ["orders"], folder=tmp_path, clock=lambda: times[0])
    beats.now = times
    return beats


def state(process) -> tuple[bool, bool]:
    said = process.health()
    assert bool(said.why) == (not said.ready)
    return said.live, said.ready


def test_a_process_that_beats_is_ready(process):
    process.beat()
    process.pulse()
    assert state(process) == (True, True)


def test_a_main_loop_that_hangs_although_redis_answers_is_to_be_started_again(process):
    process.beat()
    process.now[0] = SILENT + 1
    assert state(process) == (True, False)
    process.now[0] = HANGS + 1
    assert state(process) == (False, False)
    process.pulse()
    assert state(process) == (True, True)


def test_a_process_that_waits_for_redis_lives(process, monkeypatch):
    def away(*_, **__):
        raise redis.ConnectionError

    process.beat()
    monkeypatch.setattr(process._redis, "expire", away)
    process.now[0] = 10 * HANGS
    process.beat()
    assert state(process) == (True, False)
    assert "Redis" in process.health().why
    monkeypatch.undo()
    process.beat()
    assert process.health().live, "its loop gets a minute to come around after Redis is there again"


def test_what_it_says_is_in_a_file_until_it_ends(process, tmp_path):
    process.pulse()
    process.beat()
    (said,) = heartbeat.here(tmp_path)
    assert said == process.health()
    process.stop()
    assert heartbeat.here(tmp_path) == []


def test_a_process_that_died_does_not_live(process, tmp_path):
    process.beat()
    (file,) = tmp_path.glob("*.json")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": dead.pid}))
    (said,) = heartbeat.here(tmp_path)
    assert (said.live, said.why) == (False, "it died")


def test_a_process_whose_heart_stopped_does_not_live(process, tmp_path):
    import os

    process.beat()
    (file,) = tmp_path.glob("*.json")
    os.utime(file, (1, 1))
    (said,) = heartbeat.here(tmp_path)
    assert not said.live
    assert "has said nothing for" in said.why


def test_torn_and_foreign_files_are_left_alone(process, tmp_path):
    process.beat()
    (file,) = tmp_path.glob("*.json")
    file.with_name(file.name.replace(".json", "0.json")).write_text("{")
    assert len(heartbeat.here(tmp_path)) == 1
