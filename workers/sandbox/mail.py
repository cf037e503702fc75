"""The mails that a store sends about an order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from workers.sandbox.clock import stamp
from workers.sandbox.orders import identifier

if TYPE_CHECKING:
    from workers.sandbox.orders import Facts
    from workers.sandbox.store import Order


def messages(account: str, order: Order, known: Facts) -> list[dict[str, Any]]:
    """Write what was sent: that the payment was approved, and that the order was invoiced."""
    moments = [
        (order.authorized, "Seu pagamento foi aprovado."),
        (order.invoiced, "Seu pedido foi faturado."),
    ]
    return [
        _message(account, order, known, moment, subject) for moment, subject in moments if moment is not None
    ]


def _message(account: str, order: Order, known: Facts, moment: float, subject: str) -> dict[str, Any]:
    name = f"{known.first_name} {known.last_name}"
    number = identifier("mail", order.order_id, subject).lower()
    return {
        "id": f"{time.strftime('%Y-%m-%dt%H-%M-%S', time.gmtime(moment))}_{number}",
        "from": _person(order, f"noreply@{account}.example", "no reply", None),
        "to": [_person(order, "comprador@ct.vtex.com.br", name, "Customer")],
        "subject": subject,
        "firstWords": f"Olá, {known.first_name}. {subject}",
        "body": f"<html><body>Olá, {known.first_name}. {subject}</body></html>",
        "hasAttachment": False,
        "attachmentNames": [],
        "date": stamp(moment, "+00:00"),
    }


def _person(order: Order, address: str, name: str, role: str | None) -> dict[str, Any]:
    return {
        "conversationRelatedTo": order.order_id,
        "conversationSubject": "oms",
        "emailAlias": address,
        "aliasMaskType": 0,
        "email": address,
        "name": name,
        "role": role,
    }
