"""Money and counts as VTEX's orders API writes them: whole numbers, money in cents.

``95.08`` is refused rather than guessed at: 9508 and 95 are both plausible, and one of them charges a customer
a hundredth of what he owes.
"""

from __future__ import annotations

import re
from decimal import Decimal

#: Beyond it a number is no longer exact in JSON as most of the world reads it.
LARGEST = 2**53
_DIGITS = re.compile(r"[0-9]{1,400}")
_DECIMAL = re.compile(r"([0-9]{1,3}(?:[., ][0-9]{3})+|[0-9]{1,15})[.,]([0-9]{1,2})")
_ECHOED = re.compile(r"[-+0-9.,eE ]{1,30}")


def cents(value: object, least: int = 0) -> int:
    """The whole cents that ``value`` says; ValueError says what to write instead."""
    amount = _whole(value)
    if amount is None:
        raise ValueError(f"{shown(value)} is not a whole number of cents; {_instead(value)}")
    if amount < least:
        reason = "is negative" if amount < 0 else f"is less than the {least} cent that VTEX asks for"
        raise ValueError(f"{amount} {reason}; write what is charged, in cents (9508 for 95.08)")
    if amount > LARGEST:
        raise ValueError(f"is more than {LARGEST} cents; write what is charged, in cents (9508 for 95.08)")
    return amount


def count(value: object, most: int = 2**31 - 1) -> int:
    """How many; at least one. ValueError says what to write instead."""
    amount = _whole(value)
    if amount is None or not 1 <= amount <= most:
        raise ValueError(f"{shown(value)} is not a quantity; write a whole number from 1 to {most}")
    return amount


def shown(value: object) -> str:
    """A number as it was written; of anything else, which may hold anything, its kind alone."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, float) or abs(value) <= LARGEST else "such a large number"
    if isinstance(value, str):
        text = value.strip()
        return f'"{text}"' if _ECHOED.fullmatch(text) else ("a text" if text else "an empty text")
    return "a list" if isinstance(value, list) else "an object"


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    return None


def _instead(value: object) -> str:
    """What was probably meant, if that can be told."""
    if isinstance(value, float):
        hundredfold = Decimal(repr(value)) * 100
        if value.is_integer() and 0 <= value <= LARGEST:
            return f"write {int(value)} if these are cents, {int(hundredfold)} if they are not"
        if 0 <= hundredfold <= LARGEST and hundredfold == int(hundredfold):
            return f"write {int(hundredfold)}"
    if isinstance(value, str) and (match := _DECIMAL.fullmatch(value.strip().removeprefix("R$").strip())):
        whole, fraction = match.groups()
        return f"write {int(re.sub('[., ]', '', whole) + fraction.ljust(2, '0'))}"
    return "write it without a separator, for example 9508 for 95.08"
