from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests
import responses
import time_machine
import urllib3

from workers import errors
from workers.settings import Account, Secret
from workers.vtex.client import FeedNotConfigured, Vtex
from workers.vtex.states import DEFAULT_FEED_STATES, FEED_FILTER_STATES

KEY, TOKEN = "canary-key-7d1", "canary-token-9f2"
ACCOUNT = Account("mystore", Secret(KEY), Secret(TOKEN))
OMS = "https://mystore.vtexcommercestable.com.br/api/oms/pvt/orders"
FEED = "https://mystore.myvtex.com/api/orders/feed"
CONFIG = FEED + "/config"

CALLS: dict[str, tuple[str, str, Any]] = {
    "take_feed": ("GET", FEED, lambda vtex: vtex.take_feed()),
    "feed_config": ("GET", CONFIG, lambda vtex: vtex.feed_config()),
    "get_order": ("GET", f"{OMS}/1-01", lambda vtex: vtex.get_order("1-01")),
    "list_orders": ("GET", OMS, lambda vtex: vtex.list_orders()),
    "commit": ("POST", FEED, lambda vtex: vtex.commit(["h"])),
    "configure_feed": ("POST", CONFIG, lambda vtex: vtex.configure_feed(DEFAULT_FEED_STATES)),
    "delete_feed": ("DELETE", CONFIG, lambda vtex: vtex.delete_feed()),
    "start_handling": ("POST", f"{OMS}/1-01/start-handling", lambda vtex: vtex.start_handling("1-01")),
}
READS = ("take_feed", "feed_config", "get_order", "list_orders")
WRITES = ("commit", "configure_feed", "delete_feed", "start_handling")
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
    http.add("GET", f"{OMS}/1-01", json={"orderId": "1-01", "status": "handling"} | (document or {}))
    vtex.get_order("1-01")
    http.remove("GET", f"{OMS}/1-01")
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
    assert failure.value.__cause__ is None
    return failure.value


def oms_error(code: str = "OMS001", message: str = "no") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "exception": None}}


# --- what a success looks like


def test_feed(http: responses.RequestsMock, vtex: Vtex) -> None:
    event = {
        "eventId": "ED42",
        "handle": "eyJ",
        "domain": "Fulfillment",
        "state": "ready-for-handling",
        "lastState": "window-to-cancel",
        "orderId": "953-01",
        "lastChange": "2019-08-12T20:54:01.134057Z",
        "currentChange": "2019-08-12T20:54:23.7153839Z",
    }
    http.get(f"{FEED}?maxlot=7", json=[event, None])
    events, unusable = vtex.take_feed(7)
    assert [(e.event_id, e.handle, e.order_id, e.at) for e in events] == [
        ("ED42", "eyJ", "953-01", "2019-08-12T20:54:23.7153839Z")
    ]
    assert unusable == [{"item": None}]


def test_an_empty_feed(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.get(FEED, json=[])
    assert vtex.take_feed() == ([], [])


def test_no_feed_is_not_an_empty_feed(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.get(FEED, status=404, json=oms_error())
    http.get(CONFIG, status=404)
    with pytest.raises(FeedNotConfigured, match="vtexorders feed configure") as failure:
        vtex.take_feed()
    assert isinstance(failure.value, errors.NotFound)
    assert failure.value.status == 404
    assert vtex.feed_config() is None


@pytest.mark.parametrize("maxlot", [0, 11, -1])
def test_a_lot_is_one_to_ten(vtex: Vtex, maxlot: int) -> None:
    with pytest.raises(errors.Invalid):
        vtex.take_feed(maxlot)


@pytest.mark.parametrize("answer", [{"body": b""}, {"json": {}}, {"body": b"OK"}, {"json": None}])
def test_commit(http: responses.RequestsMock, vtex: Vtex, answer: dict[str, Any]) -> None:
    http.post(FEED, **answer)
    vtex.commit(("b", "a", "b"))
    assert json.loads(http.calls[0].request.body) == {"handles": ["b", "a"]}


def test_commit_of_nothing_makes_no_call(http: responses.RequestsMock, vtex: Vtex) -> None:
    vtex.commit([])
    assert not http.calls


def test_configure_feed(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(CONFIG, json={})
    vtex.configure_feed(["ready-for-handling", "cancel", "cancel"], visibility_timeout=250)
    assert json.loads(http.calls[0].request.body) == {
        "filter": {"type": "FromWorkflow", "status": ["ready-for-handling", "cancel"]},
        "queue": {"visibilityTimeoutInSeconds": 250, "MessageRetentionPeriodInSeconds": 1_209_600},
    }


def test_configure_feed_with_every_state_that_vtex_lists(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(CONFIG)
    vtex.configure_feed(sorted(FEED_FILTER_STATES), retention=345_600)


@pytest.mark.parametrize(
    "wrong",
    [
        {"states": []},
        {"states": ["ready-for-handlin"]},
        {"states": ["cancel"], "visibility_timeout": 0},
        {"states": ["cancel"], "visibility_timeout": 43_201},
        {"states": ["cancel"], "retention": 345_599},
        {"states": ["cancel"], "retention": 1_209_601},
    ],
)
def test_what_vtex_would_swallow_is_refused(vtex: Vtex, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid):
        vtex.configure_feed(**wrong)


def test_delete_feed(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.delete(CONFIG)
    vtex.delete_feed()


def test_get_order_is_utf8_whatever_the_header_says(http: responses.RequestsMock, vtex: Vtex) -> None:
    text = '{"orderId":"1-01","status":"handling", "name":"Zoë 🎁", "n": 1.10}'
    http.get(f"{OMS}/1-01", body=text.encode(), content_type="text/plain; charset=latin-1")
    assert vtex.get_order("1-01").text == text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", errors.Unavailable),
        (b'{"orderId":"1-01","sta', errors.Unavailable),
        (b'{"orderId":"1-01","status":"\xff"}', errors.Unavailable),
        (b"[" * 100_000, errors.Unavailable),
        (b'{"orderId":"2-01","status":"handling"}', errors.Unavailable),
        (b'{"orderId":"1-01"}', errors.Unavailable),
        (b"[]", errors.Unavailable),
        (b"null", errors.Unavailable),
        (b"0", errors.Unavailable),
        (b'{"error":{"code":"1","message":"try again"}}', errors.Unavailable),
    ],
)
def test_what_is_not_the_order(
    http: responses.RequestsMock, body: bytes, kind: type[errors.OrderLinkError]
) -> None:
    failure = fails(http, "get_order", body=body)
    assert type(failure) is kind
    assert "1-01" in str(failure)


def test_list_orders(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.get(
        OMS,
        json={
            "list": [
                {"orderId": "1-01", "status": "handling", "creationDate": "2026-01-01T00:00:00Z"},
                {},
                None,
            ],
            "paging": {"total": 201, "pages": 3, "currentPage": 2, "perPage": 100},
        },
    )
    brasilia = timezone(timedelta(hours=-3))
    page = vtex.list_orders(
        page=2,
        status="handling",
        created=(datetime(2026, 1, 1, tzinfo=brasilia), datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)),
    )
    assert [(row.order_id, row.status, row.creation_date) for row in page.rows] == [
        ("1-01", "handling", "2026-01-01T00:00:00.0000000Z")
    ]
    assert (page.total, page.pages, page.current_page, page.unusable) == (201, 3, 2, 2)
    assert http.calls[0].request.params == {
        "page": "2",
        "per_page": "100",
        "orderBy": "creationDate,asc",
        "f_status": "handling",
        "f_creationDate": "creationDate:[2026-01-01T03:00:00.000Z TO 2026-01-01T12:00:00.999Z]",
    }
    assert "+" not in http.calls[0].request.url


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": 0},
        {"page": 31},
        {"per_page": 0},
        {"per_page": 101},
        {"created": (datetime(2026, 1, 1), datetime(2026, 1, 2))},  # noqa: DTZ001
    ],
)
def test_a_list_that_vtex_would_not_give(vtex: Vtex, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid):
        vtex.list_orders(**wrong)


def test_start_handling_is_done_at_204_and_only_then(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(f"{OMS}/1-01/start-handling", status=204)
    vtex.start_handling("1-01")


@pytest.mark.parametrize("status", [200, 202, 206])
def test_start_handling_without_its_204_is_in_doubt(http: responses.RequestsMock, status: int) -> None:
    failure = fails(http, "start_handling", status=status, json={})
    assert type(failure) is errors.OutcomeUnknown


def test_ids_are_encoded(http: responses.RequestsMock, vtex: Vtex) -> None:
    http.post(f"{OMS}/a%2Fb%20%3Fc/start-handling", status=204)
    vtex.start_handling("a/b ?c")


def test_a_base_url_replaces_both_hosts(http: responses.RequestsMock) -> None:
    vtex = Vtex(Account("mystore", Secret(KEY), Secret(TOKEN), base_url="http://localhost:8900"))
    http.get("http://localhost:8900/api/orders/feed", json=[])
    http.post("http://localhost:8900/api/oms/pvt/orders/1/start-handling", status=204)
    vtex.take_feed()
    vtex.start_handling("1")


# --- the ladder


@every_call
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (401, errors.AccessDenied),
        (402, errors.Rejected),
        (403, errors.AccessDenied),
        (405, errors.Rejected),
        (409, errors.Conflict),
        (410, errors.Rejected),
        (413, errors.Rejected),
        (422, errors.Rejected),
        (429, errors.RateLimited),
        (301, errors.Unavailable),
        (302, errors.Unavailable),
        (304, errors.Unavailable),
        (307, errors.Unavailable),
        (308, errors.Unavailable),
    ],
)
def test_statuses_that_mean_the_same_for_reads_and_writes(
    http: responses.RequestsMock, call: str, status: int, kind: type[errors.OrderLinkError]
) -> None:
    failure = fails(http, call, status=status, json=oms_error("OMS999", "the reason"))
    assert type(failure) is kind
    assert failure.status == status
    assert str(status) in str(failure)
    assert "the reason" in str(failure)


@pytest.mark.parametrize("call", ["get_order", "list_orders", "commit", "delete_feed", "start_handling"])
def test_not_found(http: responses.RequestsMock, call: str) -> None:
    assert type(fails(http, call, status=404, json=oms_error("OMS007"))) is errors.NotFound


@pytest.mark.parametrize("call", ["commit", "delete_feed", "take_feed"])
def test_a_feed_that_is_not_there_needs_no_words(http: responses.RequestsMock, call: str) -> None:
    assert isinstance(fails(http, call, status=404), errors.NotFound)


#: What proxies and gateways answer by themselves, about whatever order.
GATEWAYS = [
    (404, {"body": "<html><h1>404 Not Found</h1></html>", "content_type": "text/html"}),
    (404, {"body": "404 page not found", "content_type": "text/plain"}),
    (404, {"json": {"message": "Not Found"}}),
    (404, {"json": {"message": "no Route matched with those values"}}),
    (404, {"json": "not found"}),
    (400, {"body": "<html><h1>400 Bad Request</h1></html>", "content_type": "text/html"}),
    (400, {"json": []}),
    (400, {"body": "null"}),
    (400, {"json": {"error": None}}),
    (405, {"json": {"message": "Method Not Allowed"}}),
    (409, {"body": "conflict"}),
    (410, {"body": "<html>"}),
    (413, {"body": "<html><h1>413 Request Entity Too Large</h1></html>"}),
    (431, {"body": "Request Header Fields Too Large"}),
]


@every_call
@pytest.mark.parametrize(("status", "answer"), GATEWAYS, ids=range(len(GATEWAYS)))
def test_the_4xx_of_a_gateway_is_nothing_for_good(
    http: responses.RequestsMock, call: str, status: int, answer: dict[str, Any]
) -> None:
    failure = fails(http, call, status=status, **answer)
    assert type(failure) is (errors.OutcomeUnknown if call in WRITES else errors.Unavailable)
    assert (failure.status, failure.code) == (status, None)
    assert "not in VTEX's words" in str(failure)


@each_write
@pytest.mark.parametrize(
    "words",
    [
        {"errors": {"invoiceNumber": ["is required"]}, "title": "One or more validation errors occurred."},
        {"Message": "no"},
        {"error": "no"},
        [{"code": "X", "message": "no"}],
        "no",
    ],
    ids=str,
)
def test_a_refusal_without_a_code_is_one(http: responses.RequestsMock, call: str, words: Any) -> None:
    assert type(fails(http, call, status=400, json=words)) is errors.Rejected


BROKEN = (408, 425, 500, 502, 503, 504, 520, 599)


@each_read
@pytest.mark.parametrize("status", BROKEN)
def test_a_read_that_vtex_failed(http: responses.RequestsMock, call: str, status: int) -> None:
    failure = fails(http, call, status=status, body="<html>", headers={"Retry-After": "9"})
    assert type(failure) is errors.Unavailable
    assert failure.after == 9


@each_write
@pytest.mark.parametrize("status", BROKEN)
def test_a_write_that_vtex_failed(http: responses.RequestsMock, call: str, status: int) -> None:
    assert type(fails(http, call, status=status, json=oms_error())) is errors.OutcomeUnknown


HTML = {"body": "<!doctype html><title>Sign in</title>", "content_type": "text/html"}


@each_read
def test_a_web_page_is_no_answer_to_a_read(http: responses.RequestsMock, call: str) -> None:
    failure = fails(http, call, **HTML)
    assert type(failure) is errors.Unavailable
    assert "web page" in str(failure)


@each_write
def test_a_web_page_is_no_answer_to_a_write(http: responses.RequestsMock, call: str) -> None:
    assert type(fails(http, call, **HTML)) is errors.OutcomeUnknown


@pytest.mark.parametrize("call", ["take_feed", "feed_config", "list_orders"])
@pytest.mark.parametrize("body", ["", '{"list": [', "nonsense", '"text"', "5", "NaN", b"\xff\xfe"])
def test_an_answer_that_cannot_be_read(http: responses.RequestsMock, call: str, body: str | bytes) -> None:
    assert type(fails(http, call, body=body)) is errors.Unavailable


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        ("take_feed", "Feed v3 and Hook Admin"),
        ("commit", "Feed v3 and Hook Admin"),
        ("configure_feed", "Feed v3 and Hook Admin"),
        ("get_order", "View order"),
        ("list_orders", "List Orders"),
        ("start_handling", "Change order workflow status"),
    ],
)
def test_a_403_names_the_permission(http: responses.RequestsMock, call: str, permission: str) -> None:
    assert permission in str(fails(http, call, status=403))


def test_the_order_is_in_another_state(http: responses.RequestsMock) -> None:
    failure = fails(http, "start_handling", status=409, json=oms_error("OMS003", "Not ready"))
    assert isinstance(failure, errors.Conflict)
    assert failure.code == "OMS003"
    assert str(failure) == "start handling of 1-01: VTEX answered 409 OMS003 (Not ready)"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example.com/x?token=1", "login.example.com"),
        ("/login", "another address"),
        ("http://[bad", "another address"),
        (f"https://{KEY}:{TOKEN}@evil.example/", "evil.example"),
    ],
)
def test_a_redirect_names_a_host_at_most(http: responses.RequestsMock, location: str, shown: str) -> None:
    failure = fails(http, "get_order", status=302, headers={"Location": location})
    assert f"points to {shown}; not followed" in str(failure)
    assert "token=1" not in str(failure)
    assert len(http.calls) == 1


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ("30", 30.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("999999999", 3600.0),
        ("Sun, 01 Mar 2026 12:00:10 GMT", 10.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:00:10", 10.0),
        ("Sun, 01 Mar 9999 12:00:10 -2359", 3600.0),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after(http: responses.RequestsMock, given: str, after: float | None) -> None:
    with time_machine.travel(NOW, tick=False):
        failure = fails(http, "get_order", status=429, headers={"Retry-After": given})
    assert isinstance(failure, errors.RateLimited)
    assert failure.after == after


@pytest.mark.parametrize(
    ("body", "code", "shown"),
    [
        ('{"error":{"code":"OMS001","message":"a\\u0000b\\nc\\u202e"}}', "OMS001", "(a b c)"),
        ('{"error":{"code":1,"message":"m"}}', "1", "400 1 (m)"),
        ('{"Error":1,"code":"X","Message":"m"}', "X", "(m)"),
        ('{"error":"just text"}', None, "(just text)"),
        ('[{"error":{"code":"L1","message":"in a list"}}]', "L1", "(in a list)"),
        ('{"error":{"code":["x"],"message":{"deep":1}}}', None, "answered 400"),
        ('{"error":null}', None, "answered 400"),
        ("[]", None, "answered 400"),
        ('"words"', None, "(words)"),
        ("true", None, "answered 400"),
        ("", None, "answered 400"),
        ("<html>no</html>", None, "answered 400"),
        ("\ufeff" + '{"error":{"code":"B","message":"m"}}', "B", "(m)"),
        ("[" * 60_000, None, "answered 400"),
        (json.dumps(oms_error("c" * 500, "m" * 50_000)), "c" * 39 + "…", "m…)"),
        (
            json.dumps(oms_error(KEY, f"sent {KEY} and {TOKEN}")),
            "***",
            "(sent *** and ***)",
        ),
        ("x" * 2**20, None, "answered 400"),
    ],
    ids=range(17),
)
def test_error_bodies_of_every_shape(
    http: responses.RequestsMock, body: str, code: str | None, shown: str
) -> None:
    failure = fails(http, "get_order", status=400, body=body)
    assert type(failure) is (
        errors.Unavailable if shown == "answered 400" and '"code"' not in body else errors.Rejected
    )
    assert failure.code == code
    assert shown in str(failure)
    assert str(failure).isprintable()
    assert len(str(failure)) < 320


# --- no answer at all


def _unsent() -> list[Exception]:
    pool: Any = None
    refused = urllib3.exceptions.NewConnectionError(pool, f"refused {TOKEN}")
    return [
        requests.ConnectTimeout(f"to {TOKEN}"),
        requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/", refused)),
        requests.exceptions.ProxyError(f"http://user:{TOKEN}@proxy"),
    ]


def _maybe_sent() -> list[Exception]:
    return [
        requests.ReadTimeout(f"{TOKEN}"),
        requests.ConnectionError(
            urllib3.exceptions.ProtocolError("aborted", ConnectionResetError(104, TOKEN))
        ),
        requests.exceptions.SSLError(TOKEN),
        requests.exceptions.InvalidHeader(TOKEN),
        requests.RequestException(TOKEN),
        urllib3.exceptions.HTTPError(TOKEN),
    ]


@pytest.mark.parametrize("error", _unsent() + _maybe_sent(), ids=repr)
@pytest.mark.parametrize("call", READS)
def test_a_read_without_an_answer(http: responses.RequestsMock, call: str, error: Exception) -> None:
    assert type(fails(http, call, body=error)) is errors.Unavailable


@pytest.mark.parametrize("error", _unsent(), ids=repr)
@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_was_not_sent(http: responses.RequestsMock, call: str, error: Exception) -> None:
    assert type(fails(http, call, body=error)) is errors.Unavailable


@pytest.mark.parametrize("error", _maybe_sent(), ids=repr)
@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_may_have_been_sent(http: responses.RequestsMock, call: str, error: Exception) -> None:
    assert type(fails(http, call, body=error)) is errors.OutcomeUnknown


# --- the rest


def test_credentials_do_not_show(http: responses.RequestsMock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vtex = Vtex(ACCOUNT)
    http.get(FEED, body=requests.ConnectionError(TOKEN))
    with pytest.raises(errors.Unavailable):
        vtex.take_feed()
    shown = repr(vtex) + str(vtex) + repr(vars(vtex)) + repr(vars(vtex._transport)) + caplog.text
    assert repr(vtex) == "<Vtex mystore>"
    assert KEY not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("token", ["with\nnewline", "with\rreturn", "ümlaut", "nul\x00"])
def test_credentials_that_no_header_can_hold(token: str) -> None:
    with pytest.raises(errors.Invalid) as failure:
        Vtex(Account("mystore", Secret(KEY), Secret(token)))
    assert token not in str(failure.value)


def test_the_pace_is_asked_first(http: responses.RequestsMock) -> None:
    def pace(endpoint: str) -> None:
        raise errors.RateLimited(endpoint, after=3)

    seen: list[Any] = []
    vtex = Vtex(ACCOUNT, pace=pace, observe=lambda *call: seen.append(call))
    for name, (_, _, make) in CALLS.items():
        with pytest.raises(errors.RateLimited, match=name):
            make(vtex)
    assert not http.calls
    assert not seen


def test_every_call_is_observed(http: responses.RequestsMock) -> None:
    seen: list[tuple[str, int | None, float]] = []
    vtex = Vtex(ACCOUNT, observe=lambda *call: seen.append(call))
    for method, url, make in CALLS.values():
        http.add(method, url, status=500)
        with pytest.raises(errors.Retryable):
            make(vtex)
    http.replace("GET", FEED, body=requests.ReadTimeout())
    with pytest.raises(errors.Unavailable):
        vtex.take_feed()
    assert [call[:2] for call in seen] == [(name, 500) for name in CALLS] + [("take_feed", None)]
    assert all(0 <= call[2] < 5 for call in seen)


def test_close_leaves_a_session_that_was_handed_in() -> None:
    session = requests.Session()
    adapter = session.get_adapter("https://")
    closed: list[bool] = []
    adapter.close = lambda: closed.append(True)
    Vtex(ACCOUNT, session=session).close()
    assert not closed
    Vtex(ACCOUNT).close()
