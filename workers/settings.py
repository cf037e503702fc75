"""The settings: environment variables (and a ``.env`` file in the working directory) become one frozen object.

Any name may be given as ``NAME_FILE``, a file that holds the value. Every problem is reported at once.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from environs import FileAwareEnv

from workers.vtex.states import DEFAULT_FEED_STATES, FEED_FILTER_STATES

T = TypeVar("T")

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_SINK_SCHEMES = ("sqlite", "postgresql+psycopg")
_REDIS_SCHEMES = ("redis", "rediss", "sentinel")


class SettingsError(Exception):
    """The settings are wrong; the message names every problem, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"The settings need attention:{lines}\nThe README explains each of them.")


class Secret:
    """A value that never shows: not in ``repr``, not in a log line, not in an error."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Account:
    """One VTEX store and how to reach it."""

    name: str
    app_key: Secret
    app_token: Secret
    environment: str = "vtexcommercestable"
    base_url: str | None = None
    requests_per_minute: int = 4800

    @property
    def oms_url(self) -> str:
        """Where orders are read and written: the account's host in its environment."""
        return self.base_url or f"https://{self.name}.{self.environment}.com.br"

    @property
    def feed_url(self) -> str:
        """Where the feed is read: VTEX's ERP guide names the account's myvtex.com host."""
        return self.base_url or f"https://{self.name}.myvtex.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know; times are in seconds."""

    accounts: dict[str, Account]
    erp_url: str = field(repr=False)
    redis_url: str | None = field(default=None, repr=False)
    data_dir: Path = Path("var")
    timezone: str = "America/Sao_Paulo"
    http_timeout: float = 10.0
    feed_poll: float = 5.0
    feed_states: tuple[str, ...] = DEFAULT_FEED_STATES
    sweep: float = 10.0
    retry_horizon: float = 72 * 3600.0
    worker_processes: int = 1
    worker_concurrency: int = 64
    log_format: str = "json"
    log_level: str = "INFO"
    flower_port: int = 5555
    flower_basic_auth: Secret = field(default_factory=lambda: Secret(""))

    def account(self, name: str | None = None) -> Account:
        """The account of that name, or the only one there is; ``KeyError`` tells which ones there are."""
        if name is None and len(self.accounts) == 1:
            return next(iter(self.accounts.values()))
        if name in self.accounts:
            return self.accounts[name]
        raise KeyError(f"no account {name!r} in the settings; there is: {', '.join(self.accounts)}")


class _Reader:
    """Reads one variable at a time and keeps every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._env = FileAwareEnv(strip_whitespace=True)
        try:
            self._env.read_env(".env", recurse=False)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            self.problems.append(f".env cannot be read: {error}")

    def text(self, name: str) -> str | None:
        try:
            value: str | None = self._env.str(name, None)
        except (OSError, UnicodeDecodeError, ValueError):
            self.problems.append(f"{name}_FILE does not name a readable text file")
            return None
        return value.strip() or None if value else None

    def required(self, name: str, what: str) -> str:
        missing = len(self.problems)
        value = self.text(name)
        if value is None and len(self.problems) == missing:
            self.problems.append(f"{name} is missing: {what}")
        return value or ""

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default


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


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text

    return parse


def _host_word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", text):
        raise ValueError(
            f"must be the bare name from your store's address (mystore in mystore.myvtex.com), not {text!r}"
        )
    return text


def _credential(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has characters that cannot be sent in a header (a copy and paste accident?)")
    return text


def _http_url(insecure: bool) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address such as https://host:port")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must be an address without user name, query or fragment")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS and not insecure:
            raise ValueError("is plain http to another machine: use https (or set ALLOW_INSECURE_HTTP=1)")
        _ = parts.port  # raises ValueError when it is not a number
        return text.rstrip("/")

    return parse


def _sink_url(text: str) -> str:
    scheme = text.split(":", 1)[0]
    if scheme not in _SINK_SCHEMES:
        known = ", ".join(f"{s}://..." for s in _SINK_SCHEMES)
        raise ValueError(f"starts with {scheme[:20]!r}, and none of our sinks does: use {known}")
    return text


def _redis_url(text: str) -> str:
    if text.split(":", 1)[0] not in _REDIS_SCHEMES:
        raise ValueError("must start with redis://, rediss:// or sentinel://")
    return text


def _states(text: str) -> tuple[str, ...]:
    states = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [state for state in states if state not in FEED_FILTER_STATES]
    if unknown:
        raise ValueError(f"names states that VTEX does not list and would never fire: {', '.join(unknown)}")
    if not states:
        raise ValueError("names no state")
    return states


def _zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"must be a zone such as America/Sao_Paulo, not {text!r}") from None
    return text


def _user_and_password(text: str) -> Secret:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ValueError("must be user:password")
    return Secret(text)


def load() -> Settings:
    """Read the environment; raise :class:`SettingsError` with every problem that there is."""
    read = _Reader()
    insecure = read.text("ALLOW_INSECURE_HTTP") == "1"
    name = read.required("VTEX_ACCOUNT", "your store's account name (mystore in mystore.myvtex.com)")
    key = read.required("VTEX_APP_KEY", "an application key made in VTEX's Admin, Account settings")
    token = read.required("VTEX_APP_TOKEN", "the token that belongs to the application key")
    erp = read.required("ERP_URL", "where orders go, for example sqlite:///erp.db")
    account = Account(
        name=read.parsed("VTEX_ACCOUNT", "", _host_word) if name else "",
        app_key=Secret(read.parsed("VTEX_APP_KEY", "", _credential) if key else ""),
        app_token=Secret(read.parsed("VTEX_APP_TOKEN", "", _credential) if token else ""),
        environment=read.parsed("VTEX_ENVIRONMENT", "vtexcommercestable", _host_word),
        base_url=read.parsed("VTEX_BASE_URL", None, _http_url(insecure)),
        requests_per_minute=read.parsed("VTEX_REQUESTS_PER_MINUTE", 4800, whole(1, 600_000)),
    )
    settings = Settings(
        accounts={account.name: account},
        erp_url=read.parsed("ERP_URL", "", _sink_url) if erp else "",
        redis_url=read.parsed("REDIS_URL", None, _redis_url),
        data_dir=read.parsed("DATA_DIR", Path("var"), Path),
        timezone=read.parsed("TIMEZONE", "America/Sao_Paulo", _zone),
        http_timeout=read.parsed("HTTP_TIMEOUT_SECONDS", 10.0, number(0.1, 60)),
        feed_poll=read.parsed("FEED_POLL_SECONDS", 5.0, number(0.2, 3600)),
        feed_states=read.parsed("FEED_STATES", DEFAULT_FEED_STATES, _states),
        sweep=read.parsed("SWEEP_SECONDS", 10.0, number(0.2, 3600)),
        retry_horizon=read.parsed("RETRY_HORIZON_HOURS", 72.0, number(0.001, 24 * 30)) * 3600,
        worker_processes=read.parsed("WORKER_PROCESSES", os.cpu_count() or 1, whole(1, 256)),
        worker_concurrency=read.parsed("WORKER_CONCURRENCY", 64, whole(1, 1024)),
        log_format=read.parsed("LOG_FORMAT", "json", _one_of("json", "console")),
        log_level=read.parsed("LOG_LEVEL", "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        flower_port=read.parsed("FLOWER_PORT", 5555, whole(0, 65535)),
        flower_basic_auth=read.parsed("FLOWER_BASIC_AUTH", Secret(""), _user_and_password),
    )
    if read.problems:
        raise SettingsError(read.problems)
    return settings
