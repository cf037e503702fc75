"""Sums up in the log what anybody can make happen: the first at once, and then a line a minute at most."""

from __future__ import annotations

import asyncio
from collections import Counter

from workers import telemetry

log = telemetry.get(__name__)

#: Seconds.
EVERY = 60.0
#: Of more addresses in one minute the rest is counted without them.
MOST_ADDRESSES = 1000


class Tally:
    """Counts within the event loop that runs."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._kinds: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def count(self, kind: str, address: str) -> None:
        """One more."""
        self._kinds[kind] += 1
        known = address in self._addresses or len(self._addresses) < MOST_ADDRESSES
        self._addresses[address if known else "others"] += 1
        if self._timer is None:
            self._say()

    def close(self) -> None:
        """Say what has not been said."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._kinds:
            self._write()

    def _say(self) -> None:
        if not self._kinds:
            self._timer = None
            return
        self._write()
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._say)

    def _write(self) -> None:
        [(address, most)] = self._addresses.most_common(1)
        log.warning(
            self._event,
            count=self._kinds.total(),
            kinds=dict(self._kinds),
            address=address,
            of_it=most,
            addresses=len(self._addresses),
        )
        self._kinds.clear()
        self._addresses.clear()
