"""The sandbox as a client sees it: over HTTP, from another process."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import requests

from workers.sandbox.faults import FaultPlan
from workers.sandbox.process import SandboxProcess
from workers.sandbox.server import SandboxConfig

HEADERS = {
    "X-VTEX-API-AppKey": "key",
    "X-VTEX-API-AppToken": "token",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
FEED = "/api/orders/feed"
CONFIG = "/api/orders/feed/config"
ORDERS = "/api/oms/pvt/orders"


class Client:
    def __init__(self, sandbox):
        self._url = sandbox.url
        self.session = requests.Session()
        self.session.headers.update(HEADERS)
        self.session.trust_env = False

    def __call__(self, method, path, **options):
        return self.session.request(method, self._url + path, timeout=10, **options)

    def read(self):
        answer = self("GET", f"{FEED}?maxlot=10")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read_all(self):
        events = []
        while batch := self.read():
            events += batch
        return events


@pytest.fixture
def start():
    """Start sandboxes and clients of them; all end with the test."""
    open_things = []

    def begin(**options):
        sandbox = SandboxProcess(
            SandboxConfig(**{"short_reads": False, "marketplace_events": 0.0, **options})
        )
        sandbox.start()
        client = Client(sandbox)
        open_things.extend([client.session.close, sandbox.stop])
        return sandbox, client

    yield begin
    for close in open_things:
        close()


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_the_way_of_orders_through_an_integration(start):
    sandbox, client = start(orders=12)
    events = client.read_all()
    assert len(events) == 12
    for event in events:
        order = client("GET", f"{ORDERS}/{event['orderId']}").json()
        assert order["orderId"] == event["orderId"]
        assert client("POST", f"{ORDERS}/{event['orderId']}/start-handling").status_code == 204
    wait_for(lambda: sandbox.audit(per_order=False)["by_status"] == {"handling": 12})
    events += client.read_all()
    assert len(events) == 24
    for at in range(0, 24, 10):
        handles = [event["handle"] for event in events[at : at + 10]]
        assert client("POST", FEED, json={"handles": handles}).status_code == 200
    audit = sandbox.audit()
    assert audit["events_committed"] == audit["events_created"] == 24
    assert audit["events_pending"] == audit["early_commits"] == audit["stranded"] == 0
    assert audit["start_handling_effects"] == 12
    assert audit["start_handling_more_than_once"] == 0
    assert all(facts["startHandlingCount"] == 1 for facts in audit["per_order"].values())
    assert audit["calls_by_route"]["POST /api/oms/pvt/orders/{orderId}/start-handling"] == {"204": 12}


def test_start_handling_twice_is_a_conflict_and_an_unknown_order_is_not_found(start):
    _, client = start(orders=1)
    [event] = client.read()
    path = f"{ORDERS}/{event['orderId']}/start-handling"
    assert client("POST", path).status_code == 204
    refused = client("POST", path)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "OMS003"
    for method, unknown in (("GET", ""), ("POST", "/start-handling")):
        missing = client(method, f"{ORDERS}/9999999999999-01{unknown}")
        assert missing.status_code == 404
        assert set(missing.json()["error"]) == {"code", "message", "exception"}


def test_both_credentials_are_needed(start):
    sandbox, client = start()
    wrong = (
        {"X-VTEX-API-AppKey": None},
        {"X-VTEX-API-AppToken": None},
        {"X-VTEX-API-AppKey": "wrong"},
        {"X-VTEX-API-AppToken": "wrong"},
    )
    for headers in wrong:
        answer = client("GET", FEED, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"error": {"code": "1", "message": "Unauthorized access", "exception": None}}
    assert client("GET", FEED).status_code == 200
    assert sandbox.audit()["unauthorized"] == len(wrong)


def test_a_permission_may_be_missing(start):
    _, client = start(denied=("list", "workflow"))
    assert client("GET", ORDERS).status_code == 403
    assert client("POST", f"{ORDERS}/1-01/start-handling").status_code == 403
    assert client("GET", FEED).status_code == 200
    assert client("GET", CONFIG).status_code == 200


def test_credentials_can_be_revoked_and_given_back(start):
    sandbox, client = start()
    for status in (401, 403):
        sandbox.control("credentials", {"status": status})
        assert client("GET", FEED).status_code == status
    sandbox.control("credentials", {"status": None})
    assert client("GET", FEED).status_code == 200


def test_a_feed_without_configuration_is_not_found(start):
    sandbox, client = start(orders=1, feed_configured=False)
    for method, path in (("GET", FEED), ("POST", FEED), ("GET", CONFIG), ("DELETE", CONFIG)):
        assert client(method, path, json={"handles": []}).status_code == 404
    wanted = {
        "filter": {"type": "FromWorkflow", "status": ["ready-for-handling", "no-such-state"]},
        "queue": {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 345600},
    }
    assert client("POST", CONFIG, json=wanted).status_code == 200
    shown = client("GET", CONFIG).json()
    assert shown["filter"] == wanted["filter"]
    assert shown["queue"] == wanted["queue"]
    assert shown["quantity"] == 0
    [made] = sandbox.create()
    assert [event["orderId"] for event in client.read()] == [made]
    assert client("GET", CONFIG).json()["quantity"] == 1  # in flight counts
    wanted["filter"]["expression"] = 'status = "x"'
    assert client("POST", CONFIG, json=wanted).status_code == 409
    assert client("POST", CONFIG, data="{").status_code == 400
    assert client("DELETE", CONFIG).status_code == 200
    assert client("GET", FEED).status_code == 404
    sandbox.control("feed", {"configured": True})
    assert client.read() == []


def test_maxlot_is_at_most_ten(start):
    _, client = start(orders=24)
    for wrong in ("11", "0", "x", ""):
        assert client("GET", f"{FEED}?maxlot={wrong}").status_code == 400
    assert len(client("GET", f"{FEED}?maxlot=3").json()) == 3
    assert len(client("GET", FEED).json()) == 10


def test_a_stale_handle_is_no_error_and_does_nothing(start):
    sandbox, client = start(orders=1, visibility_timeout=0.1)
    [first] = client.read()
    again = []
    wait_for(lambda: again.extend(client.read()) or again)
    assert again[0]["eventId"] == first["eventId"]
    assert again[0]["handle"] != first["handle"]
    assert client("POST", FEED, json={"handles": [first["handle"], "unknown"]}).status_code == 200
    audit = sandbox.audit()
    assert (audit["stale_commits"], audit["unknown_commits"], audit["events_pending"]) == (1, 1, 1)


def test_a_commit_needs_handles(start):
    _, client = start()
    for body in ('{"handles": "x"}', '{"handles": [1]}', "[]", "{", ""):
        assert client("POST", FEED, data=body).status_code == 400


def test_the_list_is_capped(start):
    _, client = start(orders=40)
    listed = client("GET", ORDERS, params={"per_page": 100}).json()
    assert listed["paging"]["total"] == len(listed["list"]) == 40
    for query in ({"page": 31}, {"per_page": 101}):
        answer = client("GET", ORDERS, params=query)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


def test_the_limit_of_the_account_answers_429(start):
    sandbox, client = start(requests_per_minute=60, retry_after=7)
    answers = [client("GET", FEED) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "7"
    assert sandbox.audit()["too_many_requests"] == len(refused)


def test_without_being_asked_for_429_names_no_time(start):
    _, client = start(faults=FaultPlan(error_429=1))
    answer = client("GET", FEED)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers


def start_handling(client, order_id):
    return client("POST", f"{ORDERS}/{order_id}/start-handling")


def test_an_error_before_the_effect_did_nothing(start):
    sandbox, client = start(orders=20, faults=FaultPlan(error_5xx=1))
    seen = set()
    for facts in sandbox.orders():
        answer = start_handling(client, facts["orderId"])
        seen.add(answer.status_code)
    assert seen == {500, 502, 503, 504}
    audit = sandbox.audit()
    assert audit["start_handling_effects"] == 0
    assert audit["faults"] == {"error_5xx": 20}


def test_a_connection_cut_before_the_effect_did_nothing(start):
    sandbox, client = start(orders=1, faults=FaultPlan(cut_before=1))
    [facts] = sandbox.orders()
    with pytest.raises(requests.ConnectionError):
        start_handling(client, facts["orderId"])
    audit = sandbox.audit()
    assert audit["start_handling_effects"] == 0
    assert audit["faults"] == {"cut_before": 1}


def test_a_lost_answer_did_its_work(start):
    sandbox, client = start(orders=30, faults=FaultPlan(lost_answer=1))
    seen = set()
    for facts in sandbox.orders():
        try:
            answer = start_handling(client, facts["orderId"])
            assert answer.headers["Content-Type"].startswith("text/html")
            seen.add(answer.status_code)
        except requests.ConnectionError:
            seen.add("cut")
    assert seen == {"cut", 500, 504}
    assert sandbox.audit()["start_handling_effects"] == 30


def test_a_commit_may_lose_its_answer_too(start):
    sandbox, client = start(orders=1)
    [event] = client.read()
    start_handling(client, event["orderId"])
    sandbox.control("faults", {"faults": "lost=1"})
    with contextlib.suppress(requests.ConnectionError):
        assert client("POST", FEED, json={"handles": [event["handle"]]}).status_code >= 500
    assert sandbox.audit()["events_committed"] == 1


def test_a_page_in_html_comes_instead_of_json(start):
    sandbox, client = start(orders=30, faults=FaultPlan(html_error=1))
    seen = set()
    for facts in sandbox.orders():
        answer = client("GET", f"{ORDERS}/{facts['orderId']}")
        seen.add(answer.status_code)
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
        assert start_handling(client, facts["orderId"]).status_code == 502
    assert seen == {200, 502}
    assert sandbox.audit()["start_handling_effects"] == 0


def test_json_may_end_in_the_middle(start):
    sandbox, client = start(orders=1, faults=FaultPlan(truncated_json=1))
    [facts] = sandbox.orders()
    answer = client("GET", f"{ORDERS}/{facts['orderId']}")
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert start_handling(client, facts["orderId"]).status_code == 204  # no body, nothing to cut


def test_a_slow_call_outlasts_a_clients_patience_and_works_all_the_same(start):
    sandbox, client = start(orders=1, faults=FaultPlan(slow=1, slow_seconds=0.5))
    [facts] = sandbox.orders()
    with pytest.raises(requests.Timeout):
        client.session.post(f"{sandbox.url}{ORDERS}/{facts['orderId']}/start-handling", timeout=0.1)
    wait_for(lambda: sandbox.audit()["start_handling_effects"] == 1)


def test_faults_can_be_scripted_for_one_call(start):
    sandbox, client = start(orders=2)
    first, second = (facts["orderId"] for facts in sandbox.orders())
    sandbox.control("faults", {"script": [{"kind": "cut_before", "path": first, "method": "POST"}]})
    assert start_handling(client, second).status_code == 204
    with pytest.raises(requests.ConnectionError):
        start_handling(client, first)
    assert start_handling(client, first).status_code == 204


def test_a_wrong_control_call_says_what_is_wrong(start):
    sandbox, _ = start()
    with pytest.raises(RuntimeError, match="not a fault: '6xx=1'"):
        sandbox.control("faults", {"faults": "6xx=1"})
    with pytest.raises(RuntimeError, match="401, 403 or null"):
        sandbox.control("credentials", {"status": 500})
    with pytest.raises(RuntimeError, match="not found"):
        sandbox.state("nobody")


def test_the_control_plane_steers_orders(start):
    sandbox, client = start()
    [order] = sandbox.create(status="payment-approved", items=3)
    assert len(client("GET", f"{ORDERS}/{order}").json()["items"]) == 3
    assert sandbox.move(order, "canceled")["status"] == "canceled"
    assert sandbox.state(order)["status"] == "canceled"
    [event] = client.read()
    assert (event["lastState"], event["state"]) == ("payment-approved", "canceled")
    [incomplete] = sandbox.create(status=None)
    [event] = client.read()
    assert (event["orderId"], event["state"], event["lastState"]) == (incomplete, None, None)


def test_calls_are_remembered(start):
    sandbox, client = start(faults=FaultPlan(error_5xx=1))
    client("GET", f"{FEED}?maxlot=10")
    calls = sandbox.calls(last=1)
    assert calls["total"] == 1
    [call] = calls["last"]
    assert (call["method"], call["path"], call["fault"]) == ("GET", FEED, "error_5xx")
    assert list(calls["by_route"]) == [f"GET {FEED}"]


def test_two_runs_with_one_seed_are_the_same(start):
    faults = FaultPlan(error_5xx=0.3, error_429=0.2)
    runs = []
    for _ in range(2):
        sandbox, client = start(orders=30, seed=5, faults=faults)
        statuses = [client("GET", f"{ORDERS}/{facts['orderId']}").status_code for facts in sandbox.orders()]
        runs.append(statuses)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_the_console_command_serves_until_a_signal():
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.sandbox", "--port", "0", "--orders", "3"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://"))
        assert requests.get(f"{url}/_sandbox/audit", timeout=10).json()["orders"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_ctrl_c_at_the_terminal_leaves_the_end_to_the_parent(start):
    sandbox, client = start()
    os.kill(sandbox.pid, signal.SIGINT)
    assert client.read() == []


PARENT = """
import time
from workers.sandbox.process import SandboxProcess
print(SandboxProcess().start().url, flush=True)
time.sleep(60)
"""


def test_a_sandbox_does_not_outlive_a_parent_that_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    try:
        url = parent.stdout.readline().strip()
        assert answers(url)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    wait_for(lambda: not answers(url))


def answers(url):
    try:
        return requests.get(f"{url}/_sandbox/audit", timeout=10).ok
    except requests.ConnectionError:
        return False


def test_a_sandbox_that_cannot_start_says_so(monkeypatch, capfd):
    monkeypatch.setattr(SandboxConfig, "as_dict", lambda self: {"nonsense": 1})
    with pytest.raises(RuntimeError, match="did not start"):
        SandboxProcess().start()
    assert "nonsense" in capfd.readouterr().err
