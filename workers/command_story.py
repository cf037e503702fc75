"""What an ERP asked for about an order, and how it ended, in words: a line a command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from workers.command_ledger import DEAD, DONE, ENDS, REFUSED, CommandRecord

_ENDED = {DONE: "done", REFUSED: "refused", DEAD: "given up"}


def sentences(records: Iterable[CommandRecord], zone: str) -> list[str]:
    """When it came, what it is, its id, and how it stands; times are of the given zone, the earliest first."""
    return [
        f"{_clock(record.timeline[0].at, zone) if record.timeline else '-'}  "
        f"{record.kind} {record.id}: {_standing(record, zone)}"
        for record in records
    ]


def _standing(record: CommandRecord, zone: str) -> str:
    if record.state in ENDS:
        when = f" at {_clock(record.ended, zone)}" if record.ended else ""
        words = record.outcome.get("says") or record.outcome.get("why") or ""
        return f"{_ENDED[record.state]}{when}" + (f": {words}" if words else "")
    if not record.error:
        return "on its way"
    return f"{'waits' if record.waits else 'goes on'}: {record.error}"


def _clock(at: float, zone: str) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
