"""What each process answers on METRICS_PORT: /metrics for Prometheus; /healthz (live), /readyz (ready) for a platform.

Beat's /metrics has the whole installation (:mod:`workers.monitor.readings`); a worker's has the process alone, so
that nothing is counted twice.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, SHUT_RDWR, socket
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from workers import telemetry
from workers.heartbeat import Health
from workers.settings import Settings

log = telemetry.get(__name__)

#: A client that is slow does not hold a thread for longer: with a part of its request, nor until it is whole. Seconds.
PATIENCE = 10.0
#: So many may be asking at once; of more, who began first is sent away.
MOST = 32


class Server(ThreadingHTTPServer):
    """Answers in threads of its own, until :meth:`stop`. ``OSError``: the port cannot be had."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, settings: Settings, health: Callable[[], Health | None], *collectors: Collector
    ) -> None:
        if ":" in settings.metrics_address:
            self.address_family = AF_INET6
        self.health = health
        self.password = settings.metrics_basic_auth.reveal()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        for collector in collectors:
            self.registry.register(collector)
        self._asking: dict[socket, float] = {}
        super().__init__((settings.metrics_address, settings.metrics_port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.2,), name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and give the port back."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own; it has a while to say what it wants."""
        for longest in [*self._asking][: len(self._asking) - MOST + 1]:
            self._send_away(longest)
        self._asking[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Several times a second."""
        for request, began in list(self._asking.items()):
            if time.monotonic() - began > PATIENCE:
                self._send_away(request)

    def shutdown_request(self, request: Any) -> None:
        """It has ended."""
        self.heard(request)
        super().shutdown_request(request)

    def heard(self, request: socket) -> None:
        """It has said what it wants: from here on it is we who take time."""
        self._asking.pop(request, None)

    def _send_away(self, request: socket) -> None:
        self.heard(request)
        with contextlib.suppress(OSError):
            request.shutdown(SHUT_RDWR)  # its thread reads the end, and closes it

    def handle_error(self, *_: object) -> None:
        """A client that went away is nobody's trouble."""
        log.debug("metrics_client_gone")


@contextlib.contextmanager
def serving(
    settings: Settings, health: Callable[[], Health | None], *collectors: Collector
) -> Iterator[Server | None]:
    """Answer on METRICS_PORT for as long as the block runs; nothing with METRICS_PORT=0."""
    if not settings.metrics_port:
        yield None
        return
    server = Server(settings, health, *collectors)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: Server
    server_version, sys_version = "vtexorders", ""

    def do_GET(self) -> None:
        self.server.heard(self.connection)
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path in ("/healthz", "/readyz"):
            self._health(live_only=path == "/healthz")
        else:
            self._say(HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz here\n")

    def _metrics(self) -> None:
        wanted = "Basic " + base64.b64encode(self.server.password.encode()).decode()
        given = self.headers.get("Authorization", "")
        if self.server.password and not hmac.compare_digest(given.encode(), wanted.encode()):
            self._say(HTTPStatus.UNAUTHORIZED, "METRICS_BASIC_AUTH is asked for\n")
            return
        self._say(
            HTTPStatus.OK, generate_latest(self.server.registry).decode(), kind=CONTENT_TYPE_PLAIN_0_0_4
        )

    def _health(self, *, live_only: bool) -> None:
        health = self.server.health()
        if health is None:  # it begins
            good, why = live_only, "starting"
        else:
            good, why = (health.live if live_only else health.ready), health.why
        self._say(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, f"{why or 'ok'}\n")

    def _say(self, status: HTTPStatus, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="vtexorders"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nobody wants to read of each look."""
