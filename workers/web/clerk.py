"""Records commands for all who wait at once: one trip to Redis, and one to the queue, for a whole lot of them.

Alone, a command is recorded as soon as it comes. While a lot is on its way the next one gathers, so that under load
the cost of a trip is shared. Each is still recorded by its own atomic move, and answered only after it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from workers import intake
from workers.command_ledger import ENDS, CommandLedger
from workers.errors import Conflict
from workers.intake import Acceptance, Request
from workers.web.office import PATIENCE, Office, hint
from workers.web.problems import Problem, unavailable

#: The most that go together: a lot takes some milliseconds.
LOT = 64


@dataclass(frozen=True, slots=True)
class _Slip:
    book: CommandLedger
    request: Request
    answer: asyncio.Future[Acceptance]


class Clerk:
    """One an application."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._waiting: list[_Slip] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False
        self._going: list[tuple[str, str, str, str]] = []
        self._sending = False

    async def accept(self, book: CommandLedger, request: Request) -> Acceptance:
        """Record it. :class:`Conflict`: the id belongs to another request; a problem (503): Redis does not let us."""
        slip = _Slip(book, request, asyncio.get_running_loop().create_future())
        self._waiting.append(slip)
        if not self._writing:
            self._writing = True
            self._begin(self._write())
        try:
            async with asyncio.timeout(PATIENCE):
                return await slip.answer
        except TimeoutError:
            raise unavailable("the ledger does not answer now; try again, with the same key") from None

    async def close(self) -> None:
        """Until what is on its way has arrived."""
        while self._tasks:  # what was recorded is still sent
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        try:
            while self._waiting:
                lot, self._waiting = self._waiting[:LOT], self._waiting[LOT:]
                await self._record([slip for slip in lot if not slip.answer.done()])
        finally:
            self._writing = False

    async def _record(self, lot: Sequence[_Slip]) -> None:
        failed: Exception | None = None
        answers: list[Acceptance | Conflict] = []
        try:
            answers = await self._office.do(_recorded, lot)
        except Problem as problem:
            failed = problem
        except Exception as error:  # noqa: BLE001 - each who waits must hear of it
            failed = error
        for place, slip in enumerate(lot):
            if slip.answer.done():  # whoever asked is gone, or has waited too long
                continue
            answer = failed or answers[place]
            if isinstance(answer, Exception):
                slip.answer.set_exception(answer)
            else:
                slip.answer.set_result(answer)
        self._going += [
            (slip.book.account, answer.id, slip.request.kind, slip.request.order_id)
            for slip, answer in zip(lot, answers, strict=False)
            if isinstance(answer, Acceptance) and answer.state not in ENDS
        ]
        if self._going and not self._sending:
            self._sending = True
            self._begin(self._send())

    async def _send(self) -> None:
        """After the answers: a message is a hint, and nobody need wait for it."""
        try:
            while self._going:
                lot, self._going = self._going, []
                with contextlib.suppress(Problem):  # it is logged, and the sweeper sends them again
                    await self._office.do(hint, intake.enqueue_all, lot)
        finally:
            self._sending = False


def _recorded(lot: Sequence[_Slip]) -> list[Acceptance | Conflict]:
    answers: dict[int, Acceptance | Conflict] = {}
    for book in {id(slip.book): slip.book for slip in lot}.values():
        places = [place for place, slip in enumerate(lot) if slip.book is book]
        found = intake.record(book, [lot[place].request for place in places])
        answers.update(zip(places, found, strict=True))
    return [answers[place] for place in range(len(lot))]
