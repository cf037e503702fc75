"""One run: a backlog of orders in the feed, from the first order that is read to the last commit.

What is measured is taken from the outside: VTEX's calls and the clock from the stand-in, processor time and memory
from the system, and Redis' memory from Redis. Nothing is asked of the contender itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis

from workers.bench import usage
from workers.bench.contenders import ACCOUNT, CONTENDERS, Runner
from workers.ledger import Ledger
from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess
from workers.vtex.states import READY_FOR_HANDLING

LOOK = 0.1  # seconds between two looks
#: The calls that the stand-in remembers: the last 20,000.
ALL = 20_000
#: The share of the orders after which memory is looked at for the first time.
EARLY = 0.1
#: Without any progress for so long a run has failed, in seconds.
STUCK = 120.0
_ORDER, _START = "GET /api/oms/pvt/orders/{orderId}", "POST /api/oms/pvt/orders/{orderId}/start-handling"


class Stuck(Exception):
    """A contender did not end its work."""


@dataclass(slots=True)
class Result:
    """What one run came to. Times per order are in milliseconds of processor time, memory in bytes.

    ``rss_early`` is the workers' memory when a tenth was done, ``rss`` at the end. For invoices (``what``) read
    "invoice" for "order".
    """

    name: str
    latency: float
    orders: int
    processes: int
    seconds: float
    per_second: float
    cpu_ms: float
    redis_ms: float
    calls: float
    rss: int
    others_rss: int = 0
    redis_in_flight: float = 0.0
    redis_finished: float = 0.0
    rss_early: int = 0
    what: str = "orders"
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def sandbox(latency: float, account: str = ACCOUNT, **more: Any) -> SandboxConfig:
    """A stand-in without faults, with one event an order, that hides what was read for as long as a run may take."""
    return SandboxConfig(
        account=account,
        latency=latency,
        visibility_timeout=300,
        feed_states=(READY_FOR_HANDLING,),
        marketplace_events=0,
        **more,
    )


def fresh(folder: Path) -> Path:
    """An empty folder for one run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def run(name: str, folder: Path, *, orders: int, latency: float, processes: int) -> Result:
    """Let one contender work off a backlog."""
    with (
        SandboxProcess(sandbox(latency)) as vtex,
        CONTENDERS[name](fresh(folder), vtex.url, processes) as runner,
    ):
        memory = _Memory(runner)
        vtex.create(orders)
        calls, cpu, redis_cpu = (
            vtex.calls(last=0)["total"], usage.of_all(runner.workers).cpu, usage.of_all(runner.redis).cpu,
        )  # fmt: skip
        runner.start()
        began, ended = watch(vtex, orders, memory.look)
        workers, redis_used = usage.of_all(runner.workers), usage.of_all(runner.redis)
        audit = vtex.audit(per_order=False)
        in_flight, finished = memory.per_order(orders)
        return Result(
            name,
            latency,
            orders,
            processes if name != "floor" else 1,
            seconds=ended - began,
            per_second=orders / (ended - began),
            cpu_ms=(workers.cpu - cpu) * 1000 / orders,
            redis_ms=(redis_used.cpu - redis_cpu) * 1000 / orders,
            calls=(audit["calls"] - calls) / orders,
            rss=workers.rss,
            others_rss=usage.of_all(runner.others).rss,
            rss_early=memory.early,
            redis_in_flight=in_flight,
            redis_finished=finished,
            problems=problems(audit, orders),
        )


def watch(
    vtex: SandboxProcess, orders: int, look: Callable[[float], None] = lambda _handled: None
) -> tuple[float, float]:
    """Until the last commit; when the first order was read and the last commit was answered.

    ``look`` is called again and again with the share of the orders that are handled.
    """
    began, handled, progress = 0.0, 0, time.monotonic()
    while True:
        said = vtex.calls(last=0)
        routes = said["by_route"]
        if not began and routes.get(_ORDER):
            began = min(call["at"] for call in vtex.calls(ALL)["last"] if is_order(call))
        now_handled = routes.get(_START, {}).get("204", 0)
        if now_handled != handled:
            handled, progress = now_handled, time.monotonic()
        if handled >= orders and not said["events_pending"]:
            break
        if time.monotonic() - progress > STUCK:
            raise Stuck(f"{orders - handled} of {orders} orders were not handled")
        look(handled / orders)
        time.sleep(LOOK)
    commits = [call["at"] for call in vtex.calls(ALL)["last"] if _is_commit(call)]
    return began, max(commits) + vtex.config.latency


def is_order(call: dict[str, Any]) -> bool:
    """Whether a call of the stand-in's list read an order."""
    return bool(call["method"] == "GET" and call["path"].startswith("/api/oms/pvt/orders/"))


def _is_commit(call: dict[str, Any]) -> bool:
    return bool(call["method"] == "POST" and call["path"] == "/api/orders/feed")


def problems(audit: dict[str, Any], orders: int) -> list[str]:
    """A run that lost or doubled an order says nothing about speed."""
    wrong = {
        "an order was handled twice": audit["start_handling_more_than_once"],
        "an event was committed too early": audit["early_commits"],
        "not every order was handled": audit["start_handling_effects"] != orders,
        "VTEX answered 429": audit["too_many_requests"],
    }
    return [problem for problem, is_so in wrong.items() if is_so]


class _Memory:
    """Memory while a run goes on: the workers', and Redis' (of ours alone: the others keep no records)."""

    def __init__(self, runner: Runner) -> None:
        self.workers, self.early = runner.workers, 0
        self._client = (
            redis.Redis.from_url(runner.redis_url, decode_responses=True) if runner.redis_url else None
        )
        self._ledger = Ledger(self._client, ACCOUNT) if self._client else None
        self._base = self._used()
        self._peak = (0, 0, 0.0)  # open, ended, used: when most were open

    def look(self, handled: float) -> None:
        """Take a look, when so large a share is handled."""
        if not self.early and handled >= EARLY:
            self.early = usage.of_all(self.workers).rss
        if self._ledger:
            counts = self._ledger.counts()
            if counts.open > self._peak[0]:
                self._peak = (counts.open, counts.done, self._used())

    def per_order(self, orders: int) -> tuple[float, float]:
        """Bytes an order in flight, and finished."""
        if not self._client:
            return 0.0, 0.0
        with closing(self._client):
            finished = max(0.0, self._used() - self._base) / orders
        still_open, ended, used = self._peak
        return (used - self._base - finished * ended) / still_open if still_open else 0.0, finished

    def _used(self) -> float:
        return float(self._client.info("memory")["used_memory"]) if self._client else 0.0
