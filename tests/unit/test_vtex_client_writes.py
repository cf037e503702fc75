"""The client's calls that carry an ERP's answers: what is sent, what answers mean, what is read of an order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers import errors
from workers.settings import Account, Secret
from workers.vtex.client import Vtex
from workers.vtex.receipts import load_change_settings, load_change_status, load_changes, load_hook_config
from workers.vtex.schemas import load_order

KEY, TOKEN = "canary-key-7d1", "canary-token-9f2"
ACCOUNT = Account("mystore", Secret(KEY), Secret(TOKEN))
ORDER = "https://mystore.vtexcommercestable.com.br/api/oms/pvt/orders/1-01"
CHANGES = "https://mystore.vtexcommercestable.com.br/api/order-system/orders/1-01/changes"
SETTINGS = "https://mystore.vtexcommercestable.com.br/api/order-system/orders/changes/settings"
HOOK = "https://mystore.myvtex.com/api/orders/hook/config"
RECEIPT = {"date": "2024-02-07T15:22:56.7612218-02:00", "orderId": "1-01", "receipt": "38e0"}
ACCEPTED = {
    "requestId": "r-1",
    "workflowId": "w-1",
    "reason": "x",
    "add": None,
    "remove": None,
    "replace": [],
}

SALE, RETURN = {"type": "Output"}, {"type": "Input"}
CALLS: dict[str, tuple[str, str, Any]] = {
    "send_invoice": ("POST", f"{ORDER}/invoice", lambda vtex: vtex.send_invoice("1-01", SALE)),
    "update_invoice": (
        "PATCH",
        f"{ORDER}/invoice/9",
        lambda vtex: vtex.update_invoice("1-01", "9", {"a": 1}),
    ),
    "update_tracking": (
        "PUT",
        f"{ORDER}/invoice/9/tracking",
        lambda vtex: vtex.update_tracking("1-01", "9", {"a": 1}),
    ),
    "cancel": (
        "POST",
        f"{ORDER}/cancel",
        lambda vtex: vtex.cancel("1-01", reason="x", requested_by_user=False),
    ),
    "legacy_change": ("POST", f"{ORDER}/changes", lambda vtex: vtex.legacy_change("1-01", {"a": 1})),
    "change": ("PATCH", CHANGES, lambda vtex: vtex.change("1-01", {"a": 1})),
    "configure_hook": (
        "POST",
        HOOK,
        lambda vtex: vtex.configure_hook("https://us.example/h", states=["cancel"], headers={"key": "v"}),
    ),
    "delete_hook": ("DELETE", HOOK, lambda vtex: vtex.delete_hook()),
    "get_change": ("GET", f"{CHANGES}/r-1", lambda vtex: vtex.get_change("1-01", "r-1")),
    "list_changes": ("GET", CHANGES, lambda vtex: vtex.list_changes("1-01")),
    "change_settings": ("GET", SETTINGS, lambda vtex: vtex.change_settings()),
    "hook_config": ("GET", HOOK, lambda vtex: vtex.hook_config()),
}
READS = ("get_change", "list_changes", "change_settings", "hook_config")
WRITES = tuple(name for name in CALLS if name not in READS)
RECEIVING = ("send_invoice", "update_invoice", "update_tracking", "cancel", "legacy_change")
every_call = pytest.mark.parametrize("call", CALLS)
each_read = pytest.mark.parametrize("call", READS)
each_write = pytest.mark.parametrize("call", WRITES)


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def vtex() -> Vtex:
    return Vtex(ACCOUNT)


def that_knows_the_order(http: responses.RequestsMock, document: dict[str, Any] | None = None) -> Vtex:
    """Without the document of an order, VTEX's words about it are not told."""
    vtex = Vtex(ACCOUNT)
    http.add("GET", ORDER, json={"orderId": "1-01", "status": "handling"} | (document or {}))
    vtex.get_order("1-01")
    http.remove("GET", ORDER)
    http.calls.reset()
    return vtex


def fails(http: responses.RequestsMock, call: str, **answer: Any) -> errors.OrderLinkError:
    method, url, make = CALLS[call]
    vtex = that_knows_the_order(http)
    http.add(method, url, **answer)
    with pytest.raises(errors.OrderLinkError) as failure:
        make(vtex)
    for text in (str(failure.value), repr(failure.value), repr(vars(failure.value))):
        assert KEY not in text
        assert TOKEN not in text
    assert len(http.calls) == 1  # never repeated here
    return failure.value


def vtex_error(code: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "exception": None}}


def sent(http: responses.RequestsMock) -> Any:
    return json.loads(http.calls[0].request.body)


# --- what is sent


@pytest.mark.parametrize("call", RECEIVING)
def test_a_receipt(http: responses.RequestsMock, vtex: Vtex, call: str) -> None:
    method, url, make = CALLS[call]
    http.add(method, url, json=RECEIPT)
    receipt = make(vtex)
    assert (receipt.order_id, receipt.date, receipt.receipt) == ("1-01", RECEIPT["date"], "38e0")


@pytest.mark.parametrize(
    "answer",
    [{"json": {**RECEIPT, "receipt": None}}, {"json": {}}, {"json": None}, {"body": b""}, {"body": b" \n"}],
)
def test_a_success_without_a_receipt(
    http: responses.RequestsMock, vtex: Vtex, answer: dict[str, Any]
) -> None:
    http.post(f"{ORDER}/cancel", **answer)
    receipt = vtex.cancel("1-01", reason=None, requested_by_user=True)
    assert (receipt.order_id, receipt.receipt) == ("1-01", None)
    assert sent(http) == {"requestedByUser": True}


@pytest.mark.parametrize("call", RECEIVING)
@pytest.mark.parametrize("body", ["null", "[]", "0", '"OK"', "true", '{"Error": {"message": "try again"}}'])
def test_json_that_is_no_receipt_proves_nothing(http: responses.RequestsMock, call: str, body: str) -> None:
    failure = fails(http, call, body=body, status=200)
    assert type(failure) is errors.OutcomeUnknown
    assert "it may have happened" in str(failure)


def test_cancel_says_why(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(f"{ORDER}/cancel", json=RECEIPT)
    vtex.cancel("1-01", reason="Out of stock", requested_by_user=False)
    assert sent(http) == {"reason": "Out of stock", "requestedByUser": False}


def test_bodies_are_sent_as_they_are(http: responses.RequestsMock, vtex: Vtex) -> None:
    body = {"type": "Output", "invoiceValue": "9508", "items": [{"id": "1", "description": "Açaí 🎁"}]}
    http.post(f"{ORDER}/invoice", json=RECEIPT)
    vtex.send_invoice("1-01", body)
    assert sent(http) == body
    assert http.calls[0].request.headers["Content-Length"] == str(len(http.calls[0].request.body))


def test_a_change_names_the_account_in_two_ways(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.patch(CHANGES, status=202, json=ACCEPTED)
    http.get(f"{CHANGES}/r-1", json={**ACCEPTED, "status": "done"})
    http.get(CHANGES, json={"requests": [ACCEPTED], "actions": []})
    http.get(SETTINGS, json={"rolloutConfiguration": {"enableApi": True}})
    assert vtex.change("1-01", {"reason": "x"}).request_id == "r-1"
    assert vtex.get_change("1-01", "r-1").done
    assert [change.request_id for change in vtex.list_changes("1-01")] == ["r-1"]
    assert vtex.change_settings().enabled is True
    assert [call.request.params for call in http.calls] == [{"accountName": "mystore"}] + [
        {"an": "mystore"}
    ] * 3


def test_ids_are_encoded(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.put(f"{ORDER.removesuffix('1-01')}a%2Fb/invoice/12%203%C3%A7/tracking", json=RECEIPT)
    vtex.update_tracking("a/b", "12 3ç", {})


@pytest.mark.parametrize("wrong", ["", ".", "..", "\ud800", "x" * 201, None, 5])
def test_what_no_address_can_hold(vtex: Vtex, wrong: Any) -> None:
    for call in (
        lambda: vtex.send_invoice(wrong, {}),
        lambda: vtex.update_invoice("1-01", wrong, {}),
        lambda: vtex.update_tracking("1-01", wrong, {}),
        lambda: vtex.get_change("1-01", wrong),
        lambda: vtex.change(wrong, {}),
        lambda: vtex.get_order(wrong),
        lambda: vtex.start_handling(wrong),
    ):
        with pytest.raises(errors.Invalid, match="no address can hold"):
            call()


def test_the_hook(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(HOOK, json={"Domain": "Fulfillment"})
    vtex.configure_hook("https://us.example/h", states=["cancel", "cancel"], headers={"X-Key": "secret"})
    assert sent(http) == {
        "filter": {"type": "FromWorkflow", "status": ["cancel"]},
        "hook": {"url": "https://us.example/h", "headers": {"X-Key": "secret"}},
    }
    http.get(HOOK, json=sent(http))
    hook = vtex.hook_config()
    assert hook is not None
    assert (hook.url, hook.filter_type, hook.states) == ("https://us.example/h", "FromWorkflow", ("cancel",))
    assert hook.headers == {"X-Key": "secret"}
    assert "secret" not in repr(hook)
    http.delete(HOOK)
    vtex.delete_hook()


def test_no_hook(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.get(HOOK, status=404)
    assert vtex.hook_config() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://us.example"},
        {"url": "https://"},
        {"url": "https://["},
        {"states": []},
        {"states": ["canceld"]},
        {"headers": {"a\r\nb": "c"}},
        {"headers": {"a": "ü"}},
        {"headers": {"a": ""}},
    ],
)
def test_what_is_no_hook(vtex: Vtex, wrong: dict[str, Any]) -> None:
    good = {"url": "https://us.example", "states": ["cancel"], "headers": {}}
    with pytest.raises(errors.Invalid):
        vtex.configure_hook(**{**good, **wrong})


# --- the ladder


@pytest.mark.parametrize("body", ["{}", '{"error": {"code": "1"}}', '{"hook": null}'])
def test_what_is_no_configuration_of_a_hook(http: responses.RequestsMock, body: str) -> None:
    assert type(fails(http, "hook_config", body=body)) is errors.Unavailable


@pytest.mark.parametrize("call", ["send_invoice", "update_tracking", "cancel", "change", "get_change"])
@pytest.mark.parametrize(
    "answer", [{}, {"body": "404 page not found"}, {"json": {"message": "Not Found"}}], ids=str
)
def test_the_404_of_a_gateway_is_nothing_for_good(
    http: responses.RequestsMock, call: str, answer: dict[str, Any]
) -> None:
    failure = fails(http, call, status=404, **answer)
    assert type(failure) is (errors.Unavailable if call in READS else errors.OutcomeUnknown)


def test_an_order_without_changes_needs_no_words(http: responses.RequestsMock) -> None:
    assert type(fails(http, "list_changes", status=404)) is errors.NotFound


@every_call
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (401, errors.AccessDenied),
        (403, errors.AccessDenied),
        (409, errors.Conflict),
        (413, errors.Rejected),
        (422, errors.Rejected),
        (429, errors.RateLimited),
        (302, errors.Unavailable),
        (308, errors.Unavailable),
    ],
)
def test_statuses(
    http: responses.RequestsMock, call: str, status: int, kind: type[errors.OrderLinkError]
) -> None:
    failure = fails(http, call, status=status, json=vtex_error("OMS007", "the reason"))
    assert type(failure) is kind
    assert failure.status == status
    assert "the reason" in str(failure)
    assert status in (302, 308) or failure.code == "OMS007"


@pytest.mark.parametrize("call", [name for name in CALLS if name != "hook_config"])
def test_not_found(http: responses.RequestsMock, call: str) -> None:
    failure = fails(http, call, status=404, json=vtex_error("CHK0201"))
    assert type(failure) is errors.NotFound
    assert failure.code == "CHK0201"


@each_write
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520])
def test_a_write_that_vtex_failed(http: responses.RequestsMock, call: str, status: int) -> None:
    failure = fails(http, call, status=status, json=vtex_error("OMS001"), headers={"Retry-After": "7"})
    assert type(failure) is errors.OutcomeUnknown
    assert failure.after == 7


@each_read
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_read_that_vtex_failed(http: responses.RequestsMock, call: str, status: int) -> None:
    assert type(fails(http, call, status=status)) is errors.Unavailable


MAYBE_SENT = [
    requests.ReadTimeout(TOKEN),
    requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, TOKEN))),
]


@pytest.mark.parametrize("error", MAYBE_SENT, ids=repr)
@every_call
def test_no_answer(http: responses.RequestsMock, call: str, error: Exception) -> None:
    failure = fails(http, call, body=error)
    assert type(failure) is (errors.Unavailable if call in READS else errors.OutcomeUnknown)


@every_call
def test_no_connection(http: responses.RequestsMock, call: str) -> None:
    assert type(fails(http, call, body=requests.ConnectTimeout(TOKEN))) is errors.Unavailable


@every_call
def test_a_web_page_is_no_answer(http: responses.RequestsMock, call: str) -> None:
    failure = fails(http, call, body="<!doctype html>", content_type="text/html")
    assert type(failure) is (errors.Unavailable if call in READS else errors.OutcomeUnknown)


@pytest.mark.parametrize("call", [*RECEIVING, "change"])
@pytest.mark.parametrize("body", [b"OK", b'{"date": "20', b"\xff", b"[" * 100_000])
def test_a_write_whose_answer_cannot_be_read(http: responses.RequestsMock, call: str, body: bytes) -> None:
    failure = fails(http, call, body=body, status=200)
    assert type(failure) is errors.OutcomeUnknown
    assert "1-01: VTEX answered 200, but" in str(failure)
    assert failure.__context__ is None


@pytest.mark.parametrize("body", ["", "null", "{}", "[]", '{"requestId": null}', '{"requestId": ["x"]}'])
def test_a_change_without_its_id_may_have_been_taken(http: responses.RequestsMock, body: str) -> None:
    assert type(fails(http, "change", body=body, status=202)) is errors.OutcomeUnknown


@each_read
@pytest.mark.parametrize("body", ["", "nonsense", "5", '"text"', '{"requ', "null", "[]"])
def test_a_read_that_cannot_be_read(http: responses.RequestsMock, call: str, body: str) -> None:
    assert type(fails(http, call, body=body)) is errors.Unavailable


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        ("send_invoice", '"Notify invoice"'),
        ("update_invoice", '"Notify invoice"'),
        ("update_tracking", '"Notify invoice"'),
        ("cancel", '"Cancel order"'),
        ("change", '"Change order"'),
        ("get_change", '"Change order"'),
        ("legacy_change", '"Change order"'),
        ("configure_hook", '"Feed v3 and Hook Admin"'),
    ],
)
def test_a_403_names_the_permission(http: responses.RequestsMock, call: str, permission: str) -> None:
    assert permission in str(fails(http, call, status=403))


def test_a_return_needs_another_permission(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(f"{ORDER}/invoice", status=403)
    with pytest.raises(errors.AccessDenied, match='"Notify refund"'):
        vtex.send_invoice("1-01", RETURN)


@pytest.mark.parametrize("status", [400, 409, 422, 500])
@pytest.mark.parametrize("code", ["SalesOrderSystem014", "salesordersystem014"])
def test_another_change_is_in_progress(http: responses.RequestsMock, status: int, code: str) -> None:
    failure = fails(http, "change", status=status, json=vtex_error(code, "in progress"))
    assert type(failure) is errors.NotYet
    assert (failure.status, failure.code) == (status, code)
    assert "in progress" in str(failure)
    assert failure.__context__ is None


@pytest.mark.parametrize("code", ["SalesOrderSystem015", "SalesOrderSystem026", "CHK0124", "CHK00342"])
def test_other_refusals_of_a_change_are_for_good(http: responses.RequestsMock, code: str) -> None:
    failure = fails(http, "change", status=400, json=vtex_error(code))
    assert type(failure) is errors.Rejected
    assert failure.code == code


def test_the_pace_and_the_watch_know_the_calls_by_name(http: responses.RequestsMock) -> None:
    asked: list[str] = []
    seen: list[tuple[str, int | None, float]] = []
    vtex = Vtex(ACCOUNT, pace=asked.append, observe=lambda *call: seen.append(call))
    for method, url, make in CALLS.values():
        http.add(method, url, status=500)
        with pytest.raises(errors.Retryable):
            make(vtex)
    assert asked == list(CALLS)
    assert [call[:2] for call in seen] == [(name, 500) for name in CALLS]


# --- what VTEX says of a change


@pytest.mark.parametrize(
    ("said", "finished", "done", "canceled"),
    [
        ({"status": "done", "inProgress": False}, True, True, False),
        ({"status": "done"}, True, True, False),
        ({"status": "Done", "inProgress": True}, True, True, False),
        ({"status": "canceled", "finished": False}, True, False, True),  # as VTEX's help pages show it
        ({"status": "canceled", "inProgress": False}, True, False, True),
        ({"status": "waiting-confirmation", "inProgress": True}, False, False, False),
        ({"status": "waiting-acknowledgement", "finished": False}, False, False, False),
        ({"status": "preparing"}, False, False, False),
        ({"status": "canceling", "inProgress": True}, False, False, False),
        ({"status": "unheard-of", "inProgress": False}, True, False, False),
        ({"status": "unheard-of", "finished": True}, True, False, False),
        ({"status": None, "inProgress": "no"}, False, False, False),
        ({}, False, False, False),
    ],
)
def test_whether_a_change_has_ended(said: dict[str, Any], finished: bool, done: bool, canceled: bool) -> None:
    status = load_change_status({"requestId": "r", **said})
    assert (status.finished, status.done, status.canceled) == (finished, done, canceled)


def test_a_change_in_full() -> None:
    status = load_change_status(
        {
            "requestId": "r",
            "status": "canceled",
            "reason": "x",
            "manualDiscountValue": 5,
            "manualIncrementValue": 0,
            "totalChangeValue": -5.0,
            "date": "2023-07-27T17:52:18.6483116Z",
            "add": None,
            "remove": {"Items": [{"Id": 31, "Quantity": 1}]},
            "replace": [
                {
                    "from": {"items": [{"id": "2", "quantity": 1}]},
                    "to": {"items": [{"id": "3", "quantity": 2}]},
                }
            ],
            "cancellationData": {"Reason": "No stock"},
            "logs": [{"date": "d", "message": "try 1\n"}, "plain", None, {"deep": {}}],
        }
    )
    assert (status.discount, status.increment, status.total) == (5, 0, -5)
    assert (status.added, status.removed) == ((), (("31", 1),))
    assert (status.replaced, status.replacing) == ((("2", 1),), (("3", 2),))
    assert status.cancellation_reason == "No stock"
    assert status.logs == ("d try 1", "plain")
    assert repr(status) == "<ChangeStatus r canceled>"


@pytest.mark.parametrize(
    "part",
    [["31"], "31", 5, {"items": "x"}, {}, {"items": [{"id": "1"}]}, {"items": [{"id": True, "quantity": 1}]}],
)
def test_what_a_change_does_may_be_unreadable(part: Any) -> None:
    status = load_change_status({"requestId": "r", "add": part, "replace": part})
    assert status.added is None
    assert status.replaced is None


WORDS = (
    "requestId status inProgress finished add remove replace from to items id quantity logs cancellationData "
    "Reason rolloutConfiguration enableApi filter hook url headers requests packageAttachment packages "
    "courierStatus data invoiceNumber invoiceValue type totals value cancellationRequests changesAttachment "
    "changesData itemsAdded receipt cancellationData deniedBySeller itemIndex"
)
NAMES = st.sampled_from(WORDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=15,
)
steady = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


@steady
@given(st.sampled_from([load_change_status, load_changes, load_change_settings, load_hook_config]), JSON)
def test_any_answer_is_read_or_unavailable(load: Any, body: Any) -> None:
    for value in (body, {"requestId": "r", "requests": body, "add": body, "replace": body, "logs": body}):
        try:
            repr(load(value))
        except errors.Unavailable as error:
            repr(error)


# --- what is read of an order


def details(**fields: Any) -> Any:
    document = {"orderId": "1-01", "status": "handling", **fields}
    return load_order(json.dumps(document), "1-01").details()


def test_an_order_without_anything() -> None:
    none = details()
    assert (none.value, none.totals, none.allow_cancellation, none.packages) == (None, {}, None, ())
    assert (none.lines, none.cancellation_requests, none.cancellation, none.changes) == ((), (), None, ())
    assert none.invoiced == 0
    assert none.open_request is None
    assert none.invoices("1") == ()


PACKAGE = {
    "items": [{"itemIndex": 0, "quantity": 1, "price": 0, "unitMultiplier": 0.0}],
    "courier": "PAC Correios",
    "invoiceNumber": "24382",
    "invoiceValue": 1015,
    "invoiceUrl": "https://luxstore.com/invoices/24382.pdf",
    "issuanceDate": "2024-02-09T10:10:20.5322681+00:00",
    "trackingNumber": "TRK-48960684",
    "invoiceKey": "CFe35201100063960001504590006629690333214542150",
    "trackingUrl": "https://tracking.fastdelivery.com/track/146/TRK-48960684-01/24382",
    "type": "Output",
    "courierStatus": {
        "status": "ok",
        "finished": True,
        "deliveredDate": "2024-02-15T10:17:40.5322681+00:00",
        "data": [
            {
                "lastChange": "2024-02-15T10:17:40.5322681+00:00",
                "city": "Rio de Janeiro",
                "state": "RJ",
                "createDate": "2024-02-13T10:12:55.5322681+00:00",
            }
        ],
    },
    "EnableInferItems": False,
}


def test_packages() -> None:
    sale = PACKAGE
    refund = {**PACKAGE, "type": "input", "invoiceNumber": 24382, "invoiceValue": "15", "courierStatus": None}
    read = details(packageAttachment={"packages": [sale, refund, None, {}]}, value=1015)
    first, second, nothing = read.packages
    assert (first.number, first.type, first.value, first.finished) == ("24382", "Output", 1015, True)
    assert (first.tracking_number, first.courier) == ("TRK-48960684", "PAC Correios")
    assert [(event.city, event.description, event.date) for event in first.events] == [
        ("Rio de Janeiro", "", "2024-02-13T10:12:55.5322681+00:00")
    ]
    assert [(item.index, item.quantity, item.price) for item in first.items] == [(0, 1, 0)]
    assert (second.number, second.type, second.value, second.is_return) == ("24382", "Input", 15, True)
    assert (second.finished, second.events) == (False, ())
    assert (nothing.number, nothing.value, nothing.is_return) == (None, None, False)
    assert read.invoices("24382") == (first, second)
    assert read.invoices("24382", "Input") == (second,)
    assert read.outputs == (first, nothing)
    assert read.invoiced == read.value == 1015
    assert repr(first) == "<Package Output 24382 1015>"


@pytest.mark.parametrize("spell", [str, str.lower, lambda name: name[0].upper() + name[1:]])
def test_names_are_read_in_whatever_case(spell: Any) -> None:
    def respelt(value: Any) -> Any:
        if isinstance(value, dict):
            return {spell(name): respelt(inner) for name, inner in value.items()}
        return [respelt(inner) for inner in value] if isinstance(value, list) else value

    read = details(
        packageAttachment=respelt({"packages": [PACKAGE]}),
        cancellationData=respelt({"requestedByUser": True, "reason": "Too large", "cancellationDate": "d"}),
        cancellationRequests=respelt(
            [
                {"id": "1", "reason": "a", "requestedByUser": True, "deniedBySeller": True},
                {"id": "2", "reason": "b", "requestedByUser": False, "cancellationRequestDate": "e"},
                {"id": "3", "cancellationRequestDenyDate": "f"},
            ]
        ),
        changesAttachment=respelt(
            {
                "changesData": [
                    {
                        "reason": "x",
                        "discountValue": 3290,
                        "incrementValue": None,
                        "itemsAdded": None,
                        "itemsRemoved": [{"id": "12", "quantity": 1, "price": 3290}],
                        "receipt": {"date": "d", "orderId": "1-01", "receipt": "029f"},
                    }
                ]
            }
        ),
        totals=respelt([{"id": "Items", "value": 99}, {"id": "Shipping", "value": 300.0}, {"value": 1}]),
        items=respelt([{"id": "1", "uniqueId": "A", "quantity": 2, "price": 50, "sellingPrice": 49}]),
        allowCancellation=True,
    )
    assert read.packages[0].number == "24382"
    assert read.packages[0].finished
    assert (read.cancellation.reason, read.cancellation.requested_by_user) == ("Too large", True)
    assert [request.denied for request in read.cancellation_requests] == [True, False, True]
    assert read.open_request.id == "2"
    [change] = read.changes
    assert (change.discount, change.increment, change.receipt, change.at) == (3290, 0, "029f", "d")
    assert [(line.id, line.quantity, line.price) for line in change.removed] == [("12", 1, 3290)]
    assert read.totals == {"Items": 99, "Shipping": 300}
    assert [(line.id, line.unique_id, line.quantity, line.selling_price) for line in read.lines] == [
        ("1", "A", 2, 49)
    ]
    assert read.allow_cancellation is True


@steady
@given(st.dictionaries(NAMES, JSON, max_size=6), JSON)
def test_any_order_has_details(fields: dict[str, Any], anything: Any) -> None:
    for document in (
        fields,
        dict.fromkeys(["packageAttachment", "totals", "items", "cancellationRequests"], anything),
    ):
        text = (
            json.dumps({**document, "orderId": "1-01", "status": None})
            .replace("NaN", "0")
            .replace("Infinity", "1")
        )
        repr(load_order(text, "1-01").details().invoiced)
