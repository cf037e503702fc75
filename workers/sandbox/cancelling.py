"""Cancellation: at once, or in two steps with somebody's consent; and the refusal of a request.

Source: VTEX's orders API reference, its guide to order cancellation, and its order flow page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.clock import stamp
from workers.sandbox.machine import CANCELS_AT_ONCE, CANCELS_IN_TWO_STEPS
from workers.sandbox.outbound import CancelRequest
from workers.sandbox.refused import Refused, object_of, text_of
from workers.vtex.states import CANCELED, CANCELLATION_REQUESTED, READY_FOR_HANDLING

if TYPE_CHECKING:
    from workers.sandbox.outbound import Outbound
    from workers.sandbox.store import Order
    from workers.sandbox.world import World


class Cancellations:
    """The cancel call, the refusal of a request, and what a shopper may do."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ask(self, order_id: str, raw: Any, *, expected: bool = False) -> dict[str, Any]:
        """Do what the cancel call does in the order's state; ``expected`` announces a confirmation."""
        order = self._world.store.get(order_id)
        reason, by_user = _read(raw)
        outbound = self._world.store.outbound(order)
        self._check_invoices(order, outbound)
        if outbound.running_change is not None:
            self._world.watch.note("cancel_during_change", order.order_id)
        if order.status in CANCELLATION_REQUESTED:
            self._confirm(order, outbound, reason, by_user=by_user, expected=expected)
        elif order.status in CANCELS_AT_ONCE or (
            order.status == READY_FOR_HANDLING and self._world.config.cancel_when_ready == "cancel"
        ):
            self._cancel(order, reason, by_user=by_user)
        elif order.status in CANCELS_IN_TWO_STEPS:
            self.request(order, reason, by_user=by_user, own=True)
        elif not (order.status == "invoiced" and self._world.config.cancel_after_return):
            raise Refused(400, f"Order in status {order.status} cannot be canceled")
        else:
            self._cancel(order, reason, by_user=by_user)
        answer = self._world.receipts.answer(order.order_id)
        return answer if self._world.config.cancel_receipt else {**answer, "receipt": None}

    def request(
        self,
        order: Order,
        reason: str | None,
        *,
        by_user: bool,
        own: bool = False,
        status: str = "cancellation-requested",
    ) -> None:
        """Note somebody's wish to cancel, and wait."""
        outbound = self._world.store.outbound(order)
        outbound.requests.append(
            CancelRequest(
                request_id=self._world.receipts.guid("cancellation"),
                reason=reason,
                by_user=by_user,
                at=self._world.clock(),
                own=own,
                before=order.status,
            )
        )
        self._show_requests(order, outbound)
        self._world.store.move(order, status)

    def deny(self, order_id: str, raw: Any) -> None:
        """Refuse a request: the order goes back to where it was."""
        order = self._world.store.get(order_id)
        body = object_of(raw)
        wanted, reason = text_of(body, "cancellationRequestId"), text_of(body, "denyReason")
        outbound = self._world.store.outbound(order)
        request = next((found for found in outbound.requests if found.request_id == wanted), None)
        if order.status in CANCELED:
            raise Refused(400, "Order is already canceled")
        if request is None:
            raise Refused(400, "Cancellation request not found")
        if order.status != "cancellation-requested" or request.denied is not None:
            raise Refused(400, f"Order in status {order.status} has no request to deny")
        if request.own:
            self._world.watch.note("denied_own_request", order.order_id)
        self.set_aside(order, reason)
        stuck = request.own and self._world.config.own_denial_sticks
        self._world.store.move(order, "cancellation-request-denied-ffm" if stuck else request.before)

    def set_aside(self, order: Order, reason: str) -> None:
        """Note that the open requests came to nothing."""
        outbound = self._world.store.outbound(order)
        for request in outbound.requests:
            if request.denied is None:
                request.denied, request.denied_at = reason, self._world.clock()
        self._show_requests(order, outbound)

    def _check_invoices(self, order: Order, outbound: Outbound) -> None:
        if not outbound.packages:
            return
        returned = outbound.invoiced > 0 and outbound.refunded >= outbound.invoiced
        if self._world.config.cancel_after_return and returned and order.status == "invoiced":
            return
        self._world.watch.note("cancel_after_invoice", order.order_id)
        raise Refused(400, "An order that has an invoice cannot be canceled")

    def _confirm(
        self, order: Order, outbound: Outbound, reason: str | None, *, by_user: bool, expected: bool
    ) -> None:
        watch = self._world.watch
        watch.note("cancel_confirmations", order.order_id)
        asked = max(
            (request.at for request in outbound.requests if request.own and not request.denied), default=None
        )
        hasty = asked is not None and self._world.clock() - asked < self._world.config.confirmation_window
        if hasty and not (expected or outbound.confirmation_expected):
            watch.note("accidental_confirmations", order.order_id)
        outbound.confirmation_expected = False
        self._cancel(order, reason, by_user=by_user)

    def _cancel(self, order: Order, reason: str | None, *, by_user: bool) -> None:
        self._world.changes.stop(order, "The order was canceled")
        self._world.store.move(order, "cancel")
        self._world.agenda.after(
            self._world.config.cancel_delay, lambda _due: self._close(order, reason, by_user=by_user)
        )

    def _close(self, order: Order, reason: str | None, *, by_user: bool) -> None:
        """End a cancellation; with the flutter of VTEX's known problem it looks undone for a moment."""
        if order.status != "cancel":
            return
        config, store = self._world.config, self._world.store
        outbound = store.outbound(order)
        if outbound.cancellation is None:
            outbound.cancellation = {
                "requestedByUser": by_user,
                "requestedBySystem": False,
                "requestedBySellerNotification": False,
                "requestedByPaymentNotification": False,
                "reason": reason,
                "cancellationDate": stamp(self._world.clock()),
            }
            self._world.agenda.after(config.cancel_reason_delay, lambda _due: self._show(order))
            if config.cancel_flutter:
                store.move(order, "canceled")
                store.move(order, "cancel")
                self._world.agenda.after(
                    config.cancel_delay, lambda _due: self._close(order, reason, by_user=by_user)
                )
                return
        store.move(order, "canceled")

    def _show(self, order: Order) -> None:
        """Write why the order was canceled into its document."""
        cancellation = self._world.store.outbound(order).cancellation or {}
        if self._world.config.cancel_names == "pascal":
            written = {name[0].upper() + name[1:]: value for name, value in cancellation.items()}
        else:
            written = dict(cancellation)
        self._world.store.touch(order, cancellationData=written, cancelReason=cancellation.get("reason"))

    def _show_requests(self, order: Order, outbound: Outbound) -> None:
        written = [
            {
                "id": request.request_id,
                "reason": request.reason or "",
                "cancellationRequestDate": stamp(request.at),
                "requestedByUser": request.by_user,
                "deniedBySeller": request.denied is not None,
                "deniedBySellerReason": request.denied,
                "cancellationRequestDenyDate": (
                    None if request.denied_at is None else stamp(request.denied_at)
                ),
            }
            for request in outbound.requests
        ]
        self._world.store.touch(order, cancellationRequests=written)


def _read(raw: Any) -> tuple[str | None, bool]:
    """Read the body of the cancel call, which may be missing."""
    if raw is None:
        return None, False
    body = object_of(raw)
    reason, by_user = body.get("reason"), body.get("requestedByUser", False)
    if reason is not None and not isinstance(reason, str):
        raise Refused(400, "The reason field must be a text")
    if not isinstance(by_user, bool):
        raise Refused(400, "The requestedByUser field must be true or false")
    return reason, by_user
