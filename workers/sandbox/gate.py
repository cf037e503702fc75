"""What every call to the API passes on its way in and out: latency, credentials, pace, faults, the log."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import Counter, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers.sandbox.answers import html, raw, refusal

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from workers.sandbox.clock import Clock
    from workers.sandbox.config import SandboxConfig
    from workers.sandbox.faults import Draw, Faults
    from workers.sandbox.watch import Watch

CONTROL_PREFIX = "/_sandbox/"
_REMEMBERED_CALLS = 20_000
#: The permission for a call about an order, by what its address has in it.
_PERMISSIONS = {
    "/invoice": "invoice",
    "/cancel": "cancel",
    "/deny-cancellation-request": "cancel",
    "/changes": "change",
    "/interactions": "log",
    "/conversation-message": "log",
}
#: Ends of addresses of calls that change nothing about the order itself.
_HARMLESS = ("/changes/preview", "/interactions")
_ODD_PAGES = 0.25  # of the HTML pages come with status 200
#: What is JSON, and neither an order nor a receipt; and how many of these answers come instead of what a call does.
_OTHER_JSON = (b"[]", b"null", b"0", b'"OK"', b'{"error":{"message":"try again"}}')
_NOT_DONE = 0.5


class CutError(Exception):
    """The client is to see the connection close."""


class Pace:
    """The account's limit: a bucket that holds ten seconds' worth of calls, so short bursts pass."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._rate = per_minute / 60
        self._size = max(1.0, per_minute / 6)
        self._level = self._size
        self._at = clock()

    def admits(self) -> bool:
        """Take one call from the bucket, or say that there is none left."""
        if not self._rate:
            return True
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Gate:
    """The middleware. ``forced_status`` makes every call answer so: a revoked key, or a missing role."""

    def __init__(self, config: SandboxConfig, faults: Faults, clock: Clock, watch: Watch) -> None:
        self.forced_status: int | None = None
        self.by_route: dict[str, Counter[int]] = {}
        self.by_second: Counter[int] = Counter()
        self.calls: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED_CALLS)
        self.total = 0
        self.unauthorized = 0
        self.forbidden = 0
        self.too_many = 0
        self._config = config
        self._faults = faults
        self._watch = watch
        self._pace = Pace(clock, config.requests_per_minute)
        self._key = config.app_key.encode()
        self._token = config.app_token.encode()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a call pass, or not."""
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        written = written_order(request)
        if written is None:
            return (await self._serve(request, handler))[0]
        ticket = self._watch.begin(written, lambda: _attended(request))
        status, fault = 0, None
        try:
            response, status, fault = await self._serve(request, handler)
        finally:
            call = f"{request.method} {request.path.partition(written)[2]}"
            self._watch.end(written, ticket, call, status, fault)
        return response

    async def _serve(
        self, request: web.Request, handler: Handler
    ) -> tuple[web.StreamResponse, int, str | None]:
        """Return the answer, the status that the client sees (0 is a cut connection), and the fault."""
        begin = time.time()
        # The body is read before anything else: a call that was cut had been sent.
        if request.can_read_body:
            await request.read()
        draw = self._faults.draw(request.method, request.path)
        # Uniform around the mean: half of a call passes before its effect and half after.
        half = self._config.latency * (0.5 + draw.pace) / 2
        await asyncio.sleep(half + draw.delay)
        if draw.delay:
            self._faults.given["slow"] += 1
        response: web.StreamResponse | None
        try:
            response, fault = await self._pass(request, handler, draw)
        except CutError:
            response, fault = None, draw.kind
        if half:
            await asyncio.sleep(half)
        status = 0 if response is None else response.status
        self._note(request, begin, status, fault)
        if response is None:
            # The client sees the connection close and no answer; what is returned here goes nowhere.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR), status, fault
        return response, status, fault

    async def _pass(
        self, request: web.Request, handler: Handler, draw: Draw
    ) -> tuple[web.StreamResponse, str | None]:
        """Return the answer and the fault that was given."""
        refused = self._refuse(request)
        if refused is not None:
            return refused, None
        instead = self._fault_before(request, draw)
        if instead is not None:
            return instead, self._gave(draw.kind)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = refusal(error.status, "1", error.reason)
        instead = self._fault_after(response, draw)
        if instead is not None:
            return instead, self._gave(draw.kind)
        return response, None

    def _fault_before(self, request: web.Request, draw: Draw) -> web.Response | None:
        """Return what is answered instead of doing anything."""
        if draw.kind == "cut_before":
            self._gave(draw.kind)
            raise CutError
        if draw.kind == "error_429":
            self.too_many += 1
            return self._slow_down()
        if draw.kind == "error_5xx":
            return refusal((500, 502, 503, 504)[int(draw.choice * 4)], "1", "An error has occurred.")
        if draw.kind == "html_error":
            odd = request.method == "GET" and draw.choice < _ODD_PAGES
            return html(HTTPStatus.OK if odd else HTTPStatus.BAD_GATEWAY)
        if draw.kind == "other_json" and written_order(request) is not None and draw.choice < _NOT_DONE:
            return raw(_other(draw))
        return None

    def _fault_after(self, response: web.StreamResponse, draw: Draw) -> web.Response | None:
        """Return what is answered instead of what was done."""
        if draw.kind == "lost_answer":
            variant = int(draw.choice * 3)
            if variant == 0:
                self._gave(draw.kind)
                raise CutError
            return html((500, 504)[variant - 1])
        if draw.kind == "truncated_json" and isinstance(response, web.Response):
            body = response.body
            if isinstance(body, bytes) and body:
                return raw(body[: len(body) // 2], response.status)
        if draw.kind == "other_json":
            return raw(_other(draw))
        return None

    def _refuse(self, request: web.Request) -> web.Response | None:
        if self.forced_status == HTTPStatus.UNAUTHORIZED or not self._knows(request):
            self.unauthorized += 1
            return refusal(401, "1", "Unauthorized access")
        denied = self._config.denied
        if self.forced_status == HTTPStatus.FORBIDDEN or (denied and operation(request) in denied):
            self.forbidden += 1
            return refusal(403, "1", "Access denied")
        if not self._pace.admits():
            self.too_many += 1
            return self._slow_down()
        return None

    def _knows(self, request: web.Request) -> bool:
        key = request.headers.get("X-VTEX-API-AppKey", "").encode()
        token = request.headers.get("X-VTEX-API-AppToken", "").encode()
        return hmac.compare_digest(key, self._key) and hmac.compare_digest(token, self._token)

    def _slow_down(self) -> web.Response:
        response = refusal(429, "429", "Too many requests")
        if self._config.retry_after is not None:
            response.headers["Retry-After"] = f"{self._config.retry_after:g}"
        return response

    def _gave(self, kind: str | None) -> str | None:
        if kind is not None:
            self._faults.given[kind] += 1
        return kind

    def report(self) -> dict[str, Any]:
        """Count the calls by route and status; status 0 is a cut connection."""
        return {
            "total": self.total,
            "by_route": {
                route: {str(status): count for status, count in sorted(counts.items())}
                for route, counts in sorted(self.by_route.items())
            },
            "busiest_second": max(self.by_second.values(), default=0),
            "busiest_minute": busiest(self.by_second, 60),
        }

    def _note(self, request: web.Request, begin: float, status: int, fault: str | None) -> None:
        self.total += 1
        self.by_second[int(begin)] += 1
        self.by_route.setdefault(route_name(request), Counter())[status] += 1
        self.calls.append(
            {"at": begin, "method": request.method, "path": request.path, "status": status, "fault": fault}
        )


def busiest(by_second: Counter[int], seconds: int) -> int:
    """Return the most calls that began within so many seconds."""
    most = within = 0
    window: deque[int] = deque()
    for second in sorted(by_second):
        window.append(second)
        within += by_second[second]
        while window[0] <= second - seconds:
            within -= by_second[window.popleft()]
        most = max(most, within)
    return most


def route_name(request: web.Request) -> str:
    """Return ``METHOD /path/{parameter}`` of the route that a call took."""
    resource = request.match_info.route.resource
    return f"{request.method} {request.path if resource is None else resource.canonical}"


def written_order(request: web.Request) -> str | None:
    """Return the order that a call may change; None when it changes none."""
    if request.method == "GET" or request.path.endswith(_HARMLESS):
        return None
    return request.match_info.get("orderId") or request.match_info.get("changeOrderId")


def operation(request: web.Request) -> str:
    """Return the permission that a call needs."""
    path = request.path.rstrip("/")
    if path.startswith(("/api/orders/feed", "/api/orders/hook")):
        return "config" if path.endswith("/config") else "feed"
    if path.startswith("/api/order-system/"):
        return "change"
    if path == "/api/oms/pvt/orders":
        return "list"
    for part, needed in _PERMISSIONS.items():
        if part in path:
            return needed
    return "view" if request.method == "GET" else "workflow"


def _other(draw: Draw) -> bytes:
    return _OTHER_JSON[int(draw.choice * 1000) % len(_OTHER_JSON)]


def _attended(request: web.Request) -> bool:
    """Say whether the client is still there."""
    return request.transport is not None and not request.transport.is_closing()
