"""The settings as the rest of the program sees them: frozen, and without a secret in ``repr``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.scope import Scope
from workers.settings.in_clear import InClear
from workers.vtex.states import DEFAULT_FEED_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
    #: To whom anything may be sent without TLS.
    in_clear: InClear = field(default_factory=InClear)
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
    #: Where Flower listens: this machine only, unless another address is set.
    flower_address: str = "127.0.0.1"
    flower_basic_auth: Secret = field(default_factory=lambda: Secret(""))
    web_port: int = 8080
    #: Where the front door listens: as Flower, for it speaks plain http.
    web_address: str = "127.0.0.1"
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

    #: What is no problem and should be known: one sentence each.
    warnings: tuple[str, ...] = ()
    #: What each store has of its own, by the names of these fields, where several are served (ACCOUNTS_FILE).
    stores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def of(self, name: str | None = None) -> Settings:
        """The same settings as they are for one store, as if it were the only one; ``KeyError`` as :meth:`account`.

        Everything that belongs to one store is asked for here: its sink, its feed, its scope, its shadow.
        """
        account = self.account(name)
        own = self.stores.get(account.name, {})
        return replace(self, accounts={account.name: account}, stores={}, **own)

    @property
    def front_door(self) -> bool:
        """Whether there is anybody to let in: an ERP with a token, or VTEX with a hook's secret."""
        return bool(self.web_tokens) or any(self.of(name).hook_secret for name in self.accounts)

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
        known = ", ".join(self.accounts)
        if name is None:
            raise KeyError(f"say which store is meant, there are several: {known}")
        raise KeyError(f"no account {name!r} in the settings; there is: {known}")
