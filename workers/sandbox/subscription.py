"""The configuration of the feed: which changes reach the queue, and for how long they stay."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

RETENTION_RANGE = (345_600, 1_209_600)
_STATES_IN_EXPRESSION = re.compile(r"""status\s*=\s*["']([^"']+)["']""")


class MixedFilterError(ValueError):
    """Fields of both filter types in one filter: VTEX answers 409."""


@dataclass(frozen=True)
class Subscription:
    """One application key's feed. States are taken as they come: VTEX does not check them either."""

    filter: dict[str, Any]
    visibility: float
    retention: float
    _states: frozenset[str] | None = field(default=None, repr=False)

    @classmethod
    def of_states(cls, states: tuple[str, ...], visibility: float) -> Subscription:
        """Build the plain kind: these states of the workflow."""
        return cls(
            {"type": "FromWorkflow", "status": list(states)},
            visibility,
            RETENTION_RANGE[0],
            frozenset(states),
        )

    @classmethod
    def from_request(cls, body: Any) -> Subscription:
        """Read what the configuration call sends; ValueError says what is wrong with it.

        Of a FromOrders expression only comparisons of ``status`` with a text are understood; any may match.
        """
        if not isinstance(body, dict) or not isinstance(body.get("queue"), dict):
            raise ValueError("The queue field is required")  # noqa: TRY004 - one error for a bad body
        queue = body["queue"]
        visibility = queue.get("visibilityTimeoutInSeconds")
        retention = queue.get("MessageRetentionPeriodInSeconds", queue.get("messageRetentionPeriodInSeconds"))
        for value, name in (
            (visibility, "visibilityTimeoutInSeconds"),
            (retention, "MessageRetentionPeriodInSeconds"),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"The {name} field must be an integer")
        if not RETENTION_RANGE[0] <= retention <= RETENTION_RANGE[1]:
            raise ValueError(
                "MessageRetentionPeriodInSeconds must be between {} and {}".format(*RETENTION_RANGE)
            )
        wanted = body.get("filter")
        if wanted is None:
            return cls({"type": "FromWorkflow"}, visibility, retention)
        return cls(wanted, visibility, retention, states_of(wanted))

    def wants(self, state: str | None) -> bool:
        """Say whether a change to this state is told; no state (an incomplete order) always is."""
        return state is None or self._states is None or state in self._states

    def as_answer(self) -> dict[str, Any]:
        """Return the parts of the configuration that reading it shows."""
        return {
            "filter": self.filter,
            "queue": {
                # VTEX stores whole seconds; a test's shorter visibility is shown as it is.
                "visibilityTimeoutInSeconds": _whole(self.visibility),
                "MessageRetentionPeriodInSeconds": _whole(self.retention),
            },
        }


def states_of(wanted: Any) -> frozenset[str]:
    """Return the states that a filter names; ValueError says what is wrong with it."""
    if not isinstance(wanted, dict) or wanted.get("type") not in ("FromWorkflow", "FromOrders"):
        raise ValueError("The filter type must be FromWorkflow or FromOrders")
    other = ("expression", "disableSingleFire") if wanted["type"] == "FromWorkflow" else ("status",)
    if any(wanted.get(name) for name in other):
        raise MixedFilterError(f"A {wanted['type']} filter takes no {other[0]}")
    if wanted["type"] == "FromOrders":
        return frozenset(_STATES_IN_EXPRESSION.findall(str(wanted.get("expression"))))
    return frozenset(map(str, wanted.get("status") or ()))


def _whole(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds
