"""What VTEX gets as the course of a parcel."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.vtex import texts
from workers.vtex.details import OrderDetails, Package
from workers.vtex.timeline import all_events, delivery


def event(
    description: str, date: str = "2026-11-28", city: str = "Niterói", state: str = "RJ"
) -> dict[str, Any]:
    return {"city": city, "state": state, "description": description, "date": date}


def package(**status: Any) -> Package:
    """A parcel as VTEX shows it."""
    parcel = {"invoiceNumber": "1", "courierStatus": status}
    return OrderDetails({"packageAttachment": {"packages": [parcel]}}).packages[0]


FIRST, SECOND, THIRD = event("Postado"), event("Saiu para entrega Rota 12"), event("Entregue", "2026-11-29")


def test_each_event_stands_once_in_order() -> None:
    assert all_events([], [], [FIRST]) == [FIRST]
    assert all_events([FIRST], [FIRST], [SECOND]) == [FIRST, SECOND]
    assert all_events([FIRST, SECOND], [FIRST, SECOND], [FIRST, SECOND, THIRD]) == [FIRST, SECOND, THIRD]
    assert all_events([THIRD, SECOND, FIRST], [FIRST], [SECOND, THIRD]) == [FIRST, SECOND, THIRD]


def test_what_vtex_does_not_show_yet_is_sent_again() -> None:
    assert all_events([], [FIRST, SECOND], [THIRD]) == [FIRST, SECOND, THIRD]


def test_what_is_not_ours_stays_as_it_is() -> None:
    theirs = event("Objeto em trânsito", "2026-11-27T10:00:00Z", "Rio")
    assert all_events([theirs, FIRST], [], [SECOND]) == [theirs, FIRST, SECOND]


LONG = event("Não entregue, o destinatário estava ausente e o vizinho não quis receber a encomenda")


@pytest.mark.parametrize(
    "shown",
    [
        LONG | {"description": LONG["description"][:40]},
        LONG | {"description": unicodedata.normalize("NFD", LONG["description"])},
        LONG | {"description": LONG["description"].replace(" ", "\n")},
        LONG | {"date": "2026-11-28T00:00:00"},
        LONG | {"date": "2026-11-28T03:00:00Z"},
        LONG | {"date": "2026-11-27T21:00:00-03:00"},
        LONG | {"date": "28/11/2026"},
        LONG | {"date": "11/28/2026 12:00:00 AM"},
        LONG | {"date": ""},
        LONG | {"city": "", "state": ""},
    ],
)
def test_ours_is_sent_as_it_was_however_vtex_shows_it(shown: dict[str, Any]) -> None:
    assert all_events([shown], [], [LONG]) == [LONG]


@pytest.mark.parametrize(
    "other",
    [
        SECOND | {"date": "2026-11-29"},
        SECOND | {"city": "Rio de Janeiro"},
        SECOND | {"description": "Saiu para entrega"},
        SECOND | {"description": ""},
        event("", city="", state=""),
    ],
)
def test_another_event_is_not_taken_for_ours(other: dict[str, Any]) -> None:
    assert sorted(map(repr, all_events([other], [], [SECOND]))) == sorted(map(repr, [other, SECOND]))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.integers(1, 5)), max_size=6), st.data())
def test_nothing_is_lost_and_nothing_doubled(sent: list[tuple[str, int]], data: st.DataObject) -> None:
    ours = [event(texts.normal(words) or "x", f"2026-11-0{day}") for words, day in sent]
    at = data.draw(st.integers(0, len(ours)))
    shown = data.draw(st.permutations(all_events([], [], ours[:at])))
    found = all_events(shown, ours[:at], ours[at:])
    assert {repr(one) for one in found} == {repr(one) for one in ours}
    assert len({repr(one) for one in found}) == len(found)
    assert [one["date"] for one in found] == sorted(one["date"] for one in found)


def said(delivered: bool | None, at: str | None = None) -> dict[str, Any]:
    return {"isDelivered": delivered, "deliveredDate": at}


@pytest.mark.parametrize(
    ("shown", "earlier", "new", "sent"),
    [
        ({}, [], said(None), said(False)),
        ({}, [], said(True), said(True)),
        ({}, [], said(True, "2026-11-30 10:00"), said(True, "2026-11-30 10:00")),
        ({"finished": True, "deliveredDate": "2026-11-30"}, [], said(None), said(True, "2026-11-30")),
        ({"finished": True, "deliveredDate": "2026-11-30"}, [], said(True), said(True, "2026-11-30")),
        ({"finished": True, "deliveredDate": "2026-11-30"}, [], said(False), said(False)),
        ({}, [said(True, "2026-11-30 10:00")], said(None), said(True, "2026-11-30 10:00")),
        ({}, [said(True, "2026-11-30 10:00"), said(None)], said(None), said(True, "2026-11-30 10:00")),
        ({}, [said(True, "2026-11-30 10:00"), said(False)], said(None), said(False)),
        (
            {"finished": True, "deliveredDate": "2026-11-30T13:00:00Z"},
            [said(True, "2026-11-30 10:00")],
            said(None),
            said(True, "2026-11-30 10:00"),
        ),
    ],
)
def test_what_is_left_out_stays(
    shown: dict[str, Any], earlier: list[dict[str, Any]], new: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert delivery(package(**shown), earlier, new) == sent
