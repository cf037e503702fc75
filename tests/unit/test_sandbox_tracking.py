"""Tracking in the sandbox: the number first, then events, then the delivery."""

import json

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.refused import Refused
from workers.sandbox.world import World

EVENTS = [
    {"city": "São Paulo", "state": "SP", "description": "Coletado", "date": "2026-02-01"},
    {"city": "Curitiba", "state": "PR", "description": "Saiu para entrega", "date": "2026-02-03"},
]
#: As VTEX's older guide has it: three fields.
NUMBER = {"trackingNumber": "87658", "trackingUrl": None, "courier": None}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def begin(clock):
    def make(number="NF-1", **options):
        sandbox = World(SandboxConfig(**options), clock)
        order = sandbox.store.create("handling")
        sandbox.invoices.send(
            order.order_id,
            {
                "type": "Output",
                "issuanceDate": "2026-01-31T10:00:00Z",
                "invoiceNumber": number,
                "invoiceValue": 100,
                "items": [{"id": "1001", "price": 100, "quantity": 1}],
            },
        )
        return sandbox, order

    return make


def later(sandbox, clock):
    clock.now += 1
    sandbox.advance()


def package(sandbox, order):
    return json.loads(sandbox.store.render(order))["packageAttachment"]["packages"][0]


def update(sandbox, order, events, *, delivered=False, at=None, number="NF-1"):
    body = {"isDelivered": delivered, "deliveredDate": at, "events": events}
    return sandbox.tracking.report(order.order_id, number, body)


def lost(sandbox):
    return sandbox.audit.report()["never"]["tracking_lost"]["count"]


def test_the_way_of_a_parcel(begin, clock):
    sandbox, order = begin()
    later(sandbox, clock)
    answer = sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER)
    assert set(answer) == {"date", "orderId", "receipt"}
    assert package(sandbox, order)["trackingNumber"] == "87658"
    assert package(sandbox, order)["courierStatus"] is None
    update(sandbox, order, EVENTS[:1])
    status = package(sandbox, order)["courierStatus"]
    assert status["finished"] is False
    assert [entry["city"] for entry in status["data"]] == ["São Paulo"]
    update(sandbox, order, EVENTS, delivered=True, at="2026-02-03 21:15")
    status = package(sandbox, order)["courierStatus"]
    assert (status["finished"], status["deliveredDate"], len(status["data"])) == (True, "2026-02-03 21:15", 2)
    assert order.status == "handling"
    assert lost(sandbox) == 0


def test_an_invoice_is_not_found_before_it_has_spread(begin, clock):
    sandbox, order = begin()
    for call in (
        lambda: sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER),
        lambda: update(sandbox, order, EVENTS),
    ):
        with pytest.raises(Refused, match="Invoice Not Found") as refused:
            call()
        assert refused.value.status == 404
    later(sandbox, clock)
    sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER)
    with pytest.raises(Refused, match="Invoice Not Found"):
        sandbox.tracking.name_parcel(order.order_id, "NF-2", NUMBER)


def test_events_need_a_tracking_number(begin, clock):
    sandbox, order = begin()
    later(sandbox, clock)
    with pytest.raises(Refused, match="no tracking number") as refused:
        update(sandbox, order, EVENTS)
    assert refused.value.status == 400


@pytest.mark.parametrize(("number", "status"), [("123/1", 404), ("12 3", 500), ("123 ", 500), ("é1", 200)])
def test_some_characters_of_an_invoice_number_cannot_be_named_later(begin, clock, number, status):
    sandbox, order = begin(number)
    later(sandbox, clock)
    assert sandbox.audit.report()["doubtful"]["odd_invoice_numbers"]["count"] == 1
    if status == 200:
        sandbox.tracking.name_parcel(order.order_id, number, NUMBER)
        return
    with pytest.raises(Refused) as refused:
        sandbox.tracking.name_parcel(order.order_id, number, NUMBER)
    assert refused.value.status == status
    if number.endswith(" "):
        with pytest.raises(Refused, match="Invoice Not Found"):
            sandbox.tracking.name_parcel(order.order_id, number.strip(), NUMBER)


def test_fewer_events_than_before_are_a_loss(begin, clock):
    sandbox, order = begin()
    later(sandbox, clock)
    sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER)
    update(sandbox, order, EVENTS)
    update(sandbox, order, EVENTS[1:])
    assert len(package(sandbox, order)["courierStatus"]["data"]) == 1
    assert lost(sandbox) == 1


def test_events_may_also_be_added_to_those_before(begin, clock):
    sandbox, order = begin(tracking_events="append")
    later(sandbox, clock)
    sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER)
    update(sandbox, order, EVENTS[:1])
    update(sandbox, order, EVENTS[1:])
    update(sandbox, order, EVENTS)
    assert len(package(sandbox, order)["courierStatus"]["data"]) == 2
    assert lost(sandbox) == 0


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"isDelivered": "yes", "events": []},
        {"isDelivered": False},
        {"isDelivered": False, "events": [{"city": "x"}]},
        {"isDelivered": False, "events": [{**EVENTS[0], "description": "x" * 5001}]},
        {"isDelivered": True, "deliveredDate": 1, "events": []},
    ],
)
def test_a_bad_update_is_refused(begin, clock, body):
    sandbox, order = begin()
    later(sandbox, clock)
    sandbox.tracking.name_parcel(order.order_id, "NF-1", NUMBER)
    with pytest.raises(Refused) as refused:
        sandbox.tracking.report(order.order_id, "NF-1", body)
    assert refused.value.status == 400


@pytest.mark.parametrize("body", [None, {}, {"trackingNumber": ""}, {**NUMBER, "courier": 1}])
def test_a_bad_number_is_refused(begin, clock, body):
    sandbox, order = begin()
    later(sandbox, clock)
    with pytest.raises(Refused) as refused:
        sandbox.tracking.name_parcel(order.order_id, "NF-1", body)
    assert refused.value.status == 400
