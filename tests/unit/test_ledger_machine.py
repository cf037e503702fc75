"""The ledger in every order of things that hypothesis can think of.

A tiny VTEX, a tiny ERP and a broker that loses and repeats messages are the model. The ledger and the bodies of the
steps are the real ones. Workers stop at any point, stall beyond their lease, work with documents that have become
old; answers get lost; all of Redis gets lost. Whatever happened: when the world is calm again, every order is where
it belongs, exactly once.

Events get lost as well, as in a gap of the feed, and orders fail for longer than their events may wait: then the real
reconciliation and the real second looks must find them.

``LEDGER_TEST_REDIS_URL`` lets it run on a real server, ``LEDGER_TEST_EXAMPLES`` longer.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tasks.base import ClaimLost, Work
from tasks.orders import download, start_handling
from tasks.watch import _look as look_again
from workers import errors, reconcile
from workers.erp.sink import CANCELED, ORDER_READY
from workers.ledger import DEAD, DOWNLOAD, START_HANDLING, Refusal
from workers.settings import Settings
from workers.vtex.schemas import Event, Order, OrderPage, OrderRow
from workers.watchlist import Watchlist

REAL = "LEDGER_TEST_REDIS_URL" in os.environ
EXAMPLES = int(os.environ.get("LEDGER_TEST_EXAMPLES", "40"))
MOST_ORDERS = 4
BODIES = {DOWNLOAD: download, START_HANDLING: start_handling}


class Died(BaseException):
    """The worker's process ended here."""


@dataclass
class Sold:
    """An order at VTEX."""

    order_id: str
    created: str
    status: str = "ready-for-handling"
    changed: str = ""
    handled: int = 0


@dataclass
class Waiting:
    """An event in VTEX's feed; only its newest handle commits it."""

    event_id: str
    order_id: str
    state: str
    at: str
    receipts: int = 0

    @property
    def handle(self) -> str:
        return f"{self.event_id}/{self.receipts}"


@dataclass
class Vtex:
    """The store, as far as the steps see it."""

    clock: object
    orders: dict[str, Sold] = field(default_factory=dict)
    feed: dict[str, Waiting] = field(default_factory=dict)
    stale: dict[str, Order] = field(default_factory=dict)
    trouble: str = ""
    changes: int = 0

    def stamp(self) -> str:
        self.changes += 1
        moment = datetime.fromtimestamp(self.clock.time(), UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{self.changes:07d}Z"

    def sell(self) -> None:
        order = Sold(f"{len(self.orders) + 1}-01", self.stamp())
        self.orders[order.order_id] = order
        self.move(order, order.status)

    def move(self, order, status) -> None:
        if order.status == "canceled":
            return
        order.status, order.changed = status, self.stamp()
        event = Waiting(f"{self.changes:032x}", order.order_id, status, order.changed)
        if status != "start-handling":  # the feed does not ask for it
            self.feed[event.event_id] = event

    def receive(self, event) -> Event:
        event.receipts += 1
        return Event(event.event_id, event.handle, event.order_id, event.state, "Fulfillment", event.at)

    def document(self, order_id) -> Order:
        order = self.orders[order_id]
        nothing = dict.fromkeys(("origin", "sales_channel", "affiliate_id"))
        return Order(
            order_id=order_id,
            status=order.status,
            last_change=order.changed,
            creation_date=order.created,
            seller_ids=(),
            text="{}",
            **nothing,
        )

    def list_orders(self, *, status, page=1, **_window) -> OrderPage:
        """The order list, which is never behind here."""
        rows = [
            OrderRow(one.order_id, one.status, one.created, one.created)
            for one in self.orders.values()
            if one.status == status
        ]
        return OrderPage(rows if page == 1 else [], total=len(rows), pages=1, current_page=page)

    # What the bodies call

    def get_order(self, order_id) -> Order:
        self._fail("get")
        return self.stale.pop(order_id, None) or self.document(order_id)

    def start_handling(self, order_id) -> None:
        self._fail("start")
        order = self.orders[order_id]
        if order.status != "ready-for-handling":
            raise errors.Conflict("409", status=409, code="OMS003")
        order.handled += 1
        self.move(order, "start-handling")
        if self.trouble == "no answer":
            self.trouble = ""
            raise errors.OutcomeUnknown("no answer")
        self._fail("started")

    def _fail(self, where) -> None:
        if self.trouble == f"503 at {where}":
            self.trouble = ""
            raise errors.Unavailable("503")
        if self.trouble == f"died at {where}":
            self.trouble = ""
            raise Died


@dataclass
class Erp:
    """Takes deliveries, as often as they come."""

    vtex: Vtex
    keys: dict[str, set[str]] = field(default_factory=dict)
    canceled: set[str] = field(default_factory=set)

    def deliver(self, delivery) -> None:
        self.vtex._fail("delivering")
        if delivery.type == ORDER_READY:
            self.keys.setdefault(delivery.order_id, set()).add(delivery.key)
        elif delivery.type == CANCELED:
            self.canceled.add(delivery.order_id)
        self.vtex._fail("delivered")


TROUBLES = (
    *[""] * 8,
    *(f"503 at {where}" for where in ("get", "delivering", "delivered", "start")),
    *(f"died at {where}" for where in ("get", "delivering", "delivered", "start", "started")),
    "no answer",
)


OFTEN = ["canceled and told", "somebody else", "swept", 31, "somebody else", "swept", 31, 200]
MEANWHILE = st.lists(st.sampled_from([*OFTEN, *OFTEN, "redis lost"]), max_size=2)
WORK = st.fixed_dictionaries(
    {
        "number": st.integers(0, 9),
        "repeated": st.booleans(),
        "before": MEANWHILE,
        "trouble": st.sampled_from(TROUBLES),
        "stale": st.booleans(),
        "after": MEANWHILE,
        "ending": st.sampled_from(["", "", "", "twice", "lost", "park", "died"]),
    }
)
WORLD = st.fixed_dictionaries(
    {
        "happening": st.sampled_from(
            [
                "sell",
                "cancel",
                "cancel",
                "feed",
                "feed",
                "feed",
                "message lost",
                "event lost",
                "sweep",
                "wait",
                "reconcile",
                "look again",
                "redis lost",
            ]
        ),
        "number": st.integers(-1, 9),
        "seconds": st.sampled_from([31, 200, 2000]),
    }
)
COMMIT = st.fixed_dictionaries(
    {
        "how": st.sampled_from(["well", "well", "take", "no answer", "died", "returned"]),
        "number": st.integers(1, 3),
    }
)
#: One kind of rule: of several, hypothesis leaves some out of a whole run, and little would come to an end.
HAPPENS = st.one_of(
    *[st.tuples(st.just("work"), WORK)] * 3,
    *[st.tuples(st.just("world"), WORLD)] * 2,
    st.tuples(st.just("commit"), COMMIT),
)


class Machine(RuleBasedStateMachine):
    """One store, its messages, and whoever works."""

    def __init__(self, clock, make_ledger, lose) -> None:
        super().__init__()
        self.clock, self.lose = clock, lose
        self.ledger = make_ledger()
        lose(self.ledger)
        # an old installation, until it loses its memory: what it does not know, it never had
        self.ledger.redis.set(self.ledger.key("began"), clock.time() - 86400)
        self.vtex = Vtex(clock)
        self.erp = Erp(self.vtex)
        self.link = SimpleNamespace(
            account=SimpleNamespace(name="teststore"),
            ledger=self.ledger,
            vtex=self.vtex,
            deliver=self.erp.deliver,
            settings=Settings(accounts={}, erp_url=""),
        )
        self.messages: list[tuple[str, str]] = []  # (order id, step), in the broker
        self.taken: list[list[tuple[str, str]]] = []  # commits that somebody is at
        self.tokens = 0
        self.early: list[str] = []
        self.began()

    def began(self) -> None:
        """What is told to find messages has this one's."""

    # --- the world ------------------------------------------------------------------------------------------

    @initialize()
    def open_the_store(self):
        self.sell()
        self.feed(0)

    @rule(what=HAPPENS)
    def happens(self, what):
        name, options = what
        getattr(self, name)(**options)

    def world(self, happening, number, seconds):  # noqa: C901
        match happening:
            case "sell":
                self.sell()
            case "cancel":
                self.vtex.move(self.pick(number), "canceled")
            case "feed":
                self.feed(number)
            case "message lost" if self.messages:
                self.messages.pop(number % len(self.messages))
            case "event lost" if self.vtex.feed:
                self.vtex.feed.pop(list(self.vtex.feed)[number % len(self.vtex.feed)])
            case "sweep":
                self.messages += self.ledger.due()
            case "reconcile":
                self.reconcile()
            case "look again":
                self.look_again(number)
            case "wait":
                self.wait(seconds)
            case "redis lost":
                self.lose(self.ledger)

    def sell(self):
        if len(self.vtex.orders) < MOST_ORDERS:
            self.vtex.sell()

    def pick(self, number):
        return list(self.vtex.orders.values())[number % len(self.vtex.orders)]

    def feed(self, number):
        """The feed gives an event, for the first time or again."""
        waiting = list(self.vtex.feed.values())
        if waiting:
            event = self.vtex.receive(waiting[number % len(waiting)])
            if self.ledger.observe([event])[0] in ("new", "again"):
                self.messages.append((event.order_id, DOWNLOAD))

    def enqueue(self, _account, order_id, step=DOWNLOAD):
        self.messages.append((order_id, step))

    def reconcile(self):
        """VTEX's list is compared with the ledger."""
        until = datetime.fromtimestamp(self.clock.time() + 1, UTC)
        gap = reconcile.close_gap(self.link, until - reconcile.LOOK_BACK, until, int)
        reconcile.close_other_gaps(self.link, gap, until - reconcile.LOOK_BACK, until, int)

    def look_again(self, number):
        """An order that the ERP has is read once more."""
        watchlist = Watchlist(self.ledger)
        if watched := self.ledger.redis.zrange(self.ledger.key("watch"), 0, -1):
            order_id = watched[number % len(watched)]
            look_again(self.link, watchlist, self.vtex.document(order_id))

    def wait(self, seconds):
        self.clock.advance(seconds)
        if REAL and seconds > self.ledger.lease:  # the one lease that a real server ends by its own clock
            held = list(self.ledger.redis.scan_iter(self.ledger.key("w:*")))
            self.ledger.redis.delete(*held, "none")

    # --- a worker -------------------------------------------------------------------------------------------

    def work(self, number, repeated, before, trouble, stale, after, ending):  # noqa: PLR0917
        """A step with all that may happen to it, and meanwhile.

        ``repeated``: the broker gives the message once more. ``before`` and ``after`` the body ran, the world goes
        on. ``stale``: the body reads the document as it was when the step was claimed.
        """
        for waiting in (0, 31, 200):  # until there is something to do
            if not self.messages:
                self.wait(waiting)
                self.feed(number)
                self.messages += self.ledger.due()
        if not self.messages:
            self.sell()
            return
        message = self.messages[number % len(self.messages)]
        if not repeated:
            self.messages.remove(message)
        claim = self.claim(message)
        if claim is None:
            return
        document = self.vtex.document(claim.order_id)
        self.meanwhile(before, message)
        result = self.body(claim, trouble, document if stale and claim.step == DOWNLOAD else None)
        self.meanwhile(after, message)
        if result is not None and ending != "died":
            self.finish(claim, result, ending)

    def claim(self, message):
        order_id, step = message
        self.tokens += 1
        claim = self.ledger.claim(order_id, step, f"token-{self.tokens}")
        if not isinstance(claim, Refusal):
            return claim
        if claim.why == "elsewhere" and step == DOWNLOAD:
            self.messages.append((order_id, START_HANDLING))  # the chain goes on
        return None

    def meanwhile(self, happenings, message):
        for happening in happenings:
            if happening == "canceled and told":
                self.vtex.move(self.vtex.orders[message[0]], "canceled")
                self.feed(-1)
            elif happening == "somebody else":
                self.step(message)
            elif happening == "swept":
                self.messages += self.ledger.due()
            elif happening == "redis lost":
                self.lose(self.ledger)
            else:
                self.wait(happening)

    def step(self, message):
        """A step that goes well."""
        claim = self.claim(message)
        if claim is not None:
            self.finish(claim, BODIES[claim.step].run(Work(self.link, claim)), "")

    def body(self, claim, trouble, document):
        """Where the order goes, or the error; None if the worker's part ends here."""
        if document is not None:
            self.vtex.stale[claim.order_id] = document
        self.vtex.trouble = trouble
        try:
            return BODIES[claim.step].run(Work(self.link, claim))
        except errors.OrderLinkError as error:
            return error
        except (Died, ClaimLost):
            return None
        finally:
            self.vtex.trouble = ""
            self.vtex.stale.clear()

    def finish(self, claim, result, ending):
        """Write it down, and send the message that follows."""
        for _ in range(2 if ending == "twice" else 1):  # the client repeats what it has no answer to
            if isinstance(result, errors.OrderLinkError):
                park = ending == "park"
                kept = self.ledger.defer(claim, 70.0 if park else 5.0, str(result), park=park)
                where = claim.step if kept and not park else ""
            else:
                where = self.ledger.advance(claim, result.where, result.code, result.detail, **result.fields)
        where = DOWNLOAD if where == "again" else where
        if where in BODIES and ending != "lost":
            self.messages.append((claim.order_id, where))

    # --- commits --------------------------------------------------------------------------------------------

    def commit(self, how, number):
        """Commit what may be; or take it and let others come first; or end at any point of it."""
        if how == "take":
            self.taken.append(self.ledger.take_acks(number))
            return
        acks = self.taken.pop(0) if self.taken else self.ledger.take_acks()
        if not acks:
            return
        if how == "returned":
            self.ledger.return_acks(acks, 2.0)
        elif how != "died":
            for _, handle in acks:
                self.commit_one(handle)
            if how == "well":
                self.ledger.settle_acks(acks)

    def commit_one(self, handle):
        event = self.vtex.feed.get(handle.partition("/")[0])
        if event is None or event.handle != handle:
            return  # stale: no error, no effect
        del self.vtex.feed[event.event_id]
        order = self.vtex.orders[event.order_id]
        ours = self.ledger.redis.hget(self.ledger.key(f"o:{order.order_id}"), "ours")
        dead = ours or self.ledger.states([order.order_id]) == [DEAD]
        delivered = order.order_id in self.erp.keys
        if event.state == "ready-for-handling" and order.status != "canceled":
            if not dead and not (delivered and order.handled):
                self.early.append(handle)
        elif event.state == "canceled" and delivered and order.order_id not in self.erp.canceled:
            self.early.append(handle)

    # --- what is always true --------------------------------------------------------------------------------

    @invariant()
    def no_event_is_committed_before_its_order_is_safe(self):
        assert not self.early

    @invariant()
    def one_key_an_order(self):
        assert all(len(keys) == 1 for keys in self.erp.keys.values())

    @invariant()
    def handled_once_and_never_before_the_erp_has_it(self):
        for order in self.vtex.orders.values():
            assert order.handled <= 1
            assert not order.handled or order.order_id in self.erp.keys

    @invariant()
    def everything_open_is_due_and_the_totals_add_up(self):
        ids = list(self.vtex.orders)
        states = self.ledger.states(ids)
        counts = self.ledger.counts()
        for state in ("open", "parked", "done", "ignored", "dead"):
            assert getattr(counts, state) == states.count(state), (counts, states)
        due = set(self.ledger.redis.zrange(self.ledger.key("due"), 0, -1))
        assert due == {name for name, state in zip(ids, states, strict=True) if state in ("open", "parked")}

    # --- the calm at the end --------------------------------------------------------------------------------

    def teardown(self):
        for _ in range(40):
            if self.calm():
                break
            self.wait(301)
            self.quiet_round()
        else:
            raise AssertionError(
                f"no end: {self.ledger.counts()} {self.vtex.feed} {self.ledger.waiting_acks()}"
            )
        self.no_event_is_committed_before_its_order_is_safe()
        for order in self.vtex.orders.values():
            if order.status == "canceled":
                assert order.order_id not in self.erp.keys or order.order_id in self.erp.canceled, order
            else:
                assert order.order_id in self.erp.keys, order
                assert order.handled == 1, order

    def calm(self) -> bool:
        counts = self.ledger.counts()
        waits = any(one.status == "ready-for-handling" for one in self.vtex.orders.values())
        untold = any(
            one.status == "canceled" and name in self.erp.keys and name not in self.erp.canceled
            for name, one in self.vtex.orders.items()
        )
        left = self.vtex.feed or counts.open or counts.parked or self.ledger.waiting_acks()
        return not (left or waits or untold)

    def quiet_round(self) -> None:
        """What beat and the workers do, with nothing in the way."""
        self.reconcile()
        for number in range(len(self.vtex.feed)):
            self.feed(number)
        self.messages += self.ledger.due()
        while self.messages:
            self.step(self.messages.pop())
        while acks := self.ledger.take_acks():
            for _, handle in acks:
                self.commit_one(handle)
            self.ledger.settle_acks(acks)


@pytest.mark.promise("P1", "P2", "P3", "P4")
def test_whatever_happens_in_whatever_order(clock, make_ledger, lose_everything, monkeypatch):
    monkeypatch.setattr(
        Machine, "began", lambda machine: monkeypatch.setattr(reconcile, "enqueue", machine.enqueue)
    )
    run_state_machine_as_test(
        functools.partial(Machine, clock, make_ledger, lose_everything),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
