"""Wrong tokens and wrong secrets of the hook: the log stays short, who guesses is slowed, and nobody else is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from workers.settings import Secret
from workers.web import strangers, tally

from .web import ALL, SECRET, TOKENS, front_door

GUESSES = 300


class Lines:
    """What the log was told."""

    def __init__(self):
        self.said = []

    def warning(self, event, **fields):
        self.said.append({"event": event} | fields)


@pytest.fixture
def given(_settings):
    """The settings of the session's worker."""
    return _settings


@pytest.fixture
def lines(monkeypatch):
    kept = Lines()
    monkeypatch.setattr(tally, "log", kept)
    monkeypatch.setattr(tally, "EVERY", 3600.0)  # what is longer than any test: it is said at the end
    monkeypatch.setattr(strangers, "WRONG_PER_MINUTE", 1)
    monkeypatch.setattr(strangers, "HELD_BACK", 0.01)
    return kept


def guess(door, number):
    """Wrong in every way there is, one after the other; the status, and when to come again."""
    if number % 3:
        headers, method, path = {"Authorization": f"Bearer {number:032}"}, "GET", "/v1/orders/1-01"
    else:
        headers, method, path = {"X-Hook-Secret": f"{number:032}"}, "POST", "/hooks/vtex/teststore"
    answer = requests.request(method, door.url + path, headers=headers, timeout=60)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    return answer


def test_who_guesses_is_slowed_and_fills_no_log_and_nobody_else_waits(given, fresh_redis, lines):
    settings = dataclasses.replace(given, web_tokens=Secret(TOKENS), hook_secret=Secret(SECRET))
    with front_door(settings) as door, ThreadPoolExecutor(16) as guessers:
        answers = [guessers.submit(guess, door, number) for number in range(GUESSES)]
        # from the same address, as if all came through one proxy
        honest = [door.get("/v1/commands/x", token=ALL).status_code for _ in range(20)]
        honest += [door.event(f"{number}-01").status_code for number in range(5)]
        answers = [answer.result() for answer in answers]
        assert Counter(honest) == {404: 20, 200: 5}
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {401, 429}
        assert statuses[401] >= 20
        assert statuses[429] > GUESSES // 2
        late = [answer for answer in answers if answer.status_code == 429]
        assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in late)
        assert all(answer.headers["Connection"] == "close" for answer in late)
        assert {answer.json()["detail"][:26] for answer in late} == {"from 127.0.0.1 too many we"}
        assert door.get("/v1/commands/x", token=ALL).status_code == 404
        assert door.get("/v1/commands/x", token=None).status_code == 401  # that is no guess
    first, rest = lines.said
    assert first["event"] == rest["event"] == "strangers_refused"
    assert first["count"] + rest["count"] == GUESSES + 1
    assert (rest["address"], rest["of_it"], rest["addresses"]) == ("127.0.0.1", GUESSES, 1)
    kinds = Counter(first["kinds"]) + Counter(rest["kinds"])
    assert kinds == {"token": GUESSES * 2 // 3 + 1, "hook": GUESSES // 3}


def test_what_is_no_http_is_summed_up_too(given, fresh_redis, lines):
    settings = dataclasses.replace(given, web_tokens=Secret(TOKENS))
    with front_door(settings) as door:
        for _ in range(30):
            with requests.Session() as session:
                wrong = requests.Request("GET", door.url, headers={"Host": "\x01"}).prepare()
                assert session.send(wrong, timeout=30).status_code == 400
    assert [line["count"] for line in lines.said] == [1, 29]
    assert list(lines.said[1]["kinds"]) == ["no HTTP (BadHttpMessage)"]
