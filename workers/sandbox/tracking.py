"""Tracking: the number on an invoice, and the events on the way to the buyer.

Source: VTEX's orders API reference, and its known problems about the characters of an invoice number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.refused import Refused, object_of, text_of

if TYPE_CHECKING:
    from workers.sandbox.outbound import Package
    from workers.sandbox.store import Order
    from workers.sandbox.world import World

_LONGEST = 5000  # characters of a description


class Tracking:
    """The two tracking calls."""

    def __init__(self, world: World) -> None:
        self._world = world

    def name_parcel(self, order_id: str, number: str, raw: Any) -> dict[str, Any]:
        """Put a tracking number, and what belongs to it, on an invoice."""
        order = self._world.store.get(order_id)
        package = self._package(order, number)
        body = object_of(raw)
        for name in ("trackingUrl", "courier", "dispatchedDate"):
            if body.get(name) is not None and not isinstance(body[name], str):
                raise Refused(400, f"The {name} field must be a text")
        package.tracking_number = text_of(body, "trackingNumber")
        package.tracking_url = body.get("trackingUrl")  # type: ignore[assignment] # checked above
        package.courier = body.get("courier")  # type: ignore[assignment]
        package.dispatched = body.get("dispatchedDate")  # type: ignore[assignment]
        self._world.invoices.show(order)
        return self._world.receipts.answer(order.order_id)

    def report(self, order_id: str, number: str, raw: Any) -> dict[str, Any]:
        """Take the events on the way, and the delivery."""
        order = self._world.store.get(order_id)
        package = self._package(order, number)
        body = object_of(raw)
        events = _events(body.get("events"))
        delivered = body.get("isDelivered")
        if not isinstance(delivered, bool):
            raise Refused(400, "The isDelivered field is required")
        at = body.get("deliveredDate")
        if at is not None and not isinstance(at, str):
            raise Refused(400, "The deliveredDate field must be a text")
        if not package.tracking_number:
            raise Refused(400, "The invoice has no tracking number")
        before = package.events or []
        if self._world.config.tracking_events == "append":
            events = before + [event for event in events if event not in before]
        elif len(events) < len(before):
            self._world.watch.note("tracking_lost", order.order_id)
        package.events = events
        package.delivered, package.delivered_at = delivered, at
        package.updates += 1
        self._world.invoices.show(order)
        return self._world.receipts.answer(order.order_id)

    def _package(self, order: Order, number: str) -> Package:
        """Find an invoice by what the address says, with the trouble that some characters make."""
        if "/" in number:
            raise Refused(404, "Invoice Not Found")
        if any(letter.isspace() for letter in number):
            raise Refused(500, "An error has occurred.")
        package = self._world.store.outbound(order).package(number)
        if package is None or not package.visible:
            raise Refused(404, "Invoice Not Found")
        return package


def _events(raw: Any) -> list[dict[str, Any]]:
    if not isinstance(raw, list):
        raise Refused(400, "The events field is required")
    events = []
    for event in raw:
        fields = object_of(event)
        read = {name: text_of(fields, name, empty=True) for name in ("city", "state", "description", "date")}
        if len(read["description"]) > _LONGEST:
            raise Refused(400, f"The description field has more than {_LONGEST} characters")
        events.append(read)
    return events
