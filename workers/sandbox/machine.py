"""The way of an order through VTEX's states, as far as an ERP can see it.

Source: VTEX's order flow and status page.
"""

from __future__ import annotations

from workers.vtex.states import CANCELLATION_REQUESTED, TOO_EARLY

#: What comes next by itself. From ready-for-handling on, only start-handling moves an order.
NEXT = {
    "order-created": "on-order-completed",
    "on-order-completed": "payment-pending",
    "payment-pending": "approve-payment",
    "approve-payment": "payment-approved",
    "payment-approved": "authorize-fulfillment",
    "authorize-fulfillment": "window-to-cancel",
    "window-to-cancel": "ready-for-handling",
    "start-handling": "handling",
    "cancel": "canceled",
}

#: What an order that is created in a state was before.
BEFORE = {after: before for before, after in NEXT.items()} | {
    "start-handling": "ready-for-handling",
    "cancellation-requested": "ready-for-handling",
    "request-cancel": "ready-for-handling",
    "cancel": "ready-for-handling",
    "invoice": "handling",
    "invoiced": "invoice",
}

#: States in which the payment is settled.
AUTHORIZED = frozenset(
    {
        "payment-approved",
        "authorize-fulfillment",
        "window-to-cancel",
        "ready-for-handling",
        "start-handling",
        "handling",
        "invoice",
        "invoiced",
    }
)

ALLOWS_CANCELLATION = frozenset(
    {"payment-pending", "payment-approved", "window-to-cancel", "ready-for-handling", "handling"}
)
ALLOWS_CHANGES = frozenset({"handling", "waiting-for-fulfillment", "ready-for-invoicing"})

#: The order waits for its invoice.
PREPARED = ALLOWS_CHANGES | {"ready-for-invoice", "invoice-after-cancellation-deny"}
#: VTEX is at work, and nobody may cancel or change.
AUTOMATIC = frozenset({"order-created", "start-handling", "invoice", "cancel"})
#: A cancel call cancels: nobody else has to agree.
CANCELS_AT_ONCE = TOO_EARLY - AUTOMATIC
#: A cancel call only asks, and a second one confirms.
CANCELS_IN_TWO_STEPS = PREPARED | {"ready-for-handling"}
#: An invoice is accepted; on a cancellation request it means that the order goes on.
ALLOWS_INVOICES = PREPARED | CANCELLATION_REQUESTED | {"invoice", "invoiced"}

#: The text that VTEX shows for a state; it is obsolete there and may be empty.
DESCRIPTIONS = {
    "payment-pending": "Pagamento Pendente",
    "payment-approved": "Pagamento Aprovado",
    "window-to-cancel": "Carência para Cancelamento",
    "ready-for-handling": "Pronto para o Manuseio",
    "start-handling": "Iniciar Manuseio",
    "handling": "Preparando Entrega",
    "invoice": "Verificando Fatura",
    "invoiced": "Faturado",
    "cancel": "Cancelar",
    "canceled": "Cancelado",
    "cancellation-requested": "Cancelamento Solicitado",
    "request-cancel": "Solicitar Cancelamento",
}
