"""Whose hook an event is of, also where the application key is not known."""

from __future__ import annotations

import pytest

from workers.settings import Account, Secret
from workers.vtex import hook_event
from workers.web.hook import _is_from


@pytest.mark.parametrize(
    ("known", "origin", "ours"),
    [
        ("our-key", {"Account": "shop", "Key": "our-key"}, True),
        ("our-key", {"Account": "shop", "Key": "another"}, False),
        ("our-key", {"Account": "another", "Key": "our-key"}, False),
        ("our-key", None, True),
        ("", {"Account": "shop", "Key": "our-key"}, True),
        ("", {"Account": "another", "Key": "our-key"}, False),
        ("", None, True),
    ],
)
def test_whose_event_it_is(known, origin, ours):
    found = hook_event.load({"OrderId": "1-01", "State": "handling", "Origin": origin})
    assert found is not None
    assert _is_from(Account("shop", Secret(known), Secret("")), found) is ours
