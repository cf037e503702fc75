"""An ERP that is down for two minutes, with the settings as they are."""

import time

import pytest
import redis

from tests.chaos.erp import HttpErp
from tests.chaos.proxy import Loop
from workers.ledger import Ledger

from .system import LONG, System

DOWN = 120.0  # seconds
PROBE = 5.0  # seconds between two looks at an ERP that is away


@pytest.fixture
def erp(tmp_path):
    loop = Loop()
    erp = HttpErp(tmp_path, loop)
    yield erp
    erp.close()
    loop.close()


@pytest.mark.soak
@pytest.mark.promise("P1", "P6")
def test_two_minutes_without_the_erp_cost_no_order_and_ten_seconds_at_its_return(tmp_path, erp, wait_until):
    """With -s it prints what was measured. A quick one is among the tests of the breaker."""
    with System(tmp_path / "a store", orders=400, latency=0.1, visibility_timeout=30.0) as system:
        up = system.start("up", ERP_URL=erp.url, SWEEP_SECONDS=None, FEED_POLL_SECONDS=None)
        system.until_handled(50)
        with redis.Redis.from_url(system.redis_url(), decode_responses=True) as client:
            ledger = Ledger(client, "teststore")
            erp.mode = "500"
            wait_until(lambda: "erp" in ledger.paused(), "the breaker", LONG)
            time.sleep(PROBE)  # what was on its way
            asked, begin = erp.asked, time.monotonic()
            system.vtex.create(100)
            time.sleep(DOWN)
            probes, passed = erp.asked - asked, time.monotonic() - begin
            assert ledger.counts().dead == 0
            erp.mode = ""
            begin = time.monotonic()
            wait_until(lambda: not ledger.paused(), "the end of the pause", LONG)
            seconds = time.monotonic() - begin
            system.each_once(
                rows=wait_until(lambda: len(erp.orders()) == 500 and list(erp.orders()), "all", LONG)
            )
            assert ledger.counts().dead == 0
        print(f"{probes} calls in {passed:.0f} s; full speed {seconds:.1f} s after the return")  # noqa: T201
        assert probes <= 2 * passed / PROBE, "a trickle"
        assert seconds <= 10
        assert set(erp.times().values()) == {1}
        assert system.stop(up) == 0
