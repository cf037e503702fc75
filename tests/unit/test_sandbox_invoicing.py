"""Invoices in the sandbox: what is accepted, what becomes of the order, and what is counted."""

import json

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.refused import Refused
from workers.sandbox.world import World

#: As VTEX's older guide for the integration of ERPs has it, nulls and all.
GUIDE = {
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


@pytest.fixture
def clock():
    return ManualClock()


def world(clock, **options):
    return World(SandboxConfig(short_reads=False, marketplace_events=0.0, **options), clock)


def invoice(sandbox, order, value, number="1", **fields):
    line = sandbox.store.facts(order).lines[0]
    body = {
        "type": "Output",
        "issuanceDate": "2026-01-31T18:25:43-0300",
        "invoiceNumber": number,
        "invoiceValue": str(value),
        "items": [{"id": line.sku, "price": line.price, "quantity": line.quantity}],
        **fields,
    }
    return sandbox.invoices.send(order.order_id, body)


def later(sandbox, clock, seconds=1.0):
    clock.now += seconds
    sandbox.advance()


def document(sandbox, order):
    return json.loads(sandbox.store.render(order))


def count(sandbox, name):
    report = sandbox.audit.report()
    return {**report["never"], **report["doubtful"]}[name]["count"]


def sins(sandbox):
    return {name: entry["count"] for name, entry in sandbox.audit.report()["never"].items() if entry["count"]}


def test_a_full_invoice_leads_to_invoiced(clock):
    sandbox = world(clock, invoice_delay=2.0, invoicing_delay=3.0)
    order = sandbox.store.create("handling")
    value = sandbox.store.facts(order).value
    answer = invoice(sandbox, order, value, invoiceKey="35", trackingNumber="BR1")
    assert set(answer) == {"date", "orderId", "receipt"}
    assert document(sandbox, order)["packageAttachment"] == {"packages": []}
    later(sandbox, clock, 2.0)
    assert order.status == "invoice"
    [package] = document(sandbox, order)["packageAttachment"]["packages"]
    assert (package["invoiceNumber"], package["invoiceValue"], package["type"]) == ("1", value, "Output")
    assert package["issuanceDate"] == "2026-01-31T21:25:43.0000000+00:00"
    assert (package["invoiceKey"], package["trackingNumber"], package["courierStatus"]) == ("35", "BR1", None)
    assert package["items"][0]["itemIndex"] == 0
    later(sandbox, clock, 3.0)
    assert order.status == "invoiced"
    shown = document(sandbox, order)
    assert shown["invoicedDate"] is not None
    assert (shown["allowCancellation"], shown["allowEdition"]) == (False, False)
    assert sins(sandbox) == {}


def test_the_body_of_the_older_guide_is_taken_as_it_stands(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.invoices.send(order.order_id, GUIDE)
    later(sandbox, clock)
    [package] = document(sandbox, order)["packageAttachment"]["packages"]
    assert package["issuanceDate"].startswith("2010-01-31T00:00:00")
    assert package["items"] == []
    assert count(sandbox, "unknown_invoice_items") == 1
    strict = world(clock, date_only_invoices=False)
    with pytest.raises(Refused, match="date and a time"):
        strict.invoices.send(strict.store.create("handling").order_id, GUIDE)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"type": "output"}, "Output or Input"),
        ({"invoiceNumber": ""}, "invoiceNumber"),
        ({"invoiceNumber": None}, "invoiceNumber"),
        ({"invoiceNumber": 9}, "invoiceNumber"),
        ({"invoiceValue": "95.08"}, "invoiceValue"),
        ({"invoiceValue": 95.08}, "invoiceValue"),
        ({"invoiceValue": "0"}, "invoiceValue"),
        ({"invoiceValue": -1}, "invoiceValue"),
        ({"invoiceValue": True}, "invoiceValue"),
        ({"issuanceDate": "31/01/2026"}, "issuanceDate"),
        ({"issuanceDate": "2026-01-31 10:00"}, "issuanceDate"),
        ({"issuanceDate": "2026-13-31T10:00:00"}, "not a date"),
        ({"items": []}, "items"),
        ({"items": None}, "items"),
        ({"items": [{"id": 1, "price": 1, "quantity": 1}]}, "id"),
        ({"items": [{"id": "1", "price": "1", "quantity": 1}]}, "price"),
        ({"items": [{"id": "1", "price": 1, "quantity": 0}]}, "quantity"),
        ({"courier": 5}, "courier"),
    ],
)
def test_a_bad_invoice_is_refused(clock, fields, complaint):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    with pytest.raises(Refused, match=complaint) as refused:
        invoice(sandbox, order, 100, **fields)
    assert refused.value.status == 400
    assert order.outbound is None or not order.outbound.packages
    with pytest.raises(Refused, match="JSON object"):
        sandbox.invoices.send(order.order_id, None)


@pytest.mark.parametrize("value", [5000, "5000"])
def test_the_value_may_be_a_text_or_a_number(clock, value):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.invoices.send(order.order_id, {**GUIDE, "invoiceValue": value})
    assert order.outbound.invoiced == 5000


@pytest.mark.parametrize(
    "state", ["ready-for-handling", "start-handling", "payment-approved", "canceled", None]
)
def test_an_invoice_has_its_time(clock, state):
    sandbox = world(clock)
    order = sandbox.store.create(state)
    with pytest.raises(Refused, match="cannot receive"):
        invoice(sandbox, order, 100)


def test_invoices_for_parts_add_up(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    value = sandbox.store.facts(order).value
    invoice(sandbox, order, value - 500, "a")
    later(sandbox, clock)
    assert order.status == "handling"
    assert document(sandbox, order)["allowCancellation"] is False
    invoice(sandbox, order, 500, "b")
    later(sandbox, clock)
    later(sandbox, clock)
    assert order.status == "invoiced"
    assert len(document(sandbox, order)["packageAttachment"]["packages"]) == 2
    assert sins(sandbox) == {}


def test_a_part_may_send_the_order_back_to_payment_approved(clock):
    sandbox = world(clock, partial_invoice_state="payment-approved")
    order = sandbox.store.create("handling")
    value = sandbox.store.facts(order).value
    invoice(sandbox, order, value - 500, "a")
    later(sandbox, clock)
    assert order.status == "payment-approved"
    invoice(sandbox, order, 500, "b")
    later(sandbox, clock)
    later(sandbox, clock)
    assert order.status == "invoiced"


@pytest.mark.parametrize(
    ("manner", "end", "accepted"),
    [("accept", "invoiced", True), ("stick", "invoice", True), ("refuse", "handling", False)],
)
def test_more_than_the_order_is_counted_whatever_comes_of_it(clock, manner, end, accepted):
    sandbox = world(clock, over_invoicing=manner)
    order = sandbox.store.create("handling")
    value = sandbox.store.facts(order).value
    if accepted:
        invoice(sandbox, order, value + 1)
    else:
        with pytest.raises(Refused, match="greater than the value"):
            invoice(sandbox, order, value + 1)
    later(sandbox, clock)
    later(sandbox, clock)
    assert order.status == end
    assert sins(sandbox) == {"over_invoicing": 1}
    assert sandbox.audit.report()["never"]["over_invoicing"]["orders"] == [order.order_id]


def test_the_same_number_again_only_gets_a_new_receipt(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    first = invoice(sandbox, order, 100)
    second = invoice(sandbox, order, 100)
    third = invoice(sandbox, order, 300)
    assert len({answer["receipt"] for answer in (first, second, third)}) == 3
    assert order.outbound.invoiced == 100
    assert sins(sandbox) == {"invoice_repeated_same": 1, "invoice_repeated_different": 1}


def test_the_same_number_again_may_be_refused(clock):
    sandbox = world(clock, repeated_invoice="refuse")
    order = sandbox.store.create("handling")
    invoice(sandbox, order, 100)
    with pytest.raises(Refused, match="already sent"):
        invoice(sandbox, order, 100)
    assert sins(sandbox) == {"invoice_repeated_same": 1}


def test_a_return_before_the_whole_order_is_invoiced_gives_nothing_back(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    invoice(sandbox, order, 500, "a")
    invoice(sandbox, order, 500, "r", type="Input")
    later(sandbox, clock)
    assert order.outbound.refunded == 0
    assert order.status == "handling"
    assert [package["type"] for package in document(sandbox, order)["packageAttachment"]["packages"]] == [
        "Output",
        "Input",
    ]
    assert sins(sandbox) == {"refund_before_invoice": 1}


def invoiced(sandbox, clock):
    order = sandbox.store.create("handling", items=2)
    value = sandbox.store.facts(order).value
    invoice(sandbox, order, value)
    later(sandbox, clock)
    later(sandbox, clock)
    assert order.status == "invoiced"
    return order, value


def test_a_return_gives_money_back_up_to_what_was_invoiced(clock):
    sandbox = world(clock)
    order, value = invoiced(sandbox, clock)
    invoice(sandbox, order, 1000, "r1", type="Input")
    later(sandbox, clock)
    assert order.outbound.refunded == 1000
    package = document(sandbox, order)["packageAttachment"]["packages"][-1]
    assert package["restitutions"]["Refund"]["value"] == 1000
    assert sins(sandbox) == {}
    with pytest.raises(Refused, match="restitution Refund more than"):
        invoice(sandbox, order, value, "r2", type="Input")
    assert sins(sandbox) == {"refund_twice": 1}
    assert order.status == "invoiced"


def test_a_return_again_is_counted(clock):
    sandbox = world(clock)
    order, _ = invoiced(sandbox, clock)
    invoice(sandbox, order, 1000, "r1", type="Input")
    invoice(sandbox, order, 1000, "r1", type="Input")
    assert order.outbound.refunded == 1000
    assert sins(sandbox) == {"refund_twice": 1, "invoice_repeated_same": 1}
    invoice(sandbox, order, 1000, "r2", type="Input")
    assert order.outbound.refunded == 2000
    assert count(sandbox, "refund_alike") == 1


def test_a_return_that_names_a_sku_twice_asks_for_no_refund(clock):
    sandbox = world(clock)
    order, _ = invoiced(sandbox, clock)
    item = {"id": "1001", "price": 1, "quantity": 1}
    invoice(sandbox, order, 1000, "r1", type="Input", items=[item, item])
    assert order.outbound.refunded == 0
    assert count(sandbox, "refund_not_requested") == 1


@pytest.mark.parametrize("value", ["all", 100])
def test_an_invoice_on_a_cancellation_request_means_go_on(clock, value):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.cancellations.ask(order.order_id, None)
    assert order.status == "cancellation-requested"
    invoice(sandbox, order, sandbox.store.facts(order).value if value == "all" else value)
    later(sandbox, clock)
    later(sandbox, clock)
    assert order.status == ("invoiced" if value == "all" else "handling")
    assert count(sandbox, "invoice_revives") == 1
    [request] = document(sandbox, order)["cancellationRequests"]
    assert request["deniedBySeller"] is True


def test_an_invoice_during_a_change_is_counted_and_accepted(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.changes.ask(order.order_id, {"reason": "r", "manualDiscountValue": 100})
    invoice(sandbox, order, sandbox.store.facts(order).value)
    assert sins(sandbox) == {"invoice_during_change": 1}


def test_a_sandbox_tells_all_about_an_order(clock):
    from workers.sandbox.dossier import dossier

    sandbox = world(clock)
    order, value = invoiced(sandbox, clock)
    facts = dossier(sandbox, order)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["value"], facts["invoicedSum"], facts["refundedSum"]) == (value, value, 0)
    assert facts["invoices"][0]["issuanceDate"] == "2026-01-31T21:25:43+00:00"
    assert facts["counted"] == {}
    report = sandbox.audit.report()
    assert (report["invoices"], report["refunds"]) == (1, 0)
    assert report["per_order"][order.order_id]["invoiceCount"] == 1
