"""What programs get: RFC 3339 in UTC with Z, wherever one of our documents has a moment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import documents, moments
from workers.command_ledger import CommandRecord
from workers.ledger import Record, TimelineEntry
from workers.web.answers import CommandSchema, OrderSchema

AT = 1796090612.1
FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
#: Names of moments in our documents.
MOMENTS = {"at", "since", "due", "ended", "claimedUntil", "sent"}


@given(st.floats(0, 4e9))
def test_a_moment_is_what_it_was(seconds):
    text = moments.utc(seconds)
    assert FORM.fullmatch(text)
    assert abs(datetime.fromisoformat(text).timestamp() - seconds) < 0.0011


def test_the_form():
    assert moments.utc(AT) == "2026-12-01T02:03:32.100Z"
    assert (moments.utc_if(AT), moments.utc_if(0), moments.utc_if(None)) == (moments.utc(AT), None, None)


def stray(document, name=""):
    """Every value under the name of a moment that is none, and every number that looks like one."""
    match document:
        case dict():
            return [one for key, value in document.items() for one in stray(value, key)]
        case list():
            return [one for value in document for one in stray(value, name)]
        case str() if name in MOMENTS:
            return [] if FORM.fullmatch(document) else [(name, document)]
        case bool() | None | str():
            return []
        case _:
            return [(name, document)] if name in MOMENTS or document > 1e9 else []


LINE = TimelineEntry(AT, "accepted", "cancel")
ORDER = Record("1-01", "open", "download", "handling", "has", "", 1, 0, None, AT, AT + 5, 0, [LINE])
COMMAND = CommandRecord("c", "cancel", "1-01", "done", {}, None, 1, False, False, AT, AT, {}, [LINE])
PAUSED = {"vtex": {"why": "w", "since": AT, "by": "", "kind": "access"}}


@pytest.mark.parametrize(
    "document",
    [
        documents.order("1-01", ORDER, [COMMAND], now=AT, paused=PAUSED),
        documents.command(COMMAND),
        {"paused": documents.paused(PAUSED)},
        {"resumed": documents.resumed([{"scope": "vtex", "by": "me", "at": AT, "paused": PAUSED["vtex"]}])},
    ],
    ids=["order", "command", "paused", "resumed"],
)
def test_our_documents_have_no_numbers_for_moments(document):
    assert not stray(document)
    assert "2026-12-01T02:03:3" in json.dumps(document)
    assert stray({"at": AT, "x": [{"due": "yesterday"}]})


def test_the_description_says_so():
    for schema, names in ((OrderSchema, ("due", "claimed_until")), (CommandSchema, ("ended", "due"))):
        for name in names:
            field = schema().fields[name]
            assert field.metadata["format"] == "date-time"
            assert moments.FORM in field.metadata["description"]


def test_what_never_was_is_null():
    document = documents.order("1-01", None, [], now=AT, paused={})
    assert document["timeline"] == []
    open_ = CommandRecord("c", "cancel", "1-01", "open", {}, None, 0, False, True, None, None, {}, [])
    assert (documents.command(open_)["ended"], documents.command(open_)["due"]) == (None, None)
    assert datetime.fromtimestamp(AT, UTC) == datetime.fromisoformat(moments.utc(AT))
