"""What was done to an order from outside: invoices, tracking, cancellation, changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workers.sandbox.clock import stamp
from workers.sandbox.orders import guid, identifier

if TYPE_CHECKING:
    from workers.sandbox.clock import Clock
    from workers.sandbox.invoice_form import Form


@dataclass(slots=True)
class Package:
    """An invoice that was accepted, and the tracking of what it bills."""

    form: Form
    receipts: list[str]
    sent: float
    #: What the tracking calls may replace.
    courier: str | None
    tracking_number: str | None
    tracking_url: str | None
    dispatched: str | None
    #: Get-order shows it, and tracking finds it.
    visible: bool = False
    refunded: bool = False
    #: What the tracking updates said; None before the first.
    events: list[dict[str, Any]] | None = None
    delivered: bool = False
    delivered_at: str | None = None
    updates: int = 0


@dataclass(slots=True)
class CancelRequest:
    """Somebody's wish to cancel; ``own`` when it came through the cancel call and not from the shopper."""

    request_id: str
    reason: str | None
    by_user: bool
    at: float
    own: bool
    #: The state that a refusal leads back to.
    before: str | None
    denied: str | None = None
    denied_at: float | None = None


@dataclass(slots=True)
class Change:
    """A change of the asynchronous kind, on its way or at its end."""

    request_id: str
    workflow_id: str
    body: dict[str, Any]
    status: str
    asked: float
    before: int
    logs: list[dict[str, Any]] = field(default_factory=list)
    canceled_for: str | None = None
    #: What the order's value changes by, and how the change's own total is written.
    total: int = 0
    #: A newer attempt makes planned steps of the older one void.
    attempt: int = 0

    @property
    def running(self) -> bool:
        """Say whether it may still have an effect."""
        return self.status not in ("done", "canceled")


@dataclass(slots=True)
class Outbound:
    """Everything of one order, the oldest first."""

    packages: list[Package] = field(default_factory=list)
    requests: list[CancelRequest] = field(default_factory=list)
    cancellation: dict[str, Any] | None = None
    changes: list[Change] = field(default_factory=list)
    #: Changes of the old, synchronous kind: their requestId (or none) and their receipt.
    legacy: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)
    legacy_contents: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    confirmation_expected: bool = False

    @property
    def invoiced(self) -> int:
        """Return the sum of the invoices for the goods."""
        return sum(package.form.value for package in self.packages if package.form.kind == "Output")

    @property
    def refunded(self) -> int:
        """Return the sum of what was given back."""
        return sum(package.form.value for package in self.packages if package.refunded)

    @property
    def running_change(self) -> Change | None:
        """Return the change that is on its way; there is one at most."""
        return next((change for change in self.changes if change.running), None)

    def package(self, number: str) -> Package | None:
        """Return the invoice of a number."""
        return next((package for package in self.packages if package.form.number == number), None)


class Receipts:
    """Hands out receipts and ids; none comes twice."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._count = 0

    def answer(self, order_id: str) -> dict[str, Any]:
        """Write the answer of a call that was accepted."""
        self._count += 1
        receipt = identifier("receipt", self._seed, self._count).lower()
        return {"date": stamp(self._clock(), "+00:00"), "orderId": order_id, "receipt": receipt}

    def guid(self, kind: str) -> str:
        """Return a new id."""
        self._count += 1
        return guid(kind, self._seed, self._count)
