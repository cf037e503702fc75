"""Orders of the sandbox: their states, the events that tell of them, and their documents."""

import json
import random
import re

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.orders import cpf, facts, order_id, sequence
from workers.sandbox.store import UnknownOrderError, WrongStateError
from workers.sandbox.world import World


@pytest.fixture
def clock():
    return ManualClock()


def world(clock, **options):
    values = {"short_reads": False, "marketplace_events": 0.0, "handling_delay": 2.0, **options}
    return World(SandboxConfig(**values), clock)


def read(sandbox):
    events = []
    while batch := sandbox.queue.receive():
        events += [event for _, event in batch]
    return events


def test_start_handling_has_its_effect_once(clock):
    sandbox = world(clock, orders=1)
    [order] = sandbox.store
    sandbox.store.start_handling(order.order_id)
    assert order.status == "start-handling"
    with pytest.raises(WrongStateError):
        sandbox.store.start_handling(order.order_id)
    assert (order.handled, order.handling_asked) == (1, 2)


def test_start_handling_leads_to_handling_after_a_while(clock):
    sandbox = world(clock, orders=1)
    [order] = sandbox.store
    sandbox.store.start_handling(order.order_id)
    clock.now += 1.9
    sandbox.advance()
    assert order.status == "start-handling"
    clock.now += 0.1
    sandbox.advance()
    assert order.status == "handling"
    assert sorted(event.state for event in read(sandbox)) == ["handling", "ready-for-handling"]


def test_an_order_that_was_canceled_meanwhile_stays_canceled(clock):
    sandbox = world(clock, orders=1)
    [order] = sandbox.store
    sandbox.store.start_handling(order.order_id)
    sandbox.store.move(order, "canceled")
    clock.now += 5
    sandbox.advance()
    assert order.status == "canceled"


@pytest.mark.parametrize("status", ["window-to-cancel", "handling", "canceled", "invoiced", None])
def test_start_handling_needs_an_order_that_is_ready(clock, status):
    sandbox = world(clock)
    order = sandbox.store.create(status)
    with pytest.raises(WrongStateError):
        sandbox.store.start_handling(order.order_id)
    assert order.handled == 0


def test_an_unknown_order_is_none(clock):
    with pytest.raises(UnknownOrderError):
        world(clock).store.start_handling("9999999999999-01")


def test_an_order_is_found_by_its_sequence(clock):
    sandbox = world(clock, orders=3)
    orders = list(sandbox.store)
    assert sandbox.store.get(f"seq{sequence(2)}") is orders[2]
    with pytest.raises(UnknownOrderError):
        sandbox.store.get(f"seq{sequence(3)}")


def test_an_order_goes_on_by_itself_as_far_as_ready_for_handling(clock):
    sandbox = world(clock, feed_states=("payment-approved", "window-to-cancel", "ready-for-handling"))
    order = sandbox.store.create("payment-approved", advance=1)
    for _ in range(10):
        clock.now += 1
        sandbox.advance()
    assert order.status == "ready-for-handling"
    assert {(event.last_state, event.state) for event in read(sandbox)} == {
        ("approve-payment", "payment-approved"),
        ("authorize-fulfillment", "window-to-cancel"),
        ("window-to-cancel", "ready-for-handling"),
    }


def test_orders_arrive_over_time(clock):
    sandbox = world(clock, orders=5, orders_per_second=2.0)
    assert len(sandbox.store) == 0
    clock.now += 1.1
    sandbox.advance()
    assert len(sandbox.store) == 2
    clock.now += 60
    sandbox.advance()
    assert len(sandbox.store) == 5


def test_events_have_the_form_that_the_feed_gives_them(clock):
    sandbox = world(clock, orders=40)
    events = read(sandbox)
    for event in events:
        assert re.fullmatch(r"[0-9A-F]{32}", event.event_id)
        for stamp in (event.last_change, event.current_change):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}(Z|\+00:00)", stamp)
    assert len({event.event_id for event in events}) == 40
    assert {event.current_change[-1] for event in events} == {"Z", "0"}


def test_some_changes_are_told_in_both_domains(clock):
    sandbox = world(clock, orders=40, marketplace_events=0.25)
    domains = [event.domain for event in read(sandbox)]
    assert domains.count("Fulfillment") == 40
    assert domains.count("Marketplace") == 10


def test_a_duplicate_is_one_event_in_two_copies(clock):
    from workers.sandbox.faults import FaultPlan

    sandbox = world(clock, orders=3, faults=FaultPlan(duplicate_event=1))
    batch = sandbox.queue.receive()
    assert len(batch) == 6
    assert len({handle for handle, _ in batch}) == 6
    assert len({event.event_id for _, event in batch}) == 3
    assert sandbox.audit.report()["duplicates"] == 3


def test_an_incomplete_order_has_no_state(clock):
    sandbox = world(clock)
    order = sandbox.store.create(None)
    [event] = read(sandbox)
    assert event.state is None
    document = json.loads(sandbox.store.render(order))
    assert document["status"] is None
    assert document["isCompleted"] is False


def test_the_audit_sees_an_early_commit(clock):
    sandbox = world(clock, orders=2)
    batch = sandbox.queue.receive()
    by_order = {event.order_id: handle for handle, event in batch}
    first, second = by_order
    sandbox.store.start_handling(first)
    sandbox.audit.note_commit(sandbox.queue.commit([by_order[first]]))
    assert sandbox.audit.report()["early_commits"] == 0
    sandbox.audit.note_commit(sandbox.queue.commit([by_order[second]]))
    report = sandbox.audit.report()
    assert report["early_commits"] == 1
    assert report["early_commit_orders"] == report["stranded_orders"] == [second]
    assert report["start_handling_effects"] == 1
    assert report["per_order"][second]["earlyCommits"] == 1


def test_a_canceled_orders_event_may_go_unhandled(clock):
    sandbox = world(clock, orders=1)
    [order] = sandbox.store
    [(handle, _)] = sandbox.queue.receive()
    sandbox.store.move(order, "canceled")
    sandbox.audit.note_commit(sandbox.queue.commit([handle]))
    assert sandbox.audit.report()["early_commits"] == 0


def test_the_same_seed_gives_the_same_orders_and_another_seed_others(clock):
    def documents(seed):
        sandbox = world(clock, orders=20, seed=seed)
        return [sandbox.store.render(order) for order in sandbox.store]

    assert documents(1) == documents(1)
    assert not set(documents(1)) & set(documents(2))


def test_order_ids_do_not_collide():
    assert len({order_id(seed, index) for seed in range(50) for index in range(2000)}) == 100_000
    assert re.fullmatch(r"\d{13}-01", order_id(899, 10**6))


def test_documents_add_up(clock):
    sandbox = world(clock, orders=200)
    kinds = set()
    for order in sandbox.store:
        document = json.loads(sandbox.store.render(order))
        totals = {total["id"]: total["value"] for total in document["totals"]}
        assert list(totals) == ["Items", "Discounts", "Shipping", "Tax"]
        assert document["value"] == sum(totals.values())
        assert totals["Items"] == sum(item["price"] * item["quantity"] for item in document["items"])
        assert totals["Discounts"] == sum(
            tag["value"] for item in document["items"] for tag in item["priceTags"]
        )
        assert totals["Shipping"] == sum(
            info["sellingPrice"] for info in document["shippingData"]["logisticsInfo"]
        )
        assert 1 <= len(document["items"]) <= 5
        assert len({item["uniqueId"] for item in document["items"]}) == len(document["items"])
        assert document["packageAttachment"] == {"packages": []}
        kinds.add((document["origin"], document["affiliateId"], document["customData"] is None))
    assert kinds >= {("Marketplace", "", True), ("Marketplace", "", False), ("Fulfillment", "MLB", True)}


def test_a_document_follows_the_order(clock):
    sandbox = world(clock, orders=1)
    [order] = sandbox.store
    before = json.loads(sandbox.store.render(order))
    clock.now += 10
    sandbox.store.start_handling(order.order_id)
    after = json.loads(sandbox.store.render(order))
    assert (before["status"], after["status"]) == ("ready-for-handling", "start-handling")
    assert before["lastChange"] < after["lastChange"]
    assert before["creationDate"] == after["creationDate"]


def test_names_and_places_are_brazilian_and_a_cpf_checks():
    known = [facts(1, index) for index in range(100)]
    assert any(not fact.first_name.isascii() for fact in known)
    for fact in known:
        digits = [int(digit) for digit in fact.cpf]
        for length in (9, 10):
            rest = sum((length + 1 - place) * digit for place, digit in enumerate(digits[:length])) * 10 % 11
            assert digits[length] == rest % 10
    assert cpf(random.Random(1)) == cpf(random.Random(1))


def test_the_number_of_lines_can_be_asked_for(clock):
    sandbox = world(clock)
    order = sandbox.store.create(items=7)
    assert len(json.loads(sandbox.store.render(order))["items"]) == 7
