"""What the forms of an ERP's payloads share: how names are checked, how a payload is told from another."""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, validates_schema

from workers.net.words import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LIKENESS = 0.8
_LONGEST_NAME = 40


class Form(Schema):
    """A form that refuses a name which resembles one of its own.

    A field of another name is passed to VTEX where ``open_`` is true: its invoices know more than its reference
    tells. Elsewhere it is refused, since it could only be lost.
    """

    open_: ClassVar[bool] = False
    #: What to say of names that an ERP may well use here and should not, by their :func:`folded` names.
    hints: ClassVar[Mapping[str, str]] = {}

    error_messages = {"type": "is not an object; write {…}"}  # noqa: RUF012 (marshmallow's own way)

    class Meta:  # noqa: D106
        unknown = EXCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check_names(self, data: Any, original: Any, **_: Any) -> None:  # noqa: ARG002
        strange = self.strange(original)
        if not strange:
            return
        known = self.names()
        problems = {
            clean(name, (), _LONGEST_NAME) or "?": [problem]
            for name in strange
            if (problem := self._problem(name, known))
        }
        if problems:
            raise ValidationError(problems)

    def names(self) -> list[str]:
        """The names of the form's own fields."""
        return [field.data_key or name for name, field in self.fields.items()]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names())

    def strange(self, original: Any) -> dict[str, Any]:
        """The fields of a payload that the form does not know."""
        known = self._known
        return (
            {name: value for name, value in original.items() if name not in known}
            if isinstance(original, dict)
            else {}
        )

    def _problem(self, name: str, known: list[str]) -> str | None:
        if hint := self.hints.get(folded(name)):
            return hint
        if meant := resembling(name, known):
            return f"is not known; did you mean {meant}?"
        if self.open_:
            return None
        return f"is not known, and would be lost; known are {', '.join(known)}"


def resembling(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody probably meant."""
    plain = {folded(own): own for own in known}
    close = difflib.get_close_matches(folded(name), plain, n=1, cutoff=_LIKENESS)
    return plain[close[0]] if close else None


def folded(name: str) -> str:
    """A name's letters and digits without case and accents: ``Código_Rastreio`` is ``codigorastreio``."""
    apart = unicodedata.normalize("NFKD", name[: 2 * _LONGEST_NAME]).casefold()
    return "".join(char for char in apart if char.isalnum())[:_LONGEST_NAME]


def fingerprint(kind: str, *parts: Any) -> str:
    """What tells one payload from another, whatever the order of its fields and the spelling of its numbers."""
    text = json.dumps([kind, *parts], sort_keys=True, separators=(",", ":"), default=_fields)
    return hashlib.sha256(text.encode()).hexdigest()


def _fields(record: Any) -> dict[str, Any]:
    """A dataclass's, without the copy that ``asdict`` makes of all that is in them."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
