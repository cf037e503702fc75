from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import Unavailable
from workers.vtex.schemas import (
    Event,
    FeedConfig,
    instant,
    load_events,
    load_feed_config,
    load_json,
    load_order,
    load_order_page,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# A busy machine is no failure.
steady = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

EVENT_KEYS = ["eventId", "handle", "domain", "state", "orderId", "lastChange", "currentChange", "lastState"]
ORDER_KEYS = [
    "status",
    "lastChange",
    "creationDate",
    "origin",
    "salesChannel",
    "affiliateId",
    "sellers",
    "items",
    "orderGroup",
    "sequence",
    "isCompleted",
    "workflowIsInError",
    "value",
]
GOOD = {"eventId": "e", "handle": "h", "orderId": "1-01", "state": "handling", "domain": "Marketplace"}


# --- instants


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2019-08-12T20:54:23.7153839Z", "2019-08-12T20:54:23.7153839Z"),
        ("2019-08-12T20:54:23.7153839+00:00", "2019-08-12T20:54:23.7153839Z"),
        ("2019-08-12T20:54:23Z", "2019-08-12T20:54:23.0000000Z"),
        ("2019-08-12T20:54:23.1Z", "2019-08-12T20:54:23.1000000Z"),
        ("2019-08-12T20:54:23", "2019-08-12T20:54:23.0000000Z"),
        ("2019-08-12T22:54:23.0000001-03:00", "2019-08-13T01:54:23.0000001Z"),
        ("2019-08-12T22:54:23-0300", "2019-08-13T01:54:23.0000000Z"),
        ("2020-03-01T00:30:00+05:30", "2020-02-29T19:00:00.0000000Z"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00.0000000Z"),
    ],
)
def test_instant(text: str, canonical: str) -> None:
    assert instant(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2019-08-12",
        "20:54:23",
        "2019-08-12T20:54Z",
        "2019-08-12T20:54:23.12345678Z",
        "2019-08-12T20:54:23.Z",
        "2019-13-12T20:54:23Z",
        "2019-02-29T20:54:23Z",
        "2019-08-12T24:00:00Z",
        "2019-08-12T20:54:60Z",
        "2019-08-12T20:54:23+24:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        " 2019-08-12T20:54:23Z",
        "2019-08-12T20:54:23Z\n",
        "\uff12019-08-12T20:54:23Z",
        "/Date(1565643263000)/",
    ],
)
def test_not_an_instant(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        instant(text)


MOMENTS = st.tuples(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda m: m.replace(microsecond=0)),  # noqa: DTZ001
    st.text("0123456789", max_size=7),
    st.integers(-14 * 60, 14 * 60),
)


def write(moment: datetime, fraction: str, offset: int) -> str:
    local = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    return local.replace(tzinfo=None).isoformat() + (f".{fraction}" if fraction else "") + zone


@steady
@given(MOMENTS, MOMENTS)
def test_instants_sort_as_text_and_lose_no_digit(
    one: tuple[datetime, str, int], other: tuple[datetime, str, int]
) -> None:
    a, b = instant(write(*one)), instant(write(*other))
    key_a, key_b = (one[0], one[1].ljust(7, "0")), (other[0], other[1].ljust(7, "0"))
    assert (a < b) == (key_a < key_b)
    assert (a == b) == (key_a == key_b)
    assert instant(a) == a
    assert len(a) == 28


@steady
@given(st.text())
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert len(instant(text)) == 28


# --- events


def test_an_event_with_the_least() -> None:
    events, unusable = load_events([{"orderId": "1-01", "handle": "h", "somethingNew": [1]}])
    assert events == [Event("", "h", "1-01", None, None, "")]
    assert unusable == []


@pytest.mark.parametrize(
    ("given", "state"),
    [("handling", "handling"), (None, None), ("", None), ("  ", None), (5, "5"), ({}, None), ("a\nb", None)],
)
def test_an_events_state(given: Any, state: str | None) -> None:
    ((event,), _) = load_events([GOOD | {"state": given}])
    assert event.state == state


@pytest.mark.parametrize(
    ("last", "current", "at"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:01.0000000Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01+00:01", "2026-01-01T00:00:00.0000000Z"),
        ("2026-01-01T00:00:00Z", None, "2026-01-01T00:00:00.0000000Z"),
        ("nonsense", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0000000Z"),
        (17, [], ""),
    ],
)
def test_an_event_is_as_old_as_its_newest_date(last: Any, current: Any, at: str) -> None:
    ((event,), _) = load_events([GOOD | {"lastChange": last, "currentChange": current}])
    assert event.at == at


BAD_IDS = [None, "", " ", "a b", "a\tb", "a\nb", "a\x00", "x" * 101, 5, [], ".", "..", "\ud800"]


@pytest.mark.parametrize(
    "item",
    [GOOD | {"orderId": bad} for bad in BAD_IDS]
    + [GOOD | {"handle": bad} for bad in (None, "", "  ", 5, "a\nb", "\ud800")]
    + [{key: GOOD[key] for key in GOOD if key != missing} for missing in ("orderId", "handle")],
)
def test_one_bad_item_does_not_spoil_the_lot(item: dict[str, Any]) -> None:
    events, unusable = load_events([GOOD, item, GOOD])
    assert [event.order_id for event in events] == ["1-01", "1-01"]
    assert unusable == [item]


@pytest.mark.parametrize("body", [None, {}, "text", 5, {"list": []}])
def test_a_feed_answer_is_a_list(body: object) -> None:
    with pytest.raises(Unavailable):
        load_events(body)


@steady
@given(
    st.lists(
        JSON
        | st.dictionaries(st.sampled_from(EVENT_KEYS), JSON)
        | st.builds(lambda d: GOOD | d, st.dictionaries(st.sampled_from(EVENT_KEYS), JSON))
    ),
    st.integers(0, 10),
)
def test_no_item_can_break_the_others(items: list[Any], place: int) -> None:
    items.insert(place, GOOD)
    events, unusable = load_events(items)
    assert len(events) + len(unusable) == len(items)
    assert any(event.event_id == "e" and event.handle == "h" for event in events)
    for event in events:
        assert event.handle
        assert event.order_id.isprintable()
        assert event.state is None or event.state.strip()


# --- orders


ORDER = {
    "orderId": "1-01",
    "status": "ready-for-handling",
    "lastChange": "2026-01-01T00:00:00.1234567+00:00",
    "creationDate": "2026-01-01T00:00:00-03:00",
    "origin": "Marketplace",
    "salesChannel": "1",
    "affiliateId": "",
    "sellers": [{"id": "1"}, {"id": "two"}, {"id": "1"}],
    "items": [{"seller": "9"}],
    "orderGroup": "1",
    "sequence": "501556",
    "isCompleted": True,
    "workflowIsInError": False,
    "value": 1160,
    "somethingNew": {"kept": True},
}


def test_an_order() -> None:
    text = json.dumps(ORDER, indent=3)
    order = load_order(text, "1-01")
    assert order.text == text
    assert order.status == "ready-for-handling"
    assert order.last_change == "2026-01-01T00:00:00.1234567Z"
    assert order.creation_date == "2026-01-01T03:00:00.0000000Z"
    assert order.seller_ids == ("1", "two")
    assert order.affiliate_id is None
    assert (order.origin, order.sales_channel) == ("Marketplace", "1")


@pytest.mark.parametrize("name", ["cancellationRequests", "CancellationRequests", "cancellationrequests"])
def test_whether_a_cancellation_was_asked_for(name: str) -> None:
    asked = {name: [{"CancellationRequestDate": "2026-01-02T00:00:00Z"}]}
    assert load_order(json.dumps(ORDER | asked), "1-01").requested_at() == "2026-01-02T00:00:00.0000000Z"
    for nothing in ({}, {name: None}, {name: []}, {name: "no"}):
        assert load_order(json.dumps(ORDER | nothing), "1-01").requested_at() == ""


def test_the_document_is_not_in_the_repr() -> None:
    assert "somethingNew" not in repr(load_order(json.dumps(ORDER), "1-01"))


def test_an_order_with_the_least() -> None:
    order = load_order('{"orderId": "1-01", "status": null}', "1-01")
    assert (order.status, order.last_change, order.seller_ids) == (None, "", ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": " "}, ("status", None)),
        ({"status": []}, ("status", None)),
        ({"sellers": None}, ("seller_ids", ("9",))),
        ({"sellers": [None, 5, {}, {"id": 5}]}, ("seller_ids", ("9",))),
        ({"sellers": {}, "items": "no"}, ("seller_ids", ())),
        ({"salesChannel": 1}, ("sales_channel", "1")),
        ({"lastChange": 5}, ("last_change", "")),
        ({"lastChange": None}, ("last_change", "")),
        ({"creationDate": "yesterday"}, ("creation_date", "")),
        ({"origin": "\ud800"}, ("origin", None)),
    ],
)
def test_a_wrong_optional_field_loses_no_order(given: dict[str, Any], expected: tuple[str, Any]) -> None:
    name, value = expected
    assert getattr(load_order(json.dumps(ORDER | given), "1-01"), name) == value


@steady
@given(
    st.dictionaries(
        st.sampled_from(ORDER_KEYS),
        JSON.filter(lambda v: "NaN" not in (t := json.dumps(v)) and "Infinity" not in t),
    )
)
def test_no_optional_field_loses_an_order(document: dict[str, Any]) -> None:
    order = load_order(json.dumps({"orderId": "1-01", "status": "handling"} | document), "1-01")
    assert isinstance(order.last_change, str)
    assert isinstance(order.seller_ids, tuple)


@steady
@given(st.integers(0, 400))
def test_a_truncated_order_is_asked_for_again(length: int) -> None:
    whole = json.dumps(ORDER)
    if length < len(whole):
        with pytest.raises(Unavailable):
            load_order(whole[:length], "1-01")


@pytest.mark.parametrize(
    "text", ["", " ", "<html>", "NaN", '{"a": Infinity}', "[" * 100_000, "{}{}", "1" * 5000]
)
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError, match="not whole JSON") as failure:
        load_json(text)
    assert failure.value.__context__ is None, "a decoder's error carries the document"
    with pytest.raises(Unavailable):
        load_order(text, "1-01")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"status": "handling"},
        {"orderId": "1-01"},
        {"orderId": None, "status": None},
        {"orderId": "2-01", "status": None},
        {"error": {"code": "OMS001", "message": "x"}},
    ],
)
def test_what_is_not_that_order(document: Any) -> None:
    with pytest.raises(Unavailable, match="1-01") as failure:
        load_order(json.dumps(document), "1-01")
    assert failure.value.__context__ is None


# --- feed configuration and order list


def test_both_spellings_of_a_configuration() -> None:
    filtered = {"type": "FromWorkflow", "status": ["handling", "handling", 5]}
    expected = FeedConfig("FromWorkflow", ("handling",), None, 250.0, 345600.0, 3, 12.0)
    documented = {
        "filter": filtered,
        "queue": {"visibilityTimeoutInSeconds": 250, "MessageRetentionPeriodInSeconds": 345600},
        "quantity": 3,
        "approximateAgeOfOldestMessageInSeconds": 12,
    }
    other = {
        "Filter": filtered,
        "Queue": {"VisibilityTimeoutInSeconds": "250", "messageRetentionPeriodInSeconds": 345600.0},
        "Quantity": "3",
        "aproximateAgeOfOldestMessageInSeconds": "12",
    }
    assert load_feed_config(documented) == expected
    assert load_feed_config(other) == expected


def test_an_expression_and_nothing_else() -> None:
    config = load_feed_config({"filter": {"type": "FromOrders", "expression": 'status = "invoiced"'}})
    assert config == FeedConfig("FromOrders", (), 'status = "invoiced"', None, None, None, None)


@steady
@given(
    st.dictionaries(
        st.sampled_from(["filter", "queue", "quantity", "approximateAgeOfOldestMessageInSeconds"]), JSON
    )
)
def test_any_object_with_a_filter_or_a_queue_is_a_configuration(body: dict[str, Any]) -> None:
    for part in ("filter", "queue", "Filter"):
        assert isinstance(load_feed_config(body | {part: {}}), FeedConfig)


@pytest.mark.parametrize(
    "body", [None, [], "x", 0, {}, {"error": {"code": "1"}}, {"filter": [], "queue": None}]
)
def test_what_is_no_configuration(body: object) -> None:
    with pytest.raises(Unavailable):
        load_feed_config(body)


@steady
@given(st.lists(JSON), JSON)
def test_any_list_is_a_page(rows: list[Any], paging: Any) -> None:
    page = load_order_page({"list": rows, "paging": paging})
    assert len(page.rows) + page.unusable == len(rows)
    assert isinstance(page.total, int)


@pytest.mark.parametrize("body", [None, [], {}, {"list": None}])
def test_what_is_no_page(body: object) -> None:
    with pytest.raises(Unavailable):
        load_order_page(body)
