"""What every sink must do, as tests: subclass, and give one pytest fixture named ``erp``.

It is shipped with the package, and not kept among this project's own tests, so that whoever writes a sink
for another ERP can hold it against the same promises (``docs/erp.md`` has the whole of it). It needs nothing but
pytest and assertions:

    class TestMySink(SinkContract, CrashContract):
        @pytest.fixture
        def erp(self): ...  # an object with what :class:`Erp` lists, empty for each test
"""
# ruff: noqa: S101, PLR2004 (these are tests: assertions, numbers, and names that say what they are for)

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Protocol

from workers.erp.sink import (
    CANCELED,
    CANCELLATION_REQUESTED,
    ORDER_READY,
    Delivery,
    Sink,
    open_sink,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Erp(Protocol):
    """An empty ERP behind a sink, and how to look into it."""

    url: str

    def held(self, order_id: str) -> tuple[str, str] | None:
        """Status and document of the one order of that id; None when the ERP has none."""

    def told(self, order_id: str) -> list[str]:
        """The types of the cancellations that the ERP was told of, the earliest first."""

    def orders(self) -> set[str]:
        """The ids of all orders that the ERP holds."""


def moment(second: int) -> str:
    """A canonical instant."""
    return f"2024-02-06T20:46:{second:02}.7010747Z"


def delivery(
    kind: str = ORDER_READY, second: int = 1, *, order_id: str = "1-01", status: str = "", more: str = '""'
) -> Delivery:
    """A delivery as the workers make it; ``more`` is JSON text that goes into the document as it stands."""
    usual = {
        ORDER_READY: "ready-for-handling",
        CANCELLATION_REQUESTED: "cancellation-requested",
        CANCELED: "canceled",
    }
    status = status or usual[kind]
    # As VTEX writes it: another zone form, and spaces that a parser would drop.
    change = moment(second).replace("Z", "+00:00")
    document = f'{{"orderId": "{order_id}",  "status":"{status}","lastChange":"{change}", "more": {more}}}'
    return Delivery(kind, "store", order_id, status, moment(second), document)


class SinkContract:
    """What can be seen inside one process."""

    def test_the_document_is_kept_as_vtex_sent_it(self, erp: Erp) -> None:
        strange = r'"\u0000 \ud800 \/ \u00e9 é 😀 \" 1.10", "number": 1.10, "number": 12345678901234567890.0'
        with _opened(erp) as sink:
            sink.deliver(delivery(more=strange))
        assert erp.held("1-01") == ("ready-for-handling", delivery(more=strange).document)

    def test_a_big_document_is_kept_whole(self, erp: Erp) -> None:
        big = delivery(more=json.dumps("maçã" * 1_300_000, ensure_ascii=False))
        with _opened(erp) as sink:
            sink.deliver(big)
        held = erp.held("1-01")
        assert held is not None
        assert held[1] == big.document

    def test_many_threads_deliver_one_order_once(self, erp: Erp) -> None:
        kinds = [ORDER_READY, CANCELLATION_REQUESTED, CANCELED]
        same = [delivery(kind, 1 + kinds.index(kind)) for kind in kinds for _ in range(8)]
        with _opened(erp) as sink, ThreadPoolExecutor(len(same)) as threads:
            list(threads.map(sink.deliver, same))
        assert erp.held("1-01") == ("canceled", delivery(CANCELED, 3).document)
        assert erp.told("1-01") == [CANCELLATION_REQUESTED, CANCELED]
        assert erp.orders() == {"1-01"}

    def test_two_sinks_that_start_at_once_do_not_disturb_each_other(self, erp: Erp) -> None:
        def first(number: int) -> None:
            with _opened(erp) as sink:
                sink.deliver(delivery(order_id=f"{number}-01"))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(first, range(8)))
        assert erp.orders() == {f"{number}-01" for number in range(8)}

    def test_an_older_document_changes_nothing(self, erp: Erp) -> None:
        newer = delivery(second=5, status="handling")
        with _opened(erp) as sink:
            sink.deliver(newer)
            sink.deliver(delivery(second=4))
            sink.deliver(delivery(CANCELLATION_REQUESTED, 3))
        assert erp.held("1-01") == ("handling", newer.document)
        assert erp.told("1-01") == [CANCELLATION_REQUESTED]

    def test_a_newer_document_replaces_the_older(self, erp: Erp) -> None:
        newer = delivery(second=2, status="handling")
        with _opened(erp) as sink:
            sink.deliver(delivery(second=1))
            sink.deliver(newer)
        assert erp.held("1-01") == ("handling", newer.document)

    def test_an_unknown_last_change_is_older_than_any(self, erp: Erp) -> None:
        unknown = Delivery(ORDER_READY, "store", "1-01", "handling", "", '{"lastChange": null}')
        newer = delivery()
        with _opened(erp) as sink:
            sink.deliver(unknown)
            sink.deliver(newer)
            sink.deliver(unknown)
        assert erp.held("1-01") == ("ready-for-handling", newer.document)

    def test_a_denied_request_gives_the_order_back_and_a_second_one_counts(self, erp: Erp) -> None:
        with _opened(erp) as sink:
            sink.deliver(delivery(second=1))
            sink.deliver(delivery(CANCELLATION_REQUESTED, 2))
            held = erp.held("1-01")
            assert held is not None
            assert held[0] == "cancellation-requested"
            sink.deliver(delivery(second=3, status="handling"))
            held = erp.held("1-01")
            assert held is not None
            assert held[0] == "handling"
            sink.deliver(delivery(CANCELLATION_REQUESTED, 4))
            sink.deliver(delivery(CANCELLATION_REQUESTED, 4))
        held = erp.held("1-01")
        assert held is not None
        assert held[0] == "cancellation-requested"
        assert erp.told("1-01") == [CANCELLATION_REQUESTED, CANCELLATION_REQUESTED]

    def test_canceled_is_final(self, erp: Erp) -> None:
        end = delivery(CANCELED, 2, status="cancel")
        with _opened(erp) as sink:
            sink.deliver(delivery(second=1))
            sink.deliver(end)
            sink.deliver(delivery(CANCELED, 3))
            sink.deliver(delivery(CANCELED, 4, status="cancel"))
            sink.deliver(delivery(second=5))
            sink.deliver(delivery(CANCELLATION_REQUESTED, 6))
        assert erp.held("1-01") == ("canceled", end.document)
        assert erp.told("1-01") == [CANCELED, CANCELLATION_REQUESTED]

    def test_canceled_may_come_first(self, erp: Erp) -> None:
        end = delivery(CANCELED, 2)
        with _opened(erp) as sink:
            sink.deliver(end)
            sink.deliver(delivery(second=1))
        assert erp.held("1-01") == ("canceled", end.document)

    def test_canceled_wins_over_a_newer_document(self, erp: Erp) -> None:
        with _opened(erp) as sink:
            sink.deliver(delivery(second=5))
            sink.deliver(delivery(CANCELED, 4))
        assert erp.held("1-01") == ("canceled", delivery(CANCELED, 4).document)

    def test_the_order_of_arrival_does_not_matter(self, erp: Erp) -> None:
        story = [
            delivery(second=1),
            delivery(CANCELLATION_REQUESTED, 2),
            delivery(second=3, status="handling"),
            delivery(CANCELED, 4),
        ]
        with _opened(erp) as sink:
            for number, arrival in enumerate(permutations(story)):
                for part in (*arrival, *arrival):
                    sink.deliver(replace(part, order_id=f"{number}-01"))
        for number in range(24):
            assert erp.held(f"{number}-01") == ("canceled", story[-1].document)
            assert erp.told(f"{number}-01") == [CANCELLATION_REQUESTED, CANCELED]

    def test_a_request_that_was_denied_ends_with_the_order_going_on(self, erp: Erp) -> None:
        story = [
            delivery(second=1),
            delivery(CANCELLATION_REQUESTED, 2),
            delivery(second=3, status="handling"),
        ]
        with _opened(erp) as sink:
            for number, arrival in enumerate(permutations(story)):
                for part in (*arrival, *arrival):
                    sink.deliver(replace(part, order_id=f"{number}-01"))
        for number in range(6):
            assert erp.held(f"{number}-01") == ("handling", story[-1].document)
            assert erp.told(f"{number}-01") == [CANCELLATION_REQUESTED]

    def test_late_repeats_of_everything_change_nothing(self, erp: Erp) -> None:
        story = [
            delivery(second=1),
            delivery(CANCELLATION_REQUESTED, 2),
            delivery(second=3, status="handling"),
            delivery(CANCELLATION_REQUESTED, 4),
        ]
        with _opened(erp) as sink:
            for part in (*story, *story, *reversed(story)):
                sink.deliver(part)
        assert erp.held("1-01") == ("cancellation-requested", story[-1].document)
        assert erp.told("1-01") == [CANCELLATION_REQUESTED, CANCELLATION_REQUESTED]

    def test_an_unusual_order_number_is_a_number_like_any_other(self, erp: Erp) -> None:
        ids = {"SLR-1/2", "../up", "a b", "ação", "x" * 100, "CON", "%2F", "1-01.json", "1-01"}
        with _opened(erp) as sink:
            for order_id in sorted(ids):
                sink.deliver(delivery(order_id=order_id))
        assert erp.orders() == ids

    def test_stores_do_not_mix(self, erp: Erp) -> None:
        mine = delivery()
        with _opened(erp) as sink:
            sink.deliver(mine)
            sink.deliver(Delivery(CANCELED, "other", "1-01", "canceled", moment(9), mine.document))
        assert erp.held("1-01") == ("ready-for-handling", mine.document)

    def test_check_passes_and_leaves_nothing_behind(self, erp: Erp) -> None:
        with _opened(erp) as sink:
            sink.check()
        assert erp.orders() == set()

    def test_a_closed_sink_opens_again(self, erp: Erp) -> None:
        with _opened(erp) as sink:
            sink.deliver(delivery(order_id="1-01"))
            sink.close()
            sink.deliver(delivery(order_id="2-01"))
        assert erp.orders() == {"1-01", "2-01"}


class CrashContract:
    """What needs a process that can be killed."""

    def test_what_was_acknowledged_survives_kill_9(self, erp: Erp) -> None:
        writer = _run(_WRITER, erp)
        assert writer.stdout is not None
        acknowledged = {writer.stdout.readline().strip() for _ in range(100)}
        writer.kill()
        acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        writer.stdout.close()
        writer.wait()
        assert len(acknowledged) >= 100
        assert "" not in acknowledged
        assert acknowledged <= erp.orders()
        with _opened(erp) as sink:  # and whatever the dead process was doing is in nobody's way
            sink.deliver(delivery(order_id="next"))
        assert "next" in erp.orders()

    def test_what_kill_9_interrupted_can_be_delivered_again(self, erp: Erp) -> None:
        for _ in range(3):
            writer = _run(_STORIES, erp)
            assert writer.stdout is not None
            for _ in range(20):
                assert writer.stdout.readline().strip()
            writer.kill()
            writer.stdout.close()
            writer.wait()
        begun = erp.orders()
        assert begun
        with _opened(erp) as sink:
            for order_id in sorted(begun):
                for second, kind in STORY:
                    sink.deliver(delivery(kind, second, order_id=order_id))
        assert begun <= erp.orders()
        for order_id in begun:
            assert erp.held(order_id) == ("canceled", delivery(CANCELED, 4, order_id=order_id).document)
            assert erp.told(order_id) == [CANCELLATION_REQUESTED, CANCELED]


#: An order's whole life.
STORY = (1, ORDER_READY), (2, CANCELLATION_REQUESTED), (3, ORDER_READY), (4, CANCELED)

# Tells order after order its story, again and again, and prints each number when it is through.
_STORIES = """
import os, sys, threading
from workers.erp.contract import STORY, delivery
from workers.erp.sink import open_sink
sink = open_sink(sys.argv[1])
def write(name):
    number = 0
    while True:
        for second, kind in STORY:
            sink.deliver(delivery(kind, second, order_id=f"{name}-{number}"))
        os.write(1, f"{name}-{number}\\n".encode())
        number += 1
for name in range(8):
    threading.Thread(target=write, args=(name,)).start()
"""

# Prints an order's id, in one write, after deliver() has returned.
_WRITER = """
import os, sys, threading
from workers.erp.contract import delivery
from workers.erp.sink import open_sink
sink = open_sink(sys.argv[1])
def write(name):
    number = 0
    while True:
        order_id = f"{name}-{number}"
        sink.deliver(delivery(order_id=order_id))
        os.write(1, f"{order_id}\\n".encode())
        number += 1
for name in range(16):
    threading.Thread(target=write, args=(name,)).start()
"""


def _run(program: str, erp: Erp) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, erp.url], stdout=subprocess.PIPE, text=True)  # noqa: S603


@contextmanager
def _opened(erp: Erp) -> Iterator[Sink]:
    sink = open_sink(erp.url)
    try:
        yield sink
    finally:
        sink.close()
