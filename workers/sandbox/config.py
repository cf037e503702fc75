"""What a sandbox is told before it starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from workers.sandbox.faults import FaultPlan
from workers.vtex.states import DEFAULT_FEED_STATES

#: What a role may allow: the feed and the hook, their configuration, get-order, the list, start-handling,
#: invoices and tracking, cancellation, changes, and the order's log.
OPERATIONS = ("feed", "config", "view", "list", "workflow", "invoice", "cancel", "change", "log")


@dataclass(frozen=True)
class SandboxConfig:
    """Everything that shapes one run. Times are in seconds; the same configuration gives the same orders."""

    account: str = "teststore"
    app_key: str = "key"
    app_token: str = "token"  # noqa: S105 - a stand-in's password guards nothing
    seed: int = 1
    #: Orders to create: at once, or ``orders_per_second`` at a time.
    orders: int = 0
    orders_per_second: float = 0.0
    #: How long a call takes on average; half of it before the effect and half after.
    latency: float = 0.0
    faults: FaultPlan = field(default_factory=FaultPlan)
    visibility_timeout: float = 30.0
    #: The account's limit; 0 means none. ``retry_after`` is sent with a 429 only when it is set.
    requests_per_minute: int = 0
    retry_after: float | None = None
    #: How far the order list lags behind the truth.
    index_lag: float = 0.0
    #: The feed may answer with fewer events than it has, or none, as the queue behind VTEX's does.
    short_reads: bool = True
    feed_configured: bool = True
    feed_states: tuple[str, ...] = DEFAULT_FEED_STATES
    #: The share of changes that are told in the Marketplace domain as well as in Fulfillment.
    marketplace_events: float = 0.1
    #: From start-handling to handling.
    handling_delay: float = 0.05

    #: From the answer to an invoice until get-order shows it and tracking finds it.
    invoice_delay: float = 0.05
    #: From ``invoice`` to ``invoiced``.
    invoicing_delay: float = 0.05
    #: An issuance date without a time is accepted. VTEX's reference wants both, its older guide sends only a date.
    date_only_invoices: bool = True
    #: The same invoice number again: "receipt" accepts it and changes only the receipt; "refuse" answers 400.
    repeated_invoice: Literal["receipt", "refuse"] = "receipt"
    #: Invoices above the order's value: "accept"; "stick" accepts and leaves the order in ``invoice``; "refuse".
    over_invoicing: Literal["accept", "stick", "refuse"] = "accept"
    #: Where an order waits that is invoiced in part: "handling", or "payment-approved" as on a marketplace's side.
    partial_invoice_state: Literal["handling", "payment-approved"] = "handling"
    #: What a tracking update does with the events before: "replace" or "append". VTEX does not say.
    tracking_events: Literal["replace", "append"] = "replace"

    #: A cancel call on ready-for-handling: "request" only asks, as in handling; "cancel" cancels.
    cancel_when_ready: Literal["request", "cancel"] = "request"
    #: From ``cancel`` to ``canceled``.
    cancel_delay: float = 0.05
    #: The states go canceled, cancel, canceled, as VTEX's known problem has it.
    cancel_flutter: bool = False
    #: From ``canceled`` until the order's document has the reason.
    cancel_reason_delay: float = 0.0
    #: The answer's receipt: VTEX allows it to be null.
    cancel_receipt: bool = True
    #: The names in cancellationData: "pascal" as in VTEX's reference, "camel" as in its guide.
    cancel_names: Literal["pascal", "camel"] = "pascal"
    #: An invoiced order can be canceled after it was returned in full, as older pages of VTEX say.
    cancel_after_return: bool = False
    #: A second cancel call within so many seconds counts as an accident, unless it was announced.
    confirmation_window: float = 60.0
    #: Refusing one's own request leaves the order in cancellation-request-denied-ffm, a known problem of VTEX.
    own_denial_sticks: bool = False

    #: From a change to ``waiting-confirmation``, and from there to its end.
    change_acknowledge_delay: float = 0.02
    change_confirm_delay: float = 0.03
    #: The flag that tells whether a change goes on: VTEX's reference has the first, its help pages the second.
    change_flag: Literal["inProgress", "finished"] = "inProgress"
    #: Changes also pass ``preparing`` and ``canceling``, as VTEX's help pages show.
    change_more_states: bool = False
    #: The account's ``enableApi``; the settings call changes it.
    change_api: bool = True
    #: The old, synchronous change call works; since March 2026 it answers ``change_v1_gone``.
    change_v1: bool = False
    change_v1_gone: int = 410
    #: What adding to an order's log answers: VTEX's reference says 200, an older page 204.
    log_status: Literal[200, 204] = 200

    #: A delivery of the hook that takes longer has failed.
    hook_timeout: float = 5.0
    #: Until the first repetition; each next wait is ``hook_growth`` times as long, ``hook_longest_wait`` at most.
    hook_wait: float = 1.0
    hook_growth: float = 2.0
    hook_longest_wait: float = 3600.0
    #: VTEX gives up after so many failures.
    hook_tries: int = 100
    #: Without news for so long the hook's configuration is removed.
    hook_life: float = 259_200.0
    #: What the application key may not do, of ``OPERATIONS``.
    denied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strange = set(self.denied) - set(OPERATIONS)
        if strange:
            raise ValueError(
                f"not an operation: {', '.join(sorted(strange))}; they are {', '.join(OPERATIONS)}"
            )
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(self, name)!r} and not one of {get_args(kind)}")

    def as_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` takes; it survives JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SandboxConfig:
        """Build a configuration from JSON values; an unknown name is an error."""
        values = dict(values)
        for name in ("feed_states", "denied"):
            if name in values:
                values[name] = tuple(values[name])
        if isinstance(values.get("faults"), dict):
            values["faults"] = FaultPlan(**values["faults"])
        elif isinstance(values.get("faults"), str):
            values["faults"] = FaultPlan.parse(values["faults"])
        return cls(**values)
