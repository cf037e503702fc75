"""Asks the three sides what is true in the end."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from workers.command_ledger import CommandLedger
from workers.feed_watch import LISTED
from workers.ledger import Ledger

from .arena import ACCOUNT, KEY, LIMIT, TOKEN, Arena
from .checker import Command, Facts, OrderAtVtex
from .traffic import Traffic

LOOKED_AT = 25  # customers that are looked for in the logs


def settled(arena: Arena, traffic: Traffic) -> bool:
    """Whether nothing is left to do. Redis may be away for a moment (``redis.RedisError``)."""
    audit = arena.vtex.audit(per_order=False)
    ledger = Ledger(arena.redis, ACCOUNT)
    counts, commands = ledger.counts(), CommandLedger(ledger).counts()
    return not (
        audit["events_pending"]
        or audit["stranded"]
        or counts.open
        or counts.parked
        or ledger.waiting_acks()
        or commands.open
        or commands.parked
        or ledger.recall(LISTED) is None
    )


def collect(arena: Arena, traffic: Traffic, *, faults: Counter[str], drained: float | None) -> Facts:
    """Everything that the checker wants to know."""
    audit = arena.vtex.audit()
    ledger = Ledger(arena.redis, ACCOUNT)
    book = CommandLedger(ledger)
    counts, commands = ledger.counts(), book.counts()
    erp = arena.erp.orders()
    log_bytes, secrets = _secrets(arena, list(erp))
    return Facts(
        lives={order: life.kind for order, life in traffic.lives.items()},
        vtex={order: _order(arena, order, facts) for order, facts in audit["per_order"].items()},
        erp=erp,
        made=arena.erp.times(),
        commands={
            key: Command(
                asked.order,
                asked.kind,
                asked.times,
                bool(asked.accepted),
                asked.vanished,
                asked.told,
                record.state if (record := book.record(key)) else None,
            )
            for key, asked in traffic.asked.items()
        },
        ledger={
            "open": counts.open,
            "parked": counts.parked,
            "dead": counts.dead,
            "acks": ledger.waiting_acks(),
            "commands open": commands.open,
            "commands parked": commands.parked,
            "commands dead": commands.dead,
        },
        never={name: seen["count"] for name, seen in audit["never"].items()},
        early_commits=audit["early_commits"],
        events={name: audit[f"events_{name}"] for name in ("committed", "pending", "redelivered", "created")},
        stranded=audit["stranded"],
        calls=audit["calls"],
        busiest_minute=audit["busiest_minute"],
        limit=LIMIT,
        too_many=audit["too_many_requests"],
        storms=faults["vtex answers 429"],
        faults=faults,
        flushes=len(arena.flushes),
        lost_with_redis=traffic.lost_with_redis,
        secrets=secrets,
        log_bytes=log_bytes,
        drained=drained,
        repeats=arena.erp.repeats,
    )


def _order(arena: Arena, order: str, facts: dict) -> OrderAtVtex:
    one = OrderAtVtex(
        status=facts["status"],
        handled=facts["startHandlingCount"],
        early=facts["earlyCommits"],
        pending=facts["eventsPending"],
    )
    if facts["invoiceCount"] or facts["changeCount"]:
        state = arena.vtex.state(order)
        invoices = state["invoices"]
        one.invoices = [(each["invoiceNumber"], each["invoiceValue"]) for each in invoices]
        one.returns = sum(each["type"] == "Input" for each in invoices)
        one.changes = [each["status"] for each in state["changes"]]
        one.tracking = [n for each in invoices if (n := each["tracking"]["trackingNumber"])]
    return one


def _secrets(arena: Arena, orders: list[str]) -> tuple[int, list[str]]:
    """How many bytes of logs there are, and what is in them that must not be."""
    wanted = {"the app key": KEY, "the app token": TOKEN}
    wanted["Redis' password"] = urlsplit(arena.valkey.url).password or ""
    for order in orders[:: max(1, len(orders) // LOOKED_AT)]:
        for number, text in enumerate(arena.erp.personal(order)):
            wanted[f"personal data of {order} ({number})"] = text
    size, found = 0, set()
    for log in arena.logs():
        text = log.read_text(errors="replace")
        size += len(text)
        found |= {f"{what} in {log.name}" for what, secret in wanted.items() if secret in text}
    return size, sorted(found)
