"""What an order is about: buyer, goods, carrier, payment. The same for the same seed and number.

Nothing is stored: facts are thrown anew whenever they are needed. All money is in cents.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import NamedTuple

from workers.sandbox.catalog import CARRIERS, FIRST_NAMES, LAST_NAMES, PAYMENTS, PLACES, PRODUCTS

_CORPORATE = 0.08  # of the buyers are companies
_AFFILIATED = 0.1  # of the orders come from a marketplace
_DISCOUNTED = 0.3
_CUSTOM = 0.2


def order_id(seed: int, index: int) -> str:
    """Return the id of order number ``index``: thirteen digits and the number of the split, ``-01``."""
    return f"{1_000_000_000_000 + seed % 900 * 10**9 + index * 13 + seed % 13}-01"


def sequence(index: int) -> str:
    """Return the number that people call the order by; get-order takes it as ``seq500001``."""
    return str(500_001 + index)


class Line(NamedTuple):
    """One line of an order."""

    product: int
    quantity: int
    price: int
    discount: int  # of the whole line
    key: int  # tells this line from the order's others for good

    @property
    def selling_price(self) -> int:
        """Return the unit price after the discount, rounded: so lines need not add up, as at VTEX."""
        return self.price - round(self.discount / self.quantity)

    @property
    def sku(self) -> str:
        """Return the id of what is bought."""
        return sku(self.product)

    @property
    def total(self) -> int:
        """Return what the whole line costs."""
        return self.price * self.quantity - self.discount


class Facts(NamedTuple):
    """What the dice said about an order, before it becomes a document."""

    first_name: str
    last_name: str
    cpf: str
    place: int
    lines: list[Line]
    carrier: int
    payment: int
    shipping: list[int]
    affiliate: str
    corporate: bool
    custom: bool
    value: int
    #: What changes to the order added or took away without naming goods.
    manual: int = 0


def facts(seed: int, index: int, items: int | None = None) -> Facts:
    """Throw the dice for an order; ``items`` fixes the number of its lines."""
    dice = random.Random(f"order:{seed}:{index}")
    count = items or dice.choices((1, 2, 3, 4, 5), (65, 20, 8, 4, 3))[0]
    lines = []
    for key in range(count):
        product = dice.randrange(len(PRODUCTS))
        price = PRODUCTS[product].price
        quantity = dice.choices((1, 2, 3, 5), (75, 15, 7, 3))[0]
        discount = price * quantity * 5 // 100 if dice.random() < _DISCOUNTED else 0
        lines.append(Line(product, quantity, price, discount, key))
    carrier = dice.randrange(len(CARRIERS))
    freight = CARRIERS[carrier].price
    shipping = [freight // count] * count
    shipping[0] += freight - sum(shipping)
    return Facts(
        first_name=dice.choice(FIRST_NAMES),
        last_name=dice.choice(LAST_NAMES),
        cpf=cpf(dice),
        place=dice.randrange(len(PLACES)),
        lines=lines,
        carrier=carrier,
        payment=dice.randrange(len(PAYMENTS)),
        shipping=shipping,
        affiliate="MLB" if dice.random() < _AFFILIATED else "",
        corporate=dice.random() < _CORPORATE,
        custom=dice.random() < _CUSTOM,
        value=sum(line.total for line in lines) + freight,
    )


def sku(product: int) -> str:
    """Return the id of a product of the catalog."""
    return str(1001 + product)


def unique_id(seed: int, index: int, line: Line) -> str:
    """Return what tells a line from all other lines."""
    return identifier("line", seed, index, line.key)


def cpf(dice: random.Random) -> str:
    """Make a CPF whose check digits are right."""
    digits = [dice.randrange(10) for _ in range(9)]
    for length in (9, 10):
        weighted = sum(digit * (length + 1 - place) for place, digit in enumerate(digits))
        digits.append(weighted * 10 % 11 % 10)
    return "".join(map(str, digits))


def cnpj(base: str) -> str:
    """Make the CNPJ of a company's head office from eight digits; its check digits are right."""
    digits = [int(digit) for digit in f"{base}0001"]
    for _ in range(2):
        weighted = sum(digit * (2 + place % 8) for place, digit in enumerate(reversed(digits)))
        digits.append((11 - weighted % 11) % 11 % 10)
    return "".join(map(str, digits))


def ean(base: str) -> str:
    """Make an EAN-13 from twelve digits; its check digit is right."""
    weighted = sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(base))
    return f"{base}{-weighted % 10}"


def identifier(*parts: object) -> str:
    """Return 32 upper-case hexadecimal digits that belong to these parts, as VTEX's ids look."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest().upper()


def guid(*parts: object) -> str:
    """Return an identifier in the form of a GUID."""
    text = identifier(*parts).lower()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
