"""The front door with everything behind it: what an ERP sends by HTTP reaches VTEX once, what is wrong is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from urllib.parse import quote

import pytest

from workers.settings import Secret
from workers.web import body as body_module

from .web import ALL, LOOKS, OTHERS, SECRET, SENDS, TOKENS, front_door


def opened(settings, **more):
    more = {"web_tokens": Secret(TOKENS), "hook_secret": Secret(SECRET)} | more
    return dataclasses.replace(settings, **more)


@pytest.fixture
def door(erp):
    """``door(count, …)``: the front door, and an ERP with orders as the other tests have it."""
    with contextlib.ExitStack() as stack:

        def begin(count=1, *, web=None, **options):
            system, orders = erp(count, **options)
            settings = opened(system.run.process.settings, **(web or {}))
            return stack.enter_context(front_door(settings)), system, orders

        yield begin


def test_an_invoice_and_its_tracking_reach_vtex_once(door):
    door, erp, [order] = door()
    invoice = erp.invoice(order, "9999")
    path = f"/v1/orders/{order}/invoices"
    first = door.post(path, invoice, key="nf-9999")
    assert first.status_code == 202
    assert first.json() == {"id": "nf-9999", "state": "open", "url": "/v1/commands/nf-9999"}
    assert first.headers["Location"] == "/v1/commands/nf-9999"
    tracking = {"trackingNumber": "BR1", "courier": "Correios"}
    assert door.post(f"{path}/9999/tracking", tracking, key='"nf-9999-tracking"').status_code == 202
    assert erp.end("nf-9999")[0] == erp.end("nf-9999-tracking")[0] == "done"

    assert first.text.endswith("}\n")  # fit for a terminal

    again = door.post(path, invoice, key="nf-9999")
    assert (again.status_code, again.json()["state"]) == (200, "done")
    other = door.post(path, erp.invoice(order, "10000"), key="nf-9999")
    assert other.status_code == 409
    assert "belongs to another request" in other.json()["detail"]

    told = door.get(first.json()["url"]).json()
    assert told["state"] == "done"
    assert told["outcome"]["invoiceNumber"] == "9999"
    assert "payload" not in told
    shown = door.get(f"/v1/orders/{order}").json()
    assert (told["command"], told["orderId"], shown["orderId"]) == ("invoice", order, order)
    assert not [name for name in (*told, *shown) if "_" in name]
    assert [one["id"] for one in shown["commands"]] == ["nf-9999", "nf-9999-tracking"]
    facts = erp.facts(order)
    assert facts["invoicedSum"] == erp.value(order)
    assert facts["invoices"][0]["tracking"]["trackingNumber"] == "BR1"
    assert not erp.never()


def test_a_cancellation_needs_no_body_and_no_key(door):
    door, erp, [order] = door(status="payment-approved")
    answer = door.post(f"/v1/orders/{order}/cancellation")
    assert answer.status_code == 202
    assert erp.end(answer.json()["id"])[0] == "done"


def test_an_id_may_hold_whatever_a_key_may(door):
    door, erp, [order] = door()
    key = "nf/1?a=%2F#&;é".replace("é", "~")
    answer = door.post(f"/v1/orders/{order}/invoices", erp.invoice(order), key=key)
    assert answer.json()["id"] == key
    assert door.get(answer.json()["url"]).json()["id"] == key
    assert answer.json()["url"] == "/v1/commands/" + quote(key, safe="")


@pytest.fixture
def given(_settings):
    """The settings of the session's worker."""
    return _settings


@pytest.fixture
def alone(_settings, fresh_redis):
    """``alone(**settings)``: a front door with a ledger, and no store behind it."""
    with contextlib.ExitStack() as stack:
        yield lambda **more: stack.enter_context(front_door(opened(_settings, **more)))


INVOICES = "/v1/orders/1-01/invoices"


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        (("POST", INVOICES, {}, {"token": None}), 401, "Authorization: Bearer"),
        (("POST", INVOICES, {}, {"token": ALL[:-1]}), 401, "Authorization: Bearer"),
        (("POST", INVOICES, {}, {"token": LOOKS}), 403, "needs the scope command"),
        (("GET", "/v1/orders/1-01", None, {"token": SENDS}), 403, "needs the scope read"),
        (("POST", "/v1/orders/1-01/replay", None, {"token": SENDS}), 403, "needs the scope operate"),
        (("GET", "/v1/orders/1-01?account=teststore", None, {"token": OTHERS}), 403, "for another store"),
        (("GET", "/v1/orders/1-01?account=nobody", None, {}), 422, "which store"),
        (("GET", "/v1/orders/1-01", None, {}), 404, "not known here"),
        (("GET", "/v1/commands/1", None, {}), 404, "not known here"),
        (("POST", "/v1/commands/1/replay", None, {}), 404, "not known here"),
        (("POST", INVOICES, b'{"a": ', {}), 400, "not JSON"),
        (("POST", INVOICES, b'{"a": NaN}', {}), 400, "the body has NaN, which is no JSON"),
        (("POST", INVOICES, b"[" * 20_000, {}), 400, "the body is nested too deeply"),
        (("POST", INVOICES, b'{"a": "\xff"}', {}), 400, "the body is not text in UTF-8 (byte 8)"),
        (("POST", INVOICES, b'{"type": "Output", "type": "Input"}', {}), 400, 'the body has "type" twice in one'),
        (("POST", "/v1/orders/1-01/cancellation", b'{"reason": "a", "reason": "b"}', {}), 400, "write it once"),
        (("POST", "/hooks/vtex/teststore", b'{"OrderId": "1-01", "OrderId": "2-01"}',
          {"headers": {"X-Hook-Secret": SECRET}}), 400, 'has "OrderId" twice'),
        (("POST", INVOICES, {}, {"headers": {"Content-Type": "text/plain"}}), 415, "application/json"),
        (("POST", INVOICES, b"x", {"headers": {"Content-Encoding": "gzip"}}), 415, "compressed"),
        (("POST", INVOICES, b" " * (body_module.LARGEST + 1), {}), 413, "larger than"),
        (("POST", INVOICES, [], {}), 422, "1 problem"),
        (("POST", "/v1/orders/a%2Fb/invoices", {}, {}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"null", {}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"[]", {}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"false", {}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"0", {}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"{}", {"headers": {"Idempotency-Key": ""}}), 422, "1 problem"),
        (("POST", "/v1/orders/1-01/cancellation", b"{}", {"headers": {"Idempotency-Key": '""'}}), 422, "1 problem"),
        (("POST", INVOICES, {}, {"key": "k" * 201}), 422, "1 problem"),
        (("POST", f"{INVOICES}/9/tracking", {"invoiceNumber": "8"}, {}), 422, "1 problem"),
        (("GET", "/v1/orders?state=done", None, {}), 422, "query"),
        (("GET", "/v1/orders?state=dead&state=open", None, {}), 422, "query"),
        (("GET", "/v1/orders?state=dead&limt=1", None, {}), 422, "query"),
        (("DELETE", INVOICES, None, {}), 405, "only POST"),
        (("GET", "/v2", None, {}), 404, "nothing here"),
        (("POST", "/hooks/vtex/teststore", {}, {"headers": {"X-Hook-Secret": "wrong"}}), 401, "secret"),
        (("POST", "/hooks/vtex/nobody", {}, {"headers": {"X-Hook-Secret": SECRET}}), 404, "no such store"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_a_reason(alone, fresh_redis, request_, status, says):
    method, path, body, more = request_
    answer = alone().ask(method, path, body, **more)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert not fresh_redis.keys("vo:*")  # and nothing was recorded


def test_every_problem_of_a_payload_has_its_place(alone):
    answer = alone().post(INVOICES, {"items": [{"price": 1.5, "id": "1"}], "invoiceNumer": "1"})
    assert answer.status_code == 422
    places = {one["pointer"] for one in answer.json()["errors"]}
    assert places == {
        "#/type", "#/issuanceDate", "#/invoiceNumber", "#/invoiceValue", "#/invoiceNumer",
        "#/items/0/price", "#/items/0/quantity",
    }  # fmt: skip


def test_two_keys_are_none(alone, fresh_redis):
    door = alone()
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
        connection.sendall(
            f"POST /v1/orders/1-01/cancellation HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n"
            "Idempotency-Key: one\r\nIdempotency-Key: two\r\nConnection: close\r\n\r\n".encode()
        )
        said = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    assert said.startswith("HTTP/1.1 422 ")
    assert '"stands twice; send it once", "parameter": "Idempotency-Key"' in said
    assert not fresh_redis.keys("vo:*")


def test_a_problem_of_address_or_header_is_not_said_of_the_body(alone):
    door = alone()
    for path, more, name in (
        (INVOICES, {"key": "k" * 201}, "Idempotency-Key"),
        ("/v1/orders/a%2Fb/invoices", {}, "orderId"),
        ("/v1/orders/1-01/cancellation?account=nobody", {}, "account"),
    ):
        [problem] = door.post(path, {}, **more).json()["errors"]
        assert problem["parameter"] == name
        assert "pointer" not in problem
    [problem] = door.get("/v1/orders?state=done").json()["errors"]
    assert problem["parameter"] == "state"


def test_a_body_without_a_length_is_cut_off_too(alone):
    def chunks():
        for _ in range(body_module.LARGEST // 2**16 + 2):
            yield b" " * 2**16

    answer = alone().ask("POST", INVOICES, headers={"Content-Type": "application/json"}, data=chunks())
    assert answer.status_code == 413


def test_a_body_that_does_not_come_ends(alone, monkeypatch):
    monkeypatch.setattr(body_module, "SECONDS", 0.2)
    door = alone()
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as slow:
        slow.sendall(
            f"POST {INVOICES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALL}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        assert door.get("/health", token=None).status_code == 200  # others are served meanwhile
        said = slow.recv(65_536)
        assert said.startswith(b"HTTP/1.1 408 ")
        while slow.recv(65_536):
            pass  # until the server has closed it


def test_a_token_that_asks_too_often_waits(alone):
    door = alone(web_requests_per_minute=1)
    answers = [door.get("/v1/commands/x").status_code for _ in range(21)]
    assert answers == [404] * 20 + [429]
    refused = door.get("/v1/commands/x")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert door.get("/v1/commands/x", token=LOOKS).status_code == 404  # another token is not concerned


def test_without_redis_nothing_is_accepted(given):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        with front_door(opened(given, redis_url=address)) as door:
            payload = {"reason": "sem estoque"}
            for answer in (
                door.post("/v1/orders/1-01/cancellation", payload, key="c-1"),
                door.get("/v1/commands/c-1"),
                door.event("1-01"),
                door.get("/health", token=None),
            ):
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0


def test_lists_are_paged_by_id(alone, given, fresh_redis):
    from workers.command_ledger import CommandLedger
    from workers.runtime import ledger_of

    ledger = ledger_of(fresh_redis, given, "teststore")
    book = CommandLedger(ledger)
    for number in range(7):
        book.accept([(f"c{number}", "cancel", f"{number}-01", {"reason": "a secret"}, "f")])
    claim = book.claim("c3", "me")
    book.finish(claim, "dead", {"why": "given up"}, "given up")
    door = alone()
    seen, path = [], "/v1/commands?state=open&limit=4"
    while path:
        answer = door.get(path)
        assert "a secret" not in answer.text
        page = answer.json()
        seen.append([row["id"] for row in page["commands"]])
        path = page["next"]
    assert seen == [["c0", "c1", "c2", "c4"], ["c5", "c6"]]
    [dead] = door.get("/v1/commands?state=dead", token=LOOKS).json()["commands"]
    assert dead == {"id": "c3", "command": "cancel", "orderId": "3-01", "state": "dead", "why": "given up"}

    busy = door.post("/v1/commands/c0/replay")
    assert (busy.status_code, busy.json()["detail"]) == (409, "in progress already")
    assert door.post("/v1/commands/c3/replay").json()["state"] == "open"
    [replay] = [entry for entry in book.record("c3").timeline if entry.code == "replay"]
    assert "token " in replay.detail
    assert ALL not in str(book.record("c3"))

    ledger.observe([_event("9-01")])
    claim = ledger.claim("9-01", "download", "me")
    ledger.advance(claim, "dead", "dead", "why not", error="why not")
    [row] = door.get("/v1/orders?state=dead").json()["orders"]
    assert (row["orderId"], row["why"]) == ("9-01", "why not")
    assert door.post("/v1/orders/9-01/replay").status_code == 202
    assert door.get("/v1/orders?state=dead").json() == {"orders": [], "next": None}
    assert door.get("/v1/orders/9-01").json()["state"] in ("open", "parked")  # a worker may be at it already


def _event(order_id):
    from workers.vtex.schemas import Event

    return Event("e", "", order_id, "ready-for-handling", "Fulfillment", "2026-01-01T10:00:00.0000000Z")


def test_a_stores_token_reaches_its_own_store_alone(alone, given, fresh_redis):
    here = given.account()
    door = alone(accounts={here.name: here, "other": dataclasses.replace(here, name="other")})
    cancel, own = "/v1/orders/1-01/cancellation", f"?account={here.name}"
    assert door.post(cancel).json()["errors"][0]["parameter"] == "account"  # which store?
    assert door.post(cancel + own, key="c-1").status_code == 202
    for method, path in (
        ("GET", "/v1/orders/1-01"), ("GET", "/v1/orders?state=open"), ("GET", "/v1/commands/c-1"),
        ("GET", "/v1/commands?state=open"), ("POST", "/v1/commands/c-1/replay"), ("POST", "/v1/orders/1-01/replay"),
        ("POST", cancel), ("POST", "/v1/orders/1-01/changes"), ("POST", INVOICES), ("POST", f"{INVOICES}/9/tracking"),
    ):  # fmt: skip
        there = path + ("&" if "?" in path else "?") + own[1:]
        assert door.ask(method, there, token=OTHERS).status_code == 403
        if method == "GET" or "replay" in path:  # in its own store it learns nothing of the same number
            answer = door.ask(method, path, token=OTHERS)
            nothing = ({"orders": [], "next": None}, {"commands": [], "next": None})
            assert answer.status_code == 404 or answer.json() in nothing
    assert door.event("2-01").status_code == 200  # the hook's address names the store
    body, secret = {"OrderId": "3-01", "Origin": {"Account": "teststore"}}, {"X-Hook-Secret": SECRET}
    assert door.post("/hooks/vtex/other", body, token=None, headers=secret).status_code == 403
    assert not [key for key in fresh_redis.keys("vo:other:*") if "3-01" in key or "c-1" in key]


def test_the_page_needs_nothing_from_elsewhere(alone):
    answer = alone().get("/", token=None)
    assert answer.status_code == 200
    for part in ("Send an invoice", "Idempotency-Key", "nf-9999", "TrackingEvent"):
        assert part in answer.text
    assert "http" not in answer.text.replace("http://localhost:8080", "").replace("https://json", "")
    assert "<script" not in answer.text
