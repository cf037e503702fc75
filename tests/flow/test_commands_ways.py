"""Every way to ask for a command, the bodies of VTEX's ERP guide as they stand there, keys, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workers import intake
from workers.errors import Conflict, Invalid

# As VTEX's ERP guide prints them
GUIDE_CHANGE = """{
  "reason": "Promotion by phone.",
  "discountValue": 1000,
  "incrementValue": 0,
  "itemsRemoved": [
    {
      "id": "234794",
      "price": 600,
      "quantity": 2
    }
  ],
  "itemsAdded": [
    {
      "id": "234788",
      "price": 200,
      "quantity": 1
    }
  ]
}"""
GUIDE_INVOICE = """{
  "type":"Output",
  "issuanceDate":"2010-01-31",
  "invoiceNumber":"9999",
  "invoiceValue":"10000",
  "invoiceKey": null,
  "invoiceUrl": null,
  "courier": null,
  "trackingNumber": null,
  "trackingUrl": null,
  "items": [
    {
      "id": "1234",
      "price": 10000,
      "quantity": 1
    }
  ]
}"""
GUIDE_TRACKING = """{
  "trackingNumber": "87658",
  "trackingUrl": null,
  "courier": null
}"""


PROGRAM = """
import json, sys
from celery import Celery
print(Celery(broker=sys.argv[1]).send_task(sys.argv[2], kwargs=json.loads(sys.argv[3])).id)
"""


@pytest.fixture
def bare(erp, tmp_path):
    """A program that knows nothing but the broker's address; answers the task's id."""

    def ask(system, task, **kwargs):
        address = system.run.process.settings.redis_url
        command = [sys.executable, "-c", PROGRAM, address, task, json.dumps(kwargs)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    return ask


# The guide's bodies


def test_the_guide_s_bodies_as_they_stand_by_name_to_the_default_queue(erp, bare):
    erp, orders = erp(20)
    order = next(order for order in orders if erp.value(order) >= 10000)
    for task, body in (
        ("orders.invoice", {"invoice": json.loads(GUIDE_INVOICE)}),
        ("orders.tracking", {"tracking": json.loads(GUIDE_TRACKING)}),
    ):
        state, outcome = erp.end(bare(erp, task, order_id=order, **body))
        assert state == "done", outcome
    [package] = erp.facts(order)["invoices"]
    assert (package["invoiceNumber"], package["invoiceValue"]) == ("9999", 10000)
    assert package["issuanceDate"] == "2010-01-31T02:00:00+00:00"  # midnight in the store
    assert package["tracking"]["trackingNumber"] == "87658"
    assert not erp.never()


def test_the_guide_s_change_becomes_an_order_modification(erp, bare):
    erp, orders = erp(40, items=2)
    lines = {order: erp.run.link.vtex.get_order(order).details().lines for order in orders}
    # one with a line of as many as the guide takes out
    order, sku = next(
        (order, line.id)
        for order, those in lines.items()
        for line in those
        if line.quantity >= 2 and [other.id for other in those].count(line.id) == 1
    )
    body = GUIDE_CHANGE.replace("234794", sku).replace("234788", "1009")
    value = erp.value(order)
    state, outcome = erp.end(bare(erp, "orders.change", order_id=order, change=json.loads(body)))
    assert state == "done", outcome
    [change] = erp.facts(order)["changes"]
    assert change["status"] == "done"
    assert change["body"]["manualDiscountValue"] == 1000
    assert erp.value(order) == value + outcome["total"]
    assert erp.run.calls("/oms/pvt/orders/" + order + "/changes") == []
    assert not erp.never()


def test_a_cancellation_without_a_body(erp, bare):
    erp, [order] = erp(status="payment-approved")
    task = bare(erp, "orders.cancel", order_id=order)
    assert erp.end(task)[0] == "done"
    assert erp.facts(order)["cancellation"]["reason"] is None
    assert not erp.never()


@pytest.mark.parametrize("how", ["reason", "text", "object", "position"])
def test_a_cancellation_s_reason_however_it_is_given(erp, how):
    erp, [order] = erp(status="payment-approved")
    if how == "position":
        key = erp.run.app.send_task("orders.cancel", args=[order, "sem estoque"]).id
    else:
        given = {"reason": {"reason": "sem estoque"}, "text": {"cancel": "sem estoque"}}
        key = erp.ask("cancel", order, **given.get(how, {"cancel": {"reason": "sem estoque"}}))
    assert erp.end(key)[0] == "done"
    assert erp.facts(order)["cancellation"]["reason"] == "sem estoque"


def test_the_legacy_changes_api_makes_a_change_once(erp):
    erp, [order] = erp(change_v1=True, also={"change_api": "legacy"})
    change = {"reason": "Promotion by phone.", "discountValue": 1000, "incrementValue": 0}
    erp.run.fault("lost_answer", "/changes", "POST")
    assert erp.end(erp.ask("change", order, change, key="nf-1"))[0] == "done"
    assert [one["requestId"] for one in erp.facts(order)["changesV1"]] == ["nf-1"]
    assert len(erp.run.calls("/changes", "POST")) == 2
    replace = {
        "reason": "x",
        "replace": [
            {"from": {"items": [{"id": "1", "quantity": 1}]}, "to": {"items": [{"id": "2", "quantity": 1}]}}
        ],
    }
    state, outcome = erp.end(erp.ask("change", order, replace))
    assert (state, "retired" in outcome["why"]) == ("refused", True)
    assert not erp.never()


# Keys and accounts


def test_without_a_key_the_task_s_id_is_the_command_s(erp, bare):
    erp, [order] = erp()
    task = bare(erp, "orders.invoice", order_id=order, invoice=erp.invoice(order))
    assert erp.end(task)[0] == "done"
    assert erp.book.record(task).id == task


def test_the_same_key_is_joined_and_with_other_content_refused_under_the_task_s_id(erp, bare):
    erp, [order] = erp()
    half = erp.invoice(order, "1", 100)
    for _ in range(3):
        bare(erp, "orders.invoice", order_id=order, invoice=half, key="nf-1")
    other = bare(erp, "orders.invoice", order_id=order, invoice=erp.invoice(order, "2", 200), key="nf-1")
    assert erp.end("nf-1")[0] == "done"
    state, outcome = erp.end(other)
    assert state == "refused"
    assert "nf-1 belongs to another request" in outcome["why"]
    assert [one["invoiceNumber"] for one in erp.facts(order)["invoices"]] == ["1"]
    assert len(erp.run.calls("/invoice", "POST")) == 1
    assert not erp.never()


def test_a_refused_conflict_is_never_carried_even_behind_an_open_command(erp, bare):
    erp, [order] = erp(change_confirm_delay=1.5)
    change = erp.ask("change", order, {"reason": "x", "discountValue": 10})
    first = erp.ask("invoice", order, erp.invoice(order, "1", 100), key="nf-1")
    erp.until(lambda: erp.book.record(first), "the first")
    other = bare(erp, "orders.invoice", order_id=order, invoice=erp.invoice(order, "2", 100), key="nf-1")
    assert erp.end(other)[0] == "refused"
    assert erp.end(change)[0] == erp.end(first)[0] == "done"
    erp.run.idle()
    assert [one["invoiceNumber"] for one in erp.facts(order)["invoices"]] == ["1"]


def test_every_problem_is_named_and_a_better_request_may_have_the_same_key(erp):
    erp, [order] = erp()
    bad = erp.invoice(order, "123/1") | {"invoiceValue": "95,08", "items": []}
    state, outcome = erp.end(erp.ask("invoice", order, bad, key="nf-1"))
    assert state == "refused"
    for name in ("invoiceNumber", "invoiceValue", "items"):
        assert name in outcome["why"]
    assert erp.run.calls(order, "POST") == []
    assert erp.run.until(lambda: erp.run.told(order), "the ERP is told", ticks=erp.TICKS) == [
        "command.refused"
    ]
    erp.ask("invoice", order, erp.invoice(order), key="nf-1")
    erp.until(lambda: erp.book.record("nf-1").state == "done", "the better one")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"order_id": "1-01", "invoices": {}}, "the payload is the argument invoice; not known: invoices"),
        ({"order_id": "1-01"}, "invoice: is missing"),
        ({"order_id": "1-01", "invoice": None}, "the payload is no object"),
        ({"order_id": {"name": "x"}, "invoice": {}}, "order_id: an order's id is expected"),
        ({"order_id": None, "invoice": {}}, "order_id: an order's id is expected"),
        ({"order_id": "1-01", "invoice": {}, "key": "not a key"}, "key: "),
    ],
)
def test_arguments_that_make_no_sense_are_recorded_as_refused(erp, bare, given, words):
    erp, _ = erp()
    task = bare(erp, "orders.invoice", **given)
    state, outcome = erp.end(task)
    assert state == "refused"
    assert words in outcome["why"]


@pytest.mark.parametrize(("arguments", "name", "id_"), [
    ('"order_id": "ORDER", "key": "nf-1", "reason": "a", "reason": "b"', "reason", "nf-1"),
    ('"order_id": "ORDER", "key": "nf-1", "cancel": {"confirm": false, "confirm": true}', "confirm", "nf-1"),
    ('"order_id": "ORDER", "key": "nf-1", "key": "nf-2"', "key", None),
    ('"order_id": "ORDER", "reason": "a", "reason": "a"', "reason", None),
])  # fmt: skip
def test_a_name_that_stands_twice_in_a_message_is_refused(erp, arguments, name, id_):
    erp, [order] = erp(status="payment-approved")
    app, task = erp.run.app, str(uuid.uuid4())
    made = app.amqp.create_task_message(task, "orders.cancel", (), {})
    body = f"[[], {{{arguments.replace('ORDER', order)}}}, {{}}]"
    with app.producer_or_acquire() as producer:
        producer.publish(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            routing_key="celery",
            headers=made.headers,
            **made.properties,
        )
    state, outcome = erp.end(id_ or task)
    assert (state, outcome["why"]) == (
        "refused", f'the message has "{name}" twice in one object; write it once'
    )  # fmt: skip
    assert erp.facts(order)["cancellation"] is None
    if id_:  # the key is free for a better request
        erp.ask("cancel", order, key=id_, reason="b")
        erp.until(lambda: erp.book.record(id_).state == "done", "the better one")
    assert not erp.never()


def test_a_wrong_account_is_refused_where_its_sender_finds_it(erp, bare):
    erp, [order] = erp()
    for account in ("nobody", {"name": "Conceição"}):
        task = bare(erp, "orders.invoice", order_id=order, invoice=erp.invoice(order), account=account)
        state, outcome = erp.end(task)
        assert (state, "account: no account" in outcome["why"]) == ("refused", True)
        assert "Conce" not in outcome["why"]
    own = erp.run.link.account.name
    assert own in outcome["why"]  # which stores there are
    assert erp.end(erp.ask("invoice", order, erp.invoice(order), key="k1", account="nobody"))[0] == "refused"
    erp.ask("invoice", order, erp.invoice(order), key="k1", account=own)  # it used up no key
    erp.until(lambda: erp.book.record("k1").state == "done", "the better one")


def test_what_is_wrong_under_the_key_of_another_request_is_found_under_the_task_s_id(erp, bare):
    erp, [order] = erp()
    assert erp.end(erp.ask("invoice", order, erp.invoice(order), key="nf-1"))[0] == "done"
    task = bare(erp, "orders.invoice", order_id=order, invoice={"invoiceNumber": "9999"}, key="nf-1")
    state, outcome = erp.end(task)
    assert (state, "invoiceValue" in outcome["why"]) == ("refused", True)
    assert erp.book.record("nf-1").state == "done"


def test_a_request_that_redis_does_not_take_is_not_lost(erp, bare, monkeypatch):
    """As when its memory is full: messages are read and acknowledged, and nothing can be written."""
    from redis.exceptions import OutOfMemoryError

    from workers.command_ledger import CommandLedger

    erp, [order] = erp()
    monkeypatch.setattr("tasks.command.AGAIN_SECONDS", 0.1)
    begin, left = CommandLedger.begin, [3]

    def full(*args):
        if left[0]:
            left[0] -= 1
            raise OutOfMemoryError
        return begin(*args)

    monkeypatch.setattr(CommandLedger, "begin", full)
    task = bare(erp, "orders.invoice", order_id=order, invoice=erp.invoice(order))
    assert erp.end(task)[0] == "done"
    assert not left[0]


# From a program of one's own


def test_from_python_beside_the_workers(erp):
    erp, [order] = erp()
    accepted = intake.ask("invoice", order, erp.invoice(order), key="nf-1")
    assert (accepted.id, accepted.repeated) == ("nf-1", False)
    assert erp.end("nf-1")[0] == "done"
    again = intake.ask("invoice", order, erp.invoice(order), key="nf-1")
    assert (again.repeated, again.state) == (True, "done")
    with pytest.raises(Conflict):
        intake.ask("invoice", order, erp.invoice(order, "2"), key="nf-1")
    with pytest.raises(Invalid, match="invoiceNumber"):
        intake.ask("invoice", order, {})
    with pytest.raises(KeyError):
        intake.ask("cancel", order, account="nobody")


# How the ERP is told


def test_told_in_a_folder_each_once(erp, tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    erp, [order] = erp(also={"erp_url": f"file://{folder}"})
    good = erp.ask("invoice", order, erp.invoice(order))
    erp.end(good)
    bad = erp.ask("cancel", order)
    erp.end(bad)
    files = erp.until(
        lambda: (f := sorted(folder.glob(f"*{order}-command.*.json"))) and len(f) == 2 and f, "two files"
    )
    told = [json.loads(file.read_text()) for file in files]
    assert [one["type"] for one in told] == ["command.done", "command.refused"]
    assert [one["command"]["id"] for one in told] == [good, bad]
    assert told[0]["command"]["outcome"]["receipt"]
    for file in files:
        file.unlink()
    _tell_again(erp, good, bad)
    assert list(folder.glob("*command*")) == []


def _tell_again(erp, *ids):
    """As after a crash between the delivery and our record of it."""
    erp.run.redis.zadd(erp.run.ledger.key("ctell"), dict.fromkeys(ids, 1))
    erp.until(lambda: not erp.run.redis.exists(erp.run.ledger.key("ctell")), "told again")


def test_told_by_http_under_one_key_and_later_if_the_endpoint_is_down(erp):
    got, answer = [], [503]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if answer[0] == 200:
                got.append((self.headers["Idempotency-Key"], json.loads(body)))
            self.send_response(answer[0])
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        erp, [order] = erp(
            also={"erp_url": f"http://127.0.0.1:{server.server_address[1]}/"}, feed_configured=False
        )
        key = erp.ask("invoice", order, erp.invoice(order))
        assert erp.end(key)[0] == "done"
        erp.until(lambda: erp.run.logs("not_told"), "a try")
        assert got == []
        answer[0] = 200
        erp.until(lambda: got, "the ERP is told")
        _tell_again(erp, key)
        erp.run.idle()
        server.shutdown()
        serving.join()
    assert len(got) == 2
    assert got[0] == got[1]  # the same key and content, so one outcome to the ERP
    assert got[0][1]["type"] == "command.done"
    assert got[0][1]["command"]["id"] == key


def test_told_in_sql_one_row_an_outcome_however_often(erp):
    erp, [order] = erp()
    keys = [erp.ask("invoice", order, erp.invoice(order, str(n), 10)) for n in (1, 2, 3)]
    keys += [erp.ask("invoice", order, {}) for _ in range(5)]  # refused at the same moment
    for key in keys:
        erp.end(key)
    erp.until(lambda: len(erp.run.told(order)) == 8, "eight rows")
    _tell_again(erp, *keys)
    assert sorted(erp.run.told(order)) == ["command.done"] * 3 + ["command.refused"] * 5
    assert all(status for _, status in erp.run.rows())
