"""Orders as files in a folder, from which an ERP takes them. ``docs/erp.md`` explains to its side how.

The rules:

- A file appears whole, under its final name, and exactly once, however often its delivery is repeated: not
  again after the ERP has taken it away, and not twice when a process dies half-way.
- As long as the ERP has not taken an order, a newer document replaces it.
- ``order.canceled`` is final, also when it comes first. It withdraws an order that was not taken yet.
- Each request for cancellation is a file of its own. When one is denied after the order was taken, the ERP is
  told by another file, ``…-order.ready-<instant>.json``.

How a file appears exactly once: (1) it is written into ``pending``, (2) the memory notes that it is given, (3) a
rename moves it out. Whoever finds a noted file in ``pending`` does the third step; nobody does it a second
time, as the first one has moved the file away.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from workers import errors
from workers.erp import sink
from workers.erp.envelope import envelope
from workers.erp.spool_memory import Given, History, Memory, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable

#: The hidden part of the folder: files that are being written, and the memory.
HIDDEN = ".vtexorders"

_CHECK = ".check-"
_TYPES = sink.OCCURRENCES | {sink.ORDER_READY, sink.CANCELED}
_LONGEST_STEM = 150  # of the 255 bytes that a file name may have
_STALE_SECONDS = 3600.0
_DENIED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
)


def open_sink(url: str, _options: sink.SinkOptions) -> sink.Sink:
    """See :func:`workers.erp.sink.open_sink`."""
    path = unquote(url.removeprefix("file://"))
    if not path.startswith("/") or not path.strip("/") or "\0" in path:
        raise errors.Invalid("a spool folder's address has a full path, as in file:///var/spool/orders")
    return SpoolSink(Path(path))


class SpoolSink:
    """Delivers into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending = folder / HIDDEN / "pending"
        self._new = folder / HIDDEN / "new"
        self._known = folder / HIDDEN / "known"
        self._memory = Memory(self._known)
        self._preparing = threading.Lock()
        self._prepared = False

    def __repr__(self) -> str:
        return f"<SpoolSink: {self._folder}>"

    def deliver(self, delivery: sink.Delivery) -> None:
        """See :class:`workers.erp.sink.Sink`."""
        if delivery.type not in _TYPES:
            raise errors.Invalid(f"the spool folder knows no delivery of type {delivery.type!r}")
        content = envelope(delivery)
        self._run(lambda: self._deliver(delivery, content))

    def check(self) -> None:
        """Write a file and move it, as a delivery does, and remove it."""
        self._prepared = False
        self._run(self._check)

    def close(self) -> None:
        """Nothing stays open."""

    def forget(self, account: str, order_id: str) -> str:
        """See :class:`workers.erp.sink.Forgetful`: the files that the ERP has not taken."""
        gone = 0

        def erase() -> None:
            nonlocal gone
            with self._memory.of(account, order_id) as history:
                for given in history.given:
                    for folder in (self._pending, self._folder):
                        with suppress(FileNotFoundError):
                            (folder / given.name).unlink()
                            gone += 1

        self._run(erase)
        return f"{gone} file(s) that the ERP had not taken"

    def expire(self, before: float) -> int:
        """See :class:`workers.erp.sink.Forgetful`: files that the ERP has not taken in all that time."""
        gone = 0

        def erase() -> None:
            nonlocal gone
            for path in self._folder.glob("*.json"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before and _whose(path):
                        path.unlink()
                        gone += 1

        self._run(erase)
        return gone

    def _run(self, work: Callable[[], None]) -> None:
        """Do it, once more if the hidden part turns out to be gone, and raise only errors of our own."""
        failure: errors.OrderLinkError | None = None
        for _ in range(2):
            try:
                self._prepare()
                work()
            except OSError as error:
                self._prepared = False
                failure = self._explain(error)
                if error.errno != errno.ENOENT:
                    break
            else:
                return
        raise failure or errors.Unavailable(f"spool folder {self._folder}: gave no answer")

    def _explain(self, error: OSError) -> errors.OrderLinkError:
        """Nothing of this is about one order, except a name that is too long."""
        words = f"spool folder {self._folder}: {error.strerror or error}"
        if error.errno == errno.ENOENT and not self._folder.exists():
            return errors.AccessDenied(f"{words} (make it; a network drive may not be there)")
        if error.errno == errno.ENAMETOOLONG:
            return errors.Rejected(words)
        return (errors.AccessDenied if error.errno in _DENIED else errors.Unavailable)(words)

    def _prepare(self) -> None:
        """Make the hidden part, but never the folder itself: a drive that is not mounted would look like one."""
        if self._prepared:
            return
        with self._preparing:
            if self._prepared:
                return
            for folder in (self._folder / HIDDEN, self._pending, self._new, self._known):
                with suppress(FileExistsError):
                    folder.mkdir()
                    sync_folder(folder.parent)
            self._clean_up()
            self._prepared = True

    def _clean_up(self) -> None:
        """What processes that died have left: finish it or throw it away."""
        for path in self._pending.glob("*.json"):
            self._finish_pending(path)
        for path in (*self._new.iterdir(), *self._pending.glob(f"{_CHECK}*")):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def _finish_pending(self, path: Path) -> None:
        whose = _whose(path)
        if not whose:
            return
        with self._memory.of(*whose) as history:
            for given in history.given:
                if given.name == path.name:
                    self._publish(given, history)
                    return
        # Not noted, so not acknowledged: its delivery comes again and begins anew.

    def _check(self) -> None:
        name = f"{_CHECK}{uuid.uuid4().hex}"
        self._write(b"{}", name)
        (self._pending / name).rename(self._folder / name)
        sync_folder(self._folder)
        (self._folder / name).unlink()

    def _deliver(self, delivery: sink.Delivery, content: bytes) -> None:
        with self._memory.of(delivery.account, delivery.order_id) as history:
            ended = delivery.type == sink.ORDER_READY and history.of_type(sink.CANCELED)
            if delivery.redelivered and not ended:  # though the ERP has taken it before
                recurs = delivery.type in sink.OCCURRENCES
                self._give(
                    _given(delivery, with_instant=True) if recurs else self._first(delivery), content, history
                )
            elif delivery.type == sink.ORDER_READY:
                self._deliver_order(delivery, content, history)
            else:
                self._deliver_event(delivery, content, history)

    def _deliver_order(self, delivery: sink.Delivery, content: bytes, history: History) -> None:
        if history.of_type(sink.CANCELED):
            return
        orders = history.of_type(sink.ORDER_READY)
        if not orders:
            self._give(self._first(delivery), content, history)
            return
        latest = max(orders, key=lambda given: given.last_change)
        if delivery.last_change <= latest.last_change:
            self._publish(latest, history)  # unless that was done
            return
        newer = Given(sink.ORDER_READY, delivery.last_change, latest.name)
        requests = history.of_type(sink.CANCELLATION_REQUESTED)
        if self._withdraw(latest.name):
            self._give(newer, content, history)
        elif any(request.last_change > latest.last_change for request in requests):
            # The ERP has taken the order and holds it back: tell it to go on.
            self._give(_given(delivery, with_instant=True), content, history)
        else:
            history.add(newer)  # the ERP has taken the order, and never gets it twice

    def _deliver_event(self, delivery: sink.Delivery, content: bytes, history: History) -> None:
        recurs = delivery.type in sink.OCCURRENCES
        for given in history.of_type(delivery.type):
            if not recurs or given.last_change == delivery.last_change:
                self._publish(given, history)  # unless that was done
                return
        self._give(_given(delivery, with_instant=recurs), content, history)

    def _first(self, delivery: sink.Delivery) -> Given:
        """The file of a new order. Two stores may need one name: ``a-b`` with ``1``, and ``a`` with ``b-1``."""
        given = _given(delivery)
        whose = _whose(self._folder / given.name)
        if whose and whose != (delivery.account, delivery.order_id):
            mark = hashlib.sha256(f"{delivery.account}\0{delivery.order_id}".encode()).hexdigest()[:8]
            return replace(given, name=given.name.removesuffix(".json") + f"~{mark}.json")
        return given

    def _give(self, given: Given, content: bytes, history: History) -> None:
        self._write(content, given.name)
        history.add(given)
        self._publish(given, history)

    def _write(self, content: bytes, name: str) -> None:
        """A whole file in ``pending``, on the disk."""
        path = self._new / uuid.uuid4().hex
        try:
            # Not by tempfile, whose files only their owner may read: the ERP is somebody else.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(handle, "wb") as file:  # noqa: PTH123 - a handle, not a path
                file.write(content)
                file.flush()
                os.fsync(handle)
            path.rename(self._pending / name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        sync_folder(self._pending)

    def _publish(self, given: Given, history: History) -> None:
        """Move it out of ``pending``, if it is still there."""
        pending = self._pending / given.name
        if not pending.exists():
            return
        if given.type == sink.CANCELED:
            # Before the ERP sees that it is canceled, for it may take files in any order.
            for order in history.of_type(sink.ORDER_READY):
                (self._pending / order.name).unlink(missing_ok=True)
                (self._folder / order.name).unlink(missing_ok=True)
        pending.rename(self._folder / given.name)
        sync_folder(self._folder)

    def _withdraw(self, name: str) -> bool:
        """Take a file back into ``pending``; False if the ERP has it. Only one of the two can move it."""
        with suppress(FileNotFoundError):
            (self._folder / name).rename(self._pending / name)
        return (self._pending / name).exists()


def _whose(path: Path) -> tuple[str, str] | None:
    """Account and order of a file; None if it is not there any more, or nothing of ours."""
    try:
        content = json.loads(path.read_bytes())
        return str(content["account"]), str(content["orderId"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _given(delivery: sink.Delivery, *, with_instant: bool = False) -> Given:
    return Given(delivery.type, delivery.last_change, file_name(delivery, with_instant=with_instant))


def file_name(delivery: sink.Delivery, *, with_instant: bool = False) -> str:
    """``<account>-<order_id>-<type>.json``, or with the instant of the change before ``.json``.

    Whatever is not a letter, a digit or one of ``. _ - ~`` is %-encoded; a name that would be too long ends with a
    fingerprint instead.
    """
    stem = f"{quote(delivery.account, safe='')}-{quote(delivery.order_id, safe='')}"
    if stem.startswith("."):
        stem = f"%2E{stem[1:]}"
    if len(stem) > _LONGEST_STEM:
        stem = f"{stem[:100]}~{hashlib.sha256(stem.encode()).hexdigest()[:16]}"
    instant = (
        f"-{delivery.last_change.replace('-', '').replace(':', '') or 'unknown'}" if with_instant else ""
    )
    return f"{stem}-{delivery.type}{instant}.json"
