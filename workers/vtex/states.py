"""VTEX's order states, by what they mean for the link to an ERP.

Source: VTEX's order flow and status page, and the status list of the feed configuration reference.
"""

from __future__ import annotations

from typing import Literal

READY_FOR_HANDLING = "ready-for-handling"

#: The order is being prepared, or is further on: start-handling has happened.
IN_HANDLING = frozenset(
    {
        "start-handling",
        "handling",
        "waiting-for-fulfillment",
        "ready-for-invoicing",
        "ready-for-invoice",
        "invoice",
        "invoiced",
        "invoice-after-cancellation-deny",
    }
)

#: Somebody asked for a cancellation and somebody else may still refuse it.
CANCELLATION_REQUESTED = frozenset({"cancellation-requested", "request-cancel"})

#: There is no way back. VTEX may show ``canceled``, ``cancel``, ``canceled`` in a row: both are the end.
CANCELED = frozenset({"cancel", "canceled"})

#: Before ready-for-handling: a later event will tell.
TOO_EARLY = frozenset(
    {
        "order-created",
        "order-completed",
        "on-order-completed",
        "on-order-completed-ffm",
        "order-accepted",
        "payment-pending",
        "approve-payment",
        "payment-approved",
        "waiting-for-order-authorization",
        "waiting-for-seller-decision",
        "waiting-for-sellers-confirmation",
        "waiting-ffmt-authorization",
        "waiting-for-authorization",
        "waiting-for-manual-authorization",
        "waiting-for-mkt-authorization",
        "waiting-seller-handling",
        "authorize-fulfillment",
        "window-to-cancel",
        "window-to-change-seller",
        "window-to-change-payment",
    }
)

#: Where VTEX itself moves an order on, and where its known problems leave one: seconds after which it stands still.
STANDS_STILL = {
    "start-handling": 3600,
    "invoice": 4 * 3600,
    "cancel": 3600,
    "request-cancel": 24 * 3600,
}

#: An order that the ERP has may be in these until it ends.
UNDER_WAY = ("handling", "cancellation-requested", *STANDS_STILL)

#: Known, and nothing for us to do.
OTHER = frozenset(
    {
        "order-create-error",
        "order-creation-error",
        "replaced",
        "cancellation-request-denied-ffm",
        "shipping-notification",
    }
)

KNOWN = frozenset({READY_FOR_HANDLING}) | IN_HANDLING | CANCELLATION_REQUESTED | CANCELED | TOO_EARLY | OTHER


def bearing(state: str | None) -> Literal["goes on", "cancels", ""]:
    """Which of the two a state says of an order that is for an ERP; nothing when it says neither."""
    if state in CANCELED or state in CANCELLATION_REQUESTED:
        return "cancels"
    return "goes on" if state == READY_FOR_HANDLING or state in IN_HANDLING else ""


#: What a new feed configuration asks for, unless FEED_STATES says otherwise.
#: ``handling`` and ``invoice-after-cancellation-deny`` are where an order goes when its cancellation was denied.
DEFAULT_FEED_STATES = (
    READY_FOR_HANDLING,
    "handling",
    "cancellation-requested",
    "request-cancel",
    "invoice-after-cancellation-deny",
    "cancel",
    "canceled",
)

#: The strings that VTEX's reference lists for a filter. It accepts any other without a word, and never fires it.
FEED_FILTER_STATES = frozenset(
    {
        "order-created",
        "on-order-completed",
        "on-order-completed-ffm",
        "payment-pending",
        "waiting-for-order-authorization",
        "approve-payment",
        "payment-approved",
        "request-cancel",
        "waiting-for-seller-decision",
        "waiting-ffmt-authorization",
        "waiting-for-authorization",
        "waiting-for-manual-authorization",
        "authorize-fulfillment",
        "order-create-error",
        "order-creation-error",
        "window-to-cancel",
        "window-to-change-seller",
        "waiting-for-mkt-authorization",
        "waiting-seller-handling",
        READY_FOR_HANDLING,
        "start-handling",
        "handling",
        "invoice-after-cancellation-deny",
        "order-accepted",
        "invoice",
        "invoiced",
        "replaced",
        "cancellation-requested",
        "cancel",
        "canceled",
    }
)
