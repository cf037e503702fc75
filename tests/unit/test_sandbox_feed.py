"""The queue behind the sandbox's feed keeps the manners of VTEX's."""

import pytest

from workers.sandbox.clock import ManualClock
from workers.sandbox.feed import Event, FeedQueue


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(clock):
    return FeedQueue(clock, visibility=30, retention=1000, short_reads=False)


def event(number, order="1000000000001-01"):
    return Event(f"E{number}", order, "Fulfillment", "ready-for-handling", "window-to-cancel", "a", "b")


def test_a_read_hides_what_it_hands_out_and_a_commit_takes_it_away(queue, clock):
    queue.put(event(1))
    [(handle, item)] = queue.receive()
    assert item.event_id == "E1"
    assert queue.receive() == []
    assert len(queue) == 1  # in flight counts
    assert [taken.event_id for taken in queue.commit([handle]).events] == ["E1"]
    clock.now += 31
    assert queue.receive() == []
    assert len(queue) == 0


def test_what_is_not_committed_comes_back_with_a_new_handle(queue, clock):
    queue.put(event(1))
    [(first, _)] = queue.receive()
    clock.now += 30
    [(second, item)] = queue.receive()
    assert item.event_id == "E1"
    assert first != second
    assert queue.redelivered == 1


def test_a_handle_is_stale_once_its_event_came_back(queue, clock):
    queue.put(event(1))
    [(first, _)] = queue.receive()
    clock.now += 30
    [(second, _)] = queue.receive()
    result = queue.commit([first])
    assert (result.events, result.stale) == ([], 1)
    assert len(queue) == 1
    assert len(queue.commit([second]).events) == 1


def test_the_visibility_timeout_is_the_last_moment_for_a_commit(queue, clock):
    queue.put(event(1))
    [(handle, _)] = queue.receive()
    clock.now += 30
    assert queue.commit([handle]).stale == 1
    assert len(queue) == 1


def test_a_second_commit_is_stale_and_a_strange_handle_unknown(queue):
    queue.put(event(1))
    [(handle, _)] = queue.receive()
    assert len(queue.commit([handle, handle]).events) == 1
    assert queue.commit([handle]).stale == 1
    for strange in ("", "x", "é", "AQEB", "A" * 332, handle[:-8] + "AAAAAAA="):
        assert queue.commit([strange]).unknown == 1


def test_handles_look_like_those_of_the_queue_behind_vtex(queue):
    for number in range(10):
        queue.put(event(number))
    handles = [handle for handle, _ in queue.receive()]
    assert len(set(handles)) == 10
    assert all(len(handle) > 300 and handle.startswith("AQEB") for handle in handles)
    assert len({handle[:12] for handle in handles}) == 10  # not a counter to be seen


def test_a_read_never_hands_out_more_than_asked(queue):
    for number in range(25):
        queue.put(event(number))
    assert [len(queue.receive(limit)) for limit in (10, 1, 10, 10)] == [10, 1, 10, 4]


def test_the_order_of_arrival_is_not_kept(queue):
    for number in range(100):
        queue.put(event(number))
    seen = [item.event_id for _ in range(10) for _, item in queue.receive()]
    assert sorted(seen) == sorted(f"E{number}" for number in range(100))
    assert seen != [f"E{number}" for number in range(100)]


def test_reads_may_be_short_or_empty_but_not_for_ever(clock):
    queue = FeedQueue(clock, visibility=10**9, retention=10**10)
    for number in range(2000):
        queue.put(event(number))
    sizes = []
    while sum(sizes) < 2000:
        sizes.append(len(queue.receive()))
    assert 0 in sizes
    assert any(0 < size < 10 for size in sizes)
    assert "0,0,0" not in ",".join(map(str, sizes))


def test_the_same_seed_gives_the_same_reads(clock):
    runs = []
    for _ in range(2):
        queue = FeedQueue(clock, seed=7)
        for number in range(200):
            queue.put(event(number))
        runs.append([[(handle, item.event_id) for handle, item in queue.receive()] for _ in range(20)])
    assert runs[0] == runs[1]


def test_events_vanish_after_the_retention_committed_or_not(queue, clock):
    queue.put(event(1))
    clock.now += 999
    queue.put(event(2))
    assert queue.oldest_age() == 999
    clock.now += 1
    assert len(queue) == 1
    assert queue.expired == 1
    assert [item.event_id for _, item in queue.receive()] == ["E2"]


def test_a_flight_that_outlives_the_retention_ends_there(queue, clock):
    queue.put(event(1))
    clock.now += 990
    [(handle, _)] = queue.receive()
    clock.now += 15
    assert queue.commit([handle]).events == []
    clock.now += 30
    assert queue.receive() == []


def test_pending_events_are_known_by_order(queue):
    queue.put(event(1, "a"))
    queue.put(event(2, "a"))
    queue.put(event(3, "b"))
    assert queue.pending == {"a": 2, "b": 1}
    queue.commit([handle for handle, item in queue.receive() if item.order_id == "a"])
    assert queue.pending == {"b": 1}
    queue.clear()
    assert len(queue) == 0
    assert queue.oldest_age() == 0
    assert queue.receive() == []


def test_a_hundred_thousand_events_go_through_whole(clock):
    queue = FeedQueue(clock, visibility=10**6, retention=10**7)
    for number in range(100_000):
        queue.put(event(number, f"o{number}"))
    committed = 0
    while len(queue):
        committed += len(queue.commit([handle for handle, _ in queue.receive()]).events)
    assert committed == 100_000
    assert not queue.pending
