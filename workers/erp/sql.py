"""Orders in a SQL database: a row an order in ``vtex_orders``, cancellations in ``vtex_order_events``.

``docs/erp.md`` explains to the ERP's side how to take them. The rules:

- An order is inserted once. Its row changes only for a document with a later ``lastChange``.
- ``order.canceled`` always wins and is final, also when it comes before the order itself.
- A repeat changes nothing, not even ``updated_at``.

The columns are fixed, so the stored ``lastChange`` is read out of the stored document.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.schema import CreateTable

from workers import errors
from workers.erp import sink, sql_engine
from workers.erp.sql_errors import explain, of_psycopg
from workers.vtex import states
from workers.vtex.schemas import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.sql.elements import BindParameter, ColumnElement

#: The status of a canceled order's row, whichever of its two names VTEX used.
CANCELED = "canceled"
#: The status of a row whose document was erased by age: nobody takes it for a new order.
EXPIRED = "expired"
_LOT = 200
_EPOCH = "1970-01-01T00:00:00.0000000Z"
_SCHEMA_LOCK = 8_390_154_272  # any number: whoever creates the tables in PostgreSQL holds this advisory lock
_TRIES = 3
_FAILURES = (exc.SQLAlchemyError, sqlite3.Error, UnicodeError, OSError)

# What a delivery's type says when VTEX's document has no status.
_STATUSES = {
    sink.ORDER_READY: states.READY_FOR_HANDLING,
    sink.CANCELLATION_REQUESTED: "cancellation-requested",
    sink.CANCELED: CANCELED,
}


class _Json(sa.types.UserDefinedType[str]):
    """PostgreSQL's ``json``, given and read as text: unlike ``jsonb`` it keeps every byte."""

    cache_ok = True

    def get_col_spec(self, **_kw: Any) -> str:
        return "JSON"

    def bind_expression(self, bindvalue: BindParameter[str]) -> ColumnElement[str]:
        return sa.cast(sa.type_coerce(bindvalue, sa.Text()), self)

    def column_expression(self, column: Any) -> ColumnElement[str]:
        return sa.cast(column, sa.Text())


class _Moment(sa.types.TypeDecorator[str]):
    """An instant in VTEX's canonical text: kept as it is by SQLite, a ``timestamptz`` in PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(
            sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.Text()
        )

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name != "postgresql":
            return value
        return dt.datetime.fromisoformat(value)  # microseconds: the seventh digit is cut off


_document = sa.Text().with_variant(_Json(), "postgresql")
_metadata = sa.MetaData()

ORDERS = sa.Table(
    "vtex_orders",
    _metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("document", _document, nullable=False),
    sa.Column("received_at", _Moment, nullable=False),
    sa.Column("updated_at", _Moment, nullable=False),
)
EVENTS = sa.Table(
    "vtex_order_events",
    _metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("document", _document, nullable=False),
    sa.Column("occurred_at", _Moment, primary_key=True),
)
_TABLES = (ORDERS, EVENTS)


def open_sink(url: str, options: sink.SinkOptions) -> sink.Sink:
    """See :func:`workers.erp.sink.open_sink`."""
    return SqlSink(sql_engine.connect(url, options.threads, options.in_clear))


class SqlSink:
    """Delivers into a SQL database."""

    def __init__(self, database: sql_engine.PostgreSQL | sql_engine.SQLite) -> None:
        self._database = database
        self._preparing = threading.Lock()
        # Named, so that another unique index of the ERP cannot swallow an order without a word.
        insert = database.insert(ORDERS).on_conflict_do_nothing(index_elements=ORDERS.primary_key)
        given: dict[str, Any] = {
            name: sa.bindparam(name) for name in ("account", "order_id", "status", "document")
        }
        insert = insert.values(**given, received_at=database.now, updated_at=database.now)
        #: Written out once: to compose it again for each order costs several times its execution.
        self._insert = insert.compile(dialect=database.engine.dialect)
        self._insert_event = database.insert(EVENTS).on_conflict_do_nothing(index_elements=EVENTS.primary_key)

    def __repr__(self) -> str:
        return f"<SqlSink: {self._database.name}>"

    def deliver(self, delivery: sink.Delivery) -> None:
        """See :class:`workers.erp.sink.Sink`. The usual case is one statement."""
        if delivery.type not in _STATUSES.keys() | sink.COMMANDS:
            raise errors.Invalid(f"the SQL sink knows no delivery of type {delivery.type!r}")
        self._run(lambda: self._deliver(delivery))

    def deliver_ends(self, deliveries: Sequence[sink.Delivery]) -> None:
        """See :class:`workers.erp.sink.TakesMany`: one transaction, as most of what one costs is its commit."""

        def insert() -> None:
            with self._database.engine.begin() as connection:
                self._insert_events(connection, deliveries)

        self._run(insert)

    def check(self) -> None:
        """Try, without writing a row, every right that a delivery needs."""
        self._run(self._check)

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def forget(self, account: str, order_id: str) -> str:
        """See :class:`workers.erp.sink.Forgetful`. The database's user needs the right to DELETE."""
        gone: list[int] = []

        def erase() -> None:
            gone.clear()
            with self._database.engine.begin() as connection:
                for table in _TABLES:
                    one = sa.delete(table).where(table.c.account == account, table.c.order_id == order_id)
                    gone.append(connection.execute(one).rowcount)

        self._run(erase)
        return f"{gone[0]} row(s) of vtex_orders and {gone[1]} of vtex_order_events"

    def expire(self, before: float) -> int:
        """See :class:`workers.erp.sink.Forgetful`: rows stay, with ``{}`` for a document and status ``expired``."""
        moment = dt.datetime.fromtimestamp(before, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
        gone = 0
        for table, since in ((ORDERS, ORDERS.c.received_at), (EVENTS, EVENTS.c.occurred_at)):
            old = (since < moment) & (sa.cast(table.c.document, sa.Text) != "{}")
            while count := self._empty_some(table, old):
                gone += count
        return gone

    def _empty_some(self, table: sa.Table, old: sa.ColumnElement[bool]) -> int:
        """A lot at a time, so that nobody waits long for the table; how many."""
        keys = list(table.primary_key)
        emptied: dict[str, Any] = {"document": "{}"}
        if table is ORDERS:  # canceled stays canceled
            emptied["status"] = sa.case((ORDERS.c.status == CANCELED, CANCELED), else_=EXPIRED)
        count = 0

        def empty() -> None:
            nonlocal count
            with self._database.engine.begin() as connection:
                rows = connection.execute(sa.select(*keys).where(old).limit(_LOT)).all()
                for row in rows:
                    one = (key == value for key, value in zip(keys, row, strict=True))
                    connection.execute(sa.update(table).where(*one).values(**emptied))
                count = len(rows)

        self._run(empty)
        return count

    def _run(self, work: Callable[[], None]) -> None:
        """Do it, once more if the connection turns out to be a dead one, and raise only errors of our own."""
        failure: errors.OrderLinkError | None = None
        for _ in range(2):
            stale = False
            try:
                with self._database.turn():
                    self._prepare()
                    work()
            except (*_FAILURES, *of_psycopg("Error")) as error:
                failure = explain(error, self._database.name, self._database.secrets)
                stale = isinstance(error, exc.DBAPIError) and error.connection_invalidated
            else:
                return
            if not stale:
                break
        if isinstance(failure, errors.AccessDenied):
            self._database.prepared = False  # look at the tables again
        # Not in the handler above: an exception keeps the one it came from, and that one quotes the order.
        raise failure or errors.Unavailable(f"{self._database.name}: gave no answer")

    def _deliver(self, delivery: sink.Delivery) -> None:
        if delivery.type == sink.ORDER_READY:
            with self._database.single.begin() as connection:
                if self._insert_order(connection, delivery):
                    return
        if delivery.type in sink.COMMANDS:
            with self._database.engine.begin() as connection:
                self._insert_events(connection, [delivery])
            return
        for _ in range(_TRIES):
            with self._database.engine.begin() as connection:
                if self._settle(connection, delivery):
                    return
        raise errors.Unavailable(f"{self._database.name}: the order's row vanishes as soon as it is written")

    def _settle(self, connection: sa.Connection, delivery: sink.Delivery) -> bool:
        """Bring the order's row up to date, record a cancellation; False when the row was just deleted."""
        if not self._insert_order(connection, delivery):
            row = connection.execute(
                sa.select(ORDERS.c.status, ORDERS.c.document).where(*_is(ORDERS, delivery)).with_for_update()
            ).one_or_none()
            if row is None:
                return False
            if _supersedes(delivery, row.status, row.document):
                changes = {"status": _status(delivery), "document": delivery.document}
                connection.execute(
                    sa.update(ORDERS)
                    .where(*_is(ORDERS, delivery))
                    .values(**changes, updated_at=self._database.now)
                )
        # The order's row is ours until the end of the transaction, so nobody else is here for this order.
        if delivery.type != sink.ORDER_READY and not _is_recorded(connection, delivery):
            self._insert_events(connection, [delivery])
        return True

    def _insert_order(self, connection: sa.Connection, delivery: sink.Delivery) -> bool:
        values = {
            "account": delivery.account,
            "order_id": delivery.order_id,
            "status": _status(delivery),
            "document": delivery.document,
        }
        places = self._insert.positiontup
        given = values if places is None else tuple(values[name] for name in places)
        return connection.exec_driver_sql(str(self._insert), given).rowcount > 0

    def _insert_events(self, connection: sa.Connection, deliveries: Sequence[sink.Delivery]) -> None:
        rows = [
            {
                "account": delivery.account,
                "order_id": delivery.order_id,
                "kind": delivery.type,
                "document": delivery.document,
                "occurred_at": delivery.last_change or _EPOCH,
            }
            for delivery in deliveries
        ]
        connection.execute(self._insert_event, rows)

    def _prepare(self) -> None:
        """Once: make the tables unless they are there. A user that may not make tables needs no right to."""
        if self._database.prepared:
            return
        with self._preparing:
            if not self._database.prepared:
                self._make_tables()
                with self._database.engine.begin() as connection:
                    for table in _TABLES:  # the database's error names what is missing
                        connection.execute(sa.select(table).limit(0))
                self._database.prepared = True

    def _make_tables(self) -> None:
        with self._database.engine.begin() as connection:
            if all(sa.inspect(connection).has_table(table.name) for table in _TABLES):
                return
            if connection.dialect.name == "postgresql":
                # IF NOT EXISTS is not safe when several processes start at once.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            for table in _TABLES:
                if not sa.inspect(connection).has_table(table.name):
                    connection.execute(CreateTable(table))

    def _check(self) -> None:
        with self._database.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
                if encoding not in {"UTF8", "SQL_ASCII"}:  # the second keeps bytes as they come
                    raise errors.AccessDenied(
                        f"{self._database.name} is in {encoding}, which cannot hold every order: use UTF8"
                    )
            for table in _TABLES:
                values = (sa.literal(_sample(column), column.type) for column in table.columns)
                nothing = sa.select(*values).where(sa.false())
                insert = self._database.insert(table).from_select(table.columns.keys(), nothing)
                connection.execute(insert.on_conflict_do_nothing(index_elements=table.primary_key))
            connection.execute(sa.update(ORDERS).where(sa.false()).values(status="", document="{}"))
            connection.execute(sa.select(ORDERS.c.status).where(sa.false()).with_for_update())


def _sample(column: sa.Column[Any]) -> str:
    return _EPOCH if isinstance(column.type, _Moment) else "{}"


def _is(table: sa.Table, delivery: sink.Delivery) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.account == delivery.account, table.c.order_id == delivery.order_id


def _is_recorded(connection: sa.Connection, delivery: sink.Delivery) -> bool:
    """Say whether this event is there: one a ``lastChange`` for requests, but one end an order."""
    same = [*_is(EVENTS, delivery), EVENTS.c.kind == delivery.type]
    if delivery.type in sink.OCCURRENCES:
        same.append(EVENTS.c.occurred_at == (delivery.last_change or _EPOCH))
    return connection.execute(sa.select(EVENTS.c.kind).where(*same).limit(1)).first() is not None


def _status(delivery: sink.Delivery) -> str:
    if delivery.type == sink.CANCELED:
        return CANCELED
    return delivery.status or _STATUSES[delivery.type]


def _supersedes(delivery: sink.Delivery, status: str, document: str) -> bool:
    """Say whether the delivery tells something newer than the row."""
    if status in states.CANCELED:
        return False
    return delivery.type == sink.CANCELED or delivery.last_change > _last_change(document)


def _last_change(document: str) -> str:
    try:
        return instant(json.loads(document)["lastChange"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""  # not known: any known one is newer
