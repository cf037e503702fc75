"""The sandbox as a process of its own, for tests and the demo."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from workers.sandbox.config import SandboxConfig

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS = 60.0
_END_SECONDS = 5.0


class SandboxProcess:
    """Starts a sandbox and ends it: ``with SandboxProcess(config) as sandbox: … sandbox.url …``.

    The child also ends when this process dies in any way, kill -9 included.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        # No proxy from the environment may stand between a test and its own machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def pid(self) -> int:
        """Return the process id of the sandbox."""
        if self._process is None:
            raise RuntimeError("the sandbox is not started")
        return self._process.pid

    def start(self) -> Self:
        """Start, and wait for the port."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.sandbox.process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self.url = f"http://127.0.0.1:{self._handshake(self._process)}"
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the child, kindly first."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def audit(self, *, per_order: bool = True) -> dict[str, Any]:
        """Return what happened, and what must never happen."""
        report: dict[str, Any] = self._call("GET", f"audit?per_order={int(per_order)}")
        return report

    def orders(self) -> list[dict[str, Any]]:
        """Return the facts about every order."""
        listed: list[dict[str, Any]] = self._call("GET", "orders")
        return listed

    def state(self, order_id: str) -> dict[str, Any]:
        """Return the facts about one order."""
        facts: dict[str, Any] = self._call("GET", f"state/{order_id}")
        return facts

    def calls(self, last: int = 100) -> dict[str, Any]:
        """Return counts of the API's calls, and the last of them."""
        report: dict[str, Any] = self._call("GET", f"calls?last={last}")
        return report

    def create(self, count: int = 1, **options: Any) -> list[str]:
        """Create orders and return their ids. Options: status, items, age, advance, origin."""
        made: list[str] = self._call("POST", "orders", {"count": count, **options})["ids"]
        return made

    def move(self, order_id: str, status: str | None) -> dict[str, Any]:
        """Force an order into a state."""
        facts: dict[str, Any] = self._call("POST", f"orders/{order_id}/status", {"status": status})
        return facts

    def expect_confirmation(self, order_id: str) -> None:
        """Announce that the next cancel call of an order means to confirm a request."""
        self._call("POST", f"orders/{order_id}/confirmation", {})

    def cancel_changes(self, reason: str, **options: Any) -> None:
        """Let VTEX cancel the next change. Options: order, times, system, hang."""
        self._call("POST", "changes", {"reason": reason, **options})

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call anything below ``/_sandbox/``: GET without a body, POST with one."""
        return self._call("GET" if body is None else "POST", path, body)

    def _handshake(self, process: subprocess.Popen[bytes]) -> int:
        """Tell the child its configuration, and wait for its port."""
        if process.stdin is None or process.stdout is None:  # pragma: no cover - Popen was told to make both
            raise RuntimeError("no pipes to the sandbox")
        process.stdin.write(json.dumps(self.config.as_dict()).encode() + b"\n")
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
        line = process.stdout.readline() if readable else b""
        if not line:
            raise RuntimeError("the sandbox did not start; its own words are on standard error")
        return int(json.loads(line)["port"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/_sandbox/{path.removeprefix('/_sandbox/').lstrip('/')}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.read().decode(errors='replace')}") from None


def _wait_for_parent(parent: int, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` when standard input ends, or when another process than the starter owns this one.

    The second look is for a starter that had forked: its children hold the pipe open after it died.
    """
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 4096):
            break
    loop.call_soon_threadsafe(stop.set)


async def _serve() -> None:
    from workers.sandbox.server import serve  # noqa: PLC0415 - only the child needs a web server

    parent = os.getppid()
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65_536)
        if not piece:
            return
        line += piece
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_wait_for_parent, args=(parent, loop, stop), daemon=True).start()

    def ready(port: int) -> None:
        print(json.dumps({"port": port}), flush=True)  # noqa: T201 - the parent waits for this line

    await serve(SandboxConfig.from_dict(json.loads(line)), ready=ready, stop=stop)


if __name__ == "__main__":
    # Ctrl-C goes to the whole terminal; when this process ends is its parent's affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve())
