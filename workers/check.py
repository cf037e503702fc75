"""Looks at everything that a new connection needs, with harmless calls only, and says what to do about it.

Permissions to write (start handling) cannot be tried without doing it: they are learnt from the first 403.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

import redis

from workers import errors, heartbeat, redis_address, rights
from workers.erp.sink import Sink
from workers.feed_watch import LOOKED_AT, faults_of
from workers.ledger import Ledger
from workers.monitor.readings import read
from workers.monitor.watch import alarms
from workers.settings import Account, Settings
from workers.vtex.client import Vtex
from workers.vtex.schemas import FeedConfig, OrderPage

Level = Literal["good", "look", "bad"]

#: An event that is read and not committed comes back after this; less leaves an order no time. Seconds.
SHORT_VISIBILITY = 60
#: A feed that got no event for its retention period is removed by VTEX. Seconds.
LONG_RETENTION = 14 * 86400
#: Clocks that differ by more make dates in logs and reports misleading. Seconds.
CLOCK_DIFFERENCE = 30
#: How full Redis may be before it is worth a look.
FULL = 0.8
#: What ends a pause that no person made, by its kind.
_TRIED = {"access": "it is tried again once a minute", "breaker": "it is tried again every few seconds"}
#: The alarms whose subject is looked at here, in more detail.
_LOOKED_AT = frozenset(
    {"credentials_refused", "vtex_down", "erp_refuses", "erp_down", "paused_by_person", "feed_not_read"}
    | {"orders_dead", "redis_down", "redis_full", "redis_not_durable", *LOOKED_AT}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was seen, and what to do if it is not good."""

    level: Level
    about: str
    says: str
    do: str = ""


def good(about: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding("good", about, says)


def check_vtex(vtex: Vtex, settings: Settings) -> Iterator[Finding]:
    """Credentials, reading permissions, and the feed's configuration."""
    config, problem = tried("VTEX feed", vtex.feed_config)
    if problem:
        yield problem
        if problem.says.startswith("refused"):
            return
    elif config is None:
        yield from _faults(None, settings)
    else:
        yield good("VTEX access", "the application key may read the feed")
        yield from _feed(config, settings)
    page, problem = tried("VTEX order list", lambda: vtex.list_orders(per_page=1))
    if problem:
        yield problem
        return
    yield good("VTEX order list", f"the application key may list orders ({page.total} there)")
    if not page.rows:
        yield Finding("look", "VTEX orders", "there is no order to try reading with", "make a test order")
        return
    _, problem = tried("VTEX orders", lambda: vtex.get_order(page.rows[0].order_id))
    yield problem or good("VTEX orders", "the application key may read orders")


def _feed(config: FeedConfig, settings: Settings) -> Iterator[Finding]:
    again = "run: vtexorders feed configure"
    fine = True
    for finding in _faults(config, settings):
        fine = False
        yield finding
    if config.visibility_timeout is not None and config.visibility_timeout < SHORT_VISIBILITY:
        fine = False
        yield Finding(
            "look",
            "VTEX feed",
            f"gives an event back after {config.visibility_timeout:g} s, before slow work can be done",
            again,
        )
    if config.retention is not None and config.retention < LONG_RETENTION:
        fine = False
        yield Finding(
            "look",
            "VTEX feed",
            f"is removed by VTEX after {config.retention / 86400:g} days without an event",
            f"{again} (it asks for the longest, 14 days)",
        )
    if fine:
        yield good("VTEX feed", f"configured for {', '.join(config.states) or 'all states'}")


def _faults(config: FeedConfig | None, settings: Settings) -> Iterator[Finding]:
    for fault in faults_of(config, settings.feed_states):
        yield Finding(fault.level, "VTEX feed", fault.says, fault.do)


def check_erp(sink: Sink) -> Iterator[Finding]:
    """Whether an order could be put into the ERP now."""
    try:
        sink.check()
    except errors.OrderLinkError as error:
        yield Finding(
            "bad", "ERP", str(error), "orders wait in VTEX's feed until ERP_URL and its rights are good"
        )
    else:
        yield good("ERP", "reachable, and takes orders")


def check_redis(client: redis.Redis, user: str | None = None) -> Iterator[Finding]:
    """Reachable, lets us do what we need, keeps what it is given, and never throws anything away."""
    try:
        lacking = rights.missing(client)
        info = {} if lacking else client.info()
    except redis.RedisError as error:
        yield Finding(
            "bad", "Redis", f"cannot be used: {_name(error)}", "is REDIS_URL right, and Redis running?"
        )
        return
    if lacking:
        yield Finding("bad", "Redis", f"cannot be used: {rights.said(user, lacking)}", rights.DO)
        return
    fine = True
    if not info.get("aof_enabled"):
        fine = False
        yield Finding(
            "bad",
            "Redis",
            "keeps nothing on disk: a restart forgets all work",
            "set appendonly yes in its configuration",
        )
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        fine = False
        yield Finding(
            "bad",
            "Redis",
            f"throws records away when it is full ({info['maxmemory_policy']})",
            "set maxmemory-policy noeviction",
        )
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and used > FULL * limit:
        fine = False
        yield Finding("bad", "Redis", f"is {100 * used // limit} % full", "give it more memory (maxmemory)")
    if fine:
        yield good("Redis", f"version {info.get('redis_version', '?')}, {used // 2**20} MiB, keeps its data")
    difference = abs(client.time()[0] - time.time())
    if difference > CLOCK_DIFFERENCE:
        yield Finding(
            "look", "clock", f"this machine and Redis differ by {difference:.0f} s", "use NTP on both"
        )


def check_work(client: redis.Redis, ledger: Ledger, settings: Settings) -> Iterator[Finding]:
    """Whether anybody works, and what is stopped."""
    workers, said = heartbeat.living(client), _LOOKED_AT
    if not workers:
        said |= {"no_worker", "beat_missing"}
        yield Finding("look", "workers", "nobody works", "run: vtexorders up")
    else:
        yield good("workers", f"{len(workers)} worker processes")
        polled = ledger.recall("polled")
        age = ledger.now() - polled if polled else None
        if age is None or age > 10 * settings.feed_poll + 60:
            last = f"for {age:.0f} s" if age is not None else "yet"
            said |= {"beat_missing"}
            yield Finding("bad", "beat", f"the feed has not been read {last}", "run beat: vtexorders beat")
    for scope, pause in ledger.paused().items():
        who = pause.get("by") or "the system"
        yield Finding(
            "look",
            "pause",
            f"{'the store' if scope == 'vtex' else 'the ERP'} was paused by {who}: {pause['why']}",
            "run: vtexorders resume" if pause.get("by") else _TRIED[pause.get("kind", "access")],
        )
    odd = len(ledger.oddities())
    if odd:
        yield Finding(
            "look",
            "VTEX feed",
            f"{odd} items named no order and were set aside",
            "run: vtexorders feed oddities",
        )
    dead = ledger.counts().dead
    if dead:
        yield Finding("look", "orders", f"{dead} dead", "run: vtexorders dead")
    for alarm in alarms(client, settings, read(client, [ledger], settings)):
        if alarm.name not in said:
            level: Level = "bad" if alarm.severity == "critical" else "look"
            yield Finding(level, alarm.name.replace("_", " "), alarm.says, alarm.do)


def check_alone(vtex: Vtex, ledger: Ledger, settings: Settings) -> Iterator[Finding]:
    """Orders that are handled and never came by here: another system may read with our application key."""
    if not ledger.counts().done:
        return
    until = datetime.now(UTC) - timedelta(seconds=settings.reconcile_min_age)
    page, problem = tried(
        "VTEX order list",
        lambda: vtex.list_orders(status="handling", created=(until - timedelta(hours=6), until)),
    )
    if problem:
        return
    strangers = _unknown(page, ledger)
    if strangers:
        yield Finding(
            "look",
            "feed readers",
            f"{len(strangers)} recent orders are in handling and never came by here (such as {strangers[0]})",
            "does another system use this application key? Give each its own; moved by hand is harmless",
        )


def check_clock(date: str | None) -> Iterator[Finding]:
    """Compare our clock with the Date of VTEX's last answer (VTEX's clock is not ours to doubt)."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return
    difference = abs((datetime.now(UTC) - theirs).total_seconds())
    if difference > CLOCK_DIFFERENCE:
        yield Finding("look", "clock", f"this machine and VTEX differ by {difference:.0f} s", "use NTP")
    else:
        yield good("clock", "agrees with VTEX's")


def examine(account: Account, settings: Settings, sink: Sink) -> Iterator[Finding]:
    """Everything that can be looked at, each thing although another one is broken."""
    from workers.check_web import check_web  # noqa: PLC0415 - it needs what is here
    from workers.runtime import ledger_of  # noqa: PLC0415

    vtex = Vtex(account, timeout=settings.http_timeout, pool=1)
    try:
        yield from check_vtex(vtex, settings)
        yield from check_web(vtex, account, settings)
        yield from check_erp(sink)
        yield from check_clock(vtex.server_date)
        if settings.redis_url is None:
            yield Finding(
                "look",
                "Redis",
                f"nothing is running in {settings.data_dir}",
                "start it: vtexorders up (or set REDIS_URL)",
            )
            return
        client = redis_address.connect(settings)
        try:
            ok = True
            user = redis_address.parse(settings.redis_url).username
            for finding in check_redis(client, user):
                ok = ok and not finding.says.startswith("cannot be used")
                yield finding
            if ok:
                ledger = ledger_of(client, settings, account.name)
                yield from check_work(client, ledger, settings)
                yield from check_alone(vtex, ledger, settings)
        finally:
            client.close()
    finally:
        vtex.close()


def tried(about: str, call: Callable[[], Any]) -> tuple[Any, Finding | None]:
    """What a call of VTEX's answers, or the finding that it does not."""
    try:
        return call(), None
    except errors.AccessDenied as error:
        wrong_key = error.status == HTTPStatus.UNAUTHORIZED
        what = (
            "make a new key and token, or copy them again" if wrong_key else "give its role that permission"
        )
        return None, Finding("bad", about, f"refused: {error}", what)
    except errors.OrderLinkError as error:
        return None, Finding(
            "bad", about, str(error), "is VTEX_ACCOUNT right, and the network (proxy, firewall)?"
        )


def _unknown(page: OrderPage, ledger: Ledger) -> list[str]:
    ids = [row.order_id for row in page.rows]
    return [order_id for order_id, state in zip(ids, ledger.states(ids), strict=True) if state is None]


def _name(error: redis.RedisError) -> str:
    return str(error) or type(error).__name__
