"""What happens to an order, or to its commands, and what people can see of it in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.app import app
from workers.command_ledger import ENDS, CommandLedger
from workers.ledger import Ledger
from workers.vtex.states import IN_HANDLING

from .world import World

EVENT = {"city": "Niterói", "state": "RJ", "description": "saiu para entrega", "date": "2026-02-01"}


@dataclass(frozen=True)
class Scenario:
    """``begin`` makes the order. ``meanwhile`` is called between two turns, by somebody who does not die.

    ``either``: it may be handled or not, as a cancellation came first or not.
    """

    name: str
    begin: Callable[[World], str]
    meanwhile: Callable[[World, str, Ledger], bool] = lambda *_: True  # True: nothing more comes from outside
    either: bool = False

    def seen(self, world: World, order: str, ledger: Ledger) -> dict[str, Any]:
        """VTEX's side, the ERP's, the ledger's."""
        facts = world.vtex.state(order)
        record, handled = ledger.record(order), facts["startHandlingCount"]
        return {
            "status": facts["status"],
            "handled": "at most once" if self.either and handled <= 1 else handled,
            "early commits": facts["earlyCommits"],
            "pending": facts["eventsPending"],
            # a status of when it was read: that is later if a message was lost
            "in the ERP": [
                "in handling" if status in IN_HANDLING else status for status in world.in_erp(order)
            ],
            "told": world.told(order),
            "ledger": record and record.state,
            "invoices": [
                (one["type"], one["invoiceNumber"], len(one["receipts"])) for one in facts["invoices"]
            ],
            "invoiced in full": facts["invoicedSum"] == facts["value"],
            "refunded": facts["refundedSum"],
            "changes": [one["status"] for one in facts["changes"]],
            "tracking": [
                (each["trackingNumber"], each["isDelivered"], each["events"])
                for each in (one["tracking"] for one in facts["invoices"])
            ],
            "cancellation requests": len(facts["cancellationRequests"]),
            "never": facts["counted"],
        }


# Orders


def _ready(world: World) -> str:
    [order] = world.vtex.create(1)
    return order


def _told_twice(world: World) -> str:
    """The feed has an event twice."""
    world.vtex.control("faults", {"faults": "duplicates=1.0"})
    order = _ready(world)
    world.vtex.control("faults", {"faults": ""})
    return order


def _with_faults(world: World) -> str:
    """VTEX fails at each call once, and does not say that it started handling and committed."""
    order = _ready(world)
    script = [
        {"kind": "error_5xx", "path": f"/orders/{order}", "method": "GET"},
        {"kind": "lost_answer", "path": "/start-handling", "method": "POST"},
        {"kind": "error_5xx", "path": "/orders/feed", "method": "POST"},
        {"kind": "lost_answer", "path": "/orders/feed", "method": "POST"},
    ]
    world.vtex.control("faults", {"script": script})
    return order


def _not_in_the_feed(world: World) -> str:
    """Its event is lost: only the list of orders tells of it."""
    world.vtex.control("feed", {"configured": False})
    order = _ready(world)
    world.vtex.control("feed", {"configured": True})
    return order


def _canceled_in_handling(world: World, order: str, ledger: Ledger) -> bool:
    """By the shopper, once it is being prepared."""
    status = world.vtex.state(order)["status"]
    return status in ("handling", "canceled") and _canceled_early(world, order, ledger)


def _canceled_early(world: World, order: str, _ledger: Ledger) -> bool:
    """By the shopper, as soon as the ERP has it."""
    if not world.in_erp(order):
        return False
    if world.vtex.state(order)["status"] not in ("canceled", "cancel"):
        world.vtex.move(order, "canceled")
    return True


# Commands


def _in_handling(world: World) -> str:
    [order] = world.vtex.create(1, status="handling")
    return order


def _asks(steps: Callable[[World, str], list[tuple[str, Any]]]):
    """An ERP that asks for one thing after the other, again under the same key while nobody knows it."""

    def meanwhile(world: World, order: str, ledger: Ledger) -> bool:
        book = CommandLedger(ledger)
        for number, (kind, payload) in enumerate(steps(world, order)):
            key = f"{order}/{number}-{kind}"
            record = book.record(key)
            if record is None:
                arguments = payload if kind == "cancel" else {kind: payload}
                app.send_task(f"orders.{kind}", kwargs={"order_id": order, "key": key} | arguments)
            if record is None or record.state not in ENDS:
                _decide(world, order)
                return False
        return True

    return meanwhile


def _decide(world: World, order: str) -> None:
    """A person at the store grants a cancellation, once the ERP knows of it: what is over before need not be told."""
    asked = world.vtex.state(order)["status"] == "cancellation-requested"
    if asked and "order.cancellation_requested" in world.told(order):
        world.vtex.move(order, "canceled")


def _invoice(number: str, cents: int, kind: str = "Output") -> dict[str, Any]:
    return {
        "type": kind,
        "issuanceDate": "2026-01-31",
        "invoiceNumber": number,
        "invoiceValue": str(cents),
        "items": [{"id": "1", "price": cents, "quantity": 1}],
    }


def _whole_life(world: World, order: str) -> list[tuple[str, Any]]:
    """Changed, invoiced in two parts, tracked, delivered, and a part of it returned."""
    facts = world.vtex.state(order)
    value = facts["value"]
    if not any(one["status"] == "done" for one in facts["changes"]):
        value -= 1000  # the change is still to come
    number = {"invoiceNumber": "2"}
    return [
        ("change", {"reason": "Promotion by phone.", "discountValue": 1000}),
        ("invoice", _invoice("1", 10)),
        ("invoice", _invoice("2", value - 10)),
        ("tracking", number | {"trackingNumber": "BR1", "courier": "Correios", "events": [EVENT]}),
        ("tracking", number | {"isDelivered": True, "events": []}),
        ("invoice", _invoice("R1", 50, "Input")),
    ]


def _cancellation(_world: World, _order: str) -> list[tuple[str, Any]]:
    return [("cancel", {"reason": "sem estoque"})]


#: Which belong together: an effect that one of them reaches by chance is covered by another.
ORDERS = ("order", "order not in the feed", "order canceled", "order canceled early", "order with faults")
COMMANDS = ("whole life", "cancellation")

ALL = {
    one.name: one
    for one in (
        Scenario("order", _told_twice),
        Scenario("order with faults", _with_faults),
        Scenario("order not in the feed", _not_in_the_feed),
        Scenario("order canceled", _ready, _canceled_in_handling),
        Scenario("order canceled early", _ready, _canceled_early, either=True),
        Scenario("whole life", _in_handling, _asks(_whole_life)),
        Scenario("cancellation", _in_handling, _asks(_cancellation)),
    )
}
