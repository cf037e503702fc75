"""The alarms: what somebody must hear of, when it begins, when it is over, in plain words, and what to do.

Each looks at one metric, so that our own alarms, ``status``, ``check`` and Prometheus' rules
(``deploy/monitoring/alerts.yaml``, made from here) say the same. ``deploy/runbook.md`` has a section for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from workers.monitor.catalog import METRICS

if TYPE_CHECKING:
    from workers.monitor.readings import Reading

#: Somebody gets up at night, or somebody looks tomorrow.
Severity = Literal["critical", "warning"]
#: How often conditions are looked at. Seconds.
EVERY = 15.0
#: Over which time a counter's rise is looked at. Seconds.
WINDOW = 600.0


@dataclass(frozen=True, slots=True)
class Rule:
    """It begins when the metric is beyond ``begins`` for ``hold`` seconds.

    It is over when the metric is back to ``ends`` or better for ``linger`` seconds.
    ``where`` chooses series by labels; of those of one store the worst counts. ``over``: what counts is how much a
    counter rose in so many seconds. ``says`` is a sentence with {value} and {why}.
    """

    name: str
    severity: Severity
    metric: str
    begins: float
    says: str
    do: str
    where: Mapping[str, str] = field(default_factory=dict)
    beyond: Literal["above", "below"] = "above"
    ends: float | None = None
    hold: float = 0.0
    linger: float = 0.0
    over: float = 0.0
    absent: bool = False  # that nobody tells the number is as bad

    @property
    def of_a_store(self) -> bool:
        """Whether it is about one store, and not about the whole installation."""
        return "account" in METRICS[self.metric].labels

    @property
    def logged(self) -> bool:
        """Whether those who found it have said so in the log (:mod:`workers.conditions`)."""
        return self.metric == "vtexorders_condition"

    @property
    def over_at(self) -> float:
        return self.begins if self.ends is None else self.ends

    def bad(self, value: float) -> bool:
        """Whether it begins with that value."""
        return value > self.begins if self.beyond == "above" else value < self.begins

    def fine(self, value: float) -> bool:
        """Whether it is over with that value."""
        return value <= self.over_at if self.beyond == "above" else value >= self.over_at

    def values(self, reading: Reading) -> dict[str, float]:
        """The worst value of each store ("" of the whole installation); nothing where nobody knows."""
        labels = METRICS[self.metric].labels
        place = labels.index("account") if "account" in labels else None
        worst: dict[str, float] = {}
        choose: Callable[[float, float], float] = max if self.beyond == "above" else min
        for found, value in reading.matching(self.metric, **self.where).items():
            account = found[place] if place is not None else ""
            worst[account] = choose(worst[account], value) if account in worst else value
        return worst

    def words(self, reading: Reading, account: str, value: float) -> str:
        """The sentence."""
        why = reading.why.get((account, self.where.get("scope") or self.where.get("condition") or ""), "")
        return self.says.format(
            value=f"{value:.0f}", percent=f"{100 * value:.0f}", hours=f"{value / 3600:.1f}", why=why
        )


RULES = (
    Rule(
        "credentials_refused",
        "critical",
        "vtexorders_paused",
        0,
        "VTEX refuses the application key, so the store stands still: {why}",
        "give the key its rights, or set VTEX_APP_KEY and VTEX_APP_TOKEN anew: vtexorders check",
        where={"scope": "vtex", "kind": "access"},
    ),
    Rule(
        "vtex_down",
        "critical",
        "vtexorders_paused",
        0,
        "VTEX does not answer, so the store waits: {why}",
        "look at status.vtex.com and at the network; it goes on by itself",
        where={"scope": "vtex", "kind": "breaker"},
        hold=60,
        linger=60,
    ),
    Rule(
        "vtex_throttles",
        "warning",
        "vtexorders_cool_down_seconds",
        0,
        "VTEX answered 429 (too many requests): all calls of the store wait",
        "who else calls VTEX for this store? Or lower VTEX_REQUESTS_PER_MINUTE",
        linger=300,
    ),
    Rule(
        "erp_refuses",
        "critical",
        "vtexorders_paused",
        0,
        "the ERP refuses us, so orders wait in VTEX's feed: {why}",
        "check ERP_URL, ERP_TOKEN and rights: vtexorders check",
        where={"scope": "erp", "kind": "access"},
    ),
    Rule(
        "erp_down",
        "critical",
        "vtexorders_paused",
        0,
        "the ERP does not answer, so orders wait in VTEX's feed: {why}",
        "start the ERP or its database again; it goes on by itself",
        where={"scope": "erp", "kind": "breaker"},
        linger=60,
    ),
    Rule(
        "paused_by_person",
        "warning",
        "vtexorders_paused",
        0,
        "somebody paused it more than an hour ago, and nobody resumed it",
        "run: vtexorders status, then vtexorders resume",
        where={"kind": "person"},
        hold=3600,
    ),
    Rule(
        "feed_gone",
        "critical",
        "vtexorders_condition",
        0,
        "{why}",
        "run: vtexorders feed configure",
        where={"condition": "feed_gone"},
    ),
    Rule(
        "feed_filter",
        "critical",
        "vtexorders_condition",
        0,
        "{why}",
        "run: vtexorders feed configure",
        where={"condition": "feed_filter"},
    ),
    Rule(
        "feed_backlog",
        "warning",
        "vtexorders_condition",
        0,
        "{why}",
        "are enough workers running? vtexorders status",
        where={"condition": "feed_backlog"},
    ),
    Rule(
        "feed_shared",
        "warning",
        "vtexorders_condition",
        0,
        "{why}",
        "does another system use this application key? Give each its own",
        where={"condition": "feed_shared"},
    ),
    Rule(
        "orders_stuck",
        "warning",
        "vtexorders_condition",
        0,
        "{why}",
        "vtexorders reconcile --dry-run lists them; VTEX's support can move them on",
        where={"condition": "orders_stuck"},
    ),
    Rule(
        "feed_not_read",
        "critical",
        "vtexorders_feed_reads_missed",
        20,
        "the feed was not read the last {value} times that it should have been",
        "is beat running? vtexorders health beat",
        hold=60,
    ),
    Rule(
        "orders_dead",
        "warning",
        "vtexorders_orders",
        0,
        "{value} orders were given up (dead)",
        "vtexorders dead says why; then vtexorders replay",
        where={"state": "dead"},
    ),
    Rule(
        "commands_dead",
        "warning",
        "vtexorders_commands",
        0,
        "{value} commands of the ERP were given up (dead)",
        "vtexorders dead says why; then vtexorders replay",
        where={"state": "dead"},
    ),
    Rule(
        "order_late",
        "warning",
        "vtexorders_oldest_order_seconds",
        3600,
        "an order has been tried for {hours} h and is not finished",
        "vtexorders status, and in the log: parked; vtexorders order ID says why",
        ends=1800,
    ),
    Rule(
        "no_worker",
        "critical",
        "vtexorders_queue_workers",
        1,
        "nobody works, or some queue is served by nobody",
        "run: vtexorders up (or a worker for each queue); vtexorders status",
        beyond="below",
        hold=30,
    ),
    Rule(
        "worker_dead",
        "warning",
        "vtexorders_workers_lost",
        0,
        "{value} worker processes died, and none came in their place",
        "what they did is taken over; start them again, and look why in their log (memory?)",
    ),
    Rule(
        "beat_missing",
        "critical",
        "vtexorders_beats",
        1,
        "beat does not run: the feed is not read, and nobody watches",
        "run: vtexorders up, or vtexorders beat",
        beyond="below",
        hold=60,
        absent=True,
    ),
    Rule(
        "redis_down",
        "critical",
        "vtexorders_redis_up",
        1,
        "Redis does not answer, or refuses us: everything waits, nothing is lost: {why}",
        "start Redis again; is REDIS_URL right? vtexorders check",
        beyond="below",
        hold=15,
    ),
    Rule(
        "redis_full",
        "critical",
        "vtexorders_redis_memory_ratio",
        0.8,
        "Redis is {percent} % full; full, it takes no new work",
        "give it more memory (maxmemory)",
        ends=0.7,
    ),
    Rule(
        "redis_not_durable",
        "critical",
        "vtexorders_redis_durable",
        1,
        "Redis may forget work: it writes nothing to disk, or throws records away when it is full",
        "set appendonly yes and maxmemory-policy noeviction",
        beyond="below",
    ),
    Rule(
        "sweeper_heals",
        "warning",
        "vtexorders_healed_total",
        100,
        "{value} lost messages were sent again in ten minutes",
        "nothing is lost; are workers dying, or is Redis restarting? vtexorders status",
        over=WINDOW,
    ),
    Rule(
        "reconcile_gap",
        "warning",
        "vtexorders_reconcile_missing_orders",
        10,
        "the last reconciliation found {value} orders that the feed had not told",
        "they are taken in; does another system read the feed with our key? vtexorders check",
    ),
)

BY_NAME = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition that holds: since when (seconds since 1970), in words."""

    name: str
    account: str
    severity: Severity
    says: str
    do: str
    since: float


def beyond(reading: Reading) -> Iterator[tuple[Rule, str, float]]:
    """What is beyond its limit at this moment, whatever was before; counters' rises cannot be seen so."""
    for rule in RULES:
        if not rule.over:
            for account, value in rule.values(reading).items():
                if rule.bad(value):
                    yield rule, account, value
