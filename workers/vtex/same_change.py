"""Whether a change that VTEX shows is the one that is wanted.

VTEX gives a change its id, so after an answer that was lost, or a ledger that was lost, only the contents tell: the
reason, the discount, the surcharge, and the SKUs with their quantities that come, go, or stand for one another. An
unlike change never counts, and two changes that are equal in all of that are one and the same to their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.vtex import texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.vtex.change import Change
    from workers.vtex.receipts import ChangeStatus


def equal(wanted: Change, shown: ChangeStatus) -> bool:
    """Whether all of it is shown and equal; no discount and none that is shown are the same."""
    return (
        shown.reason is not None
        and texts.same(wanted.reason, shown.reason)
        and (shown.discount or 0, shown.increment or 0) == (wanted.discount, wanted.increment)
        and _shown_items(shown) == _items(wanted)
    )


def like(wanted: Change, shown: ChangeStatus) -> bool:
    """Whether nothing of it speaks against it and something for it: enough for one that was asked for just now.

    What VTEX does not show, or shows in a form that cannot be read, speaks neither for nor against.
    """
    if shown.reason is not None and not texts.same(wanted.reason, shown.reason):
        return False
    pairs = [
        (shown.discount, wanted.discount),
        (shown.increment, wanted.increment),
        *zip(_shown_items(shown), _items(wanted), strict=True),
    ]
    if any(theirs is not None and theirs != own for theirs, own in pairs):
        return False
    return shown.reason is not None or any(theirs and theirs == own for theirs, own in pairs)


def _items(change: Change) -> tuple[Any, ...]:
    return (
        _outline(change.added),
        _outline(change.removed),
        _outline(item for each in change.replaced for item in each.old.items),
        _outline(item for each in change.replaced for item in each.new.items),
    )


def _shown_items(shown: ChangeStatus) -> tuple[Any, ...]:
    return (shown.added, shown.removed, shown.replaced, shown.replacing)


def _outline(items: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((item.id, item.quantity) for item in items))
