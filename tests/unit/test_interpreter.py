"""How Python is set for a worker process."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from workers import interpreter


def test_what_is_there_is_not_searched_again():
    switch, thresholds = sys.getswitchinterval(), gc.get_threshold()
    try:
        interpreter.settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == interpreter.THRESHOLDS
        assert sys.getswitchinterval() == interpreter.SWITCH_SECONDS
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(switch)


@pytest.mark.parametrize("file", ["Procfile", "deploy/Dockerfile"])
def test_what_a_worker_must_be_started_with_is_said_in(file):
    text = (Path(__file__).parents[2] / file).read_text()
    for name, value in interpreter.ENVIRONMENT.items():
        assert f"{name}={value} " in text
