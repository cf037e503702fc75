"""Every move of the ledger, one by one. How they go together is in test_ledger_machine.py."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import LockError

from workers import ledger as ledger_module
from workers.ledger import ACK, DEAD, DONE, DOWNLOAD, IGNORED, START_HANDLING, Claim, Counts, Refusal
from workers.vtex.schemas import Event

READY, CANCELED = "ready-for-handling", "canceled"
_numbers = itertools.count()


def at(second) -> str:
    return f"2027-01-15T08:00:{second:02d}.0000000Z"


def event(order="1-01", state=READY, second=1, *, id=None, handle=None):  # noqa: A002
    """A feed event; every one has its own id and handle unless they are given."""
    number = next(_numbers)
    return Event(
        event_id=id if id is not None else f"{number:032x}",
        handle=handle if handle is not None else f"handle-{number}",
        order_id=order,
        state=state,
        domain="Fulfillment",
        at=at(second) if isinstance(second, int) else second,
    )


def states_of(ledger) -> dict[str, dict[str, str]]:
    prefix = f"{ledger._prefix}o:"
    return {
        key.removeprefix(prefix): ledger.redis.hgetall(key)
        for key in ledger.redis.scan_iter(f"{prefix}*", count=1000)
    }


def check(ledger) -> None:
    """What must be true after every move, whatever happened before."""
    redis, prefix = ledger.redis, ledger._prefix
    records = states_of(ledger)
    by_state = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for record in records.values():
        by_state[record["state"]] += 1
    assert ledger.counts() == Counts(**by_state)
    unfinished = {name for name, record in records.items() if record["state"] in ("open", "parked")}
    assert set(redis.zrange(f"{prefix}due", 0, -1)) == unfinished
    assert set(redis.zrange(f"{prefix}dead", 0, -1)) == {
        name for name, record in records.items() if record["state"] == DEAD
    }
    waiting = [member.split(" ", 1)[0] for member in redis.zrange(f"{prefix}acks", 0, -1)]
    for name, record in records.items():
        assert int(record.get("pending", 0)) == waiting.count(name), name
        handles = redis.exists(f"{prefix}h:{name}")
        assert not handles or name in unfinished, f"handles of {name} would never be committed"
        expires = redis.ttl(f"{prefix}o:{name}")
        assert (expires > 0) == (record["state"] in (DONE, IGNORED)), (name, record["state"], expires)
        assert ("step" in record) == (name in unfinished), name
        if name not in unfinished:
            assert not record.keys() & {"claim", "until", "after", "again", "attempts", "crashes"}, name
        assert ("claim" in record) == ("until" in record), name


@pytest.fixture
def ledger(make_ledger):
    ledger = make_ledger()
    yield ledger
    check(ledger)


def observe(ledger, *events) -> list[str]:
    verdicts = ledger.observe(events)
    check(ledger)
    return verdicts


def claim(ledger, step=DOWNLOAD, order="1-01", token=None) -> Claim:
    claimed = ledger.claim(order, step, token or f"token-{next(_numbers)}")
    assert isinstance(claimed, Claim), claimed
    check(ledger)
    return claimed


def refused(ledger, step=DOWNLOAD, order="1-01", token=None) -> str:
    answer = ledger.claim(order, step, token or f"token-{next(_numbers)}")
    assert isinstance(answer, Refusal), answer
    return answer.why


def deliver(ledger, order="1-01", *, second=1, to=START_HANDLING) -> str:
    """The download step as it goes well."""
    claimed = claim(ledger, order=order)
    assert ledger.delivering(claimed)
    where = ledger.advance(
        claimed, to, "delivered", READY, status=READY, at=at(second), erp="has", told="order.ready"
    )
    check(ledger)
    return where


def handle(ledger, order="1-01") -> str:
    """The start-handling step as it goes well."""
    where = ledger.advance(claim(ledger, START_HANDLING, order), ACK, "handled", "", status="start-handling")
    check(ledger)
    return where


def commit(ledger) -> list[str]:
    """Commit everything that may be; the committed handles."""
    committed = []
    while acks := ledger.take_acks():
        ledger.settle_acks(acks)
        check(ledger)
        committed += [handle for _, handle in acks]
    return committed


def finish(ledger, order="1-01", **options) -> list[str]:
    deliver(ledger, order, **options)
    handle(ledger, order)
    return commit(ledger)


def codes(ledger, order="1-01") -> list[str]:
    return [entry.code for entry in ledger.record(order).timeline]


# --- events -----------------------------------------------------------------------------------------------


def test_the_plain_way_of_an_order(ledger):
    first = event()
    assert observe(ledger, first) == ["new"]
    assert ledger.counts() == Counts(open=1)
    assert deliver(ledger) == START_HANDLING
    assert ledger.waiting_acks() == 0
    assert handle(ledger) == ACK
    assert ledger.take_acks() == [("1-01", first.handle)]
    assert ledger.settle_acks([("1-01", first.handle)]) == 1
    record = ledger.record("1-01")
    assert (record.state, record.step, record.due, record.uncommitted) == (DONE, None, None, 0)
    assert (record.erp, record.told, record.status) == ("has", "order.ready", "start-handling")
    assert codes(ledger) == ["seen", "delivered", "handled", "committed"]
    assert ledger.counts() == Counts(done=1)
    assert ledger.stats() == {"commits": 1, "delivered": 1, "events": 1, "handled": 1}


def test_an_unknown_order_has_no_record(ledger):
    assert ledger.record("1-01") is None
    assert refused(ledger) == "gone"


@pytest.mark.parametrize("state", [READY, "handling", None])
def test_two_events_of_one_order_at_once_start_it_once(ledger, state):
    one, other = event(), event(state=state, second=2)
    assert observe(ledger, one, other) == ["new", "known"]
    assert ledger.record("1-01").uncommitted == 2
    assert deliver(ledger, second=2) == START_HANDLING
    assert refused(ledger) == "elsewhere"
    assert handle(ledger) == ACK
    assert sorted(commit(ledger)) == sorted([one.handle, other.handle])
    assert ledger.stats()["delivered"] == ledger.stats()["handled"] == 1


def test_a_redelivery_in_progress_adds_its_handle_and_starts_nothing(ledger):
    first = event()
    observe(ledger, first)
    claimed = claim(ledger)
    again = event(id=first.event_id)
    assert observe(ledger, again) == ["known"]
    assert (
        ledger.advance(claimed, START_HANDLING, "delivered", at=at(1), told="order.ready") == START_HANDLING
    )
    third = event(id=first.event_id)
    assert observe(ledger, third) == ["known"]
    assert handle(ledger) == ACK
    assert sorted(commit(ledger)) == sorted([first.handle, again.handle, third.handle])
    assert ledger.stats()["duplicates"] == 2


def test_a_redelivery_while_the_commit_is_on_its_way_is_committed_too(ledger):
    first = event()
    observe(ledger, first)
    deliver(ledger)
    handle(ledger)
    again = event(id=first.event_id)
    assert observe(ledger, again) == ["finished"]
    assert ledger.settle_acks([("1-01", first.handle)]) == 0, "one commit is still missing"
    assert ledger.counts().open == 1
    assert ledger.settle_acks([("1-01", again.handle)]) == 1


def test_a_redelivery_after_the_end_is_committed_at_once_and_nothing_else(ledger):
    first = event()
    observe(ledger, first)
    finish(ledger)
    again = event(id=first.event_id)
    assert observe(ledger, again) == ["finished"]
    assert ledger.due() == []
    assert commit(ledger) == [again.handle]
    assert ledger.counts() == Counts(done=1)


def test_the_event_of_our_own_start_handling_is_no_news(ledger):
    observe(ledger, event())
    deliver(ledger)
    assert observe(ledger, event(state="handling", second=5)) == ["known"]
    assert handle(ledger) == ACK
    assert len(commit(ledger)) == 2
    assert observe(ledger, event(state="handling", second=6)) == ["finished"]


def test_a_cancellation_after_the_end_is_looked_at(ledger):
    observe(ledger, event())
    finish(ledger)
    canceled = event(state=CANCELED, second=9)
    assert observe(ledger, canceled) == ["again"]
    claimed = claim(ledger)
    assert (claimed.erp, claimed.told, claimed.at, claimed.attempts) == ("has", "order.ready", at(1), 1)
    assert ledger.advance(claimed, ACK, "told_canceled", at=at(9), told="order.canceled") == ACK
    assert commit(ledger) == [canceled.handle]
    assert ledger.counts() == Counts(done=1)
    assert observe(ledger, event(state=CANCELED, second=9)) == ["finished"], "the document read covers it"


def test_news_while_the_commit_is_on_its_way_is_looked_at_and_both_are_committed(ledger):
    first, news = event(), event(state=CANCELED, second=3)
    observe(ledger, first)
    deliver(ledger)
    handle(ledger)
    assert observe(ledger, news) == ["again"]
    assert commit(ledger) == [first.handle], "its work is done, whatever comes next"
    assert ledger.record("1-01").step == DOWNLOAD
    assert ledger.advance(claim(ledger), ACK, "told_canceled", at=at(3), told="order.canceled") == ACK
    assert commit(ledger) == [news.handle]


def test_news_after_the_document_was_asked_for_leads_back_to_the_download(ledger):
    observe(ledger, event(second=1))
    claimed = claim(ledger)
    observe(ledger, event(state=CANCELED, second=2))
    where = ledger.advance(claimed, START_HANDLING, "delivered", at=at(1), erp="has", told="order.ready")
    assert where == START_HANDLING, "start-handling finds out by itself"
    claimed = claim(ledger, START_HANDLING)
    assert ledger.advance(claimed, ACK, "handled") == "again"
    assert ledger.waiting_acks() == 0
    assert ledger.advance(claim(ledger), ACK, "told_canceled", at=at(2), told="order.canceled") == ACK
    assert len(commit(ledger)) == 2


def test_news_that_the_document_covers_costs_no_second_look(ledger):
    observe(ledger, event(second=1))
    claimed = claim(ledger)
    observe(ledger, event(state=CANCELED, second=2))
    assert ledger.advance(claimed, IGNORED, "not_told", at=at(2)) == IGNORED
    assert len(commit(ledger)) == 2


def test_news_before_the_claim_needs_no_second_look(ledger):
    observe(ledger, event(second=1))
    observe(ledger, event(state=CANCELED, second=2))
    assert ledger.advance(claim(ledger), IGNORED, "not_told", at=at(2)) == IGNORED


def test_an_event_without_an_instant_is_looked_at_once_more_and_only_once(ledger):
    observe(ledger, event(second=1))
    claimed = claim(ledger)
    observe(ledger, event(state=CANCELED, second=""), event(state=CANCELED, second=2))
    assert ledger.advance(claimed, ACK, "delivered", at=at(2), told="order.ready") == "again"
    assert ledger.advance(claim(ledger), ACK, "looked", at=at(2)) == ACK


def test_an_order_without_instants_still_ends(ledger):
    observe(ledger, event(second=""))
    claimed = claim(ledger)
    observe(ledger, event(second=""))
    assert ledger.advance(claimed, ACK, "delivered", at="", told="order.ready") == "again"
    assert ledger.advance(claim(ledger), ACK, "looked", at="") == ACK


def test_of_several_news_the_newest_counts(ledger):
    observe(ledger, event(second=1))
    claimed = claim(ledger)
    observe(ledger, event(state=CANCELED, second=4), event(state="cancellation-requested", second=2))
    assert ledger.advance(claimed, ACK, "delivered", at=at(3), told="order.ready") == "again"


def test_an_order_that_dies_stays_dead_though_news_came(ledger):
    observe(ledger, event(second=1))
    claimed = claim(ledger)
    observe(ledger, event(state=CANCELED, second=2))
    assert ledger.advance(claimed, DEAD, "dead", "the ERP refused it", error="the ERP refused it") == DEAD
    assert len(commit(ledger)) == 2


def test_event_ids_are_remembered_for_an_order_with_many_events(ledger):
    events = [event(second=1) for _ in range(10)]
    observe(ledger, *events)
    deliver(ledger, second=0)
    for old in events[-8:]:
        assert observe(ledger, event(id=old.event_id, second=1)) == ["known"]
    assert handle(ledger) == ACK, "no look again: every one of them was a repeat"


def test_an_event_without_an_id_is_never_taken_for_a_repeat(ledger):
    observe(ledger, event(id="", second=1))
    finish(ledger)
    assert observe(ledger, event(id="", second=2)) == ["again"]
    ledger.advance(claim(ledger), ACK, "looked", at=at(2))


def test_the_same_handle_twice_is_one_commit(ledger):
    first = event()
    observe(ledger, first, first)
    finish(ledger)
    observe(ledger, first, first)
    assert ledger.waiting_acks() == 1
    assert commit(ledger) == [first.handle]


def test_a_look_without_a_handle_leaves_nothing_to_commit(ledger):
    observe(ledger, event(handle=""))
    deliver(ledger)
    assert handle(ledger) == DONE
    assert ledger.counts() == Counts(done=1)
    assert ledger.take_acks() == []
    assert observe(ledger, event(handle="", second=1)) == ["finished"]
    assert ledger.take_acks() == []


def test_an_ignored_order_comes_back_with_news(ledger):
    observe(ledger, event(state="payment-pending", second=1))
    ledger.advance(claim(ledger), IGNORED, "ignored", "payment-pending", at=at(1))
    assert ledger.counts() == Counts(ignored=1)
    assert observe(ledger, event(second=2)) == ["again"], "before the first commit even"
    assert len(finish(ledger, second=2)) == 2
    assert ledger.counts() == Counts(done=1)


def test_stores_do_not_see_each_other(make_ledger):
    one, other = make_ledger("one-store"), make_ledger("other-store")
    one.observe([event()])
    assert other.record("1-01") is None
    assert other.counts() == Counts()
    assert other.due() == []
    one.pause("vtex", "401")
    assert not other.paused()


# --- dead orders ------------------------------------------------------------------------------------------


def bury(ledger, order="1-01", *, erp=False):
    claimed = claim(ledger, order=order)
    if erp:
        ledger.delivering(claimed)
    assert ledger.advance(claimed, DEAD, "dead", "the ERP refused it", error="the ERP refused it") == DEAD
    check(ledger)


def test_a_dead_order_is_kept_whole_with_its_reason_and_committed(ledger, clock):
    first = event()
    observe(ledger, first)
    bury(ledger)
    assert commit(ledger) == [first.handle]
    clock.advance(40 * 86400)
    record = ledger.record("1-01")
    assert (record.state, record.error) == (DEAD, "the ERP refused it")
    assert codes(ledger) == ["seen", "dead", "committed"]
    assert refused(ledger) == "finished"


@pytest.mark.parametrize("state", [READY, "handling", None, "payment-pending"])
def test_events_do_not_revive_a_dead_order(ledger, state):
    observe(ledger, event())
    bury(ledger, erp=True)
    commit(ledger)
    news = event(state=state, second=9)
    assert observe(ledger, news) == ["finished"]
    assert commit(ledger) == [news.handle]
    assert ledger.counts() == Counts(dead=1)


def test_a_cancellation_revives_a_dead_order_that_the_erp_may_have(ledger):
    observe(ledger, event())
    bury(ledger, erp=True)
    assert observe(ledger, event(state=CANCELED, second=9)) == ["again"]
    claimed = claim(ledger)
    assert (claimed.erp, claimed.told, claimed.attempts, claimed.crashes) == ("maybe", "", 1, 0)
    assert ledger.advance(claimed, ACK, "told_canceled", at=at(9), erp="has", told="order.canceled") == ACK
    assert ledger.record("1-01").error is None
    commit(ledger)
    assert ledger.counts() == Counts(done=1)


def test_a_cancellation_of_a_dead_order_that_the_erp_never_got_is_committed(ledger):
    observe(ledger, event())
    bury(ledger)
    assert observe(ledger, event(state=CANCELED, second=9)) == ["finished"]
    assert len(commit(ledger)) == 2


# --- claims -----------------------------------------------------------------------------------------------


def test_a_step_is_claimed_by_one_at_a_time(ledger):
    observe(ledger, event())
    claim(ledger)
    assert refused(ledger) == "busy"


def test_a_claim_says_what_is_known(ledger, clock):
    observe(ledger, event())
    clock.advance(12.5)
    assert ledger.claim("1-01", DOWNLOAD, "t") == Claim(
        "1-01", DOWNLOAD, "t", 1, 0, 12.5, "", "", "", at(1), says=READY, heard=12.5
    )


def test_a_claim_is_the_same_for_the_same_token(ledger, clock):
    observe(ledger, event())
    first = claim(ledger, token="t")
    clock.advance(20)
    assert claim(ledger, token="t").attempts == first.attempts == 1
    clock.advance(20)
    assert refused(ledger) == "busy", "and it renewed the lease"


def test_other_steps_are_elsewhere(ledger):
    observe(ledger, event())
    assert refused(ledger, START_HANDLING) == "elsewhere"
    deliver(ledger)
    assert refused(ledger, DOWNLOAD) == "elsewhere"
    handle(ledger)
    assert refused(ledger, START_HANDLING) == "elsewhere"
    commit(ledger)
    assert refused(ledger, START_HANDLING) == "finished"


def test_an_expired_lease_counts_a_crash_and_the_step_goes_on(ledger, clock):
    observe(ledger, event())
    lost = claim(ledger)
    clock.advance(29.9)
    assert refused(ledger) == "busy"
    clock.advance(0.2)
    taken = claim(ledger)
    assert (taken.attempts, taken.crashes) == (2, 1)
    assert ledger.stats()["crashes"] == 1
    assert "crash" in codes(ledger)
    assert not ledger.delivering(lost), "the call must not be made any more"
    assert ledger.advance(lost, START_HANDLING, "delivered") == "lost"
    assert not ledger.defer(lost, 1, "why", park=False)
    assert ledger.advance(taken, START_HANDLING, "delivered") == START_HANDLING


def test_a_late_worker_that_nobody_replaced_still_counts(ledger, clock):
    observe(ledger, event())
    late = claim(ledger)
    clock.advance(100)
    assert ledger.delivering(late)
    assert ledger.advance(late, START_HANDLING, "delivered") == START_HANDLING


def test_delivering_renews_the_lease_and_remembers_that_the_erp_may_have_it(ledger, clock):
    observe(ledger, event())
    claimed = claim(ledger)
    clock.advance(25)
    assert ledger.delivering(claimed)
    clock.advance(25)
    assert refused(ledger) == "busy"
    clock.advance(10)
    assert claim(ledger).erp == "maybe"


def test_delivering_does_not_forget_that_the_erp_has_it(ledger):
    observe(ledger, event())
    finish(ledger)
    observe(ledger, event(state="cancellation-requested", second=2))
    claimed = claim(ledger)
    ledger.delivering(claimed)
    assert ledger.record("1-01").erp == "has"


def test_an_advance_said_twice_counts_once(ledger):
    """The client repeats a script when the connection breaks before the answer."""
    observe(ledger, event())
    claimed = claim(ledger)
    assert ledger.advance(claimed, START_HANDLING, "delivered", at=at(1)) == START_HANDLING
    assert ledger.advance(claimed, START_HANDLING, "delivered", at=at(1)) == START_HANDLING
    claimed = claim(ledger, START_HANDLING)
    assert ledger.advance(claimed, ACK, "handled") == ACK
    assert ledger.advance(claimed, ACK, "handled") == ACK
    commit(ledger)
    assert ledger.advance(claimed, ACK, "handled") == DONE
    assert ledger.stats()["delivered"] == ledger.stats()["handled"] == 1


def test_crashes_are_counted_over_the_steps_of_an_order(ledger, clock):
    observe(ledger, event())
    for crashes in range(3):
        assert claim(ledger).crashes == crashes
        clock.advance(31)
    deliver(ledger)
    assert claim(ledger, START_HANDLING).crashes == 3
    assert ledger.record("1-01").crashes == 3


# --- trying again -----------------------------------------------------------------------------------------


def test_a_retry_waits_for_its_time(ledger, clock):
    observe(ledger, event())
    assert ledger.defer(claim(ledger), 20, "503", park=False)
    check(ledger)
    record = ledger.record("1-01")
    assert (record.state, record.error, record.attempts) == ("open", "503", 1)
    assert record.due == pytest.approx(clock.now + 20 + ledger.patience, abs=0.01)
    assert refused(ledger) == "early"
    clock.advance(19.9)
    assert claim(ledger).attempts == 2, "a message may come a little too early"


def test_a_retry_said_twice_is_still_ours(ledger):
    """Otherwise nobody would send its message, and the order would wait for the sweeper."""
    observe(ledger, event())
    claimed = claim(ledger)
    assert ledger.defer(claimed, 20, "503", park=False, counts=False)
    assert ledger.defer(claimed, 20, "503", park=False, counts=False)
    assert ledger.record("1-01").attempts == 0


def test_a_parked_order_comes_back_by_the_sweeper(ledger, clock):
    observe(ledger, event())
    ledger.defer(claim(ledger), 300, "503", park=True)
    check(ledger)
    assert ledger.counts() == Counts(parked=1)
    clock.advance(299)
    assert ledger.due() == []
    clock.advance(1)
    assert ledger.due() == [("1-01", DOWNLOAD)]
    assert ledger.due() == [], "it was given out"
    claim(ledger)
    assert ledger.counts() == Counts(open=1)
    assert ledger.record("1-01").error == "503", "shown until the step works"


def test_a_wait_for_our_own_pace_is_no_attempt(ledger, clock):
    observe(ledger, event())
    for _ in range(5):
        ledger.defer(claim(ledger), 1, "pace", park=False, counts=False)
        clock.advance(1)
    assert claim(ledger).attempts == 1
    assert "retries" not in ledger.stats()
    assert codes(ledger) == ["seen"]


def test_attempts_begin_anew_at_each_step(ledger, clock):
    observe(ledger, event())
    ledger.defer(claim(ledger), 1, "503", park=False)
    clock.advance(1)
    deliver(ledger)
    assert claim(ledger, START_HANDLING).attempts == 1


def test_a_parked_order_gets_redeliveries(ledger):
    first = event()
    observe(ledger, first)
    ledger.defer(claim(ledger), 300, "503", park=True)
    assert observe(ledger, event(id=first.event_id)) == ["known"]
    assert ledger.counts() == Counts(parked=1)
    assert ledger.record("1-01").uncommitted == 2


# --- the sweeper ------------------------------------------------------------------------------------------


def test_nothing_is_due_while_messages_may_still_come(ledger, clock):
    observe(ledger, event())
    clock.advance(ledger.patience - 1)
    assert ledger.due() == []
    clock.advance(1)
    assert ledger.due() == [("1-01", DOWNLOAD)]
    assert ledger.stats()["healed"] == 1
    assert "swept" in codes(ledger)


def test_a_claimed_step_is_not_due_before_its_lease_ends(ledger, clock):
    observe(ledger, event())
    claimed = claim(ledger)
    clock.advance(20)
    ledger.delivering(claimed)
    clock.advance(20)
    assert ledger.due() == []
    clock.advance(10)
    assert ledger.due() == [("1-01", DOWNLOAD)]


def test_each_step_is_given_out_at_its_own_place(ledger, clock):
    observe(ledger, event("1-01"), event("2-01"), event("3-01"), event("4-01"))
    deliver(ledger, "2-01")
    deliver(ledger, "3-01")
    handle(ledger, "3-01")
    finish(ledger, "4-01")
    clock.advance(1000)
    assert sorted(ledger.due()) == [("1-01", DOWNLOAD), ("2-01", START_HANDLING)]
    check(ledger)


def test_a_long_queue_is_not_taken_for_a_loss(ledger, clock):
    observe(ledger, event("1-01"), event("2-01"), event("3-01"))
    ledger.defer(claim(ledger, order="2-01"), 10, "503", park=True)
    claim(ledger, order="3-01")
    clock.advance(100)
    assert sorted(ledger.due(backlog=True)) == [("2-01", DOWNLOAD), ("3-01", DOWNLOAD)], (
        "parked and crashed ones have no message in the queue"
    )
    clock.advance(ledger.patience)
    assert ("1-01", DOWNLOAD) in ledger.due()


def test_a_look_at_what_is_due_is_not_ended_by_what_needs_nothing(ledger, clock):
    for number in range(6):
        order = f"{number}-01"
        observe(ledger, event(order))
        deliver(ledger, order)
        handle(ledger, order)
    observe(ledger, event("9-01"))
    clock.advance(ledger.patience + 1)
    assert ledger.due(limit=3) == [("9-01", DOWNLOAD)]


def test_due_gives_out_no_more_than_asked(ledger, clock):
    observe(ledger, *(event(f"{number}-01") for number in range(5)))
    clock.advance(100)
    found = [ledger.due(limit=2) for _ in range(4)]
    assert [len(part) for part in found] == [2, 2, 1, 0]
    assert len({order for part in found for order, _ in part}) == 5


def test_an_entry_without_a_record_is_dropped(ledger, clock):
    ledger.redis.zadd(f"{ledger._prefix}due", {"1-01": 0})
    assert ledger.due() == []


# --- commits ----------------------------------------------------------------------------------------------


def three_waiting(ledger):
    for order in ("1-01", "2-01", "3-01"):
        observe(ledger, event(order, handle=f"h{order[0]}"))
        deliver(ledger, order)
        handle(ledger, order)
    return [("1-01", "h1"), ("2-01", "h2"), ("3-01", "h3")]


def test_taken_commits_stay_in_the_buffer_until_they_are_settled(ledger, clock):
    waiting = three_waiting(ledger)
    assert sorted(ledger.take_acks()) == waiting
    assert ledger.take_acks() == []
    assert ledger.waiting_acks() == 3
    clock.advance(ledger.lease + 1)
    assert sorted(ledger.take_acks()) == waiting, "whoever took them has died"


def test_the_last_one_on_its_way_is_known(ledger):
    for order in ("1-01", "2-01"):
        observe(ledger, event(order))
        deliver(ledger, order)
    first, second = (ledger.claim(order, START_HANDLING, f"t{order}") for order in ("1-01", "2-01"))
    assert ledger.to_commit(first, "handled") == ("ack", False)
    assert ledger.to_commit(second, "handled") == ("ack", True)
    assert ledger.to_commit(second, "handled") == ("ack", True), "said twice"
    assert ledger.to_commit(dataclasses.replace(first, token="another"), "handled") == ("lost", False)


def test_a_lot_that_is_not_whole_waits_for_more(ledger):
    waiting = three_waiting(ledger)
    assert ledger.take_acks(4, whole=True) == []
    assert sorted(ledger.take_acks(3, whole=True)) == waiting


def test_exactly_the_settled_ones_are_removed(ledger):
    waiting = three_waiting(ledger)
    taken = ledger.take_acks(2)
    late = event("1-01", handle="h1b", second=1)
    observe(ledger, late)
    ended = ledger.settle_acks(taken)
    check(ledger)
    assert ended == 2 - (("1-01", "h1") in taken)
    left = set(waiting) - set(taken) | {("1-01", "h1b")}
    assert set(ledger.take_acks()) == left


def test_settling_again_changes_nothing(ledger):
    waiting = three_waiting(ledger)
    assert ledger.settle_acks(waiting) == 3
    before = ledger.stats()
    assert ledger.settle_acks(waiting) == 0
    assert ledger.stats() == before


def test_settling_nothing_is_no_error(ledger):
    assert ledger.settle_acks([]) == 0


def test_returned_commits_come_back_at_their_time_and_settled_ones_do_not(ledger, clock):
    waiting = three_waiting(ledger)
    taken = ledger.take_acks()
    ledger.settle_acks([("2-01", "h2")])
    ledger.return_acks(taken, 2)
    check(ledger)
    assert ledger.take_acks() == []
    clock.advance(2.01)
    assert sorted(ledger.take_acks()) == [waiting[0], waiting[2]]


def test_a_handle_of_no_order_goes_through_the_same_buffer(ledger):
    ledger.discard("junk handle")
    ledger.discard("junk handle")
    assert ledger.take_acks() == [("-", "junk handle")]
    assert ledger.settle_acks([("-", "junk handle")]) == 0
    assert ledger.waiting_acks() == 0


def test_unusable_items_are_kept_but_not_without_end(ledger):
    for number in range(210):
        ledger.keep_oddity({"n": number, "why": "é" * 3000})
    kept = ledger.redis.lrange(f"{ledger._prefix}oddities", 0, -1)
    assert len(kept) == 200
    assert kept[0].startswith('{"n": 209')
    assert max(map(len, kept)) <= 2000


def test_half_a_character_is_no_reason_not_to_keep_an_item(ledger):
    item = {"orderId": "\ud83d", "\udc00": ["\ude00\ud83d"]}
    ledger.keep_oddity(item)
    assert json.loads(ledger.oddities()[0]) == item


# --- what is left, and how much of it -----------------------------------------------------------------------


def test_a_tombstone_expires_and_the_order_would_be_new_again(ledger, clock, on_real_server):
    if on_real_server:
        pytest.skip("the server's own clock decides when a key expires")
    observe(ledger, event())
    finish(ledger)
    clock.advance(15 * 86400)
    assert observe(ledger, event(second=1)) == ["finished"], "as long as VTEX may keep an event"
    commit(ledger)
    clock.advance(2 * 86400)
    assert ledger.record("1-01") is None
    assert ledger.claim("1-01", DOWNLOAD, "t") == Refusal("gone")
    ledger.redis.delete(f"{ledger._prefix}counts")  # they count everything since the beginning


def test_news_keeps_a_record_alive(ledger, clock):
    observe(ledger, event())
    finish(ledger)
    observe(ledger, event(state=CANCELED, second=2))
    clock.advance(30 * 86400)
    assert ledger.record("1-01").state == "open"


def test_a_record_of_a_newer_version_is_left_alone(ledger, clock):
    observe(ledger, event())
    key = f"{ledger._prefix}o:1-01"
    ledger.redis.hset(key, "v", "2")
    before = ledger.redis.hgetall(key)
    assert ledger.observe([event(second=2)]) == ["newer"]
    assert refused(ledger) == "newer"
    clock.advance(100)
    assert ledger.due() == []
    assert ledger.redis.hgetall(key) == before
    assert ledger.redis.scard(f"{ledger._prefix}h:1-01") == 1, "the event comes back by itself"


def test_the_timeline_is_bounded_and_keeps_its_beginning_and_its_end(ledger, clock):
    observe(ledger, event())
    for number in range(60):
        ledger.defer(claim(ledger), 1, f"failure {number} " + "ü|\n" * 60, park=False)
        clock.advance(1)
    timeline = ledger.record("1-01").timeline
    assert timeline[0].code == "seen"
    assert "failure 59" in timeline[-1].detail
    assert len(ledger.redis.hget(f"{ledger._prefix}o:1-01", "log").encode()) <= 1000
    deliver(ledger)
    handle(ledger)
    commit(ledger)
    assert codes(ledger)[0] == "seen"
    assert codes(ledger)[-1] == "committed"
    assert len(ledger.redis.hget(f"{ledger._prefix}o:1-01", "log").encode()) <= 640


@given(
    entries=st.lists(st.tuples(st.text(max_size=300), st.floats(0, 1e4)), max_size=12),
    state=st.text(max_size=300),
)
def test_whatever_a_line_says_the_timeline_can_be_read(entries, state):
    text = "".join(f"{when:.1f}|retry|{ledger_module.line(why)}\n" for why, when in [(state, 0.0), *entries])
    timeline = ledger_module.timeline(text)
    assert [entry.detail for entry in timeline] == [
        ledger_module.line(why) for why in (state, *(e[0] for e in entries))
    ]


def test_a_very_long_first_line_does_not_unbound_the_timeline(ledger, clock):
    observe(ledger, event(state="状" * 300))
    for _ in range(20):
        ledger.defer(claim(ledger), 1, "为什么" * 100, park=False)
        clock.advance(1)
    assert len(ledger.redis.hget(f"{ledger._prefix}o:1-01", "log").encode()) <= 1600
    assert ledger.record("1-01").timeline[0].code == "seen"
    finish(ledger)
    assert len(ledger.redis.hget(f"{ledger._prefix}o:1-01", "log").encode()) <= 1600
    assert codes(ledger)[-1] == "committed"


# --- pauses, leases, small memories ---------------------------------------------------------------------------


def test_a_pause_is_told_once_and_keeps_its_first_reason(ledger, clock):
    assert ledger.pause("vtex", "401 | get order")
    since = clock.now
    clock.advance(5)
    assert not ledger.pause("vtex", "401 once more")
    assert ledger.paused() == {"vtex": {"why": "401 / get order", "since": since, "by": "", "kind": "access"}}
    assert ledger.pause("vtex", "stock-taking", by="maria")
    assert ledger.paused()["vtex"]["by"] == "maria"
    assert not ledger.pause("vtex", "401 again")
    assert ledger.paused()["vtex"]["why"] == "stock-taking"
    assert ledger.pause("erp", "no table")
    assert set(ledger.paused()) == {"vtex", "erp"}
    assert not ledger.resume("vtex"), "what a person paused, a person resumes"
    assert ledger.resume("vtex", "joana")
    assert not ledger.resume("vtex", "joana")
    assert set(ledger.paused()) == {"erp"}
    assert ledger.resume("erp")
    (kept,) = ledger.resumed()
    assert (kept["scope"], kept["by"], kept["at"]) == ("vtex", "joana", clock.now)
    assert (kept["paused"]["by"], kept["paused"]["why"]) == ("maria", "stock-taking")


def test_what_waits_for_a_paused_step_is_due_at_its_end_and_hides_nothing_meanwhile(ledger, clock):
    ledger.observe([event(f"o-{n}") for n in range(4)])
    handled = ledger.claim("o-0", DOWNLOAD, "t0")
    ledger.advance(handled, START_HANDLING, "delivered")
    clock.advance(ledger.patience + 1)
    ledger.pause("erp", "503")
    assert ledger.due(limit=1) == [("o-0", START_HANDLING)]
    assert ledger.due() == []
    clock.advance(1.1)
    ledger.pause("vtex", "401")
    ledger.resume("erp")
    assert ledger.due() == []
    ledger.resume("vtex")
    assert sorted(ledger.due()) == [(f"o-{n}", DOWNLOAD) for n in (1, 2, 3)]


def test_a_message_that_is_dropped_in_a_pause_is_due_at_once(ledger):
    ledger.observe([event("o-1"), event("o-2")])
    assert ledger.due() == []
    claim = ledger.claim("o-2", DOWNLOAD, "t1")
    ledger.pause("erp", "503")
    assert ledger.claim("o-1", DOWNLOAD, "t2") == Refusal("paused")
    assert ledger.claim("unknown", DOWNLOAD, "t3") == Refusal("paused")
    assert ledger.claim("o-2", DOWNLOAD, "t4") == Refusal("paused")
    ledger.resume("erp")
    assert ledger.due() == [("o-1", DOWNLOAD)], "somebody is at the other one"
    assert ledger.advance(claim, START_HANDLING, "delivered") == START_HANDLING


def test_a_pause_stops_the_steps_that_need_what_is_paused(ledger):
    ledger.observe([event("o-1"), event("o-2")])
    ledger.advance(ledger.claim("o-2", DOWNLOAD, "t1"), START_HANDLING, "delivered")
    ledger.pause("erp", "503")
    assert isinstance(ledger.claim("o-2", START_HANDLING, "t2"), Claim), "VTEX is there"
    assert isinstance(ledger.claim("o-1", DOWNLOAD, "t3", trial="erp"), Claim), (
        "this one shows whether it may end"
    )
    ledger.observe([event("o-3")])
    ledger.pause("vtex", "401")
    assert ledger.claim("o-3", DOWNLOAD, "t4", trial="erp") == Refusal("paused")
    assert ledger.claim("o-3", DOWNLOAD, "t5", trial="vtex") == Refusal("paused")


def test_a_candidate_is_an_order_that_waits_for_that_side(ledger):
    assert ledger.candidate("erp") is None
    ledger.observe([event("o-1"), event("o-2"), event("o-3")])
    ledger.defer(ledger.claim("o-1", DOWNLOAD, "t1"), 3600, "503", park=True)
    ledger.advance(ledger.claim("o-2", DOWNLOAD, "t2"), START_HANDLING, "delivered")
    ledger.claim("o-3", DOWNLOAD, "t3")
    assert ledger.candidate("erp") == ("o-1", DOWNLOAD)
    assert isinstance(ledger.claim("o-1", DOWNLOAD, "t4"), Claim), "it need not wait for its time"
    assert ledger.candidate("erp") is None
    assert ledger.candidate("vtex") == ("o-2", START_HANDLING)


def test_once_every_so_often(ledger, make_ledger, clock, on_real_server):
    other = make_ledger()
    assert ledger.once_every("x", 10)
    assert not other.once_every("x", 10)
    assert other.once_every("y", 10)
    if not on_real_server:
        clock.advance(10.1)
        assert other.once_every("x", 10)


def test_a_lease_has_one_holder_who_may_renew_it(ledger, make_ledger, clock, on_real_server):
    other = make_ledger()
    with ledger.alone("poll", 30) as renew:
        assert renew is not None
        with other.alone("sweep", 30) as free, other.alone("poll", 30) as taken:
            assert free is not None
            assert taken is None
        if not on_real_server:
            clock.advance(20)
            renew()
            clock.advance(20)
            with other.alone("poll", 30) as taken:
                assert taken is None
    with other.alone("poll", 30) as renew:
        assert renew is not None


def test_a_lost_lease_is_noticed_and_its_end_harms_nobody(ledger, make_ledger, lose_everything):
    with ledger.alone("poll", 30) as renew:
        lose_everything(ledger)
        with make_ledger().alone("poll", 30) as theirs:
            with pytest.raises(LockError):
                renew()
            assert theirs is not None
    with pytest.raises(ZeroDivisionError), ledger.alone("poll", 30):
        raise ZeroDivisionError
    with ledger.alone("poll", 30) as renew:
        assert renew is not None


def test_a_number_is_remembered_for_an_hour(ledger, clock, on_real_server):
    assert ledger.recall("visibility") is None
    ledger.remember("visibility", 12.5)
    assert ledger.recall("visibility") == 12.5
    if not on_real_server:
        clock.advance(3601)
        assert ledger.recall("visibility") is None


def test_how_many_orders_end_a_second(ledger, clock):
    for number in range(6):
        observe(ledger, event(f"{number}-01"))
        finish(ledger, f"{number}-01")
    assert ledger.finished_per_second() == 0.0, "the current ten seconds are not over"
    clock.advance(10)
    assert ledger.finished_per_second() == pytest.approx(6 / 30)
    clock.advance(30)
    assert ledger.finished_per_second() == 0.0


def test_what_ended_is_reopened_by_a_person_and_what_is_in_progress_is_not(ledger):
    assert ledger.reopen("o-1", "replay", "maria") == "unknown"
    ledger.observe([event("o-1")])
    assert ledger.reopen("o-1", "replay", "maria") == "busy"
    claim = ledger.claim("o-1", "download", "t1")
    assert ledger.reopen("o-1", "redeliver", "maria") == "busy"
    ledger.advance(claim, "dead", "dead", "400", error="400")
    assert ledger.dead() == ["o-1"]
    assert ledger.reopen("o-1", "redeliver", "maria") == "dead"
    assert ledger.reopen("o-1", "replay", "maria: fixed it") == "open"
    assert ledger.dead() == []
    assert ledger.counts().dead == 0
    claim = ledger.claim("o-1", "download", "t2")
    assert claim.attempts == 1
    assert ledger.delivering(claim)
    ledger.advance(claim, "ack", "delivered", "handling", erp="has", told="order.ready")
    ledger.settle_acks(ledger.take_acks())
    assert ledger.reopen("o-1", "replay", "maria") == "finished"
    assert ledger.delivered_since(0) == ["o-1"]
    key = ledger.key("o:o-1")
    before = ledger.redis.hgetall(key)
    assert ledger.reopen("o-1", "redeliver", "maria: backup", dry_run=True) == "open"
    assert ledger.redis.hgetall(key) == before, "only asked"
    assert ledger.reopen("o-1", "redeliver", "maria: backup") == "open"
    claim = ledger.claim("o-1", "download", "t3")
    assert claim.redeliver
    assert claim.told == ""
    ledger.advance(claim, "ack", "delivered", "handling", erp="has", told="order.ready")
    assert ledger.states(["o-1", "o-2"]) == ["done", None]
    assert ledger.record("o-1").state == "done"


def test_a_parked_order_is_tried_now(ledger):
    ledger.observe([event("o-1")])
    claim = ledger.claim("o-1", "download", "t1")
    ledger.defer(claim, 3600, "503", park=True)
    assert ledger.reopen("o-1", "replay", "maria") == "open"
    assert ledger.counts().parked == 0
    assert ledger.claim("o-1", "download", "t2").attempts == 1


def test_a_trial_run_has_records_of_its_own(ledger, make_ledger):
    ledger.observe([event("o-1")])
    assert make_ledger(shadow="look").record("o-1") is None


def beats(ledger, who):
    ledger.redis.set(f"vo:_:worker:{who}", "{}")
    ledger.redis.incr(f"vo:_:beats:{who}")


def test_a_slow_worker_is_no_dead_one(ledger, clock):
    ledger.observe([event("o-1")])
    beats(ledger, "slow@host:1")
    for n in range(12):
        claim = ledger.claim("o-1", DOWNLOAD, f"slow@host:1 {n}")
        assert claim.crashes == 0
        clock.advance(ledger.lease + 1)
    ledger.redis.delete("vo:_:worker:slow@host:1", "vo:_:beats:slow@host:1")
    assert ledger.stats()["stalls"] == 11


def test_a_silent_worker_has_crashed_once_it_does_not_come_back(ledger, clock):
    ledger.observe([event("o-1")])
    beats(ledger, "b")
    ledger.claim("o-1", DOWNLOAD, "a 1")
    clock.advance(ledger.lease + 1)
    claim = ledger.claim("o-1", DOWNLOAD, "b 1")
    assert claim.crashes == 0, "it may only be cut off from Redis"
    assert "crash" in codes(ledger, "o-1")
    clock.advance(24)
    ledger.defer(claim, 0, "503", park=False)
    claim = ledger.claim("o-1", DOWNLOAD, "b 2")
    assert claim.crashes == 0
    clock.advance(2)
    ledger.defer(claim, 0, "503", park=False)
    assert ledger.claim("o-1", DOWNLOAD, "b 3").crashes == 1
    ledger.redis.delete("vo:_:worker:b", "vo:_:beats:b")


@pytest.mark.promise("P6")
def test_losing_redis_for_a_while_is_no_crash_however_often(ledger, clock):
    ledger.observe([event("o-1")])
    for n in range(15):
        ledger.redis.delete("vo:_:worker:a")  # Redis was away, and its keys ran out
        claim = ledger.claim("o-1", DOWNLOAD, f"a {n}")
        assert claim.crashes == 0
        beats(ledger, "a")  # and there it is again
        clock.advance(ledger.lease + 1)
    ledger.redis.delete("vo:_:worker:a", "vo:_:beats:a")


def test_what_a_dead_process_had_claimed_is_free_at_once_and_spaced_out(ledger, clock):
    ledger.observe([event("o-1"), event("o-2"), event("o-3")])
    for n in (1, 2):
        ledger.claim(f"o-{n}", DOWNLOAD, f"a t{n}")
    ledger.claim("o-3", DOWNLOAD, "ab t3")
    assert ledger.release("a") == 2
    assert ledger.release("a") == 0
    assert sorted(ledger.due()) == [("o-1", DOWNLOAD), ("o-2", DOWNLOAD)]
    assert ledger.claim("o-1", DOWNLOAD, "b t4").crashes == 1
    assert ledger.release("b") == 1
    assert ledger.claim("o-1", DOWNLOAD, "c t5") == Refusal("early")
    clock.advance(4)
    assert ledger.claim("o-1", DOWNLOAD, "c t6").crashes == 2
    assert ledger.stats()["crashes"] == 3


@pytest.mark.parametrize("what", ["poll", "sweep", "reconcile"])
def test_what_one_process_at_a_time_does_is_free_when_that_process_died(ledger, make_ledger, what):
    other = make_ledger()
    ledger.owner = lambda: "a 1"
    with ledger.alone(what, 30):
        ledger.release("b")
        with other.alone(what, 30) as renew:
            assert renew is None
        ledger.release("a")
        with other.alone(what, 30) as renew:
            assert renew


def test_start_handling_is_free_for_commands_too_when_its_worker_died(ledger):
    ledger.observe([event("o-1")])
    ledger.advance(ledger.claim("o-1", DOWNLOAD, "a t1"), START_HANDLING, "delivered")
    ledger.claim("o-1", START_HANDLING, "a t2")
    ledger.release("a")
    assert isinstance(ledger.claim("o-1", START_HANDLING, "b t3"), Claim)


@pytest.mark.promise("P6")
def test_what_died_twice_is_worked_at_alone_one_after_the_other(ledger, clock):
    ids = [f"o-{n}" for n in range(4)]
    ledger.observe([event(order) for order in ids])
    for who in ("a", "b"):
        for order in ids[:3]:
            assert isinstance(ledger.claim(order, DOWNLOAD, f"{who} {order}"), Claim)
        ledger.release(who)
    clock.advance(10)
    first = ledger.claim("o-0", DOWNLOAD, "c 0")
    assert ledger.claim("o-1", DOWNLOAD, "c 1") == ledger.claim("o-2", DOWNLOAD, "c 2") == Refusal("alone")
    assert isinstance(ledger.claim("o-3", DOWNLOAD, "c 3"), Claim), "the others go on"
    clock.advance(20)
    assert ledger.renew(first)
    clock.advance(20)
    assert ledger.claim("o-1", DOWNLOAD, "c 4") == Refusal("alone"), "it holds its place as long as its claim"
    ledger.advance(first, START_HANDLING, "delivered")
    assert ledger.next_alone() == ("o-1", DOWNLOAD)
    second = ledger.claim("o-1", DOWNLOAD, "c 5")
    assert second.crashes == 2
    ledger.defer(second, 1, "503", park=False)
    assert ledger.next_alone() == ("o-2", DOWNLOAD)
    assert isinstance(ledger.claim("o-2", DOWNLOAD, "c 6"), Claim)
    assert ledger.next_alone() is None
    ledger.release("c")
    clock.advance(60)
    assert isinstance(ledger.claim("o-1", DOWNLOAD, "d 7"), Claim), "its place is free when its process died"


def test_what_waits_for_a_message_and_nothing_else(ledger, clock):
    ledger.observe([event(f"o-{n}") for n in range(5)])
    ledger.claim("o-1", DOWNLOAD, "t1")
    ledger.defer(ledger.claim("o-2", DOWNLOAD, "t2"), 5, "503", park=False)
    ledger.defer(ledger.claim("o-3", DOWNLOAD, "t3"), 5, "503", park=True)
    ledger.advance(ledger.claim("o-4", DOWNLOAD, "t4"), START_HANDLING, "delivered")
    assert ledger.unclaimed() == {"o-0": DOWNLOAD, "o-4": START_HANDLING}


def test_a_cancellation_that_comes_before_death_reaches_an_erp_that_may_have_the_order(ledger):
    ledger.observe([event("o-1", second=1)])
    claim = ledger.claim("o-1", "download", "t1")
    ledger.delivering(claim)
    ledger.observe([event("o-1", "canceled", second=5)])
    assert ledger.advance(claim, "dead", "dead", "422", error="422") == "again"
    assert ledger.record("o-1").state == "open"


def test_what_was_erased_is_known_and_nothing_more(ledger):
    assert ledger.forget("o-1") == "unknown"
    ledger.observe([event("o-1")])
    assert ledger.forget("o-1") == "busy"
    claim = ledger.claim("o-1", "download", "t1")
    ledger.advance(claim, "ack", "delivered", erp="has", told="order.ready")
    ledger.settle_acks(ledger.take_acks())
    assert ledger.forget("o-1") == "erased"
    assert ledger.record("o-1").timeline == []
    assert ledger.delivered_since(0) == []
    assert ledger.counts().done == 1
    assert ledger.observe([event("o-1", "canceled", second=9)]) == ["again"]
    claim = ledger.claim("o-1", "download", "t2")
    assert claim.forgotten
    assert claim.erp == "has"


# --- orders that fail for long -------------------------------------------------------------------------------


def test_the_events_of_an_order_that_fails_for_long_are_committed_once_it_is_parked(ledger, clock):
    first = event()
    observe(ledger, first)
    clock.advance(ledger.held - 1)
    ledger.defer(claim(ledger), 60, "503", park=True)
    assert commit(ledger) == [], "not yet: it is younger than a few redeliveries"
    clock.advance(61)
    ledger.defer(claim(ledger), 1, "503", park=False)
    assert commit(ledger) == [], "not while its next try is only a message"
    clock.advance(2)
    ledger.defer(claim(ledger), 300, "503", park=True)
    assert commit(ledger) == [first.handle]
    assert ledger.counts() == Counts(parked=1)

    again = event(id=first.event_id)
    assert observe(ledger, again) == ["known"]
    assert commit(ledger) == [again.handle], "a redelivery holds nothing back"

    news = event(state=CANCELED, second=9)
    assert observe(ledger, news) == ["known"]
    assert commit(ledger) == [], "what is new waits for the look that it causes"
    deliver(ledger, second=9)
    late = event(id=first.event_id)
    assert observe(ledger, late) == ["known"]
    assert commit(ledger) == [], "it goes on, so its events wait for the end again"
    handle(ledger)
    assert set(commit(ledger)) == {news.handle, late.handle}
    assert ledger.counts() == Counts(done=1)


def test_an_order_that_waits_for_a_pause_to_end_keeps_its_events(ledger, clock):
    observe(ledger, event())
    clock.advance(ledger.held + 1)
    ledger.defer(claim(ledger), 60, "401", park=True, counts=False)
    assert commit(ledger) == []
