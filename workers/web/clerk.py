"""Records for all who wait at once: one trip to Redis, and one to the queue, for a whole lot of commands or events.

Alone, each is recorded as soon as it comes. While a lot is on its way the next one gathers, so that under load the
cost of a trip is shared. Each is still recorded by its own atomic move, and answered only after it. The messages go
after the answers: they are hints, and nobody need wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from workers import dispatch, intake
from workers.command_ledger import ENDS, CommandLedger
from workers.errors import Conflict
from workers.intake import Acceptance, Request
from workers.ledger import Ledger
from workers.vtex.schemas import Event
from workers.web.office import PATIENCE, Office, hint
from workers.web.problems import Problem, unavailable

#: The most that are recorded together: a lot takes some milliseconds.
LOT = 64

BookT = TypeVar("BookT", bound=Ledger | CommandLedger)
WhatT = TypeVar("WhatT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class _Slip(Generic[BookT, WhatT, AnswerT]):
    book: BookT
    what: WhatT
    answer: asyncio.Future[AnswerT]


class Clerk(Generic[BookT, WhatT, AnswerT]):
    """``record`` answers each of a lot for one book; ``send`` sends on their way those that were answered."""

    def __init__(
        self,
        office: Office,
        record: Callable[[BookT, list[WhatT]], Sequence[AnswerT | Exception]],
        send: Callable[[list[tuple[BookT, WhatT, AnswerT]]], None],
    ) -> None:
        self._office = office
        self._record_all = record
        self._send_all = send
        self._waiting: list[_Slip[BookT, WhatT, AnswerT]] = []
        self._going: list[tuple[BookT, WhatT, AnswerT]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = self._sending = False

    async def accept(self, book: BookT, what: WhatT) -> AnswerT:
        """Record it; raises what ``record`` answers with, or a problem (503): Redis does not let us, or not in time."""
        slip = _Slip(book, what, asyncio.get_running_loop().create_future())
        self._waiting.append(slip)
        if not self._writing:
            self._writing = True
            self._begin(self._write())
        try:
            async with asyncio.timeout(PATIENCE):
                answer: AnswerT = await slip.answer
        except TimeoutError:
            raise unavailable("the ledger does not answer now; try again, with the same key") from None
        return answer

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

    async def _record(self, lot: Sequence[_Slip[BookT, WhatT, AnswerT]]) -> None:
        answers: Sequence[AnswerT | Exception]
        try:
            answers = await self._office.do(self._recorded, lot)
        except Exception as error:  # noqa: BLE001 - each who waits must hear of it
            answers = [error] * len(lot)
        for slip, answer in zip(lot, answers, strict=True):
            if not isinstance(answer, Exception):
                self._going.append((slip.book, slip.what, answer))
            if slip.answer.done():  # whoever asked is gone, or has waited too long
                continue
            if isinstance(answer, Exception):
                slip.answer.set_exception(answer)
            else:
                slip.answer.set_result(answer)
        if self._going and not self._sending:
            self._sending = True
            self._begin(self._send())

    def _recorded(self, lot: Sequence[_Slip[BookT, WhatT, AnswerT]]) -> list[AnswerT | Exception]:
        places: dict[int, list[int]] = defaultdict(list)
        for place, slip in enumerate(lot):
            places[id(slip.book)].append(place)
        answers: dict[int, AnswerT | Exception] = {}
        for those in places.values():
            found = self._record_all(lot[those[0]].book, [lot[place].what for place in those])
            answers.update(zip(those, found, strict=True))
        return [answers[place] for place in range(len(lot))]

    async def _send(self) -> None:
        try:
            while self._going:
                lot, self._going = self._going, []
                with contextlib.suppress(Problem):  # it is logged, and the sweeper sends them again
                    await self._office.do(hint, self._send_all, lot)
        finally:
            self._sending = False


Commands: TypeAlias = Clerk[CommandLedger, Request, Acceptance]
Events: TypeAlias = Clerk[Ledger, Event, str]


def of_commands(office: Office) -> Commands:
    """Takes what an ERP asks for. :class:`Conflict`: the id belongs to another request."""
    return Clerk(office, _record_commands, _send_commands)


def of_events(office: Office) -> Events:
    """Takes what VTEX's hook tells, as the feed's events are taken; there is only nothing to commit."""
    return Clerk(office, Ledger.observe, _send_orders)


def _record_commands(book: CommandLedger, requests: list[Request]) -> Sequence[Acceptance | Conflict]:
    return intake.record(book, requests)


def _send_commands(accepted: list[tuple[CommandLedger, Request, Acceptance]]) -> None:
    intake.enqueue_all(
        (book.account, answer.id, request.kind, request.order_id)
        for book, request, answer in accepted
        if answer.state not in ENDS
    )


def _send_orders(observed: list[tuple[Ledger, Event, str]]) -> None:
    orders: dict[str, dict[str, None]] = defaultdict(dict)
    for ledger, event, verdict in observed:
        if verdict in ("new", "again"):
            orders[ledger.account][event.order_id] = None
    for account, ids in orders.items():
        dispatch.enqueue_all(account, list(ids))
