"""The sandbox's hook without sockets: what it takes, what it repeats, and when it gives up."""

import json

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import FaultPlan
from workers.sandbox.hook import Target
from workers.sandbox.refused import Refused
from workers.sandbox.world import World

CONFIG = {
    "filter": {"type": "FromWorkflow", "status": ["ready-for-handling", "canceled"]},
    "hook": {"url": "https://example.com/hook", "headers": {"Authorization": "secret"}},
}


@pytest.fixture
def clock():
    return ManualClock()


def world(clock, **options):
    sandbox = World(SandboxConfig(marketplace_events=0.0, **options), clock)
    sandbox.hook.target = Target.from_request(CONFIG)
    return sandbox


def test_events_that_the_filter_wants_are_delivered(clock):
    sandbox = world(clock, feed_configured=False)
    order = sandbox.store.create()
    sandbox.store.move(order, "handling")
    sandbox.store.move(order, "canceled")
    first, second = sandbox.hook.take_due()
    body = sandbox.hook.body(first.event)
    assert list(body) == ["Domain", "OrderId", "State", "LastState", "LastChange", "CurrentChange", "Origin"]
    assert (body["OrderId"], body["State"]) == (order.order_id, "ready-for-handling")
    assert body["Origin"] == {"Account": "teststore", "Key": "key"}
    assert second.event.state == "canceled"
    sandbox.hook.settle(first, taken=True)
    assert sandbox.hook.take_due() == []
    assert sandbox.audit.report()["hook"] == {
        "created": 2,
        "delivered": 1,
        "failed": 0,
        "dropped": 0,
        "waiting": 0,
    }


def test_what_fails_comes_back_at_growing_intervals(clock):
    sandbox = world(clock, hook_wait=1.0, hook_growth=3.0, hook_longest_wait=5.0, hook_tries=5)
    sandbox.store.create()
    waits = []
    for _ in range(5):
        since = clock.now
        while not (due := sandbox.hook.take_due()):
            clock.now += 1
        waits.append(clock.now - since)
        sandbox.hook.settle(due[0], taken=False)
    assert waits == [0, 1, 3, 5, 5]
    assert len(sandbox.hook) == 0
    assert sandbox.hook.report()["dropped"] == 1


def test_an_event_is_given_up_after_four_days(clock):
    sandbox = world(clock)
    sandbox.store.create()
    [delivery] = sandbox.hook.take_due()
    clock.now += 345_601
    sandbox.hook.settle(delivery, taken=False)
    assert sandbox.hook.report()["dropped"] == 1


def test_a_hook_without_news_loses_its_configuration(clock):
    sandbox = world(clock)
    clock.now += 259_201
    assert sandbox.hook.target is None
    sandbox.store.create()
    assert len(sandbox.hook) == 0


def test_a_deleted_hook_forgets_what_waits(clock):
    sandbox = world(clock)
    sandbox.store.create()
    sandbox.hook.target = None
    assert sandbox.hook.take_due() == []


def test_an_event_may_be_told_twice(clock):
    sandbox = world(clock, faults=FaultPlan(duplicate_event=1.0))
    sandbox.store.create()
    assert len(sandbox.hook.take_due()) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"hook": None}, 400),
        ({"hook": {"url": "https://x"}}, 400),
        ({"hook": {"url": 1, "headers": {}}}, 400),
        ({"hook": {"url": "https://x", "headers": {"a": 1}}}, 400),
        ({"hook": {"url": "http://example.com/", "headers": {}}}, 400),
        ({"filter": None}, 400),
        ({"filter": {"type": "FromHeaven"}}, 400),
        ({"filter": {"type": "FromWorkflow", "status": []}}, 400),
        ({"filter": {"type": "FromOrders", "expression": "value > 1"}}, 400),
        ({"filter": {"type": "FromWorkflow", "status": ["x"], "expression": "y"}}, 409),
    ],
)
def test_a_bad_configuration_is_refused(change, status):
    with pytest.raises(Refused) as refused:
        Target.from_request({**CONFIG, **change})
    assert refused.value.status == status


def test_a_receiver_on_this_machine_may_do_without_https():
    target = Target.from_request({**CONFIG, "hook": {"url": "http://127.0.0.1:1/x", "headers": {}}})
    assert json.loads(json.dumps(target.as_answer()))["hook"]["url"] == "http://127.0.0.1:1/x"
    orders = {"type": "FromOrders", "expression": 'status = "invoiced"', "disableSingleFire": False}
    assert Target.from_request({**CONFIG, "filter": orders}).states == {"invoiced"}


def test_an_event_may_be_lost_or_late(clock):
    faults = FaultPlan(hook_lost=0.3, hook_late=0.3, slow_seconds=30)
    sandbox = world(clock, faults=faults, feed_configured=False)
    for _ in range(100):
        sandbox.store.create()
    in_time = len(sandbox.hook.take_due())
    clock.now += 31
    late = len(sandbox.hook.take_due())
    given = sandbox.faults.given
    assert late == given["hook_late"] > 10
    assert 100 - in_time - late == given["hook_lost"] > 10
