"""What processes use: processor time and memory, from Linux's ``/proc``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME, _STIME, _RSS, _PARENT = 11, 12, 21, 1  # fields of /proc/PID/stat, counted behind the name


@dataclass(frozen=True, slots=True)
class Usage:
    """Of some processes together: processor seconds since they began, and resident memory in bytes."""

    cpu: float = 0.0
    rss: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.rss + other.rss)


def cores() -> int:
    """How many of the machine's cores a process may use."""
    return len(os.sched_getaffinity(0))


def of(pid: int) -> Usage:
    """Of one process; nothing if there is none."""
    stat = _stat(pid)
    if stat is None:
        return Usage()
    return Usage((int(stat[_UTIME]) + int(stat[_STIME])) / _TICKS, int(stat[_RSS]) * _PAGE)


def of_all(pids: list[int]) -> Usage:
    """Of several processes together."""
    return sum(map(of, pids), Usage())


def family(pid: int) -> dict[int, str]:
    """A process and all that descend from it: process id → command line."""
    parents = {}
    for entry in _PROC.glob("[0-9]*"):
        stat = _stat(int(entry.name))
        if stat is not None:
            parents[int(entry.name)] = int(stat[_PARENT])
    found, before = {pid}, 0
    while len(found) != before:
        before = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return {one: _command(one) for one in sorted(found)}


def _stat(pid: int) -> list[str] | None:
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _command(pid: int) -> str:
    try:
        return (
            (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    except OSError:
        return ""
