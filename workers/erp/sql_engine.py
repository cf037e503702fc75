"""How the SQL sink connects: so that what was committed is on disk, and so that no thread waits for ever."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool

from workers import errors
from workers.erp import sql_tls
from workers.settings import InClear
from workers.settings.address_secrets import secrets_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy.engine import URL

#: A process opens at most this many connections to PostgreSQL: a server allows 100 in all unless told
#: otherwise, and more would not be faster, as each delivery is one short statement.
MOST_CONNECTIONS = 10

#: Seconds to wait for another writer to SQLite, which may be the ERP itself.
BUSY_SECONDS = 10.0
#: Seconds to wait for the threads of this process that came first.
WAIT_SECONDS = 10.0

# What libpq is told unless the URL says otherwise: a server that is gone is noticed within half a minute.
_POSTGRESQL: dict[str, str | int] = {
    "application_name": "vtex-order-workers",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

# As statements and not as libpq's "options", which connection poolers refuse. Asynchronous commit would lose
# what we have reported as stored when the server crashes; any other value is the administrator's decision.
_POSTGRESQL_SESSION = """
    SELECT set_config('statement_timeout', '10s', false),
           set_config('lock_timeout', '10s', false),
           set_config('idle_in_transaction_session_timeout', '30s', false),
           CASE WHEN current_setting('synchronous_commit') = 'off'
                THEN set_config('synchronous_commit', 'on', false) END
"""


def connect(url: str, threads: int, in_clear: InClear | None = None) -> PostgreSQL | SQLite:
    """The database that ``url`` names; nothing is opened yet."""
    parsed = parse(url)
    if parsed.drivername == "sqlite":
        return SQLite(parsed)
    problem = ""
    try:
        return PostgreSQL(
            parsed, threads, sql_tls.options(parsed, (in_clear or InClear()).to), secrets_in(url)
        )
    except ValueError as error:
        problem = str(error)
    raise errors.Invalid(f"the ERP's address {problem}")


def parse(url: str) -> URL:
    """SQLAlchemy's URL, or :class:`~workers.errors.Invalid` without quoting it (it may hold a password)."""
    parsed: URL | None = None
    with suppress(exc.ArgumentError, ValueError):
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql+psycopg":
            sql_tls.arguments(parsed)
    if parsed is None:
        raise errors.Invalid("the ERP's address cannot be read; it looks like sqlite:///erp.db")
    if parsed.drivername == "sqlite":
        if not parsed.database or ":memory:" in parsed.database or parsed.database.startswith("file:"):
            raise errors.Invalid("the ERP's SQLite address must name a file, as in sqlite:///erp.db")
        if parsed.host:
            raise errors.Invalid("the ERP's SQLite address needs three slashes, as in sqlite:///erp.db")
    elif not parsed.database:
        raise errors.Invalid("the ERP's address must name a database, as in postgresql+psycopg://host/erp")
    return parsed


class Turns:
    """Lets so many threads in at a time, first come, first served.

    Locks, SQLAlchemy's pool and SQLite's own waiting all let a newcomer overtake: measured with 64 threads,
    most deliveries took a few milliseconds and some took twelve seconds.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Wait for a place, for so many seconds at most (``TimeoutError``), and hold it."""
        called = threading.Lock()
        called.acquire()
        with self._lock:
            if self._free:
                self._free -= 1
                called.release()
            else:
                self._waiting.append(called)
        if not called.acquire(timeout=seconds):
            with self._lock:
                if called in self._waiting:
                    self._waiting.remove(called)
                    raise TimeoutError
                # else: called at the last moment
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().release()
                else:
                    self._free += 1


class PostgreSQL:
    """A PostgreSQL database, in ``READ COMMITTED`` whatever its default, as the sink's rules expect."""

    now = sa.text("CURRENT_TIMESTAMP")
    insert = staticmethod(postgresql.insert)

    def __init__(self, url: URL, threads: int, tls: Mapping[str, str], secrets: Collection[str] = ()) -> None:
        host = str(sql_tls.arguments(url).get("host") or "the local socket")
        self.name = f"PostgreSQL database {url.database} at {host}"
        self.secrets = secrets
        self.prepared = False
        connections = min(threads, MOST_CONNECTIONS)
        self.engine = sa.create_engine(
            url,
            connect_args={
                # A pooler may hand each transaction to another server process, which knows no such statement.
                "prepare_threshold": None,
                **{name: value for name, value in _POSTGRESQL.items() if name not in url.query},
                **tls,
            },
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            max_overflow=0,
            pool_size=connections,
        )
        self._turns = Turns(connections)
        #: For a transaction of one statement: one round trip instead of three.
        self.single = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(self.engine, "connect", _session)

    def turn(self) -> AbstractContextManager[None]:
        """Wait for a connection."""
        return self._turns.turn(WAIT_SECONDS)


def _session(connection: Any, _record: object) -> None:
    try:
        connection.execute(_POSTGRESQL_SESSION)
        connection.commit()
    except BaseException:
        connection.close()
        raise


class SQLite:
    """A SQLite file, with one connection that all threads take turns at."""

    now = sa.text("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
    insert = staticmethod(sqlite.insert)

    def __init__(self, url: URL) -> None:
        self._path = Path(str(url.database))
        self._turns = Turns(1)
        self._opened: tuple[int, int] | None = None
        self.name = f"SQLite file {self._path.name}"
        self.prepared = False
        self.secrets: Collection[str] = ()
        self.engine = sa.create_engine(
            url,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
            hide_parameters=True,
            max_overflow=0,
            pool_size=1,
            poolclass=QueuePool,
        )
        #: For a transaction of one statement, which SQLite makes one by itself.
        self.single = self.engine.execution_options(single=True)
        event.listen(self.engine, "do_connect", self._make_private)
        event.listen(self.engine, "connect", self._make_durable)
        event.listen(self.engine, "begin", _take_write_lock)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the connection."""
        with self._turns.turn(WAIT_SECONDS):
            if self._opened and self._opened != self._identity():
                # The file was replaced, by a backup perhaps. What we write to the old one nobody would read.
                self.engine.dispose()
                self.prepared = False
            yield

    def _identity(self) -> tuple[int, int] | None:
        with suppress(OSError):
            stat = self._path.stat()
            return stat.st_dev, stat.st_ino
        return None

    def _make_private(self, *_: object) -> None:
        """A new file is for this user only: it holds customers' data. SQLite gives its own files the same rights."""
        with suppress(OSError):  # it is there already; or SQLite will say what is wrong
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _make_durable(self, connection: sqlite3.Connection, _record: object) -> None:
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        self._opened = self._identity()


def _take_write_lock(connection: sa.Connection) -> None:
    # At once: a transaction that reads first and writes then can fail half-way.
    if not connection.get_execution_options().get("single"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


_LOG = "WAL"


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn on the write-ahead log, which lets the ERP read while we write. The file remembers it."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                (mode,) = connection.execute(f"PRAGMA journal_mode = {_LOG}").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait here when several processes start at once.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            break
    if mode != "wal":
        raise errors.AccessDenied(
            "SQLite cannot keep a write-ahead log there (a network drive?): use a local disk, or PostgreSQL"
        )
