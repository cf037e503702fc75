"""What a finished order costs in Redis, and for how long."""

import pytest

from workers.ledger import ACK, DOWNLOAD, START_HANDLING, Ledger
from workers.vtex.schemas import Event

ORDERS = 40
WHY = "the ERP answers 503 Service Unavailable and tells nothing about when it will be there again, " * 2


def live(ledger, number, failures):
    """The whole way of an order that VTEX's feed tells of three times; its first step fails so often before."""
    order = f"14{number:011}-01"

    def event(n, state, at):
        return Event(f"{n:04}{number:012}{'0' * 16}", f"handle{n}{number}" * 6, order, state, None, at)

    def claim(step):
        return ledger.claim(order, step, f"worker1-12345@store-erp-7d9c/12345 {number:032x}")

    def commit():
        while acks := ledger.take_acks():
            ledger.settle_acks(acks)

    ledger.observe(
        [
            event(1, "payment-approved", "2026-11-25T09:59:00.0000000Z"),
            event(2, "ready-for-handling", "2026-11-25T10:00:00.0000000Z"),
        ]
    )
    for _ in range(failures):
        assert ledger.defer(claim(DOWNLOAD), -1.0, WHY, park=True)
    first = claim(DOWNLOAD)
    assert ledger.delivering(first)
    facts = {"status": "ready-for-handling", "at": "2026-11-25T10:00:00.0000000Z"}
    ledger.advance(
        first, START_HANDLING, "delivered", "ready-for-handling", **facts, erp="has", told="order.ready"
    )
    ledger.advance(claim(START_HANDLING), ACK, "handled", "", status="start-handling")
    commit()
    ledger.observe([event(3, "handling", "2026-11-25T10:00:10.0000000Z")])
    commit()
    assert ledger.record(order).state == "done"
    return ledger.key(f"o:{order}")


@pytest.mark.parametrize("failures", [0, 12], ids=["at once", "after 12 failures"])
def test_a_finished_order_costs_less_than_a_kilobyte_and_expires(fresh_redis, failures):
    ledger = Ledger(fresh_redis, "teststore")
    records = [live(ledger, number, failures) for number in range(ORDERS)]
    each = sum(fresh_redis.memory_usage(key, samples=0) for key in fresh_redis.scan_iter("vo:*")) / ORDERS
    print(f"{each:.0f} bytes an order, all of the store's indices included")  # noqa: T201
    assert each <= 1024
    assert not fresh_redis.exists(*(key.replace(":o:", ":h:") for key in records))
    assert all(0 < fresh_redis.ttl(key) <= ledger.tombstone for key in records)
