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


def seen(document, paces=(), width=80):
    screen = io.StringIO()
    Console(file=screen, width=width).print(live.picture(document, paces))
    assert all(len(line) <= width for line in screen.getvalue().splitlines())
    return screen.getvalue()


def test_a_quiet_store():
    text = seen(QUIET)
    for words in ("shop", "all is well", "the oldest for 90 s", "5000", "in flight", "4 done"):
        assert words in text


def test_the_pace_and_how_it_went():
    assert "10.0 a second  ▁▅█▅" in seen(QUIET, [0.0, 10.0, 20.0, 10.0])
    assert "0.0 a second  ▁▁" in seen(QUIET, [0.0, 0.0])
    assert "a second" not in seen(QUIET)


def test_the_pace_is_what_ended_since_the_look_before(monkeypatch):
    ended, drawn, clock = iter([100, 120, 150]), [], iter(range(0, 100, 2))

    def facts(_feed):
        return QUIET | {"orders": STATES | {"done": next(ended), "ignored": 0}}

    class Screen:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, *_, **__):
            pass

    monkeypatch.setattr(live, "Live", Screen)
    monkeypatch.setattr(live, "picture", lambda _document, paces, _at: drawn.append(list(paces)))
    monkeypatch.setattr(live.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(live.time, "sleep", lambda _seconds: None)
    with pytest.raises(StopIteration):
        live.watch(facts)
    assert drawn == [[], [10.0], [10.0, 15.0]]


@pytest.mark.parametrize(
    ("more", "said"),
    [({"paused": {"erp": {"why": "x", "by": "maria"}}}, "paused"), ({"workers": 0}, "nobody works")],
)
def test_all_is_not_well_before_an_alarm_is_raised(more, said):
    text = seen(QUIET | more)
    assert said in text.splitlines()[0]
    assert "all is well" not in text


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


def test_several_stores_have_a_line_each():
    calm = QUIET | {
        "account": "outlet",
        "orders": STATES | {"open": 12},
        "feed": QUIET["feed"] | {"quantity": 400},
    }
    stopped = QUIET | {"paused": {"vtex": {"why": "401"}}, "shadow": "look"}
    whole = QUIET | {"accounts": {"shop": stopped, "outlet": calm}, "alarms": [ALARM | {"account": "shop"}]}
    for name in ("account", "paused", "shadow"):
        del whole[name]
    lines = seen(whole).splitlines()
    assert "2 stores" in lines[0]
    [shop] = [line for line in lines if line.split()[:1] == ["shop"]]
    [outlet] = [line for line in lines if line.split()[:1] == ["outlet"]]
    assert "paused: VTEX" in shop
    assert "SHADOW" in shop
    assert outlet.split()[1:] == ["400", "12", "0", "0", "102"]
    assert "shop: redis full: Redis is 90 % full" in "\n".join(lines)
    assert "paused" in seen(whole | {"alarms": []}).splitlines()[0]


def test_a_feed_that_cannot_be_asked_or_is_gone():
    unknown = {"configured": None, "quantity": None, "oldest_seconds": None}
    assert "VTEX answered 401" in seen(QUIET | {"feed": unknown | {"error": "VTEX answered 401"}})
    assert "vtexorders feed configure" in seen(QUIET | {"feed": unknown | {"configured": False}})


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_it_is_for_a_terminal(more):
    done = CliRunner().invoke(console, ["status", "--watch", *more])
    assert done.exit_code == 2
    assert "--watch is for a terminal" in done.output
