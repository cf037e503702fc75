"""The live view: what is wrong stands in it, and a quiet store looks quiet."""

from __future__ import annotations

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from workers.cli import console, live

STATES = {"open": 3, "parked": 0, "done": 100, "ignored": 2, "dead": 0}
QUIET = {
    "account": "shop",
    "orders": STATES,
    "commands": {"open": 0, "parked": 0, "done": 4, "refused": 0, "dead": 0},
    "queues": {"orders": 5000, "in_flight": 64},
    "feed": {"configured": True, "quantity": 7, "oldest_seconds": 90.0},
    "alarms": [],
    "paused": {},
    "shadow": "",
    "workers": 2,
}
ALARM = {
    "name": "redis_full",
    "severity": "critical",
    "says": "Redis is 90 % full",
    "do": "give it more memory",
}


def seen(document, before=None, width=80):
    screen = io.StringIO()
    Console(file=screen, width=width).print(live.picture(document, before))
    assert all(len(line) <= width for line in screen.getvalue().splitlines())
    return screen.getvalue()


def test_a_quiet_store():
    text = seen(QUIET)
    for words in ("shop", "all is well", "the oldest for 90 s", "5000", "in flight", "4 done"):
        assert words in text


def test_the_pace_is_what_ended_since_the_look_before():
    before = QUIET | {"orders": STATES | {"done": 80}}
    assert "10.0 a second" in seen(QUIET, (before, 2.0))


def test_what_is_wrong_and_what_to_do():
    text = seen(QUIET | {"alarms": [ALARM], "paused": {"erp": {"why": "x", "by": "maria"}}, "shadow": "look"})
    for words in (
        "1 alarm",
        "redis full: Redis is 90 % full",
        "-> give it more memory",
        "ERP (by maria)",
        "SHADOW",
    ):
        assert words in text
    assert "all is well" not in text


def test_a_feed_that_cannot_be_asked_or_is_gone():
    unknown = {"configured": None, "quantity": None, "oldest_seconds": None}
    assert "VTEX answered 401" in seen(QUIET | {"feed": unknown | {"error": "VTEX answered 401"}})
    assert "vtexorders feed configure" in seen(QUIET | {"feed": unknown | {"configured": False}})


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_it_is_for_a_terminal(more):
    done = CliRunner().invoke(console, ["status", "--watch", *more])
    assert done.exit_code == 2
    assert "--watch is for a terminal" in done.output
