"""The facts of one moment, read from Redis: for Prometheus, the conditions, and the console alike.

A few round trips, whatever the number of orders, made when somebody asks; workers have nothing to do with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import redis

from workers import heartbeat, queues, telemetry
from workers.command_ledger import CommandLedger
from workers.conditions import NAMES, Conditions
from workers.monitor import meter
from workers.monitor.catalog import COUNTED, LEDGER_TOTALS, METRICS
from workers.vtex.states import STANDS_STILL
from workers.watchlist import Watchlist

if TYPE_CHECKING:
    from workers.ledger import Ledger
    from workers.settings import Settings

log = telemetry.get(__name__)

#: So many unfinished orders are looked at one by one: a few milliseconds of Redis' time.
LOOKED_AT = 5000
_STATES = ("open", "parked", "done", "ignored", "dead")
_COMMAND_STATES = ("open", "parked", "done", "refused", "dead")
_PAUSES = [(scope, kind) for scope in ("vtex", "erp") for kind in ("access", "breaker", "person")]

Labels = tuple[str, ...]


@dataclass(slots=True)
class Reading:
    """Values by metric and labels, and what people want to know beside a number."""

    at: float = 0.0
    values: dict[str, dict[Labels, float]] = field(default_factory=dict)
    #: Why something is paused, or what is wrong, by account and scope or condition.
    why: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Counts of processes, still in the meter's form, by account.
    counted: dict[str, dict[str, float]] = field(default_factory=dict)

    def put(self, name: str, value: float, *labels: str) -> None:
        """One sample."""
        self.values.setdefault(name, {})[labels] = value

    def matching(self, name: str, **where: str) -> dict[Labels, float]:
        """The samples of a metric whose labels are as given."""
        places = {label: METRICS[name].labels.index(label) for label in where}
        return {
            labels: value
            for labels, value in self.values.get(name, {}).items()
            if all(labels[places[label]] == wanted for label, wanted in where.items())
        }


def read(client: redis.Redis, ledgers: Iterable[Ledger], settings: Settings) -> Reading:
    """Everything. With Redis away (or refusing) only that."""
    reading = Reading()
    try:
        _redis(reading, client.info())
        _broker(reading, client, settings)
        for ledger in ledgers:
            _account(reading, ledger, settings)
        _of_all(reading)
    except redis.RedisError as error:
        log.warning("redis_unavailable", error=f"{type(error).__name__}: {error}")
        gone = Reading()
        gone.put("vtexorders_redis_up", 0)
        gone.why["", ""] = str(error)
        return gone
    return reading


def _redis(reading: Reading, info: dict[str, Any]) -> None:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    durable = bool(info.get("aof_enabled")) and info.get("maxmemory_policy", "noeviction") == "noeviction"
    reading.put("vtexorders_redis_up", 1)
    reading.put("vtexorders_redis_memory_bytes", used)
    reading.put("vtexorders_redis_memory_limit_bytes", limit)
    reading.put("vtexorders_redis_memory_ratio", used / limit if limit else 0.0)
    reading.put("vtexorders_redis_durable", int(durable))


def _broker(reading: Reading, client: redis.Redis, settings: Settings) -> None:
    """The queues by purpose: those of all stores together, and whether each of them is served."""
    names = {purpose: queues.of_purpose(settings, purpose) for purpose in queues.QUEUES}
    with client.pipeline(transaction=False) as pipe:
        for queue in (queue for some in names.values() for queue in some):
            pipe.llen(queue)
        pipe.hlen("unacked")
        *found, held = pipe.execute()
    living, lengths = heartbeat.living(client), iter(found)
    for purpose, some in names.items():
        reading.put("vtexorders_queue_messages", sum(next(lengths) for _ in some), purpose)
        serving = (sum(queue in about["queues"] for about in living.values()) for queue in some)
        reading.put("vtexorders_queue_workers", min(serving), purpose)
    reading.put("vtexorders_in_flight_messages", held)
    reading.put("vtexorders_workers", len(living))
    reading.put("vtexorders_beats", heartbeat.beats(client))
    reading.put("vtexorders_workers_lost", len(heartbeat.lost(client, living)))


def _account(reading: Reading, ledger: Ledger, settings: Settings) -> None:
    name, now = ledger.account, ledger.now()
    reading.at = now
    orders, commands = ledger.counts(), CommandLedger(ledger).counts()
    for state in _STATES:
        reading.put("vtexorders_orders", getattr(orders, state), name, state)
    for state in _COMMAND_STATES:
        reading.put("vtexorders_commands", getattr(commands, state), name, state)
    oldest, *unfinished = ledger.standing(LOOKED_AT)
    for state, step, number in zip(unfinished[::3], unfinished[1::3], unfinished[2::3], strict=True):
        reading.put("vtexorders_unfinished_orders", int(number), name, state, step)
    reading.put("vtexorders_oldest_order_seconds", float(oldest), name)
    reading.put("vtexorders_uncommitted_events", ledger.waiting_acks(), name)
    stats = ledger.stats()
    for ours, metric in LEDGER_TOTALS.items():
        reading.put(metric, stats.get(ours, 0), name)
    for scope, kind in _PAUSES:
        reading.put("vtexorders_paused", 0, name, scope, kind)
    for scope, pause in ledger.paused().items():
        kind = "person" if pause.get("by") else pause.get("kind", "access")
        reading.put("vtexorders_paused", 1, name, scope, kind)
        reading.why[name, scope] = f"{pause['why']} (by {pause['by']})" if pause.get("by") else pause["why"]
    lasting = {condition.name: condition.says for condition in Conditions(ledger).all()}
    for condition in NAMES:
        reading.put("vtexorders_condition", condition in lasting, name, condition)
        reading.why[name, condition] = lasting.get(condition, "")
    watchlist = Watchlist(ledger)
    stuck = Counter(status for status, _ in watchlist.stuck().values())
    for status in STANDS_STILL:
        reading.put("vtexorders_stuck_orders", stuck[status], name, status)
    reading.put("vtexorders_watched_orders", len(watchlist), name)
    reading.put("vtexorders_cool_down_seconds", ledger.cooling(), name)
    _remembered(reading, ledger, settings.of(name).feed_poll)
    reading.counted[name] = meter.totals(ledger)


def _of_all(reading: Reading) -> None:
    """What a scaler asks for, which can name neither stores nor sums."""
    ages = reading.values.get("vtexorders_oldest_order_seconds", {}).values()
    reading.put("vtexorders_oldest_work_seconds", max(ages, default=0.0))
    for what in ("orders", "commands"):
        found = reading.matching(f"vtexorders_{what}", state="open")
        reading.put(f"vtexorders_open_{what}", sum(found.values()))


def _remembered(reading: Reading, ledger: Ledger, feed_poll: float) -> None:
    """What a task saw at VTEX and left a note of; nothing is said where there is no note."""
    name = ledger.account
    for note, metric in {
        "feed_configured": "vtexorders_feed_configured",
        "feed_quantity": "vtexorders_feed_backlog_events",
        "feed_oldest": "vtexorders_feed_oldest_event_seconds",
        "reconcile_missing": "vtexorders_reconcile_missing_orders",
        "reconcile_dead": "vtexorders_reconcile_dead_orders",
    }.items():
        if (value := ledger.recall(note)) is not None:
            reading.put(metric, value, name)
    if (polled := ledger.recall("polled")) is not None:
        reading.put("vtexorders_feed_reads_missed", int(max(0.0, reading.at - polled) / feed_poll), name)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were in each bucket (the last one has no bound), and their sum."""

    counts: tuple[float, ...]
    total: float


def counted(fields: dict[str, float], name: str) -> dict[Labels, float | Histogram]:
    """One counted metric's series out of the meter's fields, by its labels without the account."""
    metric = COUNTED[name]
    series: dict[Labels, Any] = {}
    for key, value in fields.items():
        parts = key.split("|")
        if parts[0] != name or len(parts) != len(metric.labels) + (metric.kind == "histogram"):
            continue
        if metric.kind == "counter":
            series[tuple(parts[1:])] = value
            continue
        pieces = series.setdefault(tuple(parts[1:-1]), {})
        pieces[parts[-1]] = value
    if metric.kind == "counter":
        return cast("dict[Labels, float | Histogram]", series)
    places = [str(place) for place in range(len(metric.buckets) + 1)]
    return {
        labels: Histogram(tuple(pieces.get(place, 0.0) for place in places), pieces.get("sum", 0.0))
        for labels, pieces in series.items()
    }
