"""Order changes, the asynchronous kind: asked for, acknowledged, confirmed, and then done or canceled.

Source: VTEX's orders API reference and its order modifications guide.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workers.sandbox.attachment import attach
from workers.sandbox.change_answers import accepted, default_settings, history, preview, single
from workers.sandbox.change_plan import check_body, plan
from workers.sandbox.clock import stamp
from workers.sandbox.machine import ALLOWS_CHANGES
from workers.sandbox.outbound import Change
from workers.sandbox.refused import Refused, object_of, text_of
from workers.sandbox.store import UnknownOrderError
from workers.vtex.states import CANCELED

if TYPE_CHECKING:
    from workers.sandbox.change_plan import Plan
    from workers.sandbox.store import Order
    from workers.sandbox.world import World

#: VTEX tries so often when it fails itself, and then cancels the change.
_SYSTEM_TRIES = 5
_KEYS = 1000  # new lines of one change have keys below this, and above it times the change's number


class Changes:
    """The calls about changes, and the account's settings of them."""

    def __init__(self, world: World) -> None:
        self.settings = default_settings(enabled=world.config.change_api)
        self._world = world
        self._scripted: list[dict[str, Any]] = []

    def script(
        self, reason: str = "", order: str = "", times: int = 1, *, system: bool = False, hang: bool = False
    ) -> None:
        """Cancel the next ``times`` changes (of one order) for a reason; ``system``: only after retries.

        With ``hang`` they never come to an end by themselves.
        """
        self._scripted += [{"reason": reason, "order": order, "system": system, "hang": hang}] * times

    def ask(self, order_id: str, raw: Any) -> dict[str, Any]:
        """Accept a change, or not; whether it is made shows later."""
        order, body = self._check(order_id, raw)
        outbound = self._world.store.outbound(order)
        if outbound.running_change is not None:
            raise Refused(400, "Another change of the order is in progress", "SalesOrderSystem014")
        value = self._world.store.facts(order).value
        total = self._plan(order, body).facts.value - value
        change = Change(
            request_id=self._world.receipts.guid("change"),
            workflow_id=self._world.receipts.guid("workflow"),
            body=body,
            status="",
            asked=self._world.clock(),
            before=value,
            total=total,
        )
        outbound.changes.append(change)
        self._start(order, change)
        return accepted(self._world.config.account, order.order_id, change, self.settings)

    def preview(self, order_id: str, raw: Any) -> dict[str, Any]:
        """Say what a change would do."""
        order, body = self._check(order_id, raw)
        total = self._plan(order, body).facts.value - self._world.store.facts(order).value
        config = self._world.config
        return preview(
            config.account,
            order.order_id,
            body,
            total=total,
            now=self._world.clock(),
            settings=self.settings,
        )

    def show(self, order_id: str, request_id: str) -> dict[str, Any]:
        """Show one change."""
        order, change = self._find(order_id, request_id)
        config = self._world.config
        return single(config.account, order.order_id, change, flag=config.change_flag)

    def history(self, order_id: str) -> dict[str, Any]:
        """Show every change of an order."""
        order = self._order(order_id)
        return history(self._world.config.account, order.order_id, self._world.store.outbound(order).changes)

    def retry(self, order_id: str, request_id: str) -> None:
        """Begin a change anew that is stuck; that makes no second one of it."""
        order, change = self._find(order_id, request_id)
        if change.status == "canceled":
            raise Refused(400, "The change was canceled: make a new one", "SalesOrderSystem017")
        if not change.running:
            raise Refused(400, "The change cannot be tried again", "SalesOrderSystem016")
        self._start(order, change)

    def cancel(self, order_id: str, request_id: str, raw: Any) -> None:
        """Cancel a change that is not made yet."""
        order, change = self._find(order_id, request_id)
        reason = text_of(object_of(raw), "reason")
        if not change.running:
            raise Refused(400, f"The change is {change.status} already")
        self._end(order, change, reason)

    def stop(self, order: Order, reason: str) -> None:
        """Cancel what is under way, because the order ends."""
        change = order.outbound.running_change if order.outbound is not None else None
        if change is not None:
            self._end(order, change, reason)

    def configure(self, raw: Any) -> dict[str, Any]:
        """Change the account's settings; parts that are not named stay."""
        for part, values in object_of(raw).items():
            if part in self.settings:
                self.settings[part] = {**self.settings[part], **object_of(values)}
        self.settings["rolloutConfiguration"]["usingDefaultBehavior"] = False
        return self.settings

    def _order(self, order_id: str) -> Order:
        try:
            return self._world.store.get(order_id)
        except UnknownOrderError:
            raise Refused(404, "Order not found", "CHK0201") from None

    def _find(self, order_id: str, request_id: str) -> tuple[Order, Change]:
        order = self._order(order_id)
        for change in self._world.store.outbound(order).changes:
            if change.request_id == request_id:
                return order, change
        raise Refused(404, "Change request not found")

    def _check(self, order_id: str, raw: Any) -> tuple[Order, dict[str, Any]]:
        """Refuse what the order, its state or the account does not allow."""
        if not self.settings["rolloutConfiguration"]["enableApi"]:
            raise Refused(403, "Changes through the API are not enabled for this account")
        order = self._order(order_id)
        body = object_of(raw)
        text_of(body, "reason")
        if (order.extra or {}).get("origin") == "Chain":
            raise Refused(400, "Chain orders cannot be changed", "CHK0095")
        if order.status in CANCELED:
            raise Refused(400, "The order is canceled", "SalesOrderSystem008")
        if order.status in ("invoice", "invoiced"):
            raise Refused(400, "The order is invoiced", "SalesOrderSystem046")
        if order.status not in ALLOWS_CHANGES:
            raise Refused(400, f"Order in status {order.status} cannot be changed", "CHK0124")
        if order.outbound is not None and order.outbound.legacy:
            raise Refused(400, "The order has a change of the previous version", "SalesOrderSystem015")
        check_body(body)
        return order, body

    def _plan(self, order: Order, body: dict[str, Any]) -> Plan:
        number = len(self._world.store.outbound(order).changes) + 1
        facts = self._world.store.facts(order)
        return plan(facts, body, self._world.config.seed, order.index, number * _KEYS)

    def _start(self, order: Order, change: Change) -> None:
        config = self._world.config
        change.attempt += 1
        script = self._next_script(order)
        hang = script is not None and script["hang"]
        confirm = config.change_confirm_delay
        if script is not None and script["system"]:
            confirm *= _SYSTEM_TRIES
        steps = [
            ("waiting-acknowledgement", config.change_acknowledge_delay),
            ("waiting-confirmation", confirm),
        ]
        if config.change_more_states:
            steps.insert(0, ("preparing", config.change_acknowledge_delay))
        if script is not None and not hang and config.change_more_states:
            steps.append(("canceling", config.change_confirm_delay))
        self._step(order, change, steps, change.attempt, script)

    def _step(
        self,
        order: Order,
        change: Change,
        steps: list[tuple[str, float]],
        attempt: int,
        script: dict[str, Any] | None,
    ) -> None:
        if attempt != change.attempt or (change.status and not change.running):
            return
        if not steps:
            self._finish(order, change, script)
            return
        (status, seconds), *rest = steps
        self._note(change, status)
        if not rest and script is not None and script["hang"]:
            return
        self._world.agenda.after(seconds, lambda _due: self._step(order, change, rest, attempt, script))

    def _finish(self, order: Order, change: Change, script: dict[str, Any] | None) -> None:
        if script is not None:
            for number in range(_SYSTEM_TRIES if script["system"] else 0):
                change.logs.append(
                    {"date": stamp(self._world.clock()), "status": "retry", "message": f"try {number + 1}"}
                )
            self._end(order, change, script["reason"])
            return
        try:
            if order.status not in ALLOWS_CHANGES:
                raise Refused(400, f"The order is in status {order.status} by now")  # noqa: TRY301
            self._apply(order, change, self._plan(order, change.body))
        except Refused as error:
            self._end(order, change, error.message)

    def _apply(self, order: Order, change: Change, made: Plan) -> None:
        store, watch = self._world.store, self._world.watch
        outbound = store.outbound(order)
        if any(
            earlier.status == "done" and _content(earlier.body) == _content(change.body)
            for earlier in outbound.changes
        ):
            watch.note("change_applied_twice", order.order_id)
        change.total = made.facts.value - store.facts(order).value
        self._note(change, "done")
        attach(store, order, change.body["reason"], made, self._world.receipts.answer(order.order_id))
        if outbound.invoiced > made.facts.value:
            watch.note("over_invoicing", order.order_id)
        self._world.invoices.settle(order)

    def _end(self, order: Order, change: Change, reason: str) -> None:
        change.canceled_for = reason
        change.total = 0
        self._note(change, "canceled")
        self._world.store.touch(order)

    def _note(self, change: Change, status: str) -> None:
        change.status = status
        change.logs.append({"date": stamp(self._world.clock()), "status": status, "message": ""})

    def _next_script(self, order: Order) -> dict[str, Any] | None:
        for place, script in enumerate(self._scripted):
            if script["order"] in ("", order.order_id):
                return self._scripted.pop(place)
        return None


def _content(body: dict[str, Any]) -> str:
    """Return what a change does, without why."""
    names = ("add", "remove", "replace", "manualDiscountValue", "manualIncrementValue")
    return json.dumps({name: body.get(name) or None for name in names}, sort_keys=True)
