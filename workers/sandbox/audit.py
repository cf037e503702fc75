"""What happened, and what must never happen: an order handled twice, or an event committed too early."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from workers.vtex.states import READY_FOR_HANDLING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.sandbox.faults import Faults
    from workers.sandbox.feed import Committed, FeedQueue
    from workers.sandbox.gate import Gate
    from workers.sandbox.hook import Hook
    from workers.sandbox.store import Order, Store
    from workers.sandbox.watch import Watch

_LISTED = 100


class Audit:
    """Watches commits, and adds up the rest when asked."""

    def __init__(
        self, store: Store, queue: FeedQueue, faults: Faults, gate: Gate, *, watch: Watch, hook: Hook
    ) -> None:
        self.early: Counter[str] = Counter()
        self.committed: Counter[str] = Counter()
        self.stale_commits = 0
        self.unknown_commits = 0
        self._store = store
        self._queue = queue
        self._faults = faults
        self._gate = gate
        self._watch = watch
        self._hook = hook

    def note_commit(self, result: Committed) -> None:
        """Judge a commit: a ready-for-handling event may only go once start-handling had its effect."""
        self.stale_commits += result.stale
        self.unknown_commits += result.unknown
        for event in result.events:
            self.committed[event.order_id] += 1
            order = self._store.get(event.order_id)
            if event.state == order.status == READY_FOR_HANDLING and order.handled == 0:
                self.early[event.order_id] += 1

    def order(self, order: Order) -> dict[str, Any]:
        """Return the facts about one order that a test looks at."""
        return {
            "orderId": order.order_id,
            "status": order.status,
            "startHandlingCount": order.handled,
            "startHandlingAttempts": order.handling_asked,
            "eventsCommitted": self.committed[order.order_id],
            "eventsPending": self._queue.pending.get(order.order_id, 0),
            "earlyCommits": self.early[order.order_id],
            "invoiceCount": len(order.outbound.packages) if order.outbound else 0,
            "changeCount": len(order.outbound.changes) + len(order.outbound.legacy) if order.outbound else 0,
        }

    def report(self, *, per_order: bool = True) -> dict[str, Any]:
        """Add everything up; ``per_order`` adds a map from order id to the facts of that order."""
        orders = list(self._store)
        twice = [order for order in orders if order.handled > 1]
        stranded = [
            order
            for order in orders
            if order.status == READY_FOR_HANDLING and not self._queue.pending.get(order.order_id)
        ]
        calls = self._gate.report()
        report: dict[str, Any] = {
            "orders": len(orders),
            "by_status": Counter(str(order.status) for order in orders),
            "events_created": self._queue.created,
            "events_committed": self._queue.committed,
            "events_pending": len(self._queue),
            "events_expired": self._queue.expired,
            "events_redelivered": self._queue.redelivered,
            "duplicates": self._faults.given["duplicate_event"],
            "early_commits": self.early.total(),
            "early_commit_orders": list(self.early)[:_LISTED],
            "stale_commits": self.stale_commits,
            "unknown_commits": self.unknown_commits,
            "start_handling_effects": sum(order.handled for order in orders),
            "start_handling_attempts": sum(order.handling_asked for order in orders),
            "start_handling_more_than_once": len(twice),
            "handled_twice_orders": _ids(twice),
            # Ready, and no event is left to say so: only reconciliation finds these.
            "stranded": len(stranded),
            "stranded_orders": _ids(stranded),
            **_effects(orders),
            # What no client may do to an order, and what deserves a look; ``watch.py`` says what each means.
            **self._watch.report(),
            "hook": self._hook.report(),
            "faults": {kind: count for kind, count in self._faults.given.items() if count},
            "calls": calls["total"],
            "calls_by_route": calls["by_route"],
            "busiest_second": calls["busiest_second"],
            "busiest_minute": calls["busiest_minute"],
            "unauthorized": self._gate.unauthorized,
            "forbidden": self._gate.forbidden,
            "too_many_requests": self._gate.too_many,
        }
        if per_order:
            report["per_order"] = {order.order_id: self.order(order) for order in orders}
        return report


def _effects(orders: Iterable[Order]) -> dict[str, int]:
    """Add up what the outbound calls did."""
    touched = [order.outbound for order in orders if order.outbound is not None]
    packages = [package for outbound in touched for package in outbound.packages]
    changes = [change for outbound in touched for change in outbound.changes]
    return {
        "invoices": sum(package.form.kind == "Output" for package in packages),
        "return_invoices": sum(package.form.kind == "Input" for package in packages),
        "refunds": sum(package.refunded for package in packages),
        "tracking_updates": sum(package.updates for package in packages),
        "cancellations": sum(outbound.cancellation is not None for outbound in touched),
        "changes_done": sum(change.status == "done" for change in changes),
        "changes_canceled": sum(change.status == "canceled" for change in changes),
        "changes_v1": sum(len(outbound.legacy) for outbound in touched),
    }


def _ids(orders: Iterable[Order]) -> list[str]:
    return [order.order_id for order in orders][:_LISTED]
