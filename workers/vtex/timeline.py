"""What VTEX gets as the course of a parcel: each event once, all of them, in order; and delivered stays delivered.

It is not documented whether the list that is sent replaces the one before, so all of it is sent each time: what VTEX
shows and is not ours, what earlier commands sent (VTEX may show it late, or not at all), and what is new. Where VTEX
shows an event of ours, ours is sent: VTEX's copy may be cut or worded in another form.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from workers.vtex import texts
from workers.vtex.lenient import instant_or_empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workers.vtex.details import Package

_PLACES = ("city", "state")
_DAY_FIRST = re.compile(r"(\d\d)/(\d\d)/(\d{4})(?!\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?!\d)", re.ASCII)

Event = dict[str, Any]


def whole(package: Package, earlier: Sequence[Mapping[str, Any]], new: Mapping[str, Any]) -> dict[str, Any]:
    """What ``Vtex.update_tracking`` sends: what the command says (``Tracking.events_body()``), and what stands already.

    ``earlier`` is what earlier commands of this parcel sent, the oldest first.
    """
    shown = (asdict(event) for event in package.events)
    before = (event for said in earlier for event in said["events"])
    return {**delivery(package, earlier, new), "events": all_events(shown, before, new["events"])}


def all_events(shown: Iterable[Event], earlier: Iterable[Event], new: Iterable[Event]) -> list[Event]:
    """All events of a parcel, the days in their order: VTEX's own, ours from before, and the new ones.

    An event is ``{"city", "state", "description", "date"}``. Of events of one day those that are not ours come first.
    """
    ours = _each_once([*earlier, *new])
    theirs = [event for event in _each_once(shown) if not any(_is(event, own) for own in ours)]
    return sorted([*theirs, *ours], key=lambda event: _days(event["date"])[:1] or [""])


def delivery(
    package: Package, earlier: Sequence[Mapping[str, Any]], new: Mapping[str, Any]
) -> dict[str, Any]:
    """``isDelivered`` and ``deliveredDate`` as they are sent; what the command leaves out stays as it is."""
    delivered, at = package.finished, package.delivered
    for said in (*earlier, new):
        if said["isDelivered"] is not None:
            delivered = said["isDelivered"]
        at = said["deliveredDate"] or at
    return {"isDelivered": delivered, "deliveredDate": at if delivered else None}


def _each_once(events: Iterable[Event]) -> list[Event]:
    found: dict[tuple[str, ...], Event] = {}
    for event in events:
        words = (texts.normal(str(event.get(name) or "")) for name in (*_PLACES, "description"))
        found.setdefault((str(event.get("date") or ""), *words), event)
    return list(found.values())


def _is(shown: Event, ours: Event) -> bool:
    """Whether VTEX shows our event: on the same day, with the same words, whole or cut.

    A day that cannot be read, and a place that is not shown, do not speak against it; a description does.
    """
    days = _days(shown["date"])
    return (
        (not days or str(ours["date"]) in days)
        and all(not shown[name] or texts.same(ours[name], shown[name]) for name in _PLACES)
        and texts.same(ours["description"], shown["description"])
        and any(shown[name] for name in (*_PLACES, "description"))
    )


def _days(text: Any) -> list[str]:
    """The days (YYYY-MM-DD) that a date may mean; none if it cannot be read. 03/04/2026 may be one of two."""
    text = str(text or "").strip()
    if found := _DAY_FIRST.match(text):
        first, second, year = found.groups()
        return [day for day in (f"{year}-{second}-{first}", f"{year}-{first}-{second}") if _exists(day)]
    if not _DAY.match(text):
        return []
    return [day for day in dict.fromkeys([text[:10], instant_or_empty(text)[:10]]) if _exists(day)]


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
