"""Looks at what others could read or change: what is sent without TLS, files that other users may open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workers import private, redis_address
from workers.check import Finding
from workers.settings import Settings, is_here


def check_secrecy(loaded: Settings) -> Iterator[Finding]:
    """All of it; nothing is found where all is well."""
    for warning in loaded.warnings:
        what, _, do = warning.rpartition(": ")
        yield Finding("look", "files", what, do)
    for setting, folder, shared in _folders(loaded):
        for words in private.about_folder(folder, shared=shared):
            yield Finding(
                "look", "files", f"{words} ({setting})", f"is that meant? If not: chmod go-w {folder}"
            )
    yield from _sent_in_clear(loaded)


def _folders(loaded: Settings) -> Iterator[tuple[str, Path, bool]]:
    """Where files of ours are: by which setting, and whether a group may share them, as an ERP's."""
    yield "DATA_DIR", loaded.data_dir, False
    for url in sorted({loaded.of(name).erp_url for name in loaded.accounts}):
        scheme, _, path = url.partition("://")
        if scheme == "file":
            yield "ERP_URL", Path(unquote(path)), True
        elif scheme == "sqlite":
            yield "ERP_URL", Path(path.partition("?")[0].removeprefix("/")).parent, True


def _sent_in_clear(loaded: Settings) -> Iterator[Finding]:
    said: set[tuple[str, str]] = set()
    stores = [loaded.of(name) for name in loaded.accounts]
    for setting, url in (
        *(("VTEX_BASE_URL", str(store.account().base_url or "")) for store in stores),
        *(("ERP_URL", store.erp_url) for store in stores),
        ("ALARM_URL", loaded.alarm_url.reveal()),
        ("REDIS_URL", loaded.redis_url or ""),
    ):
        for host in _unprotected(url, loaded):
            if (setting, host) not in said:
                said.add((setting, host))
                yield Finding(
                    "look",
                    "TLS",
                    f"{setting} leads to {host} without verified TLS, as ALLOW_INSECURE_HTTP allows: whoever"
                    " listens or answers gets passwords and orders",
                    "use TLS, or be sure of that network",
                )


def _unprotected(url: str, loaded: Settings) -> list[str]:
    """The other machines that an address leads to without verified TLS."""
    scheme = url.partition(":")[0]
    if scheme == "http":
        host = urlsplit(url).hostname or ""
        return [] if is_here(host) else [host]
    if scheme == "postgresql+psycopg":
        from workers.erp import sql_engine, sql_tls  # noqa: PLC0415 - 0.2 s, which a sqlite address need not cost

        return sql_tls.unverified(sql_engine.parse(url), loaded.in_clear.to)
    if scheme in redis_address.SCHEMES:
        address = redis_address.parse(url)
        return [] if address.tls else [host for host, _ in address.hosts if not is_here(host)]
    return []
