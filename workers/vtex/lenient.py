"""Fields that make the best of what VTEX sends: a value of a wrong type is None, and costs nothing else."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, fields, pre_load

from workers.vtex import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))?",
    re.ASCII,
)


def instant(text: str) -> str:
    """Any of VTEX's dates as ``YYYY-MM-DDTHH:MM:SS.fffffffZ`` in UTC, which sorts as text.

    VTEX sends none to seven digits of a second (Python's datetime holds six, hence text), and ``Z``,
    ``+00:00``, ``-03:00`` or nothing behind them; nothing means UTC. ValueError for anything else.
    """
    match = _INSTANT.fullmatch(text)
    if not match:
        raise ValueError("not a date and time as VTEX writes them")
    *parts, fraction, sign, hours, minutes = match.groups()
    moment = datetime(*(int(part) for part in parts))  # type: ignore[arg-type]  # noqa: DTZ001 (made UTC here)
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = moment - offset if sign == "+" else moment + offset
        except OverflowError:
            raise ValueError("a date outside of the years 1 to 9999") from None
    return f"{moment.isoformat()}.{(fraction or '').ljust(7, '0')}Z"


def instant_or_empty(value: object) -> str:
    """The same; "" for whatever cannot be read as one."""
    try:
        return instant(value) if isinstance(value, str) else ""
    except ValueError:
        return ""


class Text(fields.Field[str | None]):
    """A short text: trimmed; blank, unprintable or of another type is None; a number is its digits."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            return None
        text = value.strip()
        return text if text and text.isprintable() else None


class Words(fields.Field[str | None]):
    """A text that was written by somebody, in its normal form (:mod:`workers.vtex.texts`), to compare or to send on.

    Blank or of another type is None; a number is its digits.
    """

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return (texts.normal(value) or None) if isinstance(value, str) else None


class Flag(fields.Field[bool | None]):
    """True, false, or None for whatever else."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool | None:
        return value if isinstance(value, bool) else None


class Number(fields.Field[float | None]):
    """A finite number, also when written as text; None for whatever else."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if abs(number) < 2**53 else None  # false for nan, too


class Count(Number):
    """A whole number (cents, items); a fraction is None, not rounded."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int | None:
        number = super()._deserialize(value, *args, **kwargs)
        return int(number) if number is not None and number.is_integer() else None


class Instant(fields.Field[str]):
    """A canonical instant, "" for whatever cannot be read as one."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        return instant_or_empty(value)


class Texts(fields.Field[tuple[str, ...]]):
    """The texts of a list, each once; of objects, their ``key``. Whatever else is an empty list."""

    def __init__(self, key: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = key

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else []
        if self._key is not None:
            items = [item.get(self._key) for item in items if isinstance(item, dict)]
        return tuple(dict.fromkeys(item for item in items if isinstance(item, str) and item))


OPTIONAL: dict[str, Any] = {"load_default": None, "allow_none": True}
ABSENT_DATE: dict[str, Any] = {"load_default": "", "allow_none": True}


class Lenient(Schema):
    """A form that keeps what it knows."""

    class Meta:  # noqa: D106
        unknown = EXCLUDE


class AnyCase(Lenient):
    """A form whose names are in lower case: VTEX's documents differ in the case of many."""

    @pre_load
    def _lower(self, data: Any, **_: Any) -> dict[str, Any]:
        return lower_keys(data) if isinstance(data, dict) else {}


class Part(fields.Field[Any]):
    """An object of its own form; None for whatever else."""

    def __init__(self, form: Schema, **kwargs: Any) -> None:
        super().__init__(load_default=None, allow_none=True, **kwargs)
        self._form = form

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return self._form.load(value) if isinstance(value, dict) else None


class Parts(fields.Field[tuple[Any, ...]]):
    """The objects of a list, in their order, each of the same form; whatever else is left out."""

    def __init__(self, form: Schema, **kwargs: Any) -> None:
        super().__init__(load_default=(), allow_none=True, **kwargs)
        self._form = form

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else []
        return tuple(self._form.load(item) for item in items if isinstance(item, dict))


def lower_keys(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with every name in lower case."""
    return {str(key).lower(): value for key, value in data.items()}
