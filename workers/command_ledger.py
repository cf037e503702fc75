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
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from workers.ledger import Ledger, Refusal, TimelineEntry, line, timeline

#: How a command ends.
DONE, REFUSED, DEAD = "done", "refused", "dead"
ENDS = frozenset({DONE, REFUSED, DEAD})


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
            for id_, kind, order_id, payload, fingerprint in requests:
                text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
                patience = self.ledger.patience
                self.ledger.move(
                    "command_accept", id_, kind, order_id, text, fingerprint, patience, client=pipe
                )
            return [Accepted(verdict, state) for verdict, state in pipe.execute()]

    def refuse(self, id_: str, kind: str, order_id: str, payload: dict[str, Any], why: str) -> bool:
        """Record a request that cannot be used, and its end, in one move; False: the id is another request's."""
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        outcome = json.dumps({"why": why}, ensure_ascii=False)
        return bool(
            self._move("command_refuse", id_, kind, order_id, text, outcome, line(why), self.ledger.tombstone)
        )

    def claim(self, id_: str, token: str, *, own_message: bool = True) -> CommandClaim | Refusal:
        """Take a command, if it is its turn. ``own_message``: by a message that was sent for a recorded command."""
        answer = self._move("command_claim", id_, token, self.ledger.lease, int(own_message))
        if answer[0] != "claimed":
            return Refusal(answer[0])
        _, kind, order_id, payload, attempts, crashes, age, sent, memo = answer
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
        )

    def mark(self, claim: CommandClaim, memo: dict[str, Any], *, sent: bool | None = None) -> bool:
        """Keep what was found out. False: the claim was lost.

        ``sent``: True before VTEX is called, False once it is certain whether the call had its effect.
        """
        word = {True: "sent", False: "known", None: ""}[sent]
        return bool(
            self._move("command_mark", claim.id, claim.token, self.ledger.lease, word, json.dumps(memo))
        )

    def finish(self, claim: CommandClaim, to: str, outcome: dict[str, Any], words: str) -> tuple[bool, str]:
        """The end. Returns (was the claim still ours, the id of the order's next command or "")."""
        text = json.dumps(outcome, ensure_ascii=False)
        answer = self._move(
            "command_finish",
            claim.id,
            claim.token,
            to,
            text,
            line(words),
            self.ledger.tombstone,
        )
        return answer[0] == "ended", answer[1] if len(answer) > 1 else ""

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

    def hold(self, id_: str) -> None:
        """A message came in a pause and is dropped: the command is due as soon as the sweeper may go on."""
        self._redis.zadd(self._key("cdue"), {id_: 0}, xx=True)
        self._redis.hdel(self._key(f"c:{id_}"), "queued")

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
        """The ended commands of which the ERP should have been told by now; they are put off a little."""
        now = self.ledger.now()
        ids = cast(
            "list[str]", self._redis.zrangebyscore(self._key("ctell"), "-inf", now, start=0, num=limit)
        )
        if ids:
            self._redis.zadd(self._key("ctell"), dict.fromkeys(ids, now + self.ledger.patience), xx=True)
        return ids

    def told(self, id_: str, ended: float | None) -> None:
        """The ERP knows of that end of the command (``CommandRecord.ended``); it may have had another one since."""
        self._move("command_told", id_, "" if ended is None else f"{ended:.3f}")

    # --- for people ------------------------------------------------------------------------------------------

    def counts(self) -> CommandCounts:
        """How many commands are in which state; ends are counted since the ledger began."""
        stored = cast("dict[str, str]", self._redis.hgetall(self._key("ccounts")))
        return CommandCounts(
            **{name: int(stored.get(name, 0)) for name in CommandCounts.__dataclass_fields__}
        )

    def record(self, id_: str) -> CommandRecord | None:
        """Everything that is known about one command."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key(f"c:{id_}"))
            pipe.zscore(self._key("cdue"), id_)
            raw, due = pipe.execute()
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

    def of_order(self, order_id: str) -> list[CommandRecord]:
        """The commands of one order, by arrival."""
        ids = cast("Sequence[str]", self._redis.zrange(self._key(f"co:{order_id}"), 0, -1))
        return [record for id_ in ids if (record := self.record(id_))]

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
