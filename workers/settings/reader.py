"""Reads settings by name, and keeps every problem instead of stopping at the first.

Any name may be given as ``NAME_FILE``, a file that holds the value. The environment goes before ``.env``; within
either, NAME and NAME_FILE together are a problem, for nobody could tell which one counts. An empty value is a
missing one.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dotenv.parser import parse_stream

from workers.settings.address_secrets import secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_CREDENTIALS = frozenset(
    {"VTEX_APP_TOKEN", "ERP_TOKEN", "ERP_SIGNING_SECRET", "SENTINEL_PASSWORD", "WEB_TOKENS", "HOOK_SECRET"}
    | {"FLOWER_BASIC_AUTH", "METRICS_BASIC_AUTH", "ALARM_URL"}
)


class Reader:
    """Where settings come from; :meth:`_find` says from where."""

    def __init__(self, problems: dict[str, None]) -> None:
        #: An ordered set: a value that several stores share is a problem once.
        self.problems = problems
        #: What is not looked for: this process needs none of it.
        self.spared: frozenset[str] = frozenset()
        self._read: dict[str, str | None] = {}

    def text(self, name: str) -> str | None:
        """The value, trimmed; None if it is missing, empty, or a problem (told once)."""
        if name in self.spared:
            return None
        if name not in self._read:
            self._read[name] = self._find(name)
        return self._read[name]

    def required(self, name: str, what: str) -> str:
        """The value; "" and a problem if it is missing."""
        before = len(self.problems)
        value = self.text(name)
        if value is None and len(self.problems) == before and name not in self.spared:
            self.problem(f"{self.label(name)} is missing: {what}")
        return value or ""

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value; the default if it is missing or (with a problem) wrong."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problem(f"{self.label(name)} {error}")
            return default

    def problem(self, words: str) -> None:
        """Keep a problem."""
        self.problems[words] = None

    def label(self, name: str) -> str:
        """What a problem with it begins with."""
        return name

    def content(self, label: str, file: Path | str) -> str | None:
        """The value that a file holds."""
        try:
            value = trimmed(Path(file).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):  # UnicodeDecodeError is a ValueError; so is a NUL in the path
            self.problem(f"{label} does not name a readable text file")
            return None
        if not value:
            self.problem(f"{label} names an empty file")
        return value

    def _find(self, name: str) -> str | None:
        raise NotImplementedError


class Environment(Reader):
    """The environment, and the ``.env`` in the working directory."""

    def __init__(self, environ: Mapping[str, str], problems: dict[str, None]) -> None:
        super().__init__(problems)
        #: What is no problem and should be known.
        self.warnings: list[str] = []
        self._sources = (environ, self._dotenv())

    def _find(self, name: str) -> str | None:
        for source in self._sources:
            value, file = trimmed(source.get(name)), trimmed(source.get(f"{name}_FILE"))
            if value and file:
                self.problem(f"{name} and {name}_FILE are both given: remove one")
                return None
            if file:
                return self.content(f"{name}_FILE", file)
            if value:
                return value
        return None

    def as_written(self, name: str) -> str | None:
        """The value alone: no file is looked into."""
        return next((value for source in self._sources if (value := trimmed(source.get(name)))), None)

    def _dotenv(self) -> dict[str, str]:
        """The ``.env`` here, nowhere above. As written: ``${...}`` in a password is part of the password."""
        try:
            with Path(".env").open(encoding="utf-8-sig") as file:
                text, mode = file.read(), os.fstat(file.fileno()).st_mode
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError):
            self.problem(".env is not a readable text file in UTF-8")
            return {}
        values: dict[str, str] = {}
        for line in parse_stream(io.StringIO(text)):
            if line.error or (line.key is not None and line.value is None):
                written = line.original.string
                number = line.original.line + written[: len(written) - len(written.lstrip())].count("\n")
                self.problem(f".env, line {number}: not NAME=value")
            elif line.key is not None and line.value is not None:
                values[line.key] = line.value
        held = sorted(name for name, value in values.items() if _is_secret(name, value))
        if held and mode & (stat.S_IROTH | stat.S_IWOTH):
            may = "change" if mode & stat.S_IWOTH else "read"
            self.warnings.append(
                f".env holds {held[0]} and every user of this machine may {may} it: chmod 600 .env"
            )
        return values


def _is_secret(name: str, value: str) -> bool:
    return bool(value.strip()) and (name in _CREDENTIALS or bool(secrets_in(value)))


def trimmed(text: str | None) -> str | None:
    """Without the spaces, line ends and byte order mark that editors leave; None if nothing is left."""
    return (text or "").strip("\ufeff \t\r\n\v\f") or None
