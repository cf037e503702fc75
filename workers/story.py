"""An order's record in words, for someone who knows orders and not Celery."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from workers.ledger import DOWNLOAD, Record, TimelineEntry

_WORDS = {
    "seen": "VTEX told us of it ({})",
    "news": "VTEX told us of a change ({}); it will be looked at again",
    "delivered": "the ERP has it (VTEX's status was {})",
    "looked": "looked at again at VTEX ({}): the ERP has it already",
    "handled": "VTEX knows that it is being handled {}",
    "committed": "acknowledged to VTEX's feed {}",
    "ignored": "nothing to do for us while VTEX says {}",
    "not_told": "VTEX says {}; the ERP need not be told",
    "told_canceled": "the ERP was told that VTEX says {}",
    "canceled_meanwhile": "VTEX says {} now, before handling began",
    "not_ours": "not ours, so it is only acknowledged ({})",
    "would_deliver": "shadow mode: the ERP would have been given it (VTEX's status was {})",
    "would_handle": "shadow mode: VTEX would have been told that it is being handled {}",
    "replay": "tried again by hand: {}",
    "redeliver": "to be given to the ERP once more: {}",
    "retry": "did not work: {}",
    "park": "did not work, waiting longer: {}",
    "ours": "it fails for long: its events are taken out of VTEX's feed, and it is tried from here",
    "crash": "the worker that was at the {} step died or stalled",
    "stall": "the {} step took so long that it was begun anew",
    "swept": "its message was lost; the {} step was sent again",
    "dead": "given up: {}",
}

_STEPS = {
    "download": "it is read from VTEX and put into the ERP",
    "start-handling": "VTEX is told that it is being handled",
    "ack": "its feed event is acknowledged to VTEX",
}


def sentences(record: Record, zone: str) -> list[str]:
    """The timeline, a line each, in the given time zone."""
    return [
        f"{_clock(entry, zone)}  {_WORDS.get(entry.code, entry.code + ' {}').format(entry.detail).rstrip()}"
        for entry in record.timeline
    ]


def next_thing(record: Record, now: float, paused: dict[str, dict[str, Any]]) -> str:
    """What happens next, and when."""
    if record.state in ("done", "ignored"):
        waits = f"; {record.uncommitted} event(s) are still to be acknowledged" if record.uncommitted else ""
        return f"nothing, it is finished{waits}"
    if record.state == "dead":
        return f"nothing by itself: {record.error or 'it was given up'}"
    what = _STEPS.get(record.step or "", str(record.step))
    for scope, pause in paused.items():
        if scope == "vtex" or record.step == DOWNLOAD:  # only that step needs the ERP
            return f"it waits, because {'VTEX' if scope == 'vtex' else 'the ERP'} is paused: {pause['why']}"
    if record.claimed_until and record.claimed_until > now:
        return f"a worker is at it now: {what}"
    when = f"in {max(0.0, (record.due or now) - now):.0f} s at the latest"
    if record.error:
        return f"{what}, {when} (attempt {record.attempts + 1}; the last answer: {record.error})"
    return f"{what}, as soon as a worker is free, {when}"


def _clock(entry: TimelineEntry, zone: str) -> str:
    return datetime.fromtimestamp(entry.at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]
