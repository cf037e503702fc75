"""Everything the sandbox holds, put together: orders, the feed, the outbound calls, faults, the audit. No sockets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.sandbox.agenda import Agenda
from workers.sandbox.audit import Audit
from workers.sandbox.cancelling import Cancellations
from workers.sandbox.changes import Changes
from workers.sandbox.changes_v1 import LegacyChanges
from workers.sandbox.faults import Faults
from workers.sandbox.feed import FeedQueue
from workers.sandbox.gate import Gate
from workers.sandbox.hook import Hook
from workers.sandbox.invoicing import Invoices
from workers.sandbox.outbound import Receipts
from workers.sandbox.store import Store
from workers.sandbox.subscription import Subscription
from workers.sandbox.tracking import Tracking
from workers.sandbox.watch import Watch

if TYPE_CHECKING:
    from workers.sandbox.clock import Clock
    from workers.sandbox.config import SandboxConfig
    from workers.sandbox.feed import Event


class World:
    """The state of one run. ``subscription`` is None while no feed is configured."""

    def __init__(self, config: SandboxConfig, clock: Clock = time.time) -> None:
        self.config = config
        self.clock = clock
        self.queue = FeedQueue(
            clock, config.seed, visibility=config.visibility_timeout, short_reads=config.short_reads
        )
        self.faults = Faults(config.faults, config.seed)
        self.watch = Watch(clock)
        self.gate = Gate(config, self.faults, clock, self.watch)
        self.agenda = Agenda(clock)
        self.hook = Hook(clock, config)
        self.receipts = Receipts(clock, config.seed)
        self.store = Store(
            clock,
            self._tell,
            self.agenda,
            account=config.account,
            seed=config.seed,
            handling_delay=config.handling_delay,
            marketplace_events=config.marketplace_events,
        )
        self.invoices = Invoices(self)
        self.tracking = Tracking(self)
        self.cancellations = Cancellations(self)
        self.changes = Changes(self)
        self.legacy_changes = LegacyChanges(self)
        self.audit = Audit(self.store, self.queue, self.faults, self.gate, watch=self.watch, hook=self.hook)
        self._subscription: Subscription | None = None
        self._last_event = clock()
        self._begin = clock()
        self._arrived = 0
        if config.feed_configured:
            self.subscribe(Subscription.of_states(config.feed_states, config.visibility_timeout))
        self.advance()

    @property
    def subscription(self) -> Subscription | None:
        """Return the feed's configuration; VTEX removes it when no event came for as long as it keeps one."""
        if self._subscription is not None and self.clock() - self._last_event > self._subscription.retention:
            self._subscription = None
        return self._subscription

    def subscribe(self, subscription: Subscription) -> None:
        """Configure the feed. What is queued stays; what happened before is not told."""
        self._subscription = subscription
        self._last_event = self.clock()
        self.queue.visibility = subscription.visibility
        self.queue.retention = subscription.retention

    def unsubscribe(self) -> None:
        """Remove the feed and what waits in it."""
        self._subscription = None
        self.queue.clear()

    def advance(self) -> None:
        """Let happen what is due by now: new orders, and moves that were planned."""
        self.agenda.run_due()
        due = self.config.orders
        if self.config.orders_per_second > 0:
            due = min(due, int((self.clock() - self._begin) * self.config.orders_per_second))
        while self._arrived < due:
            self._arrived += 1
            self.store.create()

    def _tell(self, event: Event) -> None:
        twice = self.faults.duplicates(event.event_id)
        if self.hook.target is not None and (late := self.faults.hook_delay(event.event_id)) is not None:
            self.hook.tell(event, copies=1 + twice, late=late)
        subscription = self.subscription
        if subscription is None or not subscription.wants(event.state):
            return
        self._last_event = self.clock()
        self.queue.put(event)
        if twice:
            self.faults.given["duplicate_event"] += 1
            self.queue.put(event)
