"""The feed's configuration decides which changes are told."""

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import FaultPlan
from workers.sandbox.subscription import MixedFilterError, Subscription
from workers.sandbox.world import World

QUEUE = {"visibilityTimeoutInSeconds": 250, "MessageRetentionPeriodInSeconds": 345_600}


@pytest.fixture
def clock():
    return ManualClock()


def test_only_configured_states_are_told():
    chosen = Subscription.from_request(
        {"filter": {"type": "FromWorkflow", "status": ["handling", "cancel"]}, "queue": QUEUE}
    )
    assert [chosen.wants(state) for state in ("handling", "cancel", "invoiced")] == [True, True, False]
    assert chosen.wants(None)


def test_a_misspelt_state_is_accepted_and_never_told():
    chosen = Subscription.from_request(
        {"filter": {"type": "FromWorkflow", "status": ["ready-for-handing"]}, "queue": QUEUE}
    )
    assert not chosen.wants("ready-for-handling")


def test_without_a_filter_everything_is_told():
    assert Subscription.from_request({"queue": QUEUE}).wants("anything")


def test_an_expression_is_understood_as_far_as_its_states_go():
    chosen = Subscription.from_request(
        {
            "filter": {
                "type": "FromOrders",
                "expression": 'status = "invoiced" or status = "canceled"',
                "disableSingleFire": False,
            },
            "queue": QUEUE,
        }
    )
    assert [chosen.wants(state) for state in ("invoiced", "canceled", "handling")] == [True, True, False]


@pytest.mark.parametrize(
    "mixed",
    [
        {"type": "FromWorkflow", "status": ["handling"], "expression": "x"},
        {"type": "FromOrders", "expression": "x", "status": ["handling"]},
    ],
)
def test_the_two_kinds_of_filter_do_not_mix(mixed):
    with pytest.raises(MixedFilterError):
        Subscription.from_request({"filter": mixed, "queue": QUEUE})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"queue": {}},
        {"queue": {**QUEUE, "visibilityTimeoutInSeconds": "30"}},
        {"queue": {**QUEUE, "MessageRetentionPeriodInSeconds": 60}},
        {"queue": QUEUE, "filter": {"type": "FromHeaven"}},
    ],
)
def test_a_bad_configuration_is_refused(body):
    with pytest.raises(ValueError, match=r"\w"):
        Subscription.from_request(body)


def test_a_new_configuration_knows_no_past(clock):
    sandbox = World(SandboxConfig(orders=3, feed_configured=False), clock)
    sandbox.subscribe(Subscription.from_request({"queue": QUEUE}))
    assert len(sandbox.queue) == 0
    sandbox.store.create()
    assert len(sandbox.queue) >= 1
    assert sandbox.queue.visibility == 250


def test_a_new_configuration_keeps_what_is_queued(clock):
    sandbox = World(SandboxConfig(orders=3, marketplace_events=0.0), clock)
    sandbox.subscribe(Subscription.of_states(("invoiced",), 5.0))
    assert len(sandbox.queue) == 3
    sandbox.store.create()
    assert len(sandbox.queue) == 3


def test_a_feed_without_news_loses_its_configuration(clock):
    sandbox = World(SandboxConfig(orders=1), clock)
    clock.now += 345_600
    assert sandbox.subscription is not None
    clock.now += 1
    assert sandbox.subscription is None
    sandbox.store.create()
    assert len(sandbox.queue) == 0


def test_a_configuration_survives_json():
    import json

    config = SandboxConfig(orders=3, faults=FaultPlan(lost_answer=0.1), denied=("list",), retry_after=2.0)
    assert SandboxConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    assert SandboxConfig.from_dict({"faults": "lost=0.1"}).faults == FaultPlan(lost_answer=0.1)
    with pytest.raises(ValueError, match="not an operation: lsit"):
        SandboxConfig(denied=("lsit",))
    with pytest.raises(TypeError, match="ordres"):
        SandboxConfig.from_dict({"ordres": 3})
