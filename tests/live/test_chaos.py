"""A short chaos: two systems of real processes, faults all the time, and every promise judged at the end.

``make chaos`` runs longer ones. This one has shorter leases (tests/chaos/hasty), so that what died comes back soon.
"""

import subprocess
import sys

import pytest

from .conftest import ROOT


@pytest.mark.promise("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9")
def test_a_short_chaos_breaks_no_promise(tmp_path):
    options = {
        "orders": 60,
        "commands": 25,
        "seconds": 15,
        "every": 1,
        "seed": 4,
        "erp": "http",
        "drain": 240,
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos", "--hasty", "--keep", str(tmp_path)),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if " held " in line] == [
        *(f"P{n}" for n in range(1, 10)),
        "end",
    ]
