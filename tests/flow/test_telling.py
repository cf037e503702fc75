"""How the ERP hears of the ends of its commands: of many at once, and each for itself where it must be."""

from __future__ import annotations

import pytest

from workers import errors


@pytest.fixture
def tells(monkeypatch):
    """A list with an entry for each message that tells the ERP, from now on."""
    from workers.app import app

    seen, send = [], app.send_task

    def note(name, *args, **options):
        if name == "orders.tell":
            seen.append(name)
        return send(name, *args, **options)

    monkeypatch.setattr(app, "send_task", note)
    return seen


def all_told(erp, keys):
    told = "SELECT json_extract(document, '$.id') FROM vtex_order_events"
    return erp.run._query(told) == [(key,) for key in keys] or {k for (k,) in erp.run._query(told)} >= set(
        keys
    )


def ask_for_all(erp, orders):
    for order in orders:
        kwargs = {"order_id": order, "key": f"key-{order}", "invoice": erp.invoice(order, value=1)}
        erp.run.app.send_task("orders.invoice", kwargs=kwargs, queue="celery")
    return [f"key-{order}" for order in orders]


def test_many_ends_need_few_messages_and_none_of_beat(erp, tells):
    erp, orders = erp(60, latency=0.02)
    keys = ask_for_all(erp, orders)
    erp.run.until(lambda: all_told(erp, keys), "all ends", ticks=())
    assert len(tells) <= 20
    assert not erp.run.redis.zcard(erp.run.ledger.key("ctell"))


def test_one_end_that_the_erp_does_not_take_holds_up_no_other(erp, monkeypatch):
    from workers.erp.sql import SqlSink

    erp, orders = erp(30)
    bad, deliver = f"key-{orders[7]}", SqlSink.deliver
    keys = [f"key-{order}" for order in orders]

    def refuse(ends):
        if any(bad in end.document for end in ends):
            raise errors.Invalid("not this one")

    monkeypatch.setattr(SqlSink, "deliver", lambda self, end: refuse([end]) or deliver(self, end))
    many = SqlSink.deliver_ends
    monkeypatch.setattr(SqlSink, "deliver_ends", lambda self, ends: refuse(ends) or many(self, ends))
    assert ask_for_all(erp, orders) == keys
    keys.remove(bad)
    erp.run.until(lambda: all_told(erp, keys), "all ends but one", ticks=())
    erp.run.until(
        lambda: not erp.run.redis.zcard(erp.run.ledger.key("ctell")), "nothing left to tell", ticks=()
    )
    assert erp.run.logs("erp_refuses_outcome")
    assert not all_told(erp, [bad])
