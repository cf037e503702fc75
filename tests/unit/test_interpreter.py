"""How Python is set for a worker process."""

from __future__ import annotations

import gc
import sys

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
