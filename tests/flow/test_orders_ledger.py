"""The ledger's unit tests once more, on the server that comes with the installation instead of one in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.promise("P1", "P2", "P3", "P4")
@pytest.mark.parametrize("tests", ["test_ledger.py", "test_ledger_machine.py", "test_limiter.py"])
def test_the_real_server_does_what_the_one_in_memory_does(fresh_redis, valkey, tests):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/unit/{tests}"],
        cwd=ROOT,
        env={**os.environ, "LEDGER_TEST_REDIS_URL": valkey, "LEDGER_TEST_EXAMPLES": "150"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
