"""What an ERP sends: the invoice, and what holds for every kind of payload."""

from __future__ import annotations

import contextlib
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import Invalid
from workers.vtex import payloads
from workers.vtex.payloads import (
    InvalidPayload,
    load_cancel,
    load_change,
    load_invoice,
    load_tracking,
)

ZONE = "America/Sao_Paulo"
# The bodies of VTEX's ERP guide, as they stand there.
INVOICE = {
    "type": "Output",
    "issuanceDate": "2010-01-31",
    "invoiceNumber": "9999",
    "invoiceValue": "10000",
    "invoiceKey": None,
    "invoiceUrl": None,
    "courier": None,
    "trackingNumber": None,
    "trackingUrl": None,
    "items": [{"id": "1234", "price": 10000, "quantity": 1}],
}
TRACKING = {"trackingNumber": "87658", "trackingUrl": None, "courier": None}
CHANGE = {
    "reason": "Promotion by phone.",
    "discountValue": 1000,
    "incrementValue": 0,
    "itemsRemoved": [{"id": "234794", "price": 600, "quantity": 2}],
    "itemsAdded": [{"id": "234788", "price": 200, "quantity": 1}],
}
EVENTS = {
    "isDelivered": False,
    "deliveredDate": None,
    "events": [{"city": "Rio de Janeiro", "state": "RJ", "description": "Left", "date": "2015-06-23"}],
}
MODIFICATIONS = {
    "reason": "Another size",
    "replace": [
        {
            "from": {"items": [{"id": "1", "quantity": 1, "uniqueId": "1D6A", "price": 2499}]},
            "to": {
                "items": [{"id": "2", "quantity": 1, "measurementUnit": "kg", "unitMultiplier": 3.0}],
                "shippingData": {"logisticsInfo": [{"itemIndex": 0, "selectedSla": "Normal"}]},
            },
        }
    ],
    "settings": {"pipelineConfiguration": {"compensateShippingChanges": True}},
}

LOADERS: dict[str, Any] = {
    "invoice": lambda payload: load_invoice(payload, zone=ZONE),
    "tracking": lambda payload: load_tracking(payload, zone=ZONE),
    "cancel": load_cancel,
    "change": load_change,
}
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("invoice", INVOICE),
    ("tracking", TRACKING),
    ("tracking", {**TRACKING, **EVENTS, "invoiceNumber": "9999", "dispatchedDate": "2015-06-22"}),
    ("cancel", {"reason": "Out of stock", "requestedByUser": True}),
    ("change", CHANGE),
    ("change", MODIFICATIONS),
]
steady = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def invoice(**fields: Any) -> Any:
    return load_invoice({**INVOICE, **fields}, zone=ZONE)


def problems(kind: str, payload: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidPayload) as failure:
        LOADERS[kind](payload)
    assert isinstance(failure.value, Invalid)
    assert str(failure.value) == " | ".join(failure.value.problems)
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None  # it would carry the payload
    return failure.value.problems


def refused(**fields: Any) -> str:
    [problem] = problems("invoice", {**INVOICE, **fields})
    return problem


def without(payload: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key != name}


# --- the invoice


def test_the_guides_invoice_as_it_stands() -> None:
    loaded = load_invoice(INVOICE, zone=ZONE)
    assert loaded.body() == {
        "type": "Output",
        "issuanceDate": "2010-01-31T00:00:00-02:00",  # summer time, in Brazil in 2010
        "invoiceNumber": "9999",
        "invoiceValue": "10000",
        "courier": "",
        "trackingNumber": "",
        "trackingUrl": "",
        "items": [{"id": "1234", "price": 10000, "quantity": 1}],
    }
    assert (loaded.number, loaded.value, loaded.type) == ("9999", 10000, "Output")
    assert not loaded.moves_money_back
    assert not loaded.force


def test_a_whole_invoice() -> None:
    loaded = invoice(
        type="input",
        invoiceNumber=" 000123 ",
        invoiceValue=9508,
        invoiceKey="CFe3520110006396",
        invoiceUrl="https://store.example/nf/24382.pdf",
        embeddedInvoice=' \n<?xml version="1.0" encoding="ISO-8859-1"?><NFe><x>Município</x></NFe>\n',
        courier=" Correios ",
        trackingNumber=87658,
        trackingUrl="https://track.example/87658?x=1",
        dispatchedDate="2026-02-01T08:00:00.1234567Z",
        issuanceDate="2026-01-31T18:25:43",
        items=[
            {
                "id": 345117,
                "price": "9003",
                "quantity": "2",
                "description": "Blue\ncup",
                "unitMultiplier": 1.5,
            }
        ],
        volumes=2,
        force=True,
    )
    assert loaded.body() == {
        "volumes": 2,
        "type": "Input",
        "issuanceDate": "2026-01-31T18:25:43-03:00",
        "invoiceNumber": "000123",
        "invoiceValue": "9508",
        "invoiceKey": "CFe3520110006396",
        "invoiceUrl": "https://store.example/nf/24382.pdf",
        "embeddedInvoice": '<?xml version="1.0" encoding="ISO-8859-1"?><NFe><x>Município</x></NFe>',
        "courier": "Correios",
        "trackingNumber": "87658",
        "trackingUrl": "https://track.example/87658?x=1",
        "dispatchedDate": "2026-02-01T08:00:00+00:00",
        "items": [
            {
                "id": "345117",
                "price": 9003,
                "quantity": 2,
                "description": "Blue cup",
                "unitMultiplier": 1.5,
            }
        ],
    }
    assert loaded.moves_money_back
    assert loaded.force
    assert "Correios" not in repr(loaded)


def test_every_problem_is_named_at_once() -> None:
    named = problems(
        "invoice",
        {
            "type": "Sale",
            "issuanceDate": "31/01/2026",
            "invoiceNumer": "1",
            "invoiceValue": 95.08,
            "items": [{"id": "1", "price": "95,08", "quantity": 0}, 5],
        },
    )
    assert [problem.split(":")[0] for problem in named] == [
        "type",
        "issuanceDate",
        "invoiceNumber",
        "invoiceValue",
        "items[0].price",
        "items[0].quantity",
        "items[1]",
        "invoiceNumer",
    ]
    assert "invoiceValue: 95.08 is not a whole number of cents; write 9508" in named


def test_many_problems_are_counted() -> None:
    named = problems("invoice", {**INVOICE, "items": [{"id": "1", "price": 1}] * 100})
    assert len(named) == 21
    assert named[-1] == "and 80 more problems"


@pytest.mark.parametrize("name", ["type", "issuanceDate", "invoiceNumber", "invoiceValue", "items"])
def test_what_an_invoice_needs(name: str) -> None:
    assert problems("invoice", without(INVOICE, name)) == (f"{name}: is missing",)
    assert refused(**{name: None}).startswith(f"{name}: is null")
    assert problems("invoice", {**INVOICE, name: ""})[0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["id", "price", "quantity"])
def test_what_an_item_needs(name: str) -> None:
    item = INVOICE["items"][0]
    assert refused(items=[without(item, name)]) == f"items[0].{name}: is missing"


@pytest.mark.parametrize("items", [[], {}, "1234", None, [None], [[]], 5])
def test_what_are_no_items(items: Any) -> None:
    assert refused(items=items).startswith("items")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (
            9508.0,
            "9508.0 is not a whole number of cents; write 9508 if these are cents, 950800 if they are not",
        ),
        (95.08, "95.08 is not a whole number of cents; write 9508"),
        (95.085, "write it without a separator"),
        (1e300, "write it without a separator"),
        (-95.08, "write it without a separator"),
        ("95.08", '"95.08" is not a whole number of cents; write 9508'),
        ("95,08", "write 9508"),
        ("1.234,5", "write 123450"),
        ("R$ 1.234,56", "write 123456"),
        ("1e3", "write it without a separator"),
        ("-5", '"-5" is not a whole number of cents'),
        ("+5", "is not a whole number of cents"),
        ("nine", "a text is not a whole number of cents"),
        ("٣", "a text is not a whole number of cents"),
        (" ", "an empty text is not"),
        (-1, "-1 is negative"),
        (0, "0 is less than the 1 cent"),
        ("0", "0 is less than the 1 cent"),
        (2**53 + 1, "is more than 9007199254740992 cents"),
        ("9" * 300, "is more than 9007199254740992 cents"),
        (True, "true is not a whole number of cents"),
        ([9508], "a list is not a whole number of cents"),
        ({"cents": 9508}, "an object is not a whole number of cents"),
    ],
)
def test_what_is_no_money(value: Any, hint: str) -> None:
    assert hint in refused(invoiceValue=value)


@pytest.mark.parametrize(("value", "cents"), [(1, 1), ("1", 1), (" 0010000 ", 10000), (2**53, 2**53)])
def test_money(value: Any, cents: int) -> None:
    loaded = invoice(invoiceValue=value)
    assert loaded.value == cents
    assert loaded.body()["invoiceValue"] == str(cents)


def test_a_gift_costs_nothing() -> None:
    assert invoice(items=[{"id": "1", "price": 0, "quantity": 1}]).items[0].price == 0


@pytest.mark.parametrize("quantity", [0, -1, 1.0, 1.5, "1.0", "one", True, None, 2**31])
def test_what_is_no_quantity(quantity: Any) -> None:
    assert "items[0].quantity: " in refused(items=[{"id": "1", "price": 1, "quantity": quantity}])


@pytest.mark.parametrize(
    ("number", "sent"),
    [
        ("9999", "9999"),
        (9999, "9999"),
        (" 000123 ", "000123"),
        ("DFG-v7731485plzv-01", "DFG-v7731485plzv-01"),
    ],
)
def test_invoice_numbers(number: Any, sent: str) -> None:
    assert invoice(invoiceNumber=number).number == sent


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        ("123/1", "write 123-1"),
        ("NF 123", "write NF-123"),
        ("nº 5", "write n-5"),
        ("..", "leave them out"),
        (".", "leave them out"),
        ("1.2", "write 1-2"),
        ("1_2", "write 1-2"),
        ("1%2F2", "write 1-2F2"),
        ("-1", "write 1"),
        ("٣", "leave them out"),
        ("1\n2", "has a line break (U+000A) at position 2"),
        ("x" * 61, "has 61 characters; shorten it to 60"),
        (123.0, "123.0 is not a text"),
        (True, "true is not a text"),
        ("  ", "is empty"),
    ],
)
def test_invoice_numbers_that_vtex_could_not_find_again(number: Any, hint: str) -> None:
    assert hint in refused(invoiceNumber=number)


@pytest.mark.parametrize(
    ("given_date", "sent"),
    [
        ("2026-01-31", "2026-01-31T00:00:00-03:00"),
        ("2026-01-31T23:30", "2026-01-31T23:30:00-03:00"),
        ("2026-01-31 23:30:15", "2026-01-31T23:30:15-03:00"),
        ("2026-01-31T23:30:15.1234567", "2026-01-31T23:30:15-03:00"),
        ("2026-01-31T23:30:15,5", "2026-01-31T23:30:15-03:00"),
        ("2026-01-31T18:25:43-05:00", "2026-01-31T18:25:43-05:00"),
        ("2026-01-31T18:25:43-0300", "2026-01-31T18:25:43-03:00"),
        ("2026-01-31T18:25:43+01", "2026-01-31T18:25:43+01:00"),
        ("2026-01-31T18:25:43Z", "2026-01-31T18:25:43+00:00"),
        ("2026-01-31t18:25:43.0000001z", "2026-01-31T18:25:43+00:00"),
        (" 2026-01-31 ", "2026-01-31T00:00:00-03:00"),
        ("2024-02-29", "2024-02-29T00:00:00-03:00"),
        ("2018-11-04", "2018-11-04T00:00:00-03:00"),  # a midnight that the clocks skipped
        ("2000-01-01", "2000-01-01T00:00:00-02:00"),
    ],
)
def test_dates(given_date: str, sent: str) -> None:
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False):
        assert invoice(issuanceDate=given_date).issued == sent


def test_a_late_brazilian_invoice_stays_on_its_day() -> None:
    issued = datetime.fromisoformat(invoice(issuanceDate="2026-01-31T23:59:59").issued)
    assert issued.astimezone(UTC).isoformat() == "2026-02-01T02:59:59+00:00"
    assert load_invoice({**INVOICE, "issuanceDate": "2026-01-31"}, zone="UTC").issued.startswith(
        "2026-01-31T00"
    )


@pytest.mark.parametrize(
    ("given_date", "hint"),
    [
        ("31/01/2026", '"31/01/2026" is not a date that can be read; write for example 2026-01-31'),
        ("2026-1-31", "is not a date that can be read"),
        ("20260131", "is not a date that can be read"),
        ("2026-02-30", "2026-02-30 does not exist"),
        ("2026-01-31T24:00", "does not exist"),
        ("2026-01-31T18:25:43+25:00", "does not exist"),
        ("2026-01-31T18:25:43+03:99", "does not exist"),
        ("2026-01-31T18:25:43.1234567890", "is not a date that can be read"),
        ("1999-12-31", "is before 2000"),
        ("0026-01-31", "is before 2000"),
        ("2062-01-31", "is more than a year ahead"),
        ("9999-12-31T23:59:59-14:00", "is more than a year ahead"),
        (1769817600, "a number is not a date"),
        ("yesterday", "a text is not a date"),
        ("", "an empty text is not a date"),
        (True, "this is not a date"),
        ("\uff12\uff10\uff12\uff16-01-31", "a text is not a date"),
    ],
)
def test_what_is_no_date(given_date: Any, hint: str) -> None:
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False):
        assert hint in refused(issuanceDate=given_date)


def test_an_unknown_zone() -> None:
    for zone in ("Brasilia", "", "../etc/passwd", "\0"):
        with pytest.raises(Invalid, match="TIMEZONE"):
            load_invoice(INVOICE, zone=zone)


@pytest.mark.parametrize("name", ["invoiceUrl", "trackingUrl"])
@pytest.mark.parametrize(
    "url",
    [
        "store.example/x",
        "ftp://store.example",
        "javascript:alert(1)",
        "https://",
        "http://[",
        "https://a b",
        5,
        [],
        "https://store.example/" + "x" * 2048,
        "https://store.example:99999999/",
    ],
)
def test_what_is_no_address(name: str, url: Any) -> None:
    assert refused(**{name: url}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("xml", "hint"),
    [
        ("<a><b></a>", "mismatched tag in line 1"),
        ("<a/><b/>", "not well-formed"),
        ("<a>", "not well-formed"),
        ("text", "not well-formed"),
        ("<a>&amp;&undefined;</a>", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        ("<a>" + "x" * 2**20 + "</a>", "the limit is 1048576"),
        ("<a>\x01</a>", "not well-formed"),
        (5, "5 is not a text"),
        ({"NFe": {}}, "an object is not a text"),
    ],
)
def test_what_is_no_xml(xml: Any, hint: str) -> None:
    problem = refused(embeddedInvoice=xml)
    assert problem.startswith("embeddedInvoice: ")
    assert hint in problem
    assert "passwd" not in problem


def test_xml() -> None:
    deep = "<a>" * 10_000 + "</a>" * 10_000
    for xml in (deep, '\ufeff<?xml version="1.0" encoding="UTF-16"?><a>é</a>', "<a>🎁</a>"):
        assert invoice(embeddedInvoice=xml).embedded == xml.lstrip("\ufeff")
    assert "embeddedInvoice" not in invoice(embeddedInvoice="  ").body()


def test_a_return_names_a_sku_once() -> None:
    twice = [{"id": "1", "price": 1, "quantity": 1}, {"id": " 1", "price": 1, "quantity": 2}]
    assert "items [0] and [1]" in refused(type="INPUT", items=twice)
    assert len(invoice(items=twice).items) == 2  # a sale may
    assert len(invoice(type="Input", items=[twice[0], {**twice[0], "id": "2"}]).items) == 2


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("invoiceNumer", "invoiceNumber"),
        ("invoicenumber", "invoiceNumber"),
        ("invoice_number", "invoiceNumber"),
        ("InvoiceValue", "invoiceValue"),
        ("trackingNumbr", "trackingNumber"),
        ("item", "items"),
        ("Force", "force"),
        ("embeddedInvoce", "embeddedInvoice"),
    ],
)
def test_misspelt_names(name: str, meant: str) -> None:
    assert refused(**{name: "x"}) == f"{name}: is not known; did you mean {meant}?"


@pytest.mark.parametrize(
    "name", ["volumes", "cfop", "lockId", "courierStatus", "issued", "extra", "self", "_schema"]
)
def test_other_names_go_to_vtex(name: str) -> None:
    loaded = invoice(**{name: {"a": [1, None]}})
    assert loaded.body()[name] == {"a": [1, None]}
    assert loaded.fingerprint() != invoice().fingerprint()


def test_an_items_misspelt_name() -> None:
    item = {"id": "1", "price": 1, "quantity": 1, "descripton": "x"}
    assert refused(items=[item]) == "items[0].descripton: is not known; did you mean description?"


def test_force_is_ours() -> None:
    assert "force" not in invoice(force=True).body()
    assert invoice(force=False).fingerprint() == invoice().fingerprint()
    assert invoice(force=True).fingerprint() != invoice().fingerprint()
    assert "neither true nor false" in refused(force="true")


def test_a_copy_is_kept() -> None:
    volumes = {"n": 1}
    loaded = invoice(volumes=volumes)
    volumes["n"] = 2
    assert loaded.body()["volumes"] == {"n": 1}


# --- every payload


@pytest.mark.parametrize(("kind", "payload"), GOOD)
def test_fingerprints(kind: str, payload: dict[str, Any]) -> None:
    load = LOADERS[kind]
    one = load(payload).fingerprint()
    assert one == load(json.loads(json.dumps(payload, sort_keys=True))).fingerprint()
    assert len(one) == 64
    for name, value in payload.items():
        if value is None:
            assert load(without(payload, name)).fingerprint() == one


def test_fingerprints_do_not_mind_the_spelling() -> None:
    assert (
        invoice(invoiceValue=10000, invoiceNumber=9999, type="OUTPUT").fingerprint()
        == invoice().fingerprint()
    )
    assert invoice(invoiceValue=10001).fingerprint() != invoice().fingerprint()
    assert load_cancel("x").fingerprint() == load_cancel({"reason": "x"}).fingerprint()


def test_a_fingerprint_is_the_same_tomorrow() -> None:
    """It is kept beside a command's key: if it moves, the same payload becomes another one."""
    assert invoice().fingerprint() == "611052728c9f552d68ab76752df57d39509287f5f21cba56361ec5a89f6d0244"


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ([], "is a list"),
        (5, "is no object"),
        (True, "is no object"),
        ({"reason": float("nan")}, "reason: is not a number"),
        ({"items": [{"price": float("inf")}]}, "items[0].price: is not a number"),
        ({"reason": "\ud800"}, "lone surrogate"),
        ({"\udfff": 1}, "no ordinary text"),
        ({5: 1}, "no ordinary text"),
        ({"x" * 101: 1}, "no ordinary text"),
        ({"reason": "a\0b"}, "NUL"),
        ({"reason": "x" * (2 * 2**20 + 1)}, "too large"),
        ({"reason": ["x" * 2**20, "y" * 2**20, "z"]}, "too large"),
        ({"items": [1] * 20_000}, "20000 values"),
        ({"items": [1] * 20_001}, "20000 entries"),
        ({str(number): 1 for number in range(301)}, "300 fields"),
        ({"reason": 10**5000}, "too large for a number; write it as text, in quotes"),
        ({"reason": b"bytes"}, "kind bytes"),
        ({"reason": ("a", "tuple")}, "kind tuple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_ordinary_json(kind: str, payload: Any, hint: str) -> None:
    [problem] = problems(kind, payload)
    assert hint in problem
    assert len(problem) < 300


@pytest.mark.parametrize("kind", LOADERS)
def test_deep_and_circular_payloads(kind: str) -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    circular: dict[str, Any] = {}
    circular["a"] = [circular]
    for payload in (deep, circular):
        assert "nested deeper than 20 levels" in problems(kind, payload)[0]
    while deep:  # one by one: to free it at once would need as deep a stack
        deep = deep.pop("a")


def test_a_text_is_no_payload() -> None:
    for kind in ("invoice", "tracking", "change"):
        assert problems(kind, '{"reason": "x"}') == ("the payload is a text; expected a JSON object, {…}",)


def test_messages_do_not_repeat_texts() -> None:
    secret = "Maria da Silva, CPF 123.456.789-09"
    for name in (*INVOICE, "force", "embeddedInvoice", "dispatchedDate"):
        for value in (secret, [secret], {secret: secret}):
            with contextlib.suppress(Invalid):
                invoice(**{name: value})
                continue  # good as a courier or a key
            [problem] = problems("invoice", {**INVOICE, name: value})
            assert "Maria" not in problem


def test_an_error_survives_a_process() -> None:
    error = InvalidPayload("a | b", ("a", "b"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems, type(again)) == ("a | b", ("a", "b"), InvalidPayload)


def test_a_schema_describes_itself() -> None:
    for schema in (payloads._INVOICE, payloads._TRACKING, payloads._CANCEL, payloads._CHANGE):
        for field in schema.fields.values():
            assert field.metadata["description"]


CHARACTERS = st.characters(categories=("L", "N", "P", "Z", "C"))  # with lone surrogates
TEXT = st.text(CHARACTERS, max_size=8) | st.sampled_from(["1", "2026-01-31", "https://a.example", "<a/>", ""])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 9) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """A good payload with something else in a few of its places."""
    kind, payload = draw(st.sampled_from(GOOD))
    payload = json.loads(json.dumps(payload))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = payload
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if isinstance(place, dict):
                keys.append(draw(TEXT))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inside = place[key] if not isinstance(place, dict) else place.get(key)
            if isinstance(inside, (dict, list)) and draw(st.booleans()):
                place = inside
                continue
            place[key] = draw(ANY_JSON)
            break
    return kind, payload


@steady
@given(st.sampled_from(sorted(LOADERS)), ANY_JSON)
def test_anything_is_loaded_or_refused(kind: str, payload: Any) -> None:
    loads_or_refuses(kind, payload)


@steady
@given(damaged())
def test_anything_inside_of_a_payload_is_loaded_or_refused(damage: tuple[str, Any]) -> None:
    loads_or_refuses(*damage)


def loads_or_refuses(kind: str, payload: Any) -> None:
    try:
        loaded = LOADERS[kind](payload)
    except Invalid as error:
        words = str(error)
    else:
        words = ""
    if words:
        assert len(words) < 12_000
        assert words.isprintable()
        return
    body = loaded.body()
    json.dumps(body, allow_nan=False).encode()
    again = LOADERS[kind](body)
    assert again.body() == body  # what is sent is what would be accepted
    assert len(loaded.fingerprint()) == 64
    hash(loaded.fingerprint())
    repr(loaded)
