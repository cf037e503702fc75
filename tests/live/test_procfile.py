"""The Procfile under honcho, as the README tells to run it."""

import contextlib
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import ROOT
from .system import FAULTS, System, free_port, get


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
    wait_until(lambda: honcho.json("status")["orders"]["done"] == 60, "the ledger's end")

    honcho.stop(running)
    honcho.none_left()
    text = honcho.output(running)
    assert "Traceback" not in text
    assert "vtexorders: not found" not in text

    # what it left in DATA_DIR is enough to go on
    honcho.vtex.create(5)
    again = honcho.start("up")
    honcho.each_once()
    assert honcho.stop(again) == 0
