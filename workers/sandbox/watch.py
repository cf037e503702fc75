"""What a client of the outbound calls must never do, and what deserves a second look, counted by order.

The API accepts most of it without a word; that is why it is counted here. An attempt counts even when it is
refused. ``/_sandbox/audit`` shows every counter as ``{"count": …, "orders": […]}`` under ``never`` or
``doubtful``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.sandbox.clock import Clock

#: In a correct integration each of these stays at zero.
NEVER = {
    "overlapping_writes": "two writing calls of one order under way at the same time",
    "invoice_during_change": "an invoice was sent while a change of the order was running",
    "over_invoicing": "the invoices' sum passed the order's value",
    "invoice_repeated_same": "an invoice was sent again, number and content the same",
    "invoice_repeated_different": "an invoice number was used again for other content",
    "refund_before_invoice": "a return invoice came before the whole order was invoiced: no money moves",
    "refund_twice": "a return invoice was sent again, or asked for more than was left to give back",
    "accidental_confirmations": "a second cancel call confirmed a request soon, and nobody had said it should",
    "tracking_lost": "a tracking update carried fewer events than the one before",
    "change_applied_twice": "a change was applied whose content had been applied before",
    "cancel_after_invoice": "a cancellation was asked for although the order has an invoice",
}

#: These may be right; a test that does not mean them should see zero.
DOUBTFUL = {
    "abandoned_writes": "a writing call came while an earlier one ran whose client had gone away",
    "cancel_confirmations": "a second cancel call confirmed a request, expected or not",
    "cancel_during_change": "a cancellation was asked for while a change was running",
    "denied_own_request": "a cancellation request was refused by the side that had made it",
    "invoice_revives": "an invoice ended a cancellation request: the order goes on",
    "odd_invoice_numbers": "an invoice number has characters that later calls stumble over",
    "refund_alike": "a return invoice has the value and the items of an earlier one, under another number",
    "refund_not_requested": "a return invoice names a SKU twice, so VTEX asks for no refund",
    "unknown_invoice_items": "an invoice bills a SKU that the order does not have",
}

_LISTED = 100
_REMEMBERED = 200


class Watch:
    """Counts by order, and knows which writing calls are under way."""

    def __init__(self, clock: Clock) -> None:
        self.seen: dict[str, Counter[str]] = {name: Counter() for name in (*NEVER, *DOUBTFUL)}
        self._clock = clock
        self._under_way: dict[str, dict[int, Callable[[], bool]]] = {}
        self._tickets = 0
        self._writes: dict[str, list[tuple[float, str, int, str | None]]] = {}

    def note(self, name: str, order_id: str) -> None:
        """Count one."""
        self.seen[name][order_id] += 1

    def begin(self, order_id: str, attended: Callable[[], bool]) -> int:
        """Note that a writing call begins; ``attended`` says whether its client still waits for the answer."""
        others = self._under_way.setdefault(order_id, {})
        if any(waits() for waits in others.values()):
            self.note("overlapping_writes", order_id)
        elif others:
            self.note("abandoned_writes", order_id)
        self._tickets += 1
        others[self._tickets] = attended
        return self._tickets

    def end(self, order_id: str, ticket: int, call: str, status: int, fault: str | None) -> None:
        """Note that a writing call ended; status 0 is a cut connection."""
        others = self._under_way[order_id]
        del others[ticket]
        if not others:
            del self._under_way[order_id]
        written = self._writes.setdefault(order_id, [])
        if len(written) < _REMEMBERED:
            written.append((self._clock(), call, status, fault))

    def writes(self, order_id: str) -> list[dict[str, Any]]:
        """Return the writing calls of an order, the oldest first."""
        return [
            {"at": at, "call": call, "status": status, "fault": fault}
            for at, call, status, fault in self._writes.get(order_id, ())
        ]

    def report(self) -> dict[str, Any]:
        """Return every counter with the orders that it counts."""
        return {
            title: {
                name: {"count": self.seen[name].total(), "orders": list(self.seen[name])[:_LISTED]}
                for name in names
            }
            for title, names in (("never", NEVER), ("doubtful", DOUBTFUL))
        }

    def of_order(self, order_id: str) -> dict[str, int]:
        """Return the counters that are not zero for an order."""
        return {name: count[order_id] for name, count in self.seen.items() if count[order_id]}
