"""VTEX's hook: real events of the stand-in, beside the same ones in the feed."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from workers.settings import Secret

from .web import SECRET, front_door


@pytest.fixture
def given(_settings):
    """The settings of the session's worker."""
    return _settings


@pytest.fixture
def hooked(flow):
    """``hooked(**options)``: a system and its front door."""
    with contextlib.ExitStack() as stack:

        def begin(**options):
            run = flow(**options)
            settings = dataclasses.replace(run.process.settings, hook_secret=Secret(SECRET))
            return run, stack.enter_context(front_door(settings))

        yield begin


def configure(run, door, secret=SECRET):
    run.link.vtex.configure_hook(
        f"{door.url}/hooks/vtex/teststore",
        states=("ready-for-handling", "canceled"),
        headers={"X-Hook-Secret": secret},
    )


def test_every_order_is_done_once_by_hook_and_by_feed(hooked):
    faults = "duplicates=0.2,hook_lost=0.1,hook_late=0.2,slow_seconds=0.3,5xx=0.05,lost=0.05"
    run, door = hooked(hook_wait=0.1)
    configure(run, door)
    run.vtex.control("faults", {"faults": faults})
    orders = run.vtex.create(40)
    audit = run.settled()
    run.until(lambda: not run.vtex.audit()["hook"]["waiting"], "every call of the hook")
    audit = run.settled()
    assert sorted(order for order, _ in run.rows()) == sorted(orders)
    assert audit["start_handling_effects"] == 40
    assert audit["start_handling_more_than_once"] == audit["early_commits"] == 0
    assert audit["hook"]["delivered"] >= 30
    assert audit["hook"]["dropped"] == 0
    assert not [order for order in orders if run.codes(order).count("handled") != 1]


def test_without_a_feed_the_hook_alone_brings_orders(hooked):
    run, door = hooked(feed_configured=False)
    configure(run, door)
    [order] = run.vtex.create()
    run.until(lambda: run.rows() == [(order, "ready-for-handling")], "the order", ticks=("upkeep.sweep",))
    run.until(lambda: run.ledger.record(order).state == "done", "its end", ticks=("upkeep.sweep",))
    assert run.vtex.state(order)["status"] in ("start-handling", "handling")


def test_a_wrong_secret_is_not_configured(hooked):
    from workers.errors import Rejected

    run, door = hooked()
    with pytest.raises(Rejected, match="did not answer the ping"):
        configure(run, door, secret="another-secret-of-the-hook")
    assert run.link.vtex.hook_config() is None


def test_an_event_is_recorded_once_and_never_for_another(hooked):
    run, door = hooked()
    order = "1234567890123-01"
    assert door.event(order).status_code == 200
    assert door.event(order).status_code == 200
    assert run.ledger.stats()["events"] == 2
    assert run.ledger.stats()["duplicates"] == 1
    for refused in (
        door.event("5-01", account="another"),
        door.event("5-01", key="another-key"),
        door.event("5-01", Origin={"Account": "another"}),
    ):
        assert refused.status_code == 403
    assert door.event("6-01", Origin=None, LastState=None, CurrentChange=None).status_code == 200
    assert run.ledger.record("5-01") is None
    assert run.ledger.record("6-01") is not None


def test_what_names_no_order_is_set_aside(hooked):
    run, door = hooked()
    assert door.event("").status_code == 200
    assert door.event("a b").status_code == 200
    assert door.event("\ud83d", State="\ude00").status_code == 200  # half a character
    assert len(run.ledger.oddities()) == 3
    assert run.ledger.counts().open == 0


def test_each_store_may_have_a_secret_of_its_own(given, fresh_redis):
    accounts = {name: dataclasses.replace(given.account(), name=name) for name in ("one", "other", "silent")}
    secrets = {"one": "the-secret-of-one-00", "other": "the-secret-of-other-0"}
    stores = {name: {"hook_secret": Secret(secret)} for name, secret in secrets.items()}
    with front_door(dataclasses.replace(given, accounts=accounts, stores=stores), fresh_redis) as door:

        def ping(store, secret):
            headers = {"X-Hook-Secret": secret}
            body = {"hookConfig": "ping"}
            return door.post(f"/hooks/vtex/{store}", body, token=None, headers=headers).status_code

        assert ping("one", secrets["one"]) == ping("other", secrets["other"]) == 200
        assert ping("one", secrets["other"]) == ping("other", secrets["one"]) == 401
        assert ping("silent", "") == ping("silent", secrets["one"]) == 401
        assert ping("no-such-store", "") == ping("no-such-store", secrets["one"]) == 401


def test_no_secret_no_hook(given, fresh_redis):
    with front_door(given) as door:
        assert door.event("1-01", secret="").status_code == 404
    assert not fresh_redis.keys("vo:*")
