"""The pace of an account over two systems that share one Redis, as VTEX sees it."""

import contextlib
import time

import pytest

from workers.embedded import Embedded

from .system import System

PER_MINUTE = 600
SECONDS = 60.0


@pytest.mark.soak  # it takes more than a minute, and with -s it prints what was measured
@pytest.mark.promise("P5")
def test_two_systems_use_the_whole_pace_and_are_hardly_ever_told_429(tmp_path, wait_until):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Embedded(tmp_path / "redis"))
        system = stack.enter_context(
            System(
                tmp_path / "a store",
                orders=600,
                latency=0.1,
                requests_per_minute=PER_MINUTE,
                visibility_timeout=30.0,
            )
        )
        settings = {
            "REDIS_URL": server.url,
            "WORKER_PROCESSES": "1",
            "VTEX_REQUESTS_PER_MINUTE": str(PER_MINUTE),
            "SWEEP_SECONDS": None,
            "FEED_POLL_SECONDS": None,
        }
        ups = [system.start("up", **settings, DATA_DIR=f"data {n}") for n in (1, 2)]
        wait_until(lambda: system.audit()["start_handling_effects"] >= 30, "a steady state", 120)
        before, begun = system.vtex.calls()["total"], time.monotonic()
        time.sleep(SECONDS)
        calls, seconds = system.vtex.calls()["total"] - before, time.monotonic() - begun
        audit = system.audit()
        assert [system.stop(up) for up in ups] == [0, 0]
    share = calls / (PER_MINUTE * seconds / 60)
    refused = audit["too_many_requests"] / (before + calls)
    print(f"{share:.1%} of the pace; {refused:.2%} of the calls were told 429")  # noqa: T201 - what it is for
    assert share >= 0.95
    assert refused <= 0.005
