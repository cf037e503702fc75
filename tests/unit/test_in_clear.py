"""To whom a password may go without TLS, whichever way an address leads there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from workers import errors, redis_address
from workers.check_secrecy import check_secrecy
from workers.erp import sql_engine, sql_tls
from workers.erp.sink import SinkOptions, open_sink
from workers.net.sentinel import without_tls
from workers.settings import Account, InClear, Secret, Settings, is_here
from workers.settings.address_secrets import secrets_in
from workers.settings.in_clear import parse


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        "127.0.0.1",
        "127.8.9.1",
        "127.1",
        "0x7f.1",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
    ],
)
def test_this_machine(host):
    assert is_here(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        None,
        "0.0.0.0",
        "10.0.0.1",
        "128.1",
        "localhost.example",
        "127.0.0.1.example",
        "127.0.0.1 x",
        "fe80::1",
        "::ffff:10.0.0.1",
        "valkey",
        "127.0.0.1,10.0.0.1",
        "de.ad",
        "a",
    ],
)
def test_another_machine(host):
    assert not is_here(host)


def never(_host):
    return False


@pytest.mark.parametrize(
    ("rest", "environ"),
    [
        ("db/erp", {}),
        ("10.0.0.1/erp", {}),
        ("[fd00::1]/erp", {}),
        ("127.0.0.1,db/erp", {}),
        ("127.0.0.1/erp?host=db", {}),
        ("/erp?host=/tmp&host=db", {}),
        ("127.0.0.1/erp?hostaddr=10.0.0.1", {}),
        ("localhost/erp", {"PGHOSTADDR": "10.0.0.1"}),
        ("/erp", {"PGHOST": "db"}),
        ("/erp", {"PGHOSTADDR": "10.0.0.1"}),
        ("/erp?service=erp", {}),
        ("127.0.0.1/erp", {"PGSERVICE": "erp"}),
    ],
)
def test_postgresql_elsewhere_is_asked_who_it_is(rest, environ):
    url = sql_engine.parse(f"postgresql+psycopg://u:p@{rest}")
    told = sql_tls.options(url, never, environ)
    assert told["sslmode"] == "verify-full"
    with pytest.raises(ValueError, match="less than sslmode=verify-full"):
        sql_tls.options(url, never, environ | {"PGSSLMODE": "require"})
    assert sql_tls.unverified(url, lambda _host: True, environ)
    weak = url.update_query_dict({"sslmode": "prefer"})
    with pytest.raises(ValueError, match="less than sslmode=verify-full") as refused:
        sql_tls.options(weak, never, environ)
    assert "u:p" not in str(refused.value)
    assert sql_tls.options(weak, lambda _host: True, environ) == {}


@pytest.mark.parametrize(
    "rest",
    [
        "/erp",
        "/erp?host=/run/postgresql",
        "localhost/erp",
        "127.0.0.1/erp",
        "[::1]/erp",
        "127.0.0.1,localhost/erp",
        "db/erp?hostaddr=127.0.0.1",
        "/erp?host=@abstract",
    ],
)
def test_postgresql_here_is_left_alone(rest):
    url = sql_engine.parse(f"postgresql+psycopg://u:p@{rest}")
    assert sql_tls.options(url, never, {}) == {}
    assert sql_tls.options(url, never, {"PGSSLMODE": "disable"}) == {}


def test_whom_postgresql_trusts(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    url = sa.make_url("postgresql+psycopg://u:p@db/erp")
    with Path(sql_tls.options(url, never, {})["sslrootcert"]).open() as bundle:
        assert "BEGIN CERTIFICATE" in bundle.read()
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own))
    assert sql_tls.options(url, never, {})["sslrootcert"] == str(own)
    for named, environ in ((url.update_query_dict({"sslrootcert": "x"}), {}), (url, {"PGSSLROOTCERT": "x"})):
        assert "sslrootcert" not in sql_tls.options(named, never, environ)
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert "sslrootcert" not in sql_tls.options(url, never, {})


def test_the_sink_itself_tells_libpq(monkeypatch):
    for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)

    def told(url, **options):
        given = []
        sink = open_sink(url, pool=1, options=SinkOptions(**options))
        sa.event.listen(
            sink._database.engine, "do_connect", lambda _d, _r, _a, kwargs: given.append(kwargs) or 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            sink._database.engine.connect()
        sink.close()
        return given[0].get("sslmode")

    assert told("postgresql+psycopg://u:p@db/erp") == "verify-full"
    assert told("postgresql+psycopg://u:p@db/erp", in_clear=parse("db")) is None
    assert told("postgresql+psycopg://u:p@127.0.0.1/erp") is None
    with pytest.raises(errors.Invalid, match="verify-full"):
        open_sink("postgresql+psycopg://u:p@db/erp?sslmode=allow")


def test_a_primary_that_sentinels_name_elsewhere_is_not_spoken_to(monkeypatch):
    settings = Settings(
        accounts={"store": Account("store", Secret("key"), Secret("token"))},
        erp_url="sqlite:///erp.db",
        redis_url="sentinel://:pass@127.0.0.1/orders/0",
    )
    with redis_address.connect(settings) as client:
        pool = client.connection_pool
        monkeypatch.setattr(pool.proxy, "get_master_address", lambda: ("192.0.2.1", 6379))
        with pytest.raises(redis.ConnectionError, match="use sentinels://"):
            pool.make_connection().connect_to(("192.0.2.1", 6379))
    tls = dataclasses.replace(settings, redis_url="sentinels://:pass@127.0.0.1/orders/0")
    with redis_address.connect(tls) as client:
        assert client.connection_pool.connection_class is not without_tls(never)
        assert client.connection_pool.connection_class.__name__ == "SentinelManagedSSLConnection"


def test_check_says_where_anything_goes_without_tls():
    settings = Settings(
        accounts={"store": Account("store", Secret("key"), Secret("token"), base_url="http://vtex.test")},
        erp_url="postgresql+psycopg://u:hush@db/erp",
        redis_url="redis://:hush@redis,localhost/0".replace(",localhost", ""),
        alarm_url=Secret("https://chat.example/hush"),
        in_clear=InClear(anywhere=True),
    )
    found = [finding.says for finding in check_secrecy(settings) if finding.about == "TLS"]
    assert [says.split(" without")[0] for says in found] == [
        "VTEX_BASE_URL leads to vtex.test",
        "ERP_URL leads to db",
        "REDIS_URL leads to redis",
    ]
    assert "hush" not in "".join(found)
    here = dataclasses.replace(
        settings,
        accounts={"store": Account("store", Secret("key"), Secret("token"))},
        erp_url="postgresql+psycopg://u:hush@db/erp?sslmode=verify-full",
        redis_url="rediss://:hush@redis/0",
    )
    assert [finding for finding in check_secrecy(here) if finding.about == "TLS"] == []


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (
            "postgresql+psycopg://u:p%40ss@db/erp?sslmode=require&sslpassword=k%20ey",
            {"p%40ss", "p@ss", "k%20ey", "k ey"},
        ),
        ("postgresql+psycopg://db/erp?user=erp&password=hush&host=x", {"hush"}),
        ("postgresql+psycopg://u:a[b@db/erp", {"a[b"}),
        ("https://erp.example/orders?code=canary&tenant=7", {"code=canary&tenant=7", "canary"}),
        ("https://erp.example/orders?canary", {"canary"}),
        ("redis://user:hush@h/0", {"hush"}),
        ("sqlite:///erp.db?timeout=1000", set()),
        ("file:///var/spool", set()),
        ("python:my:erp", set()),
        ("", set()),
    ],
)
def test_what_is_secret_in_an_address(url, secrets):
    assert secrets_in(url) == secrets


def test_no_parameter_of_the_address_is_quoted_by_an_error(monkeypatch):
    sink = open_sink("postgresql+psycopg://u:p@127.0.0.1:1/erp?tokenn=canary&connect_timeout=canary", pool=1)
    with pytest.raises(errors.OrderLinkError) as failure:
        sink.check()
    sink.close()
    assert "canary" not in str(failure.value)
