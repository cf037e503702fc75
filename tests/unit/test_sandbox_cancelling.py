"""Cancellation in the sandbox: at once, in two steps, refused, and denied."""

import json

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.refused import Refused
from workers.sandbox.world import World


@pytest.fixture
def clock():
    return ManualClock()


def world(clock, **options):
    states = ("cancellation-requested", "cancel", "canceled", "handling")
    values = {"short_reads": False, "marketplace_events": 0.0, "feed_states": states, **options}
    return World(SandboxConfig(**values), clock)


def later(sandbox, clock, seconds=1.0):
    clock.now += seconds
    sandbox.advance()


def document(sandbox, order):
    return json.loads(sandbox.store.render(order))


def told(sandbox):
    events = []
    while batch := sandbox.queue.receive():
        events += [event for _, event in batch]
    return sorted(event.state for event in events)


def counted(sandbox):
    report = sandbox.audit.report()
    both = {**report["never"], **report["doubtful"]}
    return {name: entry["count"] for name, entry in both.items() if entry["count"]}


@pytest.mark.parametrize("state", ["payment-pending", "payment-approved", "window-to-cancel"])
def test_before_it_is_ready_an_order_is_canceled_at_once(clock, state):
    sandbox = world(clock)
    order = sandbox.store.create(state)
    answer = sandbox.cancellations.ask(order.order_id, None)
    assert set(answer) == {"date", "orderId", "receipt"}
    assert order.status == "cancel"
    later(sandbox, clock)
    assert order.status == "canceled"
    assert told(sandbox) == ["cancel", "canceled"]


@pytest.mark.parametrize("state", ["ready-for-handling", "handling", "ready-for-invoicing"])
def test_later_a_call_only_asks_and_a_second_one_confirms(clock, state):
    sandbox = world(clock)
    order = sandbox.store.create(state)
    sandbox.cancellations.ask(order.order_id, {"reason": "Sem estoque"})
    later(sandbox, clock, 600)
    assert order.status == "cancellation-requested"
    shown = document(sandbox, order)
    assert shown["cancellationRequests"][0]["reason"] == "Sem estoque"
    assert shown["cancellationData"] is None
    sandbox.cancellations.ask(order.order_id, {"reason": "Sem estoque", "requestedByUser": False})
    later(sandbox, clock)
    assert order.status == "canceled"
    shown = document(sandbox, order)
    assert shown["cancellationData"]["Reason"] == shown["cancelReason"] == "Sem estoque"
    assert counted(sandbox) == {"cancel_confirmations": 1}


def test_an_order_that_is_ready_may_also_be_canceled_at_once(clock):
    sandbox = world(clock, cancel_when_ready="cancel")
    order = sandbox.store.create("ready-for-handling")
    sandbox.cancellations.ask(order.order_id, None)
    assert order.status == "cancel"


def test_a_second_call_soon_after_the_first_is_an_accident_unless_announced(clock):
    sandbox = world(clock, confirmation_window=60)
    first, second, third, fourth = (sandbox.store.create("handling") for _ in range(4))
    for order in (first, second, third, fourth):
        sandbox.cancellations.ask(order.order_id, None)
    later(sandbox, clock, 59)
    sandbox.cancellations.ask(first.order_id, None)
    sandbox.cancellations.ask(second.order_id, None, expected=True)
    sandbox.store.outbound(third).confirmation_expected = True
    sandbox.cancellations.ask(third.order_id, None)
    later(sandbox, clock, 2)
    sandbox.cancellations.ask(fourth.order_id, None)
    assert counted(sandbox) == {"cancel_confirmations": 4, "accidental_confirmations": 1}
    assert sandbox.audit.report()["never"]["accidental_confirmations"]["orders"] == [first.order_id]


def test_to_agree_to_the_shoppers_request_is_no_accident(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.cancellations.request(order, "Não quero mais", by_user=True)
    sandbox.cancellations.ask(order.order_id, None)
    later(sandbox, clock)
    assert order.status == "canceled"
    assert counted(sandbox) == {"cancel_confirmations": 1}


@pytest.mark.parametrize(
    "state",
    ["order-created", "start-handling", "invoice", "invoiced", "cancel", "canceled", "replaced", None],
)
def test_some_states_allow_no_cancellation(clock, state):
    sandbox = world(clock)
    order = sandbox.store.create(state)
    with pytest.raises(Refused, match="cannot be canceled") as refused:
        sandbox.cancellations.ask(order.order_id, None)
    assert refused.value.status == 400
    assert order.status == state


def bill(sandbox, order, value, kind="Output", number="1"):
    sandbox.invoices.send(
        order.order_id,
        {
            "type": kind,
            "issuanceDate": "2026-01-31T10:00:00Z",
            "invoiceNumber": number,
            "invoiceValue": value,
            "items": [{"id": "1001", "price": 100, "quantity": 1}],
        },
    )


def test_an_order_with_any_invoice_is_not_canceled(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    bill(sandbox, order, 100)
    with pytest.raises(Refused, match="has an invoice"):
        sandbox.cancellations.ask(order.order_id, None)
    assert order.status == "handling"
    assert counted(sandbox)["cancel_after_invoice"] == 1


def test_a_returned_order_may_be_canceled_where_older_pages_hold(clock):
    sandbox = world(clock, cancel_after_return=True)
    order = sandbox.store.create("handling")
    value = sandbox.store.facts(order).value
    bill(sandbox, order, value)
    later(sandbox, clock)
    later(sandbox, clock)
    with pytest.raises(Refused, match="has an invoice"):
        sandbox.cancellations.ask(order.order_id, None)
    bill(sandbox, order, value, "Input", "2")
    sandbox.cancellations.ask(order.order_id, None)
    later(sandbox, clock)
    assert order.status == "canceled"


def test_the_states_may_flutter(clock):
    sandbox = world(clock, cancel_flutter=True)
    order = sandbox.store.create("window-to-cancel")
    sandbox.cancellations.ask(order.order_id, None)
    later(sandbox, clock)
    assert order.status == "cancel"
    later(sandbox, clock)
    assert order.status == "canceled"
    assert told(sandbox) == ["cancel", "cancel", "canceled", "canceled"]


def test_the_reason_may_come_late(clock):
    sandbox = world(clock, cancel_reason_delay=5.0, cancel_names="camel")
    order = sandbox.store.create("window-to-cancel")
    sandbox.cancellations.ask(order.order_id, {"reason": "Fraude"})
    later(sandbox, clock)
    assert order.status == "canceled"
    assert document(sandbox, order)["cancelReason"] is None
    later(sandbox, clock, 5)
    assert document(sandbox, order)["cancellationData"]["reason"] == "Fraude"


def test_the_receipt_may_be_null(clock):
    sandbox = world(clock, cancel_receipt=False)
    assert sandbox.cancellations.ask(sandbox.store.create("handling").order_id, {})["receipt"] is None


@pytest.mark.parametrize("body", [[], {"reason": 1}, {"requestedByUser": "no"}])
def test_a_bad_body_is_refused(clock, body):
    sandbox = world(clock)
    with pytest.raises(Refused):
        sandbox.cancellations.ask(sandbox.store.create("handling").order_id, body)


def test_a_request_can_be_denied(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.cancellations.request(order, "Demora", by_user=True)
    [request] = document(sandbox, order)["cancellationRequests"]
    for body in (
        None,
        {"cancellationRequestId": request["id"]},
        {"cancellationRequestId": "x", "denyReason": "y"},
    ):
        with pytest.raises(Refused) as refused:
            sandbox.cancellations.deny(order.order_id, body)
        assert refused.value.status == 400
    body = {"cancellationRequestId": request["id"], "denyReason": "Já enviado"}
    sandbox.cancellations.deny(order.order_id, body)
    assert order.status == "handling"
    [request] = document(sandbox, order)["cancellationRequests"]
    assert (request["deniedBySeller"], request["deniedBySellerReason"]) == (True, "Já enviado")
    with pytest.raises(Refused, match="no request to deny"):
        sandbox.cancellations.deny(order.order_id, body)
    assert counted(sandbox) == {}


@pytest.mark.parametrize(("sticks", "end"), [(False, "handling"), (True, "cancellation-request-denied-ffm")])
def test_to_deny_ones_own_request_may_leave_the_order_stuck(clock, sticks, end):
    sandbox = world(clock, own_denial_sticks=sticks)
    order = sandbox.store.create("handling")
    sandbox.cancellations.ask(order.order_id, None)
    [request] = document(sandbox, order)["cancellationRequests"]
    sandbox.cancellations.deny(order.order_id, {"cancellationRequestId": request["id"], "denyReason": "x"})
    assert order.status == end
    assert counted(sandbox) == {"denied_own_request": 1}


def test_a_canceled_order_has_nothing_to_deny(clock):
    sandbox = world(clock)
    order = sandbox.store.create("canceled")
    with pytest.raises(Refused, match="already canceled"):
        sandbox.cancellations.deny(order.order_id, {"cancellationRequestId": "x", "denyReason": "y"})


def test_a_cancellation_ends_a_running_change(clock):
    sandbox = world(clock)
    order = sandbox.store.create("handling")
    sandbox.changes.ask(order.order_id, {"reason": "r", "manualDiscountValue": 100})
    sandbox.cancellations.ask(order.order_id, None)
    sandbox.cancellations.ask(order.order_id, None, expected=True)
    later(sandbox, clock)
    assert order.outbound.changes[0].status == "canceled"
    assert counted(sandbox)["cancel_during_change"] == 2
