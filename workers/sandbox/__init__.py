"""A stand-in VTEX over real HTTP, for tests, the demo and anyone who wants to try before going live."""

from __future__ import annotations

from workers.sandbox.console import command

__all__ = ["command"]
