"""Reads everything into :class:`Settings`: what belongs to the whole installation, and what belongs to a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers import scope
from workers.scope import Scope
from workers.settings import accounts_file, values
from workers.settings.accounts_file import OneStore
from workers.settings.in_clear import InClear, is_here
from workers.settings.in_clear import parse as parse_in_clear
from workers.settings.model import Account, Secret, Settings, SettingsError
from workers.settings.reader import Environment
from workers.vtex.states import DEFAULT_FEED_STATES

if TYPE_CHECKING:
    from workers.settings.reader import Reader


_ALL_WE_ASK_FOR: tuple[str, ...] = DEFAULT_FEED_STATES


#: What only VTEX and an ERP are told.
_CREDENTIALS = frozenset(
    {"VTEX_APP_KEY", "VTEX_APP_TOKEN", "ERP_URL", "ERP_TOKEN", "ERP_SIGNING_SECRET", "ALARM_URL"}
)
_spared: frozenset[str] = frozenset()


def spare_credentials() -> None:
    """From now on this process reads nothing that only VTEX and an ERP are told: it speaks with Redis alone.

    Of the whole process, as Celery has the settings read, too.
    """
    global _spared  # noqa: PLW0603 - one a process is what it is for
    _spared = _CREDENTIALS


def load() -> Settings:
    """Read the environment; raise :class:`SettingsError` with every problem that there is."""
    problems: dict[str, None] = {}
    read = Environment(os.environ, problems)
    read.spared = _spared
    in_clear = read.parsed("ALLOW_INSECURE_HTTP", InClear(), parse_in_clear)
    file = read.as_written("ACCOUNTS_FILE")
    if file:
        stores = accounts_file.read(Path(file), read)
        defaults = _of_a_store(read, in_clear=in_clear)
        accounts = {store.name: _account(store, store.name, in_clear=in_clear) for store in stores}
        own = {store.name: _own(store, defaults, in_clear=in_clear) for store in stores}
        _same_retention(read, [(name, defaults | fields) for name, fields in own.items()])
    else:
        account = _account(read, _only_name(read), in_clear=in_clear)
        accounts, own = {account.name: account}, {}
        read.required("ERP_URL", "where orders go, for example sqlite:///erp.db")
        defaults = _of_a_store(read, in_clear=in_clear)
    settings = Settings(
        accounts=accounts,
        stores=own,
        **defaults,
        redis_url=read.parsed("REDIS_URL", None, values.redis_url(in_clear)),
        redis_ca=read.parsed("REDIS_CA", None, values.certificates),
        sentinel_password=read.parsed("SENTINEL_PASSWORD", Secret(""), Secret),
        in_clear=in_clear,
        warnings=tuple(read.warnings),
        data_dir=read.parsed("DATA_DIR", Path("var"), Path),
        sweep=read.parsed("SWEEP_SECONDS", 10.0, values.number(0.2, 3600)),
        worker_processes=read.parsed("WORKER_PROCESSES", os.cpu_count() or 1, values.whole(1, 256)),
        worker_concurrency=read.parsed("WORKER_CONCURRENCY", 64, values.whole(1, 1024)),
        log_format=read.parsed("LOG_FORMAT", values.default_log_format(), values.one_of("json", "console")),
        log_level=read.parsed("LOG_LEVEL", "INFO", values.one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        flower_port=read.parsed("FLOWER_PORT", 5555, values.whole(0, 65535)),
        flower_address=read.parsed("FLOWER_ADDRESS", "127.0.0.1", str),
        flower_basic_auth=read.parsed("FLOWER_BASIC_AUTH", Secret(""), values.user_and_password),
        web_port=read.parsed("WEB_PORT", 8080, values.whole(0, 65535)),
        web_address=read.parsed("WEB_ADDRESS", "127.0.0.1", str),
        web_tokens=read.parsed("WEB_TOKENS", Secret(""), values.web_tokens(accounts)),
        web_requests_per_minute=read.parsed("WEB_REQUESTS_PER_MINUTE", 6000, values.whole(1, 6_000_000)),
        metrics_port=read.parsed("METRICS_PORT", 0, values.whole(0, 65535)),
        metrics_address=read.parsed("METRICS_ADDRESS", "127.0.0.1", str),
        metrics_basic_auth=read.parsed("METRICS_BASIC_AUTH", Secret(""), values.user_and_password),
        alarm_url=Secret(read.parsed("ALARM_URL", "", values.alarm_url(in_clear))),
    )
    if settings.metrics_port and not (
        is_here(settings.metrics_address) or settings.metrics_basic_auth or in_clear.anywhere
    ):
        read.problem(
            "METRICS_ADDRESS is open to other machines: set METRICS_BASIC_AUTH (user:password), too,"
            " or ALLOW_INSECURE_HTTP=1"
        )
    if problems:
        raise SettingsError(problems)
    return settings


def _only_name(read: Reader) -> str:
    name = read.required("VTEX_ACCOUNT", "your store's account name (mystore in mystore.myvtex.com)")
    return read.parsed("VTEX_ACCOUNT", "", values.host_word) if name else ""


def _account(read: Reader, name: str, *, in_clear: InClear) -> Account:
    """How one store is reached at VTEX."""
    read.required("VTEX_APP_KEY", "an application key made in VTEX's Admin, Account settings")
    read.required("VTEX_APP_TOKEN", "the token that belongs to the application key")
    return Account(
        name=name,
        app_key=Secret(read.parsed("VTEX_APP_KEY", "", values.credential)),
        app_token=Secret(read.parsed("VTEX_APP_TOKEN", "", values.credential)),
        environment=read.parsed("VTEX_ENVIRONMENT", "vtexcommercestable", values.host_word),
        base_url=read.parsed("VTEX_BASE_URL", None, values.http_url(in_clear)),
        requests_per_minute=read.parsed("VTEX_REQUESTS_PER_MINUTE", 4800, values.whole(1, 600_000)),
    )


def _of_a_store(read: Reader, *, in_clear: InClear) -> dict[str, Any]:
    """The fields of :class:`Settings` that each store may have of its own."""
    return {
        "erp_url": read.parsed("ERP_URL", "", values.sink_url(in_clear)),
        "erp_token": Secret(read.parsed("ERP_TOKEN", "", values.credential)),
        "erp_signing_secret": read.parsed("ERP_SIGNING_SECRET", Secret(""), values.signing_secret),
        "timezone": read.parsed("TIMEZONE", "America/Sao_Paulo", values.zone),
        "http_timeout": read.parsed("HTTP_TIMEOUT_SECONDS", 10.0, values.number(0.1, 60)),
        "feed_poll": read.parsed("FEED_POLL_SECONDS", 5.0, values.number(0.2, 3600)),
        "feed_states": read.parsed("FEED_STATES", _ALL_WE_ASK_FOR, values.states),
        "feed_managed": read.parsed("FEED_MANAGED", False, values.switch),
        "order_scope": read.parsed("ORDER_SCOPE", Scope(), scope.parse),
        "shadow": read.parsed("SHADOW", "", values.shadow),
        "change_api": read.parsed("CHANGE_API", "modifications", values.one_of("modifications", "legacy")),
        "reconcile": read.parsed("RECONCILE_SECONDS", 600.0, values.number(1, 86400)),
        "reconcile_min_age": read.parsed("RECONCILE_MIN_AGE_SECONDS", 600.0, values.number(0, 86400)),
        "retention_days": read.parsed("RETENTION_DAYS", 0, values.whole(0, 36500)),
        "retry_horizon": read.parsed("RETRY_HORIZON_HOURS", 72.0, values.number(0.001, 24 * 30)) * 3600,
        "hook_secret": read.parsed("HOOK_SECRET", Secret(""), values.hook_secret),
    }


def _own(store: OneStore, defaults: dict[str, Any], *, in_clear: InClear) -> dict[str, Any]:
    """What a store has that differs from what all of them have."""
    store.required("ERP_URL", "where orders go; or set ERP_URL in the environment for all stores")
    fields = _of_a_store(store, in_clear=in_clear)
    return {name: value for name, value in fields.items() if value != defaults[name]}


def _same_retention(read: Reader, stores: list[tuple[str, dict[str, Any]]]) -> None:
    """An ERP's inbox is erased by age alone, whose orders they are does not count."""
    first: dict[str, tuple[str, int]] = {}
    for name, fields in stores:
        other, days = first.setdefault(fields["erp_url"], (name, fields["retention_days"]))
        if fields["erp_url"] and days != fields["retention_days"]:
            read.problem(
                f"{name}: retention_days differs from that of {other}, and both have the same erp_url: what is"
                " erased there is erased for both. Give both the same, or an ERP of its own to one"
            )
