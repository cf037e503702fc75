"""Each promise and each row of the interleavings has a test."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("interleavings", Path(__file__).parent / "interleavings.py")
interleavings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(interleavings)


def test_each_promise_has_tests():
    _, promised = interleavings.tests()
    assert set(promised) == set(interleavings.PROMISES)


def test_each_row_names_tests_that_are_there():
    names, _ = interleavings.tests()
    missing = {
        (row, name) for row, tests in interleavings.ROWS.items() for name in tests if name not in names
    }
    assert not missing
    assert [int(row.split()[0]) for row in interleavings.ROWS] == list(range(1, 26))
