"""Posts the hook's events to whoever asked for them."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from workers.sandbox.hook import PING

if TYPE_CHECKING:
    from workers.sandbox.hook import Delivery, Hook, Target

_AT_ONCE = 32


class Postman:
    """Sends what is due, a few at a time. An answer counts when it is 200 and in time, as at VTEX."""

    def __init__(self, hook: Hook, timeout: float) -> None:
        self._hook = hook
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    async def ping(self, target: Target) -> bool:
        """Say whether the address answers as it should."""
        return await self._post(target, PING)

    def send_due(self) -> None:
        """Begin to send what is due."""
        for delivery in self._hook.take_due():
            task = asyncio.create_task(self._deliver(delivery))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop sending."""
        for task in list(self._running):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, delivery: Delivery) -> None:
        async with self._slots:
            target = self._hook.target
            taken = target is not None and await self._post(target, self._hook.body(delivery.event))
        self._hook.settle(delivery, taken=taken)

    async def _post(self, target: Target, body: dict[str, Any]) -> bool:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                target.url, json=body, headers=target.headers, allow_redirects=False
            ) as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False
