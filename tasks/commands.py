"""What an ERP asks for: invoice, tracking, cancel, change.

Each looks at VTEX before it writes there, the first time too: our own record may have been lost, or a person may
have done it by hand. A write whose answer was lost is looked for, and only sent again once its absence is certain.
"""

from __future__ import annotations

from typing import Any

from tasks import decisions
from tasks.command import Command, CommandWork, Done, Later, Outcome, Refused
from workers import errors, intake
from workers.app import app
from workers.command_ledger import DEAD, DONE, REFUSED, CommandRecord
from workers.net.words import clean
from workers.vtex import states, timeline
from workers.vtex.change import Change
from workers.vtex.details import OrderDetails
from workers.vtex.invoice import Invoice
from workers.vtex.payloads import Cancel
from workers.vtex.tracking import Tracking

#: (number, Output or Input, cents) of an order's invoices; None where VTEX does not show it.
Known = list[tuple[str | None, str, int | None]]

#: In these states VTEX takes an invoice; before them the invoice waits.
_INVOICEABLE = states.IN_HANDLING - {"start-handling"}
#: So often a tracking is sent again that VTEX answers with 404, although it shows the invoice.
_LATE_INVOICE_LOOKS = 6
#: In these states VTEX takes an order change.
_CHANGEABLE = frozenset({"handling", "waiting-for-fulfillment", "ready-for-invoicing", "ready-for-invoice"})
#: What became of an invoice for which a tracking would wait in vain.
_ENDED = {REFUSED: "refused", DEAD: "given up"}


@app.task(name="orders.invoice", base=Command, kind="invoice")
def invoice(work: CommandWork) -> Outcome:
    """Send an invoice (Output), or a return (Input), which moves money back."""
    wanted: Invoice = work.wanted
    # asked before the order is read: a change that ends in between has made its value another one
    changing = work.running_change()
    order = work.order()
    details = order.details()
    known = work.invoices(details)
    for number, kind, value in known:
        if number == wanted.number and kind == wanted.type and value in (wanted.value, None):
            return _invoiced(wanted, details, known, None)
        if number == wanted.number:
            return Refused(
                f"the order has an invoice {number} with another content ({kind}, {value} cents): "
                "VTEX does not correct an invoice, so send a new one under its own number"
            )
    if refusal := _no_invoice_now(wanted, order.status, known):
        return refusal
    refusal = _not_of_that_value(wanted, details, known)
    if not refusal and (wait := work.absence_unsure(patient=wanted.moves_money_back)):
        return wait
    if changing:  # the order's value may be another one in the end
        return Later.wait("a change of the order is in progress: the invoice goes out when it has ended")
    if refusal:
        return refusal
    work.mark_sent()
    try:
        receipt = work.vtex.send_invoice(work.order_id, wanted.body())
    except errors.Rejected:
        # it may be refused because VTEX has it, and did not show it when we looked
        refreshed = work.order().details()
        if not {wanted.value, None} & {one.value for one in refreshed.invoices(wanted.number, wanted.type)}:
            raise
        return _invoiced(wanted, refreshed, work.invoices(refreshed), None)
    return _invoiced(wanted, details, known, receipt.receipt)


def _no_invoice_now(wanted: Invoice, status: str | None, known: Known) -> Refused | Later | None:
    """Why the order takes no invoice, or not yet; None when it may."""
    if status in states.CANCELED:
        return Refused("the order is canceled: VTEX takes no invoice for it")
    if status in states.CANCELLATION_REQUESTED and not wanted.force:
        return Refused(
            "a cancellation of the order is requested: an invoice would revive the order. "
            'Decide first: cancel it (with confirm), or send the invoice with "force": true'
        )
    # where VTEX may put an order that is invoiced in part
    partly = status == "payment-approved" and _sum(known, "Output")
    if status not in _INVOICEABLE | states.CANCELLATION_REQUESTED and not partly:
        return Later.wait(f"the order is in {status}, and VTEX takes an invoice once it is in handling")
    return None


def _not_of_that_value(wanted: Invoice, details: OrderDetails, known: Known) -> Refused | None:
    """Why the invoice is not one that the order can have; None when it is."""
    sold = _sum(known, "Output")
    if wanted.type == "Output":
        remaining = (details.value or 0) - sold
        if details.value is not None and sold and remaining <= 0:
            return Refused(
                f"the order is invoiced in full already ({sold} of {details.value} cents): VTEX takes no more invoices "
                "of it. If an earlier one was wrong, send a return"
            )
        if details.value is not None and wanted.value > remaining:
            return Refused(
                f"the invoice of {wanted.value} cents is more than remains to be invoiced "
                f"({remaining} of {details.value} cents)"
            )
        return None
    if details.value is not None and sold < details.value:
        return Refused(
            f"a return before the whole order is invoiced ({sold} of {details.value} cents) refunds nothing at VTEX"
        )
    returned = _sum(known, "Input")
    if returned + wanted.value > sold:
        return Refused(
            f"a return of {wanted.value} cents is more than is left of the invoices ({sold - returned} cents)"
        )
    return None


def _sum(known: Known, kind: str) -> int:
    return sum(value or 0 for _, type_, value in known if type_ == kind)


def _invoiced(wanted: Invoice, details: OrderDetails, known: Known, receipt: str | None) -> Done:
    new = 0 if wanted.number in {number for number, _, _ in known} else wanted.value
    total = _sum(known, wanted.type) + new
    remaining = (details.value or 0) - total if wanted.type == "Output" else None
    outcome = {
        "receipt": receipt,
        "invoiceNumber": wanted.number,
        "type": wanted.type,
        "invoiceValue": wanted.value,
        "invoiced": total,
        "remaining": remaining,
    }
    if wanted.type == "Input":
        return Done(outcome, f"VTEX has the return {wanted.number}")
    if remaining:
        return Done(outcome, f"VTEX has invoice {wanted.number}; {remaining} cents of the order remain")
    return Done(outcome, f"VTEX has invoice {wanted.number}; the order is invoiced in full")


@app.task(name="orders.tracking", base=Command, kind="tracking")
def tracking(work: CommandWork) -> Outcome:
    """Send a tracking number, tracking events, or both, for one invoice."""
    wanted: Tracking = work.wanted
    order = work.order()
    details = order.details()
    if order.status in states.CANCELED and not details.packages:
        return Refused("the order is canceled, and has no invoice that could be tracked")
    number = wanted.invoice_number or _only_invoice(work.invoices(details))
    if isinstance(number, Refused):
        return number
    package = next(iter(details.invoices(number)), None) if number else None
    if package is None or number is None:
        return _no_invoice_yet(work, number)
    label, events = wanted.number_body(), wanted.events_body()
    if label:
        label["courier"] = label["courier"] or package.courier or ""
        label["trackingUrl"] = label["trackingUrl"] or package.tracking_url or ""
    if events and not label and not package.tracking_number:
        return Later.wait(f"invoice {number} has no tracking number yet, and VTEX takes events only after it")
    try:
        if label:
            work.mark_sent()
            work.vtex.update_invoice(work.order_id, number, label)
        if events:
            events = timeline.whole(package, _sent_before(work, number), events)
            work.mark_sent()
            work.vtex.update_tracking(work.order_id, number, events)
    except errors.NotFound:
        # VTEX shows the invoice, and it has not arrived everywhere at VTEX yet
        turn = work.memo["not_found"] = work.memo.get("not_found", 0) + 1
        if turn > _LATE_INVOICE_LOOKS:
            raise
        work.mark_known()
        return Later.wait(f"VTEX does not take tracking of invoice {number} yet")
    said = " and ".join(name for name, part in (("number", label), ("events", events)) if part)
    delivered = bool(events and events.get("isDelivered"))
    return Done(
        {"invoiceNumber": number, "delivered": delivered}, f"VTEX has the tracking {said} of invoice {number}"
    )


def _sent_before(work: CommandWork, number: str) -> list[dict[str, Any]]:
    """What earlier commands told VTEX of this parcel, the oldest first: VTEX may not show it yet."""
    sent = []
    for record in work.others():
        if record.kind != "tracking" or record.state != DONE or record.outcome.get("invoiceNumber") != number:
            continue
        try:
            one = intake.check("tracking", record.order_id, record.payload, zone=work.link.settings.timezone)
        except errors.Invalid:
            continue  # its content was erased
        if progress := one.events_body():
            sent.append(progress)
    return sent


@app.task(name="orders.cancel", base=Command, kind="cancel")
def cancel(work: CommandWork) -> Outcome:
    """Ask for a cancellation, and follow it until the order is canceled."""
    wanted: Cancel = work.wanted
    order = work.order()
    status, details = order.status, order.details()
    if status in states.CANCELED:
        return Done({"status": status}, "the order is canceled")
    requested = status in states.CANCELLATION_REQUESTED
    if requested and decisions.is_ours(work, wanted, details):
        work.memo.pop("elsewhere_since", None)
        work.mark_known(requested=True)
        return work.follow("the cancellation is requested, and not decided yet", "pass")
    if requested and not wanted.confirm:
        return Refused(
            "a cancellation is requested already and waits for a decision; "
            "a second request would confirm it: send it with confirm if that is meant"
        )
    if not requested and decisions.vtex_has_it(work):
        return decisions.neither_requested_nor_canceled(work, status, details)
    if refusal := _no_cancellation(status, work.invoices(details)):
        return refusal
    if wait := work.absence_unsure():
        return wait
    work.mark_sent(confirming=requested, state=status, denials=details.denials)
    work.vtex.cancel(work.order_id, reason=wanted.reason, requested_by_user=wanted.requested_by_user)
    work.mark_known(taken=True)
    return work.follow("VTEX took the cancellation; the order is not canceled yet", "pass")


def _no_cancellation(status: str | None, known: Known) -> Refused | Later | None:
    if known or status in {"invoice", "invoiced"}:
        numbers = ", ".join(number or "without number" for number, _, _ in known) or "in progress"
        return Refused(
            f"the order has an invoice ({numbers}), and VTEX cancels no invoiced order: send a return instead"
        )
    if status is None:
        return Refused("the order is incomplete at VTEX, and cannot be canceled")
    if status in {"start-handling", "order-created"}:
        return Later.wait(f"the order is in {status}, where VTEX takes no cancellation")
    return None


@app.task(name="orders.change", base=Command, kind="change")
def change(work: CommandWork) -> Outcome:
    """Change an order's items or value, and follow the change until it is done or canceled."""
    wanted: Change = work.wanted
    if request := work.memo.get("request"):
        return decisions.follow_change(work, request)
    legacy = work.legacy_changes
    history = [] if legacy else work.changes()
    if not legacy and (request := decisions.made_already(work, wanted, history)):
        work.memo["request"] = request
        return decisions.follow_change(work, request)
    order = work.order()
    if refusal := _no_change(order.status, work.invoices(order.details())):
        return refusal
    if legacy:
        body = wanted.legacy(work.claim.id)  # an id with which VTEX makes it once, however often it is sent
        work.mark_sent()
        receipt = work.vtex.legacy_change(work.order_id, body)
        return Done({"receipt": receipt.receipt}, "VTEX has changed the order")
    if wait := work.absence_unsure():
        return wait
    if work.running_change(history):
        return Later.wait("another change of the order is in progress")
    work.mark_sent(before=[one.request_id for one in history])
    work.memo["request"] = work.vtex.change(work.order_id, wanted.modifications()).request_id
    return work.follow("VTEX took the change, and works on it")


def _no_change(status: str | None, known: Known) -> Refused | Later | None:
    if status in states.CANCELED:
        return Refused("the order is canceled, and cannot be changed")
    if status in states.CANCELLATION_REQUESTED:
        return Refused("a cancellation of the order is requested: decide on it first")
    if status in {"invoice", "invoiced"}:
        return Refused("the order is invoiced in full, and cannot be changed any more")
    if status == "payment-approved" and known:
        return Refused("the order is invoiced in part, and VTEX takes no change of it in payment-approved")
    if status not in _CHANGEABLE:
        return Later.wait(f"the order is in {status}, and VTEX takes changes once it is in handling")
    return None


def _only_invoice(known: Known) -> str | Refused | None:
    """The number that a tracking without one means; None if the order has no invoice yet."""
    numbers = [number for number, kind, _ in known if number and kind == "Output"]
    if len(numbers) > 1:
        return Refused(
            f"the order has {len(numbers)} invoices ({', '.join(numbers)}): name one with invoiceNumber"
        )
    return numbers[0] if numbers else None


def _no_invoice_yet(work: CommandWork, number: str | None) -> Refused | Later:
    """Tracking waits for its invoice, from wherever it comes; not for one that was asked of us and has failed."""
    asked = [one for one in work.others() if one.kind == "invoice"]
    sales = [one for one in asked if one.payload.get("type") != "Input"]
    own = [one for one in sales if number in (None, _number_of(one))]
    if own and all(one.state in (REFUSED, DEAD) for one in own):
        last = own[-1]
        invoice = f"invoice {number}" if number else "the order's invoice"
        why = clean(last.outcome.get("why") or "no reason was kept", (), 300)
        return Refused(
            f"{invoice} was asked for in command {last.id}, which was {_ENDED[last.state]} ({why}): "
            "get the invoice to VTEX first, then send the tracking once more under a new key"
        )
    return Later.wait(
        f"invoice {number} is not at VTEX yet" if number else "the order has no invoice at VTEX yet"
    )


def _number_of(asked: CommandRecord) -> str | None:
    """The number of an invoice that was asked for; of one that is done its outcome tells."""
    given = asked.outcome.get("invoiceNumber") or asked.payload.get("invoiceNumber")
    return str(given).strip() if given is not None else None
