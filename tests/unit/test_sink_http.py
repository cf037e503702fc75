"""The HTTP sink: what it sends, what each answer means, and what never shows."""

import base64
import hashlib
import hmac
import json

import pytest
import requests
import responses

from workers import errors
from workers.erp.contract import delivery
from workers.erp.http import HttpSink
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, SinkOptions, open_sink
from workers.settings import Secret

URL = "https://erp.example.com/orders"
TOKEN, SECRET = "canary-token-31f", "whsec_" + base64.b64encode(b"canary-secret-1234567890").decode()
NOW = 1_700_000_000
PERSON = (
    '"", "clientProfileData": {"email": "maria@example.com", "firstName": "Maria", "lastName": "Souza",'
    ' "document": "11047867702"}, "shippingData": {"address": {"street": "Rua das Flores", "country": "BRA"}}'
)


@pytest.fixture
def erp():
    with responses.RequestsMock() as mock:
        yield mock


def sink(url=URL, *, token=TOKEN, secret="", timeout=10.0):
    options = SinkOptions(token=Secret(token), signing_secret=Secret(secret), timeout=timeout)
    return HttpSink(url, options, session=requests.Session(), clock=lambda: NOW)


def sent(erp, number=0):
    return erp.calls[number].request


def failure(erp, one=None, **answer):
    erp.post(URL, **answer)
    with pytest.raises(errors.OrderLinkError) as caught:
        sink().deliver(one or delivery(more=PERSON))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) <= 220
    return caught.value


def test_what_is_sent(erp):
    erp.post(URL, status=200)
    one = delivery(more=r'"\u00e9 é \ud800", "number": 1.10, "big": 12345678901234567890.0')
    sink().deliver(one)
    request = sent(erp)
    head = '{"type": "order.ready", "account": "store", "orderId": "1-01", "lastChange": "2024-02-06T20:46:01.7010747Z"'
    assert request.body.decode() == f'{head}, "order": {one.document}}}'
    assert json.loads(request.body)["order"]["number"] == 1.1
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Content-Length"] == str(len(request.body))
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Idempotency-Key"] == "store:1-01:order.ready" == one.key
    assert not any(name.lower().startswith("webhook") for name in request.headers)
    assert TOKEN not in repr(request.headers)


def test_an_unknown_last_change_is_null(erp):
    erp.post(URL, status=200)
    from dataclasses import replace

    sink(token="").deliver(replace(delivery(), last_change=""))
    assert json.loads(sent(erp).body)["lastChange"] is None
    assert "Authorization" not in sent(erp).headers


def test_the_key_is_the_same_over_every_repeat_and_each_request_has_its_own(erp):
    for status in (500, 200, 200, 200, 200):
        erp.post(URL, status=status)
    one = sink(secret=SECRET)
    with pytest.raises(errors.OutcomeUnknown):
        one.deliver(delivery(second=1))
    for repeat in (
        delivery(second=1),
        delivery(second=2),
        delivery(CANCELLATION_REQUESTED, 3),
        delivery(CANCELLATION_REQUESTED, 4),
    ):
        one.deliver(repeat)
    for name in ("Idempotency-Key", "webhook-id"):
        keys = [sent(erp, number).headers[name] for number in range(5)]
        assert keys[0] == keys[1] == keys[2]
        assert len(set(keys)) == 3


def test_a_key_that_fits_no_header_is_encoded(erp):
    erp.post(URL, status=200)
    sink().deliver(delivery(CANCELED, order_id="ação\n%1"))
    assert sent(erp).headers["Idempotency-Key"] == "store:a%C3%A7%C3%A3o%0A%251:order.canceled"


@pytest.mark.parametrize(
    ("secret", "keys"),
    [
        (SECRET, [b"canary-secret-1234567890"]),
        ("plain text key", [b"plain", b"text", b"key"]),
        (f"{SECRET}  older", [b"canary-secret-1234567890", b"older"]),
        ("whsec_Y2FuYXJ5", [b"canary"]),
        ("whsec_YWI", [b"ab"]),
    ],
)
def test_the_signature_is_standard_webhooks(erp, secret, keys):
    erp.post(URL, status=200)
    sink(secret=secret).deliver(delivery(more='"é"'))
    request = sent(erp)
    identity, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert timestamp == str(NOW)
    assert "." not in identity
    content = f"{identity}.{timestamp}.".encode() + request.body
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    assert request.headers["webhook-signature"] == " ".join(f"v1,{one}" for one in signatures)


def test_the_published_example_of_the_standard():
    """The vector that the libraries of Standard Webhooks test themselves with."""
    from workers.erp import signature

    keys = signature.keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature.headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_", "whsec_***", "whsk_AAAA", "fine whpk_AAAA"])
def test_a_secret_that_cannot_be_one_is_refused_without_quoting_it(secret):
    with pytest.raises(errors.Invalid, match=r"ERP_SIGNING_SECRET (is|starts)") as caught:
        sink(secret=secret)
    assert "***" not in str(caught.value)
    assert "AAAA" not in str(caught.value)


def test_user_and_password_in_the_address(erp):
    erp.post(URL, status=200)
    one = sink("https://ana:p%40ss@erp.example.com/orders", token="")
    one.deliver(delivery())
    assert sent(erp).headers["Authorization"] == "Basic " + base64.b64encode(b"ana:p@ss").decode()
    assert sent(erp).url == URL
    assert "p%40ss" not in repr(one)


def test_a_query_in_the_address_is_kept(erp):
    erp.post(
        "https://erp.example.com/orders?code=canary-code", status=422, json={"message": "code=canary-code?"}
    )
    with pytest.raises(errors.Rejected) as caught:
        sink("https://erp.example.com/orders?code=canary-code").deliver(delivery())
    assert str(caught.value) == "erp.example.com answered 422: ***?"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299, 409])
def test_the_erp_has_it(erp, status):
    erp.post(URL, status=status, body="" if status == 204 else "<p>anything</p>")
    sink().deliver(delivery())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"json": {"message": "SKU 5 is unknown"}}, "SKU 5 is unknown"),
        ({"json": {"error": {"code": "X1", "message": "no such SKU"}}}, "X1 no such SKU"),
        ({"json": {"errorCode": 5, "errorMessage": "pedido inválido"}}, "pedido inválido"),
        ({"json": {"title": "Bad order", "detail": "no items", "status": 422}}, "Bad order no items"),
        (
            {"json": {"detail": [{"msg": "field required", "input": {"email": "maria@example.com"}}]}},
            "field required",
        ),
        ({"json": ["one", "two"]}, "one two"),
        ({"json": "just text"}, "just text"),
        ({"json": {"order": "an echo"}}, ""),
        ({"json": None}, ""),
        ({"body": "plain\n words\x1b[31m"}, "plain words [31m"),
        ({"body": "<html><body>maria</body></html>", "content_type": "text/html"}, ""),
        ({"body": b"\xff\xfe"}, "��"),
        ({"body": "[" * 100_000}, None),
        ({"body": "x" * 1000}, "x" * 149 + "…"),
        ({"body": f"we know {TOKEN}"}, "we know ***"),
        (
            {"body": "Maria Souza, maria@example.com, 110.478.677-02, of rua das flores: no stock in BRA"},
            "*** ***, ***, ***, of *** das ***: no stock in BRA",
        ),
        ({"json": {"message": "customer 11047867702 has debts"}}, "customer *** has debts"),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_erp_refuses_is_told_in_its_own_words_without_the_customer(erp, status, answer, words):
    error = failure(erp, status=status, **answer)
    assert type(error) is errors.Rejected
    assert error.status == status
    if words is not None:
        assert str(error) == f"erp.example.com answered {status}" + (f": {words}" if words else "")
    assert "maria" not in str(error).lower()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "ERP_TOKEN"), (403, "ERP_TOKEN"), (404, "path in ERP_URL"), (405, "not take POST")],
)
def test_what_is_about_the_connection_pauses_the_sink(erp, status, words):
    error = failure(erp, status=status, json={"message": "no"})
    assert isinstance(error, errors.AccessDenied)
    assert str(error).startswith(f"erp.example.com answered {status}: no (")
    assert words in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(erp, status):
    error = failure(erp, status=status, headers={"Location": "https://login.example.com/?u=maria"})
    assert isinstance(error, errors.AccessDenied)
    assert f"answered {status} and points to login.example.com; not followed" in str(error)
    assert len(erp.calls) == 1


def test_too_many_requests_is_about_the_erp_and_not_about_vtex(erp):
    error = failure(erp, status=429, headers={"Retry-After": "17"})
    assert not isinstance(error, errors.RateLimited)
    assert isinstance(error, errors.Unavailable)
    assert error.after == 17.0


@pytest.mark.parametrize("status", [402, 406, 408, 410, 415, 423, 425, 451, 500, 502, 503, 504, 599])
def test_everything_else_is_tried_again(erp, status):
    error = failure(erp, status=status, headers={"Retry-After": "3"}, json={"message": "later"})
    assert type(error) is errors.OutcomeUnknown
    assert str(error) == f"erp.example.com answered {status}: later"
    assert error.after == 3.0


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (requests.ReadTimeout(), errors.OutcomeUnknown, "no answer in time"),
        (requests.ConnectTimeout(), errors.Unavailable, "no connection in time"),
        (requests.ConnectionError(ConnectionResetError()), errors.OutcomeUnknown, "the connection was cut"),
    ],
)
def test_no_answer_is_tried_again(erp, raised, kind, words):
    error = failure(erp, body=raised)
    assert type(error) is kind
    assert str(error) == f"erp.example.com: {words}"


def test_half_a_character_is_about_the_order(erp):
    with pytest.raises(errors.Rejected, match="half a character"):
        sink().deliver(delivery(more='"\ud800"'))
    assert len(erp.calls) == 0


# How it is checked


@pytest.mark.parametrize(("status", "then"), [(200, 401), (204, 403)])
def test_that_anybody_may_ask_for_options_does_not_prove_our_token(erp, status, then):
    erp.add(responses.OPTIONS, URL, status=status)
    erp.post(URL, status=then)
    with pytest.raises(errors.AccessDenied):
        sink().check()


@pytest.mark.parametrize("status", [400, 405, 415, 422, 429, 501])
def test_an_answer_to_options_is_enough(erp, status):
    erp.add(responses.OPTIONS, URL, status=status)
    sink().check()
    assert sent(erp).body is None
    assert sent(erp).headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Idempotency-Key" not in sent(erp).headers


@pytest.mark.parametrize("first", [401, 403, 404])
@pytest.mark.parametrize("then", [200, 400, 409, 411, 415, 422, 500])
def test_options_that_is_not_let_through_says_nothing_about_post(erp, first, then):
    erp.add(responses.OPTIONS, URL, status=first)
    erp.post(URL, status=then)
    sink(secret=SECRET).check()
    assert sent(erp, 1).body == b""
    assert sent(erp, 1).headers["Content-Length"] == "0"
    assert sent(erp, 1).headers["webhook-signature"].startswith("v1,")
    assert "Idempotency-Key" not in sent(erp, 1).headers


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_post_that_is_refused_is_about_the_connection(erp, status):
    erp.add(responses.OPTIONS, URL, status=404)
    erp.post(URL, status=status)
    with pytest.raises(errors.AccessDenied, match=f"answered {status}"):
        sink().check()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_no_more(erp, status):
    erp.add(responses.OPTIONS, URL, status=status)
    with pytest.raises(errors.Retryable, match=f"answered {status}") as caught:
        sink().check()
    assert not isinstance(caught.value, errors.AccessDenied)


def test_a_check_that_gets_a_redirect_or_nothing(erp):
    erp.add(responses.OPTIONS, URL, status=302, headers={"Location": "/login"})
    with pytest.raises(errors.AccessDenied, match="not followed"):
        sink().check()
    erp.add(responses.OPTIONS, URL, body=requests.ConnectTimeout())
    with pytest.raises(errors.Unavailable, match="no connection in time"):
        sink().check()


# The address and what shows


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///orders",
        "https://host:port/",
        "https://[",
        "https://host/a b",
        "https://host/ç",
        "https://host/#a",
    ],
)
def test_addresses_that_name_no_endpoint(url):
    with pytest.raises(errors.Invalid, match="the ERP's address"):
        open_sink(url)


def test_nothing_secret_shows():
    one = open_sink(
        "https://ana:hush@erp.example.com/?code=hush",
        options=SinkOptions(token=Secret("hush"), signing_secret=Secret("hush")),
    )
    assert repr(one) == "<HttpSink: erp.example.com>"
    assert "hush" not in repr(SinkOptions(token=Secret("hush"), signing_secret=Secret("hush")))
    one.close()


def test_a_token_that_fits_no_header_is_refused_without_quoting_it():
    with pytest.raises(errors.Invalid, match="ERP_TOKEN") as caught:
        sink(token="canary\n")
    assert "canary" not in str(caught.value)
