"""The folders of a spool folder, held open while a delivery goes on.

The ERP's user may write to the spool folder, and so put a link where the hidden part was. An open folder stays
the one that it was: no name is looked up again, and no link is followed.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workers.private import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The hidden part of the folder: files that are being written, and the memory.
HIDDEN = ".vtexorders"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Places:
    """Descriptors: the spool folder itself, and the three of its hidden part."""

    root: int
    pending: int
    new: int
    known: int


@contextmanager
def places(folder: Path, *, make: bool = False) -> Iterator[Places]:
    """Open them, for as long as the context lasts.

    ``make``: also make the hidden part, but never the folder itself: a drive that is not mounted would look like one.
    """
    with ExitStack() as stack:

        def entered(name: Path | str, inside: int | None = None) -> int:
            if inside is None:
                handle = os.open(name, _FOLDER)
            else:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=inside)
                        sync(inside)
                handle = _inside(str(name), inside)
            stack.callback(os.close, handle)
            return handle

        root = entered(folder)
        hidden = entered(HIDDEN, root)
        pending, new, known = (entered(name, hidden) for name in ("pending", "new", "known"))
        yield Places(root, pending, new, known)


def _inside(name: str, inside: int) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=inside)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP, errno.EMLINK}:
            raise Untrusted(f"{name} in it is no folder but a link or a file: remove it") from None
        raise


def sync(folder: int) -> None:
    """Bring names that were made, changed or removed in an open folder to the disk."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # some network drives cannot
            raise
