"""Requests as an ERP would send them, for the OpenAPI document and the page."""

from __future__ import annotations

INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-01-31T18:25:43-03:00",
    "invoiceNumber": "9999",
    "invoiceValue": "9508",
    "items": [{"id": "1234", "price": 9508, "quantity": 1}],
}
TRACKING = {
    "trackingNumber": "BR123456789",
    "courier": "Correios",
    "isDelivered": False,
    "events": [{"city": "Niterói", "state": "RJ", "description": "Saiu para entrega", "date": "2026-02-01"}],
}
CANCELLATION = {"reason": "sem estoque"}
CHANGE = {
    "reason": "Promotion by phone.",
    "discountValue": 1000,
    "incrementValue": 0,
    "itemsRemoved": [{"id": "1234", "price": 600, "quantity": 1}],
    "itemsAdded": [{"id": "1235", "price": 200, "quantity": 1}],
}
