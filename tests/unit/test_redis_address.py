"""One address becomes the ledger's client and Celery's settings; tests/live tries both on real servers."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import replace

import pytest
from kombu import Connection

from workers import redis_address
from workers.redis_address import Address, parse
from workers.settings import Account, Secret, Settings

PLAIN = Settings(
    accounts={"store": Account("store", Secret("key"), Secret("token"))},
    erp_url="sqlite:///erp.db",
    redis_url="redis://redis/0",
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://redis", Address((("redis", 6379),), "", 0, None, None, tls=False)),
        ("redis://:p%40ss%2F@h:1/2", Address((("h", 1),), "", 2, None, "p@ss/", tls=False)),
        ("rediss://user:x@[::1]:7/0", Address((("::1", 7),), "", 0, "user", "x", tls=True)),
        (
            "sentinel://u:p@a,b:5,c/orders/3",
            Address((("a", 26379), ("b", 5), ("c", 26379)), "orders", 3, "u", "p", tls=False),
        ),
        ("rediss://:x@h/0?ssl_cert_reqs=CERT_REQUIRED", Address((("h", 6379),), "", 0, None, "x", tls=True)),
        ("sentinels://a/orders", Address((("a", 26379),), "orders", 0, None, None, tls=True)),
    ],
)
def test_an_address_in_its_parts(text, address):
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["redis://h:0", "redis://h:70000", "redis://", "redis:h", "http://h", "redis://a b"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="such as redis://"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "rediss://h/0?ssl_cert_reqs=none",
        "rediss://h/0?ssl_cert_reqs=required&ssl_check_hostname=false",
        "redis://h/0?ssl_cert_reqs=required",  # no TLS at all
        "redis://:pa?ss@h/0",
        "redis://:secret@h/0?db=3",
    ],
)
def test_no_query_may_weaken_tls_or_move_the_database(text):
    with pytest.raises(ValueError, match="without a query") as refused:
        parse(text)
    assert "pa?" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://u:p%40ss@h:1/2", "rediss://u:p%40ss@h:1/2"])
def test_client_and_broker_reach_the_same_place(url):
    settings = replace(PLAIN, redis_url=url)
    with (
        closing(redis_address.connect(settings)) as client,
        Connection(redis_address.broker(settings)["broker_url"]) as broker,
    ):
        options = client.connection_pool.connection_kwargs
        assert (options["host"], options["port"], options["db"]) == ("h", 1, 2)
        assert (options["username"], options["password"]) == ("u", "p@ss")
        assert (broker.hostname, broker.port, broker.virtual_host) == ("h", 1, "2")
        assert (broker.userid, broker.password) == ("u", "p@ss")


def test_tls_is_verified_by_both_with_the_certificates_that_were_named():
    settings = replace(PLAIN, redis_url="rediss://h/0", redis_ca="the certificates")
    with closing(redis_address.connect(settings)) as client:
        made = client.connection_pool.make_connection()
    assert made.cert_reqs == ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.ca_data == "the certificates"
    assert redis_address.broker(settings)["broker_use_ssl"] == {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_data": "the certificates",
    }


def test_sentinels_get_their_own_password_and_never_that_of_redis():
    settings = replace(
        PLAIN, redis_url="sentinels://u:p%40ss@a,[::1]:5/orders/1", sentinel_password=Secret("watch")
    )
    found = redis_address.broker(settings)
    assert found["broker_url"] == "sentinel://u:p%40ss@a:26379/1;sentinel://u:p%40ss@[::1]:5/1"
    assert found["broker_use_ssl"]["ssl_cert_reqs"] == "required"
    options = found["broker_transport_options"]
    assert options["master_name"] == "orders"
    assert options["sentinel_kwargs"]["password"] == "watch"
    assert options["sentinel_kwargs"]["ssl"]
    assert options["sentinel_kwargs"]["socket_timeout"] == 10
    with closing(redis_address.connect(settings)) as client:
        pool = client.connection_pool
        assert pool.service_name == "orders"
        assert pool.connection_kwargs["password"] == "p@ss"
        for sentinel in pool.sentinel_manager.sentinels:
            watcher = sentinel.connection_pool.connection_kwargs
            assert watcher["password"] == "watch"
            assert "username" not in watcher or watcher["username"] is None
