"""The fields of what an ERP sends.

They are strict, unlike the reading of what VTEX sends: what is in doubt is refused while somebody can still mend
it, and each refusal says what to write instead. ``metadata`` holds what an OpenAPI document needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit
from xml.parsers import expat

from marshmallow import ValidationError, fields

from workers.vtex import characters, dates, money, texts

if TYPE_CHECKING:
    from marshmallow import Schema

LONGEST_NUMBER = 60
LONGEST_URL = 2048
LARGEST_XML = 2**20
_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*", re.ASCII)
_NOT_OF_A_NUMBER = re.compile(r"[^A-Za-z0-9]+", re.ASCII)
_SHOWN_NUMBER = re.compile(r"(?=.{1,20}$)(?=.*[0-9])(?!.*[A-Za-z]{5}).*")  # a longer word may be a name

_Value = TypeVar("_Value")
_WORDS: dict[str, Any] = {"required": "is missing", "null": "is null; give a value or leave it out"}


class _Strict(fields.Field[_Value]):
    """A field with a description, and the words for one that is missing or null."""

    described: ClassVar[dict[str, Any]] = {"type": "string"}

    def __init__(self, about: str, **kwargs: Any) -> None:
        metadata = {**self.described, "description": about, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, error_messages=_WORDS, **kwargs)


class Cents(_Strict[int]):
    """Money: whole cents as a number or as digits, never with a decimal separator."""

    described: ClassVar[dict[str, Any]] = {"type": "integer", "example": 9508}

    def __init__(self, about: str, *, least: int = 0, **kwargs: Any) -> None:
        super().__init__(about, metadata={"minimum": least}, **kwargs)
        self._least = least

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return money.cents(value, self._least)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Count(_Strict[int]):
    """How many: at least one."""

    described: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return money.count(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Flag(_Strict[bool]):
    """True or false, and nothing that resembles one of them."""

    described: ClassVar[dict[str, Any]] = {"type": "boolean"}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"{money.shown(value)} is neither true nor false; write one of these")
        return value


class When(_Strict[dates.When | None]):
    """A day, or a day and a time, with or without an offset."""

    described: ClassVar[dict[str, Any]] = {"type": "string", "example": "2026-01-31T18:25:43-03:00"}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dates.When | None:
        if not self.required and (value == "" or dates.is_none(value)):
            return None
        try:
            return dates.read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Text(_Strict[str | None]):
    """A text in its normal form (:mod:`workers.vtex.texts`); blank is None.

    A whole number is its digits: an ERP's ids are often numbers.
    ``lines``: it may be written with line breaks and tabs; they are sent as blanks.
    """

    #: Whether it is brought into the normal form, in which VTEX's copies of it are recognized.
    normalized: ClassVar[bool] = True

    def __init__(self, about: str, *, longest: int, lines: bool = False, **kwargs: Any) -> None:
        super().__init__(about, metadata={"maxLength": longest}, **kwargs)
        self._longest = longest
        self._lines = lines

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValidationError(f"{money.shown(value)} is not a text; write it in quotes")
        try:
            text = characters.cleaned(value, lines=self._lines)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        text = texts.normal(text) if self.normalized else text
        if not text and self.required:
            raise ValidationError("is empty; it cannot be")
        if len(text) > self._longest:
            raise ValidationError(f"has {len(text)} characters; shorten it to {self._longest}")
        return self.checked(text) if text else None

    def checked(self, text: str) -> str:
        """What is sent of a text that is not blank; ValidationError if it cannot be."""
        return text


class Choice(Text):
    """One of a few words, in whatever case."""

    def __init__(self, about: str, *, of: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(about, longest=40, **kwargs)
        self.metadata = {**self.metadata, "enum": list(of)}
        self._of = {word.casefold(): word for word in of}

    def checked(self, text: str) -> str:
        """The word as VTEX writes it."""
        if word := self._of.get(text.casefold()):
            return word
        raise ValidationError(f"is neither {' nor '.join(self._of.values())}; write one of these")


class InvoiceNumber(Text):
    """The number of an invoice, which is a part of the address of all later calls about it.

    VTEX takes nearly any, and then cannot find the invoice again: a slash or a blank makes its calls answer 404
    or 500 for good, other special characters break the order's status, and nothing repairs it afterwards (from
    VTEX's known issues). What is known to work are letters and digits, and the hyphens of the reference's own
    example.
    """

    def __init__(self, about: str, **kwargs: Any) -> None:
        super().__init__(about, longest=LONGEST_NUMBER, **kwargs)
        self.metadata = {**self.metadata, "pattern": f"^{_NUMBER.pattern}$"}

    def checked(self, text: str) -> str:
        """The number, if VTEX can find the invoice under it later."""
        if _NUMBER.fullmatch(text):
            return text
        safe = _NOT_OF_A_NUMBER.sub("-", text).strip("-")
        raise ValidationError(
            "has other characters than letters, digits and hyphens: VTEX would take it and then could neither "
            "find the invoice nor be repaired; "
            + (f"write {safe}" if _SHOWN_NUMBER.match(safe) else "leave them out")
        )


class Url(Text):
    """A web address that a customer may follow."""

    normalized: ClassVar[bool] = False

    def __init__(self, about: str, **kwargs: Any) -> None:
        super().__init__(about, longest=LONGEST_URL, **kwargs)
        self.metadata = {**self.metadata, "format": "uri"}

    def checked(self, text: str) -> str:
        """The address, if it begins with http:// or https:// and names a host."""
        try:
            parts = urlsplit(text)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(char.isspace() for char in text):
            raise ValidationError("is not a web address; write it in full, from https:// on, without blanks")
        return text


class Xml(_Strict[str | None]):
    """An XML document as text. It is parsed to its end, and may neither declare entities nor name a DTD."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        if not isinstance(value, str):
            raise ValidationError(f"{money.shown(value)} is not a text; give the XML document in quotes")
        text = value.strip("\ufeff \t\r\n")
        if len(text) > LARGEST_XML:
            raise ValidationError(f"has {len(text)} characters; the limit is {LARGEST_XML}")
        if text:
            _parse(text)
        return text or None


def _parse(text: str) -> None:
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValidationError(
            f"is not well-formed XML ({expat.ErrorString(error.code)} in line {error.lineno}); send the document whole"
        ) from None


def _refuse_doctype(*_: Any) -> None:
    raise ValidationError("has a DOCTYPE, which may hide other documents; leave it out")


class Thing(_Strict[dict[str, Any]]):
    """An object that is passed to VTEX as it stands."""

    described: ClassVar[dict[str, Any]] = {"type": "object", "additionalProperties": True}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError(f"{money.shown(value)} is not an object; write {{…}}")
        return value


class One(fields.Nested):
    """An object of its own form."""

    def __init__(self, form: type[Schema], about: str, **kwargs: Any) -> None:
        super().__init__(form, metadata={"description": about}, error_messages=_WORDS, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError(f"{money.shown(value)} is not an object; write {{…}}")
        return super()._deserialize(value, *args, **kwargs)


class Many(fields.Nested):
    """A list of objects of one form; ``least`` of them at least."""

    def __init__(self, form: type[Schema], about: str, *, least: int = 0, **kwargs: Any) -> None:
        super().__init__(
            form,
            many=True,
            metadata={"description": about, "minItems": least},
            error_messages=_WORDS,
            **kwargs,
        )
        self._least = least

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError(f"{money.shown(value)} is not a list; write […]")
        if len(value) < self._least:
            raise ValidationError("is an empty list; it needs an entry")
        return super()._deserialize(value, *args, **kwargs)
