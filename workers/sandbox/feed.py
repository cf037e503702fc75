"""The queue behind the order feed, with the manners of the SQS standard queue that VTEX's feed stands on.

At least once, roughly in order but not promised, short reads, a new handle at every receive. All moves are
O(1) or O(log n), so that a backlog of 100,000 events costs nothing.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.sandbox.clock import Clock

MAX_LOT = 10
#: A read looks at this many times the events it hands out, so that the order is not kept.
_WINDOW = 3
_SHORT = 0.25
_EMPTY = 0.06
#: So many empty reads in a row at most while there are events to see.
_EMPTY_RUN = 2


class Event(NamedTuple):
    """One change of one order, as the feed tells it. ``state`` is None for an incomplete order."""

    event_id: str
    order_id: str
    domain: str
    state: str | None
    last_state: str | None
    last_change: str
    current_change: str


@dataclass(slots=True)
class _Message:
    event: Event
    created: float
    receipt: int = 0
    hidden_until: float = 0.0


class Committed(NamedTuple):
    """What a commit did: the events it took away, and how many handles were stale or unknown."""

    events: list[Event]
    stale: int
    unknown: int


class FeedQueue:
    """Events that wait for a commit. ``visibility`` and ``retention`` are seconds and may be changed."""

    def __init__(
        self,
        clock: Clock,
        seed: int = 1,
        visibility: float = 30.0,
        retention: float = 345_600.0,
        *,
        short_reads: bool = True,
    ) -> None:
        self.visibility = visibility
        self.retention = retention
        self.short_reads = short_reads
        self.created = 0
        self.committed = 0
        self.expired = 0
        self.redelivered = 0
        #: Uncommitted messages of each order.
        self.pending: Counter[str] = Counter()
        self._clock = clock
        self._seed = seed
        self._random = random.Random(f"feed:{seed}")
        self._messages: dict[int, _Message] = {}
        self._ages: deque[int] = deque()
        self._visible: deque[int] = deque()
        self._hidden: list[tuple[float, int, int]] = []
        self._empty_run = 0

    def __len__(self) -> int:
        """Count what is not committed, hidden messages included, as VTEX's ``quantity`` does."""
        self._expire()
        return len(self._messages)

    def put(self, event: Event) -> None:
        """Queue an event."""
        self.created += 1
        self._messages[self.created] = _Message(event, self._clock())
        self._ages.append(self.created)
        self._visible.append(self.created)
        self.pending[event.order_id] += 1

    def receive(self, limit: int = MAX_LOT) -> list[tuple[str, Event]]:
        """Hand out at most ``limit`` events with their new handles, and hide them for a while."""
        now = self._clock()
        self._expire()
        self._reappear(now)
        candidates: list[int] = []
        while self._visible and len(candidates) < limit * _WINDOW:
            number = self._visible.popleft()
            if number in self._messages:
                candidates.append(number)
        wanted = self._wanted(min(limit, len(candidates)))
        chosen = set(self._random.sample(candidates, wanted))
        self._visible.extendleft(number for number in reversed(candidates) if number not in chosen)
        answer = []
        for number in chosen:
            message = self._messages[number]
            message.receipt += 1
            self.redelivered += message.receipt > 1
            message.hidden_until = now + self.visibility
            heapq.heappush(self._hidden, (message.hidden_until, number, message.receipt))
            answer.append((self._handle(number, message.receipt), message.event))
        self._random.shuffle(answer)
        return answer

    def commit(self, handles: Iterable[str]) -> Committed:
        """Take away the events of these handles. A stale or unknown handle changes nothing and is no error.

        A handle is good until its event comes back: VTEX's feed guide calls the visibility timeout the last
        moment for a commit.
        """
        now = self._clock()
        self._expire()
        events: list[Event] = []
        stale = unknown = 0
        for handle in handles:
            read = self._read_handle(handle)
            if read is None:
                unknown += 1
                continue
            number, receipt = read
            message = self._messages.get(number)
            if message is None:
                stale += 1  # committed before, or expired
            elif message.receipt != receipt or message.hidden_until <= now:
                stale += 1
            else:
                self._drop(number)
                self.committed += 1
                events.append(message.event)
        return Committed(events, stale, unknown)

    def oldest_age(self) -> float:
        """Return the age in seconds of the oldest uncommitted event; 0 when there is none."""
        self._expire()
        return self._clock() - self._messages[self._ages[0]].created if self._ages else 0.0

    def clear(self) -> None:
        """Forget every event, as deleting the feed does."""
        self._messages.clear()
        self._ages.clear()
        self._visible.clear()
        self._hidden.clear()
        self.pending.clear()

    def _wanted(self, most: int) -> int:
        if not self.short_reads or most == 0:
            return most
        draw = self._random.random()
        if draw < _EMPTY and self._empty_run < _EMPTY_RUN:
            self._empty_run += 1
            return 0
        self._empty_run = 0
        return self._random.randint(1, most) if draw < _SHORT else most

    def _reappear(self, now: float) -> None:
        while self._hidden and self._hidden[0][0] <= now:
            _, number, receipt = heapq.heappop(self._hidden)
            message = self._messages.get(number)
            if message is not None and message.receipt == receipt:
                self._visible.append(number)

    def _expire(self) -> None:
        oldest_allowed = self._clock() - self.retention
        while self._ages:
            message = self._messages.get(self._ages[0])
            if message is not None:
                if message.created > oldest_allowed:
                    return
                self._drop(self._ages[0])
                self.expired += 1
            self._ages.popleft()

    def _drop(self, number: int) -> None:
        order_id = self._messages.pop(number).event.order_id
        self.pending[order_id] -= 1
        if not self.pending[order_id]:
            del self.pending[order_id]

    def _handle(self, number: int, receipt: int) -> str:
        """Make a handle that looks like those of SQS and can be checked without being remembered."""
        plain = number.to_bytes(6, "big") + receipt.to_bytes(4, "big")
        tail = hashlib.shake_256(f"handle:{self._seed}".encode() + plain).digest(236)
        return base64.b64encode(b"\x01\x01\x01" + _veil(plain, tail) + tail).decode()

    def _read_handle(self, handle: str) -> tuple[int, int] | None:
        try:
            raw = base64.b64decode(handle, validate=True)
        except ValueError:
            return None
        plain = _veil(raw[3:13], raw[13:])
        number, receipt = int.from_bytes(plain[:6], "big"), int.from_bytes(plain[6:], "big")
        return (number, receipt) if self._handle(number, receipt) == handle else None


def _veil(plain: bytes, tail: bytes) -> bytes:
    """Hide the number of a message in its handle, or show it again: the same move both ways."""
    mask = int.from_bytes(hashlib.shake_256(tail).digest(10), "big")
    return (int.from_bytes(plain, "big") ^ mask).to_bytes(10, "big")
