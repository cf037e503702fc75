"""The SQLite sink: every promise that can be seen inside one process, and what a file can do to it."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from workers import errors
from workers.erp import sql_engine
from workers.erp.contract import SinkContract, delivery, moment
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, COMMAND_DONE, Delivery, open_sink


class SqliteErp:
    def __init__(self, path):
        self.path = path
        self.url = f"sqlite:///{path}"

    def rows(self, sql, *values):
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(sql, values).fetchall()

    def held(self, order_id):
        rows = self.rows(
            "SELECT status, document FROM vtex_orders WHERE account = 'store' AND order_id = ?", order_id
        )
        return rows[0] if rows else None

    def told(self, order_id):
        sql = (
            "SELECT kind FROM vtex_order_events WHERE account = 'store' AND order_id = ? ORDER BY occurred_at"
        )
        return [kind for (kind,) in self.rows(sql, order_id)]

    def orders(self):
        return {order_id for (order_id,) in self.rows("SELECT order_id FROM vtex_orders")}


@pytest.fixture
def erp(tmp_path):
    return SqliteErp(tmp_path / "erp.db")


@pytest.fixture
def sink(erp):
    sink = open_sink(erp.url)
    yield sink
    sink.close()


class TestSqliteSink(SinkContract):
    @pytest.fixture
    def erp(self, erp):
        return erp


def test_the_tables_have_exactly_the_documented_columns(erp, sink):
    sink.check()
    columns = "SELECT group_concat(name, ' ') FROM pragma_table_info(?)"
    assert erp.rows(columns, "vtex_orders") == [("account order_id status document received_at updated_at",)]
    assert erp.rows(columns, "vtex_order_events") == [("account order_id kind document occurred_at",)]


def test_a_repeat_changes_nothing_at_all(erp, sink):
    everything = "SELECT * FROM vtex_orders"
    for kind, second in [(CANCELLATION_REQUESTED, 1), (CANCELED, 2)]:
        sink.deliver(delivery(kind, second))
        erp.rows("UPDATE vtex_orders SET updated_at = 'long ago'")
        before = erp.rows(everything), erp.rows("SELECT * FROM vtex_order_events")
        sink.deliver(delivery(kind, second))
        assert (erp.rows(everything), erp.rows("SELECT * FROM vtex_order_events")) == before


def test_a_change_moves_updated_at_and_not_received_at(erp, sink):
    sink.deliver(delivery(second=1))
    erp.rows("UPDATE vtex_orders SET received_at = 'first', updated_at = 'first'")
    sink.deliver(delivery(second=2))
    [(received, updated)] = erp.rows("SELECT received_at, updated_at FROM vtex_orders")
    assert received == "first"
    assert updated.endswith("Z")


def test_a_document_that_the_erp_spoiled_is_replaced(erp, sink):
    sink.deliver(delivery(second=1))
    for spoiled in ("not JSON", "[]", '{"lastChange": 5}', '{"lastChange": "yesterday"}', "[" * 100_000):
        erp.rows("UPDATE vtex_orders SET document = ?", spoiled)
        sink.deliver(delivery(second=2))
        assert erp.held("1-01") == ("ready-for-handling", delivery(second=2).document)


def test_what_is_committed_is_on_disk(erp, sink):
    sink.check()
    with sink._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


def test_a_missing_folder_is_not_made_and_a_relative_path_starts_at_the_working_directory(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sink = open_sink("sqlite:///some/where/erp.db")
    with pytest.raises(errors.AccessDenied, match="unable to open"):
        sink.deliver(delivery())
    sink.close()
    (tmp_path / "some" / "where").mkdir(parents=True)
    sink = open_sink("sqlite:///some/where/erp.db")
    sink.deliver(delivery())
    sink.close()
    assert SqliteErp(tmp_path / "some" / "where" / "erp.db").orders() == {"1-01"}


def test_a_file_that_was_replaced_is_noticed(erp, sink, tmp_path):
    sink.deliver(delivery(order_id="1-01"))
    with closing(sqlite3.connect(erp.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(erp.path, tmp_path / "backup.db")
    (tmp_path / "backup.db").replace(erp.path)
    sink.deliver(delivery(order_id="2-01"))
    assert erp.orders() == {"1-01", "2-01"}


def test_a_file_that_was_deleted_is_made_again(erp, sink, tmp_path):
    sink.deliver(delivery(order_id="1-01"))
    for path in tmp_path.iterdir():
        path.unlink()
    sink.deliver(delivery(order_id="2-01"))
    assert erp.orders() == {"2-01"}


def test_a_locked_file_is_tried_again_later(erp, monkeypatch):
    monkeypatch.setattr(sql_engine, "BUSY_SECONDS", 0.0)
    sink = open_sink(erp.url)
    sink.check()
    with closing(sqlite3.connect(erp.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Unavailable, match="database is locked"):
            sink.deliver(delivery())
    sink.deliver(delivery())
    sink.close()


def test_a_full_disk_is_tried_again_later(erp, sink):
    sink.check()
    with sink._database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.Unavailable, match="full"):
        sink.deliver(delivery(more='"' + "x" * 100_000 + '"'))


def test_threads_that_wait_too_long_try_again_later(erp, sink, monkeypatch):
    monkeypatch.setattr(sql_engine, "WAIT_SECONDS", 0.0)
    with (
        sink._database.turn(),
        ThreadPoolExecutor(1) as other,
        pytest.raises(errors.Unavailable, match="too many deliveries"),
    ):
        other.submit(sink.deliver, delivery()).result()
    sink.deliver(delivery())


def test_turns_are_taken_in_the_order_of_arrival_and_none_is_lost():
    turns = sql_engine.Turns(2)
    inside, most = set(), []

    def enter(number):
        for _ in range(50):
            with turns.turn(30):
                inside.add(number)
                most.append(len(inside))
                inside.discard(number)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(enter, range(16)))
    assert len(most) == 800
    assert max(most) <= 2
    with turns.turn(0), turns.turn(0), pytest.raises(TimeoutError):
        turns.turn(0).__enter__()


NO_COLUMN = "DROP TABLE vtex_orders; CREATE TABLE vtex_orders (account, order_id)"
NO_TIME = "DROP TABLE vtex_order_events; CREATE TABLE vtex_order_events (account, order_id, kind, document)"
NOT_NULL = "ALTER TABLE vtex_orders ADD COLUMN ours TEXT NOT NULL DEFAULT NULL"
NO_KEY = "ALTER TABLE vtex_orders RENAME TO old; CREATE TABLE vtex_orders AS SELECT * FROM old"


@pytest.mark.parametrize(
    ("sql", "words"),
    [(NO_COLUMN, "status"), (NO_TIME, "occurred_at"), (NOT_NULL, "ours"), (NO_KEY, "PRIMARY KEY")],
    ids=["orders", "events", "not null", "no key"],
)
def test_tables_that_do_not_fit_are_about_the_sink_and_not_the_order(erp, sql, words):
    first = open_sink(erp.url)
    first.check()
    first.close()
    with closing(sqlite3.connect(erp.path)) as connection:
        connection.executescript(sql)
    sink = open_sink(erp.url)
    with pytest.raises(errors.AccessDenied, match=words):
        sink.deliver(delivery())
    sink.close()


def test_a_rule_of_the_erp_refuses_one_order_in_its_own_words(erp, sink):
    sink.check()
    erp.rows(
        "CREATE TRIGGER no BEFORE INSERT ON vtex_orders WHEN NEW.order_id = '2-01'"
        " BEGIN SELECT RAISE(ABORT, 'not in our catalogue'); END"
    )
    with pytest.raises(errors.Rejected, match="not in our catalogue") as caught:
        sink.deliver(delivery(order_id="2-01", more='"maria@example.com"'))
    assert "maria" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    sink.deliver(delivery(order_id="1-01"))


def test_a_unique_index_of_the_erp_swallows_no_order(erp, sink):
    sink.check()
    erp.rows("CREATE UNIQUE INDEX mine ON vtex_orders (status)")
    sink.deliver(delivery(order_id="1-01"))
    with pytest.raises(errors.Rejected, match="UNIQUE"):
        sink.deliver(delivery(order_id="2-01"))


def test_a_rule_that_drops_the_row_is_not_taken_for_success(erp, sink):
    sink.check()
    erp.rows("CREATE TRIGGER no BEFORE INSERT ON vtex_orders BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(errors.Retryable, match="vanishes"):
        sink.deliver(delivery())


def test_half_a_character_is_about_the_order(sink):
    with pytest.raises(errors.Rejected, match="UTF-8"):
        sink.deliver(delivery(more='"\ud800"'))


@pytest.mark.parametrize("what", ["folder", "garbage", "file as folder"])
def test_what_is_no_database_is_about_the_sink(tmp_path, what):
    path = tmp_path / "erp.db"
    if what == "folder":
        path.mkdir()
    elif what == "garbage":
        path.write_bytes(b"not a database " * 1000)
    else:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "erp.db"
    sink = open_sink(f"sqlite:///{path}")
    for call in (sink.check, lambda: sink.deliver(delivery())):
        with pytest.raises(errors.AccessDenied, match=r"SQLite file erp\.db: ") as caught:
            call()
        assert "\n" not in str(caught.value)
    sink.close()


def test_a_file_system_without_shared_memory_is_named(erp, monkeypatch):
    monkeypatch.setattr(sql_engine, "_LOG", "DELETE")
    sink = open_sink(erp.url)
    with pytest.raises(errors.AccessDenied, match="network drive"):
        sink.check()
    sink.close()


def test_a_read_only_database_is_about_the_sink(erp, sink):
    sink.check()
    with sink._database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    for call in (sink.check, lambda: sink.deliver(delivery())):
        with pytest.raises(errors.AccessDenied, match="readonly"):
            call()


def test_many_ends_of_commands_are_held_together_or_not_at_all(erp, sink):
    ends = [Delivery(COMMAND_DONE, "store", "1-01", "done", moment(n), f'{{"id": "{n}"}}') for n in range(5)]
    sink.deliver(ends[2])
    sink.deliver_ends(ends)
    sink.deliver_ends(ends)
    rows = "SELECT json_extract(document, '$.id'), occurred_at FROM vtex_order_events ORDER BY occurred_at"
    assert erp.rows(rows) == [(str(n), moment(n)) for n in range(5)]
    more = Delivery(COMMAND_DONE, "store", "2-01", "done", moment(1), "{}")
    unusable = Delivery(COMMAND_DONE, "store", "3-01", "done", moment(1), "\ud800")
    with pytest.raises(errors.OrderLinkError):
        sink.deliver_ends([more, unusable])
    assert len(erp.rows(rows)) == 5
