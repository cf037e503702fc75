"""All orders of the stand-in store, what may happen to them, and the events that tell of it."""

from __future__ import annotations

import bisect
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.sandbox import orders as numbers
from workers.sandbox.agenda import Agenda
from workers.sandbox.clock import stamp
from workers.sandbox.document import document
from workers.sandbox.feed import Event
from workers.sandbox.machine import AUTHORIZED, BEFORE, NEXT
from workers.sandbox.outbound import Outbound
from workers.vtex.states import READY_FOR_HANDLING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.sandbox.clock import Clock

_CACHED_DOCUMENTS = 4096
#: A document is a tree, so the search for circles is left out: it costs a fifth of the time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


class UnknownOrderError(LookupError):
    """There is no such order."""


class WrongStateError(Exception):
    """The order's state does not allow what was asked."""


@dataclass(slots=True)
class Order:
    """What changes of an order; the rest follows from its index. ``status`` is None while incomplete."""

    index: int
    order_id: str
    status: str | None
    last_status: str | None
    created: float
    changed: float
    authorized: float | None = None
    items: int | None = None
    version: int = 1
    #: How often start-handling had its effect, and how often it was asked for. The first must never pass 1.
    handled: int = 0
    handling_asked: int = 0
    invoiced: float | None = None
    #: Fields of the document that later calls replaced (packages, changes, cancellation).
    extra: dict[str, Any] | None = None
    #: What the order is about after a change; None means what the dice said.
    changed_facts: numbers.Facts | None = None
    #: What was done to the order from outside; see ``Store.outbound``.
    outbound: Outbound | None = None


class Store:
    """Creates orders and moves them from state to state; ``tell`` gets an event for every change."""

    def __init__(
        self,
        clock: Clock,
        tell: Callable[[Event], None],
        agenda: Agenda | None = None,
        *,
        account: str = "teststore",
        seed: int = 1,
        handling_delay: float = 0.05,
        marketplace_events: float = 0.1,
    ) -> None:
        self.handling_delay = handling_delay
        self._account = account
        self._seed = seed
        self._clock = clock
        self._tell = tell
        self._every_marketplace = round(1 / marketplace_events) if marketplace_events > 0 else 0
        self._orders: dict[str, Order] = {}
        self._by_creation: list[tuple[float, int, str]] = []
        self._agenda = agenda or Agenda(clock)
        self._changes = 0
        self._cache: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._orders

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def get(self, order_id: str) -> Order:
        """Return an order by its id, or by ``seq`` and its sequence number; UnknownOrderError if none."""
        if order_id.startswith("seq") and order_id[3:].isdecimal():
            order_id = numbers.order_id(self._seed, int(order_id[3:]) - int(numbers.sequence(0)))
        try:
            return self._orders[order_id]
        except KeyError:
            raise UnknownOrderError(order_id) from None

    def create(
        self,
        status: str | None = READY_FOR_HANDLING,
        *,
        items: int | None = None,
        age: float = 0.0,
        advance: float | None = None,
    ) -> Order:
        """Create the next order, ``age`` seconds ago, and tell of its state.

        With ``advance`` it goes on by itself, a state every so many seconds, as far as ready-for-handling.
        """
        now = self._clock()
        index = len(self._orders)
        order = Order(
            index=index,
            order_id=numbers.order_id(self._seed, index),
            status=status,
            last_status=BEFORE.get(status or ""),
            created=now - age,
            changed=now - age,
            authorized=now - age if status in AUTHORIZED else None,
            items=items,
        )
        self._orders[order.order_id] = order
        bisect.insort(self._by_creation, (order.created, index, order.order_id))
        self._announce(order, now - age)
        if advance is not None:
            self._plan_next(order, now, advance)
        return order

    def start_handling(self, order_id: str) -> Order:
        """Do what the start-handling call does; WrongStateError unless the order is ready for it."""
        order = self.get(order_id)
        order.handling_asked += 1
        if order.status != READY_FOR_HANDLING:
            raise WrongStateError("Order status should be ready-for-handling to perform this action")
        order.handled += 1
        self.move(order, "start-handling")
        self.move_later(order, self.handling_delay, "handling")
        return order

    def move(self, order: Order, status: str | None) -> None:
        """Put the order into a state, whatever it was in before, and tell of it."""
        before = order.changed
        order.last_status, order.status = order.status, status
        order.changed = self._clock()
        order.version += 1
        if status in AUTHORIZED and order.authorized is None:
            order.authorized = order.changed
        self._announce(order, before)

    def touch(self, order: Order, **fields: Any) -> None:
        """Replace fields of the order's document, without an event: its state stays."""
        if fields:
            order.extra = {**(order.extra or {}), **fields}
        order.changed = self._clock()
        order.version += 1

    def outbound(self, order: Order) -> Outbound:
        """Return what was done to an order from outside, to read and to write."""
        if order.outbound is None:
            order.outbound = Outbound()
        return order.outbound

    def move_later(self, order: Order, seconds: float, target: str) -> None:
        """Plan a move; it is made only if the order is still in the state that it is in now."""
        status = order.status

        def move(_due: float) -> None:
            if order.status == status:
                self.move(order, target)

        self._agenda.after(seconds, move)

    def render(self, order: Order) -> bytes:
        """Return the order's document as JSON; kept until the order changes."""
        cached = self._cache.get(order.order_id)
        if cached is not None and cached[0] == order.version:
            return cached[1]
        body = _ENCODER.encode(document(self._account, self._seed, order, self.facts(order))).encode()
        self._cache[order.order_id] = (order.version, body)
        if len(self._cache) > _CACHED_DOCUMENTS:
            self._cache.popitem(last=False)
        return body

    def facts(self, order: Order) -> numbers.Facts:
        """Return what the order's document is made of."""
        return order.changed_facts or numbers.facts(self._seed, order.index, order.items)

    def created_between(self, first: float, last: float) -> list[Order]:
        """Return the orders created in a window of time, both ends included, the oldest first."""
        start = bisect.bisect_left(self._by_creation, (first, -1, ""))
        end = bisect.bisect_right(self._by_creation, (last, len(self._orders), ""))
        return [self._orders[order_id] for _, _, order_id in self._by_creation[start:end]]

    def _plan_next(self, order: Order, now: float, step: float) -> None:
        status = order.status
        if status not in NEXT or status == READY_FOR_HANDLING:
            return

        def move(due: float) -> None:
            if order.status == status:
                self.move(order, NEXT[status])
                self._plan_next(order, due, step)

        self._agenda.at(now + step, move)

    def _announce(self, order: Order, before: float) -> None:
        self._changes += 1
        number = self._changes
        zone = "+00:00" if number % 7 == 0 else "Z"
        domains = ["Fulfillment"]
        if self._every_marketplace and number % self._every_marketplace == 0:
            domains.append("Marketplace")
        for domain in domains:
            self._tell(
                Event(
                    event_id=numbers.identifier("event", self._seed, number, domain),
                    order_id=order.order_id,
                    domain=domain,
                    state=order.status,
                    last_state=order.last_status,
                    last_change=stamp(before, zone),
                    current_change=stamp(order.changed, zone),
                )
            )
