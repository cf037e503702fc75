"""The sweep in a process of its own: it forks, and pytest has threads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workers.embedded import Embedded

from .sweep import Report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def _redis(tmp_path_factory):
    with Embedded(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url.rpartition("/")[0]


@pytest.fixture
def crash_sweep(_redis):
    """``crash_sweep("order", quick=True)``: the report; that every effect was covered, and every end the same."""

    def sweep(*scenarios, quick=False):
        options = ["--redis", _redis, *(["--quick"] if quick else []), *scenarios]
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.stdout, done.stderr
        report = Report(**json.loads(done.stdout))
        print(f"{report.places} places, before:", *sorted(report.covered), sep="\n  ")  # noqa: T201
        assert report.wrong == []
        assert report.uncovered == []
        return report

    return sweep
