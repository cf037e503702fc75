"""Files and folders where other users may write: no link is followed there, and nothing is taken from a stranger.

Whose own a thing is: this user's, or root's, who may do all anyway. root itself may use what is anybody's.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 64 * 2**20


class Untrusted(OSError):
    """Somebody else could have a hand in it; the message says what is wrong, and what to do."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.EPERM, words)


def ours(status: os.stat_result) -> bool:
    """Whether nobody else owns it."""
    return os.geteuid() == 0 or status.st_uid in {0, os.geteuid()}


def open_to_all(status: os.stat_result) -> bool:
    """Whether every user may put, move and remove things there (with the sticky bit only put)."""
    return bool(status.st_mode & stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX


def folder(path: Path) -> Path:
    """The folder, made for this user alone if it is not there; :class:`Untrusted` if others could exchange it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(path)
    return path


def check_folder(path: Path) -> None:
    """:class:`Untrusted` for a folder that is not only ours. A link to one is a wish of its owner's."""
    status = path.stat()
    if not (ours(path.lstat()) and ours(status)):
        raise Untrusted(
            f"{path} belongs to another user: run this as that user, or name a folder of your own"
        )
    if open_to_all(status):
        raise Untrusted(
            f"every user of this machine may write to {path}: chmod 700 {path}, or name a folder inside of it, which"
            " is then made for this user alone"
        )


def open_file(path: Path | str, flags: int, mode: int = 0o600, *, dir_fd: int | None = None) -> int:
    """An open plain file; :class:`Untrusted` for a link, a pipe, and, to write to, a file of several names.

    Do not give ``O_TRUNC``: that would be done before anybody looks. Whose it is :func:`open_own` looks at.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO}:  # a link (on BSD the second), a pipe
            raise Untrusted(f"{path} is no plain file but a link or a pipe: remove it") from None
        raise
    status = os.fstat(handle)
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    if not stat.S_ISREG(status.st_mode) or (writes and status.st_nlink > 1):
        os.close(handle)
        raise Untrusted(f"{path} is no plain file, or is a hard link of another one: remove it")
    return handle


def open_own(path: Path, flags: int) -> int:
    """As :func:`open_file`, and :class:`Untrusted` if it belongs to another user."""
    handle = open_file(path, flags)
    if not ours(os.fstat(handle)):
        os.close(handle)
        raise Untrusted(f"{path} belongs to another user: remove it")
    return handle


def read_own(path: Path) -> str:
    """What stands in a file that nobody else has put there."""
    with os.fdopen(open_own(path, os.O_RDONLY), encoding="utf-8") as file:
        return file.read(_LARGEST)


def write_new(path: Path, text: str) -> None:
    """Write a file whose name is ours: whatever stands there is removed, not written to."""
    with suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def about_folder(path: Path, *, shared: bool) -> Iterator[str]:
    """What is wrong with who may write to a folder, in words; nothing for one that is not there.

    ``shared``: a group may.
    """
    with suppress(FileNotFoundError):
        status = path.stat()
        if open_to_all(status):
            yield f"every user of this machine may write to {path}"
        elif not shared and status.st_mode & stat.S_IWGRP and not status.st_mode & stat.S_ISVTX:
            yield f"every user of a group may write to {path}"
