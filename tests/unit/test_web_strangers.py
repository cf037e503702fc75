"""How strangers are counted: by which address, how many are remembered, when it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from workers.web import pace as pace_module
from workers.web import tally as tally_module
from workers.web.pace import Pace
from workers.web.strangers import address_of
from workers.web.tally import Tally


@pytest.mark.parametrize(("remote", "address"), [
    ("192.0.2.1", "192.0.2.1"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    (None, "unknown"),
    ("", "unknown"),
    ("a socket", "a socket"),
])  # fmt: skip
def test_the_address_that_counts(remote: str | None, address: str) -> None:
    assert address_of(remote) == address


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "MOST", 100)
    pace = Pace(1, clock=lambda: 1000.0)
    for _ in range(20):
        assert pace.wait("guesser") == 0.0
    for number in range(1000):
        pace.wait(number)
        assert pace.wait("guesser") > 0  # whoever goes on is not forgotten
    assert len(pace._free) == 100


class Loop:
    """An event loop's clock, by hand."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.said: list[dict[str, Any]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> Loop:
        self.waiting.append((seconds, call))
        return self

    def cancel(self) -> None:
        self.waiting.clear()

    def warning(self, event: str, **fields: Any) -> None:
        self.said.append(fields)

    def minute(self) -> None:
        [(seconds, call)] = self.waiting
        assert seconds == 60.0
        self.waiting.clear()
        call()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    monkeypatch.setattr(tally_module, "log", made)
    return made


def test_the_first_is_said_at_once_and_then_a_line_a_minute(loop: Loop) -> None:
    tally = Tally("wrong")
    tally.count("token", "a")
    assert [line["count"] for line in loop.said] == [1]
    for _ in range(200):
        tally.count("token", "b")
    for _ in range(99):
        tally.count("hook", "a")
    assert len(loop.said) == 1
    loop.minute()
    assert loop.said[1] == {
        "count": 299, "kinds": {"token": 200, "hook": 99}, "address": "b", "of_it": 200, "addresses": 2
    }  # fmt: skip
    loop.minute()  # nothing more came
    assert not loop.waiting
    assert len(loop.said) == 2
    tally.count("token", "a")  # and this one is said at once again
    assert len(loop.said) == 3
    tally.count("token", "a")
    tally.close()
    assert (loop.said[3]["count"], loop.waiting) == (1, [])


def test_a_thousand_addresses_are_told_apart_and_no_more(loop: Loop) -> None:
    tally = Tally("wrong")
    for number in range(5001):
        tally.count("token", str(number))
    tally.close()
    assert loop.said[1]["count"] == 5000
    assert (loop.said[1]["address"], loop.said[1]["of_it"], loop.said[1]["addresses"]) == (
        "others",
        4000,
        1001,
    )
