"""Moments for programs: RFC 3339 in UTC, with milliseconds and ``Z``, as in ``2026-11-20T14:03:32.100Z``.

Every ``--json`` and every HTTP answer of ours has them so, and what an ERP or a chat program is sent. Inside, in Redis,
a moment is a number: seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime

#: What all of them look like, for descriptions.
FORM = "RFC 3339, in UTC, such as 2026-11-20T14:03:32.100Z"


def utc(seconds: float) -> str:
    """Seconds since 1970 as a moment."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def utc_if(seconds: float | None) -> str | None:
    """The same; None, or 0, is no moment."""
    return utc(seconds) if seconds else None
