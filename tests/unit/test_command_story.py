from __future__ import annotations

from workers.command_ledger import CommandRecord
from workers.command_story import sentences
from workers.ledger import TimelineEntry

NOW = 1_800_000_000.0


def record(state="open", **options):
    known = {
        "id": "nf-1",
        "kind": "invoice",
        "order_id": "1-01",
        "state": state,
        "outcome": {},
        "error": None,
        "attempts": 1,
        "sent": False,
        "waits": False,
        "ended": None,
        "due": NOW,
        "payload": {"items": ["SECRET"]},
        "timeline": [TimelineEntry(NOW, "accepted", "invoice")],
    }
    return CommandRecord(**(known | options))


def test_how_commands_stand_in_words_and_in_the_stores_time():
    told = [
        record(),
        record("parked", waits=True, error="the order is in ready-for-handling"),
        record(error="VTEX answered 503"),
        record("done", ended=NOW + 5, outcome={"says": "VTEX has invoice 1"}),
        record("refused", ended=NOW + 5, outcome={"why": "the order is canceled"}),
        record("dead", ended=NOW + 5, outcome={}),
        record(timeline=[]),
    ]
    assert sentences(told, "America/Sao_Paulo") == [
        "2027-01-15 05:00:00  invoice nf-1: on its way",
        "2027-01-15 05:00:00  invoice nf-1: waits: the order is in ready-for-handling",
        "2027-01-15 05:00:00  invoice nf-1: goes on: VTEX answered 503",
        "2027-01-15 05:00:00  invoice nf-1: done at 2027-01-15 05:00:05: VTEX has invoice 1",
        "2027-01-15 05:00:00  invoice nf-1: refused at 2027-01-15 05:00:05: the order is canceled",
        "2027-01-15 05:00:00  invoice nf-1: given up at 2027-01-15 05:00:05",
        "-  invoice nf-1: on its way",
    ]
