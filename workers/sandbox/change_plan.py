"""What a change makes of an order: goods added, removed and replaced, and values by hand. Money is in cents.

Source: VTEX's order modifications guide, with its error codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from workers.sandbox.catalog import PAYMENTS, PRODUCTS
from workers.sandbox.orders import Line, sku, unique_id
from workers.sandbox.refused import Refused, whole

if TYPE_CHECKING:
    from workers.sandbox.orders import Facts

BAD_ITEM = "SalesOrderSystem010"
BAD_QUANTITY = "SalesOrderSystem011"
AMBIGUOUS_ITEM = "SalesOrderSystem026"
EXCEEDS_PRICE = "CHK0034"
NO_INCREASE = "CHK00342"

#: Only these may cost more after a change.
_INCREASABLE = frozenset({"creditCard", "promissory", "cash", "creditControl"})
_PRODUCTS = {sku(number): number for number in range(len(PRODUCTS))}


class Plan(NamedTuple):
    """An order after a change, and what came and went, as changesAttachment tells it."""

    facts: Facts
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    discount: int
    increment: int


class Draft:
    """An order's goods while they are changed. ``first_key`` begins the keys of new lines."""

    def __init__(self, facts: Facts, seed: int, index: int, first_key: int) -> None:
        self.added: list[dict[str, Any]] = []
        self.removed: list[dict[str, Any]] = []
        self.manual = facts.manual
        self._facts = facts
        self._seed = seed
        self._index = index
        self._next_key = first_key
        self._lines = list(zip(facts.lines, facts.shipping, strict=True))

    def add(self, item: dict[str, Any], freight: int = 0) -> None:
        """Put goods in: at the price of the catalog, unless another is named."""
        product = _PRODUCTS.get(item["id"])
        if product is None:
            raise Refused(400, f"Item {item['id']} is not in the catalog", BAD_ITEM)
        price = item.get("price")
        line = Line(
            product=product,
            quantity=item["quantity"],
            price=PRODUCTS[product].price if price is None else price,
            discount=item.get("manualDiscountValue") or 0,
            key=self._next_key,
        )
        self._next_key += 1
        self.manual += item.get("manualIncrementValue") or 0
        self._lines.append((line, freight))
        self.added.append(_entry(line, line.quantity))

    def remove(self, item: dict[str, Any]) -> Line:
        """Take goods out, and return the line that they were in."""
        wanted = item.get("uniqueId")
        found = [
            place
            for place, (line, _) in enumerate(self._lines)
            if line.sku == item["id"] and wanted in (None, unique_id(self._seed, self._index, line))
        ]
        if not found:
            raise Refused(400, f"Item {item['id']} is not in the order", BAD_ITEM)
        if len(found) > 1:
            raise Refused(400, f"More than one line has item {item['id']}: send uniqueId", AMBIGUOUS_ITEM)
        return self.take(found[0], item["quantity"])

    def take(self, place: int, quantity: int) -> Line:
        """Take so many out of a line."""
        line, freight = self._lines[place]
        left = line.quantity - quantity
        if left < 0:
            raise Refused(400, f"The line of item {line.sku} has only {line.quantity}", BAD_QUANTITY)
        self.removed.append(_entry(line, quantity))
        if left:
            rest = line._replace(quantity=left, discount=line.discount * left // line.quantity)
            self._lines[place] = (rest, freight)
            return line
        del self._lines[place]
        if self._lines:
            # The freight was paid for the delivery as a whole.
            first, paid = self._lines[0]
            self._lines[0] = (first, paid + freight)
        return line

    def place_of(self, wanted: str) -> int | None:
        """Return where the first line of a SKU is."""
        return next((place for place, (line, _) in enumerate(self._lines) if line.sku == wanted), None)

    def goods(self) -> int:
        """Return what lines and freight cost together."""
        return sum(line.total + freight for line, freight in self._lines)

    def finish(self, discount: int, increment: int) -> Plan:
        """Return the order as it is then."""
        if not self._lines:
            raise Refused(400, "An order cannot lose all of its items", BAD_QUANTITY)
        manual = self.manual + increment - discount
        value = self.goods() + manual
        if value < 0:
            raise Refused(400, "The discount exceeds the price of the order", EXCEEDS_PRICE)
        facts = self._facts._replace(
            lines=[line for line, _ in self._lines],
            shipping=[freight for _, freight in self._lines],
            manual=manual,
            value=value,
        )
        return Plan(facts, self.added, self.removed, discount, increment)


def plan(facts: Facts, body: dict[str, Any], seed: int, index: int, first_key: int) -> Plan:
    """Work out an asynchronous change; Refused says with VTEX's code why it cannot be."""
    draft = Draft(facts, seed, index, first_key)
    for item in items_of(body.get("remove")):
        draft.remove(item)
    for item in items_of(body.get("add")):
        draft.add(item)
    for pair in body.get("replace") or ():
        gone = [draft.remove(item) for item in items_of(pair["from"])]
        prices = {line.sku: line.price for line in gone}
        for item, freight in zip(items_of(pair["to"]), _freights(pair["to"]), strict=False):
            price = item.get("price")
            draft.add({**item, "price": prices.get(item["id"]) if price is None else price}, freight)
    result = draft.finish(body.get("manualDiscountValue") or 0, body.get("manualIncrementValue") or 0)
    if result.facts.value > facts.value and PAYMENTS[facts.payment].group not in _INCREASABLE:
        raise Refused(400, "The order's payment cannot be increased", NO_INCREASE)
    return result


def items_of(part: Any) -> list[dict[str, Any]]:
    """Return the items of an ``add``, a ``remove``, or a side of a ``replace``."""
    return list((part or {}).get("items") or ())


def check_body(body: dict[str, Any]) -> None:
    """Refuse a change that says nothing, or not in VTEX's form."""
    sides: list[Any] = [body.get("add"), body.get("remove")]
    pairs = body.get("replace")
    if pairs is not None and not isinstance(pairs, list):
        raise Refused(400, "The replace field must be a list")
    for pair in pairs or ():
        if not isinstance(pair, dict) or not items_of(pair.get("from")) or not items_of(pair.get("to")):
            raise Refused(400, "Every replace needs items in from and to", BAD_ITEM)
        sides += [pair["from"], pair["to"]]
    for side in sides:
        if side is not None and not isinstance(side, dict):
            raise Refused(400, "add and remove must be objects with items")
        for item in items_of(side):
            _check_item(item)
    values = [body.get(name) or 0 for name in ("manualDiscountValue", "manualIncrementValue")]
    if not all(whole(value) and value >= 0 for value in values):
        raise Refused(400, "Values by hand must be cents, 0 or more")
    if not any((*values, items_of(sides[0]), items_of(sides[1]), pairs)):
        raise Refused(400, "The change changes nothing")


def _check_item(item: Any) -> None:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise Refused(400, "Every item needs an id, as a text", BAD_ITEM)
    if not whole(item.get("quantity")) or item["quantity"] < 1:
        raise Refused(400, f"Item {item['id']} needs a quantity", BAD_QUANTITY)
    for name in ("price", "manualDiscountValue", "manualIncrementValue"):
        if item.get(name) is not None and (not whole(item[name]) or item[name] < 0):
            raise Refused(400, f"The {name} of item {item['id']} must be cents", BAD_ITEM)


def _freights(side: dict[str, Any]) -> list[int]:
    """Return the freight of each new item, 0 where none is named."""
    freights = [0] * len(items_of(side))
    for info in (side.get("shippingData") or {}).get("logisticsInfo") or ():
        place = info.get("itemIndex")
        if whole(place) and 0 <= place < len(freights) and whole(info.get("price")):
            freights[place] = info["price"]
    return freights


def _entry(line: Line, quantity: int) -> dict[str, Any]:
    return {
        "id": line.sku,
        "name": PRODUCTS[line.product].name,
        "quantity": quantity,
        "price": line.selling_price,
        "unitMultiplier": None,
    }
