"""What an ERP sends after or instead of an invoice: tracking, cancellation, change."""

from __future__ import annotations

from typing import Any

import pytest

from workers.errors import Invalid
from workers.vtex import same_change
from workers.vtex.payloads import InvalidPayload, load_cancel, load_change, load_tracking
from workers.vtex.receipts import load_change_status

ZONE = "America/Sao_Paulo"
ONE = {"id": "1", "quantity": 1}
EVENT = {"city": "Rio de Janeiro", "state": "RJ", "description": "Left", "date": "2015-06-23"}
GUIDE = {
    "reason": "Promotion by phone.",
    "discountValue": 1000,
    "incrementValue": 0,
    "itemsRemoved": [{"id": "234794", "price": 600, "quantity": 2}],
    "itemsAdded": [{"id": "234788", "price": 200, "quantity": 1}],
}


def tracking(**payload: Any) -> Any:
    return load_tracking(payload, zone=ZONE)


def refused(load: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidPayload) as failure:
        load(*args, **kwargs)
    return str(failure.value)


# --- tracking


def test_the_guides_tracking_as_it_stands() -> None:
    loaded = tracking(trackingNumber="87658", trackingUrl=None, courier=None)
    assert loaded.invoice_number is None
    assert loaded.number_body() == {
        "trackingNumber": "87658",
        "trackingUrl": "",
        "courier": "",
        "dispatchedDate": None,
    }
    assert loaded.events_body() is None


def test_the_number_part() -> None:
    loaded = tracking(
        invoiceNumber=9999,
        trackingNumber=87658,
        trackingUrl="https://track.example/1",
        courier="Correios",
        dispatchedDate="2026-01-31T08:00",
        isDelivered=None,
        deliveredDate=None,
        events=None,
    )
    assert loaded.invoice_number == "9999"
    assert loaded.number_body() == {
        "trackingNumber": "87658",
        "trackingUrl": "https://track.example/1",
        "courier": "Correios",
        "dispatchedDate": "2026-01-31T08:00:00-03:00",
    }
    assert loaded.events_body() is None
    assert loaded.body() == {"invoiceNumber": "9999", **loaded.number_body()}


def test_the_events_part() -> None:
    loaded = tracking(
        invoiceNumber="9999",
        isDelivered=True,
        deliveredDate="2022-10-01T21:15:59",
        events=[EVENT, {"city": "Sao Paulo", "date": "2026-02-01T02:00:00.1234567Z", "state": None}],
    )
    assert loaded.number_body() is None
    assert loaded.events_body() == {
        "isDelivered": True,
        "deliveredDate": "2022-10-01 21:15",
        "events": [EVENT, {"city": "Sao Paulo", "state": "", "description": "", "date": "2026-01-31"}],
    }


@pytest.mark.parametrize(
    ("date", "sent"),
    [
        ("2022-10-01", "2022-10-01 00:00"),
        ("2022-10-01 21:15", "2022-10-01 21:15"),
        ("2022-10-02T00:15:00Z", "2022-10-01 21:15"),
        ("2022-10-01T21:15:00-03:00", "2022-10-01 21:15"),
        (None, None),
        ("", None),
    ],
)
def test_when_it_was_delivered(date: str | None, sent: str | None) -> None:
    assert tracking(isDelivered=True, deliveredDate=date).events_body() == {
        "isDelivered": True,
        "deliveredDate": sent,
        "events": [],
    }


def test_both_parts() -> None:
    loaded = tracking(trackingNumber="1", isDelivered=False, events=[EVENT])
    assert loaded.number_body()["trackingNumber"] == "1"
    assert loaded.events_body() == {"isDelivered": False, "deliveredDate": None, "events": [EVENT]}


def test_events_alone_are_not_a_delivery() -> None:
    assert tracking(events=[EVENT]).events_body()["isDelivered"] is None  # it stays as it is
    assert tracking(isDelivered=False).events_body() == {
        "isDelivered": False,
        "deliveredDate": None,
        "events": [],
    }


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({}, "nothing to send"),
        ({"invoiceNumber": "1"}, "nothing to send"),
        ({"trackingNumber": None, "events": [], "isDelivered": None}, "nothing to send"),
        ({"trackingNumber": "  "}, "nothing to send"),
        ({"courier": "x"}, "trackingNumber: is missing; VTEX takes courier only with it"),
        ({"trackingUrl": "https://a.example", "isDelivered": True}, "VTEX takes trackingUrl only with it"),
        ({"deliveredDate": "2022-10-01"}, "deliveredDate: is given, so write isDelivered: true"),
        ({"deliveredDate": "2022-10-01", "isDelivered": False}, "write isDelivered: true"),
        ({"isDelivered": "true"}, "isDelivered: a text is neither true nor false"),
        ({"isDelivered": 1}, "isDelivered: 1 is neither"),
        ({"events": EVENT}, "events: an object is not a list"),
        ({"events": ["Left"]}, "events[0]: is not an object"),
        ({"events": [{**EVENT, "date": None}]}, "events[0].date: is null"),
        ({"events": [{"description": "x"}]}, "events[0].date: is missing"),
        ({"events": [{"date": "2022-10-01", "state": "RJ"}]}, "events[0].description: is missing"),
        ({"events": [{**EVENT, "description": "x" * 5001}]}, "has 5001 characters; shorten it to 5000"),
        (
            {"events": [{**EVENT, "carrier": "x"}]},
            "events[0].carrier: is not known, and would be lost; known are city",
        ),
        ({"trackingNumber": "1", "trackingUr": "x"}, "did you mean trackingUrl?"),
        ({"trackingNumber": "1", "volumes": 1}, "volumes: is not known, and would be lost"),
        ({"trackingNumber": "1", "invoiceNumber": "1/2"}, "invoiceNumber: has other characters"),
        ({"trackingNumber": "1\n2"}, "has a line break (U+000A) at position 2"),
        ({"trackingNumber": 1.0}, "1.0 is not a text"),
    ],
)
def test_what_is_no_tracking(payload: dict[str, Any], hint: str) -> None:
    assert hint in refused(tracking, **payload)


def test_all_that_is_wrong_with_tracking() -> None:
    problems = refused(tracking, courier="x", deliveredDate="2022-10-01", invoiceNumber="1/2").split(" | ")
    assert [problem.split(":")[0] for problem in problems] == [
        "invoiceNumber",
        "trackingNumber",
        "deliveredDate",
    ]


def test_tracking_shows_no_places() -> None:
    assert repr(tracking(invoiceNumber="7", events=[EVENT])) == "<Tracking of 7>"
    assert repr(tracking(isDelivered=True)) == "<Tracking of the only invoice>"


# --- cancellation


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (None, {"requestedByUser": False}),
        ("", {"requestedByUser": False}),
        (" Out of\nstock ", {"reason": "Out of stock", "requestedByUser": False}),
        ({}, {"requestedByUser": False}),
        ({"reason": None}, {"requestedByUser": False}),
        ({"reason": "x", "requestedByUser": True}, {"reason": "x", "requestedByUser": True}),
        ({"reason": "x", "confirm": True}, {"reason": "x", "requestedByUser": False}),
    ],
)
def test_cancel(payload: Any, body: dict[str, Any]) -> None:
    assert load_cancel(payload).body() == body


def test_confirming_is_another_thing() -> None:
    asked, confirmed = load_cancel("x"), load_cancel({"reason": "x", "confirm": True})
    assert not asked.confirm
    assert confirmed.confirm
    assert asked.fingerprint() != confirmed.fingerprint()
    assert (repr(asked), repr(confirmed)) == ("<Cancel>", "<Cancel, confirming>")


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({"reson": "x"}, "did you mean reason?"),
        (
            {"orderId": "1"},
            "orderId: is not known, and would be lost; known are reason, requestedByUser, confirm",
        ),
        ({"confirm": "yes"}, "confirm: a text is neither true nor false"),
        ("x" * 1001, "reason: has 1001 characters; shorten it to 1000"),
        ({"reason": ["x"]}, "reason: a list is not a text"),
        ([], "the payload is a list"),
    ],
)
def test_what_is_no_cancellation(payload: Any, hint: str) -> None:
    assert hint in refused(load_cancel, payload)


# --- change


def test_the_guides_change_as_it_stands() -> None:
    loaded = load_change(GUIDE)
    assert loaded.modifications() == loaded.body()
    assert loaded.modifications() == {
        "reason": "Promotion by phone.",
        "add": {"items": [{"id": "234788", "quantity": 1, "price": 200}]},
        "remove": {"items": [{"id": "234794", "quantity": 2, "price": 600}]},
        "manualDiscountValue": 1000,
    }
    assert loaded.legacy("key-1") == {**GUIDE, "requestId": "key-1"}


def test_both_spellings_are_one_change() -> None:
    assert load_change(load_change(GUIDE).modifications()).fingerprint() == load_change(GUIDE).fingerprint()
    other = {**GUIDE, "incrementValue": 1}
    assert load_change(other).fingerprint() != load_change(GUIDE).fingerprint()


def test_a_replacement_with_all_that_vtex_knows() -> None:
    payload = {
        "reason": "The client wants to change a weighable product.",
        "replace": [
            {
                "from": {"items": [{"id": "1", "quantity": 1, "uniqueId": "1D6A", "price": 2499}]},
                "to": {
                    "items": [{"id": "2", "quantity": 1, "measurementUnit": "kg", "unitMultiplier": 3.0}],
                    "customData": {"customFields": []},
                    "shippingData": {"logisticsInfo": [{"itemIndex": 0, "price": 1000}]},
                },
            }
        ],
        "manualIncrementValue": "5",
        "settings": {"pipelineConfiguration": {"compensateShippingChanges": True}},
    }
    assert load_change(payload).modifications() == {**payload, "manualIncrementValue": 5}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"replace": [{"from": {"items": [ONE]}, "to": {"items": [ONE]}}]}, "neither replace nor settings"),
        ({"remove": {"items": [{"id": "1", "quantity": 1}]}}, "item 1: the retired"),
        ({"remove": {"items": [{"id": "1", "quantity": 1, "price": 1, "uniqueId": "A"}]}}, "item 1: the retired"),
        ({"add": {"items": [{"id": "1", "quantity": 1, "price": 1, "measurementUnit": "kg"}]}}, "item 1: the retired"),
        ({"manualDiscountValue": 1, "settings": {"a": 1}}, "settings"),
    ],
)  # fmt: skip
def test_what_the_retired_api_cannot_say(change: dict[str, Any], hint: str) -> None:
    loaded = load_change({"reason": "x", **change})
    with pytest.raises(Invalid, match=hint):
        loaded.legacy("key-1")


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({}, "changes nothing"),
        ({"discountValue": 0, "incrementValue": 0, "itemsAdded": [], "itemsRemoved": []}, "changes nothing"),
        ({"settings": {"a": 1}}, "changes nothing"),
        ({"replace": []}, "changes nothing"),
        (
            {"discountValue": 1, "manualIncrementValue": 1},
            "discountValue as in VTEX's ERP guide, manualIncrementValue",
        ),
        ({"itemsAdded": [{"id": "1", "quantity": 1}], "remove": {"items": []}}, "in one of these spellings"),
        ({"discountValue": 10.5}, "discountValue: 10.5 is not a whole number of cents; write 1050"),
        ({"discountValue": -1}, "discountValue: -1 is negative"),
        ({"add": {"items": []}}, "add.items: is an empty list"),
        ({"add": {}}, "add.items: is missing"),
        ({"add": []}, "add: a list is not an object"),
        ({"add": {"items": [{"id": "1"}]}}, "add.items[0].quantity: is missing"),
        ({"add": {"items": [{"id": "1", "quantity": 0}]}}, "add.items[0].quantity: 0 is not a quantity"),
        ({"add": {"items": [{"quantity": 1}]}}, "add.items[0].id: is missing"),
        ({"add": {"items": [{"id": "1", "quantity": 1, "price": 1.5}]}}, "add.items[0].price: 1.5"),
        ({"add": {"items": [{"id": "1", "quantity": 1, "uniqueID": "A"}]}}, "did you mean uniqueId?"),
        ({"add": {"items": [{"id": "1", "quantity": 1}], "seller": "1"}}, "add.seller: is not known"),
        ({"replace": [{"from": {"items": [{"id": "1", "quantity": 1}]}}]}, "replace[0].to: is missing"),
        ({"replace": {"from": {}}}, "replace: an object is not a list"),
        (
            {"discountValue": 1, "requestId": "7"},
            "requestId: is not taken from here; give it as the command's key",
        ),
        ({"discountValue": 1, "itemsRemovd": []}, "did you mean itemsRemoved?"),
        ({"discountValue": 1, "comment": "x"}, "comment: is not known, and would be lost"),
        ({"discountValue": 1, "reason": " "}, "reason: is empty"),
        ({"discountValue": 1, "reason": None}, "reason: is null"),
        ({"discountValue": 1, "reason": "x" * 1001}, "reason: has 1001 characters"),
        ({"manualDiscountValue": 1, "settings": []}, "settings: a list is not an object"),
    ],
)
def test_what_is_no_change(change: dict[str, Any], hint: str) -> None:
    assert hint in refused(load_change, {"reason": "x", **change})


TWICE = [{"id": "1", "quantity": 1}, {"id": 1, "quantity": 2}]


@pytest.mark.parametrize(
    "change",
    [
        {"itemsAdded": TWICE},
        {"itemsRemoved": TWICE},
        {"add": {"items": TWICE}},
        {"remove": {"items": TWICE}},
        {"replace": [{"from": {"items": TWICE}, "to": {"items": [{"id": "2", "quantity": 1}]}}]},
        {"remove": {"items": [{**TWICE[0], "uniqueId": "A"}, TWICE[1]]}},
    ],
)
def test_a_change_names_a_line_once(change: dict[str, Any]) -> None:
    assert "the same SKU stands twice" in refused(load_change, {"reason": "x", **change})


def test_lines_of_a_sku_are_told_apart_by_their_unique_id() -> None:
    items = [{**TWICE[0], "uniqueId": "A"}, {**TWICE[1], "uniqueId": "B"}]
    loaded = load_change({"reason": "x", "remove": {"items": items}})
    assert [item.unique_id for item in loaded.removed] == ["A", "B"]


def seen(**fields: Any) -> Any:
    return load_change_status(
        {
            "requestId": "r",
            "reason": "Promotion by phone.",
            "manualDiscountValue": 1000,
            "manualIncrementValue": 0,
            "add": {"items": [{"id": "234788", "quantity": 1, "price": None}]},
            "remove": {"items": [{"id": "234794", "quantity": 2}]},
            "replace": [],
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("fields", "equal", "like"),
    [
        ({}, True, True),
        ({"reason": "Promotion\n by phone."}, True, True),
        ({"reason": None, "add": ["?"], "replace": None}, False, True),
        ({"manualDiscountValue": "unreadable"}, False, True),
        ({"manualDiscountValue": "1000"}, True, True),
        ({"manualIncrementValue": None}, True, True),
        ({"reason": "Another"}, False, False),
        ({"reason": "Promotion by"}, False, False),
        ({"reason": "promotion by phone."}, False, False),
        ({"manualDiscountValue": 0}, False, False),
        ({"add": None}, False, False),
        ({"remove": {"items": [{"id": "234794", "quantity": 1}]}}, False, False),
        ({"replace": [{"from": {"items": [{"id": "1", "quantity": 1}]}, "to": {"items": []}}]}, False, False),
        (
            {"reason": None, "manualDiscountValue": None, "manualIncrementValue": None}
            | {"add": ["?"], "remove": ["?"], "replace": "?"},
            False,
            False,
        ),
    ],
)
def test_telling_our_change_from_others(fields: dict[str, Any], equal: bool, like: bool) -> None:
    wanted = load_change(GUIDE)
    assert same_change.equal(wanted, seen(**fields)) is equal
    assert same_change.like(wanted, seen(**fields)) is like


def test_a_replacement_is_told_from_others() -> None:
    replace = [
        {"from": {"items": [{"id": "1", "quantity": 1}]}, "to": {"items": [{"id": "2", "quantity": 3}]}}
    ]
    loaded = load_change({"reason": "x", "replace": replace})
    same = {"requestId": "r", "reason": "x", "replace": replace}
    assert same_change.equal(loaded, load_change_status(same))
    assert same_change.like(loaded, load_change_status(same))
    replace = [
        {"from": {"items": [{"id": "1", "quantity": 1}]}, "to": {"items": [{"id": "2", "quantity": 2}]}}
    ]
    assert not same_change.like(loaded, load_change_status({**same, "replace": replace}))
    assert repr(loaded) == "<Change +0 -0 ~1>"
