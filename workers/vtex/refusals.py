"""Whose word a 4xx is: VTEX's on what it was asked, or that of a gateway or proxy between us and VTEX.

VTEX says why, in JSON: ``{"error": {"code": "OMS003", "message": "…"}}`` (its orders API reference), in a list now and
then, with codes of their own for order modifications. A gateway in a bad moment sends a page, a line of text, nothing
at all, or JSON of its own (``{"message": "Not Found"}``). Of an order that says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from workers.net.words import clean
from workers.vtex.schemas import load_json

if TYPE_CHECKING:
    from workers.net.transport import Answer

_LONGEST_CODE = 40
#: What is a code and no sentence.
_CODE = re.compile(r"[\w.*…-]+")
#: Names of reasons in an error that has no code: ASP.NET's, in which VTEX's services are written, among them.
_REASONS = ("message", "errors", "title", "detail")
#: "There is no such address" is what every gateway says: of VTEX's own, the error has a name of its own.
_NAMELESS = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a 4xx says. ``theirs``: VTEX itself refuses what it was asked."""

    code: str | None
    message: Any
    theirs: bool


def read(answer: Answer, hidden: tuple[str, ...], *, wordless: bool) -> Refusal:
    """The refusal in an answer. ``wordless``: VTEX promises no words for this call, so none are needed."""
    try:
        text = answer.body.decode("utf-8-sig")
        body = load_json(text)
    except ValueError:
        return Refusal(None, "", theirs=wordless and not answer.body.strip())
    if wordless and body == {}:
        return Refusal(None, "", theirs=True)
    if isinstance(body, list) and body:
        body = body[0]
    named = isinstance(body, dict) and "error" in body
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Refusal(
            None, error, theirs=isinstance(error, str) and _may_be_theirs(answer, error, named=named)
        )
    lowered = {str(key).lower(): value for key, value in error.items()}
    code = clean(lowered.get("code"), hidden, _LONGEST_CODE)
    reason = code or next((lowered[name] for name in _REASONS if lowered.get(name)), None)
    theirs = bool(code) or _may_be_theirs(answer, reason, named=named)
    return Refusal(code if _CODE.fullmatch(code) else None, lowered.get("message"), theirs=theirs)


def _may_be_theirs(answer: Answer, reason: object, *, named: bool) -> bool:
    return bool(reason) and (named or answer.status not in _NAMELESS)
