"""The settings: environment variables, and a ``.env`` in the working directory, become one frozen object.

Any name may be given as ``NAME_FILE``, a file that holds the value. The environment goes before ``.env``; within
either, NAME and NAME_FILE together are a problem, for nobody could tell which one counts. An empty value is a
missing one. Every problem is reported at once, and none shows a secret: a problem with a value that may hold one
(a credential, a database's address) tells what is wrong with it and not what it is.
"""

from __future__ import annotations

import io
import os
import re
import ssl
import sys
import zoneinfo
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream

from workers import redis_address, scope
from workers.scope import Scope
from workers.vtex.states import DEFAULT_FEED_STATES, FEED_FILTER_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_SINKS = "sqlite:///..., postgresql+psycopg://..., https://..., file:///..., python:module:factory"
_SHORTEST_HOOK_SECRET = 16


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
    erp_token: Secret = field(default_factory=lambda: Secret(""))
    #: One or several, separated by spaces.
    erp_signing_secret: Secret = field(default_factory=lambda: Secret(""))
    redis_url: str | None = field(default=None, repr=False)
    #: The certificates (PEM) that Redis' own must be signed by; None is those that the system trusts.
    redis_ca: str | None = field(default=None, repr=False)
    sentinel_password: Secret = field(default_factory=lambda: Secret(""))
    data_dir: Path = Path("var")
    timezone: str = "America/Sao_Paulo"
    http_timeout: float = 10.0
    feed_poll: float = 5.0
    feed_states: tuple[str, ...] = DEFAULT_FEED_STATES
    #: A feed that is gone or not ours is configured again by itself.
    feed_managed: bool = False
    sweep: float = 10.0
    order_scope: Scope = field(default_factory=Scope)
    #: "" (off), "look" (read only) or "deliver" (read, and fill the ERP): VTEX is never changed.
    shadow: str = ""
    #: How order changes are carried: "modifications" (VTEX's current API) or "legacy" (the retired one).
    change_api: str = "modifications"
    reconcile: float = 600.0
    reconcile_min_age: float = 600.0
    #: After so many days personal data that we hold is erased; 0 keeps it.
    retention_days: int = 0
    retry_horizon: float = 72 * 3600.0
    worker_processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    worker_concurrency: int = 64
    log_format: str = "json"
    log_level: str = "INFO"
    flower_port: int = 5555
    #: Where Flower listens; "" is this machine only, or everywhere if it asks for a password.
    flower_address: str = ""
    flower_basic_auth: Secret = field(default_factory=lambda: Secret(""))
    web_port: int = 8080
    #: Where the front door listens; "" is every address: nobody gets in without a token.
    web_address: str = ""
    #: As they are written, see :mod:`workers.web.tokens`.
    web_tokens: Secret = field(default_factory=lambda: Secret(""))
    #: Of one token, in each process of the front door.
    web_requests_per_minute: int = 6000
    #: What VTEX sends with each call of its hook; without it no hook is received.
    hook_secret: Secret = field(default_factory=lambda: Secret(""))
    #: Where each process answers for metrics and health; 0 is nowhere.
    metrics_port: int = 0
    metrics_address: str = "127.0.0.1"
    metrics_basic_auth: Secret = field(default_factory=lambda: Secret(""))
    #: Gets a POST when an alarm is raised or cleared. Some chat programs' addresses are secrets.
    alarm_url: Secret = field(default_factory=lambda: Secret(""))

    @property
    def health_dir(self) -> Path:
        """Where each process of this machine writes how it is."""
        return self.data_dir / "health"

    def account(self, name: str | None = None) -> Account:
        """The account of that name, or the only one there is; ``KeyError`` tells which ones there are."""
        if name is None and len(self.accounts) == 1:
            return next(iter(self.accounts.values()))
        if name in self.accounts:
            return self.accounts[name]
        raise KeyError(f"no account {name!r} in the settings; there is: {', '.join(self.accounts)}")


class _Reader:
    """Reads one variable at a time and keeps every problem instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._read: dict[str, str | None] = {}
        self._sources = (environ, self._dotenv())

    def text(self, name: str) -> str | None:
        """The value, trimmed; None if it is missing, empty, or a problem (told once)."""
        if name not in self._read:
            self._read[name] = self._find(name)
        return self._read[name]

    def _find(self, name: str) -> str | None:
        for source in self._sources:
            value, file = _trimmed(source.get(name)), _trimmed(source.get(f"{name}_FILE"))
            if value and file:
                self.problems.append(f"{name} and {name}_FILE are both given: remove one")
                return None
            if file:
                return self._content(name, file)
            if value:
                return value
        return None

    def _content(self, name: str, file: str) -> str | None:
        try:
            value = _trimmed(Path(file).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):  # UnicodeDecodeError is a ValueError; so is a NUL in the path
            self.problems.append(f"{name}_FILE does not name a readable text file")
            return None
        if not value:
            self.problems.append(f"{name}_FILE names an empty file")
        return value

    def _dotenv(self) -> dict[str, str]:
        """The ``.env`` here, nowhere above. As written: ``${...}`` in a password is part of the password."""
        try:
            text = Path(".env").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError):
            self.problems.append(".env is not a readable text file in UTF-8")
            return {}
        values: dict[str, str] = {}
        for line in parse_stream(io.StringIO(text)):
            if line.error or (line.key is not None and line.value is None):
                written = line.original.string
                number = line.original.line + written[: len(written) - len(written.lstrip())].count("\n")
                self.problems.append(f".env, line {number}: not NAME=value")
            elif line.key is not None and line.value is not None:
                values[line.key] = line.value
        return values

    def required(self, name: str, what: str) -> str:
        """The value; "" and a problem if it is missing."""
        before = len(self.problems)
        value = self.text(name)
        if value is None and len(self.problems) == before:
            self.problems.append(f"{name} is missing: {what}")
        return value or ""

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value; the default if it is missing or (with a problem) wrong."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default


def _trimmed(text: str | None) -> str | None:
    """Without the spaces, line ends and byte order mark that editors leave; None if nothing is left."""
    return (text or "").strip("\ufeff \t\r\n\v\f") or None


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


def _switch(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(f"must be 0 or 1, not {text!r}")
    return text == "1"


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
        parts = _split(text, "must be an address such as https://host:port")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address such as https://host:port")
        if "@" in parts.netloc or "?" in text or "#" in text:
            raise ValueError("must be an address without user name, query or fragment")
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("must be an address without spaces and special characters")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS and not insecure:
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


def _sink_url(insecure: bool) -> Callable[[str], str]:
    checks: dict[str, Callable[[str], object]] = {
        "sqlite": _sqlite_file,
        "postgresql+psycopg": _postgresql_database,
        "http": _http_endpoint(insecure),
        "https": _http_endpoint(insecure),
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


def _http_endpoint(insecure: bool) -> Callable[[str], None]:
    def check(text: str) -> None:
        parts = _split(text, "must be an address such as https://erp.example.com/orders")
        if not parts.hostname or not re.fullmatch(r"[!-~]+", text):
            raise ValueError(
                "must be an address such as https://erp.example.com/orders, without spaces and accents"
            )
        if parts.fragment:
            raise ValueError("must be an address without a fragment (#): nobody would get it")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS and not insecure:
            raise ValueError("is plain http to another machine: use https (or set ALLOW_INSECURE_HTTP=1)")

    return check


def _alarm_url(insecure: bool) -> Callable[[str], str]:
    def parse(text: str) -> str:
        _http_endpoint(insecure)(text)  # its messages do not show the address
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


def _signing_secret(text: str) -> Secret:
    from workers.erp.signature import keys_of  # noqa: PLC0415 (a sink's module: only who uses it needs it)

    keys_of(text)
    return Secret(text)


def _sqlite_file(text: str) -> None:
    path, _, query = text.removeprefix("sqlite://").partition("?")
    if path and not path.startswith("/"):
        raise ValueError("must have three slashes before a relative path, four before an absolute one")
    if path in {"", "/"} or ":memory:" in path or "mode=memory" in query:
        raise ValueError("is a database in memory: orders would be lost with the process; name a file")


def _postgresql_database(text: str) -> None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 (0.2 s, which a sqlite address need not cost)
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        database = make_url(text).database
    except (ArgumentError, ValueError):
        raise ValueError("is not a database address (in a password, @ : / ? are written %-encoded)") from None
    if not database:
        raise ValueError("names no database: postgresql+psycopg://user:password@host/database")


def _redis_url(text: str) -> str:
    redis_address.parse(text)
    return text


def _certificates(text: str) -> str:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ValueError("must be certificates in PEM form (-----BEGIN CERTIFICATE-----)") from None
    return text


def _states(text: str) -> tuple[str, ...]:
    states = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [state for state in states if state not in FEED_FILTER_STATES]
    if unknown:
        raise ValueError(f"names states that VTEX does not list and would never fire: {', '.join(unknown)}")
    if not states:
        raise ValueError("names no state")
    return states


def _shadow(text: str) -> str:
    words = {"0": "", "1": "look", "deliver": "deliver"}
    if text not in words:
        raise ValueError(f"must be 0, 1 (only look) or deliver (look, and fill the ERP), not {text!r}")
    return words[text]


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


def _web_tokens(accounts: Iterable[str]) -> Callable[[str], Secret]:
    def parse(text: str) -> Secret:
        from workers.web import tokens  # noqa: PLC0415 (the front door's own: only who uses it needs it)

        known = set(accounts)
        for place, token in enumerate(tokens.parse(text), 1):
            if token.account and token.account not in known:
                raise ValueError(f"entry {place} is for a store that the settings do not have")
        return Secret(text)

    return parse


def _hook_secret(text: str) -> Secret:
    if len(_credential(text)) < _SHORTEST_HOOK_SECRET:
        raise ValueError(
            f"is shorter than {_SHORTEST_HOOK_SECRET} characters: openssl rand -hex 24 makes one"
        )
    return Secret(text)


def _default_log_format() -> str:
    """A person at a terminal reads lines, everything else reads JSON."""
    return "console" if sys.stderr.isatty() else "json"


def load() -> Settings:
    """Read the environment; raise :class:`SettingsError` with every problem that there is."""
    read = _Reader(os.environ)
    insecure = read.parsed("ALLOW_INSECURE_HTTP", False, _switch)
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
        erp_url=read.parsed("ERP_URL", "", _sink_url(insecure)) if erp else "",
        erp_token=Secret(read.parsed("ERP_TOKEN", "", _credential)),
        erp_signing_secret=read.parsed("ERP_SIGNING_SECRET", Secret(""), _signing_secret),
        redis_url=read.parsed("REDIS_URL", None, _redis_url),
        redis_ca=read.parsed("REDIS_CA", None, _certificates),
        sentinel_password=read.parsed("SENTINEL_PASSWORD", Secret(""), Secret),
        data_dir=read.parsed("DATA_DIR", Path("var"), Path),
        timezone=read.parsed("TIMEZONE", "America/Sao_Paulo", _zone),
        http_timeout=read.parsed("HTTP_TIMEOUT_SECONDS", 10.0, number(0.1, 60)),
        feed_poll=read.parsed("FEED_POLL_SECONDS", 5.0, number(0.2, 3600)),
        feed_states=read.parsed("FEED_STATES", DEFAULT_FEED_STATES, _states),
        feed_managed=read.parsed("FEED_MANAGED", False, _switch),
        sweep=read.parsed("SWEEP_SECONDS", 10.0, number(0.2, 3600)),
        order_scope=read.parsed("ORDER_SCOPE", Scope(), scope.parse),
        shadow=read.parsed("SHADOW", "", _shadow),
        change_api=read.parsed("CHANGE_API", "modifications", _one_of("modifications", "legacy")),
        reconcile=read.parsed("RECONCILE_SECONDS", 600.0, number(1, 86400)),
        reconcile_min_age=read.parsed("RECONCILE_MIN_AGE_SECONDS", 600.0, number(0, 86400)),
        retention_days=read.parsed("RETENTION_DAYS", 0, whole(0, 36500)),
        retry_horizon=read.parsed("RETRY_HORIZON_HOURS", 72.0, number(0.001, 24 * 30)) * 3600,
        worker_processes=read.parsed("WORKER_PROCESSES", os.cpu_count() or 1, whole(1, 256)),
        worker_concurrency=read.parsed("WORKER_CONCURRENCY", 64, whole(1, 1024)),
        log_format=read.parsed("LOG_FORMAT", _default_log_format(), _one_of("json", "console")),
        log_level=read.parsed("LOG_LEVEL", "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        flower_port=read.parsed("FLOWER_PORT", 5555, whole(0, 65535)),
        flower_address=read.parsed("FLOWER_ADDRESS", "", str),
        flower_basic_auth=read.parsed("FLOWER_BASIC_AUTH", Secret(""), _user_and_password),
        web_port=read.parsed("WEB_PORT", 8080, whole(0, 65535)),
        web_address=read.parsed("WEB_ADDRESS", "", str),
        web_tokens=read.parsed("WEB_TOKENS", Secret(""), _web_tokens([account.name])),
        web_requests_per_minute=read.parsed("WEB_REQUESTS_PER_MINUTE", 6000, whole(1, 6_000_000)),
        hook_secret=read.parsed("HOOK_SECRET", Secret(""), _hook_secret),
        metrics_port=read.parsed("METRICS_PORT", 0, whole(0, 65535)),
        metrics_address=read.parsed("METRICS_ADDRESS", "127.0.0.1", str),
        metrics_basic_auth=read.parsed("METRICS_BASIC_AUTH", Secret(""), _user_and_password),
        alarm_url=Secret(read.parsed("ALARM_URL", "", _alarm_url(insecure))),
    )
    if settings.metrics_port and not (
        settings.metrics_address in LOOPBACK_HOSTS or settings.metrics_basic_auth or insecure
    ):
        read.problems.append(
            "METRICS_ADDRESS is open to other machines: set METRICS_BASIC_AUTH (user:password), too,"
            " or ALLOW_INSECURE_HTTP=1"
        )
    if read.problems:
        raise SettingsError(read.problems)
    return settings
