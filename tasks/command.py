"""The base of a command: record, claim, body, finish; one at a time an order; the ERP is told how it ended.

A program that has only the broker's address sends ``orders.invoice`` and the like by name: the first thing that
happens to such a message is that it is recorded. All other ways in (console, HTTP) record first and send a
message with the command's id alone.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from celery import Task
from celery.exceptions import Reject
from celery.worker.request import Request

from tasks.base import BROKER_TROUBLE, PAUSE_SECONDS, as_ours
from workers import errors, intake, runtime, strict_json, telemetry, unknown_messages
from workers.command_ledger import DEAD, DONE, REFUSED, CommandClaim, CommandLedger, CommandRecord
from workers.ledger import Refusal
from workers.net.words import clean, date
from workers.policy import CRASH_LIMIT, Bury, Decision, Park, Pause, Retry
from workers.queues import COMMANDS
from workers.runtime import Link
from workers.vtex.client import Vtex
from workers.vtex.details import OrderDetails
from workers.vtex.receipts import ChangeStatus
from workers.vtex.schemas import Order

log = telemetry.get(__name__)
unknown_messages.say_little()
_rng = random.Random()

#: Seconds between the looks at a change or a cancellation that VTEX is working on; after these, the last one goes on.
FOLLOW = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
#: Seconds between the looks at an order that is not ready for a command.
WAIT = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
#: An effect is believed to be absent after so many looks, so far apart, so long after it was sent (seconds).
ABSENT_LOOKS, ABSENT_GAP, ABSENT_AFTER = 2, 5.0, 30.0
#: Where absence takes longer than this (seconds), the looks are farther apart.
LONG_ABSENCE = 120.0
#: Seconds until a message is given back that nothing could be done with, as Redis took no request.
AGAIN_SECONDS = 1.0
#: Seconds: how exactly the date of an answer tells VTEX's clock; what is allowed for where no answer has one.
CLOCK_PRECISION, CLOCKS_DIFFER = 5.0, 3600.0


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
    """Not yet. ``after``: seconds.

    ``follow`` keeps its turn. ``wait`` (the order is not ready) and ``pass`` (VTEX has it, and a person decides)
    let later commands of the order go first.
    """

    why: str
    after: float = 0.0
    how: Literal["follow", "pass", "wait"] = "wait"

    @classmethod
    def wait(cls, why: str) -> Later:
        """The order is not ready for it; how long to wait follows from how often it waited."""
        return cls(why)


Outcome = Done | Refused | Later

#: After one of these VTEX certainly did not do what it was asked.
_WITHOUT_EFFECT = (errors.Permanent, errors.NotYet, errors.RateLimited, errors.AccessDenied)


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
    calling: bool = False  # VTEX is being called by this task
    _before: dict[str, Any] = field(default_factory=dict)  # the memo without that call

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
        self._before = dict(self.memo)
        writes = self.memo.get("writes", 0) + 1
        self.memo |= memo | {"sent_at": None, "looks": [], "writes": writes}
        limiter = self.link.limiter
        marked = self.book.mark(self.claim, self.memo, sent=True, pace=limiter.first_pace)
        if not marked:
            raise TakenOver
        self.memo["sent_at"] = marked.at
        limiter.hold(marked.slot)
        self.calling = True

    def mark_known(self, **memo: Any) -> None:
        """Write down that it is certain by now that VTEX has it."""
        self.memo |= memo
        self.calling = False
        if not self.book.mark(self.claim, self.memo, sent=False):
            raise TakenOver

    def mark_not_sent(self) -> None:
        """The call certainly had no effect, as if it had not been made; an earlier one still may have had one."""
        self.memo, self.calling = self._before, False
        self.book.mark(self.claim, self.memo, sent=None if self.claim.sent else False)

    def absence_unsure(self, *, patient: bool = False) -> Later | None:
        """None once it is certain that VTEX has nothing of it: after a lost answer, or a lost ledger.

        The caller has just looked and found nothing; ``patient`` asks for more (where money moves back). Each
        time that it was in vain, the next waits twice as long.
        """
        times = 2 if patient else 1
        if not self.claim.sent and not self.may_be_forgotten(ABSENT_AFTER * times):
            return None
        now = self.book.ledger.now()
        looks = self.memo.setdefault("looks", [])
        if not looks or now - looks[-1] >= ABSENT_GAP:
            looks.append(now)
        since = now - self.memo.get("sent_at", self._forgotten_until())
        enough = ABSENT_AFTER * times * 2 ** min(max(self.memo.get("writes", 0) - 1, 0), 6)
        if len(looks) >= ABSENT_LOOKS * times and since >= enough:
            return None
        after = max(ABSENT_GAP, min(enough - since, 10.0 if enough < LONG_ABSENCE else 60.0))
        return Later("whether VTEX has it already is being made sure", after, "follow")

    def may_be_forgotten(self, visible_after: float = ABSENT_AFTER) -> bool:
        """Whether VTEX may have been sent this a moment ago, and the ledger that knew it was lost.

        Not if the order's handling began in this ledger's time: nothing was sent for it before. And not once VTEX
        shows everything that was sent before this ledger began (``visible_after``, in seconds).
        """
        if self.claim.at - self._forgotten_until() >= visible_after:
            return False
        record = self.book.ledger.record(self.order_id)
        return not (record and any((e.code, e.detail) == ("handled", "") for e in record.timeline))

    def _forgotten_until(self) -> float:
        """When the last call ended of which this ledger may know nothing, in seconds since 1970."""
        return self.claim.complete_since + self.link.settings.http_timeout

    def known_since(self) -> str:
        """VTEX's date (UTC) from which on this ledger knows of every change that was sent through it.

        The two clocks are compared by the date of VTEX's last answer; without one they may differ much.
        """
        ahead = CLOCKS_DIFFER
        if at_vtex := date(self.vtex.server_date):
            ahead = at_vtex.timestamp() - self.book.ledger.now() + CLOCK_PRECISION
        return f"{datetime.fromtimestamp(self._forgotten_until() + ahead, UTC):%Y-%m-%dT%H:%M:%S}"

    def follow(self, why: str, how: Literal["follow", "pass"] = "follow") -> Later:
        """VTEX works on it: look again soon, then less often."""
        turn = self.memo["followed"] = self.memo.get("followed", 0) + 1
        return Later(why, FOLLOW[min(turn, len(FOLLOW)) - 1], how)

    def others(self) -> list[CommandRecord]:
        """The commands of the order that are remembered, this one among them unless it is the only one."""
        return [] if self.claim.only else self.book.of_order(self.order_id)

    def invoices(self, details: OrderDetails) -> list[tuple[str | None, str, int | None]]:
        """(number, Output or Input, cents) of the order's invoices: VTEX's, and ours that it does not show yet.

        Of ours that it shows without their value, the value is ours.
        """
        done = [one.outcome for one in self.others() if one.kind == "invoice" and one.state == DONE]
        ours = {one["invoiceNumber"]: one["invoiceValue"] for one in done}
        shown = [
            (
                one.number,
                "Input" if one.is_return else "Output",
                ours.get(one.number) if one.value is None else one.value,
            )
            for one in details.packages
        ]
        numbers = {number for number, _, _ in shown}
        shown += [
            (one["invoiceNumber"], one["type"], one["invoiceValue"])
            for one in done
            if one["invoiceNumber"] not in numbers
        ]
        return shown


def _shown(value: Any) -> str | None:
    """An argument as it may be shown: an id, and nothing that was put in its place by mistake."""
    if value is None:
        return None
    return value if isinstance(value, str) and intake.ID.fullmatch(value) else "(not an id)"


class DiscreetRequest(Request):  # type: ignore[misc]
    """Shows order, id and account in Flower, to `celery inspect` and in Celery's logs; nothing of the payload."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        given = _arguments(self._task.kind, tuple(self._args or ()), self._kwargs or {})
        # the sender wrote down how its arguments read, the payload among them
        self._argsrepr = "()"
        self._kwargsrepr = repr({name: _shown(given.get(name)) for name in ("order_id", "key", "account")})
        self._request_dict |= {"argsrepr": self._argsrepr, "kwargsrepr": self._kwargsrepr}
        # our own messages hold ids alone, and are not read twice
        self._request_dict["twice"] = None if given.get("recorded") is True else self._twice()

    def _twice(self) -> str | None:
        """The name that stands twice in one object of the message: what was decoded has the last of its values."""
        try:
            strict_json.read(self._message.body, sys.maxsize)
        except strict_json.Twice as wrong:
            return wrong.name
        except (strict_json.Unreadable, TypeError):
            pass  # Celery could read it; what it holds is looked at with the payload
        return None

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002 - it is always safe
        """What `celery inspect` and Flower's page of a worker show."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown


def _arguments(kind: str, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their names; those without one are understood in the documented order."""
    names = ("order_id", "reason" if kind == "cancel" else kind, "account", "key")
    more = {
        f"argument {place}": value for place, value in enumerate(positional[len(names) :], len(names) + 1)
    }
    return dict(zip(names, positional, strict=False)) | more | named


class Command(Task):  # type: ignore[misc]
    """A Celery task for one kind of command: order_id, the payload (of cancel: its reason), account, key.

    Our own messages have ``recorded``: they name a command that stands in the ledger. What it returns is shown by
    Flower, to a sender who has nothing but the task's id.
    """

    abstract = True
    kind = ""
    max_retries = None
    typing = False  # what is wrong with the arguments is said in words
    Request = "tasks.command:DiscreetRequest"

    def __call__(self, *positional: Any, recorded: bool = False, **named: Any) -> str:
        asked = _arguments(self.kind, positional, named)
        order_id, account, key = (asked.pop(name, None) for name in ("order_id", "account", "key"))
        settings, wrong = runtime.current().settings, None
        try:
            name = settings.account(_shown(account)).name
        except KeyError as error:
            # a store that does not exist has no ledger: the answer stands where its sender looks for it
            name, wrong = next(iter(settings.accounts)), errors.Invalid(f"account: {error.args[0]}")
        link = runtime.current().link(name)
        id_ = str(self.request.id if key is None else key)
        with telemetry.bind(
            account=name,
            order_id=_shown(order_id),
            command=_shown(id_),
            kind=self.kind,
            task_id=self.request.id,
            began=time.monotonic(),
        ):
            try:
                if wrong:
                    # whose ERP should hear of it is what nobody knows, where there are several
                    anybody = len(settings.accounts) == 1
                    return self._refuse(link, order_id, asked, key, wrong, tell=anybody)
                if recorded:
                    claim = link.commands.claim(id_, runtime.current().token(), pace=link.limiter.first_pace)
                    self._carry(link, claim)
                    return f"command {_shown(id_)}"
                try:
                    self._once(self.request.get("twice"))
                    begun = self._record(link, order_id, asked, key)
                except errors.OrderLinkError as why:
                    # which of two keys is meant, nobody can tell
                    known = None if self.request.get("twice") == "key" else key
                    return self._refuse(link, order_id, asked, known, why)
                recorded = True
                if begun:
                    self._carry(link, begun.claim, begun.wanted)
                else:
                    # it came by everybody's queue, and has its turn in its store's
                    intake.enqueue(name, id_, self.kind, str(order_id))
            except BROKER_TROUBLE as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                if not recorded:  # this message is all that there is of it
                    time.sleep(AGAIN_SECONDS)
                    raise Reject(requeue=True) from None
            return f"command {_shown(id_)}"

    def _once(self, twice: str | None) -> None:
        if twice:
            raise errors.Invalid(f"the message {strict_json.Twice(twice)}")

    def _payload(self, asked: dict[str, Any]) -> Any:
        # a cancellation's reason stands among the arguments by itself
        return asked if self.kind == "cancel" and "cancel" not in asked else asked.get(self.kind)

    def _record(self, link: Link, order_id: Any, asked: dict[str, Any], key: Any) -> intake.Begun | None:
        """Record a request that came by the broker, and claim it; None if it is to be carried by its store's queue."""
        strange = [name for name in asked if name != self.kind]
        if self.kind != "cancel" and self.kind not in asked and not strange:
            raise errors.Invalid(f"{self.kind}: is missing; it is the argument with the payload")
        if strange and (self.kind != "cancel" or "cancel" in asked):
            raise errors.Invalid(
                f"the payload is the argument {self.kind}; not known: {clean(', '.join(strange), (), 100)}"
            )
        request = (link.commands, self.kind, order_id, self._payload(asked))
        zone, key = link.settings.timezone, str(self.request.id) if key is None else key
        begun = None
        if link.queues[COMMANDS] == COMMANDS:
            begun = intake.begin(
                *request, zone=zone, key=key, token=runtime.current().token(), pace=link.limiter.first_pace
            )
        accepted = begun.acceptance if begun else intake.accept(*request, zone=zone, key=key)
        if not accepted.repeated and not (begun and isinstance(begun.claim, CommandClaim)):
            log.info("accepted")  # of one that is carried at once the next line tells
        return begun

    def _refuse(
        self,
        link: Link,
        order_id: Any,
        asked: dict[str, Any],
        key: Any,
        why: errors.OrderLinkError,
        *,
        tell: bool = True,
    ) -> str:
        """Record the refusal of a request, under its key or, where that is another's, under the task's id."""
        # another request's key names that one, and a key that is none names nothing
        own = isinstance(why, errors.Invalid) and isinstance(key, str) and intake.ID.fullmatch(key)
        payload, task_id = self._payload(asked), str(self.request.id)
        id_ = key
        if not own or not intake.refuse(link.commands, self.kind, order_id, payload, id_=key, why=why):
            id_ = task_id
            intake.refuse(link.commands, self.kind, order_id, payload, id_=task_id, why=why)
        if tell:
            self.app.send_task("orders.tell", kwargs={"account": link.account.name})
        elif record := link.commands.record(id_):
            link.commands.told(id_, record.ended)
        log.warning("refused", why=str(why))
        return f"refused: {why}"

    def _carry(self, link: Link, claim: CommandClaim | Refusal, wanted: Any = None) -> None:
        """Work at a command; ``wanted`` is its payload, if it was checked just now."""
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
        work = CommandWork(link, link.commands, claim, wanted, dict(claim.memo))
        try:
            if wanted is None:
                zone = link.settings.timezone
                work.wanted = intake.check(claim.kind, claim.order_id, claim.payload, zone=zone)
            with link.limiter.first():
                link.limiter.hold(claim.slot)
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
            case Later(why, _, _) if work.claim.age >= work.link.policy.horizon:
                words = f"given up after {work.claim.age / 3600:.0f} h: {why}"
                self._finish(work.link, work.claim, DEAD, outcome={"why": words}, words=words)
            case Later(why, _, "wait"):
                turn = work.memo["waited"] = work.memo.get("waited", 0) + 1
                self._later(work, WAIT[min(turn, len(WAIT)) - 1], why, "wait", fresh=True)
            case Later(why, after, how):
                self._later(work, after, why, "retry" if how == "follow" else "pass", fresh=True)

    def _failed(self, work: CommandWork, error: Exception) -> None:
        """An error of the body: a refusal by VTEX ends the command, all else is for the policy."""
        error = as_ours(error)
        if work.calling and isinstance(error, _WITHOUT_EFFECT):
            work.mark_not_sent()
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
            case errors.AccessDenied(status=HTTPStatus.FORBIDDEN):
                # a permission for this kind of command is missing: the store's orders go on without it
                log.error("not_permitted", why=str(error))
                self._follow_up(work, Later.wait(str(error)))
            case _ if scope := work.link.paused_at(error):
                self._decided(work, Pause(scope, str(error)), str(error))
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
        how: Literal["retry", "park", "wait", "pass"],
        *,
        counts: bool = True,
        fresh: bool = False,
    ) -> None:
        work.book.mark(work.claim, work.memo)
        ours, following = work.book.defer(work.claim, after, why, how=how, counts=counts, fresh=fresh)
        if not ours:
            log.warning("claim_lost")
            return
        work.link.meter.count("vtexorders_command_steps_total", self.kind, how)
        log.info("later", why=why, after=round(after, 1), how=how)
        self._send_next(work.link, work.book, following)
        if how in ("retry", "pass"):
            kwargs = intake.message(work.link.account.name, work.claim.id, work.order_id)
            raise self.retry(args=(), kwargs=kwargs, countdown=after)

    def _finish(
        self, link: Link, claim: CommandClaim, to: str, *, outcome: dict[str, Any], words: str
    ) -> None:
        book = link.commands
        ours, following = book.finish(claim, to, outcome, words, send_teller=lambda: self._send_teller(link))
        if not ours:
            log.warning("claim_lost")
            return
        link.meter.count("vtexorders_command_steps_total", self.kind, to)
        log.info(to, says=words, attempt=claim.attempts)
        self._send_next(link, book, following)

    def _send_teller(self, link: Link) -> None:
        with contextlib.suppress(*BROKER_TROUBLE):  # then it is beat's next
            self.app.send_task("orders.tell", kwargs={"account": link.account.name})

    def _send_next(self, link: Link, book: CommandLedger, id_: str) -> None:
        if id_ and (record := book.record(id_)):
            intake.enqueue(link.account.name, id_, record.kind, record.order_id)

    def run(self, work: Any) -> Outcome:
        """The body of the command."""
        raise NotImplementedError
