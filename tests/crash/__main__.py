"""``python -m tests.crash --redis redis://… [--quick] SCENARIO…``: one JSON document, the sweep's report."""

from __future__ import annotations

import argparse
import sys

import tasks.commands  # noqa: F401 - everything is imported before anybody is forked
import workers.erp.sql  # noqa: F401

from .scenarios import ALL
from .sweep import sweep


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("scenarios", nargs="+", choices=list(ALL))
    parser.add_argument("--redis", required=True, help="the URL of a Redis, without a database's number")
    parser.add_argument("--slots", type=int, default=8, help="so many at once: they mostly wait")
    parser.add_argument("--quick", action="store_true", help="die once before each name of an effect")
    options = parser.parse_args()
    report = sweep(
        [ALL[name] for name in options.scenarios], options.redis, slots=options.slots, quick=options.quick
    )
    print(report.as_json())  # noqa: T201 - it is a program
    return int(bool(report.wrong or report.uncovered))


if __name__ == "__main__":
    sys.exit(main())
