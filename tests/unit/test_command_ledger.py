from __future__ import annotations

import pytest

from workers.command_ledger import CommandLedger
from workers.ledger import Pace, Refusal
from workers.vtex.schemas import Event

PAYLOAD = {"invoiceNumber": "1"}
PACE = Pace(0.1, 100, 1.0, 40.0)


@pytest.fixture
def ledger(make_ledger):
    return make_ledger()


@pytest.fixture
def book(ledger):
    return CommandLedger(ledger)


def accept(book, id_="c1", kind="invoice", order="1-01", payload=PAYLOAD):
    [accepted] = book.accept([(id_, kind, order, payload, f"{kind}{payload}")])
    return accepted


def test_the_same_request_is_recorded_once_and_another_under_its_id_is_refused(book):
    assert accept(book).verdict == "new"
    assert accept(book).verdict == "same"
    assert accept(book, payload={"invoiceNumber": "2"}).verdict == "other"
    assert book.counts().open == 1
    assert book.record("c1").payload == PAYLOAD


def test_a_command_is_carried_by_one_at_a_time_and_ends_once(book):
    accept(book)
    claim = book.claim("c1", "t1")
    assert (claim.kind, claim.order_id, claim.payload, claim.sent) == ("invoice", "1-01", PAYLOAD, False)
    assert book.claim("c1", "t2") == Refusal("busy")
    assert book.claim("c1", "t1") == claim
    assert book.finish(claim, "done", {"receipt": "r"}, "receipt r") == (True, "")
    assert book.finish(claim, "done", {"receipt": "r"}, "receipt r") == (True, "")
    assert book.claim("c1", "t3") == Refusal("finished")
    record = book.record("c1")
    assert (record.state, record.outcome) == ("done", {"receipt": "r"})
    assert [entry.code for entry in record.timeline] == ["accepted", "done"]
    assert book.counts().done == 1
    assert book.counts().open == 0
    assert accept(book).state == "done"


def test_commands_of_one_order_go_in_order_of_arrival(book):
    accept(book, "c1")
    accept(book, "c2", "cancel")
    accept(book, "other", order="2-01")
    assert book.claim("c2", "t") == Refusal("behind")
    assert not isinstance(book.claim("other", "t"), Refusal)
    first = book.claim("c1", "t")
    assert book.claim("c2", "t2") == Refusal("behind")
    assert book.finish(first, "done", {}, "") == (True, "c2")
    assert book.claim("c2", "t2").kind == "cancel"


def test_one_that_only_waits_lets_others_pass_and_one_that_may_have_been_sent_does_not(book, clock):
    accept(book, "tracking", "tracking")
    accept(book, "invoice")
    claim = book.claim("tracking", "t")
    assert book.defer(claim, 5, "its invoice is not there yet", how="wait", counts=False) == (True, "invoice")
    invoice = book.claim("invoice", "t")
    assert book.mark(invoice, {"looks": 0}, sent=True)
    assert book.defer(invoice, 5, "timeout", how="retry") == (True, "")
    accept(book, "cancel", "cancel")
    assert book.claim("cancel", "t") == Refusal("behind")
    clock.advance(6)
    invoice = book.claim("invoice", "t2")
    assert invoice.sent
    assert invoice.memo == {"looks": 0}
    assert invoice.attempts == 2
    assert book.finish(invoice, "done", {}, "")[0]


def test_a_dead_worker_s_command_is_taken_over_after_the_lease(book, clock):
    accept(book)
    claim = book.claim("c1", "t1")
    assert book.mark(claim, {}, sent=True)
    clock.advance(book.ledger.lease + 1)
    assert book.due() == [("c1", "invoice", "1-01")]
    again = book.claim("c1", "t2")
    assert again.sent
    assert again.crashes == 1
    assert not book.mark(claim, {}, sent=True)
    assert book.finish(claim, "done", {}, "")[0] is False
    assert book.defer(claim, 1, "x", how="retry")[0] is False


def test_start_handling_and_commands_of_an_order_exclude_each_other(book, ledger, clock):
    ledger.observe([Event("e", "h", "1-01", "ready-for-handling", None, "")])
    download = ledger.claim("1-01", "download", "d")
    ledger.advance(download, "start-handling", "delivered", erp="has")
    accept(book)
    carrying = book.claim("c1", "t1")
    assert ledger.claim("1-01", "start-handling", "s1") == Refusal("locked")
    book.defer(carrying, 0, "not yet", how="wait")
    starting = ledger.claim("1-01", "start-handling", "s1")
    clock.advance(1)
    assert book.claim("c1", "t2") == Refusal("locked")
    ledger.advance(starting, "ack", "handled")
    assert not isinstance(book.claim("c1", "t2"), Refusal)


def test_what_ended_is_told_until_the_erp_has_it(book, clock):
    accept(book)
    book.finish(book.claim("c1", "t"), "refused", {"why": "canceled"}, "canceled")
    assert book.untold() == ["c1"]
    assert book.untold() == []
    clock.advance(book.ledger.patience + 1)
    ended = book.record("c1").ended
    book.reopen("c1", "somebody")  # while the ERP is being told
    book.finish(book.claim("c1", "t2"), "done", {}, "")
    book.told("c1", ended)
    assert book.untold() == ["c1"]
    clock.advance(book.ledger.patience + 1)
    book.told("c1", book.record("c1").ended)
    assert book.untold() == []


def test_dead_ones_are_listed_with_their_payload_whole(book):
    accept(book)
    book.finish(book.claim("c1", "t"), "dead", {"why": "72 h"}, "given up")
    assert book.dead() == ["c1"]
    assert book.record("c1").payload == PAYLOAD
    assert [record.id for record in book.of_order("1-01")] == ["c1"]


def test_one_that_may_have_been_sent_lets_nothing_pass_even_while_it_waits(book, clock):
    accept(book, "invoice")
    invoice = book.claim("invoice", "t")
    book.mark(invoice, {}, sent=True)
    assert book.defer(invoice, 1, "a change is in progress", how="wait", counts=False) == (True, "")
    accept(book, "cancel", "cancel")
    assert book.claim("cancel", "t") == Refusal("behind")
    clock.advance(2)
    invoice = book.claim("invoice", "t2")
    assert book.mark(invoice, {}, sent=False)
    assert book.defer(invoice, 1, "a change is in progress", how="wait", counts=False) == (True, "cancel")
    assert not book.claim("cancel", "t2").sent


def test_one_that_waits_stays_behind_a_later_one_that_may_have_been_sent(book, clock):
    accept(book, "invoice")
    book.defer(book.claim("invoice", "t"), 1, "not in handling", how="wait", counts=False)
    accept(book, "cancel", "cancel")
    cancel = book.claim("cancel", "t")
    book.mark(cancel, {}, sent=True)
    book.defer(cancel, 1, "its answer was lost", how="retry")
    clock.advance(2)
    assert book.claim("invoice", "t2") == Refusal("behind")
    cancel = book.claim("cancel", "t2")
    book.mark(cancel, {}, sent=False)
    assert book.defer(cancel, 1, "it is requested", how="pass", counts=False)[0]
    assert book.record("cancel").state == "open"
    clock.advance(2)
    assert not isinstance(book.claim("invoice", "t3"), Refusal)


def test_a_request_that_cannot_be_used_is_refused_in_one_move_and_its_id_is_free(book):
    assert book.refuse("c1", "invoice", "1-01", {"x": 1}, "items: is missing")
    record = book.record("c1")
    assert (record.state, record.outcome, record.payload) == (
        "refused",
        {"why": "items: is missing"},
        {"x": 1},
    )
    assert book.claim("c1", "t") == Refusal("finished")
    assert book.due() == []
    assert book.untold() == ["c1"]
    assert book.reopen("c1", "me") == "void"
    assert book.refuse("c1", "invoice", "2-01", {"x": 2}, "still")
    assert book.of_order("1-01") == []
    assert book.counts().refused == 1
    assert accept(book).verdict == "new"
    assert (book.counts().open, book.counts().refused) == (1, 0)
    assert book.of_order("2-01") == []
    assert not book.refuse("c1", "invoice", "1-01", {}, "no")
    assert book.record("c1").state == "open"
    claim = book.claim("c1", "t")
    assert book.finish(claim, "done", {}, "")[0]
    assert book.untold() == ["c1"]


def test_no_two_ends_are_at_one_instant(book):
    for n in range(5):
        book.refuse(f"c{n}", "invoice", "1-01", {}, "no")
    ends = [record.ended for record in book.of_order("1-01")]
    assert sorted(set(ends)) == ends
    assert len(ends) == 5


def test_of_a_done_invoice_the_payload_is_forgotten_and_of_others_kept(book):
    accept(book)
    book.finish(book.claim("c1", "t"), "done", {"invoiceNumber": "1"}, "")
    assert book.record("c1").payload == {}
    accept(book, "c2", "tracking")
    book.finish(book.claim("c2", "t"), "done", {}, "")
    assert book.record("c2").payload == PAYLOAD
    assert accept(book).verdict == "same"


@pytest.mark.parametrize("end", ["dead", "refused"])
def test_a_dead_or_refused_one_is_opened_again_at_its_old_place(book, clock, end):
    accept(book, "c1")
    accept(book, "c2", "cancel")
    first = book.claim("c1", "t")
    book.mark(first, {"before": ["x"]}, sent=True)
    book.finish(first, end, {"why": "no"}, "no")
    clock.advance(4 * 86400)
    assert book.reopen("c1", "somebody: VTEX is well again") == "open"
    assert book.reopen("c1", "somebody") == "busy"
    record = book.record("c1")
    assert (record.state, record.outcome, record.ended) == ("open", {}, None)
    assert record.timeline[-1].code == "replay"
    assert book.dead() == book.untold() == []
    assert book.counts().open == 2
    assert book.claim("c2", "t") == Refusal("behind")
    claim = book.claim("c1", "t2")
    # of a refused one it is certain that VTEX does not have it
    assert (claim.sent, claim.memo) == ((True, {"before": ["x"]}) if end == "dead" else (False, {}))
    assert (claim.attempts, claim.crashes, claim.age) == (1, 0, 0)
    assert book.finish(claim, "done", {}, "") == (True, "c2")
    assert book.reopen("c1", "somebody") == "finished"
    assert book.untold() == ["c1"]


def test_a_parked_one_is_looked_at_now_and_an_unknown_one_is_unknown(book, clock):
    accept(book)
    book.defer(book.claim("c1", "t"), 60, "not in handling", how="wait", counts=False)
    assert book.claim("c1", "t2") == Refusal("early")
    assert book.reopen("c1", "somebody") == "open"
    assert not isinstance(book.claim("c1", "t2"), Refusal)
    assert book.reopen("nobody", "somebody") == "unknown"
    assert book.counts() == type(book.counts())(open=1)


def test_only_failures_in_a_row_are_counted(book, clock):
    accept(book)
    for n in range(3):
        book.defer(book.claim("c1", f"t{n}"), 0, "VTEX answered 503", how="retry")
    claim = book.claim("c1", "t9")
    assert claim.attempts == 4
    book.defer(claim, 0, "VTEX works on it", how="retry", fresh=True)
    assert book.claim("c1", "t10").attempts == 1


def test_those_that_wait_are_looked_at_when_another_ends(book, clock):
    for id_ in ("c1", "c2", "c3"):
        accept(book, id_)
        book.defer(book.claim(id_, "t"), 60, "not in handling", how="wait", counts=False)
    clock.advance(1)
    assert book.claim("c1", "t2") == Refusal("early")
    accept(book, "c4", "cancel")
    cancel = book.claim("c4", "t")
    assert book.finish(cancel, "refused", {}, "") == (True, "c1")
    first = book.claim("c1", "t2")
    assert book.claim("c2", "t2") == Refusal("behind")
    assert book.finish(first, "done", {}, "") == (True, "c2")
    second = book.claim("c2", "t3")
    assert book.defer(second, 2, "not yet", how="wait", counts=False) == (True, "c3")
    assert book.defer(book.claim("c3", "t4"), 2, "not yet", how="wait", counts=False) == (True, "")


def test_what_waits_in_a_long_queue_is_not_taken_for_lost(book, clock):
    for number in range(4):
        accept(book, f"c{number}", order=f"{number}-01")
        clock.advance(1)
    book.claim("c1", "t")  # its message is taken, and so was that of c0, which has vanished
    clock.advance(book.ledger.patience + 1)
    assert {id_ for id_, _, _ in book.due(waiting=True)} == {"c0", "c1"}  # the latter's worker died
    assert book.due(waiting=True) == []
    clock.advance(book.ledger.patience)
    assert {"c2", "c3"} <= {id_ for id_, _, _ in book.due(waiting=False)}


def test_a_request_that_its_own_message_brought_says_nothing_about_the_queue(book, clock):
    accept(book, "c0", order="0-01")
    clock.advance(1)
    accept(book, "by-name", order="1-01")
    book.claim("by-name", "t", own_message=False)
    clock.advance(book.ledger.patience + 1)
    assert [id_ for id_, _, _ in book.due(waiting=True)] == ["by-name"]


def test_only_the_one_whose_turn_it_is_is_sent_again(book, clock):
    for id_ in ("c1", "c2", "c3"):
        accept(book, id_)
    clock.advance(book.ledger.patience + 1)
    assert [id_ for id_, _, _ in book.due()] == ["c1"]
    assert book.finish(book.claim("c1", "t"), "done", {}, "")[1] == "c2"
    clock.advance(book.ledger.patience + 1)  # that message got lost
    assert [id_ for id_, _, _ in book.due()] == ["c2"]


def test_a_request_is_recorded_and_claimed_in_one_move(book):
    request = ("c1", "invoice", "1-01", PAYLOAD, "same")
    accepted, claim = book.begin(request, "t1", PACE)
    assert (accepted.verdict, accepted.state) == ("new", "open")
    assert (claim.id, claim.token, claim.payload, claim.only) == ("c1", "t1", PAYLOAD, True)
    assert claim.slot == (True, 0.0)
    assert book.begin(request, "t1", PACE)[1] == claim, "an answer that got lost is asked for again"
    assert book.begin(request, "t2", PACE)[1] == Refusal("busy")
    accepted, claim = book.begin(("c1", "invoice", "1-01", {}, "another"), "t3", PACE)
    assert (accepted.verdict, claim) == ("other", Refusal("other"))
    _, behind = book.begin(("c2", "cancel", "1-01", {}, "cancel"), "t4", PACE)
    assert behind == Refusal("behind")
    assert book.counts().open == 2


def test_in_a_pause_a_request_is_recorded_and_waits_for_the_sweeper(book, ledger, clock):
    ledger.pause("vtex", "401")
    accepted, claim = book.begin(("c1", "invoice", "1-01", PAYLOAD, "same"), "t1", PACE)
    assert (accepted.verdict, claim) == ("new", Refusal("paused"))
    assert book.claim("c1", "t2") == Refusal("paused")
    assert book.claim("nobody", "t2") == Refusal("paused")
    assert book.due() == [], "its message would be dropped again"
    ledger.resume("vtex")
    assert book.due() == [("c1", "invoice", "1-01")]
    assert book.record("nobody") is None


def test_what_is_sent_is_remembered_with_the_time_of_redis(book, clock):
    accept(book)
    claim = book.claim("c1", "t1")
    clock.advance(3)
    marked = book.mark(claim, {"sent_at": None, "looks": []}, sent=True, pace=PACE)
    assert (marked.at, marked.slot) == (clock.now, (True, 0.0))
    assert book.claim("c1", "t1").memo == {"sent_at": clock.now, "looks": []}


def test_one_is_sent_to_tell_of_all_that_ends_until_nothing_is_left(book, clock):
    sent = []

    def end(id_):
        accept(book, id_, order=id_)
        book.finish(book.claim(id_, "t"), "done", {}, "", send_teller=lambda: sent.append(id_))

    end("c1")
    end("c2")
    assert sent == ["c1"]
    assert book.untold() == ["c1", "c2"]
    end("c3")
    assert book.untold() == ["c3"]
    assert book.untold() == []
    end("c4")
    assert sent == ["c1", "c4"]
    clock.advance(6)  # whoever was sent died on the way
    end("c5")
    assert sent == ["c1", "c4", "c5"]
    book.told_all({id_: book.record(id_).ended for id_ in ("c1", "c2", "c3", "c4")})
    clock.advance(book.ledger.patience + 1)
    assert book.untold() == ["c5"]
