"""The packages of an order as get-order shows them: invoices with their tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.clock import stamp

if TYPE_CHECKING:
    from workers.sandbox.orders import Line
    from workers.sandbox.outbound import Package


def packages(sent: list[Package], lines: list[Line]) -> list[dict[str, Any]]:
    """Write what has propagated, the oldest first."""
    return [_package(package, lines) for package in sent if package.visible]


def _package(package: Package, lines: list[Line]) -> dict[str, Any]:
    form = package.form
    written: dict[str, Any] = {
        "items": _items(package, lines),
        "courier": package.courier,
        "invoiceNumber": form.number,
        "invoiceValue": form.value,
        "invoiceUrl": form.optional["invoiceUrl"],
        "issuanceDate": stamp(form.issued.timestamp(), "+00:00"),
        "trackingNumber": package.tracking_number,
        "invoiceKey": form.optional["invoiceKey"],
        "trackingUrl": package.tracking_url,
        "embeddedInvoice": form.optional["embeddedInvoice"] or "",
        "type": form.kind,
        "courierStatus": _courier_status(package),
        "cfop": None,
        "volumes": 1,
        "EnableInferItems": None,
    }
    if package.refunded:
        written["restitutions"] = {"Refund": _refund(package)}
    return written


def _items(package: Package, lines: list[Line]) -> list[dict[str, Any]]:
    """Tell lines by their place; what is not in the order is left out, as VTEX cannot place it either."""
    places = {line.sku: number for number, line in reversed(list(enumerate(lines)))}
    return [
        {
            "itemIndex": places[item["id"]],
            "quantity": item["quantity"],
            "price": item["price"],
            "description": item["description"],
            "unitMultiplier": 1.0,
        }
        for item in package.form.items
        if item["id"] in places
    ]


def _courier_status(package: Package) -> dict[str, Any] | None:
    if package.events is None:
        return None
    status: dict[str, Any] = {
        "status": None,
        "finished": package.delivered,
        "data": [
            {
                "lastChange": event["date"],
                "city": event["city"],
                "state": event["state"],
                "description": event["description"],
                "createDate": event["date"],
            }
            for event in package.events
        ],
    }
    if package.delivered_at is not None:
        status["deliveredDate"] = package.delivered_at
    return status


def _refund(package: Package) -> dict[str, Any]:
    return {
        "value": package.form.value,
        "giftCardData": None,
        "items": [
            {
                "useFreight": False,
                "isCompensation": False,
                "compensationValue": 0,
                "id": item["id"],
                "quantity": item["quantity"],
                "price": item["price"],
                "description": item["description"] or "",
            }
            for item in package.form.items
        ],
    }
