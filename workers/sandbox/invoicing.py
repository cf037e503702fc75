"""Invoices: what the invoice call accepts, and what becomes of the order.

Source: VTEX's orders API reference, its guide to order invoicing, and its known problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.invoice_form import Form, read_form
from workers.sandbox.machine import ALLOWS_INVOICES
from workers.sandbox.outbound import Package
from workers.sandbox.packages import packages
from workers.sandbox.refused import Refused
from workers.vtex.states import CANCELLATION_REQUESTED

if TYPE_CHECKING:
    from workers.sandbox.outbound import Outbound
    from workers.sandbox.store import Order
    from workers.sandbox.world import World


class Invoices:
    """The invoice call."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, order_id: str, body: Any) -> dict[str, Any]:
        """Accept an invoice, or not."""
        order = self._world.store.get(order_id)
        form = read_form(body, date_only=self._world.config.date_only_invoices)
        outbound = self._world.store.outbound(order)
        if outbound.running_change is not None:
            self._world.watch.note("invoice_during_change", order.order_id)
        known = outbound.package(form.number)
        if known is not None:
            return self._repeat(order, known, form)
        self._check_state(order, outbound, form)
        self._look(order, form)
        refunds = form.kind == "Input" and self._refunds(order, outbound, form)
        if form.kind == "Output":
            self._check_sum(order, outbound, form)
        answer = self._world.receipts.answer(order.order_id)
        package = Package(
            form=form,
            receipts=[answer["receipt"]],
            sent=self._world.clock(),
            courier=form.optional["courier"],
            tracking_number=form.optional["trackingNumber"],
            tracking_url=form.optional["trackingUrl"],
            dispatched=form.optional["dispatchedDate"],
            refunded=refunds,
        )
        outbound.packages.append(package)
        if form.kind == "Output":
            self._revive(order)
        if refunds:
            outbound.log.append({"source": "Sandbox", "message": f"Refund Payment: {form.value}"})
        self._world.store.touch(order, allowCancellation=False)
        self._world.agenda.after(
            self._world.config.invoice_delay, lambda _due: self._propagate(order, package)
        )
        return answer

    def settle(self, order: Order) -> None:
        """Move the order on as far as its invoices carry it; a change of its value may do so too."""
        outbound = self._world.store.outbound(order)
        sent = sum(
            package.form.value
            for package in outbound.packages
            if package.visible and package.form.kind == "Output"
        )
        if not sent or order.status not in ALLOWS_INVOICES | {"payment-approved"}:
            return
        value = self._world.store.facts(order).value
        if sent < value:
            waiting = self._world.config.partial_invoice_state
            if order.status in (CANCELLATION_REQUESTED | {"handling"}) and order.status != waiting:
                self._world.store.move(order, waiting)
        elif order.status not in ("invoice", "invoiced"):
            self._world.store.move(order, "invoice")
            if sent == value or self._world.config.over_invoicing != "stick":
                self._world.agenda.after(self._world.config.invoicing_delay, lambda _due: self._close(order))

    def _close(self, order: Order) -> None:
        if order.status == "invoice":
            order.invoiced = self._world.clock()
            self._world.store.touch(order, allowEdition=False)
            self._world.store.move(order, "invoiced")

    def _repeat(self, order: Order, package: Package, form: Form) -> dict[str, Any]:
        """Take the same number again: VTEX's reference says that only the receipt is new."""
        watch = self._world.watch
        same = package.form == form
        watch.note("invoice_repeated_same" if same else "invoice_repeated_different", order.order_id)
        if form.kind == "Input":
            watch.note("refund_twice", order.order_id)
        if self._world.config.repeated_invoice == "refuse":
            raise Refused(400, f"Invoice {form.number} was already sent")
        answer = self._world.receipts.answer(order.order_id)
        package.receipts.append(answer["receipt"])
        return answer

    def _check_state(self, order: Order, outbound: Outbound, form: Form) -> None:
        partly = order.status == "payment-approved" and outbound.invoiced > 0
        if order.status not in ALLOWS_INVOICES and not partly:
            raise Refused(400, f"Order in status {order.status} cannot receive the invoice {form.number}")

    def _look(self, order: Order, form: Form) -> None:
        """Count what deserves it."""
        watch = self._world.watch
        if not form.plain_number:
            watch.note("odd_invoice_numbers", order.order_id)
        skus = {line.sku for line in self._world.store.facts(order).lines}
        if any(item["id"] not in skus for item in form.items):
            watch.note("unknown_invoice_items", order.order_id)

    def _check_sum(self, order: Order, outbound: Outbound, form: Form) -> None:
        if outbound.invoiced + form.value <= self._world.store.facts(order).value:
            return
        self._world.watch.note("over_invoicing", order.order_id)
        if self._world.config.over_invoicing == "refuse":
            raise Refused(400, "The sum of the invoices is greater than the value of the order")

    def _refunds(self, order: Order, outbound: Outbound, form: Form) -> bool:
        """Say whether a return invoice makes VTEX give money back."""
        watch = self._world.watch
        if any(
            earlier.form.kind == "Input"
            and (earlier.form.value, earlier.form.items) == (form.value, form.items)
            for earlier in outbound.packages
        ):
            watch.note("refund_alike", order.order_id)
        if outbound.invoiced < self._world.store.facts(order).value:
            watch.note("refund_before_invoice", order.order_id)
            return False
        if form.value > outbound.invoiced - outbound.refunded:
            if outbound.refunded:
                watch.note("refund_twice", order.order_id)
            left = outbound.invoiced - outbound.refunded
            raise Refused(400, f"It is not possible to restitution Refund more than {left / 100}")
        if len({item["id"] for item in form.items}) < len(form.items):
            watch.note("refund_not_requested", order.order_id)
            return False
        return True

    def _revive(self, order: Order) -> None:
        """End a cancellation request: an invoice says that the order goes on."""
        if order.status in CANCELLATION_REQUESTED:
            self._world.watch.note("invoice_revives", order.order_id)
            self._world.cancellations.set_aside(order, "The order was invoiced")

    def _propagate(self, order: Order, package: Package) -> None:
        package.visible = True
        self.show(order)
        if package.form.kind == "Output":
            self.settle(order)

    def show(self, order: Order) -> None:
        """Write the packages that are known by now into the order's document."""
        outbound = self._world.store.outbound(order)
        lines = self._world.store.facts(order).lines
        self._world.store.touch(order, packageAttachment={"packages": packages(outbound.packages, lines)})
