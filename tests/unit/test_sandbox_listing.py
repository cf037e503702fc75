"""The order list runs behind, ends after page 30, and says less than the order does."""

import pytest

from workers.sandbox.clock import ManualClock, stamp
from workers.sandbox.config import SandboxConfig
from workers.sandbox.listing import BadQueryError, list_orders
from workers.sandbox.world import World


@pytest.fixture
def clock():
    return ManualClock()


def ids(answer):
    return [row["orderId"] for row in answer["list"]]


def test_pages(clock):
    world = World(SandboxConfig(orders=40), clock)
    first = list_orders(world, {})
    assert first["paging"] == {"total": 40, "pages": 3, "currentPage": 1, "perPage": 15}
    seen = [order for page in "123" for order in ids(list_orders(world, {"page": page}))]
    assert sorted(seen) == sorted(order.order_id for order in world.store)
    assert ids(list_orders(world, {"page": "4"})) == []


@pytest.mark.parametrize(
    "query",
    [
        {"page": "31"},
        {"page": "0"},
        {"page": "x"},
        {"per_page": "101"},
        {"f_creationDate": "yesterday"},
        {"f_creationDate": "creationDate:[2026-01-01 TO 2026-01-02]"},
        {"f_creationDate": "authorizedDate:[2026-01-01T00:00:00Z TO 2026-01-02T00:00:00Z]"},
    ],
)
def test_what_cannot_be_answered_is_refused(clock, query):
    with pytest.raises(BadQueryError):
        list_orders(World(SandboxConfig(), clock), query)


def test_a_window_of_creation(clock):
    world = World(SandboxConfig(), clock)
    made = [world.store.create(age=age).order_id for age in (7200, 3600, 60)]
    query = {"f_creationDate": f"creationDate:[{stamp(clock.now - 4000)} TO {stamp(clock.now - 100)}]"}
    assert ids(list_orders(world, query)) == [made[1]]
    assert ids(list_orders(world, {"orderBy": "creationDate,asc"})) == made
    assert ids(list_orders(world, {})) == made[::-1]


def test_states_affiliates_and_numbers(clock):
    world = World(SandboxConfig(orders=30), clock)
    canceled = world.store.create("canceled").order_id
    incomplete = world.store.create(None).order_id
    assert ids(list_orders(world, {"f_status": "canceled"})) == [canceled]
    assert list_orders(world, {"f_status": "$$ALL_VALUES$$"})["paging"]["total"] == 31
    assert list_orders(world, {"f_status": "canceled,ready-for-handling"})["paging"]["total"] == 31
    assert ids(list_orders(world, {"incompleteOrders": "true"})) == [incomplete]
    assert ids(list_orders(world, {"q": canceled})) == [canceled]
    affiliated = list_orders(world, {"f_affiliateId": "MLB", "per_page": "100"})["list"]
    assert affiliated
    assert all(row["origin"] == "Fulfillment" for row in affiliated)


def test_the_index_lags(clock):
    world = World(SandboxConfig(orders=1, index_lag=240), clock)
    [order] = world.store
    assert ids(list_orders(world, {})) == []
    clock.now += 240
    assert ids(list_orders(world, {})) == [order.order_id]
    world.store.move(order, "canceled")
    assert list_orders(world, {})["list"][0]["status"] == "ready-for-handling"
    assert ids(list_orders(world, {"f_status": "canceled"})) == []
    clock.now += 240
    assert list_orders(world, {})["list"][0]["status"] == "canceled"


def test_rows_have_no_items(clock):
    row = list_orders(World(SandboxConfig(orders=1), clock), {})["list"][0]
    assert row["items"] is None
    assert isinstance(row["totalValue"], float)
