"""What waits for what, what is never sent twice, and VTEX as its documents differ about it."""

from __future__ import annotations

import pytest

from workers.limiter import COMMAND_WAITS

EVENT = {"city": "Niterói", "state": "RJ", "description": "saiu para entrega", "date": "2026-02-01"}
DELIVERED = {"isDelivered": True, "deliveredDate": "2026-02-02 10:00"}
CHANGE = {"reason": "Promotion by phone.", "discountValue": 1000, "incrementValue": 0}


def writes(erp, order):
    return [one["call"] for one in erp.facts(order)["writes"]]


# What waits for what


def test_a_cancellation_overtakes_an_invoice_that_was_not_sent(erp):
    erp, [order] = erp(status="ready-for-handling", feed_configured=False, cancel_when_ready="cancel")
    invoice = erp.ask("invoice", order, erp.invoice(order))
    erp.waits(invoice, "ready-for-handling")
    assert erp.end(erp.ask("cancel", order, reason="sem estoque"))[0] == "done"
    state, outcome = erp.end(invoice)
    assert (state, "canceled" in outcome["why"]) == ("refused", True)
    assert erp.run.calls("/invoice", "POST") == []
    assert not erp.never()


def test_a_cancellation_waits_for_an_invoice_that_may_have_been_sent(erp):
    erp, [order] = erp()
    erp.run.fault("lost_answer", "/invoice", "POST")
    invoice = erp.ask("invoice", order, erp.invoice(order))
    erp.until(lambda: erp.run.calls("/invoice", "POST"), "the invoice")
    cancel = erp.ask("cancel", order)
    assert erp.end(invoice)[0] == "done"
    state, outcome = erp.end(cancel)
    assert (state, "has an invoice (9999)" in outcome["why"]) == ("refused", True)
    assert erp.run.calls("/cancel", "POST") == []
    assert not erp.never()


def test_an_invoice_that_waits_stays_behind_a_cancellation_whose_answer_was_lost(erp, monkeypatch):
    erp, [order] = erp(status="ready-for-handling", feed_configured=False)
    invoice = erp.ask("invoice", order, erp.invoice(order))
    erp.waits(invoice, "ready-for-handling")
    erp.run.fault("error_5xx", "/cancel", "POST")
    cancel = erp.ask("cancel", order)
    erp.until(lambda: erp.run.calls("/cancel", "POST"), "the cancellation")
    erp.run.vtex.move(order, "handling")  # the invoice could go now
    erp.until(lambda: len(erp.run.calls("/cancel", "POST")) == 2, "the second try")
    assert erp.run.calls("/invoice", "POST") == []
    state, outcome = erp.end(invoice)
    assert (state, "revive" in outcome["why"]) == ("refused", True)
    erp.run.vtex.move(order, "canceled")
    assert erp.end(cancel)[0] == "done"
    assert not erp.never()


@pytest.mark.parametrize("decision", ["confirm", "revive"])
def test_a_decision_passes_the_cancellation_that_waits_for_one(erp, decision):
    erp, [order] = erp()
    first = erp.ask("cancel", order, reason="sem estoque")
    erp.waits(first, "not decided yet")
    if decision == "confirm":
        erp.run.vtex.expect_confirmation(order)
        assert erp.end(erp.ask("cancel", order, {"reason": "sim", "confirm": True}))[0] == "done"
        assert erp.end(first)[0] == "done"
    else:
        invoice = erp.ask("invoice", order, erp.invoice(order, force=True))
        assert erp.end(invoice)[0] == "done"
        state, outcome = erp.end(first)
        assert (state, "requested and then denied" in outcome["why"]) == ("refused", True)
    assert not erp.never()


def test_a_lost_answer_of_a_cancellation_with_confirm_confirms_nothing(erp):
    erp, [order] = erp()
    erp.run.fault("lost_answer", "/cancel", "POST")
    key = erp.ask("cancel", order, {"reason": "x", "confirm": True})
    erp.waits(key, "not decided yet")
    assert len(erp.run.calls("/cancel", "POST")) == 1
    erp.run.vtex.move(order, "canceled")
    assert erp.end(key)[0] == "done"
    assert not erp.never()


def test_a_change_waits_for_the_one_in_progress_that_vtex_knows_better(erp):
    erp, [order] = erp(change_confirm_delay=1.0)
    value = erp.value(order)
    vtex = erp.run.link.vtex
    vtex.change(order, {"reason": "Admin", "manualDiscountValue": 500})
    ours = erp.ask("change", order, CHANGE)
    erp.waits(ours, "another change")
    assert erp.end(ours)[0] == "done"
    assert erp.value(order) == value - 1500
    assert not erp.never()


def test_a_change_that_vtex_answers_with_014_waits(erp, monkeypatch):
    erp, [order] = erp(change_confirm_delay=1.0)
    erp.run.link.vtex.change(order, {"reason": "Admin", "manualDiscountValue": 500})
    # it begins between our look and our call
    monkeypatch.setattr("tasks.command.CommandWork.running_change", lambda *_: False)
    key = erp.ask("change", order, CHANGE)
    erp.waits(key, "SalesOrderSystem014")
    assert not erp.book.record(key).sent
    assert erp.end(key)[0] == "done"
    assert not erp.never()


def test_a_change_that_vtex_cancels_is_refused_with_its_reason(erp):
    erp, [order] = erp(change_more_states=True)
    value = erp.value(order)
    erp.run.vtex.cancel_changes("Pagamento recusado", order=order)
    state, outcome = erp.end(erp.ask("change", order, CHANGE))
    assert (state, outcome["why"]) == ("refused", "VTEX canceled the change: Pagamento recusado")
    assert erp.end(erp.ask("invoice", order, erp.invoice(order)))[1]["invoiced"] == value
    assert not erp.never()


def test_help_pages_flag_of_a_change(erp):
    erp, [order] = erp(change_flag="finished", change_more_states=True)
    erp.run.vtex.cancel_changes("Pagamento recusado", order=order)
    assert erp.end(erp.ask("change", order, CHANGE))[0] == "refused"
    assert erp.end(erp.ask("change", order, CHANGE))[0] == "done"
    assert erp.end(erp.ask("invoice", order, erp.invoice(order)))[0] == "done"
    assert not erp.never()


def test_commands_of_one_order_never_overlap_nor_with_start_handling(erp):
    erp, orders = erp(4, status="ready-for-handling", latency=0.1)
    keys = []
    for order in orders:
        value = erp.value(order)
        keys.append(erp.ask("change", order, {"reason": "Promotion by phone.", "discountValue": 10}))
        keys += [erp.ask("invoice", order, erp.invoice(order, str(n), value // 4)) for n in range(4)]
    ends = [erp.end(key) for key in keys]
    # the change took some of the value, so the last invoice does not fit
    assert [state for state, _ in ends].count("refused") == len(orders)
    for order in orders:
        facts = erp.facts(order)
        assert facts["startHandlingCount"] == 1
        assert set(facts["counted"]) <= {"unknown_invoice_items"}
        assert len(facts["writes"]) >= 5
    assert not erp.never()


def test_start_handling_and_a_cancellation_at_the_same_time(erp):
    erp, orders = erp(6, status="ready-for-handling", latency=0.2, cancel_when_ready="cancel")
    keys = {order: erp.ask("cancel", order) for order in orders}
    for order, key in keys.items():
        erp.until(lambda key=key: (r := erp.book.record(key)) and (r.state == "done" or r.waits), "asked")
        if erp.facts(order)["status"] == "cancellation-requested":
            erp.run.vtex.move(order, "canceled")
        assert erp.end(key)[0] == "done"
    assert not erp.never()
    assert erp.run.vtex.audit()["doubtful"]["abandoned_writes"]["count"] == 0


@pytest.mark.parametrize("named", ["5", None])
def test_tracking_of_an_invoice_that_was_refused_is_refused_and_waits_for_one_that_may_come(erp, named):
    erp, [order] = erp(status="ready-for-handling", feed_configured=False)
    tracking = {"invoiceNumber": named, "trackingNumber": "BR1"}
    waiting = erp.ask("tracking", order, tracking)
    erp.waits(waiting, "not at VTEX yet" if named else "no invoice at VTEX yet")  # it may come from elsewhere
    invoice = erp.ask("invoice", order, erp.invoice(order, "5"), key="nf-5")
    erp.waits(invoice, "ready-for-handling")
    late = erp.ask("tracking", order, tracking)
    erp.waits(late, "at VTEX yet")  # its invoice is on its way
    erp.run.vtex.move(order, "cancellation-requested")
    assert erp.end(invoice)[0] == "refused"
    for key in (waiting, late):
        state, outcome = erp.end(key)
        assert state == "refused"
        assert "command nf-5, which was refused (a cancellation of the order is requested" in outcome["why"]
        assert "under a new key" in outcome["why"]
    again = erp.ask("invoice", order, erp.invoice(order, "5", force=True), key="nf-5b")
    better = erp.ask("tracking", order, tracking)
    assert erp.end(again)[0] == erp.end(better)[0] == "done"
    assert not erp.never()


def test_tracking_waits_for_another_invoice_than_the_one_that_was_refused(erp):
    erp, [order] = erp()
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "1", 10**9)))[0] == "refused"
    tracking = erp.ask("tracking", order, {"invoiceNumber": "2", "trackingNumber": "BR1"})
    erp.waits(tracking, "invoice 2 is not at VTEX yet")
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "2")))[0] == "done"
    assert erp.end(tracking)[0] == "done"


def test_all_calls_of_a_command_go_first(erp):
    erp, [order] = erp(feed_configured=False)
    invoice, limiter = erp.invoice(order), erp.run.link.limiter
    paces = []

    def pace(_endpoint):
        paces.append(getattr(limiter._held, "pace", None))
        limiter.wait()

    erp.run.link.vtex._pace = pace
    key = erp.ask("invoice", order, invoice)
    erp.until(lambda: (r := erp.book.record(key)) and r.state == "done", "the invoice")
    calls = [one for one in paces if one]
    assert len(calls) >= 2, "the order is read, and then written to"
    assert {one.longest for one in calls} == {COMMAND_WAITS}


# Never twice


def test_a_return_whose_answer_is_lost_is_sent_again_only_after_the_longer_absence(erp):
    erp, [order] = erp()
    erp.end(erp.ask("invoice", order, erp.invoice(order, "1")))
    erp.until(lambda: erp.facts(order)["status"] == "invoiced", "invoiced")
    erp.run.fault("error_5xx", "/invoice", "POST")
    key = erp.ask("invoice", order, erp.invoice(order, "R1", 50, type="Input"))
    assert erp.end(key)[0] == "done"
    sent = [one for one in erp.facts(order)["writes"] if "invoice" in one["call"].lower()]
    assert len(sent) == 3
    assert sent[-1]["at"] - sent[-2]["at"] >= 2.0  # twice what other invoices wait
    assert len([c for c in erp.run.calls(order, "GET") if c["path"].endswith(order)]) >= 5
    erp.run.fault("lost_answer", "/invoice", "POST")
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "R2", 60, type="Input")))[0] == "done"
    assert erp.facts(order)["refundedSum"] == 110
    assert not erp.never()


@pytest.mark.parametrize("kind", ["invoice", "tracking", "cancel", "change"])
def test_everything_forgotten_between_send_and_record_and_asked_again(erp, kind):
    erp, [order] = erp(change_confirm_delay=0.5, invoice_delay=1.5)
    if kind == "tracking":
        erp.end(erp.ask("invoice", order, erp.invoice(order)))
    payload = {
        "invoice": erp.invoice(order),
        "tracking": {"trackingNumber": "BR1", "events": [EVENT]},
        "cancel": {"reason": "sem estoque"},
        "change": CHANGE,
    }[kind]
    method, path = {
        "invoice": ("POST", "/invoice"),
        "tracking": ("PUT", "/tracking"),
        "cancel": ("POST", "/cancel"),
        "change": ("PATCH", "/changes"),
    }[kind]
    erp.ask(kind, order, payload, key="k1")
    erp.until(lambda: erp.run.calls(path, method), "the effect")
    erp.run.redis.flushall()
    erp.ask(kind, order, payload, key="k1")
    if kind == "cancel":
        erp.waits("k1", "not decided")
        erp.run.vtex.move(order, "canceled")
    assert erp.end("k1")[0] == "done"
    assert len(erp.run.calls(path, method)) == (2 if kind == "tracking" else 1)
    assert not erp.never()


def test_what_this_ledger_saw_begin_is_not_made_sure_of_again(erp, monkeypatch):
    """A store's first minute: nothing can have been sent for an order whose handling began here."""
    monkeypatch.setattr("tasks.command.ABSENT_AFTER", 1000.0)
    erp, [order] = erp(status="ready-for-handling")
    erp.run.redis.flushall()
    erp.until(lambda: "handled" in erp.run.codes(order), "start-handling")
    assert erp.end(erp.ask("invoice", order, erp.invoice(order)))[0] == "done"
    erp.until(lambda: erp.run.link.vtex.get_order(order).details().packages, "VTEX to show it")
    erp.run.redis.flushall()
    state = erp.ask("invoice", order, erp.invoice(order, "2", 1))
    assert "invoiced in full already" in erp.end(state)[1]["why"]  # a refusal does not wait


@pytest.mark.parametrize("whose", ["ours", "made by hand"])
def test_an_equal_change_from_before_this_ledger_is_ours_and_from_after_it_is_not(erp, whose):
    erp, [order] = erp()
    value = erp.value(order)
    body = {"reason": CHANGE["reason"], "manualDiscountValue": CHANGE["discountValue"]}
    request = erp.run.link.vtex.change(order, body).request_id
    erp.until(lambda: erp.run.link.vtex.get_change(order, request).done, "the change")
    if whose == "ours":
        erp.run.redis.flushall()
    state, outcome = erp.end(erp.ask("change", order, CHANGE))
    assert (state, outcome["requestId"] == request) == ("done", whose == "ours")
    assert erp.value(order) == value - (1000 if whose == "ours" else 2000)


def test_a_pace_that_makes_wait_is_not_a_call_whose_answer_was_lost(erp, monkeypatch):
    from workers.errors import RateLimited

    erp, [order] = erp()
    vtex = type(erp.run.link.vtex)
    cancel, left = vtex.cancel, [9]

    def paced(*args, **named):
        if left[0]:
            left[0] -= 1
            raise RateLimited("the account's pace asks to wait", after=0.05)
        return cancel(*args, **named)

    erp.run.fault("error_5xx", "/cancel", "POST")
    key = erp.ask("cancel", order, reason="sem estoque")
    erp.until(lambda: erp.run.calls("/cancel", "POST"), "the call that fails")
    monkeypatch.setattr(vtex, "cancel", paced)
    erp.waits(key, "not decided yet")
    assert len(erp.run.calls("/cancel", "POST")) == 2
    assert not left[0]
    erp.run.vtex.move(order, "canceled")
    assert erp.end(key)[0] == "done"
    assert not erp.never()


def test_an_equal_change_of_before_does_not_count(erp):
    erp, [order] = erp()
    value = erp.value(order)
    assert erp.end(erp.ask("change", order, CHANGE, key="one"))[0] == "done"
    erp.run.fault("lost_answer", "/changes", "PATCH")
    assert erp.end(erp.ask("change", order, CHANGE, key="two"))[0] == "done"
    assert erp.value(order) == value - 2000
    assert len(erp.run.calls("/changes", "PATCH")) == 2


def test_an_invoice_that_vtex_shows_late_is_counted_meanwhile(erp):
    erp, [order] = erp(invoice_delay=1.5)
    value = erp.value(order)
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "1", value - 10)))[0] == "done"
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "2", 11)))[0] == "refused"
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "3", 10)))[1]["remaining"] == 0
    assert erp.end(erp.ask("cancel", order))[0] == "refused"
    state, outcome = erp.end(erp.ask("tracking", order, {"trackingNumber": "BR1"}))
    assert state == "refused"
    assert "the order has 2 invoices (1, 3): name one with invoiceNumber" in outcome["why"]
    named = erp.ask("tracking", order, {"invoiceNumber": "3", "trackingNumber": "BR1"})
    assert erp.end(named)[0] == "done"
    assert not erp.never()


def test_a_refusal_of_a_repeated_number_is_looked_into(erp):
    """VTEX had the invoice, showed it late, and refuses the repetition."""
    erp, [order] = erp(repeated_invoice="refuse", invoice_delay=2.0)
    erp.run.fault("lost_answer", "/invoice", "POST")
    key = erp.ask("invoice", order, erp.invoice(order))
    erp.until(lambda: len(erp.run.calls("/invoice", "POST")) == 2, "the repetition")
    assert erp.end(key)[0] in ("done", "refused")
    assert len(erp.facts(order)["invoices"]) == 1


# VTEX as its documents differ about it


def test_an_order_invoiced_in_part_may_wait_in_payment_approved(erp):
    erp, [order] = erp(partial_invoice_state="payment-approved")
    value = erp.value(order)
    erp.end(erp.ask("invoice", order, erp.invoice(order, "1", 10)))
    erp.until(lambda: erp.facts(order)["status"] == "payment-approved", "payment-approved")
    state, outcome = erp.end(erp.ask("change", order, CHANGE))
    assert (state, "invoiced in part" in outcome["why"]) == ("refused", True)
    assert erp.end(erp.ask("invoice", order, erp.invoice(order, "2", value - 10)))[1]["remaining"] == 0
    erp.until(lambda: erp.facts(order)["status"] == "invoiced", "invoiced")
    assert not erp.never()


@pytest.mark.parametrize("semantics", ["append", "replace"])
def test_events_of_tracking_are_merged_with_those_that_vtex_has(erp, semantics):
    erp, [order] = erp(tracking_events=semantics)
    erp.end(erp.ask("invoice", order, erp.invoice(order, trackingNumber="BR1")))
    second = EVENT | {"description": "entregue", "date": "2026-02-02"}
    assert erp.end(erp.ask("tracking", order, {"events": [EVENT]}))[0] == "done"
    assert erp.end(erp.ask("tracking", order, {"events": [second]} | DELIVERED))[0] == "done"
    assert erp.end(erp.ask("tracking", order, {"events": [EVENT, second]} | DELIVERED))[0] == "done"
    tracking = erp.facts(order)["invoices"][0]["tracking"]
    assert [one["description"] for one in tracking["events"]] == ["saiu para entrega", "entregue"]
    assert tracking["isDelivered"]
    assert not erp.never()


def test_tracking_that_vtex_does_not_take_yet_is_sent_again(erp, monkeypatch):
    from workers.errors import NotFound

    erp, [order] = erp()
    erp.end(erp.ask("invoice", order, erp.invoice(order)))
    vtex = type(erp.run.link.vtex)
    update, left = vtex.update_invoice, [3]

    def not_yet(*args):
        if left[0]:
            left[0] -= 1
            raise NotFound("404 Invoice Not Found", status=404)
        return update(*args)

    monkeypatch.setattr(vtex, "update_invoice", not_yet)
    key = erp.ask("tracking", order, {"trackingNumber": "BR1"})
    erp.waits(key, "does not take tracking of invoice 9999 yet")
    assert erp.end(key)[0] == "done"
    left[0] = 100
    state, outcome = erp.end(erp.ask("tracking", order, {"trackingNumber": "BR2"}))
    assert (state, "404" in outcome["why"]) == ("refused", True)


def test_a_cancellation_that_flutters(erp):
    erp, [order] = erp(status="payment-approved", cancel_flutter=True, cancel_receipt=False)
    assert erp.end(erp.ask("cancel", order, reason="x"))[0] == "done"
    erp.until(lambda: erp.facts(order)["status"] == "canceled", "canceled")
    assert erp.run.calls("/cancel", "POST")[1:] == []
    assert not erp.never()


@pytest.mark.parametrize(
    ("permission", "kind", "payload"),
    [("cancel", "cancel", {"reason": "x"}), ("change", "change", CHANGE)],
)
def test_a_missing_permission_holds_its_own_commands_and_nothing_else(erp, permission, kind, payload):
    erp, [order] = erp(denied=(permission,))
    key = erp.ask(kind, order, payload)
    erp.waits(key, "License Manager")
    other = erp.run.vtex.create(1)[0]
    erp.until(lambda: erp.facts(other)["startHandlingCount"] == 1, "start-handling of another order")
    assert erp.run.ledger.paused() == {}


def test_a_wrong_key_pauses_and_costs_no_command(erp):
    erp, [order] = erp()
    erp.run.vtex.control("credentials", {"status": 401})
    key = erp.ask("invoice", order, erp.invoice(order, value=100))
    erp.until(lambda: "vtex" in erp.run.ledger.paused(), "the pause")
    erp.run.vtex.control("credentials", {"status": None})
    assert erp.end(key)[0] == "done"
    assert not erp.never()


def test_too_many_requests_cost_no_absence_check(erp, monkeypatch):
    monkeypatch.setattr("tasks.command.ABSENT_AFTER", 1000.0)
    erp, [order] = erp(retry_after=0.2)
    erp.run.fault("error_429", "/invoice", "POST")
    assert erp.end(erp.ask("invoice", order, erp.invoice(order)))[0] == "done"
    assert len(erp.run.calls("/invoice", "POST")) == 2
    assert not erp.never()


# The end of patience, and what a person can do


def test_dead_after_the_horizon_and_opened_again_by_a_person(erp, monkeypatch):
    from workers import intake
    from workers.policy import Policy

    erp, [order] = erp(status="ready-for-handling", feed_configured=False)
    erp.run.link.policy = Policy(horizon=1.0)
    key = erp.ask("invoice", order, erp.invoice(order))
    state, outcome = erp.end(key)
    assert (state, "given up" in outcome["why"]) == ("dead", True)
    assert erp.book.dead() == [key]
    erp.run.link.policy = Policy()
    erp.run.vtex.move(order, "handling")
    assert erp.book.reopen(key, "an operator") == "open"
    intake.enqueue(erp.run.link.account.name, key, "invoice", order)
    erp.until(lambda: erp.book.record(key).state == "done", "done")
    erp.until(lambda: "command.done" in erp.run.told(order), "the ERP is told anew")


def test_a_dead_one_of_which_nothing_is_known_is_looked_for(erp):
    from workers import intake
    from workers.policy import Policy

    erp, [order] = erp()
    erp.run.link.policy = Policy(horizon=0.0)
    erp.run.fault("lost_answer", "/changes", "PATCH")
    key = erp.ask("change", order, CHANGE)
    assert erp.end(key)[0] == "dead"
    erp.run.link.policy = Policy()
    assert erp.book.reopen(key, "an operator") == "open"
    intake.enqueue(erp.run.link.account.name, key, "change", order)
    erp.until(lambda: erp.book.record(key).state == "done", "done")
    assert len(erp.run.calls("/changes", "PATCH")) == len(erp.facts(order)["changes"]) == 1
    assert not erp.never()


def test_what_an_older_program_recorded_and_cannot_be_used_is_refused(erp):
    erp, [order] = erp()
    erp.book.accept([("k1", "invoice", order, {"old": "form"}, "f")])
    erp.run.app.send_task("orders.invoice", kwargs={"order_id": order, "key": "k1", "recorded": True})
    state, outcome = erp.end("k1")
    assert (state, "invoiceNumber" in outcome["why"]) == ("refused", True)


def test_a_tracking_of_a_canceled_order_is_refused(erp):
    erp, [order] = erp(status="canceled")
    state, outcome = erp.end(erp.ask("tracking", order, {"invoiceNumber": "1", "trackingNumber": "BR1"}))
    assert (state, "canceled" in outcome["why"]) == ("refused", True)


def test_a_return_asked_for_again_at_once_after_everything_was_forgotten(erp):
    erp, [order] = erp(invoice_delay=0.8)
    erp.end(erp.ask("invoice", order, erp.invoice(order, "1")))
    erp.until(lambda: erp.facts(order)["status"] == "invoiced", "invoiced")
    back = erp.invoice(order, "R1", 50, type="Input")
    erp.ask("invoice", order, back, key="k1")
    erp.until(lambda: erp.facts(order)["refundedSum"], "the refund")
    erp.run.redis.flushall()
    erp.ask("invoice", order, back, key="k1")
    assert erp.end("k1")[0] == "done"
    assert erp.facts(order)["refundedSum"] == 50
    assert not erp.never()
