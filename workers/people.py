"""Others' words (VTEX's, an ERP's) without the people that they may quote: they end up in logs and on screens.

Whoever refuses an order likes to say whose it was, and seldom as the document has it: without accents, in capitals, cut
short, with ``_`` for blanks, a telephone without its country, an address as part of a URL. So words are compared and
not texts: folded to lower case without accents, by their beginnings, and digits by runs of them. One innocent word too
many that becomes ``***`` does no harm; a status and a code stay, whatever the words are.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

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
#: A shorter word is no name that anybody could be found by.
_SHORTEST = 3
#: So many letters of a name, or digits of a number, tell it from others when no more of it is quoted.
_BEGINNING = 4
#: So many digits in a row belong to one number, wherever in it they stand.
_RUN = 6
#: Short words of names and addresses that are words of every sentence, too.
_PARTICLES = frozenset({"com", "das", "del", "dos", "para", "sem", "uma"})

_WORD = re.compile(r"[^\W\d_]+")
#: Digits, also in groups: 110.478.677-02, (11) 98765-4321.
_NUMBER = re.compile(r"\d(?:[^\w\n]{0,2}\d)*")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_HIDDEN = "***"


def fit_to_print(
    words: object, document: str = "", secrets: Iterable[str] = (), longest: int = MOST_WORDS
) -> str:
    """The words on one short line, without the customer of that document and without the secrets."""
    text = clean(words, secrets, _MOST_READ)
    if not text:
        return ""
    text = impersonal(_decoded(text))
    if document:
        text = _without(_People(document), text)
    return clean(text, secrets, longest)


class _People:
    """What a document says of people, as it is compared."""

    def __init__(self, document: str) -> None:
        self.words: set[str] = set()
        self.numbers: set[str] = set()
        try:
            order = load_json(document)
        except ValueError:
            order = None
        for path in _PERSONAL:
            for value in _texts(_at(order, path)):
                # of an e-mail address what stands before the @: what comes after it is a company's
                name = value.partition("@")[0]
                self.words |= {word for word in _WORD.findall(_folded(name)[0]) if _names_somebody(word)}
                digits = _digits(value)
                if len(digits) >= _BEGINNING:
                    self.numbers.add(digits)
        self._beginnings = {word[:_BEGINNING] for word in self.words if len(word) >= _BEGINNING}
        self._runs = {
            number[at : at + _RUN] for number in self.numbers for at in range(len(number) - _RUN + 1)
        }

    def has_word(self, word: str) -> bool:
        """Whether it is a word of theirs, the beginning of one, or begins with one."""
        if word in self.words:
            return True
        if word[:_BEGINNING] in self._beginnings and len(word) >= _BEGINNING:
            return any(mine.startswith(word) or word.startswith(mine) for mine in self.words)
        return False

    def has_number(self, digits: str) -> bool:
        """Whether it shares a run of digits with a number of theirs, or is the beginning of one."""
        if any(digits[at : at + _RUN] in self._runs for at in range(len(digits) - _RUN + 1)):
            return True
        return len(digits) >= _BEGINNING and any(number.startswith(digits) for number in self.numbers)


def _without(people: _People, text: str) -> str:
    folded, places = _folded(text)
    hidden = [False] * len(text)
    found = [match for match in _WORD.finditer(folded) if people.has_word(match[0])]
    found += [match for match in _NUMBER.finditer(folded) if people.has_number(_digits(match[0]))]
    for match in found:
        for at in range(places[match.start()], places[match.end() - 1] + 1):
            hidden[at] = True
    return "".join(
        (_HIDDEN if not at or not hidden[at - 1] else "") if hides else char
        for at, (char, hides) in enumerate(zip(text, hidden, strict=True))
    )


def _folded(text: str) -> tuple[str, list[int]]:
    """The text as it is compared, and for each of its characters the place in the text where it comes from."""
    made: list[str] = []
    places: list[int] = []
    for at, char in enumerate(text):
        for part in unicodedata.normalize("NFKD", char).casefold():
            if not unicodedata.combining(part):
                made.append(part)
                places.append(at)
    return "".join(made), places


def _decoded(text: str) -> str:
    """As a person reads it: what a URL, a page or JSON within JSON wrote in its own way is written out."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), html.unescape(unquote(text)))
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())


def _names_somebody(word: str) -> bool:
    return len(word) >= _SHORTEST and word not in _PARTICLES


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
