"""The one reader of JSON for what an ERP or VTEX's hook sends, whichever way it comes: HTTP, file, broker, Flower.

A name that stands twice in one object is refused: which of two values is meant (Output, Input), nobody can tell, and
of two programs each may read another one (RFC 8259, 4; RFC 7493, 2.3 forbids it). NaN and Infinity are no JSON.
What a payload may hold beyond that is looked at in :mod:`workers.vtex.payloads`, whichever way it came, too.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

from workers.net.words import clean

#: Bytes: an invoice may carry its XML.
LARGEST: Final = 4 * 2**20
#: More values than any payload may have; a text of brackets alone would take two hundred times its size in memory.
MOST_VALUES: Final = 50_000
#: A text that is shorter cannot do harm, and is not counted.
_SHORT: Final = 64 * 2**10
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONGEST_NAME = 40


class Unreadable(ValueError):
    """It cannot be used; the text goes on after "the body", "the file" or the like, and quotes no content."""


class Twice(Unreadable):
    """A name stands twice in one object; ``name`` is fit to be shown."""

    def __init__(self, name: str) -> None:
        super().__init__(f'has "{name}" twice in one object; write it once')
        self.name = name


def read(raw: bytes | str, largest: int = LARGEST) -> Any:
    """The value of a JSON text in UTF-8; :class:`Unreadable` says what is wrong, and where."""
    if len(raw) > largest:
        raise Unreadable(f"is larger than {largest} bytes")
    try:
        text = (raw if isinstance(raw, str) else raw.decode()).removeprefix("\ufeff")
        if len(text) > _SHORT:
            _count(text)
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except Unreadable:
        raise
    except json.JSONDecodeError as error:
        what = f"is not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
    except UnicodeDecodeError as error:
        what = f"is not text in UTF-8 (byte {error.start + 1})"
    except RecursionError:
        what = "is nested too deeply"
    except ValueError:  # Python's own limit
        what = "has a number of thousands of digits"
    raise Unreadable(what)  # not from the error itself: that one carries the text


def _count(text: str) -> None:
    bare = _STRING.sub("", text)
    if bare.count(",") + bare.count("[") + bare.count("{") > MOST_VALUES:
        raise Unreadable(f"has more than {MOST_VALUES} values")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise Twice(clean(twice, (), _LONGEST_NAME) or "?")
    return made


def _no_constant(name: str) -> NoReturn:
    raise Unreadable(f"has {name}, which is no JSON; write a number, or null")
