"""The Procfile under honcho, as the README tells to run it."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from celery import Celery

from .conftest import ROOT
from .system import FAULTS, LONG, System, free_port, get


@pytest.fixture
def honcho(tmp_path):
    """A checkout in a path with spaces: our Procfile, and a .venv that holds vtexorders and honcho."""
    folder = tmp_path / "a check out"
    with contextlib.ExitStack() as stack:
        system = stack.enter_context(System(folder, orders=60, faults=FAULTS))
        shutil.copy(ROOT / "Procfile", folder)
        (folder / ".venv").symlink_to(sys.prefix)
        yield system


def test_everything_runs_and_orders_flow_without_a_redis(honcho, wait_until):
    port = free_port()
    running = honcho.start(
        "start", program=[Path(".venv/bin/honcho")], FLOWER_PORT=str(port), PATH="/usr/bin:/bin"
    )
    honcho.each_once()
    wait_until(lambda: get(f"http://127.0.0.1:{port}/healthcheck")[0] == 200, "Flower")
    status = honcho.json("status")
    assert status["workers"] == 2
    _only_json_is_read(honcho, wait_until)
    _invoice(honcho, honcho.in_erp()[0], wait_until)
    wait_until(lambda: honcho.json("status")["orders"]["done"] == 60, "the ledger's end")

    honcho.stop(running)
    honcho.none_left()
    text = honcho.output(running)
    assert "Traceback" not in text
    assert "vtexorders: not found" not in text

    # what it left in DATA_DIR is enough to go on
    honcho.vtex.create(5)
    again = honcho.start("up")
    honcho.until_handled(65)
    wait_until(lambda: len(honcho.in_erp()) == 65, "the ERP's new orders")
    assert honcho.stop(again) == 0


def _invoice(system, order, wait_until):
    """A command from the console, to its end."""
    document = {
        "type": "Output",
        "issuanceDate": "2026-11-24",
        "invoiceNumber": order,
        "invoiceValue": system.vtex.state(order)["value"],
        "items": [{"id": "1001", "price": 1, "quantity": 1}],
    }
    (system.folder / "invoice.json").write_text(json.dumps(document))
    done = system.run("invoice", order, "invoice.json")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: system.vtex.state(order)["status"] == "invoiced", "the invoice", LONG)


class _Bomb:
    """Whoever unpickles this makes a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


def _only_json_is_read(system, wait_until):
    """A pickled message is thrown away unread."""
    exploded = system.folder / "exploded"
    with Celery("intruder", broker=system.redis_url(), set_as_current=False) as intruder:
        intruder.send_task("orders.cancel", args=[_Bomb(exploded)], serializer="pickle")
    wait_until(lambda: not system.json("status")["queues"]["celery"], "the end of the pickled message")
    assert not exploded.exists()
