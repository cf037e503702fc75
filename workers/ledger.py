"""The ledger: which step of which order has had its effect. In Redis, one atomic move a script.

The broker's messages are only hints; what is true stands here. An order is

    open (at a step: download, start-handling, ack) -> done | ignored | dead,     parked while it waits long

and everything that is not finished stands in one index, ``due``, scored by when it should next be looked at.
A step is *claimed* by one task at a time, for the length of a lease, by compare-and-set. All times are Redis'
own clock, so that a worker whose clock is off changes nothing. The scripts in ``lua/`` say what each move does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import redis

from workers import keys
from workers.scripts import scripts
from workers.vtex.schemas import Event
from workers.vtex.states import CANCELED, CANCELLATION_REQUESTED, IN_HANDLING

#: The steps of an order, in their order.
DOWNLOAD, START_HANDLING, ACK = "download", "start-handling", "ack"
#: How an order ends.
DONE, IGNORED, DEAD = "done", "ignored", "dead"

#: What one process at a time does (:meth:`Ledger.alone`).
LEASES = ("poll", "sweep", "reconcile", "watch-feed", "look-again")

#: What can be paused: everything at VTEX for this account, or the deliveries to its ERP.
SCOPES = ("vtex", "erp")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one step of one order until the lease ends, and what the record said."""

    order_id: str
    step: str
    token: str
    attempts: int
    crashes: int
    age: float  # seconds since the order was first seen
    erp: Literal["", "maybe", "has"]  # does the ERP have the order?
    told: str  # the last thing that the ERP was told about it
    at: str  # lastChange of the document that we last acted on
    news: str  # the newest instant that an event told of
    redeliver: bool = False  # a person asked to give it to the ERP once more
    forgotten: bool = False  # a person had it erased: nothing personal is to be written again
    says: str = ""  # the state that the event of that instant told of
    heard: float = 0.0  # seconds since we got it
    occurrence: str = ""  # which request for cancellation the ERP was last told of
    slot: tuple[bool, float] | None = None  # what :meth:`Ledger.move_pace` returns, for the first call


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a step was not claimed: paused, gone, newer, finished, elsewhere, busy, early, locked or alone."""

    why: str


@dataclass(frozen=True, slots=True)
class Pace:
    """An account's pace: seconds between two calls, how many may come at once.

    ``longest`` is the wait that is worth holding a worker for, ``farthest`` when to come back at the latest (seconds).
    """

    interval: float
    burst: int
    longest: float
    farthest: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How many orders are in which state; ``done`` and ``ignored`` count everything since the ledger began."""

    open: int = 0
    parked: int = 0
    done: int = 0
    ignored: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of an order's story."""

    at: float
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows about one order, for people."""

    order_id: str
    state: str
    step: str | None
    status: str | None
    erp: str
    told: str
    attempts: int
    crashes: int
    error: str | None
    due: float | None
    claimed_until: float | None
    uncommitted: int
    timeline: list[TimelineEntry] = field(default_factory=list)


class Ledger:
    """One account's records. ``lease``, ``patience`` and ``tombstone`` are seconds.

    ``patience`` is how long an enqueued step may wait before it is suspected to be lost; ``tombstone`` how long a
    finished order is remembered (VTEX keeps feed events up to 14 days). ``held`` is the age at which the feed's
    events of an order that still fails are committed when it is parked: after a few redeliveries. From then on
    the ledger answers for it, and reconciliation if the ledger is lost.
    """

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        *,
        shadow: str = "",
        lease: float = 30.0,
        patience: float = 60.0,
        tombstone: int = 16 * 86400,
        held: float = 1800.0,
    ) -> None:
        self.redis = client
        self.account = account
        self.lease = lease
        self.patience = patience
        self.tombstone = tombstone
        #: Who holds a lease: a new text each time, which begins with the process.
        self.owner: Callable[[], str] = lambda: f"- {uuid.uuid4().hex}"
        self.held = held
        # what a trial run believes to have done must never be taken for done
        self._prefix = keys.of_store(account, shadow)
        self._scripts = {name: client.register_script(text) for name, text in scripts().items()}

    def move(self, name: str, *args: object, client: Any = None) -> Any:
        """Run one of the scripts; for the ledgers of orders and of commands alone."""
        script, plain = self._scripts[name], [_plain(arg) for arg in args]
        if client is None:
            with suppress(redis.exceptions.NoScriptError):  # a server that knows it not yet, or forgot it
                # the short way: redis-py's own asks at each of five functions on the way what else it might do
                return self.redis.execute_command("EVALSHA", script.sha, 1, self._prefix, *plain)  # type: ignore[no-untyped-call]
        return script(keys=[self._prefix], args=plain, client=client)

    # --- the feed -----------------------------------------------------------------------------------------

    def observe(self, events: Iterable[Event]) -> list[str]:
        """Record events; the answer to each is new, again (both: enqueue it), known, finished or newer."""
        with self.redis.pipeline(transaction=False) as pipe:
            for event in events:
                self.move(
                    "observe",
                    event.order_id,
                    event.handle,
                    _short(event.event_id),
                    line(event.state or "no state"),
                    event.at,
                    _meaning(event.state),
                    self.patience,
                    client=pipe,
                )
            return [str(answer) for answer in pipe.execute()]

    def keep_oddity(self, item: object) -> None:
        """A feed item that cannot be used is kept (the newest 200), so that a person can look at it."""
        text = json.dumps(item, ensure_ascii=False, default=str)
        text = text.encode(errors="backslashreplace").decode()[
            :2000
        ]  # half a character is its JSON escape again
        with self.redis.pipeline() as pipe:
            pipe.lpush(self.key("oddities"), text)
            pipe.ltrim(self.key("oddities"), 0, 199)
            pipe.execute()

    def oddities(self) -> list[str]:
        """The feed items that could not be used, as JSON, the newest first."""
        return cast("list[str]", self.redis.lrange(self.key("oddities"), 0, -1))

    def discard(self, handle: str) -> None:
        """Commit a handle that belongs to no order (an unusable feed item), through the same buffer."""
        self.redis.zadd(self.key("acks"), {f"- {handle}": 0}, nx=True)

    # --- steps --------------------------------------------------------------------------------------------

    def claim(
        self, order_id: str, step: str, token: str, trial: str = "", pace: Pace | None = None
    ) -> Claim | Refusal:
        """Take a step; a repeat with the same token gets the same claim.

        In a pause nothing is taken, and the step is due as soon as the sweeper may go on; ``trial`` names a paused
        scope with which it is tried nevertheless. ``pace``: the slot of the step's first call is reserved, too.
        """
        answer = self.move("claim", order_id, step, token, self.lease, trial, *pace_of(pace))
        return _claimed(order_id, step, token, answer)

    def delivering(self, claim: Claim) -> bool:
        """Written before the ERP is called. False: the claim was lost, so the call must not be made."""
        return bool(self.move("delivering", claim.order_id, claim.token, self.lease, 1))

    def renew(self, claim: Claim) -> bool:
        """The step makes another call: its lease begins anew. False: the claim was lost."""
        return bool(self.move("delivering", claim.order_id, claim.token, self.lease, 0))

    def advance(self, claim: Claim, to: str, code: str, detail: str = "", **fields: str) -> str:
        """The step had its effect. Returns where the order is now, or ``again`` (news came) or ``lost``."""
        return str(self._advance(claim, to, code, detail, fields)[0])

    def to_commit(self, claim: Claim, code: str, detail: str = "", **fields: str) -> tuple[str, bool]:
        """As :meth:`advance` to the commit; and whether nothing but commits is left to do for open orders."""
        where, *last = self._advance(claim, ACK, code, detail, fields)
        return where, last == [1]

    def pass_on(
        self, claim: Claim, token: str, pace: Pace, code: str, detail: str = "", **fields: str
    ) -> tuple[str, Claim | Refusal | None]:
        """The download had its effect, and the caller goes on with start-handling at once, if it may.

        As :meth:`advance` and then :meth:`claim` with ``token``, in one move. The second answer is None if the
        order is not at start-handling.
        """
        where, *answer = self._advance(
            claim, START_HANDLING, code, detail, fields, token, self.lease, *pace_of(pace)
        )
        return where, _claimed(claim.order_id, where, token, answer[0]) if answer else None

    def _advance(
        self, claim: Claim, to: str, code: str, detail: str, fields: dict[str, str], *then: object
    ) -> list[Any]:
        pairs = [part for pair in fields.items() for part in pair]
        moved = self.move(
            "advance",
            claim.order_id,
            claim.token,
            to,
            code,
            line(detail),
            self.patience,
            self.tombstone,
            len(fields),
            *pairs,
            *then,
        )
        return cast("list[Any]", moved)

    def defer(self, claim: Claim, delay: float, why: str, *, park: bool, counts: bool = True) -> bool:
        """Try the step again after ``delay`` seconds: by a message of the caller's, or (park) by the sweeper."""
        how = "park" if park else "retry"
        return bool(
            self.move(
                "defer",
                claim.order_id,
                claim.token,
                how,
                delay,
                self.patience,
                line(why),
                int(counts),
                self.held,
            )
        )

    def due(self, limit: int = 500, *, backlog: bool = False) -> list[tuple[str, str]]:
        """(order id, step) of what must be enqueued again; nothing that is paused.

        ``backlog``: the queues still hold all that is open.
        """
        while True:
            looked, *found = self.move("due", limit, self.patience, int(backlog))
            if found or looked < limit:  # a lot that needs nothing does not hide what comes after it
                return list(zip(found[::2], found[1::2], strict=True))

    def candidate(self, scope: str) -> tuple[str, str] | None:
        """(order id, step) of some order that waits, to try with it whether VTEX or the ERP is there again."""
        found = self.move("candidate", DOWNLOAD if scope == "erp" else "")
        return (found[0], found[1]) if found else None

    def release(self, who: str) -> int:
        """That process certainly died: what it had claimed is free at once. Returns how many records that were."""
        return int(self.move("release", who, self.lease, *LEASES))

    def next_alone(self) -> tuple[str, str] | None:
        """(order id, step) of the next record that is worked at alone, because its worker died more than once."""
        found = self.move("next_alone")
        return (found[0], found[1]) if found else None

    def unclaimed(self, limit: int = 2000) -> dict[str, str]:
        """Order id -> step of the open orders that wait for a message and nothing else, the oldest first."""
        now = self.now()
        ids = cast(
            "list[str]",
            self.redis.zrangebyscore(self.key("due"), "-inf", now + self.patience, start=0, num=limit),
        )
        with self.redis.pipeline(transaction=False) as pipe:
            for order_id in ids:
                pipe.hmget(self.key(f"o:{order_id}"), "state", "step", "claim", "after")
            rows = pipe.execute()
        return {
            order_id: step
            for order_id, (state, step, claim, after) in zip(ids, rows, strict=True)
            if state == "open" and step != ACK and not claim and float(after or 0) <= now
        }

    # --- for operators ------------------------------------------------------------------------------------

    def reopen(
        self, order_id: str, how: Literal["replay", "redeliver"], who: str, *, dry_run: bool = False
    ) -> str:
        """Look at an ended order again, or try a parked one now; ``open`` if it must be enqueued, else why not."""
        return str(self.move("reopen", order_id, how, line(who), self.patience, int(dry_run)))

    def states(self, order_ids: Sequence[str], scope: str = "") -> list[str | None]:
        """The states of many orders; None for one that is not known.

        ``not_ours`` for one that was ignored because the scope with that mark left it out.
        """
        with self.redis.pipeline(transaction=False) as pipe:
            for order_id in order_ids:
                pipe.hmget(self.key(f"o:{order_id}"), "state", "out")
            rows = cast("list[list[str | None]]", pipe.execute())
        return ["not_ours" if scope and (state, out) == ("ignored", scope) else state for state, out in rows]

    def told(self, order_ids: Sequence[str]) -> list[tuple[str | None, str]]:
        """Of each: its state (None for one that is not known), and the last thing that the ERP was told about it."""
        with self.redis.pipeline(transaction=False) as pipe:
            for order_id in order_ids:
                pipe.hmget(self.key(f"o:{order_id}"), "state", "told")
            return [(state, told or "") for state, told in pipe.execute()]

    def forget(self, order_id: str) -> str:
        """Erase the record of an ended order: ``erased``, or ``unknown``, or ``busy`` (it is in progress)."""
        return str(self.move("forget", order_id, self.tombstone))

    def forget_dead(self, before: float) -> int:
        """Erase the orders that died before then (seconds since 1970); how many."""
        ids = cast("list[str]", self.redis.zrangebyscore(self.key("dead"), "-inf", before))
        return sum(self.forget(order_id) == "erased" for order_id in ids)

    def delivered_since(self, since: float) -> list[str]:
        """The orders that the ERP was given since then (seconds since 1970), the oldest first."""
        return cast("list[str]", self.redis.zrangebyscore(self.key("delivered"), since, "+inf"))

    def forget_deliveries(self) -> None:
        """Shorten the list of deliveries to those that are remembered at all."""
        self.redis.zremrangebyscore(self.key("delivered"), "-inf", self.now() - self.tombstone)

    def unfinished(self) -> list[str]:
        """The orders that are open or parked."""
        return cast("list[str]", self.redis.zrange(self.key("due"), 0, -1))

    def dead_since(self, since: float) -> list[str]:
        """The orders that died since then (seconds since 1970), the oldest first."""
        return cast("list[str]", self.redis.zrangebyscore(self.key("dead"), since, "+inf"))

    def dead(self, limit: int = 1000) -> list[str]:
        """The dead orders, the newest first."""
        return cast("list[str]", self.redis.zrevrange(self.key("dead"), 0, limit - 1))

    # --- commits ------------------------------------------------------------------------------------------

    def take_acks(self, limit: int = 10, *, whole: bool = False) -> list[tuple[str, str]]:
        """(order id, handle) that may be committed; they come back after the lease unless settled.

        ``whole``: none, if they are fewer than ``limit``.
        """
        members = self.move("take_acks", limit, self.lease, int(whole))
        return [cast("tuple[str, str]", tuple(member.split(" ", 1))) for member in members]

    def settle_acks(self, acks: Sequence[tuple[str, str]]) -> int:
        """VTEX has these commits (or does not know the handles any more). Returns how many orders ended."""
        return int(self.move("settle_acks", self.tombstone, *(f"{order} {handle}" for order, handle in acks)))

    def return_acks(self, acks: Sequence[tuple[str, str]], after: float) -> None:
        """The commit did not work: the handles are there again in ``after`` seconds."""
        due = self.now() + after
        self.redis.zadd(self.key("acks"), {f"{order} {handle}": due for order, handle in acks}, xx=True)

    def waiting_acks(self) -> int:
        """How many handles wait for their commit."""
        return int(self.redis.zcard(self.key("acks")))

    # --- the pace of the account's calls --------------------------------------------------------------------

    def move_pace(self, pace: Pace) -> tuple[bool, float]:
        """Reserve the next call's slot: (reserved, seconds to wait); those that must come back come in turn."""
        reserved, wait = self.move("pace", *pace_of(pace))
        return bool(reserved), float(wait)

    def move_cool(self, asked: float | None, default: float, longest: float) -> float:
        """Start or lengthen the pause after a 429; returns its seconds."""
        return float(self.move("cool", "" if asked is None else asked, default, longest))

    def move_breaker(self, scope: str, calls: int, failed: int, window: float) -> tuple[int, int]:
        """Add to the calls of the last ``window`` seconds: (calls, how many of them failed)."""
        calls, failed = self.move("breaker", scope, calls, failed, window)
        return calls, failed

    # --- for people, and for the pace of the feed -----------------------------------------------------------

    def counts(self) -> Counts:
        """How many orders are in which state."""
        stored = cast("dict[str, str]", self.redis.hgetall(self.key("counts")))
        known = {name: int(stored.get(name, 0)) for name in Counts.__dataclass_fields__}
        return Counts(**known)

    def standing(self, limit: int) -> list[Any]:
        """Seconds since the oldest unfinished order was first seen, then (flat) state, step, how many.

        Of those ``limit`` that are due first.
        """
        return cast("list[Any]", self.move("standing", limit))

    def cooling(self) -> float:
        """Seconds that the pause after a 429 still lasts."""
        until = self.redis.hget(self.key("cool"), "until")
        return max(0.0, float(str(until)) - self.now()) if until is not None else 0.0

    def stats(self) -> dict[str, int]:
        """Events, duplicates, retries and so on, since the ledger began."""
        stored = cast("dict[str, str]", self.redis.hgetall(self.key("stats")))
        return {name: int(value) for name, value in sorted(stored.items())}

    def finished_per_second(self) -> float:
        """Orders finished a second, over the last half minute or so."""
        now = self.now()
        buckets = [self.key(f"rate:{int(now / 10) - back}") for back in range(1, 4)]
        finished = cast("list[str | None]", self.redis.mget(buckets))
        return sum(int(n) for n in finished if n) / 30

    def complete_since(self) -> float:
        """Every order that was seen since then is known here: before, the ledger began, was lost, or has forgotten.

        Seconds since 1970.
        """
        now, began = self.now(), self.redis.get(self.key("began"))
        return max(float(str(began)) if began is not None else now, now - self.tombstone)

    def now(self) -> float:
        """Redis' clock, in seconds."""
        whole, micro = self.redis.time()
        return whole + micro / 1e6

    def record(self, order_id: str) -> Record | None:
        """Everything that is known about one order."""
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self.key(f"o:{order_id}"))
            pipe.zscore(self.key("due"), order_id)
            pipe.scard(self.key(f"h:{order_id}"))
            raw, due, handles = pipe.execute()
        if not raw:
            return None
        return Record(
            order_id=order_id,
            state=raw["state"],
            step=raw.get("step"),
            status=raw.get("status"),
            erp=raw.get("erp", ""),
            told=raw.get("told", ""),
            attempts=int(raw.get("attempts", 0)),
            crashes=int(raw.get("crashes", 0)),
            error=raw.get("error"),
            due=due,
            claimed_until=float(raw["until"]) if "until" in raw else None,
            uncommitted=int(handles) + int(raw.get("pending", 0)),
            timeline=timeline(raw.get("log", "")),
        )

    # --- pauses and leases ----------------------------------------------------------------------------------

    def pause(
        self, scope: str, why: str, by: str = "", *, kind: Literal["access", "breaker"] = "access"
    ) -> bool:
        """Stop the account's (``vtex``) or the sink's (``erp``) work. True when it was not paused before.

        Without ``by`` it was our own doing and ends by itself; with a person's name only a person ends it.
        ``kind`` is why we did it: they do not let us in, or nobody is there.
        """
        said = json.dumps({"why": line(why), "since": self.now(), "by": by, "kind": kind})
        return bool(self.redis.set(self.key(f"paused:{scope}"), said, nx=not by))

    def paused(self) -> dict[str, dict[str, Any]]:
        """``{"vtex": {"why", "since", "by", "kind"}, "erp": ...}`` for what is paused."""
        said = cast("list[str | None]", self.redis.mget([self.key(f"paused:{scope}") for scope in SCOPES]))
        return {scope: json.loads(text) for scope, text in zip(SCOPES, said, strict=True) if text}

    def resume(self, scope: str, by: str = "") -> bool:
        """Go on. True when it was paused. Without ``by`` only what was our own doing, and no person's.

        Who resumed what is kept (:meth:`resumed`).
        """
        said = self.move("resume", scope, int(not by))
        if said and by:
            entry = {"scope": scope, "by": by, "at": self.now(), "paused": json.loads(said)}
            with self.redis.pipeline() as pipe:
                pipe.lpush(self.key("resumed"), json.dumps(entry))
                pipe.ltrim(self.key("resumed"), 0, 19)
                pipe.execute()
        return bool(said)

    def resumed(self) -> list[dict[str, Any]]:
        """``{"scope", "by", "at", "paused"}`` of the last times that a person resumed, the newest first."""
        return [json.loads(text) for text in cast("list[str]", self.redis.lrange(self.key("resumed"), 0, -1))]

    def trials(self, scope: str) -> int:
        """One more try of an open breaker with an order; how many that makes since it opened."""
        with self.redis.pipeline() as pipe:
            pipe.incr(self.key(f"trials:{scope}"))
            pipe.expire(self.key(f"trials:{scope}"), 3600)
            return int(pipe.execute()[0])

    def once_every(self, what: str, seconds: float) -> bool:
        """True for one caller in that many seconds, over all processes."""
        return bool(self.redis.set(self.key(f"once:{what}"), 1, nx=True, px=int(seconds * 1000)))

    def remember(self, what: str, value: float, seconds: float = 3600) -> None:
        """Keep a number that another process wants to know, for so long."""
        self.redis.set(self.key(f"known:{what}"), value, ex=int(seconds))

    def unremember(self, *what: str) -> None:
        """Forget such numbers."""
        self.redis.delete(*(self.key(f"known:{one}") for one in what))

    def recall(self, what: str) -> float | None:
        """What was remembered."""
        value = self.redis.get(self.key(f"known:{what}"))
        return float(str(value)) if value is not None else None

    @contextmanager
    def alone(self, what: str, lease: float) -> Iterator[Callable[[], object] | None]:
        """A lease (seconds) that one process holds at a time: yields what renews it, or None if another has it.

        Renewing raises ``redis.exceptions.LockError`` when it was lost meanwhile.
        """
        lock = self.redis.lock(self.key(f"lease:{what}"), timeout=lease, blocking=False, thread_local=False)
        if not lock.acquire(token=self.owner()):
            yield None
            return
        try:
            yield lock.reacquire
        finally:
            with suppress(redis.exceptions.LockError):
                lock.release()

    def key(self, name: str) -> str:
        """The Redis key of that name, for this account."""
        return self._prefix + name


def pace_of(pace: Pace | None) -> tuple[float, ...]:
    """A pace as the scripts take it."""
    return (pace.interval, pace.burst, pace.longest, pace.farthest) if pace else ()


def _claimed(order_id: str, step: str, token: str, answer: list[Any]) -> Claim | Refusal:
    """What the scripts' ``claim_step`` answered."""
    if answer[0] != "claimed":
        return Refusal(answer[0])
    _, attempts, crashes, age, erp, told, at, news, again, forgotten, says, heard, occurrence, slot = answer
    return Claim(
        order_id,
        step,
        token,
        int(attempts),
        int(crashes),
        float(age),
        erp,
        told,
        at,
        news,
        bool(again),
        bool(forgotten),
        says,
        float(heard),
        occurrence,
        slot_of(slot),
    )


def slot_of(answer: list[Any]) -> tuple[bool, float] | None:
    """What the scripts' ``reserve`` answered, if it was asked: as :meth:`Ledger.move_pace` returns it."""
    return (bool(answer[0]), float(answer[1])) if answer else None


def _meaning(state: str | None) -> str:
    if state in CANCELED or state in CANCELLATION_REQUESTED:
        return "cancels"
    return "handled" if state in IN_HANDLING else ""


def _plain(value: object) -> str | int | float:
    return value if isinstance(value, (int, float)) else str(value)


def _short(event_id: str) -> str:
    """An event id shortened for the list of those already seen (VTEX's are 32 hexadecimal digits)."""
    return event_id.replace(",", "")[-12:]


def line(text: str) -> str:
    """Text that fits a line of the timeline: at most 180 bytes, so that a few lines always fit."""
    line = " ".join(text.replace("|", "/").split())
    return line.encode(errors="replace")[:180].decode(errors="ignore").rstrip()


def timeline(log: str) -> list[TimelineEntry]:
    """Read what the scripts' ``note`` wrote."""
    entries = []
    for line in log.splitlines():
        at, code, detail = line.split("|", 2)
        entries.append(TimelineEntry(float(at), code, detail))
    return entries
