"""What a sandbox is told before it starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from workers.sandbox.faults import FaultPlan
from workers.vtex.states import DEFAULT_FEED_STATES

#: What a role may allow: the feed, its configuration, get-order, the list, start-handling.
OPERATIONS = ("feed", "config", "view", "list", "workflow")


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
    feed_states: tuple[str, ...] = (*DEFAULT_FEED_STATES, "handling")
    #: The share of changes that are told in the Marketplace domain as well as in Fulfillment.
    marketplace_events: float = 0.1
    #: From start-handling to handling.
    handling_delay: float = 0.05
    #: What the application key may not do, of ``OPERATIONS``.
    denied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strange = set(self.denied) - set(OPERATIONS)
        if strange:
            raise ValueError(
                f"not an operation: {', '.join(sorted(strange))}; they are {', '.join(OPERATIONS)}"
            )

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
