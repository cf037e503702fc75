"""A store's whole day with real processes: orders handled, changed, invoiced, tracked, delivered, or canceled.

An ERP that has only the broker's address asks for it by Celery names, VTEX fails often and loses answers, and
workers are killed. What must be: everything happens once, and ends as expected.
"""

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict

import pytest
import redis
from celery import Celery

from workers.command_ledger import CommandLedger
from workers.ledger import Ledger

from .conftest import ROOT
from .system import LONG, System, free_port, get

ORDERS = 500 if os.environ.get("LONG") else 100
#: A sitecustomize: the waits that make sure of a lost answer, those for an order to be ready, and those after many
#: failures in a row take longer.
QUICK = """
import functools
from tests import after_import

def commands(module):
    assert module.ABSENT_AFTER and module.ABSENT_GAP and module.WAIT
    module.ABSENT_AFTER, module.ABSENT_GAP, module.WAIT = 3.0, 1.0, (1.0, 2.0, 4.0)

def runtime(module):
    module.Policy = functools.partial(module.Policy, longest=8.0)

after_import.change({"tasks.command": commands, "workers.runtime": runtime})
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


@pytest.mark.soak  # it takes minutes
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
    records = [str(erp.redis.hgetall(erp.book._key(f"c:{key}"))) for key in waiting[:5]]
    records += [str(system.vtex.state(key.partition("/")[0])["writes"]) for key in waiting[:5]]
    never = {name: seen for name, seen in system.audit()["never"].items() if seen["count"]}
    return "\n".join([f"{len(waiting)} orders go on", *records, str(never), str(erp.book.counts())])


# Flower

CANARY = "CANARY-Conceição"
USER = "operator:letmein42"


@pytest.fixture(scope="module")
def watched(tmp_path_factory, wait_until):
    """A system with Flower, which is there before anything is asked for."""
    with System(tmp_path_factory.mktemp("flower") / "a store") as system:
        port = free_port()
        system.settings["LOG_LEVEL"] = "DEBUG"
        system.up = system.start("up")
        system.redis_url()
        flower = system.start("flower", FLOWER_PORT=str(port), FLOWER_BASIC_AUTH=USER)
        system.flower = f"http://127.0.0.1:{port}"
        wait_until(lambda: get(f"{system.flower}/healthcheck")[0] == 200, "Flower")
        wait_until(
            lambda: len(json.loads(get(f"{system.flower}/api/workers?refresh=1", USER)[1])) == 2, "workers"
        )
        yield system
        assert system.stop(flower) == 0


def _post(system, task, **body):
    """Fire a task through Flower's API; its id."""
    request = urllib.request.Request(
        f"{system.flower}/api/task/send-task/{task}",
        data=json.dumps(body).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(USER.encode()).decode()},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        return json.load(response)["task-id"]


@pytest.mark.promise("P8")
def test_flower_fires_a_command_finds_its_order_and_shows_nothing_of_the_payload(watched, wait_until):
    good, late = watched.vtex.create(2, status="handling")
    sensitive = {"embeddedInvoice": f"<nfe><dest>{CANARY}</dest></nfe>", "customer": {"name": CANARY}}
    invoice = _invoice("NF1", watched.vtex.state(good)["value"]) | sensitive
    first = _post(watched, "orders.invoice", kwargs={"order_id": good, "invoice": invoice})
    _post(watched, "orders.invoice", kwargs={"order_id": late, "invoice": invoice}, countdown=600)
    _post(watched, "orders.invoice", args=[good, invoice, None, "by-position"])
    _post(watched, "orders.invoice", kwargs={"order_id": invoice, "key": CANARY, "invoice": CANARY})
    _post(watched, "orders.invoice", kwargs={"order_id": late, "invoce": invoice})
    _post(watched, "orders.invoices", kwargs={"order_id": late, "invoice": invoice}, queue="celery")
    nobody = _post(watched, "orders.cancel", kwargs={"order_id": late, "account": "nobody"})

    wait_until(lambda: watched.vtex.state(good)["status"] == "invoiced", "the invoice")
    wait_until(lambda: "there is no task orders.invoices" in watched.output(watched.up), "the dropped one")

    def tasks():
        status, text = get(f"{watched.flower}/api/tasks?limit=1000", USER)
        assert status == 200
        found = json.loads(text)
        names = [str(task["name"]) for task in found.values() if task["state"] == "SUCCESS"]
        enough = len([name for name in names if name.startswith("orders.i")]) >= 4
        return found if enough and first in found and found[first]["result"] else None

    shown = wait_until(tasks, "Flower's tasks")
    assert good in shown[first]["kwargs"]
    assert shown[first]["result"] == repr(f"command {first}")
    by_position = [task["kwargs"] for task in shown.values() if "by-position" in str(task["kwargs"])]
    assert by_position
    assert all(good in kwargs for kwargs in by_position)
    refused = wait_until(
        lambda: json.loads(get(f"{watched.flower}/api/task/info/{nobody}", USER)[1])["result"], "it"
    )
    assert "refused: " in refused
    assert "nobody" in refused
    workers = json.loads(get(f"{watched.flower}/api/workers?refresh=1", USER)[1])
    one_by_one = [
        get(f"{watched.flower}/api/workers?refresh=1&workername={name}", USER)[1] for name in workers
    ]
    assert late in "".join(one_by_one)  # what waits for its time
    pages = ["/api/tasks?limit=1000", "/api/workers?refresh=1", "/tasks", "/broker"]
    pages += [f"/worker/{name}" for name in workers] + [f"/task/{uuid}" for uuid in shown]
    text = "".join([*one_by_one, *(get(watched.flower + page, USER)[1] for page in pages)])
    assert good in text
    logs = "".join(watched.output(process) for process in watched.processes.running)
    for canary in (CANARY, CANARY.encode("unicode_escape").decode(), "CANARY", "nfe"):
        assert canary not in text, canary
        assert canary not in logs, canary
    assert get(f"{watched.flower}/api/task/send-task/orders.cancel")[0] in (401, 405)


def test_flower_refuses_a_name_that_stands_twice(watched):
    (order,) = watched.vtex.create(1, status="payment-approved")
    request = urllib.request.Request(
        f"{watched.flower}/api/task/send-task/orders.cancel",
        data=f'{{"kwargs": {{"order_id": "{order}", "reason": "a", "reason": "b"}}}}'.encode(),
        headers={"Authorization": "Basic " + base64.b64encode(USER.encode()).decode()},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused, opener.open(request, timeout=30):
        pass
    with refused.value as answer:
        said = (answer.code, answer.read().decode())
    assert said == (400, 'the message has "reason" twice in one object; write it once')


def test_flower_s_example_for_curl(watched, wait_until):
    """As docs/erp.md has it, for this system's address and order."""
    [order] = watched.vtex.create(1, status="handling")
    [text] = re.findall(r"```sh flower\n(.*?)```", (ROOT / "docs" / "erp.md").read_text(), re.DOTALL)
    value = watched.vtex.state(order)["value"]
    for there, here in {
        "http://127.0.0.1:5555": watched.flower,
        "operator:password": USER,
        "1172452900788-01": order,
        "9508": str(value),
    }.items():
        assert there in text
        text = text.replace(there, here)
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"task-id"}
    wait_until(lambda: watched.vtex.state(order)["status"] == "invoiced", "the invoice")
    assert watched.json("command", "nf-9999")["state"] == "done"
