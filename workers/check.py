"""Looks at everything that a new connection needs, with harmless calls only, and says what to do about it.

Permissions to write (start handling) cannot be tried without doing it: they are learnt from the first 403.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

import redis

from workers import errors, heartbeat, queues, redis_address, rights
from workers.erp.sink import Sink
from workers.feed_watch import LOOKED_AT, faults_of
from workers.ledger import Ledger
from workers.monitor.readings import read
from workers.monitor.watch import alarms
from workers.net import words
from workers.runtime import ledger_of, open_erp
from workers.settings import Settings, SettingsError
from workers.stores import advice
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
    account: str = ""  # "" is what all stores share


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


def check_redis(client: redis.Redis, user: str | None = None, more: Sequence[str] = ()) -> Iterator[Finding]:
    """Reachable, lets us do what we need, keeps what it is given, and never throws anything away."""
    try:
        lacking = rights.missing(client, more)
        info = {} if lacking else client.info()
    except redis.RedisError as error:
        yield Finding(
            "bad", "Redis", f"cannot be used: {_name(error)}", "is REDIS_URL right, and Redis running?"
        )
        return
    if lacking:
        yield Finding("bad", "Redis", f"cannot be used: {rights.said(user, lacking)}", rights.do())
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


def check_work(client: redis.Redis, ledgers: Sequence[Ledger], loaded: Settings) -> Iterator[Finding]:
    """Whether anybody works, what is stopped, and what the alarms say."""
    workers, said = heartbeat.living(client), _LOOKED_AT
    if not workers:
        said |= {"no_worker", "beat_missing"}
        yield Finding("look", "workers", "nobody works", "run: vtexorders up")
    else:
        yield good("workers", f"{len(workers)} worker processes")
    for ledger in ledgers:
        for finding in _progress(ledger, loaded.of(ledger.account), working=bool(workers)):
            if finding.about == "beat":
                said |= {"beat_missing"}
            yield replace(finding, account=ledger.account)
    names = {ledger.account for ledger in ledgers}
    for alarm in alarms(client, loaded, read(client, ledgers, loaded)):
        if alarm.name not in said and (not alarm.account or alarm.account in names):
            level: Level = "bad" if alarm.severity == "critical" else "look"
            yield Finding(level, alarm.name.replace("_", " "), alarm.says, alarm.do, alarm.account)


def _progress(ledger: Ledger, store: Settings, *, working: bool) -> Iterator[Finding]:
    """Whether a store's work goes on, and what it left for a person."""
    polled = ledger.recall("polled")
    age = ledger.now() - polled if polled else None
    if working and (age is None or age > 10 * store.feed_poll + 60):
        last = f"for {age:.0f} s" if age is not None else "yet"
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
    theirs = words.date(date)
    if theirs is None:
        return
    difference = abs((datetime.now(UTC) - theirs).total_seconds())
    if difference > CLOCK_DIFFERENCE:
        yield Finding("look", "clock", f"this machine and VTEX differ by {difference:.0f} s", "use NTP")
    else:
        yield good("clock", "agrees with VTEX's")


def examine(loaded: Settings, names: Sequence[str]) -> Iterator[Finding]:
    """Everything that can be looked at, each thing although another one is broken: the stores, then what they share."""
    several = len(loaded.accounts) > 1
    for finding in _examine(loaded, names):
        yield replace(finding, do=advice(finding.do, finding.account, several=several))


def _examine(loaded: Settings, names: Sequence[str]) -> Iterator[Finding]:
    from workers.check_secrecy import check_secrecy  # noqa: PLC0415 - they need what is here
    from workers.check_web import check_door  # noqa: PLC0415

    sinks = _sinks(loaded, names)
    try:
        with ThreadPoolExecutor(len(names)) as asking:  # none waits for another
            for found in asking.map(
                lambda name: [replace(one, account=name) for one in _store(loaded.of(name), sinks[name])],
                names,
            ):
                yield from found
    finally:
        for sink in sinks.values():
            sink.close()
    yield from check_secrecy(loaded)
    yield from check_door(loaded)
    if loaded.redis_url is None:
        yield Finding(
            "look",
            "Redis",
            f"nothing is running in {loaded.data_dir}",
            "start it: vtexorders up (or set REDIS_URL)",
        )
        return
    with closing(redis_address.connect(loaded)) as client:
        ok, user = True, redis_address.parse(loaded.redis_url).username
        for finding in check_redis(client, user, queues.more(loaded)):
            ok = ok and not finding.says.startswith("cannot be used")
            yield finding
        if ok:
            ledgers = [ledger_of(client, loaded, name) for name in names]
            yield from check_work(client, ledgers, loaded)
            for ledger in ledgers:
                store = loaded.of(ledger.account)
                with closing(Vtex(store.account(), timeout=store.http_timeout, pool=1)) as vtex:
                    for finding in check_alone(vtex, ledger, store):
                        yield replace(finding, account=ledger.account)


def _store(store: Settings, sink: Sink) -> Iterator[Finding]:
    """What one store has for itself."""
    from workers.check_web import check_hook  # noqa: PLC0415 - it needs what is here

    with closing(Vtex(store.account(), timeout=store.http_timeout, pool=1)) as vtex:
        yield from check_vtex(vtex, store)
        yield from check_hook(vtex, store.account(), store)
        yield from check_erp(sink)
        yield from check_clock(vtex.server_date)


def _sinks(loaded: Settings, names: Sequence[str]) -> dict[str, Sink]:
    """Each store's; ``SettingsError`` with all that cannot be opened."""
    sinks: dict[str, Sink] = {}
    problems: list[str] = []
    for name in names:
        try:
            sinks[name] = open_erp(loaded.of(name), pool=1)
        except SettingsError as error:
            store = f"{name}: " if len(loaded.accounts) > 1 else ""
            problems += [store + problem for problem in error.problems]
    if problems:
        raise SettingsError(problems)
    return sinks


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
