"""What ``status`` says: of one store, or of all of them with each one's share."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workers import documents, heartbeat, moments, queues
from workers.command_ledger import CommandLedger
from workers.errors import OrderLinkError
from workers.monitor.readings import read
from workers.monitor.watch import alarms
from workers.stores import advice
from workers.vtex.client import Vtex
from workers.watchlist import Watchlist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.ledger import Ledger
    from workers.settings import Settings

_UNKNOWN: dict[str, Any] = {"configured": None, "quantity": None, "oldest_seconds": None}
#: So many stores are asked at once, so that one that does not answer holds up no other.
_AT_ONCE = 16


def of(loaded: Settings, ledgers: Sequence[Ledger], *, ask_vtex: bool = True) -> dict[str, Any]:
    """One store's document; of several, their sum, and each one's own below ``accounts``."""
    redis = ledgers[0].redis
    with ThreadPoolExecutor(_AT_ONCE) as asking:
        feeds = asking.map(lambda one: _feed(loaded.of(one.account)) if ask_vtex else _UNKNOWN, ledgers)
        documents = [_of_one(loaded, one, feed) for one, feed in zip(ledgers, feeds, strict=True)]
    names = {ledger.account for ledger in ledgers}
    whole = {
        "alarms": [
            asdict(one)
            | {
                "do": advice(one.do, one.account, several=len(loaded.accounts) > 1),
                "since": moments.utc_if(one.since),
            }
            for one in alarms(redis, loaded, read(redis, ledgers, loaded))
            if not one.account or one.account in names
        ],
        "workers": len(heartbeat.living(redis)),
    }
    in_flight = redis.hlen("unacked")
    if len(documents) == 1:
        [document] = documents
        document["queues"]["in_flight"] = in_flight
        return document | whole
    return {
        "orders": _sum(documents, "orders"),
        "commands": _sum(documents, "commands"),
        "queues": _lengths(ledgers[0], {name: queues.of_purpose(loaded, name) for name in queues.QUEUES})
        | {"in_flight": in_flight},
        "feed": _whole_feed([document["feed"] for document in documents]),
        **{name: sum(document[name] for document in documents) for name in ("uncommitted", "watched")},
        **whole,
        "accounts": {document["account"]: document for document in documents},
    }


def _of_one(loaded: Settings, ledger: Ledger, feed: dict[str, Any]) -> dict[str, Any]:
    store = loaded.of(ledger.account)
    stuck = Watchlist(ledger).stuck()
    return {
        "account": ledger.account,
        "orders": asdict(ledger.counts()),
        "commands": asdict(CommandLedger(ledger).counts()),
        "queues": _lengths(
            ledger, {name: [q] for name, q in queues.of_store(loaded, ledger.account).items()}
        ),
        "feed": feed,
        "uncommitted": ledger.waiting_acks(),
        "paused": documents.paused(ledger.paused()),
        "resumed": documents.resumed(ledger.resumed()),
        "watched": len(Watchlist(ledger)),
        "stuck": [
            {"orderId": id_, "status": status, "since": since} for id_, (status, since) in stuck.items()
        ],
        "shadow": store.shadow,
        "totals": ledger.stats(),
    }


def _lengths(ledger: Ledger, names: dict[str, list[str]]) -> dict[str, int]:
    """How many messages wait, by the purpose of their queues."""
    with ledger.redis.pipeline(transaction=False) as pipe:
        for queue in (queue for some in names.values() for queue in some):
            pipe.llen(queue)
        lengths = iter(pipe.execute())
    return {purpose: sum(next(lengths) for _ in some) for purpose, some in names.items()}


def _sum(documents: Sequence[dict[str, Any]], what: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for document in documents:
        total.update(document[what])
    return {state: total[state] for state in documents[0][what]}


def _whole_feed(feeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Configured if all are; what nobody could tell is left out."""
    quantities = [feed["quantity"] for feed in feeds if feed["quantity"] is not None]
    ages = [feed["oldest_seconds"] for feed in feeds if feed["oldest_seconds"] is not None]
    said = {feed["configured"] for feed in feeds}
    return {
        "configured": False if False in said else None if None in said else True,
        "quantity": sum(quantities) if quantities else None,
        "oldest_seconds": max(ages, default=None),
    }


def _feed(store: Settings) -> dict[str, Any]:
    client = Vtex(store.account(), timeout=min(5.0, store.http_timeout), pool=1)
    try:
        config = client.feed_config()
    except OrderLinkError as error:
        return _UNKNOWN | {"error": str(error)}
    finally:
        client.close()
    if config is None:
        return _UNKNOWN | {"configured": False}
    return {"configured": True, "quantity": config.quantity, "oldest_seconds": config.oldest_seconds}
