"""``python -m workers.sandbox``: the sandbox without the rest of the console."""

from __future__ import annotations

from workers.sandbox import command

command()
