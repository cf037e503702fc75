"""How a command is accepted, whoever brings it."""

from __future__ import annotations

import contextlib

import pytest
from celery import Celery
from kombu import Connection, Producer

from workers import intake
from workers.app import configuration
from workers.command_ledger import CommandLedger
from workers.errors import Conflict, Invalid
from workers.queues import COMMANDS, of_store
from workers.settings import Account, Secret, Settings

SETTINGS = Settings(
    accounts={name: Account(name, Secret("key"), Secret("token")) for name in ("one", "other")},
    erp_url="sqlite:///erp.db",
    redis_url="redis://127.0.0.1:6379/0",
)

INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-01-31",
    "invoiceNumber": "9999",
    "invoiceValue": "10000",
    "items": [{"id": "1234", "price": 10000, "quantity": 1}],
}


@pytest.fixture
def book(make_ledger):
    return CommandLedger(make_ledger())


def accept(book, payload=INVOICE, kind="invoice", order="1-01", key="k"):
    return intake.accept(book, kind, order, payload, zone="America/Sao_Paulo", key=key)


def test_the_same_key_with_the_same_content_is_joined_however_it_is_spelt(book):
    assert accept(book) == intake.Acceptance("k", repeated=False, state="open")
    same = dict(reversed(INVOICE.items())) | {"invoiceValue": 10000, "courier": None}
    assert accept(book, same) == intake.Acceptance("k", repeated=True, state="open")


@pytest.mark.parametrize(
    "other",
    [
        {"payload": INVOICE | {"invoiceValue": 1}},
        {"order": "2-01"},
        {"kind": "cancel", "payload": None},
    ],
)
def test_the_same_key_for_anything_else_is_a_conflict(book, other):
    accept(book)
    with pytest.raises(Conflict, match="use a new key"):
        accept(book, **other)
    assert book.record("k").payload == INVOICE


def test_without_a_key_an_id_is_made(book):
    first, second = accept(book, key=None), accept(book, key=None)
    assert first.id != second.id
    assert not second.repeated


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "ü", 5, "a\nb"])
def test_a_key_that_is_none(book, key):
    with pytest.raises(Invalid, match="key: "):
        accept(book, key=key)


@pytest.mark.parametrize("order", ["", None, 5, "1/2", "a b", {"x": 1}, ".", ".."])
def test_an_order_id_that_is_none(book, order):
    with pytest.raises(Invalid, match="order_id: "):
        accept(book, order=order)


def test_every_problem_is_named_and_nothing_is_recorded(book):
    with pytest.raises(Invalid, match=r"(?s)(?=.*invoiceNumber)(?=.*invoiceValue)(?=.*items)"):
        accept(book, INVOICE | {"invoiceNumber": "1/2", "invoiceValue": 95.08, "items": []})
    assert book.record("k") is None
    with pytest.raises(Invalid, match="no command"):
        accept(book, kind="refund")


@pytest.mark.parametrize("payload", [None, "text", [1], {"x": {1, 2}}, {"x": "\ud800"}, {"x": float("nan")}])
def test_whatever_cannot_be_used_can_be_recorded_as_refused(book, payload):
    intake.refuse(book, "invoice", {"no": "id"}, payload, id_="t1", why=Invalid("no object"))
    record = book.record("t1")
    assert (record.state, record.order_id, record.outcome) == ("refused", "unknown", {"why": "no object"})


def test_a_message_holds_nothing_of_the_payload():
    message = intake.message("store", "k", "1-01")
    assert message == {"account": "store", "order_id": "1-01", "key": "k", "recorded": True}


@pytest.mark.parametrize("settings", [SETTINGS.of("one"), SETTINGS], ids=["one store", "several"])
def test_the_message_of_many_is_that_of_one(monkeypatch, settings):
    """What ``send_task`` would send, made without it."""
    app = Celery("configured", set_as_current=False, config_source=configuration(settings))
    queue = of_store(settings, "one")[COMMANDS]
    with Connection("memory://") as connection, connection.channel() as channel:
        producer = Producer(channel)
        monkeypatch.setattr(app, "producer_or_acquire", lambda *_: contextlib.nullcontext(producer))
        app.amqp.queues[queue](channel).declare()
        monkeypatch.setattr(intake, "app", app)
        found = []
        for kind in intake.KINDS:
            intake.enqueue_all([("one", "k", kind, "1-01")])
            app.send_task(intake.KINDS[kind], kwargs=intake.message("one", "k", "1-01"), producer=producer)
            ours, theirs = (channel.basic_get(queue, no_ack=True) for _ in range(2))
            assert ours.payload == theirs.payload
            assert ours.headers | {"id": "", "root_id": ""} == theirs.headers | {"id": "", "root_id": ""}
            assert ours.headers["id"] == ours.headers["root_id"] == ours.properties["correlation_id"]
            found.append((ours.content_type, ours.content_encoding, ours.properties["delivery_mode"]))
            assert found[-1] == (
                theirs.content_type,
                theirs.content_encoding,
                theirs.properties["delivery_mode"],
            )
        assert len(found) == 4
