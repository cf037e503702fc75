"""Orders that arrive over time, and an ERP that asks for what comes after: so that faults hit work, not idleness."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import kombu.exceptions
import redis
from celery import Celery

from workers.command_ledger import CommandLedger
from workers.ledger import Ledger

from .arena import ACCOUNT, Arena

#: A program that was not told how its command ended asks again, under the same key, after so many seconds.
AGAIN, AGAIN_HASTY = 30.0, 8.0
LOT = 200  # so many commands are looked up at once
#: What an ERP asks for, one after the other.
WISHES = (
    ("invoice", "tracking"),
    ("cancel",),
    ("invoice", "tracking", "return"),
    ("change", "invoice", "tracking"),
    ("cancel",),
)
DISCOUNT, REFUND = 100, 50  # of a change, and of a return, in cents


@dataclass
class Life:
    """What is to become of an order: ``plain`` (handled), ``commands``, ``shopper cancels``, ``incomplete``."""

    kind: str
    steps: tuple[str, ...] = ()
    at: int = 0
    canceled: bool = False


@dataclass
class Asked:
    """A command that the ERP asked for. ``accepted``: it could be looked up."""

    order: str
    kind: str
    times: int = 0
    next: float = 0.0
    accepted: float = 0.0
    vanished: bool = False  # accepted, then unknown, and Redis was not emptied
    told: str = ""


@dataclass
class Traffic:
    """``step()`` again and again; ``over()`` once everything was asked for and ended."""

    arena: Arena
    lives: dict[str, Life] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    _active: dict[str, Life] = field(default_factory=dict)
    lost_with_redis: int = 0

    def __post_init__(self) -> None:
        options = self.arena.options
        self._celery = Celery(broker=self.arena.valkey.url)
        self._celery.conf.broker_transport_options = {
            "socket_timeout": 1,
            "socket_connect_timeout": 1,
            "max_retries": 0,  # else it waits here for a Redis that nobody starts meanwhile
        }
        self._celery.conf.broker_pool_limit = 1
        self._book = CommandLedger(Ledger(self.arena.redis, ACCOUNT))
        self.begin()
        self._again = AGAIN_HASTY if options.hasty else AGAIN
        self._commanded = 0
        self._flushes = 0
        self._completed = False

    def begin(self) -> None:
        """Orders come from now on."""
        self._began = time.monotonic()

    def close(self) -> None:
        self._celery.close()

    def step(self, *, all_of_them: bool = False) -> None:
        """What is due now. ``all_of_them``: no more faults; the orders that were incomplete become complete."""
        self._arrive(all_of_them)
        self.arena.erp.look()
        self._cancel_as_shopper()
        self._ask()
        self._decide()
        self._look_up()
        self._rest()
        if all_of_them and not self._completed:
            self._completed = True
            for order, life in self.lives.items():
                if life.kind == "incomplete":
                    self.arena.vtex.move(order, "ready-for-handling")

    def over(self) -> bool:
        """Everything was asked for, and the ERP knows how it ended."""
        return len(self.lives) >= self.arena.options.orders and not self._active

    # The store

    def _arrive(self, all_of_them: bool) -> None:
        options = self.arena.options
        passed = time.monotonic() - self._began
        # all of them are there well before the faults end
        due = min(options.orders, int(options.orders * passed / (0.9 * options.seconds)))
        due = options.orders if all_of_them else due
        while len(self.lives) < due:
            life = self._life(len(self.lives))
            [order] = self.arena.vtex.create(
                1, status=None if life.kind == "incomplete" else "ready-for-handling"
            )
            self.lives[order] = life
            if life.steps or life.kind == "shopper cancels":
                self._active[order] = life

    def _rest(self) -> None:
        """Those whose story is told are not looked at any more."""
        for order, life in list(self._active.items()):
            if life.at >= len(life.steps) and (life.canceled or life.kind != "shopper cancels"):
                del self._active[order]

    def _life(self, number: int) -> Life:
        options = self.arena.options
        if number % 40 == 13:
            return Life("incomplete")
        if number % 20 == 7:
            return Life("shopper cancels")
        wanted = options.commands * len(WISHES) // sum(map(len, WISHES))
        if self._commanded < wanted and (number + 1) * wanted >= self._commanded * options.orders * 0.9:
            self._commanded += 1
            return Life("commands", WISHES[self._commanded % len(WISHES)])
        return Life("plain")

    def _cancel_as_shopper(self) -> None:
        for order, life in self._active.items():
            if life.kind == "shopper cancels" and not life.canceled and order in self.arena.erp.values:
                self.arena.vtex.move(order, "canceled")
                life.canceled = True

    def _decide(self) -> None:
        """A person at the store grants the cancellations that were asked for."""
        for order, life in self._active.items():
            if life.steps == ("cancel",) and not life.canceled and f"{order}/0-cancel" in self.asked:
                status = self.arena.vtex.state(order)["status"]
                if status in ("cancellation-requested", "request-cancel"):
                    self.arena.vtex.move(order, "canceled")
                life.canceled = status in ("cancellation-requested", "request-cancel", "cancel", "canceled")

    # The ERP

    def _ask(self) -> None:
        values, told, now = self.arena.erp.values, self.arena.erp.told, time.monotonic()
        for order, life in self._active.items():
            if life.at >= len(life.steps) or order not in values:
                continue
            kind = life.steps[life.at]
            key = f"{order}/{life.at}-{kind}"
            asked = self.asked.setdefault(key, Asked(order, kind))
            if key in told:
                asked.told = told[key]
                life.at += 1
            elif now >= asked.next:
                if not self._send(key, asked, life, values[order]):
                    return  # nobody there: the others would wait as long, one after the other
                asked.times += 1
                asked.next = now + self._again

    def _send(self, key: str, asked: Asked, life: Life, value: int) -> bool:
        value -= DISCOUNT if "change" in life.steps else 0
        kwargs = {"order_id": asked.order, "key": key} | _payload(asked.kind, asked.order, value)
        task = "invoice" if asked.kind == "return" else asked.kind
        try:
            self._celery.send_task(f"orders.{task}", kwargs=kwargs, retry=False)
        except (kombu.exceptions.OperationalError, redis.RedisError, OSError):
            return False
        return True

    def _look_up(self) -> None:
        """Which commands can be looked up; one that could and cannot any more was lost."""
        if self._flushes < len(self.arena.flushes):
            self._flushes = len(self.arena.flushes)
            for asked in self.asked.values():
                if asked.accepted and not asked.told:
                    self.lost_with_redis += 1
                asked.accepted = 0.0
        keys = (
            f"{order}/{life.at}-{life.steps[life.at]}"
            for order, life in self._active.items()
            if life.at < len(life.steps)
        )
        waiting = [key for key in keys if key in self.asked][:LOT]
        begin = time.monotonic()
        try:
            with self.arena.redis.pipeline(transaction=False) as pipe:
                for key in waiting:
                    pipe.exists(self._book.ledger.key(f"c:{key}"))
                known = pipe.execute()
        except redis.RedisError:
            return
        for key, there in zip(waiting, known, strict=True):
            asked = self.asked[key]
            if there and not asked.accepted:
                asked.accepted = begin
            elif not there and asked.accepted:
                asked.vanished = True


def _payload(kind: str, order: str, value: int) -> dict[str, Any]:
    number = f"NF{order.partition('-')[0]}"
    if kind == "invoice":
        return {"invoice": _invoice("Output", number, value)}
    if kind == "return":
        return {"invoice": _invoice("Input", f"R{number}", REFUND)}
    if kind == "tracking":
        return {"tracking": {"invoiceNumber": number, "trackingNumber": f"BR{number}", "courier": "Correios"}}
    if kind == "change":
        return {"change": {"reason": "Promotion by phone.", "discountValue": DISCOUNT}}
    return {"reason": "sem estoque"}


def _invoice(kind: str, number: str, cents: int) -> dict[str, Any]:
    return {
        "type": kind,
        "issuanceDate": "2026-01-31",
        "invoiceNumber": number,
        "invoiceValue": str(cents),
        "items": [{"id": "1001", "price": cents, "quantity": 1}],
    }
