"""The control plane: how a test, a demo or a person steers the sandbox and asks what happened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from workers.sandbox.answers import answer, refusal
from workers.sandbox.dossier import dossier
from workers.sandbox.faults import FaultPlan
from workers.sandbox.refused import Refused
from workers.sandbox.store import UnknownOrderError
from workers.sandbox.subscription import Subscription
from workers.vtex.states import CANCELLATION_REQUESTED, READY_FOR_HANDLING

if TYPE_CHECKING:
    from workers.sandbox.world import World


class Control:
    """One method an address below ``/_sandbox/``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return what the server registers."""
        return [
            web.get("/_sandbox/audit", self.audit),
            web.get("/_sandbox/calls", self.calls),
            web.get("/_sandbox/orders", self.orders),
            web.post("/_sandbox/orders", self.create),
            web.get("/_sandbox/state/{orderId}", self.state),
            web.post("/_sandbox/orders/{orderId}/status", self.move),
            web.post("/_sandbox/orders/{orderId}/touch", self.touch),
            web.post("/_sandbox/orders/{orderId}/confirmation", self.expect_confirmation),
            web.post("/_sandbox/changes", self.script_changes),
            web.post("/_sandbox/faults", self.faults),
            web.post("/_sandbox/credentials", self.credentials),
            web.post("/_sandbox/feed", self.feed),
        ]

    async def audit(self, request: web.Request) -> web.Response:
        """Add up what happened; ``?per_order=0`` leaves out the map of every order."""
        return answer(self._world.audit.report(per_order=request.query.get("per_order") != "0"))

    async def calls(self, request: web.Request) -> web.Response:
        """Show the last ``?last=`` calls, the oldest first, and how many events are not committed."""
        last = int(request.query.get("last", "100"))
        gate = self._world.gate
        shown = list(gate.calls)[-last:] if last > 0 else []
        return answer({**gate.report(), "events_pending": len(self._world.queue), "last": shown})

    async def orders(self, _request: web.Request) -> web.Response:
        """List all orders with the facts that matter."""
        return answer([self._world.audit.order(order) for order in self._world.store])

    async def create(self, request: web.Request) -> web.Response:
        """Create ``count`` orders; a state of null makes them incomplete, an ``origin`` may be Chain."""
        body = await _body(request)
        made = [
            self._world.store.create(
                body.get("status", READY_FOR_HANDLING),
                items=body.get("items"),
                age=float(body.get("age", 0)),
                advance=body.get("advance"),
            )
            for _ in range(int(body.get("count", 1)))
        ]
        for order in made if "origin" in body else ():
            self._world.store.touch(order, origin=body["origin"])
        return answer({"ids": [order.order_id for order in made]})

    async def state(self, request: web.Request) -> web.Response:
        """Show one order's facts."""
        return answer(dossier(self._world, self._world.store.get(request.match_info["orderId"])))

    async def move(self, request: web.Request) -> web.Response:
        """Force an order into a state; a cancellation request is then the shopper's, with a ``reason``."""
        body = await _body(request)
        order = self._world.store.get(request.match_info["orderId"])
        status = body["status"]
        if status in CANCELLATION_REQUESTED:
            self._world.cancellations.request(order, body.get("reason"), by_user=True, status=status)
        else:
            self._world.store.move(order, status)
        return answer(self._world.audit.order(order))

    async def touch(self, request: web.Request) -> web.Response:
        """Replace fields of an order's document, and its ``lastChange``; its state stays, and no event tells of it."""
        order = self._world.store.get(request.match_info["orderId"])
        self._world.store.touch(order, **{"openTextField": None} | await _body(request))
        return answer(self._world.audit.order(order))

    async def expect_confirmation(self, request: web.Request) -> web.Response:
        """Announce that the next cancel call means to confirm a request: it is no accident."""
        order = self._world.store.get(request.match_info["orderId"])
        self._world.store.outbound(order).confirmation_expected = True
        return answer({})

    async def script_changes(self, request: web.Request) -> web.Response:
        """Cancel coming changes: ``{"reason": …, "order": …, "times": 1, "system": false, "hang": false}``."""
        self._world.changes.script(**await _body(request))
        return answer({})

    async def faults(self, request: web.Request) -> web.Response:
        """Change the fault plan: ``{"faults": text or fields}``; ``{"script": [...]}`` fails chosen calls."""
        body = await _body(request)
        plan = body.get("faults")
        if isinstance(plan, str):
            self._world.faults.plan = FaultPlan.parse(plan)
        elif plan is not None:
            self._world.faults.plan = FaultPlan(**plan)
        for step in body.get("script", ()):
            self._world.faults.script(**step)
        return answer({})

    async def credentials(self, request: web.Request) -> web.Response:
        """Make every call answer 401 or 403, or, with null, work again."""
        status = (await _body(request))["status"]
        if status not in (None, 401, 403):
            raise ValueError(f"status must be 401, 403 or null, not {status!r}")
        self._world.gate.forced_status = status
        return answer({})

    async def feed(self, request: web.Request) -> web.Response:
        """Take the feed's configuration away, or put the first one back."""
        if (await _body(request)).get("configured"):
            config = self._world.config
            self._world.subscribe(Subscription.of_states(config.feed_states, config.visibility_timeout))
        else:
            self._world.unsubscribe()
        return answer({})


async def _body(request: web.Request) -> dict[str, Any]:
    value = json.loads(await request.read() or b"{}")
    if not isinstance(value, dict):
        raise ValueError("a JSON object is needed")  # noqa: TRY004
    return value


@web.middleware
async def explain(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer what is refused with the reason, and a wrong control call instead of a stack trace."""
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as error:
        return refusal(error.status, error.code, error.message)
    except UnknownOrderError:
        return refusal(404, "OMS004", "Order not found")
    except (ValueError, TypeError, KeyError) as error:
        if not request.path.startswith("/_sandbox/"):
            raise
        return refusal(400, "1", f"{type(error).__name__}: {error}")
    return response
