"""A process dies at any effect of an order's commands, then another one goes on: the end is always the same."""

import pytest

#: A whole life has hundreds of places: minutes on a busy machine.
pytestmark = pytest.mark.soak


@pytest.mark.promise("P4", "P7", "P9")
def test_died_at_every_place_of_a_whole_life(crash_sweep):
    """Changed, invoiced in two parts, tracked, delivered, and a part of it returned."""
    report = crash_sweep("whole life")
    assert report.places > 300
    report.reaches(
        *("ledger command_accept", "ledger command_claim", "ledger command_mark", "ledger command_finish"),
        *("ledger command_defer", "orders.tell: ERP", "orders.invoice: POST", "orders.tracking: P"),
        "orders.change: P",
    )


@pytest.mark.promise("P4", "P7", "P9")
def test_died_at_every_place_of_a_cancellation(crash_sweep):
    report = crash_sweep("cancellation")
    report.reaches("orders.cancel: POST", "ledger command_accept", "orders.tell: ERP")
