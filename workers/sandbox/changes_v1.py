"""Order changes, the old synchronous kind, which VTEX switched off in March 2026.

Source: VTEX's orders API reference, and its archived guide to the integration of ERPs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.attachment import attach
from workers.sandbox.change_plan import Draft, Plan
from workers.sandbox.machine import ALLOWS_CHANGES
from workers.sandbox.refused import Refused, object_of, text_of, whole

if TYPE_CHECKING:
    from workers.sandbox.store import Order
    from workers.sandbox.world import World

_MOST = 50  # changes of one order
_KEYS = 1000


class LegacyChanges:
    """The old call; it answers that it is gone unless the configuration keeps it alive."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ask(self, order_id: str, raw: Any) -> dict[str, Any]:
        """Make a change at once; a requestId that was seen changes nothing and gets the first answer again."""
        config, store = self._world.config, self._world.store
        if not config.change_v1:
            raise Refused(config.change_v1_gone, "This endpoint was deactivated. Use order modifications.")
        order = store.get(order_id)
        body = _read(raw)
        outbound = store.outbound(order)
        request_id = body["requestId"]
        for known, answer in outbound.legacy:
            if known is not None and known == request_id:
                return answer
        self._check(order)
        content = {name: value for name, value in body.items() if name not in ("requestId", "reason")}
        made = self._make(order, body)
        answer = self._world.receipts.answer(order.order_id)
        if any(content == earlier for earlier in outbound.legacy_contents):
            self._world.watch.note("change_applied_twice", order.order_id)
        outbound.legacy.append((request_id, answer))
        outbound.legacy_contents.append(content)
        attach(store, order, body["reason"], made, answer)
        self._world.invoices.settle(order)
        return answer

    def _check(self, order: Order) -> None:
        outbound = self._world.store.outbound(order)
        if order.status not in ALLOWS_CHANGES:
            raise Refused(400, f"Order in status {order.status} cannot be changed")
        if (order.extra or {}).get("origin") == "Chain":
            raise Refused(400, "Chain orders cannot be changed", "CHK0095")
        if outbound.changes:
            raise Refused(400, "The order has changes of the new kind", "SalesOrderSystem015")
        if len(outbound.legacy) >= _MOST:
            raise Refused(400, f"An order has {_MOST} changes at most")

    def _make(self, order: Order, body: dict[str, Any]) -> Plan:
        """Work out the change: its two values are all that moves money, whatever the goods cost."""
        facts = self._world.store.facts(order)
        number = len(self._world.store.outbound(order).legacy) + 1
        draft = Draft(facts, self._world.config.seed, order.index, number * _KEYS)
        for item in body["itemsRemoved"]:
            place = draft.place_of(item["id"])
            if place is None:
                raise Refused(404, f"Item {item['id']} is not in the order")
            draft.take(place, item["quantity"])
        for item in body["itemsAdded"]:
            try:
                draft.add(item)
            except Refused as error:
                raise Refused(404, error.message) from None
        draft.manual = facts.value - draft.goods()
        return draft.finish(body["discountValue"], body["incrementValue"])


def _read(raw: Any) -> dict[str, Any]:
    """Check the body; the older guide sends no requestId."""
    body = object_of(raw)
    read: dict[str, Any] = {"requestId": body.get("requestId"), "reason": text_of(body, "reason")}
    if read["requestId"] is not None:
        text_of(body, "requestId")
    for name in ("discountValue", "incrementValue"):
        value = body.get(name)
        if not whole(value) or value < 0:  # type: ignore[operator] # whole() looked
            raise Refused(400, f"The {name} field must be cents, 0 or more")
        read[name] = value
    for name in ("itemsRemoved", "itemsAdded"):
        items = body.get(name) or []
        if not isinstance(items, list) or not all(_fits(item) for item in items):
            raise Refused(400, f"Every item of {name} needs an id, a price and a quantity")
        read[name] = items
    return read


def _fits(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("id"), str)
        and whole(item.get("price"))
        and item["price"] >= 0
        and whole(item.get("quantity"))
        and item["quantity"] > 0
    )
