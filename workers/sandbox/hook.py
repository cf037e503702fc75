"""The hook: its configuration, and the deliveries that wait, repeat and are given up. No sockets here.

Source: VTEX's guide to the order feed and hook.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from workers.sandbox.refused import Refused, object_of
from workers.sandbox.subscription import MixedFilterError, states_of

if TYPE_CHECKING:
    from workers.sandbox.clock import Clock
    from workers.sandbox.config import SandboxConfig
    from workers.sandbox.feed import Event

PING = {"hookConfig": "ping"}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LIFE = 345_600.0  # of an event: 4 days


@dataclass(frozen=True)
class Target:
    """Where events go, which, and with what headers."""

    filter: dict[str, Any]
    url: str
    headers: dict[str, str]
    states: frozenset[str]

    @classmethod
    def from_request(cls, raw: Any) -> Target:
        """Read what the configuration call sends; Refused says what is wrong with it."""
        body = object_of(raw)
        hook, wanted = object_of(body.get("hook")), object_of(body.get("filter"))
        headers, url = hook.get("headers"), hook.get("url")
        if not isinstance(url, str) or not isinstance(headers, dict):
            raise Refused(400, "The hook needs a url and headers")
        if not all(isinstance(value, str) for value in headers.values()):
            raise Refused(400, "The values of the headers must be texts")
        try:
            address = urlsplit(url)
            states = states_of(wanted)
        except MixedFilterError as error:
            raise Refused(409, str(error)) from None
        except ValueError as error:
            raise Refused(400, str(error)) from None
        # VTEX takes no http at all; a receiver on this machine is what tests have.
        if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
            raise Refused(400, "The URL must be https")
        if wanted["type"] == "FromWorkflow" and not states:
            raise Refused(400, "A FromWorkflow filter needs a status")
        if wanted["type"] == "FromOrders" and not (
            wanted.get("expression") and isinstance(wanted.get("disableSingleFire"), bool)
        ):
            raise Refused(400, "A FromOrders filter needs expression and disableSingleFire")
        return cls(wanted, url, headers, states)

    def as_answer(self) -> dict[str, Any]:
        """Return what reading the configuration shows."""
        return {"filter": self.filter, "hook": {"url": self.url, "headers": self.headers}}


@dataclass(slots=True)
class Delivery:
    """An event on its way."""

    event: Event
    created: float
    tries: int = 0


class Hook:
    """One application key's hook. ``take_due`` gives what must be posted now; ``settle`` hears how it went."""

    def __init__(self, clock: Clock, config: SandboxConfig) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._config = config
        self._target: Target | None = None
        self._last = clock()
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._number = 0

    @property
    def target(self) -> Target | None:
        """Return the configuration; VTEX removes it when there was no news for some days."""
        if self._target is not None and self._clock() - self._last > self._config.hook_life:
            self._target = None
        return self._target

    @target.setter
    def target(self, target: Target | None) -> None:
        self._target = target
        self._last = self._clock()
        if target is None:
            self._waiting.clear()

    def __len__(self) -> int:
        """Count what waits for a delivery or a repetition."""
        return len(self._waiting)

    def tell(self, event: Event, copies: int = 1, late: float = 0.0) -> None:
        """Take an event, if the configuration wants it; it is due in ``late`` seconds."""
        target = self.target
        if target is None or (event.state is not None and event.state not in target.states):
            return
        self._last = self._clock()
        for _ in range(copies):
            self.counts["created"] += 1
            self._put(late, Delivery(event, self._clock()))

    def take_due(self) -> list[Delivery]:
        """Return what must be posted now."""
        now, due = self._clock(), []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        return due

    def settle(self, delivery: Delivery, *, taken: bool) -> None:
        """Note how a delivery went; one that failed comes back later, or no more."""
        delivery.tries += 1
        if taken:
            self.counts["delivered"] += 1
            return
        self.counts["failed"] += 1
        spent = self._clock() - delivery.created > _LIFE
        if delivery.tries >= self._config.hook_tries or spent or self._target is None:
            self.counts["dropped"] += 1
            return
        config = self._config
        # Capped before the power could overflow.
        growth = min(config.hook_growth ** min(delivery.tries - 1, 64), config.hook_longest_wait)
        self._put(min(config.hook_wait * growth, config.hook_longest_wait), delivery)

    def body(self, event: Event) -> dict[str, Any]:
        """Write an event as VTEX sends it; unlike the feed's, it has no id."""
        return {
            "Domain": event.domain,
            "OrderId": event.order_id,
            "State": event.state,
            "LastState": event.last_state,
            "LastChange": event.last_change,
            "CurrentChange": event.current_change,
            "Origin": {"Account": self._config.account, "Key": self._config.app_key},
        }

    def report(self) -> dict[str, int]:
        """Return the counts."""
        names = ("created", "delivered", "failed", "dropped")
        return {**{name: self.counts[name] for name in names}, "waiting": len(self)}

    def _put(self, wait: float, delivery: Delivery) -> None:
        self._number += 1
        heapq.heappush(self._waiting, (self._clock() + wait, self._number, delivery))
