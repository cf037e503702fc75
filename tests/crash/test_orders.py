"""A process dies at any effect on an order's way, then another one goes on: the end is always the same.

The package's docstring says how. The effects are those of poll, download, start handling, ack, sweep and reconcile.
"""

import pytest

from .scenarios import ORDERS


@pytest.mark.promise("P1", "P2", "P4")
def test_died_once_before_every_kind_of_effect(crash_sweep):
    report = crash_sweep("order", "order not in the feed", quick=True)
    report.reaches(
        *(
            "feed.poll: GET",
            "feed.poll: ledger observe",
            "orders.download: GET",
            "orders.download: ERP INSERT",
        ),
        *(
            "orders.download: ledger advance",
            "start-handling",
            "orders.ack: POST",
            "orders.ack: ledger settle",
        ),
        *("upkeep.sweep", "upkeep.reconcile: GET", "LPUSH", "broker: redis RPOP", "broker: ZREM + HDEL"),
    )


@pytest.mark.soak
@pytest.mark.promise("P1", "P2", "P3", "P4")
def test_died_at_every_place_of_an_order_s_way(crash_sweep):
    report = crash_sweep(*ORDERS)
    assert report.places > 500
    # what a survivor does to learn whether VTEX was told
    report.reaches(
        "orders.start_handling: GET", "upkeep.reconcile: ledger observe", "upkeep.sweep: redis LPUSH"
    )
