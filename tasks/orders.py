"""What happens to an order: download, start handling, ack.

``chain(download, start_handling)`` an order; the handles of finished orders are committed in batches by ``ack``.
The feed's event only said "look": the fresh order document decides.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.base import Step, Tick, To, Work
from workers import errors, telemetry
from workers.app import app
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, ORDER_READY
from workers.ledger import ACK, DOWNLOAD, IGNORED, START_HANDLING
from workers.runtime import IO_THREADS, Link
from workers.scope import is_handled_elsewhere
from workers.vtex import states
from workers.vtex.client import LARGEST_LOT
from workers.vtex.schemas import Order

log = telemetry.get(__name__)

#: Seconds until a commit that failed is tried again.
COMMIT_AGAIN_SECONDS = 2.0
#: So many seconds after an event, a document that does not show it yet is read again. Then it is believed.
STALE_SECONDS = 300.0
#: By so many seconds VTEX's clock and Redis' may differ.
CLOCKS_DIFFER = 3600.0


@app.task(name="orders.download", base=Step, step=DOWNLOAD)
def download(work: Work) -> To:
    """Read the order afresh, and put it durably into the ERP if it is to be fulfilled."""
    order = work.vtex.get_order(work.order_id)
    status = order.status
    scope = work.link.settings.order_scope
    if not work.claim.erp and (outside := scope.outside(order)):
        return To(IGNORED, "not_ours", outside, _facts(order) | {"out": scope.mark})
    if _is_older_than_its_event(work, order):
        raise errors.NotYet(f"VTEX's answer ({status}) is older than its event ({work.claim.says})")
    if status is None:
        raise errors.NotYet("VTEX has not completed this order yet (its status is empty)")
    if status == states.READY_FOR_HANDLING:
        theirs = is_handled_elsewhere(order) or work.claim.redeliver
        return _ready(work, order, ACK if theirs else START_HANDLING)
    if status in states.IN_HANDLING:
        return _ready(work, order, ACK)
    if status in states.CANCELED:
        return _canceled(work, order, CANCELED)
    if status in states.CANCELLATION_REQUESTED:
        return _canceled(work, order, CANCELLATION_REQUESTED)
    if status not in states.KNOWN:
        log.error("unknown_status", status=status)
    return To(IGNORED, "ignored", status, _facts(order))


def _is_older_than_its_event(work: Work, order: Order) -> bool:
    """Whether VTEX gave a document from before the newest event that we know of, and it matters.

    It matters when one of the two says that the order goes on and the other that it is canceled, or may be; or when
    the document is from before either. VTEX's dates are only compared with VTEX's; ours say when to give up waiting.
    """
    claim = work.claim
    told = states.bearing(claim.says)
    if not told or told == states.bearing(order.status) or order.status in states.CANCELED:
        return False
    if not order.last_change or order.last_change >= claim.news:
        return False
    if claim.heard < STALE_SECONDS:
        return True
    log.warning("stale_document", status=order.status, told=claim.says)
    return False


def _ready(work: Work, order: Order, then: str) -> To:
    """The order is to be fulfilled; after that it goes ``then``: to start-handling, or it is in handling already."""
    if work.claim.told == ORDER_READY:
        return To(then, "looked", order.status or "", _facts(order))
    if work.link.settings.shadow == "look":
        return To(then, "would_deliver", order.status or "", _facts(order, told=ORDER_READY))
    # after a request for cancellation, this says that the order goes on: not the order.ready that the ERP knows
    occurrence = order.requested_at() or work.claim.occurrence
    work.tell_erp(ORDER_READY, order, occurrence)
    return To(then, "delivered", order.status or "", _facts(order, told=ORDER_READY, occurrence=occurrence))


def _canceled(work: Work, order: Order, kind: str) -> To:
    """The ERP is told, unless it is certain that it never got the order."""
    occurrence = (order.requested_at() or order.last_change) if kind == CANCELLATION_REQUESTED else ""
    repeated = work.claim.told == kind and (kind == CANCELED or work.claim.occurrence == occurrence)
    if repeated or work.link.settings.shadow == "look" or _never_delivered(work, order):
        return To(IGNORED if not work.claim.erp else ACK, "not_told", order.status or "", _facts(order))
    work.tell_erp(kind, order, occurrence)
    return To(ACK, "told_canceled", order.status or "", _facts(order, told=kind, occurrence=occurrence))


def _never_delivered(work: Work, order: Order) -> bool:
    """Whether it is certain that the ERP never got the order: no record says so, and none can be missing."""
    known_from = datetime.fromtimestamp(work.link.ledger.complete_since() + CLOCKS_DIFFER, UTC)
    return not work.claim.erp and order.creation_date > f"{known_from:%Y-%m-%dT%H:%M:%S}"


def _facts(order: Order, told: str = "", occurrence: str = "") -> dict[str, str]:
    facts = {"status": order.status or "", "at": order.last_change}
    if told:
        facts |= {"erp": "has", "told": told}
    return facts | {"occurrence": occurrence} if occurrence else facts


@app.task(name="orders.start_handling", base=Step, step=START_HANDLING)
def start_handling(work: Work) -> To:
    """Tell VTEX that the order is being prepared. The ERP has it already."""
    if work.link.settings.shadow:
        return To(ACK, "would_handle")
    try:
        work.vtex.start_handling(work.order_id)
    except errors.Conflict:
        # not in ready-for-handling: an answer of ours got lost, somebody moved it by hand, or it was canceled
        work.renew()
        order = work.vtex.get_order(work.order_id)
        if order.status in states.IN_HANDLING:
            return To(ACK, "handled", f"was already in {order.status}", {"status": order.status or ""})
        if order.status in states.CANCELED | states.CANCELLATION_REQUESTED:
            return To(DOWNLOAD, "canceled_meanwhile", order.status or "")
        raise errors.NotYet(f"VTEX refuses start-handling while the order is in {order.status!r}") from None
    return To(ACK, "handled", "", {"status": "start-handling"})


@app.task(name="orders.ack", base=Tick)
def ack(link: Link) -> None:
    """Commit the handles of finished orders, ten a call, several calls at once when many wait.

    What is left makes one smaller lot, so that a busy store has hardly any calls that are not full.
    """
    if "vtex" in link.ledger.paused():
        return
    if link.settings.shadow:
        while acks := link.ledger.take_acks():
            link.ledger.settle_acks(acks)  # nothing is committed: the events come back, and are known then
        return
    lots = link.ledger.waiting_acks() // LARGEST_LOT
    for done in [link.io.submit(_commit_lots, link) for _ in range(min(lots, IO_THREADS))]:
        done.result()
    _commit_lot(link)


def _commit_lots(link: Link) -> None:
    while _commit_lot(link, whole=True):
        pass


def _commit_lot(link: Link, *, whole: bool = False) -> bool:
    """Whether there was one, and VTEX has it."""
    acks = link.ledger.take_acks(LARGEST_LOT, whole=whole)
    if not acks:
        return False
    try:
        _commit(link, acks)
    except errors.OrderLinkError as error:
        link.trouble(error)
        log.warning("commit_failed", why=str(error), account=link.account.name, handles=len(acks))
        link.ledger.return_acks(acks, COMMIT_AGAIN_SECONDS)
        return False
    link.ledger.settle_acks(acks)
    return True


def _commit(link: Link, acks: list[tuple[str, str]]) -> None:
    """Commit a lot. One handle that VTEX does not like must not hold back the others."""
    try:
        link.vtex.commit([handle for _, handle in acks])
    except errors.NotFound as gone:
        # no feed is configured, so its events are gone, too; poll raises the alarm
        log.warning("feed_gone", why=str(gone), account=link.account.name, handles=len(acks))
    except errors.Permanent as refused:
        if len(acks) == 1:
            # an old handle; if its event still lives it comes back with a new one and is committed then
            log.warning("handle_refused", why=str(refused), order_id=acks[0][0], account=link.account.name)
            return
        for one in acks:
            _commit(link, [one])
