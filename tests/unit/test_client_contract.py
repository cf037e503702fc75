"""Every request of the client against VTEX's published OpenAPI document of the Orders API.

The document is VTEX's and is not kept here. VTEX_OPENAPI names it, or it lies beside this repository.
Bodies are made as in life: from an ERP's payload, by :mod:`workers.vtex.payloads`.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import responses
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from workers.errors import Rejected
from workers.settings import Account, Secret
from workers.vtex.answers import Endpoint
from workers.vtex.client import Vtex
from workers.vtex.payloads import load_cancel, load_change, load_invoice, load_tracking
from workers.vtex.receipts import load_change_settings, load_change_status, load_changes, load_receipt
from workers.vtex.schemas import load_order
from workers.vtex.states import DEFAULT_FEED_STATES

PLACE = Path(
    os.environ.get("VTEX_OPENAPI") or Path(__file__).resolve().parents[3] / "shared" / "vtex" / "openapi.json"
)
ACCOUNT = Account("mystore", Secret("key"), Secret("token"))
ZONE = "America/Sao_Paulo"
ORDER, NUMBER = "1172452900788-01", "DFG-v7731485plzv-01"

# Rules of the document that VTEX's own examples or guides break, so that they cannot be asked of a client:
CHANGE = ("PATCH", "/api/order-system/orders/{changeOrderId}/changes")
_PROFILE = ("properties", "clientProfileData", "items", "properties")
LOOSENED: dict[tuple[str, str], dict[tuple[str, ...], Any]] = {
    # The header of a hook is called what its owner likes; the schema knows only the "key" of its example.
    ("POST", "/api/orders/hook/config"): {("properties", "hook", "properties", "headers", "required"): []},
    # Texts, null in the document's own example of a change.
    CHANGE: {
        (
            *("properties", "replace", "items", "properties", "to", "properties", "items", "items"),
            *(*_PROFILE, name, "nullable"),
        ): True
        for name in ("corporateName", "tradeName", "corporateDocument", "stateInscription", "corporatePhone")
    },
}
#: Fields that the document's schema does not list. Elsewhere it is taken as complete: a field that it does not
#: list is a mistake of ours, although the schema itself does not forbid it.
UNLISTED = {
    # VTEX's guide to order cancellation has it beside the reason.
    ("POST", "/api/oms/pvt/orders/{orderId}/cancel"): {"requestedByUser"},
    # The schema has "replace" alone; the description and the answers have these, too.
    CHANGE: {
        "add",
        "remove",
        "manualDiscountValue",
        "manualIncrementValue",
    },
}
# The document's example of tracking events lacks the description that its schema requires; an ERP may leave it
# out, too, and we send an empty one: nothing to loosen.

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
FULL_INVOICE = {
    **INVOICE,
    "type": "Input",
    "invoiceValue": 9508,
    "invoiceKey": "CFe3520",
    "invoiceUrl": "https://luxstore.com/invoices/24382.pdf",
    "embeddedInvoice": "<NFe/>",
    "courier": "PAC",
    "trackingNumber": 87658,
    "trackingUrl": "https://www.tracking.com/url",
    "dispatchedDate": "2022-02-08T13:16:13.4617653+00:00",
    "force": True,
    "items": [{"id": 345117, "price": "9003", "quantity": "1", "description": "A cup"}],
}
TRACKING = {"trackingNumber": "87658", "trackingUrl": None, "courier": None}
FULL_TRACKING = {
    **TRACKING,
    "invoiceNumber": NUMBER,
    "dispatchedDate": "2026-01-31",
    "isDelivered": True,
    "deliveredDate": "2022-10-01T21:15",
    "events": [{"city": "Rio de Janeiro", "state": "RJ", "date": "2015-06-23"}],
}
GUIDE_CHANGE = {
    "reason": "Promotion by phone.",
    "discountValue": 1000,
    "incrementValue": 0,
    "itemsRemoved": [{"id": "234794", "price": 600, "quantity": 2}],
    "itemsAdded": [{"id": "234788", "price": 200, "quantity": 1}],
}


def invoice(payload: Any) -> dict[str, Any]:
    return load_invoice(payload, zone=ZONE).body()


def number(payload: Any) -> Any:
    return load_tracking(payload, zone=ZONE).number_body()


def events(payload: Any) -> Any:
    return load_tracking(payload, zone=ZONE).events_body()


def cancel(vtex: Vtex, payload: Any) -> None:
    loaded = load_cancel(payload)
    vtex.cancel(ORDER, reason=loaded.reason, requested_by_user=loaded.requested_by_user)


MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
CALLS: list[tuple[str, Any]] = [
    ("take_feed", lambda vtex, _: vtex.take_feed()),
    ("commit", lambda vtex, _: vtex.commit(["handle"])),
    ("feed_config", lambda vtex, _: vtex.feed_config()),
    ("configure_feed", lambda vtex, _: vtex.configure_feed(DEFAULT_FEED_STATES)),
    ("delete_feed", lambda vtex, _: vtex.delete_feed()),
    ("get_order", lambda vtex, _: vtex.get_order(ORDER)),
    ("start_handling", lambda vtex, _: vtex.start_handling(ORDER)),
    ("list_orders", lambda vtex, _: vtex.list_orders()),
    (
        "list_orders",
        lambda vtex, _: vtex.list_orders(page=2, per_page=10, status="handling", created=(MOMENT, MOMENT)),
    ),
    ("send_invoice", lambda vtex, _: vtex.send_invoice(ORDER, invoice(INVOICE))),
    ("send_invoice", lambda vtex, _: vtex.send_invoice(ORDER, invoice(FULL_INVOICE))),
    (
        "send_invoice",
        lambda vtex, example: vtex.send_invoice(
            ORDER, invoice(example("POST", "/api/oms/pvt/orders/{orderId}/invoice"))
        ),
    ),
    ("update_invoice", lambda vtex, _: vtex.update_invoice(ORDER, "9999", number(TRACKING))),
    ("update_invoice", lambda vtex, _: vtex.update_invoice(ORDER, NUMBER, number(FULL_TRACKING))),
    (
        "update_invoice",
        lambda vtex, example: vtex.update_invoice(
            ORDER, NUMBER, number(example("PATCH", "/api/oms/pvt/orders/{orderId}/invoice/{invoiceNumber}"))
        ),
    ),
    ("update_tracking", lambda vtex, _: vtex.update_tracking(ORDER, NUMBER, events(FULL_TRACKING))),
    (
        "update_tracking",
        lambda vtex, example: vtex.update_tracking(
            ORDER, NUMBER, events(example("PUT", "/api/oms/pvt/orders/{orderId}/invoice/{invoiceNumber}/tracking"))
        ),
    ),
    ("cancel", lambda vtex, _: cancel(vtex, None)),
    ("cancel", lambda vtex, example: cancel(vtex, example("POST", "/api/oms/pvt/orders/{orderId}/cancel"))),
    ("legacy_change", lambda vtex, _: vtex.legacy_change(ORDER, load_change(GUIDE_CHANGE).legacy("key-1"))),
    ("change", lambda vtex, _: vtex.change(ORDER, load_change(GUIDE_CHANGE).modifications())),
    (
        "change",
        lambda vtex, example: vtex.change(
            ORDER,
            load_change(example(*CHANGE)).modifications(),
        ),
    ),
    ("get_change", lambda vtex, _: vtex.get_change(ORDER, "e8532a32-7f7e-434a-88ec-29609f0ede46")),
    ("list_changes", lambda vtex, _: vtex.list_changes(ORDER)),
    ("change_settings", lambda vtex, _: vtex.change_settings()),
    ("hook_config", lambda vtex, _: vtex.hook_config()),
    (
        "configure_hook",
        lambda vtex, _: vtex.configure_hook(
            "https://endpoint.example/path", states=DEFAULT_FEED_STATES, headers={"X-Our-Key": "value"}
        ),
    ),
    ("delete_hook", lambda vtex, _: vtex.delete_hook()),
]  # fmt: skip


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    if not PLACE.is_file():
        reason = f"VTEX's OpenAPI document is not at {PLACE}; name its place in VTEX_OPENAPI"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    read: dict[str, Any] = json.loads(PLACE.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def registry(document: dict[str, Any]) -> Registry[Any]:
    return Registry().with_resource(
        "urn:vtex", Resource.from_contents(document, default_specification=DRAFT4)
    )


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    """A VTEX that fails at everything, so that no answer needs to make sense."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add(method, re.compile(".*"), status=418, json={"error": {"code": "1", "message": "no"}})
        yield mock


def request_of(http: responses.RequestsMock, call: Any, document: dict[str, Any]) -> Any:
    def example(method: str, path: str) -> Any:
        content = document["paths"][path][method.lower()]["requestBody"]["content"]
        return content["application/json"]["example"]

    with pytest.raises(Rejected, match="418"):
        call(Vtex(ACCOUNT), example)
    [made] = http.calls
    return made.request


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_a_request_is_one_that_vtex_documents(
    http: responses.RequestsMock, document: dict[str, Any], registry: Registry[Any], name: str, call: Any
) -> None:
    request = request_of(http, call, document)
    address = urlsplit(request.url)
    template, operation, path_values = _operation(document, request.method, address.path)
    assert address.scheme == "https"
    assert address.hostname in ("mystore.vtexcommercestable.com.br", "mystore.myvtex.com")

    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
    query = dict(parse_qsl(address.query, keep_blank_values=True, strict_parsing=bool(address.query)))
    declared = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
    assert set(query) <= set(declared)
    required = {parameter["name"] for parameter in parameters if parameter.get("required")}
    assert required <= set(query) | set(path_values) | set(request.headers)
    for key, value in query.items():
        kind = declared[key]["schema"]["type"]
        assert kind == "string" or (kind == "integer" and value.isdecimal()), key

    assert request.headers["X-VTEX-API-AppKey"] == "key"
    assert request.headers["X-VTEX-API-AppToken"] == "token"
    assert request.headers["Accept"] == request.headers["Content-Type"] == "application/json"

    if "requestBody" not in operation:
        assert not request.body
        return
    body = json.loads(request.body)
    assert int(request.headers["Content-Length"]) == len(request.body)
    call_key = (request.method, template)
    schema = _schema(document, operation, LOOSENED.get(call_key, {}))
    problems = [
        f"{error.json_path}: {error.message[:200]}"
        for error in OAS30Validator(schema, registry=registry).iter_errors(body)
    ]
    assert not problems
    assert set(body) <= set(_inlined(document, schema)["properties"]) | UNLISTED.get(call_key, set())


def test_the_documents_own_answers_are_read(document: dict[str, Any]) -> None:
    def example(path: str, method: str = "get", status: str = "200") -> Any:
        [content] = document["paths"][path][method]["responses"][status]["content"].values()
        return content["example"]

    changes = "/api/order-system/orders/{changeOrderId}/changes"
    asked = load_change_status(example(changes, "patch", "202"))
    done = load_change_status(example(changes + "/{changeRequestId}"))
    [listed] = load_changes(example(changes))
    assert asked.request_id == done.request_id == listed.request_id == "e8532a32-7f7e-434a-88ec-29609f0ede46"
    assert (asked.finished, done.finished, listed.finished) == (False, True, False)
    assert done.done
    for change in (asked, done, listed):
        assert (change.added, change.removed, change.discount) == ((), (), 0)
        assert (change.replaced, change.replacing) == ((("31", 1),), (("1", 1),))
    assert load_change_settings(example("/api/order-system/orders/changes/settings")).enabled
    assert load_receipt(example("/api/oms/pvt/orders/{orderId}/cancel", "post"), ORDER).receipt

    order = example("/api/oms/pvt/orders/{orderId}")
    read = load_order(json.dumps(order), order["orderId"]).details()
    [package] = read.packages
    assert (package.number, package.type, package.value, package.finished) == ("24382", "Input", 1015, True)
    assert package.events[0].city == "Rio de Janeiro"
    assert read.totals == {"Items": 99, "Discounts": 0, "Shipping": 300, "Tax": 0}
    assert read.allow_cancellation is True
    assert read.cancellation is not None
    assert read.cancellation.reason == "Item size was too large."
    assert [change.discount for change in read.changes] == [3290]
    assert len(read.lines) == len(order["items"])


def test_every_call_of_the_client_is_checked() -> None:
    methods = {
        name
        for name, _ in inspect.getmembers(Vtex, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }
    assert methods == {name for name, _ in CALLS}


def test_the_check_would_notice(
    http: responses.RequestsMock, document: dict[str, Any], registry: Registry[Any]
) -> None:
    """A wrong type, a field too many, a query too many: a check that finds nothing proves nothing."""

    def wrong(body: dict[str, Any]) -> Any:
        return lambda vtex, _: vtex.send_invoice(ORDER, body)

    good = invoice(INVOICE)
    for body in (
        {**good, "invoiceValue": 10000},
        {**good, "items": [{"id": "1"}]},
        {**good, "volumes": 1},
        {},
    ):
        http.calls.reset()
        with pytest.raises(AssertionError):
            test_a_request_is_one_that_vtex_documents(http, document, registry, "send_invoice", wrong(body))
    http.calls.reset()
    with pytest.raises(AssertionError):
        test_a_request_is_one_that_vtex_documents(
            http, document, registry, "x", lambda vtex, _: vtex._call(ENDPOINT, "/api/orders/feed?lot=1")
        )


ENDPOINT = Endpoint("x", "x", "GET", "x")


def _operation(
    document: dict[str, Any], method: str, path: str
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The one operation of the document that an address names; a path without a parameter goes before one with."""
    found = []
    for template, operations in document["paths"].items():
        names = re.findall(r"\{(\w+)\}", template)
        pattern = re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(template))
        match = re.fullmatch(pattern, path)
        if match and method.lower() in operations:
            values = dict(zip(names, map(unquote, match.groups()), strict=True))
            found.append((len(names), template, operations[method.lower()], values))
    assert found, f"{method} {path} is not in the document"
    _, template, operation, values = min(found, key=lambda each: each[0])
    return template, operation, values


def _schema(
    document: dict[str, Any], operation: dict[str, Any], loosened: dict[tuple[str, ...], Any]
) -> dict[str, Any]:
    schema = _inlined(document, operation["requestBody"]["content"]["application/json"]["schema"])
    for way, rule in loosened.items():
        part = schema
        for step in way[:-1]:
            part[step] = _inlined(document, part[step])  # a copy, which may be changed
            part = part[step]
        assert part.get(way[-1]) != rule, f"{way} needs no loosening any more"
        part[way[-1]] = rule
    copy: dict[str, Any] = json.loads(json.dumps(schema).replace('"#/', '"urn:vtex#/'))
    return copy


def _inlined(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A copy that is no reference itself."""
    while "$ref" in schema:
        schema = _resolved(document, {"$ref": schema["$ref"].removeprefix("urn:vtex")})
    copy: dict[str, Any] = json.loads(json.dumps(schema))
    return copy


def _resolved(document: dict[str, Any], thing: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in thing:
        return thing
    part: Any = document
    for step in thing["$ref"].removeprefix("#/").split("/"):
        part = part[step]
    resolved: dict[str, Any] = part
    return resolved
