"""Tracebacks for the log: where it was and of which kind, without the values that an error quotes.

They may be a customer's. A key that was missing is told if the program itself has that word, as in
``payload["properties"]``: ``KeyError: 'properties'`` says what is wrong, and ``KeyError: 'Maria'`` whom it was about.
Secrets are struck out later, wherever they stand (:class:`workers.telemetry.Redactor`).
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Any

from workers.net.words import impersonal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What an error quotes.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
#: A name, such as programs have them.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def rendered(exc_info: Any) -> str:
    """The traceback of ``(type, error, traceback)`` as text, with its causes."""
    _, error, _ = exc_info
    text = "".join(traceback.format_exception(error)).rstrip()
    for one in causes_of(error):
        said = str(one)
        if said and isinstance(one, ValueError | LookupError):
            known = _words_of(one) if isinstance(one, KeyError) else frozenset()
            text = text.replace(said, _without_values(said, known))
    return impersonal(text)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on; each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _without_values(said: str, known: frozenset[str]) -> str:
    """Its words; of what it quotes only the names that are known."""

    def told(quoted: re.Match[str]) -> str:
        word = quoted[0][1:-1]
        return quoted[0] if word in known and _NAME.fullmatch(word) else "'***'"

    return _QUOTED.sub(told, said)


def _words_of(error: BaseException) -> frozenset[str]:
    """The texts that stand in the functions that the error came through."""
    return frozenset(
        word for frame, _ in traceback.walk_tb(error.__traceback__) for word in _texts(frame.f_code.co_consts)
    )


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple | frozenset):  # of an ``in (...)``, or a loop over names
            yield from _texts(value)
