"""An order's record in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workers import story
from workers.ledger import Record, TimelineEntry

NOW = 1_800_000_000.0
ROOT = Path(__file__).parents[2]


def record(state="open", step="download", **options):
    known = {
        "order_id": "1-01",
        "state": state,
        "step": step,
        "status": None,
        "erp": "",
        "told": "",
        "attempts": 0,
        "crashes": 0,
        "error": None,
        "due": NOW + 60,
        "claimed_until": None,
        "uncommitted": 1,
    }
    return Record(**(known | options))


def test_the_timeline_in_sentences_and_in_the_stores_time():
    told = record(
        timeline=[
            TimelineEntry(NOW, "seen", "ready-for-handling"),
            TimelineEntry(NOW + 1.5, "delivered", "ready-for-handling"),
            TimelineEntry(NOW + 2, "retry", "start-handling in 4.0 s: VTEX answered 503 {odd} %s"),
            TimelineEntry(NOW + 6, "handled", ""),
            TimelineEntry(NOW + 7, "something-newer", "why"),
        ]
    )
    assert story.sentences(told, "America/Sao_Paulo") == [
        "2027-01-15 05:00:00.0  VTEX told us of it (ready-for-handling)",
        "2027-01-15 05:00:01.5  the ERP has it (VTEX's status was ready-for-handling)",
        "2027-01-15 05:00:02.0  did not work: start-handling in 4.0 s: VTEX answered 503 {odd} %s",
        "2027-01-15 05:00:06.0  VTEX knows that it is being handled",
        "2027-01-15 05:00:07.0  something-newer why",
    ]


def test_an_order_without_a_timeline_has_no_sentences():
    assert story.sentences(record(), "UTC") == []


READ, TOLD, ACKNOWLEDGED = (story._STEPS[step] for step in ("download", "start-handling", "ack"))
VTEX = {"vtex": {"why": "401: wrong key", "since": NOW}}
ERP = {"erp": {"why": "no such table", "since": NOW}}


@pytest.mark.parametrize(
    ("of", "paused", "expected"),
    [
        (record("done", None, uncommitted=0), {}, "nothing, it is finished"),
        (
            record("ignored", None, uncommitted=2),
            {},
            "nothing, it is finished; 2 event(s) are still to be acknowledged",
        ),
        (record("done", None, uncommitted=0), VTEX, "nothing, it is finished"),
        (record("dead", None, error="the ERP refused it"), {}, "nothing by itself: the ERP refused it"),
        (record("dead", None), {}, "nothing by itself: it was given up"),
        (record(), VTEX, "it waits, because VTEX is paused: 401: wrong key"),
        (record(), ERP, "it waits, because the ERP is paused: no such table"),
        (record(), ERP | VTEX, "it waits, because the ERP is paused: no such table"),
        (record(step="start-handling"), VTEX, "it waits, because VTEX is paused: 401: wrong key"),
        (
            record(step="start-handling"),
            ERP,
            f"{TOLD}, as soon as a worker is free, in 60 s at the latest",
        ),
        (record(step="ack"), ERP, f"{ACKNOWLEDGED}, as soon as a worker is free, in 60 s at the latest"),
        (
            record(claimed_until=NOW + 5),
            {},
            f"a worker is at it now: {READ}",
        ),
        (
            record(claimed_until=NOW - 5, due=NOW - 5),
            {},
            f"{READ}, as soon as a worker is free, in 0 s at the latest",
        ),
        (
            record("parked", error="503", attempts=7, due=NOW + 1200),
            {},
            f"{READ}, in 1200 s at the latest (attempt 8; the last answer: 503)",
        ),
        (record(due=None), {}, f"{READ}, as soon as a worker is free, in 0 s at the latest"),
    ],
)
def test_what_happens_next(of, paused, expected):
    assert story.next_thing(of, NOW, paused) == expected


def test_every_code_that_is_written_has_its_words():
    """The codes stand in the scripts of the ledger and in the tasks."""
    written = set()
    for script in (ROOT / "workers" / "lua").glob("*.lua"):
        if not script.name.startswith("command"):
            written |= set(re.findall(r"noted?\([a-z.']+, '([a-z_]+)'", script.read_text()))
    for tasks in ("orders.py", "base.py"):
        source = (ROOT / "tasks" / tasks).read_text()
        written |= set(re.findall(r'\bTo\([A-Za-z_. ]+(?: if .*? else [A-Z_]+)?, "([a-z_]+)"', source))
        written |= set(re.findall(r'advance\(claim, DEAD, "([a-z_]+)"', source))
    assert {"seen", "swept", "delivered", "handled", "dead", "not_told"} <= written
    assert written <= set(story._WORDS)
