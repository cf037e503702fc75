"""What a spool folder remembers of the files that were put into it.

The ERP takes files away, so the folder alone cannot tell a repeat from a new order. The memory is a few
hundred text files in the hidden part of the folder, one line a file that was given out; they only grow. Plain
files with a lock each, and no database: a spool folder is often on a network drive, where a database file
breaks, and a person can read them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.erp.spool_places import sync
from workers.private import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds to wait for somebody else who delivers an order that shares the same file.
WAIT_SECONDS = 30.0
_PAUSES = 0.002, 0.02


@dataclass(frozen=True, slots=True)
class Given:
    """One file that the ERP was given."""

    type: str
    last_change: str
    name: str


@contextmanager
def history_of(folder: int, account: str, order_id: str) -> Iterator[History]:
    """The history of one order in the memory's open folder.

    Nobody else can read or change it meanwhile, be it a thread or another process.
    """
    digest = hashlib.sha256(f"{account}\0{order_id}".encode()).hexdigest()
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    handle = open_file(f"{digest[:2]}.jsonl", flags, 0o666, dir_fd=folder)
    try:
        _lock(handle)
        yield History(handle, folder, account, order_id)
    finally:
        os.close(handle)  # which unlocks, as the end of the process does


class History:
    """What the ERP was given of one order, the earliest first."""

    def __init__(self, handle: int, folder: int, account: str, order_id: str) -> None:
        self._handle = handle
        self._folder = folder
        self._whose = json.dumps([account, order_id])[:-1]
        self.given = list(self._read())

    def of_type(self, kind: str) -> list[Given]:
        """The files of one type."""
        return [given for given in self.given if given.type == kind]

    def add(self, given: Given) -> None:
        """Remember, durably."""
        line = f"{self._whose}, {json.dumps([given.type, given.last_change, given.name])[1:]}\n".encode()
        size = os.fstat(self._handle).st_size
        if size == 0:
            sync(self._folder)  # the file itself may be new
        elif os.pread(self._handle, 1, size - 1) != b"\n":
            line = b"\n" + line  # after a power cut
        try:
            _write(self._handle, line)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, size)
            raise
        self.given.append(given)

    def _read(self) -> Iterator[Given]:
        start = f"{self._whose}, ".encode()
        with open(self._handle, "rb", closefd=False) as file:
            for line in file:
                if line.startswith(start) and line.endswith(b"\n"):
                    with contextlib.suppress(ValueError):
                        yield Given(*json.loads(line)[2:])


def _write(handle: int, line: bytes) -> None:
    if os.write(handle, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(handle)


def _lock(handle: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError("too many deliveries are waiting for it") from None
            time.sleep(random.uniform(*_PAUSES))
        else:
            return
