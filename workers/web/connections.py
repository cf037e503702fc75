"""How many connections the front door has: fewer than the process may have files, and room for a new one always.

A connection costs nothing to open and to keep. So when there are too many, those go that have been silent for longest,
of the address that has most of them; one whose request is being answered stays. Behind a proxy all have one address,
and who sends his request at once has his answer all the same.
"""

from __future__ import annotations

import contextlib
import resource
from itertools import islice
from typing import Any, Protocol

from workers.web.strangers import Strangers, address_of

#: As many at most, however many files the process may have.
MOST = 8192
#: Files that are needed beside: connections to Redis of each thread and of the broker, and what is accepted at once.
RESERVED = 48
FEWEST = 8
#: A part of all that makes room at once.
_LOT = 64


class Connection(Protocol):
    """What is known of one."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is being answered."""

    @property
    def remote(self) -> str | None:
        """Whose it is."""

    def drop(self) -> None:
        """End it at once."""


def room() -> int:
    """Let this process have as many files as it may; how many of them connections may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = MOST + RESERVED
    wanted = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(min(soft - RESERVED, MOST), FEWEST)


class Connections:
    """All of one process, in the order in which they last asked for something."""

    def __init__(self, most: int, strangers: Strangers) -> None:
        self.most = most
        self.strangers = strangers
        self._of: dict[str, dict[Connection, None]] = {}
        self._count = 0

    def add(self, one: Connection) -> None:
        """A new one; others may have to go."""
        if self._count >= self.most:
            self._make_room()
        if self._count >= self.most:  # all of them are at work
            self._drop(one)
            return
        self._of.setdefault(address_of(one.remote), {})[one] = None
        self._count += 1

    def asked(self, one: Connection) -> None:
        """It has asked for something."""
        own = self._of.get(address_of(one.remote), {})
        if one in own:
            del own[one]
            own[one] = None

    def remove(self, one: Connection) -> None:
        """It has ended."""
        address = address_of(one.remote)
        own = self._of.get(address, {})
        if one in own:
            del own[one]
            self._count -= 1
            if not own:
                del self._of[address]

    def _make_room(self) -> None:
        lot, crowd = max(1, self.most // _LOT), max(self._of.values(), key=len)
        silent = [*islice((one for one in crowd if not one.busy), lot)]
        silent = silent or [*islice((one for own in self._of.values() for one in own if not one.busy), lot)]
        for one in silent:
            self.remove(one)
            self._drop(one)

    def _drop(self, one: Connection) -> None:
        self.strangers.count("too many connections", one.remote)
        one.drop()

    def failed(self, loop: Any, context: dict[str, Any]) -> None:
        """The event loop's trouble: that no file is left is counted, and not written down each time."""
        if str(context.get("message", "")).startswith("socket.accept()"):
            self.strangers.count("no file left", None)
        else:
            loop.default_exception_handler(context)
