"""All facts about one order that a test may ask for: ``/_sandbox/state/{orderId}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.sandbox.outbound import CancelRequest, Change, Package
    from workers.sandbox.store import Order
    from workers.sandbox.world import World


def dossier(world: World, order: Order) -> dict[str, Any]:
    """Write everything that is known of an order."""
    outbound = world.store.outbound(order)
    return {
        **world.audit.order(order),
        "value": world.store.facts(order).value,
        "invoices": [_invoice(package) for package in outbound.packages],
        "invoicedSum": outbound.invoiced,
        "refundedSum": outbound.refunded,
        "changes": [_change(change) for change in outbound.changes],
        "changesV1": [{"requestId": known, **answer} for known, answer in outbound.legacy],
        "cancellationRequests": [_request(request) for request in outbound.requests],
        "cancellation": outbound.cancellation,
        "log": outbound.log,
        "writes": world.watch.writes(order.order_id),
        "counted": world.watch.of_order(order.order_id),
    }


def _invoice(package: Package) -> dict[str, Any]:
    form = package.form
    return {
        "type": form.kind,
        "invoiceNumber": form.number,
        "invoiceValue": form.value,
        "issuanceDate": form.issued.isoformat(),
        "items": form.items,
        "receipts": package.receipts,
        "sent": package.sent,
        "visible": package.visible,
        "refunded": package.refunded,
        "tracking": {
            "courier": package.courier,
            "trackingNumber": package.tracking_number,
            "trackingUrl": package.tracking_url,
            "dispatchedDate": package.dispatched,
            "updates": package.updates,
            "events": package.events or [],
            "isDelivered": package.delivered,
            "deliveredDate": package.delivered_at,
        },
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "requestId": change.request_id,
        "status": change.status,
        "asked": change.asked,
        "valueBefore": change.before,
        "totalChangeValue": change.total,
        "canceledFor": change.canceled_for,
        "attempts": change.attempt,
        "body": change.body,
    }


def _request(request: CancelRequest) -> dict[str, Any]:
    return {
        "id": request.request_id,
        "reason": request.reason,
        "requestedByUser": request.by_user,
        "own": request.own,
        "at": request.at,
        "denied": request.denied,
    }
