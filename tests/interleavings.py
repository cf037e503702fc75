"""What must come out right, whatever happens at the same time, and the tests that show it.

``python -m tests.interleavings`` prints each promise and each row with its tests. A test keeps the map true.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
PROMISES = tuple(f"P{number}" for number in range(1, 10))

#: What happens → the tests of it. Besides these, the state machine, the crash sweep and chaos meet most of it.
ROWS: dict[str, tuple[str, ...]] = {
    "1 two events of one order at once": (
        "test_two_events_of_one_order_at_once_start_it_once",
        "test_a_message_that_comes_twice_has_one_effect",
    ),
    "2 redelivery while the order is in progress": (
        "test_a_redelivery_in_progress_adds_its_handle_and_starts_nothing",
        "test_a_redelivery_while_the_commit_is_on_its_way_is_committed_too",
    ),
    "3 redelivery after the end": ("test_a_redelivery_after_the_end_is_committed_at_once_and_nothing_else",),
    "4 killed after the ERP took the order, then it is canceled": (
        "test_an_order_canceled_after_its_worker_died_with_the_erps_answer_is_taken_back",
    ),
    "5 a stalled worker delivers after the cancellation": (
        "test_an_order_that_a_stalled_worker_delivers_after_its_cancellation_stays_canceled",
        "test_an_erp_that_knows_nothing_but_keys_hears_of_every_request_and_of_every_denial",
        "test_a_cancellation_request_and_its_denial_are_both_told",
    ),
    "6 already in handling when first seen": (
        "test_an_order_that_was_moved_on_by_hand_is_delivered_and_not_handled_again",
    ),
    "7 a message is lost": (
        "test_a_lost_message_is_healed_with_one_effect",
        "test_a_message_that_vanishes_from_its_queue_is_healed",
    ),
    "8 lost message, sweeper and redelivery at once": ("test_a_lost_message_is_healed_with_one_effect",),
    "9 the lease ends while the worker still works": (
        "test_a_worker_that_stalls_beyond_its_lease_changes_nothing",
        "test_a_late_worker_that_nobody_replaced_still_counts",
    ),
    "10 Redis emptied between ERP and start handling": (
        "test_redis_loses_everything_before_start_handling",
        "test_redis_loses_everything_while_start_handling_is_on_its_way",
    ),
    "11 Redis emptied after the commit of an order in progress": (
        "test_orders_that_fail_for_long_hold_nothing_back_and_are_found_again",
        "test_redis_loses_everything_again_and_again",
    ),
    "12 crash around a commit": (
        "test_exactly_the_settled_ones_are_removed",
        "test_a_lost_answer_to_a_commit_is_said_again",
        "test_died_once_before_every_kind_of_effect",
    ),
    "13 an order fails for hours": (
        "test_the_events_of_an_order_that_fails_for_long_are_committed_once_it_is_parked",
        "test_orders_that_fail_for_long_hold_nothing_back_and_are_found_again",
    ),
    "14 a dead order still waits at VTEX": (
        "test_events_do_not_revive_a_dead_order",
        "test_a_dead_order_that_still_waits_is_reported_and_left_and_its_replay_looks_at_vtex_first",
        "test_a_dead_order_is_tried_again_by_hand",
    ),
    "15 the feed had a gap": (
        "test_a_feed_that_is_gone_is_configured_again_and_its_gap_is_reconciled",
        "test_a_cancellation_that_the_feed_did_not_tell_is_found_by_looking_again",
        "test_after_a_gap_the_list_is_searched_until_it_has_caught_up",
    ),
    "16 ticks of several beats": ("test_several_ticks_at_once_are_one_drain",),
    "17 invoice: answer lost, a new worker, the same number again": (
        "test_a_lost_answer_has_one_effect",
        "test_the_same_number_again",
        "test_everything_forgotten_between_send_and_record_and_asked_again",
    ),
    "18 invoice while a change runs, a cancellation is requested, before handling": (
        "test_a_change_ends_before_the_invoice_goes_out",
        "test_an_invoice_would_revive_an_order_whose_cancellation_is_requested",
        "test_an_invoice_waits_for_handling_and_start_handling_comes_first",
    ),
    "19 cancel while an invoice waits or runs": (
        "test_a_cancellation_overtakes_an_invoice_that_was_not_sent",
        "test_a_cancellation_waits_for_an_invoice_that_may_have_been_sent",
    ),
    "20 tracking before its invoice": ("test_tracking_waits_for_its_invoice_and_its_invoice_passes_it",),
    "21 change: answer lost": (
        "test_an_equal_change_of_before_does_not_count",
        "test_a_change_made_by_hand_holds_the_invoice_too",
    ),
    "22 a poison order kills its worker": (
        "test_an_order_that_kills_every_worker_ends_dead_and_the_others_go_on",
        "test_what_died_twice_with_its_workers_is_done_one_after_the_other",
    ),
    "23 replay or redeliver of something in progress": (
        "test_what_ended_is_reopened_by_a_person_and_what_is_in_progress_is_not",
    ),
    "24 two systems in one folder, or on one Redis": (
        "test_a_second_up_in_one_data_dir_says_so_and_stops",
        "test_two_ups_on_one_redis_share_the_work",
    ),
    "25 a worker's clock is off": ("test_a_worker_whose_clock_is_wrong_changes_nothing",),
}


def tests() -> tuple[set[str], dict[str, list[str]]]:
    """The names of all tests, and the tests of each promise as ``file::name``."""
    names: set[str] = set()
    promised: dict[str, list[str]] = defaultdict(list)
    for path in sorted(HERE.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names.add(node.name)
                for promise in _promises(node):
                    promised[promise].append(f"{path.relative_to(HERE.parent)}::{node.name}")
    return names, dict(promised)


def _promises(test: ast.FunctionDef) -> list[str]:
    return [
        str(argument.value)
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise"
        for argument in mark.args
        if isinstance(argument, ast.Constant)
    ]


def main() -> None:
    _, promised = tests()
    for promise in PROMISES:
        print(promise, *promised.get(promise, ()), sep="\n    ")  # noqa: T201 - it is a program
    for row, names in ROWS.items():
        print(row, *names, sep="\n    ")  # noqa: T201


if __name__ == "__main__":
    main()
