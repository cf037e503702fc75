"""Whether what VTEX shows is what this command asked for, and how it stands: cancellations and changes.

What VTEX answered with a success is ours, whatever its documents show later: they come late, leave out lists, and
reword what was sent. Only where no answer is known does a comparison decide. So a command never ends as refused for
what VTEX carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.command import CommandWork, Done, Outcome, Refused
from workers.net.words import clean
from workers.vtex import same_change, texts
from workers.vtex.lenient import instant_or_empty

if TYPE_CHECKING:
    from workers.vtex.change import Change
    from workers.vtex.details import CancellationRequest, OrderDetails
    from workers.vtex.payloads import Cancel
    from workers.vtex.receipts import ChangeStatus

#: Seconds for which an order must be seen out of its cancellation before that counts as a denial that VTEX does not
#: tell of otherwise: its documents may show an older state for a while.
_DENIED_AFTER = 60.0
#: Where an order goes when its cancellation was denied, and where it cannot be canceled any more.
_AFTER_DENIAL = frozenset({"invoice-after-cancellation-deny", "invoice", "invoiced"})


def vtex_has_it(work: CommandWork) -> bool:
    """Whether it is certain that VTEX took this cancellation: it answered so, or showed it."""
    return bool(work.memo.get("taken") or work.memo.get("requested"))


def is_ours(work: CommandWork, wanted: Cancel, details: OrderDetails) -> bool:
    """Whether the cancellation that is requested is this one."""
    if vtex_has_it(work):
        return True
    if work.claim.sent and not work.memo.get("confirming"):
        return True  # it came while an answer of ours was lost
    if wanted.confirm:
        return False
    # our own record may have been lost: then whose it is cannot be told, and to follow it does no harm
    return work.may_be_forgotten() or _asks_the_same(wanted, details.open_request)


def _asks_the_same(wanted: Cancel, request: CancellationRequest | None) -> bool:
    if request is None or bool(request.requested_by_user) != wanted.requested_by_user:
        return False
    return texts.same(wanted.reason or "", request.reason or "")


def neither_requested_nor_canceled(work: CommandWork, status: str | None, details: OrderDetails) -> Outcome:
    """The order is in another state, although VTEX took the cancellation: it is late, or it was denied."""
    now = work.book.ledger.now()
    # what was so before VTEX was asked may be an older denial's, in a document that is late
    moved_on = status in _AFTER_DENIAL and status != work.memo.get("state")
    told = moved_on or details.denials > work.memo.get("denials", 0)
    since = work.memo.setdefault("elsewhere_since", now)
    if told or (work.memo.get("requested") and now - since >= _DENIED_AFTER):
        return Refused(f"the cancellation was requested and then denied: the order is in {status} again")
    return work.follow(f"VTEX took the cancellation, and shows the order in {status} still", "pass")


def made_already(work: CommandWork, wanted: Change, history: list[ChangeStatus]) -> str | None:
    """Which of the order's changes is this one: its answer was lost, or our own record of it.

    An equal change that was there before does not count, nor one that another command explains, nor one that was
    canceled. One from the time before this ledger does: then the ERP asks again for what we have forgotten.
    The history has no author, so one that was made by hand at that time counts, too.
    """
    explained = {record.outcome.get("requestId") for record in work.others()}
    candidates = [one for one in reversed(history) if one.request_id not in explained]
    if work.claim.sent:
        before = set(work.memo.get("before", ()))
        new = [one for one in candidates if one.request_id not in before]
        found = [one for one in new if same_change.equal(wanted, one)]
        found += [one for one in new if same_change.like(wanted, one)]
        return found[0].request_id if found else None
    known_since = work.known_since()
    for one in candidates:
        if not one.date or instant_or_empty(one.date) >= known_since or not same_change.equal(wanted, one):
            continue
        if not work.vtex.get_change(work.order_id, one.request_id).canceled:
            return one.request_id
    return None


def follow_change(work: CommandWork, request: str) -> Outcome:
    """How a change stands that VTEX took."""
    now = work.vtex.get_change(work.order_id, request)
    if now.done:
        return Done({"requestId": request, "total": now.total}, "VTEX has changed the order")
    if now.canceled:
        return Refused(
            f"VTEX canceled the change: {clean(now.cancellation_reason, (), 200) or 'no reason given'}"
        )
    if now.finished:
        return Refused(
            f"the change ended at VTEX in {now.status or 'an unknown state'}: look at the order there"
        )
    return work.follow(f"the change is in {now.status}")
