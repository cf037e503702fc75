"""Invoices: how many a second the real system sends for an ERP, beside a bare script that only sends them.

The ERP's side is what ``docs/erp.md`` shows: one Celery message an invoice, by the task's name. Ours records each,
looks at its order, sends the invoice, and says how it ended; the script makes one call an invoice, from 128 threads.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import redis

from workers import child
from workers.bench import usage
from workers.bench.contenders import ACCOUNT, ours
from workers.bench.race import ALL, LOOK, STUCK, Result, Stuck, fresh, sandbox
from workers.ledger import Ledger
from workers.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The contenders; the floor is the bare script.
NAMES = ("floor", "ours")
THREADS = 128
_INVOICE = "POST /api/oms/pvt/orders/{orderId}/invoice"
_PATH = "/api/oms/pvt/orders/"


def run(name: str, folder: Path, *, invoices: int, latency: float, processes: int) -> Result:
    """Let one of them send an invoice for each of so many orders."""
    with SandboxProcess(sandbox(latency)) as vtex:
        starts = _bare(vtex.url) if name == "floor" else _ours(fresh(folder), vtex.url, processes)
        with starts as (pids, redis_pids, send):
            ids = vtex.create(invoices, status="handling")
            calls, cpu, redis_cpu = (
                vtex.calls(last=0)["total"], usage.of_all(pids).cpu, usage.of_all(redis_pids).cpu,
            )  # fmt: skip
            send(ids)
            _wait(vtex, invoices)
            workers, redis_used = usage.of_all(pids), usage.of_all(redis_pids)
            made = [call for call in vtex.calls(ALL)["last"] if call["path"].startswith(_PATH)]
            began, ended = (pick(call["at"] for call in made) for pick in (min, max))
            seconds = ended + latency - began
            return Result(
                name,
                latency,
                invoices,
                processes if name == "ours" else 1,
                seconds=seconds,
                per_second=invoices / seconds,
                cpu_ms=(workers.cpu - cpu) * 1000 / invoices,
                redis_ms=(redis_used.cpu - redis_cpu) * 1000 / invoices,
                calls=(vtex.calls(last=0)["total"] - calls) / invoices,
                rss=workers.rss,
                what="invoices",
            )


def _wait(vtex: SandboxProcess, invoices: int) -> None:
    sent, progress = 0, time.monotonic()
    while sent < invoices:
        now_sent = vtex.calls(last=0)["by_route"].get(_INVOICE, {}).get("200", 0)
        if now_sent != sent:
            sent, progress = now_sent, time.monotonic()
        if time.monotonic() - progress > STUCK:
            raise Stuck(f"{invoices - sent} of {invoices} invoices were not sent")
        time.sleep(LOOK)


_Started = tuple[list[int], list[int], Callable[[list[str]], None]]


@contextmanager
def _ours(folder: Path, url: str, processes: int) -> Iterator[_Started]:
    from celery import Celery  # noqa: PLC0415 - the bench of orders needs none

    with ours(folder, url, processes) as runner:
        with closing(redis.Redis.from_url(runner.redis_url, decode_responses=True)) as client:
            # a ledger that has just begun may have lost an earlier command, and makes sure of it for half a minute
            client.set(Ledger(client, ACCOUNT).key("began"), time.time() - 7200)
        erp = Celery(broker=runner.redis_url, set_as_current=False)

        def send(ids: list[str]) -> None:
            with erp.producer_or_acquire() as producer:
                for order_id in ids:
                    kwargs = {"order_id": order_id, "invoice": invoice(), "key": f"bench-{order_id}"}
                    erp.send_task("orders.invoice", kwargs=kwargs, producer=producer)

        with erp:
            yield runner.workers, runner.redis, send


@contextmanager
def _bare(url: str) -> Iterator[_Started]:
    argv = [sys.executable, "-m", "workers.bench.invoices", url]
    process = child.spawn(argv, stdin=subprocess.PIPE)
    with process:
        try:

            def send(ids: list[str]) -> None:
                if process.stdin:
                    process.stdin.write(("\n".join(ids) + "\n").encode())
                    process.stdin.flush()

            yield [process.pid], [], send
        finally:
            process.kill()


def invoice() -> dict[str, Any]:
    """One that VTEX takes for any order: of a part of it."""
    return {
        "type": "Output",
        "issuanceDate": "2026-01-31T18:25:43-03:00",
        "invoiceNumber": "9999",
        "invoiceValue": "1",
        "items": [{"id": "1", "price": 1, "quantity": 1}],
    }


def main() -> None:
    """The bare script: it reads order ids, a line each, until its standard input ends."""
    import requests  # noqa: PLC0415 - in a process of its own

    from workers.bench.floor import HEADERS, TIMEOUT  # noqa: PLC0415

    waiting: SimpleQueue[str] = SimpleQueue()

    def work() -> None:
        session = requests.Session()
        session.trust_env = False
        session.headers.update(HEADERS)
        while True:
            address = f"{sys.argv[1]}{_PATH}{waiting.get()}/invoice"
            session.post(address, json=invoice(), timeout=TIMEOUT).raise_for_status()

    for _ in range(THREADS):
        Thread(target=work, daemon=True).start()
    for line in sys.stdin:
        waiting.put(line.strip())


if __name__ == "__main__":
    main()
