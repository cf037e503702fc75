"""The base of a step: claim, body, finish; an error goes to the policy. Bodies stay short.

A body gets a :class:`Work` and returns where the order goes next. Everything that can happen to a message
(lost, doubled, late, its worker killed) is dealt with here and in the ledger, so that bodies read like the
description of the job.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import kombu.exceptions
import redis
from celery import Task

from workers import errors, handover, runtime, telemetry
from workers.dispatch import CHAIN, enqueue, go_on
from workers.erp.sink import Delivery
from workers.ledger import ACK, DEAD, DOWNLOAD, START_HANDLING, Claim, Refusal
from workers.policy import CRASH_LIMIT, Bury, Decision, Park, Pause, Retry
from workers.runtime import Link
from workers.vtex.client import Vtex
from workers.vtex.schemas import Order

log = telemetry.get(__name__)

#: Seconds after which what met a pause is due again; the sweeper leaves it alone as long as the pause lasts.
PAUSE_SECONDS = 1.0
#: What is left to commit need not wait for the next tick when no order is under way; so often, in seconds.
COMMIT_EVERY_SECONDS = 0.25
_rng = random.Random()

#: What Redis being away, or a lease being lost, looks like.
BROKER_TROUBLE = (redis.RedisError, kombu.exceptions.OperationalError)


def as_ours(error: Exception) -> errors.OrderLinkError:
    """A mistake in this program is logged whole, and then tried again like a passing failure: nothing is lost by it."""
    if isinstance(error, errors.OrderLinkError):
        return error
    log.error("unexpected_error", exc_info=error)
    return errors.Unavailable(f"an unexpected error in this program: {type(error).__name__}")


class ClaimLost(Exception):
    """Another worker took the step over (this one stalled): stop, do nothing more."""


@dataclass(frozen=True, slots=True)
class To:
    """Where the order goes: a step or an end, with a line for its timeline and fields for its record."""

    where: str
    code: str
    detail: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Work:
    """One claimed step of one order."""

    link: Link
    claim: Claim

    @property
    def order_id(self) -> str:
        return self.claim.order_id

    @property
    def vtex(self) -> Vtex:
        return self.link.vtex

    def renew(self) -> None:
        """Before another call: the lease begins anew."""
        if not self.link.ledger.renew(self.claim):
            raise ClaimLost

    def tell_erp(self, kind: str, order: Order, occurrence: str) -> None:
        """Deliver to the ERP, durably. Before that it is written down that the ERP may have the order."""
        if not self.link.ledger.delivering(self.claim):
            raise ClaimLost
        self.link.deliver(
            Delivery(
                type=kind,
                account=self.link.account.name,
                order_id=order.order_id,
                status=order.status,
                last_change=order.last_change,
                document=_bare(order) if self.claim.forgotten else order.text,
                redelivered=self.claim.redeliver,
                occurrence=occurrence,
            )
        )


class Tick(Task):  # type: ignore[misc]
    """A Celery task that beat sends again and again: one that fails is made good by the next."""

    abstract = True

    def __call__(self, *, account: str) -> None:
        with telemetry.bind(account=account):
            try:
                self.run(runtime.current().link(account))
            except BROKER_TROUBLE as error:
                log.warning("redis_unavailable", task=self.name, error=type(error).__name__)

    typing = False  # beat sends an account; the body gets its link

    def run(self, link: Any) -> None:
        """The body of the tick."""
        raise NotImplementedError


def _bare(order: Order) -> str:
    """What may still be said of an order that was erased: that it is canceled, and nothing of its customer."""
    return json.dumps({"orderId": order.order_id, "status": order.status, "lastChange": order.last_change})


class Step(Task):  # type: ignore[misc]
    """A Celery task for one step of an order. Arguments: ``account`` and ``order_id``, by keyword.

    ``trial`` names a paused scope: the step is done nevertheless, and shows whether the pause may end.
    """

    abstract = True
    step = ""
    max_retries = None  # the policy's horizon decides
    typing = False  # callers send account and order_id; the body gets a Work

    def __call__(self, *, account: str, order_id: str, trial: str = "") -> None:
        link = runtime.current().link(account)
        with telemetry.bind(
            account=account,
            order_id=order_id,
            step=self.step,
            task_id=self.request.id,
            began=time.monotonic(),
        ):
            try:
                self._work(link, order_id, trial)
            except BROKER_TROUBLE as error:
                # nothing can be written down now; the lease runs out and the sweeper brings the step back
                self._stop_chain()
                log.warning("redis_unavailable", error=type(error).__name__)

    def _work(self, link: Link, order_id: str, trial: str = "") -> None:
        # claimed by the step before, if that one ran in this thread
        claim = handover.take(self.request.id)
        if not isinstance(claim, Claim | Refusal):
            # one token an execution: two copies of a message must not share a claim
            token = runtime.current().token()
            claim = link.ledger.claim(order_id, self.step, token, trial, link.limiter.pace)
        if isinstance(claim, Refusal):
            # "elsewhere": this step is done already, the next one may be waiting
            if claim.why != "elsewhere":
                self._stop_chain()
            log.debug("nothing_to_do", why=claim.why)
            return
        try:
            self._claimed(link, claim, trial)
        finally:
            link.limiter.hold(None)
            if claim.crashes:
                self._next_alone(link)

    def _claimed(self, link: Link, claim: Claim, trial: str) -> None:
        if claim.crashes >= CRASH_LIMIT:
            self._follow(
                link, claim, Bury(f"its worker died {claim.crashes} times while it worked on this order")
            )
            return
        try:
            link.limiter.hold(claim.slot)
            to = self.run(Work(link, claim))
        except ClaimLost:
            self._stop_chain()
            log.warning("claim_lost")
        except BROKER_TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the order must not be lost
            self._failed(link, claim, error, trial)
        else:
            self._tried(link, trial)
            self._go(link, claim, to)

    def _next_alone(self, link: Link) -> None:
        """What waited for this one may go, when it is worked at alone."""
        with suppress(*BROKER_TROUBLE):
            if following := link.ledger.next_alone():
                enqueue(link.account.name, *following)

    def _go(self, link: Link, claim: Claim, to: To) -> None:
        where, last = self._go_on_here(link, claim, to), False
        if not where and to.where == ACK:
            where, last = link.ledger.to_commit(claim, to.code, to.detail, **to.fields)
        elif not where:
            where = link.ledger.advance(claim, to.where, to.code, to.detail, **to.fields)
        self._count(link, to.code)
        if to.code == "handled":
            link.meter.observe("vtexorders_order_handling_seconds", claim.age)
        log.info(to.code, detail=to.detail or None, attempt=claim.attempts, now=where)
        if where == START_HANDLING and (self.request.chain or self.request.get("here")):
            return  # it runs here, or Celery publishes the next step of the chain
        self._stop_chain()
        if last and link.ledger.once_every("commit", COMMIT_EVERY_SECONDS):  # no other one would fill its lot
            self.app.send_task("orders.ack", kwargs={"account": link.account.name})
        step = DOWNLOAD if where == "again" else where
        if step in CHAIN:
            enqueue(link.account.name, claim.order_id, step)

    def _go_on_here(self, link: Link, claim: Claim, to: To) -> str:
        """Move the order on, and have its next step run in this thread, if both may be; "" if not."""
        worker, request = handover.current(), self.request
        if to.where != START_HANDLING or not request.chain or claim.crashes or not worker:
            return ""
        process = runtime.current()
        if process.stopping.is_set() or not worker.takes(request.chain):
            return ""
        where, following = link.ledger.pass_on(
            claim, process.token(), link.limiter.pace, to.code, to.detail, **to.fields
        )
        if following:
            request.here, request.chain = (
                partial(self._next_here, link, worker, request.chain, following),
                None,
            )
        return where

    def _next_here(
        self, link: Link, worker: handover.Handover, chain: list[Any], following: Claim | Refusal
    ) -> None:
        if not worker.run(chain, self.request, following) and isinstance(following, Claim):
            # it was revoked; its order stays due in the ledger, as that of any message that gets lost
            link.ledger.defer(following, 0, "revoked", park=False, counts=False)

    def _failed(self, link: Link, claim: Claim, error: Exception, trial: str) -> None:
        error = as_ours(error)
        link.trouble(error)
        scope = link.paused_at(error)
        if scope:  # nothing is wrong with this order
            decision: Decision = Pause(scope, str(error))
        else:
            decision = link.policy.decide(error, attempt=claim.attempts, age=claim.age, rng=_rng)
        if trial != scope and not isinstance(error, errors.AccessDenied | errors.RateLimited):
            self._tried(link, trial)
        self._follow(link, claim, decision, error)

    def _tried(self, link: Link, trial: str) -> None:
        """The other side answered: the pause may end."""
        if trial and go_on(link.ledger, trial):
            log.warning("resumed", scope=trial)

    def _follow(self, link: Link, claim: Claim, decision: Decision, error: Exception | None = None) -> None:
        ledger, why = link.ledger, str(error)
        self._count(link, type(decision).__name__.lower())  # retry, park, pause, bury
        if not isinstance(decision, Retry):
            self._stop_chain()
        match decision:
            case Retry(after, counts):
                if ledger.defer(claim, after, why, park=False, counts=counts):
                    log.info("retry", why=why, after=round(after, 3), attempt=claim.attempts)
                    raise self.retry(exc=error, countdown=after)
                self._stop_chain()
            case Park(after):
                ledger.defer(claim, after, why, park=True)
                log.warning("parked", why=why, after=round(after, 1), attempt=claim.attempts)
            case Pause(_, reason):
                ledger.defer(claim, PAUSE_SECONDS, reason, park=True, counts=False)
            case Bury(reason):
                ledger.advance(claim, DEAD, "dead", reason, error=reason[:180])
                log.error("dead", why=reason, attempt=claim.attempts)

    def _count(self, link: Link, outcome: str) -> None:
        link.meter.count("vtexorders_order_steps_total", self.step, outcome)

    def on_success(self, _returned: Any, _task_id: str, _args: Any, _kwargs: Any) -> None:
        """Celery calls it when this step has ended well, and before its message is acknowledged."""
        if following := self.request.get("here"):
            following()

    def _stop_chain(self) -> None:
        """The next step of the canvas chain is not published."""
        self.request.chain = None

    def run(self, work: Any) -> To:
        """The body of the step."""
        raise NotImplementedError
