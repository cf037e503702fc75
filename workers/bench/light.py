"""How long an order takes when little is to do: from its event to its start-handling, at a few orders a second.

And what it costs to look for orders that often: reads of the feed, while orders come and while there are none.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.bench.contenders import CONTENDERS
from workers.bench.race import ALL, STUCK, Stuck, fresh, sandbox
from workers.sandbox.process import SandboxProcess

#: Orders come for so many polls, and at least for so many seconds: when in the time between two polls an order comes
#: makes all the difference, so each moment must be there alike.
POLLS, SECONDS = 4, 20.0
#: At least so many orders.
ORDERS = 60
#: The same of the time without orders.
IDLE_POLLS, IDLE_SECONDS = 2, 10.0
_ORDERS, _END = "/api/oms/pvt/orders/", "/start-handling"


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from an order's event to VTEX's answer to start-handling.

    ``rate`` is orders a second, ``reads`` reads of the feed a second meanwhile, ``polling`` the same in an hour
    without orders.
    """

    orders: int
    rate: float
    latency: float
    poll_seconds: float
    p50: float
    p95: float
    p99: float
    reads: float
    polling: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run(folder: Path, latency: float, processes: int, poll_seconds: float, rate: float) -> Waits:
    """Let orders come one by one, and ours take them; each is made by us, so that its moment is known.

    They come by chance, for polls come by the clock: in step with them, all orders would wait equally long. Those of
    the first poll period do not count: until then no poll has found the feed as it is from then on.
    """
    seconds = _whole(poll_seconds, POLLS, max(SECONDS, ORDERS / rate))
    early, orders = math.ceil(rate * poll_seconds), round(rate * seconds)
    with (
        SandboxProcess(sandbox(latency)) as vtex,
        CONTENDERS["ours"](fresh(folder), vtex.url, processes, FEED_POLL_SECONDS=f"{poll_seconds:g}"),
    ):
        made: dict[str, float] = {}
        chance = random.Random(1)
        begin = time.time()
        for number in range(early + orders):
            time.sleep(max(0.0, begin + (number + chance.random()) / rate - time.time()))
            moment = time.time()
            (order_id,) = vtex.create(1)
            made[order_id] = moment
        deadline = time.monotonic() + STUCK
        while len(handled := _handled(vtex)) < len(made):
            if time.monotonic() > deadline:
                raise Stuck(f"{len(made) - len(handled)} of {len(made)} orders were not handled")
            time.sleep(0.2)
        idle = time.time()
        time.sleep(_whole(poll_seconds, IDLE_POLLS, IDLE_SECONDS) + 1.5 * poll_seconds)
        reads = [call["at"] for call in vtex.calls(ALL)["last"] if _is_read(call)]
    counted = dict(list(made.items())[early:])
    waits = sorted(handled[order_id] + latency - moment for order_id, moment in counted.items())
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    first, last = min(counted.values()), max(counted.values())
    return Waits(
        orders,
        rate,
        latency,
        poll_seconds,
        cuts[49],
        cuts[94],
        cuts[98],
        reads=sum(first <= at < last for at in reads) / (last - first),
        polling=polling(reads, poll_seconds, idle),
    )


def _whole(poll_seconds: float, polls: int, seconds: float) -> float:
    """The seconds of a whole number of polls: at least so many, and at least so long."""
    return poll_seconds * max(polls, math.ceil(seconds / poll_seconds))


def polling(reads: list[float], poll_seconds: float, since: float) -> float:
    """The reads of the feed an hour, of their moments since then, in whole polls: each reads a few times in a row.

    Polls that follow each other so closely that they cannot be told apart are counted as they come.
    """
    gaps = itertools.pairwise([-math.inf, *reads])
    polls = [at for before, at in gaps if at > since and at - before > poll_seconds / 2]
    first, last = (polls[0], polls[-1]) if len(polls) > 1 else (since, reads[-1])
    return sum(first <= at < last for at in reads) / (last - first) * 3600


def _is_read(call: dict[str, Any]) -> bool:
    return bool(call["method"] == "GET" and call["path"] == "/api/orders/feed")


def _handled(vtex: SandboxProcess) -> dict[str, float]:
    """When the start-handling call of each order began, that succeeded."""
    return {
        call["path"].removeprefix(_ORDERS).removesuffix(_END): call["at"]
        for call in vtex.calls(ALL)["last"]
        if call["path"].endswith(_END) and call["status"] == 204  # noqa: PLR2004 - what VTEX promises
    }
