"""What can be read out of anybody's answer: its words, fit for a log, and what its headers say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST_WAIT = 3600.0  # a Retry-After beyond it is an accident, and would stop a store for good
_MOST_READ = 10_000


#: What only one person has, wherever it is written.
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # e-mail
    r"|\b\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}\b"  # CNPJ
    r"|\+\d[\d ()-]{8,}\d"  # telephone
    r"|\(\d{2}\) ?9?\d{4}[ -]?\d{4}\b"  # the same, in Brazil
    r"|\b\d{5}-\d{3}\b"  # CEP
)
_CPF = re.compile(r"(?<![\w-])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\w-])")


def impersonal(text: str) -> str:
    """The text without e-mail addresses, telephone numbers, postcodes and documents (CPF, CNPJ) of people."""
    return _CPF.sub(lambda found: "***" if _is_cpf(found[0]) else found[0], _PERSONAL.sub("***", text))


def _is_cpf(text: str) -> bool:
    """Its last two digits check the first nine; written with points, it is meant as one in any case."""
    digits = [int(char) for char in text if char.isdigit()]
    for count in (9, 10):
        weighed = sum(digit * weight for digit, weight in zip(digits, range(count + 1, 1, -1), strict=False))
        if digits[count] != weighed * 10 % 11 % 10:
            return "." in text
    return True


def clean(value: object, hidden: Iterable[str], longest: int) -> str:
    """A text fit for one line of a log: short, printable, and without what must stay hidden if it echoes that."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    text = str(value)[:_MOST_READ]
    for secret in hidden:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def pointed_to(headers: Mapping[str, str]) -> str:
    """The host alone of a redirect: the rest of its address may hold anything."""
    try:
        host = urlsplit(headers.get("Location", "")).hostname or ""
    except ValueError:
        host = ""
    return host if re.fullmatch(r"[A-Za-z0-9.-]{1,100}", host) else "another address"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds from now, given as seconds or as a date; None if absent or garbage."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        return min(float(text), _LONGEST_WAIT)
    moment = date(text)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_WAIT) if moment else None


def date(text: str | None) -> datetime | None:
    """The moment that a header tells; one without a zone is of UTC, as HTTP has it. None if absent or garbage."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
