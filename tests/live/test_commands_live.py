"""A store's whole day with real processes: orders handled, changed, invoiced, tracked, delivered, or canceled.

An ERP that has only the broker's address asks for it by Celery names, VTEX fails often and loses answers, and
workers are killed. What must be: everything happens once, and ends as expected.
"""

import contextlib
import os
import signal
import sqlite3
import time
from collections import Counter, defaultdict

import pytest
import redis
from celery import Celery

from workers.command_ledger import CommandLedger
from workers.ledger import Ledger

from .conftest import ROOT
from .system import LONG, System

ORDERS = 500 if os.environ.get("LONG") else 100
#: A sitecustomize: the waits that make sure of a lost answer, and those for an order to be ready, take longer.
QUICK = """
import importlib.abc, importlib.util, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "tasks.command" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            assert module.ABSENT_AFTER and module.ABSENT_GAP and module.WAIT
            module.ABSENT_AFTER, module.ABSENT_GAP, module.WAIT = 3.0, 1.0, (1.0, 2.0, 4.0)
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""
EVENT = {"city": "Niterói", "state": "RJ", "description": "saiu para entrega", "date": "2026-02-01"}


class Erp:
    """Asks by Celery name, and looks into the ledger only to know how a command ended."""

    def __init__(self, system):
        url = system.redis_url()
        self.system = system
        self.celery = Celery(broker=url)
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.book = CommandLedger(Ledger(self.redis, "teststore"))
        self.at = Counter()
        self.again = defaultdict(float)

    def close(self):
        self.celery.close()
        self.redis.close()

    def life(self, number, order, value):
        """What is asked for of one order, step by step; of a tenth the cancellation."""
        if number % 10 == 0:
            return [("cancel", {"reason": "sem estoque"})]
        steps, left = [], value
        if number % 3 == 0:
            steps.append(("change", {"reason": "Promotion by phone.", "discountValue": 100}))
            left -= 100
        parts = [left] if number % 2 else [left // 3, left - left // 3]
        for part, cents in enumerate(parts, 1):
            steps.append(("invoice", _invoice(f"NF{number}-{part}", cents)))
        last = {"invoiceNumber": f"NF{number}-{len(parts)}"}
        steps.append(("tracking", last | {"trackingNumber": f"BR{number}", "courier": "Correios"}))
        steps.append(("tracking", last | {"isDelivered": False, "events": [EVENT]}))
        steps.append(("tracking", last | {"isDelivered": True, "events": [EVENT]}))
        if number % 7 == 0:
            steps.append(("invoice", _invoice(f"D{number}", 50, "Input")))
        return steps

    def go_on(self, lives):
        """Ask for what comes next of each order; True when all of it has ended."""
        over = True
        for order, steps in lives.items():
            if self.at[order] == len(steps):
                continue
            over = False
            kind, payload = steps[self.at[order]]
            key = f"{order}/{self.at[order]}-{kind}"
            state = self.redis.hget(self.book._key(f"c:{key}"), "state")
            if state in ("done", "refused", "dead"):
                assert state == "done", self.book.record(key)
                self.at[order] += 1
            elif state is None and time.monotonic() > self.again[key]:
                # what a broker lost before a worker saw it is sent again, under the same key
                self.again[key] = time.monotonic() + 20
                self.celery.send_task(f"orders.{kind}", kwargs={"order_id": order, kind: payload, "key": key})
        return over


def _invoice(number, cents, kind="Output"):
    return {
        "type": kind,
        "issuanceDate": "2026-01-31",
        "invoiceNumber": number,
        "invoiceValue": str(cents),
        "items": [{"id": "1001", "price": cents, "quantity": 1}],
    }


@pytest.mark.promise("P4", "P7", "P9")
def test_a_whole_day_of_a_store(tmp_path, wait_until):
    faults = "5xx=0.07,lost=0.1,cut=0.02,html=0.01,duplicates=0.1"
    with System(tmp_path / "a store", orders=ORDERS, faults=faults, latency=0.02, seed=11) as system:
        up = system.start("up", **_quick(tmp_path))
        erp = Erp(system)
        orders = sorted(system.vtex.audit()["per_order"])
        values = {order: system.vtex.state(order)["value"] for order in orders}
        lives = {order: erp.life(n, order, values[order]) for n, order in enumerate(orders)}
        kills, next_kill, next_look = 0, time.monotonic() + 10, 0.0

        def over():
            nonlocal kills, next_kill, next_look
            if time.monotonic() < next_look:
                return False
            next_look = time.monotonic() + 0.2
            ended = erp.go_on(lives)
            for order in orders[::10]:  # somebody decides on the cancellations that were requested
                if system.vtex.state(order)["status"] == "cancellation-requested":
                    system.vtex.move(order, "canceled")
            if not ended and kills < 5 and time.monotonic() > next_kill:
                victim = system.started(up, f"worker {1 + kills % 2}")[-1]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                kills, next_kill = kills + 1, time.monotonic() + 12
            return ended

        wait_until(over, lambda: _state(system, erp, lives), LONG)
        wait_until(lambda: not erp.redis.exists(erp.book._key("ctell")), "the ERP to be told", LONG)
        audit = system.vtex.audit()
        assert kills
        assert {name: seen for name, seen in audit["never"].items() if seen["count"]} == {}
        for n, order in enumerate(orders):
            facts = system.vtex.state(order)
            numbers = [one["invoiceNumber"] for one in facts["invoices"]]
            assert len(set(numbers)) == len(numbers)
            if n % 10 == 0:
                assert (facts["status"], numbers) == ("canceled", [])
                continue
            assert facts["status"] == "invoiced"
            assert facts["invoicedSum"] == facts["value"] == values[order] - (100 if n % 3 == 0 else 0)
            assert facts["refundedSum"] == (50 if n % 7 == 0 else 0)
            assert [one["status"] for one in facts["changes"] if one["status"] != "canceled"] == ["done"] * (
                n % 3 == 0
            )
            sent = [one for one in facts["invoices"] if one["type"] == "Output"][-1]["tracking"]
            assert (sent["trackingNumber"], sent["isDelivered"], len(sent["events"])) == (f"BR{n}", True, 1)
        counts = system.json("status")["commands"]
        assert counts["done"] == sum(map(len, lives.values()))
        assert [counts[name] for name in ("open", "parked", "refused", "dead")] == [0, 0, 0, 0]
        told = _told(system)
        assert told == {"command.done": counts["done"]}
        wait_until(
            lambda: system.json("status")["orders"]["done"] == ORDERS,
            lambda: _state(system, erp, lives),
            LONG,
        )
        erp.close()
        assert system.stop(up) == 0
        assert system.left() == []


def _quick(folder):
    (folder / "patch").mkdir()
    (folder / "patch" / "sitecustomize.py").write_text(QUICK)
    return {"PYTHONPATH": f"{folder / 'patch'}:{ROOT}"}


def _told(system):
    with contextlib.closing(sqlite3.connect(system.folder / "erp.db", timeout=30)) as erp:
        rows = erp.execute(
            "SELECT kind, count(*) FROM vtex_order_events WHERE kind LIKE 'command%' GROUP BY kind"
        )
        return dict(rows.fetchall())


def _state(system, erp, lives):
    waiting = [f"{o}/{erp.at[o]}-{lives[o][erp.at[o]][0]}" for o in lives if erp.at[o] < len(lives[o])]
    records = [str(erp.book.record(key)) for key in waiting[:5]]
    never = {name: seen for name, seen in system.audit()["never"].items() if seen["count"]}
    return "\n".join([f"{len(waiting)} orders go on", *records, str(never), str(erp.book.counts())])
