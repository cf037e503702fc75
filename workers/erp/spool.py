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
from workers.erp.spool_memory import Given, History, history_of
from workers.erp.spool_places import Places, places, sync
from workers.private import Untrusted, open_file

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._preparing = threading.Lock()
        self._prepared = False

    def __repr__(self) -> str:
        return f"<SpoolSink: {self._folder}>"

    def deliver(self, delivery: sink.Delivery) -> None:
        """See :class:`workers.erp.sink.Sink`."""
        if delivery.type not in _TYPES:
            raise errors.Invalid(f"the spool folder knows no delivery of type {delivery.type!r}")
        content = envelope(delivery)
        self._run(lambda at: self._deliver(at, delivery, content))

    def check(self) -> None:
        """Write a file and move it, as a delivery does, and remove it."""
        self._prepared = False
        self._run(self._check)

    def close(self) -> None:
        """Nothing stays open."""

    def forget(self, account: str, order_id: str) -> str:
        """See :class:`workers.erp.sink.Forgetful`: the files that the ERP has not taken."""
        gone = 0

        def erase(at: Places) -> None:
            nonlocal gone
            with history_of(at.known, account, order_id) as history:
                for given in history.given:
                    for folder in (at.pending, at.root):
                        with suppress(FileNotFoundError):
                            os.unlink(given.name, dir_fd=folder)
                            gone += 1

        self._run(erase)
        return f"{gone} file(s) that the ERP had not taken"

    def expire(self, before: float) -> int:
        """See :class:`workers.erp.sink.Forgetful`: files that the ERP has not taken in all that time."""
        gone = 0

        def erase(at: Places) -> None:
            nonlocal gone
            for name in _files(at.root):
                with suppress(FileNotFoundError):
                    if _changed(name, at.root) < before and _whose(name, at.root):
                        os.unlink(name, dir_fd=at.root)
                        gone += 1

        self._run(erase)
        return gone

    def _run(self, work: Callable[[Places], None]) -> None:
        """Do it, once more if the hidden part turns out to be gone, and raise only errors of our own."""
        failure: errors.OrderLinkError | None = None
        for _ in range(2):
            try:
                self._prepare()
                with places(self._folder) as at:
                    work(at)
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
            with places(self._folder, make=True) as at:
                self._clean_up(at)
            self._prepared = True

    def _clean_up(self, at: Places) -> None:
        """What processes that died have left: finish it or throw it away."""
        for name in _files(at.pending):
            self._finish_pending(at, name)
        checks = (name for name in _names(at.pending) if name.startswith(_CHECK))
        for folder, name in (
            *((at.new, name) for name in _names(at.new)),
            *((at.pending, one) for one in checks),
        ):
            # a folder is none of ours
            with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                if time.time() - _changed(name, folder) > _STALE_SECONDS:
                    os.unlink(name, dir_fd=folder)

    def _finish_pending(self, at: Places, name: str) -> None:
        whose = _whose(name, at.pending)
        if not whose:
            return
        with history_of(at.known, *whose) as history:
            for given in history.given:
                if given.name == name:
                    self._publish(at, given, history)
                    return
        # Not noted, so not acknowledged: its delivery comes again and begins anew.

    def _check(self, at: Places) -> None:
        name = f"{_CHECK}{uuid.uuid4().hex}"
        self._write(at, b"{}", name)
        os.rename(name, name, src_dir_fd=at.pending, dst_dir_fd=at.root)
        sync(at.root)
        os.unlink(name, dir_fd=at.root)

    def _deliver(self, at: Places, delivery: sink.Delivery, content: bytes) -> None:
        with history_of(at.known, delivery.account, delivery.order_id) as history:
            ended = delivery.type == sink.ORDER_READY and history.of_type(sink.CANCELED)
            if delivery.redelivered and not ended:  # though the ERP has taken it before
                recurs = delivery.type in sink.OCCURRENCES
                again = _given(delivery, with_instant=True) if recurs else self._first(at, delivery)
                self._give(at, again, content, history)
            elif delivery.type == sink.ORDER_READY:
                self._deliver_order(at, delivery, content, history)
            else:
                self._deliver_event(at, delivery, content, history)

    def _deliver_order(self, at: Places, delivery: sink.Delivery, content: bytes, history: History) -> None:
        if history.of_type(sink.CANCELED):
            return
        orders = history.of_type(sink.ORDER_READY)
        if not orders:
            self._give(at, self._first(at, delivery), content, history)
            return
        latest = max(orders, key=lambda given: given.last_change)
        if delivery.last_change <= latest.last_change:
            self._publish(at, latest, history)  # unless that was done
            return
        newer = Given(sink.ORDER_READY, delivery.last_change, latest.name)
        requests = history.of_type(sink.CANCELLATION_REQUESTED)
        if self._withdraw(at, latest.name):
            self._give(at, newer, content, history)
        elif any(request.last_change > latest.last_change for request in requests):
            # The ERP has taken the order and holds it back: tell it to go on.
            self._give(at, _given(delivery, with_instant=True), content, history)
        else:
            history.add(newer)  # the ERP has taken the order, and never gets it twice

    def _deliver_event(self, at: Places, delivery: sink.Delivery, content: bytes, history: History) -> None:
        recurs = delivery.type in sink.OCCURRENCES
        for given in history.of_type(delivery.type):
            if not recurs or given.last_change == delivery.last_change:
                self._publish(at, given, history)  # unless that was done
                return
        self._give(at, _given(delivery, with_instant=recurs), content, history)

    def _first(self, at: Places, delivery: sink.Delivery) -> Given:
        """The file of a new order. Two stores may need one name: ``a-b`` with ``1``, and ``a`` with ``b-1``."""
        given = _given(delivery)
        whose = _whose(given.name, at.root)
        if whose and whose != (delivery.account, delivery.order_id):
            mark = hashlib.sha256(f"{delivery.account}\0{delivery.order_id}".encode()).hexdigest()[:8]
            return replace(given, name=given.name.removesuffix(".json") + f"~{mark}.json")
        return given

    def _give(self, at: Places, given: Given, content: bytes, history: History) -> None:
        self._write(at, content, given.name)
        history.add(given)
        self._publish(at, given, history)

    def _write(self, at: Places, content: bytes, name: str) -> None:
        """A whole file in ``pending``, on the disk."""
        fresh = uuid.uuid4().hex
        try:
            # Not by tempfile, whose files only their owner may read: the ERP is somebody else.
            handle = open_file(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=at.new)
            with open(handle, "wb") as file:  # noqa: PTH123 - a handle, not a path
                file.write(content)
                file.flush()
                os.fsync(handle)
            os.rename(fresh, name, src_dir_fd=at.new, dst_dir_fd=at.pending)
        except BaseException:
            _remove(fresh, at.new)
            raise
        sync(at.pending)

    def _publish(self, at: Places, given: Given, history: History) -> None:
        """Move it out of ``pending``, if it is still there."""
        if not _is_there(given.name, at.pending):
            return
        if given.type == sink.CANCELED:
            # Before the ERP sees that it is canceled, for it may take files in any order.
            for order in history.of_type(sink.ORDER_READY):
                _remove(order.name, at.pending)
                _remove(order.name, at.root)
        os.rename(given.name, given.name, src_dir_fd=at.pending, dst_dir_fd=at.root)
        sync(at.root)

    def _withdraw(self, at: Places, name: str) -> bool:
        """Take a file back into ``pending``; False if the ERP has it. Only one of the two can move it."""
        with suppress(FileNotFoundError):
            os.rename(name, name, src_dir_fd=at.root, dst_dir_fd=at.pending)
        return _is_there(name, at.pending)


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _files(folder: int) -> list[str]:
    return [name for name in _names(folder) if name.endswith(".json")]


def _changed(name: str, folder: int) -> float:
    return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime


def _is_there(name: str, folder: int) -> bool:
    try:
        _changed(name, folder)
    except FileNotFoundError:
        return False
    return True


def _remove(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _whose(name: str, folder: int) -> tuple[str, str] | None:
    """Account and order of a file; None if it is not there any more, or nothing of ours."""
    try:
        with open(open_file(name, os.O_RDONLY, dir_fd=folder), "rb") as file:  # noqa: PTH123 - a handle, not a path
            content = json.loads(file.read())
        return str(content["account"]), str(content["orderId"])
    except (FileNotFoundError, Untrusted, ValueError, KeyError, TypeError, RecursionError):
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
