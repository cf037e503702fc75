"""Dates as an ERP writes them, and in the three forms in which VTEX's orders API wants them.

A date without an offset is VTEX's UTC but an ERP's local time: an invoice of a Brazilian evening would move into
the next day. So what comes without an offset gets the store's time zone, and what is sent always says its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NoReturn

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d{1,9})?)? ?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)
_ECHOED = re.compile(r"[-+0-9TtZz:./ ]{1,40}")
_FURTHEST_OFFSET = timedelta(hours=14)
#: What programs write where they have no date: .NET and others, MySQL, Delphi, SQL Server; whatever the offset.
_NONE = re.compile(
    r"(?:0001-01-01|0000-00-00|1899-12-30|1900-01-01)"
    r"(?:[Tt ]00:00(?::00(?:[.,]0{1,9})?)? ?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_EARLIEST_YEAR = 2000
_FURTHEST_AHEAD = timedelta(days=366)
EXPECTED = "write for example 2026-01-31, 2026-01-31T18:25:43 or 2026-01-31T18:25:43-03:00"


@dataclass(frozen=True, slots=True)
class When:
    """A date as it was written: perhaps without a time (then it is the day's start), perhaps without an offset."""

    moment: datetime

    def instant(self, zone: tzinfo) -> str:
        """To the second and with an offset, for example 2026-01-31T18:25:43-03:00."""
        moment = self.moment if self.moment.tzinfo else self.moment.replace(tzinfo=zone)
        return moment.isoformat(timespec="seconds")

    def minute(self, zone: tzinfo) -> str:
        """The store's local time without an offset, for example 2026-01-31 18:25."""
        return self._local(zone).isoformat(" ", timespec="minutes")

    def day(self, zone: tzinfo) -> str:
        """The store's local day, for example 2026-01-31."""
        return self._local(zone).date().isoformat()

    def _local(self, zone: tzinfo) -> datetime:
        moment = self.moment.astimezone(zone) if self.moment.tzinfo else self.moment
        return moment.replace(tzinfo=None)


def is_none(value: object) -> bool:
    """Whether it is what a program writes for "no date", such as .NET's 0001-01-01T00:00:00."""
    return isinstance(value, str) and bool(_NONE.fullmatch(value.strip()))


def read(value: object) -> When:
    """The date that ``value`` says; ValueError says what to write instead.

    A year before 2000, or a day more than a year from now, is a slip of the pen. Fractions of a second are cut.
    """
    if is_none(value):
        raise ValueError(f"{_shown(value)} is what programs write for no date; {EXPECTED}")
    text = value.strip() if isinstance(value, str) else ""
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"{_shown(value)} is not a date that can be read; {EXPECTED}")
    year, month, day, hour, minute, second, utc, sign, hours, minutes = match.groups()
    offset: tzinfo | None = UTC if utc else None
    try:
        if sign:
            offset = _offset(sign, int(hours), int(minutes or 0))
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=offset
        )
    except ValueError:
        _impossible(text)
    if moment.year < _EARLIEST_YEAR:
        raise ValueError(f"{text} is before {_EARLIEST_YEAR}; look at its year")
    if moment.replace(tzinfo=None) > datetime.now(UTC).replace(tzinfo=None) + _FURTHEST_AHEAD:
        raise ValueError(f"{text} is more than a year ahead; look at its year")
    return When(moment)


def _offset(sign: str, hours: int, minutes: int) -> timezone:
    away = timedelta(hours=hours, minutes=minutes)
    if minutes >= 60 or away > _FURTHEST_OFFSET:  # noqa: PLR2004
        raise ValueError("no such offset")
    return timezone(-away if sign == "-" else away)


def _impossible(text: str) -> NoReturn:
    raise ValueError(f"{text} does not exist in a calendar or on a clock; {EXPECTED}") from None


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = value.strip()
        return f'"{text}"' if _ECHOED.fullmatch(text) else ("a text" if text else "an empty text")
    return "a number" if isinstance(value, (int, float)) and not isinstance(value, bool) else "this"
