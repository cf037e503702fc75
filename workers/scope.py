"""Which orders are ours. Others are acknowledged and counted, never handed to the ERP, never handled.

``ORDER_SCOPE`` is a list of rules, separated by semicolons: ``channels=1,2; affiliates=!MLB``. An order is ours
if every rule lets it through. A rule names values; one with ``!`` before it is left out, and a rule of only such
values lets everything else through. The rules:

    channels    the sales channel's id
    sellers     the id of a seller of the order ("1" is the store itself)
    affiliates  the three-letter code of the marketplace that sent it; "none" for the store's own orders
    origins     Marketplace, Fulfillment or Chain
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from workers.vtex.schemas import Order

RULES = ("channels", "sellers", "affiliates", "origins")
ORIGINS = frozenset({"Marketplace", "Fulfillment", "Chain"})
#: What a rule calls an order without an affiliate.
NONE = "none"
#: The seller id of the store itself.
OWN_SELLER = "1"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``wanted`` empty means everything that is not ``unwanted``."""

    wanted: frozenset[str] = frozenset()
    unwanted: frozenset[str] = frozenset()

    def allows(self, values: tuple[str, ...]) -> bool:
        """Tell whether one of the order's values is let through."""
        return any(
            v not in self.unwanted and (not self.wanted or v in self.wanted)
            for v in map(str.casefold, values)
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """All rules by name; without any, every order is ours."""

    rules: dict[str, Rule] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The same for the same rules, "" for none: which scope left an order out."""
        rules = sorted(
            (name, sorted(rule.wanted), sorted(rule.unwanted)) for name, rule in self.rules.items()
        )
        return hashlib.sha256(repr(rules).encode()).hexdigest()[:8] if rules else ""

    def outside(self, order: Order) -> str | None:
        """Why the order is not ours, in words; None if it is."""
        for name, rule in self.rules.items():
            values = _values(name, order)
            if not rule.allows(values):
                return f"{name} {','.join(values)}"
        return None


def parse(text: str) -> Scope:
    """Read ``ORDER_SCOPE``; ``ValueError`` says which word is wrong."""
    rules: dict[str, Rule] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, equals, listed = (piece.strip() for piece in part.partition("="))
        values = [value.strip() for value in listed.split(",") if value.strip(" !")]
        if name not in RULES or not equals or not values or any(set(value) & {" ", "="} for value in values):
            raise ValueError(
                f"has {part!r}, which is not one of {', '.join(RULES)} with =value,value after it"
            )
        if name in rules:
            raise ValueError(f"names {name} twice")
        unwanted = frozenset(value[1:].strip() for value in values if value.startswith("!"))
        wanted = frozenset(value for value in values if not value.startswith("!"))
        if name == "origins" and not wanted | unwanted <= ORIGINS:
            raise ValueError(f"has an origin that VTEX does not know; there are {', '.join(sorted(ORIGINS))}")
        rules[name] = Rule(*(frozenset(map(str.casefold, some)) for some in (wanted, unwanted)))
    return Scope(rules)


def is_handled_elsewhere(order: Order) -> bool:
    """True for the marketplace's side of an order and for chain orders: start-handling is the seller's to do."""
    others_only = bool(order.seller_ids) and OWN_SELLER not in order.seller_ids
    return order.origin == "Chain" or (order.origin == "Marketplace" and others_only)


def _values(name: str, order: Order) -> tuple[str, ...]:
    if name == "sellers":
        return order.seller_ids or (NONE,)
    value = {"channels": order.sales_channel, "affiliates": order.affiliate_id, "origins": order.origin}[name]
    return (value or NONE,)
