"""What a value of the settings may look like: one parser a kind.

``ValueError`` says what is wrong, after the setting's name. Where a value may hold a secret (a credential, a
database's address) it does not show the value.
"""

from __future__ import annotations

import re
import ssl
import sys
import zoneinfo
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from workers import redis_address
from workers.settings.model import Secret
from workers.vtex.states import FEED_FILTER_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workers.settings.in_clear import InClear

_SINKS = "sqlite:///..., postgresql+psycopg://..., https://..., file:///..., python:module:factory"
_SHORTEST_HOOK_SECRET = 16


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser for a number between two bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, not {text!r}")
        return value

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser for a whole number between two bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def switch(text: str) -> bool:
    """On or off."""
    if text not in {"0", "1"}:
        raise ValueError(f"must be 0 or 1, not {text!r}")
    return text == "1"


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text

    return parse


def host_word(text: str) -> str:
    """One label of a host name: the name of a store, or of an environment."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", text):
        raise ValueError(
            f"must be the bare name from your store's address (mystore in mystore.myvtex.com), not {text!r}"
        )
    return text


def credential(text: str) -> str:
    """What is sent in a header."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has characters that cannot be sent in a header (a copy and paste accident?)")
    return text


def http_url(in_clear: InClear) -> Callable[[str], str]:
    """A parser for the address of VTEX or what stands before it."""

    def parse(text: str) -> str:
        parts = _split(text, "must be an address such as https://host:port")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address such as https://host:port")
        if "@" in parts.netloc or "?" in text or "#" in text:
            raise ValueError("must be an address without user name, query or fragment")
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("must be an address without spaces and special characters")
        if parts.scheme == "http" and not in_clear.to(parts.hostname):
            raise ValueError("is plain http to another machine: use https (or set ALLOW_INSECURE_HTTP=1)")
        return text.rstrip("/")

    return parse


def _split(text: str, otherwise: str) -> SplitResult:
    """An address in its parts. ValueError says ``otherwise``: urlsplit's own would show a part of the address."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(otherwise) from None
    return parts


def sink_url(in_clear: InClear) -> Callable[[str], str]:
    """A parser for where orders go."""
    checks: dict[str, Callable[[str], object]] = {
        "sqlite": _sqlite_file,
        "postgresql+psycopg": _postgresql_database(in_clear),
        "http": _http_endpoint(in_clear),
        "https": _http_endpoint(in_clear),
        "file": _folder,
    }

    def parse(text: str) -> str:
        scheme, _, rest = text.partition(":")
        if scheme == "python":
            _python_factory(text)
        elif scheme in checks and rest.startswith("//"):
            checks[scheme](text)
        else:
            raise ValueError(f"names no sink that we have: use {_SINKS}")
        return text

    return parse


def _http_endpoint(in_clear: InClear) -> Callable[[str], None]:
    def check(text: str) -> None:
        parts = _split(text, "must be an address such as https://erp.example.com/orders")
        if not parts.hostname or not re.fullmatch(r"[!-~]+", text):
            raise ValueError(
                "must be an address such as https://erp.example.com/orders, without spaces and accents"
            )
        if parts.fragment:
            raise ValueError("must be an address without a fragment (#): nobody would get it")
        if parts.scheme == "http" and not in_clear.to(parts.hostname):
            raise ValueError("is plain http to another machine: use https (or set ALLOW_INSECURE_HTTP=1)")

    return check


def alarm_url(in_clear: InClear) -> Callable[[str], str]:
    """A parser for where alarms are sent."""

    def parse(text: str) -> str:
        _http_endpoint(in_clear)(text)  # its messages do not show the address
        if urlsplit(text).scheme not in {"http", "https"}:
            raise ValueError("must be an address such as https://hooks.example.com/alarms")
        return text

    return parse


def _folder(text: str) -> None:
    if not text.startswith("file:///") or text == "file:///":
        raise ValueError("must be a full path with three slashes, such as file:///var/spool/orders")


def _python_factory(text: str) -> None:
    if not re.fullmatch(r"python:[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text, re.ASCII):
        raise ValueError("must be python:module:factory, such as python:my_erp:open_sink")


def signing_secret(text: str) -> Secret:
    """The keys that sign deliveries."""
    from workers.erp.signature import keys_of  # noqa: PLC0415 (a sink's module: only who uses it needs it)

    keys_of(text)
    return Secret(text)


def _sqlite_file(text: str) -> None:
    path, _, query = text.removeprefix("sqlite://").partition("?")
    if path and not path.startswith("/"):
        raise ValueError("must have three slashes before a relative path, four before an absolute one")
    if path in {"", "/"} or ":memory:" in path or "mode=memory" in query:
        raise ValueError("is a database in memory: orders would be lost with the process; name a file")


def _postgresql_database(in_clear: InClear) -> Callable[[str], None]:
    def check(text: str) -> None:
        from sqlalchemy.engine import make_url  # noqa: PLC0415 (0.2 s, which a sqlite address need not cost)
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

        from workers.erp import sql_tls  # noqa: PLC0415

        try:
            url = make_url(text)
            sql_tls.arguments(url)
        except (ArgumentError, ValueError):
            raise ValueError(
                "is not a database address (in a password, @ : / ? are written %-encoded)"
            ) from None
        if not url.database:
            raise ValueError("names no database: postgresql+psycopg://user:password@host/database")
        sql_tls.unverified(url, in_clear.to)

    return check


def redis_url(in_clear: InClear) -> Callable[[str], str]:
    """A parser for the address of Redis."""

    def parse(text: str) -> str:
        address = redis_address.parse(text)
        if not address.tls and not all(in_clear.to(host) for host, _ in address.hosts):
            better = "sentinels://" if address.service else "rediss://"
            raise ValueError(
                "leads to another machine without TLS, so whoever listens or answers would get the password: use"
                f" {better} (or allow that host, with ALLOW_INSECURE_HTTP)"
            )
        return text

    return parse


def certificates(text: str) -> str:
    """Certificates in PEM form."""
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ValueError("must be certificates in PEM form (-----BEGIN CERTIFICATE-----)") from None
    return text


def states(text: str) -> tuple[str, ...]:
    """States that VTEX lists, separated by commas."""
    named = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [state for state in named if state not in FEED_FILTER_STATES]
    if unknown:
        raise ValueError(f"names states that VTEX does not list and would never fire: {', '.join(unknown)}")
    if not named:
        raise ValueError("names no state")
    return named


def shadow(text: str) -> str:
    """Whether only to look."""
    words = {"0": "", "1": "look", "deliver": "deliver"}
    if text not in words:
        raise ValueError(f"must be 0, 1 (only look) or deliver (look, and fill the ERP), not {text!r}")
    return words[text]


def zone(text: str) -> str:
    """A time zone."""
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"must be a zone such as America/Sao_Paulo, not {text!r}") from None
    return text


def user_and_password(text: str) -> Secret:
    """As in basic authentication."""
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError("must be user:password")
    return Secret(text)


def web_tokens(accounts: Iterable[str]) -> Callable[[str], Secret]:
    """A parser for WEB_TOKENS, whose stores must be among ``accounts``."""

    def parse(text: str) -> Secret:
        from workers.web import tokens  # noqa: PLC0415 (the front door's own: only who uses it needs it)

        known = set(accounts)
        for place, token in enumerate(tokens.parse(text), 1):
            if token.account and token.account not in known:
                raise ValueError(f"entry {place} is for a store that the settings do not have")
        return Secret(text)

    return parse


def hook_secret(text: str) -> Secret:
    """What nobody guesses."""
    if len(credential(text)) < _SHORTEST_HOOK_SECRET:
        raise ValueError(
            f"is shorter than {_SHORTEST_HOOK_SECRET} characters: openssl rand -hex 24 makes one"
        )
    return Secret(text)


def default_log_format() -> str:
    """A person at a terminal reads lines, everything else reads JSON."""
    return "console" if sys.stderr.isatty() else "json"
