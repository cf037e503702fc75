"""What VTEX answers to a write, and what it says of the changes, the hook and the settings that we ask about.

As lenient as the reading of orders: only what cannot be worked without is required.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.errors import Unavailable
from workers.net.words import clean
from workers.vtex.lenient import OPTIONAL, AnyCase, Count, Flag, Part, Text, Texts, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_LOGS = 20
_LONGEST_LOG = 200

#: SKU ids with their quantities, sorted; None if VTEX's answer cannot be read as that.
Outline = tuple[tuple[str, int], ...] | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """VTEX took it. ``receipt`` is None where VTEX gives none, as it may for a cancellation."""

    order_id: str
    date: str | None
    receipt: str | None


@dataclass(frozen=True, slots=True, repr=False)
class ChangeStatus:
    """A change that VTEX knows. Money is in cents.

    ``status`` is None in the answer to a new change and in an order's history. ``removed`` and the like outline
    what it does, for telling it from others (``replaced`` goes, ``replacing`` comes).
    """

    request_id: str
    status: str | None
    in_progress: bool | None
    date: str | None
    reason: str | None
    discount: int | None
    increment: int | None
    total: int | None
    added: Outline
    removed: Outline
    replaced: Outline
    replacing: Outline
    cancellation_reason: str | None
    logs: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<ChangeStatus {self.request_id} {self.status}>"

    @property
    def done(self) -> bool:
        """Whether it is part of the order now."""
        return self.status == "done"

    @property
    def canceled(self) -> bool:
        """Whether it ended without an effect."""
        return self.status in {"canceled", "cancelled"}

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or the other.

        The status decides, and VTEX's flag only where there is none that we know: VTEX's help pages show a
        canceled change whose flag says that it goes on.
        """
        return self.done or self.canceled or self.in_progress is False


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """The account's settings of order modifications; ``enabled`` for the API, None if VTEX does not say."""

    enabled: bool | None


@dataclass(frozen=True, slots=True)
class HookConfig:
    """The hook of our application key. ``headers`` are the credentials that VTEX sends to us."""

    url: str | None
    filter_type: str | None
    states: tuple[str, ...]
    headers: Mapping[str, str] = field(repr=False)


class _ReceiptSchema(AnyCase):
    order_id = Text(data_key="orderid", **OPTIONAL)
    date = Text(**OPTIONAL)
    receipt = Text(**OPTIONAL)


class _CancellationSchema(AnyCase):
    reason = Words(**OPTIONAL)


class _ChangeSchema(AnyCase):
    request_id = Text(data_key="requestid", **OPTIONAL)
    status = Text(**OPTIONAL)
    in_progress = Flag(data_key="inprogress", **OPTIONAL)
    finished = Flag(**OPTIONAL)
    date = Text(**OPTIONAL)
    reason = Words(**OPTIONAL)
    discount = Count(data_key="manualdiscountvalue", **OPTIONAL)
    increment = Count(data_key="manualincrementvalue", **OPTIONAL)
    total = Count(data_key="totalchangevalue", **OPTIONAL)
    cancellation = Part(_CancellationSchema(), data_key="cancellationdata")


class _RolloutSchema(AnyCase):
    enabled = Flag(data_key="enableapi", **OPTIONAL)


class _SettingsSchema(AnyCase):
    rollout = Part(_RolloutSchema(), data_key="rolloutconfiguration")


class _HookFilterSchema(AnyCase):
    type = Text(**OPTIONAL)
    status = Texts(**OPTIONAL)


class _HookSchema(AnyCase):
    url = Text(**OPTIONAL)


class _HookConfigSchema(AnyCase):
    filter = Part(_HookFilterSchema())
    hook = Part(_HookSchema())


_RECEIPT, _CHANGE, _SETTINGS, _HOOK = (
    _ReceiptSchema(),
    _ChangeSchema(),
    _SettingsSchema(),
    _HookConfigSchema(),
)


def load_receipt(body: object, order_id: str) -> Receipt:
    """The receipt in an answer. A success that says nothing is one, too; Unavailable if it says something else.

    ``body`` is the answer's JSON, or an empty object if there was no body at all.
    """
    if not isinstance(body, dict) or any(name.lower() == "error" and value for name, value in body.items()):
        raise Unavailable("the answer is not a receipt")
    data = _RECEIPT.load(body)
    return Receipt(data["order_id"] or order_id, data["date"], data["receipt"])


def load_change_status(body: object) -> ChangeStatus:
    """One change; Unavailable if the answer is none, or does not say which."""
    status = _change(body) if isinstance(body, dict) else None
    if status is None or not status.request_id:
        raise Unavailable("the answer is not a change")
    return status


def load_changes(body: object) -> list[ChangeStatus]:
    """An order's history of changes; Unavailable if the answer is none."""
    requests = body
    if isinstance(body, dict) and "requests" in body:
        # null is how some write an empty list
        requests = [] if body["requests"] is None else body["requests"]
    if not isinstance(requests, list) or body == []:  # VTEX's own empty history is an object
        raise Unavailable("the answer is not a history of changes")
    return [_change(item) for item in requests if isinstance(item, dict)]


def load_change_settings(body: object) -> ChangeSettings:
    """The settings; Unavailable if the answer is no object."""
    if not isinstance(body, dict):
        raise Unavailable("the answer is not the settings of changes")
    return ChangeSettings((_SETTINGS.load(body)["rollout"] or {}).get("enabled"))


def load_hook_config(body: object) -> HookConfig:
    """The hook's configuration; Unavailable if the answer has none."""
    if not isinstance(body, dict) or not isinstance(_below(body, "hook"), dict):
        raise Unavailable("the answer is not the hook's configuration")
    data = _HOOK.load(body)
    only, hook = data["filter"] or {}, data["hook"] or {}
    headers = _below(body, "hook", "headers")
    return HookConfig(
        url=hook.get("url"),
        filter_type=only.get("type"),
        states=only.get("status") or (),
        headers={str(name): value for name, value in headers.items() if isinstance(value, str)}
        if isinstance(headers, dict)
        else {},
    )


def _change(body: Mapping[str, Any]) -> ChangeStatus:
    data = _CHANGE.load(body)
    finished, in_progress = data["finished"], data["in_progress"]
    pairs = _below(body, "replace")
    logs = _below(body, "logs")
    return ChangeStatus(
        request_id=data["request_id"] or "",
        status=data["status"].lower() if data["status"] else None,
        in_progress=not finished if in_progress is None and finished is not None else in_progress,
        date=data["date"],
        reason=data["reason"],
        discount=data["discount"],
        increment=data["increment"],
        total=data["total"],
        added=_outline([_below(body, "add")]),
        removed=_outline([_below(body, "remove")]),
        replaced=_outline(_sides(pairs, "from")),
        replacing=_outline(_sides(pairs, "to")),
        cancellation_reason=(data["cancellation"] or {}).get("reason"),
        logs=_logs(logs if isinstance(logs, list) else []),
    )


def _below(body: object, *path: str) -> Any:
    """What stands there, names in whatever case; None if nothing does."""
    for name in path:
        if not isinstance(body, dict):
            return None
        body = next((value for key, value in body.items() if str(key).lower() == name), None)
    return body


def _sides(pairs: object, side: str) -> list[Any]:
    """That side of each replacement; what cannot be read is "?"."""
    if pairs is None:
        return []
    return [_below(pair, side) or "?" for pair in pairs] if isinstance(pairs, list) else ["?"]


def _outline(parts: list[Any]) -> Outline:
    """All the items of these parts, each ``{"items": […]}``, a list of items, or null."""
    found: list[tuple[str, int]] = []
    for part in parts:
        items = _below(part, "items") if isinstance(part, dict) else ([] if part is None else part)
        if not isinstance(items, list):
            return None
        for item in items:
            sku, quantity = _below(item, "id"), _below(item, "quantity")
            if isinstance(sku, bool) or not isinstance(sku, (str, int)) or not _is_whole(quantity):
                return None
            found.append((str(sku), int(quantity)))
    return tuple(sorted(found))


def _is_whole(number: object) -> bool:
    return isinstance(number, int) or (isinstance(number, float) and number.is_integer())


def _logs(entries: list[Any]) -> tuple[str, ...]:
    """VTEX's words about a change's course, the last ones."""
    words = []
    for entry in entries[-_MOST_LOGS:]:
        parts = (
            [clean(value, (), _LONGEST_LOG) for value in entry.values()]
            if isinstance(entry, dict)
            else [entry]
        )
        words.append(clean(" ".join(str(part) for part in parts if part), (), _LONGEST_LOG))
    return tuple(word for word in words if word)
