"""What an ERP asks for, carried to the stand-in VTEX by a real worker: by Celery name, as such a program would."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from workers import strict_json
from workers.cli import console


def value_of(run, order) -> int:
    return run.link.vtex.get_order(order).details().value


def invoice(number="9999", value=100, **more):
    items = [{"id": "1", "price": value, "quantity": 1}]
    return {
        "type": "Output",
        "issuanceDate": "2026-01-31",
        "invoiceNumber": number,
        "invoiceValue": str(value),
        "items": items,
    } | more


def test_an_invoice_in_full(erp):
    erp, [order] = erp()
    value = value_of(erp.run, order)
    state, outcome = erp.end(erp.ask("invoice", order, invoice(value=value)))
    assert state == "done"
    assert outcome["receipt"]
    assert (outcome["invoiced"], outcome["remaining"]) == (value, 0)
    assert "in full" in outcome["says"]
    erp.run.until(lambda: erp.facts(order)["status"] == "invoiced", "invoiced")
    assert not erp.never()


def test_two_parts_and_one_too_many(erp):
    erp, [order] = erp()
    value = value_of(erp.run, order)
    first = erp.ask("invoice", order, invoice("1", value - 100))
    second = erp.ask("invoice", order, invoice("2", 101))
    third = erp.ask("invoice", order, invoice("3", 100))
    assert erp.end(first)[1]["remaining"] == 100
    state, outcome = erp.end(second)
    assert state == "refused"
    assert "101 cents is more than remains" in outcome["why"]
    assert erp.end(third)[1]["remaining"] == 0
    assert not erp.never()


def test_the_same_number_again(erp):
    erp, [order] = erp()
    value = value_of(erp.run, order)
    assert erp.end(erp.ask("invoice", order, invoice("7", value - 10)))[0] == "done"
    assert erp.end(erp.ask("invoice", order, invoice("7", value - 10)))[0] == "done"
    state, outcome = erp.end(erp.ask("invoice", order, invoice("7", 10)))
    assert state == "refused"
    assert "another content" in outcome["why"]
    assert len(erp.run.calls("/invoice", "POST")) == 1


@pytest.mark.parametrize("path", ["/invoice", "/cancel", "/changes"])
def test_a_lost_answer_has_one_effect(erp, path):
    erp, [order] = erp()
    method = "PATCH" if path == "/changes" else "POST"
    erp.run.fault("lost_answer", path, method)
    if path == "/invoice":
        key = erp.ask("invoice", order, invoice(value=value_of(erp.run, order)))
    elif path == "/cancel":
        key = erp.ask("cancel", order, reason="out of stock")
        erp.run.until(
            lambda: erp.facts(order)["status"] == "cancellation-requested", "request", ticks=erp.TICKS
        )
        erp.run.vtex.move(order, "canceled")
    else:
        key = erp.ask("change", order, {"reason": "rupture", "discountValue": 10, "incrementValue": 0})
    assert erp.end(key)[0] == "done"
    assert len(erp.run.calls(path, method)) == 1
    assert not erp.never()


def test_a_call_that_never_arrived_is_sent_again(erp):
    erp, [order] = erp()
    erp.run.fault("error_5xx", "/invoice", "POST")
    assert erp.end(erp.ask("invoice", order, invoice(value=value_of(erp.run, order))))[0] == "done"
    assert len(erp.run.calls("/invoice", "POST")) == 2
    assert not erp.never()


def test_an_invoice_waits_for_handling_and_start_handling_comes_first(erp):
    erp, [order] = erp(status="ready-for-handling", feed_configured=False)
    key = erp.ask("invoice", order, invoice(value=value_of(erp.run, order)))
    erp.waits(key, "ready-for-handling")
    erp.run.vtex.move(order, "handling")
    assert erp.end(key)[0] == "done"


def test_an_invoice_would_revive_an_order_whose_cancellation_is_requested(erp):
    erp, [order] = erp(status="cancellation-requested")
    value = value_of(erp.run, order)
    state, outcome = erp.end(erp.ask("invoice", order, invoice(value=value)))
    assert state == "refused"
    assert "revive" in outcome["why"]
    assert erp.end(erp.ask("invoice", order, invoice(value=value, force=True)))[0] == "done"


def test_a_return_only_after_the_whole_order_is_invoiced(erp):
    erp, [order] = erp()
    value = value_of(erp.run, order)
    state, outcome = erp.end(erp.ask("invoice", order, invoice("R1", 50, type="Input")))
    assert state == "refused"
    assert "refunds nothing" in outcome["why"]
    erp.end(erp.ask("invoice", order, invoice("1", value)))
    assert erp.end(erp.ask("invoice", order, invoice("R1", 50, type="Input")))[0] == "done"
    state, outcome = erp.end(erp.ask("invoice", order, invoice("R2", value, type="Input")))
    assert state == "refused"
    assert not erp.never()


def test_tracking_waits_for_its_invoice_and_its_invoice_passes_it(erp):
    erp, [order] = erp()
    number = {"trackingNumber": "BR123", "trackingUrl": None, "courier": "Correios"}
    tracking = erp.ask("tracking", order, {"invoiceNumber": "5"} | number)
    erp.waits(tracking, "invoice 5 is not at VTEX yet")
    erp.end(erp.ask("invoice", order, invoice("5", value_of(erp.run, order))))
    assert erp.end(tracking)[0] == "done"
    events = [{"city": "Niterói", "state": "RJ", "description": "saiu para entrega", "date": "2026-02-01"}]
    assert erp.end(erp.ask("tracking", order, {"isDelivered": False, "events": events}))[0] == "done"
    delivered = {"isDelivered": True, "deliveredDate": "2026-02-02 10:00", "events": []}
    assert erp.end(erp.ask("tracking", order, delivered))[1]["delivered"]
    package = erp.run.link.vtex.get_order(order).details().packages[0]
    assert package.tracking_number == "BR123"
    assert package.finished
    assert [event.description for event in package.events] == ["saiu para entrega"]
    assert not erp.never()


def test_a_cancellation_is_followed_until_it_is_one(erp):
    erp, [order] = erp()
    key = erp.ask("cancel", order, reason="sem estoque")
    erp.run.until(
        lambda: (
            "not decided" in ((erp.book.record(key) or erp).error or "") if erp.book.record(key) else None
        ),
        "requested",
        ticks=erp.TICKS,
    )
    assert erp.book.record(key).state == "open"
    erp.run.vtex.move(order, "canceled")
    assert erp.end(key)[0] == "done"
    assert len(erp.run.calls("/cancel", "POST")) == 1
    assert not erp.never()


def test_a_request_of_somebody_else_is_not_confirmed_by_accident(erp):
    erp, [order] = erp(status="cancellation-requested")
    state, outcome = erp.end(erp.ask("cancel", order, reason="x"))
    assert state == "refused"
    assert "confirm" in outcome["why"]
    assert erp.run.calls("/cancel", "POST") == []
    assert erp.end(erp.ask("cancel", order, {"reason": "x", "confirm": True}))[0] == "done"
    assert erp.facts(order)["status"] in ("cancel", "canceled")


def test_no_cancellation_of_an_invoiced_order(erp):
    erp, [order] = erp()
    erp.end(erp.ask("invoice", order, invoice("1", 100)))
    state, outcome = erp.end(erp.ask("cancel", order, reason="x"))
    assert state == "refused"
    assert "invoice" in outcome["why"]
    assert not erp.never()


def test_a_change_ends_before_the_invoice_goes_out(erp):
    erp, [order] = erp(change_confirm_delay=1.5)
    value = value_of(erp.run, order)
    change = erp.ask("change", order, {"reason": "Promoção", "discountValue": 1000, "incrementValue": 0})
    bill = erp.ask("invoice", order, invoice("1", value - 1000))
    assert erp.end(change)[0] == "done"
    assert erp.end(bill)[1]["remaining"] == 0
    assert not erp.never()


def test_a_change_made_by_hand_holds_the_invoice_too(erp):
    erp, [order] = erp(change_confirm_delay=2.0)
    value = value_of(erp.run, order)
    erp.run.link.vtex.change(order, {"reason": "Admin", "manualDiscountValue": 500, "replace": []})
    key = erp.ask("invoice", order, invoice("1", value - 500))
    erp.waits(key, "change")
    assert erp.end(key)[1]["remaining"] == 0
    assert not erp.never()


def test_an_order_that_vtex_does_not_know_or_that_is_canceled(erp):
    erp, [order] = erp(status="canceled")
    state, outcome = erp.end(erp.ask("invoice", "9999999999999-01", invoice()))
    assert state == "refused"
    assert "does not know" in outcome["why"]
    state, outcome = erp.end(erp.ask("invoice", order, invoice()))
    assert (state, "canceled" in outcome["why"]) == ("refused", True)


def test_what_cannot_be_carried_is_recorded_and_refused(erp):
    erp, [order] = erp()
    state, outcome = erp.end(erp.ask("invoice", order, invoice("123/1", 95.08)))
    assert state == "refused"
    assert "invoiceNumber" in outcome["why"]
    assert "invoiceValue" in outcome["why"]
    assert erp.run.calls("/invoice", "POST") == []


def test_the_erp_is_told_how_it_ended(erp):
    erp, [order] = erp()
    value = value_of(erp.run, order)
    good = erp.ask("invoice", order, invoice("1", value))
    erp.end(good)
    bad = erp.ask("invoice", order, invoice("2", value))
    erp.end(bad)

    def told():
        rows = erp.run._query("SELECT kind, document FROM vtex_order_events ORDER BY occurred_at")
        return rows if len(rows) == 2 else None

    (kind1, document1), (kind2, document2) = erp.run.until(told, "both outcomes", ticks=erp.TICKS)
    assert (kind1, json.loads(document1)["id"]) == ("command.done", good)
    assert (kind2, json.loads(document2)["id"]) == ("command.refused", bad)


def test_the_console_asks_and_waits(erp, tmp_path, monkeypatch):
    erp, [order] = erp()
    monkeypatch.setenv("VTEX_BASE_URL", erp.run.vtex.url)
    monkeypatch.chdir(tmp_path)
    value = value_of(erp.run, order)
    text = json.dumps(invoice("1", value))
    done = CliRunner().invoke(console, ["invoice", order, "-", "--key", "k1", "--wait", "60"], input=text)
    assert done.exit_code == 0, done.output
    assert done.stdout == "k1\n"
    again = CliRunner().invoke(console, ["invoice", order, "-", "--key", "k1", "--wait", "60"], input=text)
    assert again.exit_code == 0
    other = CliRunner().invoke(console, ["cancel", order, "--key", "k1"])
    assert other.exit_code == 1
    shown = json.loads(CliRunner().invoke(console, ["command", "k1", "--json"]).stdout)
    assert (shown["state"], shown["outcome"]["remaining"]) == ("done", 0)
    refused = CliRunner().invoke(console, ["cancel", order, "--wait", "60"])
    assert refused.exit_code == 1
    for text, words in (
        ("{", "is not JSON (line 1, column 2"),
        ("não".encode("latin-1"), "is not text in UTF-8"),
        ("[" * 20_000, "is nested too deeply"),
        ('{"reason": NaN}', "has NaN, which is no JSON"),
        (" " * (strict_json.LARGEST + 1), "is larger than"),
        ('{"type": "Output", "type": "Input"}', 'has "type" twice in one object; write it once'),
    ):
        wrong = CliRunner().invoke(console, ["invoice", order, "-"], input=text)
        assert (wrong.exit_code, words in wrong.stderr) == (2, True), wrong.output


def test_an_operator_sees_an_order_s_commands_and_tries_a_refused_one_again(erp, tmp_path, monkeypatch):
    erp, [order] = erp(status="cancellation-requested")
    monkeypatch.setenv("VTEX_BASE_URL", erp.run.vtex.url)
    monkeypatch.chdir(tmp_path)
    key = erp.ask("invoice", order, invoice("1", value_of(erp.run, order)))
    assert erp.end(key)[0] == "refused"
    shown = CliRunner().invoke(console, ["order", order])
    assert shown.exit_code == 0, shown.output
    assert "revive" in shown.output
    document = json.loads(CliRunner().invoke(console, ["order", order, "--json"]).stdout)
    assert [one["id"] for one in document["commands"]] == [key]
    erp.run.vtex.move(order, "handling")
    erp.run.settled()  # the event of that is dealt with
    would = CliRunner().invoke(console, ["replay", key, "1-01", "--dry-run"])
    assert would.exit_code == 1
    assert f"{key}  refused\n1-01  not known here; refused: not known here\n1 of 2 would be" in would.stdout
    would = CliRunner().invoke(console, ["replay", key, order, "--dry-run", "--json"])
    assert json.loads(would.stdout) == {
        "dryRun": True,
        "accepted": [key],
        "refused": {order: "nothing went wrong with it"}
        if erp.run.ledger.record(order)
        else {order: "not known here"},
    }
    assert erp.book.record(key).state == "refused"
    again = CliRunner().invoke(console, ["replay", key, "--why", "the request was denied"])
    assert again.exit_code == 0, again.output
    assert erp.end(key)[0] == "done"
    done = CliRunner().invoke(console, ["replay", key, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["refused"]) == (1, {key: "nothing went wrong with it"})
    assert json.loads(CliRunner().invoke(console, ["dead", "--json"]).stdout) == {
        "orders": [],
        "commands": [],
    }
