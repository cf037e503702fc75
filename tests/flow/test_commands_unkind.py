"""VTEX shows what it was sent late, in part, or in other words: what it took is followed all the same (P10)."""

from __future__ import annotations

import json

import pytest

from workers.vtex.client import Vtex
from workers.vtex.schemas import load_order

REASON = "Sem estoque\nFalar com a loja"


@pytest.fixture
def shown_otherwise(monkeypatch):
    """``shown_otherwise(run, alter)``: each order document is altered before our programs read it."""

    def begin(run, alter):
        real, looks = run.link.vtex.get_order, []

        def get(order_id):
            looks.append(order_id)
            document = json.loads(real(order_id).text)
            alter(document)
            return load_order(json.dumps(document), order_id)

        monkeypatch.setattr(run.link.vtex, "get_order", get)
        return looks

    return begin


def without_list(document):
    document.pop("cancellationRequests", None)


def other_list(value):
    return lambda document: document.update(cancellationRequests=value)


def reworded(document):
    for request in document.get("cancellationRequests") or []:
        request["reason"] = "Cancelled by seller"


def late(document):
    if document["status"] == "cancellation-requested":
        document["status"] = "handling"
        document["cancellationRequests"] = None


@pytest.mark.parametrize(
    "alter", [lambda _: None, without_list, other_list(None), other_list([]), other_list("?"), reworded, late]
)
def test_a_cancellation_that_vtex_took_is_ours_whatever_it_shows(erp, shown_otherwise, alter):
    erp, [order] = erp()
    looks = shown_otherwise(erp.run, alter)
    key = erp.ask("cancel", order, reason=REASON)
    erp.run.until(
        lambda: len(looks) > 2 and erp.run.calls("/cancel", "POST"), "looked at again", ticks=erp.TICKS
    )
    assert erp.book.record(key).state == "open"
    erp.run.vtex.move(order, "canceled")
    assert erp.end(key)[0] == "done"
    assert len(erp.run.calls("/cancel", "POST")) == 1
    assert not erp.never()


POSTED = {"city": "Niterói", "state": "RJ", "description": "Postado\tna  agência", "date": "2026-11-27"}
OUT = {"city": "Niterói", "state": "RJ", "description": "Saiu para entrega\nRota 12", "date": "2026-11-28"}
THERE = {"city": "Niterói", "state": "RJ", "description": "Entregue", "date": "2026-11-29"}


def no_events(document):
    for package in document["packageAttachment"]["packages"]:
        package["courierStatus"] = None


@pytest.mark.parametrize("alter", [lambda _: None, no_events])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_each_event_stands_once_and_delivered_stays(erp, shown_otherwise, alter, mode):
    erp, [order] = erp(tracking_events=mode)
    value = erp.value(order)
    invoice = {
        "type": "Output",
        "issuanceDate": "2026-11-26",
        "invoiceNumber": "1",
        "invoiceValue": value,
        "items": [{"id": "1", "price": value, "quantity": 1}],
    }
    assert erp.end(erp.ask("invoice", order, invoice))[0] == "done"
    shown_otherwise(erp.run, alter)
    label = {"trackingNumber": "BR1", "courier": "Correios", "trackingUrl": "https://c.example/BR1"}
    delivered = {"isDelivered": True, "deliveredDate": "2026-11-29 10:00", "events": [THERE]}
    for payload in (label | {"events": [POSTED]}, delivered, {"events": [OUT]}, {"trackingNumber": "BR1"}):
        assert erp.end(erp.ask("tracking", order, payload))[0] == "done"
    assert erp.end(erp.ask("tracking", order, {"events": [POSTED, OUT, THERE]}))[0] == "done"
    shown = Vtex.get_order(erp.run.link.vtex, order).details().packages[0]
    events = ["Postado na agência", "Saiu para entrega Rota 12", "Entregue"]
    told = [event.description for event in shown.events]
    # where VTEX adds what is new at the end, they stand as they came
    assert told == events if mode == "replace" else sorted(told) == sorted(events)
    assert (shown.finished, shown.delivered) == (True, "2026-11-29 10:00")
    assert (shown.courier, shown.tracking_url) == ("Correios", "https://c.example/BR1")
    assert not erp.never()
