"""The changes of an order as get-order shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.sandbox.change_plan import Plan
    from workers.sandbox.store import Order, Store


def attach(store: Store, order: Order, reason: str, made: Plan, answer: dict[str, Any]) -> None:
    """Put a change that was made into the order, and into what its document says about changes."""
    order.changed_facts = made.facts
    before = ((order.extra or {}).get("changesAttachment") or {}).get("changesData", [])
    entry = {
        "reason": reason,
        "discountValue": made.discount,
        "incrementValue": made.increment,
        "itemsAdded": made.added,
        "itemsRemoved": made.removed,
        "receipt": answer,
    }
    store.touch(order, changesAttachment={"id": "changeAttachment", "changesData": [*before, entry]})
