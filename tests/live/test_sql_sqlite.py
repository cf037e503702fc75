"""A process that writes to SQLite is killed, and several write to one file at once."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from workers.erp.contract import CrashContract


class SqliteErp:
    def __init__(self, path):
        self.path = path
        self.url = f"sqlite:///{path}"

    def rows(self, sql, *values):
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()

    def held(self, order_id):
        return self.rows("SELECT status, document FROM vtex_orders WHERE order_id = ?", order_id)[0]

    def told(self, order_id):
        sql = "SELECT kind FROM vtex_order_events WHERE order_id = ? ORDER BY occurred_at"
        return [kind for (kind,) in self.rows(sql, order_id)]

    def orders(self):
        return {order_id for (order_id,) in self.rows("SELECT order_id FROM vtex_orders")}


@pytest.fixture
def erp(tmp_path):
    return SqliteErp(tmp_path / "erp.db")


class TestSqliteSink(CrashContract):
    @pytest.fixture
    def erp(self, erp):
        return erp


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from workers.erp.contract import delivery
from workers.erp.sink import open_sink
sink = open_sink(sys.argv[1])
with ThreadPoolExecutor(16) as threads:
    list(threads.map(lambda n: sink.deliver(delivery(order_id=f"{sys.argv[2]}-{n}")), range(50)))
sink.close()
"""


def test_processes_that_start_at_once_share_one_new_file(erp):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, erp.url, str(name)]) for name in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert erp.orders() == {f"{name}-{number}" for name in range(4) for number in range(50)}
