"""The PostgreSQL sink against a real server: every promise, and what a server can do to it.

The server is the one at TEST_POSTGRESQL_URL (a superuser; 127.0.0.1 unless set). The tests make databases
and roles of their own there and drop them. Without a server they are skipped, but not in CI.
"""

import json
import os
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa

from workers import errors
from workers.erp import sql_engine
from workers.erp.contract import CrashContract, SinkContract, delivery
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, open_sink

SERVER = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


def execute(url, sql, *values):
    dsn = url.replace("+psycopg", "", 1)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


class Erp:
    """A database of its own."""

    def __init__(self, encoding="UTF8"):
        self.name = f"vtex_test_{uuid.uuid4().hex[:12]}"
        self.roles = []
        execute(SERVER, f"CREATE DATABASE {self.name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
        self.url = self.at()

    def at(self, **parts):
        url = sa.make_url(SERVER).set(**{"database": self.name, **parts})
        return url.render_as_string(hide_password=False)

    def sql(self, sql, *values):
        return execute(self.url, sql, *values)

    def role(self, *statements):
        """A user without any right but those that the statements give to {role}."""
        role = f"vtex_test_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2'")
        self.roles.append(role)
        for statement in statements:
            self.sql(statement.format(role=role))
        return self.at(username=role, password="hunter2")

    def drop(self):
        execute(SERVER, f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        for role in self.roles:
            execute(SERVER, f"DROP ROLE IF EXISTS {role}")

    def held(self, order_id):
        rows = self._rows(
            "SELECT status, document::text FROM vtex_orders WHERE order_id = %s AND account = 'store'",
            order_id,
        )
        assert len(rows) <= 1
        return rows[0] if rows else None

    def told(self, order_id):
        sql = "SELECT kind FROM vtex_order_events WHERE account = 'store' AND order_id = %s"
        return [kind for (kind,) in self._rows(f"{sql} ORDER BY occurred_at", order_id)]

    def orders(self):
        return {order_id for (order_id,) in self._rows("SELECT order_id FROM vtex_orders")}

    def _rows(self, sql, *values):
        return self.sql(sql, *values) if self.sql("SELECT to_regclass('vtex_orders')")[0][0] else []


@pytest.fixture(scope="module")
def server():
    try:
        execute(SERVER, "SELECT 1")
    except psycopg.OperationalError as error:
        reason = f"no PostgreSQL server for tests: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def erp(server):
    erp = Erp()
    yield erp
    erp.drop()


@pytest.fixture
def opened():
    """Opens sinks and closes them."""
    sinks = []

    def opened(url):
        sinks.append(open_sink(url))
        return sinks[-1]

    yield opened
    for sink in sinks:
        sink.close()


@pytest.fixture
def sink(erp, opened):
    sink = opened(erp.url)
    sink.check()
    return sink


class TestPostgresqlSink(SinkContract, CrashContract):
    @pytest.fixture
    def erp(self, erp):
        return erp


def test_the_tables_have_exactly_the_documented_columns(erp, sink):
    columns = """
        SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_name = %s
    """
    [(orders,)] = erp.sql(columns, "vtex_orders")
    [(events,)] = erp.sql(columns, "vtex_order_events")
    at = "timestamp with time zone"
    assert orders == (
        f"account text, order_id text, status text, document json, received_at {at}, updated_at {at}"
    )
    assert events == f"account text, order_id text, kind text, document json, occurred_at {at}"


def test_a_repeat_changes_nothing_at_all(erp, sink):
    for kind, second in [(CANCELLATION_REQUESTED, 1), (CANCELED, 2)]:
        sink.deliver(delivery(kind, second))
        before = erp.sql("SELECT status, updated_at, document::text FROM vtex_orders")
        events = erp.sql("SELECT kind, occurred_at FROM vtex_order_events")
        sink.deliver(delivery(kind, second))
        assert erp.sql("SELECT status, updated_at, document::text FROM vtex_orders") == before
        assert erp.sql("SELECT kind, occurred_at FROM vtex_order_events") == events


def test_a_change_moves_updated_at_and_not_received_at(erp, sink):
    sink.deliver(delivery(second=1))
    [(before, _)] = erp.sql("SELECT received_at, updated_at FROM vtex_orders")
    sink.deliver(delivery(second=2))
    [(received, updated)] = erp.sql("SELECT received_at, updated_at FROM vtex_orders")
    assert before == received < updated


def test_the_event_has_the_time_of_the_change_at_vtex(erp, sink):
    sink.deliver(delivery(CANCELLATION_REQUESTED, 7))
    [(occurred,)] = erp.sql("SELECT occurred_at AT TIME ZONE 'UTC' FROM vtex_order_events")
    assert occurred.isoformat() == "2024-02-06T20:46:07.701074"


def test_personal_data_is_erased_by_age_and_on_request(erp, sink):
    old = delivery(second=1)
    young = replace(old, order_id="2-01")
    sink.deliver(old)
    sink.deliver(young)
    erp.sql("UPDATE vtex_orders SET received_at = '2020-01-01' WHERE order_id = %s", old.order_id)
    assert sink.expire(time.time() - 86400) == 1
    assert sink.expire(time.time() - 86400) == 0
    assert erp.held(old.order_id) == ("expired", "{}")
    assert erp.held("2-01")[1] == young.document
    assert sink.forget("store", "2-01") == "1 row(s) of vtex_orders and 0 of vtex_order_events"
    assert erp.orders() == {old.order_id}


def test_a_process_opens_few_connections(erp, sink):
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(lambda n: sink.deliver(delivery(order_id=str(n))), range(640)))
    mine = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'vtex-order-workers'"
    )
    assert erp.sql(mine, erp.name)[0][0] <= sql_engine.MOST_CONNECTIONS
    assert len(erp.orders()) == 640


@pytest.mark.parametrize(
    ("server_says", "we_get"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_a_commit_waits_for_the_disk(erp, opened, server_says, we_get):
    erp.sql(f"ALTER DATABASE {erp.name} SET synchronous_commit TO {server_says}")
    sink = opened(erp.url)
    with sink._database.single.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in (
                "synchronous_commit",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]
    assert settings == [we_get, "10s", "10s", "30s"]


def test_the_url_may_say_otherwise(erp, opened):
    sink = opened(erp.at(query={"application_name": "mine", "connect_timeout": "3"}))
    with sink._database.single.connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_the_servers_default_isolation_does_not_matter(erp, opened, level):
    erp.sql(f"ALTER DATABASE {erp.name} SET default_transaction_isolation TO '{level}'")
    sink = opened(erp.url)
    same = [delivery(kind, 2) for kind in (CANCELED, CANCELLATION_REQUESTED) for _ in range(8)]
    with ThreadPoolExecutor(len(same)) as threads:
        list(threads.map(sink.deliver, same))
    assert sorted(erp.told("1-01")) == sorted([CANCELED, CANCELLATION_REQUESTED])


def test_a_connection_that_died_meanwhile_is_not_noticed(erp, sink):
    sink.deliver(delivery(second=1))
    others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    assert erp.sql(f"SELECT pg_terminate_backend(pid) {others}", erp.name)
    sink.deliver(delivery(second=2))
    assert erp.held("1-01") == ("ready-for-handling", delivery(second=2).document)


def test_a_locked_row_is_tried_again_later(erp, opened, monkeypatch):
    monkeypatch.setattr(sql_engine, "_POSTGRESQL_SESSION", "SET lock_timeout = '100ms'")
    sink = opened(erp.url)
    sink.deliver(delivery(second=1))
    with psycopg.connect(erp.url.replace("+psycopg", "")) as other:
        other.execute("SELECT * FROM vtex_orders FOR UPDATE")
        with pytest.raises(errors.Unavailable, match="lock timeout"):
            sink.deliver(delivery(second=2))
        other.rollback()
    sink.deliver(delivery(second=2))


def about_the_sink(sink, words):
    for call in (sink.check, lambda: sink.deliver(delivery(more='"maria@example.com"'))):
        with pytest.raises(errors.AccessDenied, match=words) as caught:
            call()
        message = str(caught.value)
        assert message.startswith("PostgreSQL database ")
        assert "\n" not in message
        assert "hunter2" not in message
        assert "maria" not in message
        assert caught.value.__context__ is None


def test_no_such_database(erp, opened):
    about_the_sink(opened(erp.at(database=f"{erp.name}x")), "does not exist")


def test_no_such_user(erp, opened):
    url = erp.at(username="vtex_test_nobody", password="hunter2")
    about_the_sink(opened(url), r"does not exist|authentication failed")


def test_a_user_without_rights(erp, sink, opened):
    about_the_sink(opened(erp.role()), "permission denied")


def test_a_user_that_may_only_read(erp, sink, opened):
    url = erp.role("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    about_the_sink(opened(url), "permission denied for table vtex_orders")


def test_a_user_that_may_not_make_the_missing_tables(erp, opened):
    about_the_sink(opened(erp.role()), "permission denied for schema public")


def test_an_old_encoding(server, opened):
    erp = Erp("LATIN1")
    try:
        sink = opened(erp.url)
        with pytest.raises(errors.AccessDenied, match="is in LATIN1"):
            sink.check()
        sink.deliver(delivery(order_id="1-01", more='"maçã"'))
        with pytest.raises(errors.Rejected, match="LATIN1"):
            sink.deliver(delivery(order_id="2-01", more='"😀"'))
        assert erp.orders() == {"1-01"}
    finally:
        erp.drop()


def test_a_read_only_database(erp, sink, opened):
    url = erp.role(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER ROLE {role} SET default_transaction_read_only TO on",
    )
    about_the_sink(opened(url), "read-only transaction")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ALTER TABLE vtex_orders DROP COLUMN received_at", "received_at"),
        ("ALTER TABLE vtex_order_events DROP COLUMN occurred_at", "occurred_at"),
        ("ALTER TABLE vtex_orders DROP CONSTRAINT vtex_orders_pkey", "ON CONFLICT"),
        ("ALTER TABLE vtex_orders ALTER COLUMN received_at TYPE integer USING 0", "received_at"),
        ("ALTER TABLE vtex_orders ALTER COLUMN order_id TYPE integer USING 0", "order_id"),
    ],
)
def test_tables_that_do_not_fit(erp, sink, opened, sql, words):
    erp.sql(sql)
    about_the_sink(opened(erp.url), words)


def test_a_column_of_the_erp_that_nothing_fills_is_about_the_sink(erp, sink):
    erp.sql("ALTER TABLE vtex_orders ADD COLUMN ours text NOT NULL")
    with pytest.raises(errors.AccessDenied, match="ours") as caught:
        sink.deliver(delivery(more='"maria@example.com"'))
    assert "maria" not in str(caught.value)


def test_tables_that_were_dropped_are_made_again(erp, sink):
    erp.sql("DROP TABLE vtex_orders")
    with pytest.raises(errors.AccessDenied, match="vtex_orders"):
        sink.deliver(delivery())
    sink.deliver(delivery())
    assert erp.orders() == {"1-01"}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ALTER TABLE vtex_orders ADD CHECK (document ->> 'more' NOT LIKE 'maria%')", "check constraint"),
        ("ALTER TABLE vtex_orders ALTER COLUMN status TYPE varchar(5)", "too long"),
        ("ALTER TABLE vtex_orders ALTER COLUMN document TYPE varchar(40)", "too long"),
        (
            """
            CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'not in our catalogue'; END $$;
            CREATE TRIGGER no BEFORE INSERT ON vtex_orders FOR EACH ROW EXECUTE FUNCTION no()
            """,
            "not in our catalogue",
        ),
    ],
    ids=["check", "status", "document", "trigger"],
)
def test_what_the_database_refuses_about_one_order_is_said_without_its_data(erp, sink, sql, words):
    erp.sql(sql)
    with pytest.raises(errors.Rejected, match=words) as caught:
        sink.deliver(delivery(more='"maria@example.com"'))
    assert "maria" not in str(caught.value)
    assert "1-01" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_unique_index_of_the_erp_swallows_no_order(erp, sink):
    erp.sql("CREATE UNIQUE INDEX mine ON vtex_orders (status)")
    sink.deliver(delivery(order_id="1-01"))
    with pytest.raises(errors.Rejected, match="mine"):
        sink.deliver(delivery(order_id="2-01"))


@pytest.mark.parametrize("more", ["oops", '"\0"', '"\ud800"', "[" * 1_000_000])
def test_what_is_not_json_or_not_text_is_about_the_order(sink, more):
    with pytest.raises(errors.Rejected):
        sink.deliver(delivery(more=more))
    sink.deliver(delivery())


def test_a_column_that_was_made_jsonb_refuses_only_what_it_cannot_hold(erp, sink):
    erp.sql("ALTER TABLE vtex_orders ALTER COLUMN document TYPE jsonb")
    sink.deliver(delivery(order_id="1-01", second=1))
    sink.deliver(delivery(order_id="1-01", second=2))
    assert json.loads(erp.held("1-01")[1]) == json.loads(delivery(second=2).document)
    with pytest.raises(errors.Rejected):
        sink.deliver(delivery(order_id="2-01", more=r'"\u0000"'))


def test_nobody_at_that_address(opened):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = opened(f"postgresql+psycopg://user:hunter2@127.0.0.1:{port}/erp")
    for call in (sink.check, lambda: sink.deliver(delivery())):
        with pytest.raises(errors.Unavailable, match="Connection refused") as caught:
            call()
        assert "hunter2" not in str(caught.value)


def test_somebody_who_never_answers(opened):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        sink = opened(f"postgresql+psycopg://user:hunter2@127.0.0.1:{port}/erp?connect_timeout=2")
        with pytest.raises(errors.Unavailable, match="timeout"):
            sink.deliver(delivery())


def test_an_unknown_option_in_the_address(opened):
    sink = opened("postgresql+psycopg://user:hunter2@127.0.0.1/erp?colour=red")
    with pytest.raises(errors.AccessDenied, match="colour"):
        sink.check()


def test_rows_that_the_erp_deletes_meanwhile_are_written_again(erp, sink):
    stop = threading.Event()

    def delete():
        while not stop.is_set():
            erp.sql("DELETE FROM vtex_orders")

    with ThreadPoolExecutor(1) as other:
        other.submit(delete)
        try:
            for second in range(50):
                sink.deliver(delivery(second=second % 50))
        finally:
            stop.set()
    sink.deliver(delivery(CANCELED, 59))
    assert erp.held("1-01") == ("canceled", delivery(CANCELED, 59).document)
