"""How many readers the feed has at once, and when they stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tasks import feed
from workers import errors

LOT = feed.LARGEST_LOT


@pytest.fixture
def drain(monkeypatch):
    """Drain a feed whose reads bring what ``read(number of the read)`` says; how many reads that were."""

    def run(
        read: Callable[[int], int], room: int = 100_000, rooms: Iterator[int] | None = None
    ) -> tuple[bool, int]:
        count, lock = 0, threading.Lock()

        def read_lot(_link) -> int:
            nonlocal count
            with lock:
                count += 1
                number = count
            return read(number)

        monkeypatch.setattr(feed, "read_lot", read_lot)
        monkeypatch.setattr(feed, "_room", lambda _link: next(rooms) if rooms else room - count * LOT)
        process = SimpleNamespace(stopping=threading.Event())
        with ThreadPoolExecutor(feed.IO_THREADS) as io:
            more = feed.drain(process, SimpleNamespace(io=io), lambda: None)
        return more, count

    return run


def test_a_slow_read_holds_up_no_other(drain):
    """The third one ends only when forty others have."""
    others = threading.Event()

    def read(number: int) -> int:
        if number == 3:
            assert others.wait(30)
        if number == 43:
            others.set()
        return LOT if number < 50 else 0

    more, reads = drain(read)
    assert not more
    assert 50 <= reads < 50 + feed.EMPTY_READS + 2 * feed.IO_THREADS


def test_a_feed_that_is_empty_is_asked_by_one_reader(drain):
    assert drain(lambda _: 0) == (False, feed.EMPTY_READS)


def test_short_lots_go_on(drain):
    """The feed gives few, or nothing, now and then, though more is there."""
    gives = {1: 1, 2: 0, 3: 2, 4: 0, 5: 0, 6: 10}
    _, reads = drain(lambda number: gives.get(number, 0))
    assert reads >= 9


def test_no_more_is_read_than_there_is_room_for(drain, monkeypatch):
    monkeypatch.setattr(feed, "ROOM_SECONDS", 0)
    more, reads = drain(lambda _: LOT, room=5 * LOT - 3)
    assert (more, reads) == (False, 5)


def test_it_goes_on_when_there_is_room_again(drain, monkeypatch):
    """As soon as orders have ended, not at the next tick."""
    monkeypatch.setattr(feed, "ROOM_SECONDS", 0)
    rooms = iter([2 * LOT, 0, 0, 0, LOT, *[0] * 100])
    _, reads = drain(lambda _: LOT, rooms=rooms)
    assert reads == 3


def test_what_many_readers_do_not_find_at_the_same_time_is_not_the_end(drain):
    """More comes one by one, as it does where ten orders come a second: one reader finds it."""
    lock, asking, single = threading.Lock(), [], [1] * 5

    def read(number: int) -> int:
        if number <= 20:
            return LOT
        with lock:
            asking.append(number)
        time.sleep(0.01)
        with lock:
            alone = len(asking) == 1
            asking.remove(number)
        return single.pop() if alone and single else 0

    more, _ = drain(read)
    assert not more
    assert not single


def test_what_passes_counts_as_nothing_and_what_does_not_ends_it(drain):
    def passing(number: int) -> int:
        if number == 1:
            raise errors.Unavailable("busy")
        return 0

    assert drain(passing) == (False, feed.EMPTY_READS)

    def refused(_number: int) -> int:
        raise errors.AccessDenied("no")

    with pytest.raises(errors.AccessDenied):
        drain(refused)


def test_when_its_time_is_over_there_is_more(drain, monkeypatch):
    monkeypatch.setattr(feed, "DRAIN_SECONDS", -1.0)
    assert drain(lambda _: LOT) == (True, 0)
