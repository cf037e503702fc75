"""The ledger of commands: what an ERP asked for, in order of arrival an order, and how it ended.

    open -> done | refused (by us or by VTEX, with words) | dead (given up),     parked while it waits
    a dead or refused one may be opened again by a person

A command that was accepted is recorded, in one atomic move, before anybody is told so. Commands of one order go
one after the other, and never while start-handling of that order is on its way; one that only waits for its order
to be ready (``waits``) lets later ones pass. Before VTEX is called the record says so (``sent``), so that whoever
takes over after a crash looks before calling again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from workers.ledger import Ledger, Pace, Refusal, TimelineEntry, line, pace_of, slot_of, timeline

#: How a command ends.
DONE, REFUSED, DEAD = "done", "refused", "dead"
ENDS = frozenset({DONE, REFUSED, DEAD})

#: Seconds for which somebody who tells the ERP of ends is relied on; then, or earlier, somebody else is sent.
TELLER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request: ``new``, ``same`` (a repeat), or ``other`` (the id belongs to another request)."""

    verdict: str
    state: str


@dataclass(frozen=True, slots=True)
class CommandClaim:
    """The right to carry one command until the lease ends."""

    id: str
    kind: str
    order_id: str
    token: str
    payload: dict[str, Any] = field(repr=False)  # as the ERP sent it: it may hold personal data
    attempts: int
    crashes: int
    age: float  # seconds since it was accepted
    sent: bool  # VTEX may have it, and that is not known
    memo: dict[str, Any]  # what earlier looks found out
    at: float = field(default=0.0, compare=False)  # when it was taken, by Redis' clock
    complete_since: float = field(default=0.0, compare=False)  # as :meth:`Ledger.complete_since` at that time
    only: bool = field(default=False, compare=False)  # no other command of its order is remembered
    slot: tuple[bool, float] | None = field(default=None, compare=False)  # as of an order's claim


class Marked(NamedTuple):
    """The claim is still ours: when that was, by Redis' clock, and the slot of the call, if one was asked for."""

    at: float
    slot: tuple[bool, float] | None


@dataclass(frozen=True, slots=True)
class CommandCounts:
    """How many commands are in which state."""

    open: int = 0
    parked: int = 0
    done: int = 0
    refused: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """What is known about one command, for people."""

    id: str
    kind: str
    order_id: str
    state: str
    outcome: dict[str, Any]
    error: str | None
    attempts: int
    sent: bool
    waits: bool
    ended: float | None  # seconds since 1970
    due: float | None
    payload: dict[str, Any] = field(repr=False)
    timeline: list[TimelineEntry] = field(default_factory=list)


class CommandLedger:
    """One account's commands; lives beside its orders, on the same clock and with the same numbers."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.account = ledger.account
        self._redis = ledger.redis

    def accept(self, requests: Sequence[tuple[str, str, str, dict[str, Any], str]]) -> list[Accepted]:
        """Record requests in one trip, each (id, kind, order id, payload, fingerprint) by its own move, in their order.

        Nothing of them is lost from here on.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for request in requests:
                self.ledger.move("command_accept", *self._asked(*request), client=pipe)
            return [Accepted(verdict, state) for verdict, state in pipe.execute()]

    def begin(
        self,
        request: tuple[str, str, str, dict[str, Any], str],
        token: str,
        pace: Pace,
    ) -> tuple[Accepted, CommandClaim | Refusal]:
        """As :meth:`accept` for one, and then :meth:`claim` unless the id is another request's, in one move."""
        verdict, state, *claimed = self._move(
            "command_accept", *self._asked(*request), token, self.ledger.lease, *pace_of(pace)
        )
        return Accepted(verdict, state), self._claimed(request[0], token, *(claimed or [[verdict]]))

    def _asked(
        self, id_: str, kind: str, order_id: str, payload: dict[str, Any], fingerprint: str
    ) -> tuple[object, ...]:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return id_, kind, order_id, text, fingerprint, self.ledger.patience

    def refuse(self, id_: str, kind: str, order_id: str, payload: dict[str, Any], why: str) -> bool:
        """Record a request that cannot be used, and its end, in one move; False: the id is another request's."""
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        outcome = json.dumps({"why": why}, ensure_ascii=False)
        return bool(
            self._move("command_refuse", id_, kind, order_id, text, outcome, line(why), self.ledger.tombstone)
        )

    def claim(
        self, id_: str, token: str, *, own_message: bool = True, pace: Pace | None = None
    ) -> CommandClaim | Refusal:
        """Take a command, if it is its turn. ``own_message``: by a message that was sent for a recorded command.

        In a pause of VTEX nothing is taken: the command is due as soon as the sweeper may go on. ``pace``: the slot of
        its first call is reserved, too.
        """
        answer = self._move("command_claim", id_, token, self.ledger.lease, int(own_message), *pace_of(pace))
        return self._claimed(id_, token, answer)

    def _claimed(self, id_: str, token: str, answer: list[Any]) -> CommandClaim | Refusal:
        if answer[0] != "claimed":
            return Refusal(answer[0])
        _, kind, order_id, payload, attempts, crashes, age, sent, memo, now, began, remembered, slot = answer
        return CommandClaim(
            id=id_,
            kind=kind,
            order_id=order_id,
            token=token,
            payload=json.loads(payload),
            attempts=int(attempts),
            crashes=int(crashes),
            age=float(age),
            sent=bool(sent),
            memo=json.loads(memo),
            at=float(now),
            complete_since=max(float(began), float(now) - self.ledger.tombstone),
            only=remembered == 1,
            slot=slot_of(slot),
        )

    def mark(
        self,
        claim: CommandClaim,
        memo: dict[str, Any],
        *,
        sent: bool | None = None,
        pace: Pace | None = None,
    ) -> Marked | None:
        """Keep what was found out. None: the claim was lost.

        ``sent``: True before VTEX is called, False once it is certain whether the call had its effect. A ``sent_at``
        of None in the memo is kept as the time of this. ``pace``: the slot of the next call is reserved, too.
        """
        word = {True: "sent", False: "known", None: ""}[sent]
        marked = self._move(
            "command_mark",
            claim.id,
            claim.token,
            self.ledger.lease,
            word,
            json.dumps(memo),
            *pace_of(pace),
        )
        return Marked(float(marked[0]), slot_of(marked[1])) if marked else None

    def finish(
        self,
        claim: CommandClaim,
        to: str,
        outcome: dict[str, Any],
        words: str,
        *,
        send_teller: Callable[[], object] = lambda: None,
    ) -> tuple[bool, str]:
        """The end. Returns (was the claim still ours, the id of the order's next command or "").

        ``send_teller`` is called unless somebody is about to tell the ERP of all that has ended.
        """
        text = json.dumps(outcome, ensure_ascii=False)
        answer = self._move(
            "command_finish",
            claim.id,
            claim.token,
            to,
            text,
            line(words),
            self.ledger.tombstone,
            TELLER_SECONDS,
        )
        if answer[0] != "ended":
            return False, ""
        if answer[2]:
            send_teller()
        return True, answer[1]

    def defer(
        self,
        claim: CommandClaim,
        delay: float,
        why: str,
        *,
        how: Literal["retry", "park", "wait", "pass"],
        counts: bool = True,
        fresh: bool = False,
    ) -> tuple[bool, str]:
        """Later: by a message (retry, pass) or by the sweeper (park, wait).

        ``wait`` (the order is not ready) and ``pass`` (VTEX has it, a person decides) let other commands pass.
        ``counts``: it is one more attempt that failed; ``fresh``: it did not fail, so counting begins anew.
        Returns (was the claim still ours, the id of the order's next command or "").
        """
        attempts = "fresh" if fresh else int(counts)
        answer = self._move(
            "command_defer", claim.id, claim.token, how, delay, line(why), attempts, self.ledger.patience
        )
        return answer[0] == "deferred", answer[1] if len(answer) > 1 else ""

    def due(self, limit: int = 500, *, waiting: bool = False) -> list[tuple[str, str, str]]:
        """(id, kind, order id) of what must be enqueued again. ``waiting``: messages of commands wait in the queue."""
        while True:
            looked, *found = self._move("command_due", limit, self.ledger.patience, int(waiting))
            if found or looked < limit:  # a lot that needs nothing does not hide what comes after it
                return list(zip(found[::3], found[1::3], found[2::3], strict=True))

    def unclaimed(self, limit: int) -> list[tuple[str, str, str]]:
        """(id, kind, order id) of the open commands that wait for a message and nothing else, the oldest first."""
        now = self.ledger.now()
        ids = cast(
            "list[str]",
            self._redis.zrangebyscore(
                self._key("cdue"), "-inf", now + self.ledger.patience, start=0, num=limit
            ),
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hmget(self._key(f"c:{id_}"), "state", "kind", "order", "claim", "after")
            rows = pipe.execute()
        return [
            (id_, kind, order_id)
            for id_, (state, kind, order_id, claim, after) in zip(ids, rows, strict=True)
            if state == "open" and not claim and float(after or 0) <= now
        ]

    def reopen(self, id_: str, who: str, *, dry_run: bool = False) -> str:
        """Carry a dead or refused command after all, at its old place; look at a parked one now.

        ``who`` (and why) goes into its story. Returns ``open``: the caller enqueues it; or why not: ``unknown``,
        ``newer`` (of a newer program), ``busy``, ``finished`` (it is done), ``void`` (its payload cannot be used).
        """
        return str(self._move("command_reopen", id_, line(who), self.ledger.patience, int(dry_run))[0])

    # --- what the ERP is to be told -------------------------------------------------------------------------

    def untold(self, limit: int = 100) -> list[str]:
        """The ended commands of which the ERP should have been told by now; they are put off a little.

        Whoever asks is relied on to tell of what ends meanwhile: to ask again, until there are none.
        """
        return cast("list[str]", self._move("command_untold", limit, self.ledger.patience, TELLER_SECONDS))

    def told(self, id_: str, ended: float | None) -> None:
        """The ERP knows of that end of the command (``CommandRecord.ended``); it may have had another one since."""
        self.told_all({id_: ended})

    def told_all(self, ends: Mapping[str, float | None]) -> None:
        """The same of many."""
        if ends:
            pairs = ((id_, "" if ended is None else f"{ended:.3f}") for id_, ended in ends.items())
            self._move("command_told", *(part for pair in pairs for part in pair))

    # --- for people ------------------------------------------------------------------------------------------

    def counts(self) -> CommandCounts:
        """How many commands are in which state; ends are counted since the ledger began."""
        stored = cast("dict[str, str]", self._redis.hgetall(self._key("ccounts")))
        return CommandCounts(
            **{name: int(stored.get(name, 0)) for name in CommandCounts.__dataclass_fields__}
        )

    def record(self, id_: str) -> CommandRecord | None:
        """Everything that is known about one command."""
        return self.records([id_])[0]

    def records(self, ids: Sequence[str]) -> list[CommandRecord | None]:
        """Everything that is known about some commands, in one trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hgetall(self._key(f"c:{id_}"))
                pipe.zscore(self._key("cdue"), id_)
            found = pipe.execute()
        return [_record(*one) for one in zip(ids, found[::2], found[1::2], strict=True)]

    def of_order(self, order_id: str) -> list[CommandRecord]:
        """The commands of one order, by arrival."""
        ids = cast("Sequence[str]", self._redis.zrange(self._key(f"co:{order_id}"), 0, -1))
        return [record for record in self.records(ids) if record]

    def in_progress(self, order_id: str) -> bool:
        """Whether a command of the order has not ended."""
        return bool(self._redis.zcard(self._key(f"cq:{order_id}")))

    def forget(self, order_id: str) -> int:
        """Erase the commands of an order, all of which have ended; how many."""
        records = self.of_order(order_id)
        with self._redis.pipeline() as pipe:
            for record in records:
                pipe.delete(self._key(f"c:{record.id}"))
                pipe.zrem(self._key("cdead"), record.id)
                pipe.zrem(self._key("ctell"), record.id)
                pipe.hincrby(self._key("ccounts"), record.state, -1)
            pipe.delete(self._key(f"co:{order_id}"))
            pipe.execute()
        return len(records)

    def expire(self, before: float) -> int:
        """Erase the payloads of commands that died before then (seconds since 1970); how many."""
        ids = cast("list[str]", self._redis.zrangebyscore(self._key("cdead"), "-inf", before))
        for id_ in ids:
            self._redis.hset(self._key(f"c:{id_}"), "payload", "{}")
            self._redis.zrem(self._key("cdead"), id_)
            self._redis.expire(self._key(f"c:{id_}"), self.ledger.tombstone)
            self._redis.hincrby(self._key("ccounts"), DEAD, -1)
        return len(ids)

    def unfinished(self) -> list[str]:
        """The commands that are open or parked."""
        return cast("list[str]", self._redis.zrange(self._key("cdue"), 0, -1))

    def states(self, ids: Sequence[str]) -> list[str | None]:
        """The states of many commands; None for one that is not known."""
        with self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hget(self._key(f"c:{id_}"), "state")
            return cast("list[str | None]", pipe.execute())

    def dead_since(self, since: float) -> list[str]:
        """The commands that died since then (seconds since 1970), the oldest first."""
        return cast("list[str]", self._redis.zrangebyscore(self._key("cdead"), since, "+inf"))

    def dead(self, limit: int = 1000) -> list[str]:
        """The dead commands, the newest first."""
        return cast("list[str]", self._redis.zrevrange(self._key("cdead"), 0, limit - 1))

    def _move(self, name: str, *args: object) -> Any:
        return self.ledger.move(name, *args)

    def _key(self, name: str) -> str:
        return self.ledger.key(name)


def _record(id_: str, raw: dict[str, str], due: float | None) -> CommandRecord | None:
    if not raw:
        return None
    return CommandRecord(
        id=id_,
        kind=raw["kind"],
        order_id=raw["order"],
        state=raw["state"],
        outcome=json.loads(raw.get("outcome", "{}")),
        error=raw.get("error"),
        attempts=int(raw.get("attempts", 0)),
        sent="sent" in raw,
        waits=raw.get("waits") == "1",
        ended=float(raw["ended"]) if "ended" in raw else None,
        due=due,
        payload=json.loads(raw["payload"]),
        timeline=timeline(raw.get("log", "")),
    )
