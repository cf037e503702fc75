"""ACCOUNTS_FILE: the stores of one installation, a TOML table each.

A key is the environment's name in small letters, without ``VTEX_``: ``requests_per_minute``, ``erp_url``,
``feed_states``. What a store does not say, the environment says for all of them, but for what would send one
store's secrets elsewhere: the application key, and the secrets of an ERP whose address is the store's own.

A value may be given by reference: ``app_key_file`` names a file that holds it (from the accounts file's folder),
``app_key_env`` an environment variable. A credential in the file itself is taken only from a file that nobody else
may read, as ssh takes its keys.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from workers.settings.address_secrets import secrets_in
from workers.settings.reader import Environment, Reader, trimmed
from workers.settings.values import host_word

if TYPE_CHECKING:
    from pathlib import Path

#: What a store may say for itself, by its key in the file.
NAMES = {
    name.removeprefix("VTEX_").lower(): name
    for name in (
        "VTEX_APP_KEY",
        "VTEX_APP_TOKEN",
        "VTEX_ENVIRONMENT",
        "VTEX_BASE_URL",
        "VTEX_REQUESTS_PER_MINUTE",
        "HTTP_TIMEOUT_SECONDS",
        "CHANGE_API",
        "ERP_URL",
        "ERP_TOKEN",
        "ERP_SIGNING_SECRET",
        "TIMEZONE",
        "FEED_POLL_SECONDS",
        "FEED_STATES",
        "FEED_MANAGED",
        "RECONCILE_SECONDS",
        "RECONCILE_MIN_AGE_SECONDS",
        "ORDER_SCOPE",
        "SHADOW",
        "RETENTION_DAYS",
        "RETRY_HORIZON_HOURS",
        "HOOK_SECRET",
    )
}
_KEYS = {name: key for key, name in NAMES.items()}
_SECRETS = frozenset({"app_key", "app_token", "erp_token", "erp_signing_secret", "hook_secret"})
#: A store's own key is never used for another store.
_NEVER_SHARED = frozenset({"VTEX_APP_KEY", "VTEX_APP_TOKEN"})
#: They are the ERP's to which ERP_URL leads: a store with an ERP of its own has its own, or none.
_OF_THE_ERP = frozenset({"ERP_TOKEN", "ERP_SIGNING_SECRET"})
_WAYS = ("", "_file", "_env")


def read(path: Path, environment: Environment) -> list[OneStore]:
    """The stores of the file; what is wrong with it becomes problems of the environment's."""
    where = path.name
    if environment.text("VTEX_ACCOUNT"):
        environment.problem("VTEX_ACCOUNT and ACCOUNTS_FILE are both given: remove one")
    try:
        text = path.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
        private = not stat.S_IMODE(path.stat().st_mode) & 0o077
    except tomllib.TOMLDecodeError as error:
        environment.problem(f"{where} is not TOML: {error}")
        return []
    except (OSError, ValueError):
        environment.problem("ACCOUNTS_FILE does not name a readable text file")
        return []
    lines = _lines(text)
    stores: list[OneStore] = []
    known: dict[str, str] = {}
    for name, table in tables.items():
        at = f"{where}, line {lines[name, '']}" if (name, "") in lines else where
        if not isinstance(table, dict):
            environment.problem(
                f"{at}: {name} belongs to no store: put it below a [store], or, for all stores, set"
                f" {NAMES.get(name, name.upper())} in the environment"
            )
            continue
        try:
            host_word(name)
        except ValueError as error:
            environment.problem(f"{at}: the store's name {error}")
            continue
        if name.lower() in known:
            environment.problem(f"{at}: {name} and {known[name.lower()]} are one store: remove one")
            continue
        known[name.lower()] = name
        stores.append(OneStore(name, table, path, environment, lines, private=private))
    if not tables:
        environment.problem(f"{where} names no store: it needs a table for each, such as [mystore]")
    return stores


class OneStore(Reader):
    """One store's table. What it does not say is read from the environment."""

    def __init__(
        self,
        name: str,
        table: dict[str, Any],
        path: Path,
        environment: Environment,
        lines: dict[tuple[str, str], int],
        *,
        private: bool,
    ) -> None:
        super().__init__(environment.problems)
        self.spared = environment.spared
        self.name = name
        self._table, self._path, self._environment = table, path, environment
        self._lines, self._private = lines, private
        for key in table:
            self._known(key)

    def label(self, name: str) -> str:
        """``accounts.toml, line 7, mystore: feed_states``, or the environment's name if the value is from there."""
        key = _KEYS[name]
        given = next((key + way for way in _WAYS if key + way in self._table), None)
        if given is None and self._read.get(name) is not None:
            return name
        return self._at(given or key)

    def _at(self, key: str) -> str:
        line = self._lines.get((self.name, key)) or self._lines.get((self.name, ""))
        return f"{self._path.name}, {f'line {line}, ' if line else ''}{self.name}: {key}"

    def _known(self, key: str) -> None:
        if any(key == name + way for name in NAMES for way in _WAYS):
            return
        near = difflib.get_close_matches(key, [name + way for name in NAMES for way in _WAYS], 1)
        hint = f"did you mean {near[0]}?" if near else "the README lists what a store may have"
        self.problem(f"{self._at(key)} is no setting of a store: {hint}")

    def _find(self, name: str) -> str | None:
        key = _KEYS[name]
        given = [key + way for way in _WAYS if key + way in self._table]
        if len(given) > 1:
            self.problem(f"{self._at(given[0])} and {given[1]} are both given: remove one")
            return None
        if not given:
            apart = name in _OF_THE_ERP and any("erp_url" + way in self._table for way in _WAYS)
            return None if apart or name in _NEVER_SHARED else self._environment.text(name)
        [way] = given
        text = self._plain(way, self._table[way])
        if text is None:
            return None
        if way.endswith("_file") and way not in NAMES:
            return self.content(self._at(way), self._path.parent / text)
        if way.endswith("_env") and way not in NAMES:
            value = self._environment.text(text)
            if value is None:
                self.problem(f"{self._at(way)} names {text[:60]}, which the environment does not have")
            return value
        if not self._private and (key in _SECRETS or secrets_in(text)):
            self.problem(
                f"{self._at(key)} stands in a file that others may read: use {key}_file or {key}_env"
                f" (or chmod 600 {self._path.name})"
            )
        return text

    def _plain(self, key: str, value: Any) -> str | None:
        """A value as the environment would have it."""
        match value:
            case bool():
                return str(int(value))
            case str():
                text = trimmed(value)
            case int() | float():
                text = str(value)
            case list() if all(isinstance(part, str) for part in value):
                text = ", ".join(value)
            case _:
                self.problem(f"{self._at(key)} must be text, a number, true or false, or a list of texts")
                return None
        if text is None:
            self.problem(f"{self._at(key)} is empty: give it a value, or leave the line out")
        return text


def _lines(text: str) -> dict[tuple[str, str], int]:
    """(store, key) -> number of its line, as far as it is written in the plain way; (store, "") is the heading."""
    found: dict[tuple[str, str], int] = {}
    store = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"""\s*\[\s*["']?([^"'\]]+?)["']?\s*\]""", line):
            store = heading[1]
            found.setdefault((store, ""), number)
        elif pair := re.match(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""", line):
            found.setdefault((store, pair[1]) if store else (pair[1], ""), number)
    return found
