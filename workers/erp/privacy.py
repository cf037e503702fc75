"""An ERP's own words, without the customer's data that they may quote: they end up in logs and on screens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workers.net.words import clean, impersonal
from workers.vtex.schemas import load_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Long enough for a reason, short enough to stay whole in the order's record.
MOST_WORDS = 150
_MOST_READ = 4000

#: Where an order document speaks of the person who bought.
_PERSONAL = (
    ("clientProfileData",),
    ("shippingData", "address"),
    ("shippingData", "selectedAddresses"),
    ("invoiceData",),
    ("openTextField",),
)
#: What stands there and says nothing about one person: words such as BRA or residential.
_IMPERSONAL = frozenset({"addressType", "country", "state", "documentType", "entityId", "id"})
_SHORTEST = 3
_ENOUGH_DIGITS = 6


def fit_to_print(words: str, document: str = "", secrets: Iterable[str] = ()) -> str:
    """The words on one short line, without the customer of that document and without the secrets."""
    text = clean(words, secrets, _MOST_READ)
    if text and document and (quotes := _quotes(document)):
        text = quotes.sub("***", text)
    return clean(impersonal(text), (), MOST_WORDS)


def _quotes(document: str) -> re.Pattern[str] | None:
    """What finds any of the document's personal values, digits also when they are written in groups."""
    try:
        order = load_json(document)
    except ValueError:
        return None
    values = {value for path in _PERSONAL for value in _texts(_at(order, path))}
    patterns = []
    for value in sorted(values, key=len, reverse=True):
        patterns.append(rf"(?<!\w){re.escape(value)}(?!\w)")
        digits = "".join(char for char in value if char.isdigit())
        if len(digits) >= _ENOUGH_DIGITS:
            patterns.append(r"\D{0,2}".join(digits))
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _IMPERSONAL:
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str) and len(value.strip()) >= _SHORTEST:
        yield value.strip()
