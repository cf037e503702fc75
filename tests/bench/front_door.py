"""Measures the front door: ``make bench-web``. Not a test: its figures are of this machine at this time.

Commands: how many a second ``vtexorders web`` accepts (validated, recorded in a Valkey with its log on disk, and
enqueued), and the same server, asked the same, that answers 202 without recording anything. Valkey, server and clients
share the machine's cores. Hook: how long VTEX waits for its 200 at 200 events a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from workers.demo import OURS
from workers.embedded import Embedded

CLIENTS = 32
TOKEN, SECRET = secrets.token_hex(24), secrets.token_hex(24)
INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-01-31T18:25:43-03:00",
    "invoiceNumber": "9999",
    "invoiceValue": "9508",
    "items": [{"id": "1234", "price": 9508, "quantity": 1}],
}
#: The same server, which records nothing and enqueues nothing: what HTTP and the token alone cost.
BARE = """
from workers import settings
from workers.intake import Acceptance
from workers.web import clerk, commands, serve
commands._checked = lambda ask, kind, payload, key: key
async def accept(self, book, key):
    return Acceptance(key, False, "open")
clerk.Clerk.accept = accept
serve.run(settings.load())
"""


@contextmanager
def door(url: str, folder: Path, *, bare: bool = False):
    """The port and the process id of a front door that runs as a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = clean | {
        "VTEX_ACCOUNT": "mystore",
        "VTEX_APP_KEY": "key",
        "VTEX_APP_TOKEN": "token",
        "ERP_URL": "sqlite:///erp.db",
        "REDIS_URL": url,
        "LOG_LEVEL": "WARNING",
        "WEB_PORT": str(port),
        "WEB_ADDRESS": "127.0.0.1",
        "WEB_TOKENS": TOKEN,
        "WEB_REQUESTS_PER_MINUTE": "6000000",
        "HOOK_SECRET": SECRET,
    }
    command = ["-c", BARE] if bare else ["-m", "workers.cli", "web"]
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used: unlike its speed, nearly the same beside other work."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """One connection that is kept, and nothing that could cost much."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def post(self, path: str, body: bytes, *headers: str) -> int:
        """Its status."""
        head = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", *headers, "", ""]
        self.writer.write("\r\n".join(head).encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self.reader.readexactly(length)
        return int(answer.split(b" ", 2)[1])


async def commands(port: int, seconds: float) -> float:
    """Commands accepted a second."""
    run, body = secrets.token_hex(4), json.dumps(INVOICE).encode()
    clients = [await Client(port).open() for _ in range(CLIENTS)]
    until, accepted = time.perf_counter() + seconds, 0

    async def ask(number: int, client: Client) -> None:
        nonlocal accepted
        count = 0
        while time.perf_counter() < until:
            count += 1
            key = f"{run}-{number}-{count}"
            status = await client.post(
                f"/v1/orders/{key}/invoices",
                body,
                f"Authorization: Bearer {TOKEN}",
                f"Idempotency-Key: {key}",
            )
            assert status == 202, status
            accepted += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask(number, client) for number, client in enumerate(clients)))
    return accepted / (time.perf_counter() - began)


async def hook(port: int, rate: float, seconds: float) -> list[float]:
    """Milliseconds that each event waited for its 200, counted from when it should have been sent."""
    run, waits, idle = secrets.token_hex(4), [], [await Client(port).open() for _ in range(CLIENTS)]
    free = asyncio.Queue()
    for client in idle:
        free.put_nowait(client)

    async def tell(number: int, due: float) -> None:
        client = await free.get()
        event = {
            "Domain": "Fulfillment",
            "OrderId": f"{run}-{number}",
            "State": "ready-for-handling",
            "LastChange": "2026-01-01T10:00:00.1234567Z",
            "CurrentChange": "2026-01-01T10:00:01.1234567Z",
            "Origin": {"Account": "mystore", "Key": "key"},
        }
        status = await client.post(
            "/hooks/vtex/mystore", json.dumps(event).encode(), f"X-Hook-Secret: {SECRET}"
        )
        assert status == 200, status
        waits.append((time.perf_counter() - due) * 1000)
        free.put_nowait(client)

    began, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(tell(number, due)))
    await asyncio.gather(*tasks)
    return sorted(waits)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="how long each part takes")
    options.add_argument("--rounds", type=int, default=3, help="how often; the machine's speed moves")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name, Embedded(Path(name) / "var") as valkey:
        folder, rates, ceilings = Path(name), [], []
        costs: list[float] = []
        for _ in range(given.rounds):  # one beside the other, so that both see the same machine
            for rows, bare in ((rates, False), (ceilings, True)):
                with door(valkey.url, folder, bare=bare) as (port, pid):
                    asyncio.run(commands(port, 1.0))
                    before = cpu(pid)
                    rows.append(asyncio.run(commands(port, given.seconds)))
                    if not bare:
                        costs.append((cpu(pid) - before) / (rows[-1] * given.seconds) * 1000)
        ratios = [one / other for one, other in zip(rates, ceilings, strict=True)]
        print(f"commands accepted   {', '.join(f'{one:.0f}' for one in rates)} a second")
        print(f"without recording   {', '.join(f'{one:.0f}' for one in ceilings)} a second")
        print(f"of that             {statistics.median(ratios):.2f} (the middle one)")
        print(f"the server's CPU    {statistics.median(costs):.2f} ms a command")
        with door(valkey.url, folder) as (port, _):
            asyncio.run(hook(port, 200.0, 1.0))
            waits = asyncio.run(hook(port, 200.0, given.seconds * 2))
        half, most, last = waits[len(waits) // 2], waits[int(len(waits) * 0.99)], waits[-1]
        print(f"hook at 200/s       p50 {half:.1f} ms, p99 {most:.1f} ms, max {last:.1f} ms")


if __name__ == "__main__":
    main()
