"""The outbound half of the sandbox as a client sees it: over HTTP, from another process, with lost answers."""

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from workers.sandbox.faults import FaultPlan
from workers.sandbox.process import SandboxProcess
from workers.sandbox.server import SandboxConfig

HEADERS = {"X-VTEX-API-AppKey": "key", "X-VTEX-API-AppToken": "token", "Content-Type": "application/json"}
ORDERS = "/api/oms/pvt/orders"
CHANGES = "/api/order-system/orders"


class Client:
    def __init__(self, sandbox):
        self.url = sandbox.url
        self.session = requests.Session()
        self.session.headers.update(HEADERS)
        self.session.trust_env = False

    def __call__(self, method, path, **options):
        return self.session.request(method, self.url + path, timeout=10, **options)

    def get(self, order_id):
        answer = self("GET", f"{ORDERS}/{order_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def invoice(self, order_id, value, number="NF1", **fields):
        body = {
            "type": "Output",
            "issuanceDate": "2026-01-31T18:25:43-03:00",
            "invoiceNumber": number,
            "invoiceValue": str(value),
            "items": [{"id": "1001", "price": value, "quantity": 1}],
            **fields,
        }
        return self("POST", f"{ORDERS}/{order_id}/invoice", json=body)


@pytest.fixture
def start():
    """Start sandboxes and clients of them; all end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(**options):
            config = SandboxConfig(**{"short_reads": False, "marketplace_events": 0.0, **options})
            sandbox = stack.enter_context(SandboxProcess(config))
            client = Client(sandbox)
            stack.enter_context(client.session)
            return sandbox, client

        yield begin


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return value


def never(sandbox):
    counters = sandbox.audit(per_order=False)["never"]
    return {name: entry["count"] for name, entry in counters.items() if entry["count"]}


def test_from_the_invoice_to_the_delivery(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    value = client.get(order)["value"]
    assert client.invoice(order, value).json()["orderId"] == order
    number = {"trackingNumber": "BR1", "trackingUrl": None, "courier": "Correios", "dispatchedDate": None}
    path = f"{ORDERS}/{order}/invoice/NF1"
    wait_for(lambda: client("PATCH", path, json=number).status_code == 200)
    event = {"city": "Curitiba", "state": "PR", "description": "Entregue", "date": "2026-02-03"}
    update = {"isDelivered": True, "deliveredDate": "2026-02-03 21:15", "events": [event]}
    assert client("PUT", f"{path}/tracking", json=update).status_code == 200
    wait_for(lambda: client.get(order)["status"] == "invoiced")
    [package] = client.get(order)["packageAttachment"]["packages"]
    assert package["courierStatus"]["finished"] is True
    state = sandbox.state(order)
    assert state["invoicedSum"] == value
    assert state["invoices"][0]["tracking"]["events"] == [event]
    assert [write["call"] for write in state["writes"]][-1] == "PUT /invoice/NF1/tracking"
    assert never(sandbox) == {}


def test_an_odd_invoice_number_cannot_be_named_in_an_address(start):
    sandbox, client = start(invoice_delay=0.0)
    odd = [("123/1", "123%2F1", 404), ("123/1", "123/1", 404), ("1 3", "1%203", 500)]
    orders = sandbox.create(len(odd), status="handling")
    for order, (number, named, status) in zip(orders, odd, strict=True):
        assert client.invoice(order, 100, number).status_code == 200
        answer = client("PATCH", f"{ORDERS}/{order}/invoice/{named}", json={"trackingNumber": "1"})
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "message", "exception"}


def test_a_refusal_is_told_in_vtex_form(start):
    sandbox, client = start()
    [order] = sandbox.create()
    for answer in (
        client.invoice(order, 100),
        client("POST", f"{ORDERS}/{order}/invoice", data="{"),
        client.invoice("9999999999999-01", 100),
        client("POST", f"{ORDERS}/9999999999999-01/cancel"),
        client("PATCH", f"{CHANGES}/9999999999999-01/changes?accountName=teststore", json={"reason": "r"}),
    ):
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "CHK0201"


def lose_next(sandbox, path, method="POST", times=1):
    script = [{"kind": "lost_answer", "path": path, "method": method, "times": times}]
    sandbox.control("faults", {"script": script})


def without_answer(call):
    try:
        answer = call()
    except requests.ConnectionError:
        return
    assert answer.status_code >= 500


def test_an_invoice_whose_answer_is_lost_was_sent(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    lose_next(sandbox, "/invoice")
    without_answer(lambda: client.invoice(order, 500))
    wait_for(lambda: client.get(order)["packageAttachment"]["packages"])
    assert never(sandbox) == {}
    client.invoice(order, 500)
    assert never(sandbox) == {"invoice_repeated_same": 1}
    assert sandbox.state(order)["invoicedSum"] == 500


def test_a_cancellation_whose_answer_is_lost_may_be_confirmed_by_accident(start):
    sandbox, client = start()
    careless, careful = sandbox.create(2, status="handling")
    lose_next(sandbox, "/cancel", times=2)
    for order in (careless, careful):
        without_answer(lambda order=order: client("POST", f"{ORDERS}/{order}/cancel"))
        assert client.get(order)["status"] == "cancellation-requested"
    assert client("POST", f"{ORDERS}/{careless}/cancel").status_code == 200
    sandbox.expect_confirmation(careful)
    assert client("POST", f"{ORDERS}/{careful}/cancel", json={"reason": "Confirmado"}).status_code == 200
    for order in (careless, careful):
        wait_for(lambda order=order: client.get(order)["status"] == "canceled")
    accidents = sandbox.audit()["never"]["accidental_confirmations"]
    assert accidents == {"count": 1, "orders": [careless]}


def test_a_confirmation_can_be_announced_in_the_call(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    for headers in ({}, {"X-Sandbox-Confirms-Cancellation": "true"}):
        client("POST", f"{ORDERS}/{order}/cancel", headers=headers)
    assert never(sandbox) == {}


def test_a_shoppers_request_can_be_denied(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    sandbox.control(f"orders/{order}/status", {"status": "cancellation-requested", "reason": "Demora"})
    [request] = client.get(order)["cancellationRequests"]
    answer = client(
        "POST",
        f"/api/orders/pvt/document/{order}/deny-cancellation-request",
        json={"cancellationRequestId": request["id"], "denyReason": "Já enviado"},
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get(order)["status"] == "handling"


def test_a_change_from_the_call_to_its_end(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    path = f"{CHANGES}/{order}/changes"
    value = client.get(order)["value"]
    body = {"reason": "Desconto", "manualDiscountValue": 100}
    for wrong in ("", "?an=teststore", "?accountName=other"):
        assert client("PATCH", path + wrong, json=body).status_code == 400
    lose_next(sandbox, "/changes", "PATCH")
    without_answer(lambda: client("PATCH", f"{path}?accountName=teststore", json=body))
    assert client("GET", f"{path}?accountName=teststore").status_code == 400
    [found] = client("GET", f"{path}?an=teststore").json()["requests"]
    one = f"{path}/{found['requestId']}"
    wait_for(lambda: client("GET", f"{one}?an=teststore").json()["status"] == "done")
    assert client.get(order)["value"] == value - 100
    assert client("POST", f"{one}/retry?an=teststore", json={"reason": "r"}).status_code == 400
    assert client("POST", f"{one}/cancel?an=teststore", json={"reason": "r"}).status_code == 400
    assert client("POST", f"{path}/preview?an=teststore", json=body).json()["totalChangeValue"] == -100
    assert never(sandbox) == {}


def test_a_change_that_hangs_can_be_begun_anew_or_called_back(start):
    sandbox, client = start()
    first, second = sandbox.create(2, status="handling")
    sandbox.cancel_changes("", hang=True, times=2)
    ways = {}
    for order in (first, second):
        path = f"{CHANGES}/{order}/changes"
        body = {"reason": "r", "manualDiscountValue": 100}
        answer = client("PATCH", f"{path}?accountName=teststore", json=body)
        assert answer.status_code == 202
        ways[order] = f"{path}/{answer.json()['requestId']}"
    assert client("POST", f"{ways[first]}/retry?an=teststore").status_code == 204
    assert client("POST", f"{ways[second]}/cancel?an=teststore", json={"reason": "x"}).status_code == 200
    for order, end in ((first, "done"), (second, "canceled")):
        wait_for(
            lambda order=order, end=end: client("GET", f"{ways[order]}?an=teststore").json()["status"] == end
        )


def test_the_settings_of_changes_belong_to_the_account(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    settings = f"{CHANGES}/changes/settings?an=teststore"
    client("PUT", settings, json={"rolloutConfiguration": {"enableApi": False}})
    assert client("GET", settings).json()["rolloutConfiguration"]["enableApi"] is False
    body = {"reason": "r", "manualDiscountValue": 100}
    assert client("PATCH", f"{CHANGES}/{order}/changes?accountName=teststore", json=body).status_code == 403


def test_the_old_change_is_gone(start):
    sandbox, client = start()
    [order] = sandbox.create(status="handling")
    body = {"reason": "r", "discountValue": 100, "incrementValue": 0}
    assert client("POST", f"{ORDERS}/{order}/changes", json=body).status_code == 410
    _, alive = start(change_v1=True)
    [order] = [facts["orderId"] for facts in sandbox.orders()]
    assert alive("POST", f"{ORDERS}/{order}/changes", json=body).status_code == 404


def test_two_writes_of_one_order_at_a_time_are_seen(start):
    sandbox, client = start(latency=0.4)
    first, second = sandbox.create(2, status="handling")
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(requests.post, f"{client.url}{ORDERS}/{order}/cancel", headers=HEADERS, timeout=10)
            for order in (first, first, second)
        ]
        assert [call.result().status_code for call in calls] == [200] * 3
    assert sandbox.audit()["never"]["overlapping_writes"] == {"count": 1, "orders": [first]}


def test_a_client_that_has_given_up_does_not_overlap_with_itself(start):
    sandbox, client = start(faults=FaultPlan(slow=1, slow_seconds=0.6))
    [order] = sandbox.create(status="handling")
    with pytest.raises(requests.Timeout):
        client.session.post(f"{client.url}{ORDERS}/{order}/cancel", timeout=0.1)
    assert client("POST", f"{ORDERS}/{order}/cancel").status_code == 200
    audit = sandbox.audit()
    assert audit["never"]["overlapping_writes"]["count"] == 0
    assert audit["doubtful"]["abandoned_writes"]["count"] == 1


def test_every_fault_may_hit_every_call(start):
    sandbox, client = start(faults=FaultPlan(error_5xx=0.5, html_error=0.5))
    [order] = sandbox.create(status="handling")
    document = f"/api/orders/pvt/document/{order}"
    for method, path in (
        ("POST", f"{ORDERS}/{order}/invoice"),
        ("PATCH", f"{ORDERS}/{order}/invoice/1"),
        ("PUT", f"{ORDERS}/{order}/invoice/1/tracking"),
        ("POST", f"{ORDERS}/{order}/cancel"),
        ("POST", f"{document}/deny-cancellation-request"),
        ("PATCH", f"{CHANGES}/{order}/changes?accountName=teststore"),
        ("POST", "/api/orders/hook/config"),
        ("POST", f"{ORDERS}/{order}/interactions"),
    ):
        assert client(method, path, json={}).status_code >= 500
    assert sandbox.state(order)["status"] == "handling"


def test_every_permission_may_be_missing(start):
    _, client = start(denied=("invoice", "cancel", "change", "log", "config"))
    for method, path in (
        ("POST", "/api/oms/pvt/orders/1-01/invoice"),
        ("PUT", "/api/oms/pvt/orders/1-01/invoice/1/tracking"),
        ("POST", "/api/oms/pvt/orders/1-01/cancel"),
        ("PATCH", "/api/order-system/orders/1-01/changes"),
        ("POST", "/api/oms/pvt/orders/1-01/interactions"),
        ("GET", "/api/orders/hook/config"),
    ):
        assert client(method, path, json={}).status_code == 403
    assert client("GET", ORDERS).status_code == 200


def test_the_log_and_the_mails_of_an_order(start):
    sandbox, client = start(log_status=204)
    [order] = sandbox.create(status="handling")
    path = f"{ORDERS}/{order}"
    for _ in range(2):
        answer = client("POST", f"{path}/interactions", json={"source": "ERP", "message": "Olá"})
        assert answer.status_code == 204
    assert sandbox.state(order)["log"] == [{"source": "ERP", "message": "Olá"}] * 2
    [mail] = client("GET", f"{path}/conversation-message").json()
    assert mail["to"][0]["conversationRelatedTo"] == order


class Receiver:
    """A web server that takes what the hook sends; ``answers`` are the statuses to give, 200 at the end."""

    def __init__(self, answers=(), delay=0.0):
        self.got = []
        receiver = self
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.got.append((body, self.headers.get("Authorization")))
                time.sleep(delay)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(left.pop(0) if left else 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def hook(url, *states):
    return {
        "filter": {"type": "FromWorkflow", "status": list(states)},
        "hook": {"url": url, "headers": {"Authorization": "secret"}},
    }


CONFIG = "/api/orders/hook/config"


def test_the_hook_pings_and_delivers_until_it_is_heard(start):
    sandbox, client = start(hook_wait=0.05)
    assert client("GET", CONFIG).status_code == 404
    assert client("DELETE", CONFIG).status_code == 404
    with Receiver(answers=[200, 503, 202]) as receiver:
        wanted = hook(receiver.url, "handling")
        assert client("POST", CONFIG, json=wanted).status_code == 200
        assert receiver.got == [({"hookConfig": "ping"}, "secret")]
        assert client("GET", CONFIG).json() == wanted
        [order] = sandbox.create(status="handling")
        wait_for(lambda: len(receiver.got) == 4)
        events = [body for body, _ in receiver.got[1:]]
        assert events == [events[0]] * 3
        assert (events[0]["OrderId"], events[0]["State"]) == (order, "handling")
        assert events[0]["Origin"] == {"Account": "teststore", "Key": "key"}
        wait_for(lambda: sandbox.audit()["hook"]["delivered"] == 1)
        assert sandbox.audit()["hook"]["failed"] == 2
        assert client("DELETE", CONFIG).status_code == 200
        sandbox.create(status="handling")
    assert len(receiver.got) == 4


def test_a_hook_that_is_not_there_is_not_saved(start):
    _, client = start()
    with Receiver(answers=[202]) as receiver:
        assert client("POST", CONFIG, json=hook(receiver.url, "handling")).status_code == 400
    assert client("POST", CONFIG, json=hook(receiver.url, "handling")).status_code == 400
    assert client("POST", CONFIG, json=hook("http://example.com", "handling")).status_code == 400
    assert client("GET", CONFIG).status_code == 404


def test_a_slow_receiver_has_failed(start):
    sandbox, client = start(hook_timeout=0.2, hook_wait=60.0)
    with Receiver() as receiver:
        assert client("POST", CONFIG, json=hook(receiver.url, "handling")).status_code == 200
    with Receiver(delay=0.5) as slow:
        assert client("POST", CONFIG, json=hook(slow.url, "handling")).status_code == 400
    sandbox.create(status="handling")
    wait_for(lambda: sandbox.audit()["hook"]["failed"] == 1)
    assert sandbox.audit()["hook"]["waiting"] == 1
