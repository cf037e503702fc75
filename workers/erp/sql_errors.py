"""What a database's error means for the order that was being delivered.

The question is always: is something wrong with this one order (then it is refused), with the connection
or the tables (then every order would fail, and the sink pauses), or with the moment (then it is tried again)?

Only the driver's primary message is quoted. The details that a server adds, the statement's parameters and
SQLAlchemy's own text may hold the whole document.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from workers import errors

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

#: SQLSTATE (or its class, the first two characters) → what it means; the longest match counts.
#: Source: PostgreSQL's documentation, appendix "PostgreSQL Error Codes". Anything else passes with time.
_SQLSTATES: dict[str, type[errors.OrderLinkError]] = {
    "0A": errors.AccessDenied,  # feature not supported: not a table that can be written
    "21": errors.Rejected,
    "22": errors.Rejected,  # data exception: too long, not JSON, a character the database cannot hold
    "23": errors.Rejected,  # a constraint
    "23502": errors.AccessDenied,  # not null: a column that is not ours, and empty for every order
    "25006": errors.AccessDenied,  # read-only
    "28": errors.AccessDenied,  # wrong user or password
    "3D": errors.AccessDenied,  # no such database
    "3F": errors.AccessDenied,  # no such schema
    "42": errors.AccessDenied,  # missing table, column or permission
    "44": errors.Rejected,  # a view's check option
    "54": errors.Rejected,  # a limit of the program: nested too deep, too big for an index
    "57P04": errors.AccessDenied,  # the database was dropped
    "P0": errors.Rejected,  # a trigger of the ERP said no
}

_SQLITE: dict[str, type[errors.OrderLinkError]] = {
    "SQLITE_AUTH": errors.AccessDenied,
    "SQLITE_CANTOPEN": errors.AccessDenied,
    "SQLITE_CONSTRAINT": errors.Rejected,
    "SQLITE_CONSTRAINT_NOTNULL": errors.AccessDenied,
    "SQLITE_CORRUPT": errors.AccessDenied,
    "SQLITE_ERROR": errors.AccessDenied,  # no such table, no such column
    "SQLITE_MISMATCH": errors.Rejected,
    "SQLITE_NOTADB": errors.AccessDenied,
    "SQLITE_PERM": errors.AccessDenied,
    "SQLITE_READONLY": errors.AccessDenied,
    "SQLITE_TOOBIG": errors.Rejected,
}

# A refused login carries no SQLSTATE, only words, and they may be in the server's language.
_LOGIN_REFUSED = re.compile(
    r"password|senha|authentication|autentica|pg_hba\.conf|does not exist|não existe|no such database"
    r"|permission denied|permissão|not permitted to log in|certificate|does not support SSL",
    re.IGNORECASE,
)
_USER = re.compile(r'\b(user|role|usuário)\s+["«][^"»]*["»]', re.IGNORECASE)
_MOST_WORDS = 200


def of_psycopg(name: str) -> Any:
    """That class of psycopg's errors; none where psycopg was never needed: it takes 8 MB of a process."""
    psycopg = sys.modules.get("psycopg")
    return (getattr(psycopg, name),) if psycopg else ()


def explain(error: Exception, where: str, secrets: Collection[str] = ()) -> errors.OrderLinkError:
    """The error of ours that ``error`` means; its message names ``where`` and quotes nobody's data.

    ``secrets``, those of the address, are struck out: libpq quotes a parameter that it does not understand.
    """
    if isinstance(error, exc.TimeoutError | TimeoutError):
        return errors.Unavailable(f"{where}: too many deliveries are waiting for it")
    if isinstance(error, UnicodeError):
        return errors.Rejected(f"{where}: the order holds characters that cannot be stored as UTF-8")
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, where)
    if isinstance(cause, of_psycopg("Error")):
        return _from_postgresql(cause, where, secrets)
    if isinstance(cause, OSError):
        return errors.AccessDenied(f"{where}: {cause.strerror or type(cause).__name__}")
    return errors.Unavailable(f"{where}: {type(cause).__name__}")


def _from_sqlite(cause: sqlite3.Error, where: str) -> errors.OrderLinkError:
    # The driver's own complaints (a number too big to bind) carry no code and are about the data.
    default = "SQLITE_BUSY" if isinstance(cause, sqlite3.OperationalError) else "SQLITE_MISMATCH"
    name: str = getattr(cause, "sqlite_errorname", default)
    kind = _longest(_SQLITE, name, name.split("_", 2)[:2]) or errors.Unavailable
    return kind(f"{where}: {_short(str(cause))}", code=name)


def _from_postgresql(cause: psycopg.Error, where: str, secrets: Collection[str]) -> errors.OrderLinkError:
    if cause.sqlstate:
        kind = _longest(_SQLSTATES, cause.sqlstate, [cause.sqlstate[:2]]) or errors.Unavailable
        words = cause.diag.message_primary or type(cause).__name__
        if cause.sqlstate.startswith("22"):
            words = re.split(r':\s*["«]', words)[0]  # what follows quotes the value itself
        return kind(f"{where}: {_short(words)}", code=cause.sqlstate)
    if isinstance(cause, of_psycopg("DataError")):  # refused by the driver before anything was sent
        return errors.Rejected(f"{where}: the order holds a character that cannot be stored")
    words = _USER.sub(r"\1", str(cause))
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "***")
    denied = isinstance(cause, of_psycopg("ProgrammingError")) or _LOGIN_REFUSED.search(words)
    words = words.partition("\n")[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip()
    if "certificate" in words:
        words = f"{_short(words)} (sslrootcert=FILE in ERP_URL names a signer of your own)"
        return errors.AccessDenied(f"{where}: {words}")
    return (errors.AccessDenied if denied else errors.Unavailable)(f"{where}: {_short(words)}")


def _longest(
    table: dict[str, type[errors.OrderLinkError]], code: str, shorter: list[str]
) -> type[errors.OrderLinkError] | None:
    return table.get(code) or table.get("_".join(shorter))


def _short(words: str) -> str:
    line = words.partition("\n")[0].strip()
    return line if len(line) <= _MOST_WORDS else f"{line[:_MOST_WORDS]}…"
