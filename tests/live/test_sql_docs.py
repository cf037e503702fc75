"""Every SQL statement in docs/erp.md is run, in the databases that its block names."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from workers.erp.contract import delivery
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, open_sink

from .test_sql_postgresql import erp, server

__all__ = ["erp", "server"]

PAGE = Path(__file__).parents[2] / "docs" / "erp.md"
BLOCKS = [
    (set(words.split()), sql)
    for words, sql in re.findall(r"```sql([^\n]*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
]
ITEMS = '"", "value": 1990, "clientProfileData": {"email": "x"}, "items": [{"refId": "A-1", "quantity": 2}]'


def in_database(name):
    """The statements for the ERP's side in that database, in the order of the page."""
    blocks = [sql for words, sql in BLOCKS if name in words and "admin" not in words]
    return [part.strip() for sql in blocks for part in sql.split(";") if part.strip()]


def for_the_administrator():
    return [
        part.strip() for words, sql in BLOCKS if "admin" in words for part in sql.split(";") if part.strip()
    ]


def run(url, sqls, **values):
    """Run them, one transaction each; what each gave, by its first words."""
    engine = sa.create_engine(url, poolclass=NullPool)
    results = []
    for sql in sqls:
        with engine.begin() as connection:
            text = sa.text(sql)
            known = {name: value for name, value in values.items() if f":{name}" in sql}
            result = connection.execute(text, known)
            results.append((sql, [tuple(row) for row in result] if result.returns_rows else None))
    return results


def fill(url):
    sink = open_sink(url)
    for order_id in ("1-01", "2-01", "3-01", "4-01"):
        sink.deliver(delivery(order_id=order_id, second=1, more=ITEMS))
    sink.deliver(delivery(CANCELED, order_id="3-01", second=2, more=ITEMS))
    sink.deliver(delivery(CANCELLATION_REQUESTED, order_id="4-01", second=2, more=ITEMS))
    sink.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """The name of a database and an address in it with some orders."""
    url = f"sqlite:///{tmp_path}/erp.db" if request.param == "sqlite" else request.getfixturevalue("erp").url
    fill(url)
    return request.param, url


def test_every_block_says_where_it_runs():
    assert BLOCKS
    for words, sql in BLOCKS:
        assert words, sql
        assert words <= {"sqlite", "postgresql", "admin"}, sql


def test_the_erp_takes_each_order_once_and_sees_what_was_canceled(database):
    name, url = database
    sqls = in_database(name)
    [make] = [sql for sql in sqls if sql.startswith("CREATE TABLE")]
    [mark] = [sql for sql in sqls if sql.startswith("INSERT")]
    take = [sql for sql in sqls if "NOT EXISTS" in sql]
    [canceled] = [sql for sql in sqls if "JOIN erp_taken" in sql]
    run(url, [make])
    for sql in take:
        [(_, rows)] = run(url, [sql])
        assert [order_id for _, order_id, _ in rows] == ["1-01", "2-01"]
    for order_id in ("1-01", "1-01", "4-01"):
        run(url, [mark], account="store", order_id=order_id)
    for sql in take:
        [(_, rows)] = run(url, [sql])
        assert [order_id for _, order_id, _ in rows] == ["2-01"]
    [(_, rows)] = run(url, [canceled])
    assert [row[:3] for row in rows] == [("store", "4-01", "cancellation-requested")]


def test_every_statement_runs(database):
    name, url = database
    for sql, rows in run(url, in_database(name), account="store", order_id="4-01"):
        if " AS sku" in sql:
            assert rows == [("4-01", "A-1", 2)]
        if "FROM vtex_order_events" in sql:
            assert [kind for kind, _ in rows] == [CANCELLATION_REQUESTED]
        if " AS total" in sql:
            assert (float(rows[0][2]), rows[0][3]) == (19.9, "x")


def test_tables_that_an_administrator_made_are_ours_and_the_rights_suffice(erp):
    names = {"vtex_writer": f"{erp.name}_writer", "erp_reader": f"{erp.name}_reader"}
    sqls = [
        sql for sql in in_database("postgresql") if "CREATE TABLE erp_taken" in sql
    ] + for_the_administrator()
    for name, own in names.items():
        sqls = [re.sub(rf"\b{name}\b", own, sql) for sql in sqls]
    erp.roles.extend(names.values())
    run(erp.url, sqls)
    columns = """
        SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
        WHERE table_name LIKE 'vtex_%' ORDER BY table_name, ordinal_position
    """
    by_hand = erp.sql(columns)
    writer, reader = (erp.at(username=role, password="any") for role in names.values())
    sink = open_sink(writer)
    sink.check()
    sink.close()
    fill(writer)
    sqls = [sql for sql in in_database("postgresql") if not sql.startswith("CREATE")]
    run(reader, sqls, account="store", order_id="1-01")
    for table in ("vtex_orders", "vtex_order_events"):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            run(reader, [f"DELETE FROM {table}"])
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            run(writer, [f"DELETE FROM {table}"])
    erp.sql("DROP TABLE vtex_orders, vtex_order_events")
    sink = open_sink(erp.url)
    sink.check()
    sink.close()
    assert erp.sql(columns) == by_hand
