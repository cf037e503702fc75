"""How long an order takes when little is to do: from its event to its start-handling, ten orders a second."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.bench.contenders import CONTENDERS
from workers.bench.race import STUCK, Stuck, fresh, sandbox
from workers.sandbox.process import SandboxProcess

PER_SECOND = 10.0
_ORDERS, _END = "/api/oms/pvt/orders/", "/start-handling"


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from an order's event to VTEX's answer to start-handling."""

    orders: int
    latency: float
    poll_seconds: float
    p50: float
    p95: float
    p99: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run(folder: Path, orders: int, latency: float, processes: int, poll_seconds: float) -> Waits:
    """Let orders come one by one, and ours take them; each is made by us, so that its moment is known."""
    with (
        SandboxProcess(sandbox(latency)) as vtex,
        CONTENDERS["ours"](fresh(folder), vtex.url, processes, FEED_POLL_SECONDS=f"{poll_seconds:g}"),
    ):
        made: dict[str, float] = {}
        begin = time.time()
        for number in range(orders):
            time.sleep(max(0.0, begin + number / PER_SECOND - time.time()))
            moment = time.time()
            (order_id,) = vtex.create(1)
            made[order_id] = moment
        deadline = time.monotonic() + STUCK
        while len(handled := _handled(vtex)) < orders:
            if time.monotonic() > deadline:
                raise Stuck(f"{orders - len(handled)} of {orders} orders were not handled")
            time.sleep(0.2)
    waits = sorted(handled[order_id] + latency - moment for order_id, moment in made.items())
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return Waits(orders, latency, poll_seconds, cuts[49], cuts[94], cuts[98])


def _handled(vtex: SandboxProcess) -> dict[str, float]:
    """When the start-handling call of each order began, that succeeded."""
    return {
        call["path"].removeprefix(_ORDERS).removesuffix(_END): call["at"]
        for call in vtex.calls(last=20_000)["last"]
        if call["path"].endswith(_END) and call["status"] == 204  # noqa: PLR2004 - what VTEX promises
    }
