"""Beat's clock, which tells the heartbeat each time that it ticks."""

from __future__ import annotations

from typing import Any

from celery.beat import Scheduler

from workers import lifecycle, runtime


class Clock(Scheduler):  # type: ignore[misc]
    """Celery's scheduler in memory: every tick may be lost or doubled, so none is remembered."""

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; seconds until the next look."""
        process = runtime.current()
        if process.heartbeat:
            process.heartbeat.pulse()
        else:
            lifecycle.beat_starts()
        seconds: float = super().tick(*args, **options)
        return seconds
