"""What is planned: anything that VTEX does by itself some time after a call."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.sandbox.clock import Clock

#: Gets the moment it was planned for, which may be earlier than now.
Action = Callable[[float], None]


class Agenda:
    """Actions in the order of their time; of one time, in the order of their planning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self._due: list[tuple[float, int, Action]] = []

    def after(self, seconds: float, action: Action) -> None:
        """Plan an action from now."""
        self.at(self._clock() + seconds, action)

    def at(self, moment: float, action: Action) -> None:
        """Plan an action for a moment."""
        self._count += 1
        heapq.heappush(self._due, (moment, self._count, action))

    def run_due(self) -> None:
        """Do what is due, also what it plans for a moment that has passed."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            moment, _, action = heapq.heappop(self._due)
            action(moment)
