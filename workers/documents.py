"""What is known of an order or a command as a JSON document: the same from the console and over HTTP.

Names are spelt as VTEX and the messages to the ERP spell them: ``orderId``. Moments are as in :mod:`workers.moments`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workers import moments
from workers.story import next_thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import DataclassInstance

    from workers.command_ledger import CommandRecord
    from workers.ledger import Record, TimelineEntry


def named(record: DataclassInstance) -> dict[str, Any]:
    """Its fields under their names in JSON: ``order_id`` becomes ``orderId``."""
    return {_camel(name): value for name, value in asdict(record).items()}


def order(
    order_id: str,
    record: Record | None,
    asked: Iterable[CommandRecord],
    *,
    now: float,
    paused: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """One order: its state, its story, what the ERP asked for, and what comes next."""
    document: dict[str, Any] = {"orderId": order_id, "state": None, "timeline": []}
    if record:
        document = named(record) | {
            "timeline": _story(record.timeline),
            "due": moments.utc_if(record.due),
            "claimedUntil": moments.utc_if(record.claimed_until),
        }
    commands = [
        {"id": one.id, "command": one.kind, "state": one.state, "outcome": one.outcome, "error": one.error}
        for one in asked
    ]
    return document | {"commands": commands, "next": upcoming(record, now, paused)}


def upcoming(record: Record | None, now: float, paused: Mapping[str, dict[str, Any]]) -> str:
    """What happens next to an order, in words."""
    return (
        next_thing(record, now, dict(paused)) if record else "nothing: its feed event has not been seen here"
    )


def command(record: CommandRecord) -> dict[str, Any]:
    """One command, without its payload: that may hold personal data, and its sender has it."""
    document = named(record)
    del document["payload"]
    said = {
        "ended": moments.utc_if(record.ended),
        "due": moments.utc_if(record.due),
        "timeline": _story(record.timeline),
    }
    return {"id": record.id, "command": document.pop("kind")} | document | said


def paused(pauses: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is paused (:meth:`workers.ledger.Ledger.paused`)."""
    return {scope: _since(pause) for scope, pause in pauses.items()}


def resumed(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who resumed what (:meth:`workers.ledger.Ledger.resumed`)."""
    return [one | {"at": moments.utc(one["at"]), "paused": _since(one["paused"])} for one in entries]


def order_row(record: Record) -> dict[str, Any]:
    """An order in a list."""
    return {
        "orderId": record.order_id,
        "state": record.state,
        "step": record.step,
        "why": record.error,
        "status": record.status,
        "erp": record.erp,
    }


def command_row(record: CommandRecord) -> dict[str, Any]:
    """A command in a list."""
    return {
        "id": record.id,
        "command": record.kind,
        "orderId": record.order_id,
        "state": record.state,
        "why": record.outcome.get("why") or record.error,
    }


def _since(pause: dict[str, Any]) -> dict[str, Any]:
    return pause | {"since": moments.utc_if(pause.get("since"))}


def _story(timeline: Iterable[TimelineEntry]) -> list[dict[str, Any]]:
    return [{"at": moments.utc(one.at), "what": one.code, "detail": one.detail} for one in timeline]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
