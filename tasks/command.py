"""The base of a command: record, claim, body, finish; one at a time an order; the ERP is told how it ended.

A program that has only the broker's address sends ``orders.invoice`` and the like by name: the first thing that
happens to such a message is that it is recorded. All other ways in (console, HTTP) record first and send a
message with the command's id alone.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from celery import Task
from celery.worker.request import Request

from tasks.base import BROKER_TROUBLE, PAUSE_SECONDS
from workers import errors, intake, runtime, telemetry
from workers.command_ledger import DEAD, DONE, REFUSED, CommandClaim, CommandLedger
from workers.ledger import Refusal
from workers.policy import CRASH_LIMIT, Bury, Decision, Park, Pause, Retry
from workers.runtime import Link
from workers.vtex.client import Vtex
from workers.vtex.details import OrderDetails
from workers.vtex.receipts import ChangeStatus
from workers.vtex.schemas import Order

log = telemetry.get(__name__)
_rng = random.Random()

#: Seconds between the looks at a change or a cancellation that VTEX is working on; after these, the last one goes on.
FOLLOW = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
#: Seconds between the looks at an order that is not ready for a command.
WAIT = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
#: An effect is believed to be absent after so many looks, so far apart, so long after it was sent (seconds).
ABSENT_LOOKS, ABSENT_GAP, ABSENT_AFTER = 2, 5.0, 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """The command had its effect; ``outcome`` is for programs, ``words`` for people."""

    outcome: dict[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The command cannot have its effect, and why, in words for an ERP's user."""

    words: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet: ``follow`` keeps its turn, ``wait`` lets later commands of the order pass. Seconds."""

    why: str
    after: float = 0.0
    how: Literal["follow", "wait"] = "wait"

    @classmethod
    def wait(cls, why: str) -> Later:
        """The order is not ready for it; how long to wait follows from how often it waited."""
        return cls(why)


Outcome = Done | Refused | Later


class TakenOver(Exception):
    """Another worker took the command over (this one stalled): stop, do nothing more."""


@dataclass(slots=True)
class CommandWork:
    """One claimed command, with what a body needs."""

    link: Link
    book: CommandLedger
    claim: CommandClaim
    wanted: Any
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def order_id(self) -> str:
        return self.claim.order_id

    @property
    def vtex(self) -> Vtex:
        return self.link.vtex

    @property
    def legacy_changes(self) -> bool:
        return self.link.settings.change_api == "legacy"

    def order(self) -> Order:
        """The order as it is now."""
        return self.vtex.get_order(self.order_id)

    def changes(self) -> list[ChangeStatus]:
        """The order's changes; an order that never had one may be unknown to VTEX's changes."""
        try:
            return self.vtex.list_changes(self.order_id)
        except errors.NotFound:
            return []

    def running_change(self, history: list[ChangeStatus] | None = None) -> bool:
        """Whether a change of the order has not ended; one made by hand in VTEX's Admin counts too."""
        history = self.changes() if history is None else history
        return any(
            not (one if one.finished else self.vtex.get_change(self.order_id, one.request_id)).finished
            for one in history
        )

    def mark_sent(self, **memo: Any) -> None:
        """Write down that VTEX is about to be called."""
        self.memo |= memo | {"sent_at": self.book.ledger.now(), "looks": []}
        if not self.book.mark(self.claim, self.memo, sent=True):
            raise TakenOver

    def absence_unsure(self, *, patient: bool = False) -> Later | None:
        """After a call whose answer was lost: None once it is certain that it had no effect.

        The caller has just looked and found nothing; ``patient`` asks for more (where money moves back).
        """
        now, times = self.book.ledger.now(), 2 if patient else 1
        looks = self.memo.setdefault("looks", [])
        if not looks or now - looks[-1] >= ABSENT_GAP:
            looks.append(now)
        since = now - self.memo.get("sent_at", now)
        if len(looks) >= ABSENT_LOOKS * times and since >= ABSENT_AFTER * times:
            return None
        after = max(ABSENT_GAP, min(ABSENT_AFTER * times - since, 10.0))
        return Later("whether VTEX has it already is being made sure", after, "follow")

    def follow(self, why: str) -> Later:
        """VTEX works on it: look again soon, then less often."""
        turn = self.memo["followed"] = self.memo.get("followed", 0) + 1
        self.memo.setdefault("requested", True)
        return Later(why, FOLLOW[min(turn, len(FOLLOW)) - 1], "follow")

    def invoices(self, details: OrderDetails) -> list[tuple[str | None, str, int]]:
        """(number, Output or Input, cents) of the order's invoices: VTEX's, and ours that it does not show yet."""
        shown = [(p.number, "Input" if p.is_return else "Output", p.value or 0) for p in details.packages]
        numbers = {number for number, _, _ in shown}
        for record in self.book.of_order(self.order_id):
            if record.kind == "invoice" and record.state == DONE:
                ours = intake.check(
                    "invoice", self.order_id, record.payload, zone=self.link.settings.timezone
                )
                if ours.number not in numbers:
                    shown.append((ours.number, ours.type, ours.value))
        return shown


class DiscreetRequest(Request):  # type: ignore[misc]
    """Shows order, id and account in Flower and in Celery's logs, and nothing of the payload."""

    @property
    def kwargsrepr(self) -> str:
        """What events and logs say of the arguments."""
        return repr({name: self.kwargs.get(name) for name in ("order_id", "key", "account")})

    @property
    def argsrepr(self) -> str:
        """Arguments by position are not for eyes."""
        return "()"


class Command(Task):  # type: ignore[misc]
    """A Celery task for one kind of command. Arguments by keyword: order_id, the payload, account, key."""

    abstract = True
    kind = ""
    max_retries = None
    typing = False  # what is wrong with the arguments is said in words
    Request = "tasks.command:DiscreetRequest"

    def __call__(
        self, order_id: Any = None, *, account: str | None = None, key: str | None = None, **asked: Any
    ) -> None:
        process = runtime.current()
        try:
            name = process.settings.account(account).name
        except KeyError as error:
            log.error("command_refused", why=str(error.args[0]), kind=self.kind, task_id=self.request.id)
            return
        link = process.link(name)
        book = CommandLedger(link.ledger)
        id_ = key if key is not None else str(self.request.id)
        with telemetry.bind(
            account=name,
            order_id=str(order_id)[:100],
            command=str(id_)[:200],
            kind=self.kind,
            task_id=self.request.id,
        ):
            try:
                if asked and not self._recorded(link, book, order_id, asked, key):
                    return
                self._carry(link, book, str(id_))
            except BROKER_TROUBLE as error:
                log.warning("redis_unavailable", error=type(error).__name__)

    def _recorded(
        self, link: Link, book: CommandLedger, order_id: Any, asked: dict[str, Any], key: Any
    ) -> bool:
        """Record a request that came by the broker; False when it is refused (and that is recorded)."""
        # a cancellation's reason stands among the arguments by itself
        payload = asked if self.kind == "cancel" and "cancel" not in asked else asked.get(self.kind)
        try:
            accepted = intake.accept(
                book,
                self.kind,
                order_id,
                payload,
                zone=link.settings.timezone,
                key=key if key is not None else self.request.id,
            )
        except errors.OrderLinkError as error:
            own_id = isinstance(error, errors.Invalid) and isinstance(key, str)
            intake.refuse(
                book, self.kind, order_id, payload, id_=str(key if own_id else self.request.id), why=error
            )
            log.warning("refused", why=str(error))
            return False
        if not accepted.repeated:
            log.info("accepted")
        return True

    def _carry(self, link: Link, book: CommandLedger, id_: str) -> None:
        if "vtex" in link.ledger.paused():
            return  # it stays due: the sweeper brings it back after the pause
        claim = book.claim(id_, uuid.uuid4().hex)
        if isinstance(claim, Refusal):
            log.debug("nothing_to_do", why=claim.why)
            return
        if claim.crashes >= CRASH_LIMIT:
            why = f"its worker died {claim.crashes} times while it worked on this command"
            self._finish(link, claim, DEAD, outcome={"why": why}, words=why)
            return
        if link.settings.shadow:
            words = "shadow mode is on: nothing is sent to VTEX"
            self._finish(link, claim, REFUSED, outcome={"why": words}, words=words)
            return
        wanted = intake.check(claim.kind, claim.order_id, claim.payload, zone=link.settings.timezone)
        work = CommandWork(link, book, claim, wanted, dict(claim.memo))
        try:
            outcome = self.run(work)
        except TakenOver:
            log.warning("claim_lost")
            return
        except BROKER_TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the command must not be lost
            self._failed(work, error)
        else:
            self._follow_up(work, outcome)

    def _follow_up(self, work: CommandWork, outcome: Outcome) -> None:
        match outcome:
            case Done(result, words):
                self._finish(work.link, work.claim, DONE, outcome=result | {"says": words}, words=words)
            case Refused(words):
                self._finish(work.link, work.claim, REFUSED, outcome={"why": words}, words=words)
            case Later(why, after, how):
                if how == "wait":
                    turn = work.memo["waited"] = work.memo.get("waited", 0) + 1
                    after = WAIT[min(turn, len(WAIT)) - 1]
                    if work.claim.age >= work.link.policy.horizon:
                        words = f"given up: {why}"
                        self._finish(work.link, work.claim, DEAD, outcome={"why": words}, words=words)
                        return
                self._later(work, after, why, "wait" if how == "wait" else "retry", counts=False)

    def _failed(self, work: CommandWork, error: Exception) -> None:
        """An error of the body: a refusal by VTEX ends the command, all else is for the policy."""
        if not isinstance(error, errors.OrderLinkError):
            log.error("unexpected_error", exc_info=error)
            error = errors.Unavailable(f"an unexpected error in this program: {type(error).__name__}")
        match error:
            case errors.NotFound() if not work.memo.get("missed"):
                work.memo["missed"] = True
                self._follow_up(work, Later("VTEX does not know it: looking a second time", 2.0, "follow"))
            case errors.NotFound():
                self._follow_up(
                    work, Refused(f"VTEX does not know this order, or this invoice of it ({error})")
                )
            case errors.Permanent():
                self._follow_up(work, Refused(str(error)))
            case errors.NotYet():
                self._follow_up(work, Later.wait(str(error)))
            case _:
                work.link.trouble(error)
                decision = work.link.policy.decide(
                    error, attempt=work.claim.attempts, age=work.claim.age, rng=_rng
                )
                self._decided(work, decision, str(error))

    def _decided(self, work: CommandWork, decision: Decision, why: str) -> None:
        match decision:
            case Retry(after, counts):
                self._later(work, after, why, "retry", counts=counts)
            case Park(after):
                self._later(work, after, why, "park")
            case Pause(_, reason):
                self._later(work, PAUSE_SECONDS, reason, "park", counts=False)
            case Bury(reason):
                self._finish(work.link, work.claim, DEAD, outcome={"why": reason}, words=reason)

    def _later(
        self,
        work: CommandWork,
        after: float,
        why: str,
        how: Literal["retry", "park", "wait"],
        *,
        counts: bool = True,
    ) -> None:
        work.book.mark(work.claim, work.memo)
        ours, following = work.book.defer(work.claim, after, why, how=how, counts=counts)
        if not ours:
            log.warning("claim_lost")
            return
        log.info("later", why=why, after=round(after, 1), how=how)
        self._send_next(work.link, work.book, following)
        if how == "retry":
            kwargs = {"order_id": work.order_id, "account": work.link.account.name, "key": work.claim.id}
            raise self.retry(args=(), kwargs=kwargs, countdown=after)

    def _finish(
        self, link: Link, claim: CommandClaim, to: str, *, outcome: dict[str, Any], words: str
    ) -> None:
        book = CommandLedger(link.ledger)
        ours, following = book.finish(claim, to, outcome, words)
        if not ours:
            log.warning("claim_lost")
            return
        log.info(to, says=words, attempt=claim.attempts)
        self.app.send_task("orders.tell", kwargs={"account": link.account.name})
        self._send_next(link, book, following)

    def _send_next(self, link: Link, book: CommandLedger, id_: str) -> None:
        if id_ and (record := book.record(id_)):
            intake.enqueue(link.account.name, id_, record.kind, record.order_id)

    def run(self, work: Any) -> Outcome:
        """The body of the command."""
        raise NotImplementedError
