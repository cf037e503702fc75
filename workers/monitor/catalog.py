"""Every metric that there is: its name, what it says, its labels. By Prometheus' conventions for names and units.

No label holds an id or anything personal: accounts, endpoints, steps, states and other short lists only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Seconds.
_CALL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_WAIT = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0)
_ORDER = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 6 * 3600.0, 24 * 3600.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One family of series. ``buckets`` are a histogram's upper bounds, in its unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def _all(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


#: Counted in each process, and added up in Redis (:mod:`workers.monitor.meter`).
COUNTED = _all(
    Metric(
        "vtexorders_vtex_requests_total",
        "counter",
        "Calls to VTEX, by their answer's status (none: no answer came)",
        ("account", "endpoint", "status"),
    ),
    Metric(
        "vtexorders_vtex_request_seconds",
        "histogram",
        "How long calls to VTEX took",
        ("account", "endpoint"),
        _CALL,
    ),
    Metric(
        "vtexorders_limiter_wait_seconds",
        "histogram",
        "How long the account's pace made a call wait (over 1 s the worker does something else meanwhile)",
        ("account",),
        _WAIT,
    ),
    Metric(
        "vtexorders_erp_delivery_seconds",
        "histogram",
        "How long the ERP took for a delivery: it has it (taken), refuses it (refused), or not now (failed)",
        ("account", "outcome"),
        _CALL,
    ),
    Metric(
        "vtexorders_order_steps_total",
        "counter",
        "Steps of orders (download, start-handling) by what came of them",
        ("account", "step", "outcome"),
    ),
    Metric(
        "vtexorders_order_handling_seconds",
        "histogram",
        "From an order's first event here until VTEX knew that it is being handled",
        ("account",),
        _ORDER,
    ),
    Metric(
        "vtexorders_command_steps_total",
        "counter",
        "Looks at commands of the ERP, by kind and what came of them",
        ("account", "command", "outcome"),
    ),
)

#: Counted by the ledger's own moves: its name for it, and ours.
LEDGER_TOTALS = {
    "events": "vtexorders_feed_events_total",
    "duplicates": "vtexorders_feed_duplicates_total",
    "commits": "vtexorders_feed_commits_total",
    "retries": "vtexorders_retries_total",
    "healed": "vtexorders_healed_total",
    "crashes": "vtexorders_crashes_total",
    "stalls": "vtexorders_stalls_total",
    "cooldowns": "vtexorders_cool_downs_total",
}

#: Facts that are read from Redis when somebody asks (:mod:`workers.monitor.readings`).
READ = _all(
    Metric("vtexorders_feed_events_total", "counter", "Events that were read from the feed", ("account",)),
    Metric(
        "vtexorders_feed_duplicates_total",
        "counter",
        "Events that told nothing new, and were only committed",
        ("account",),
    ),
    Metric("vtexorders_feed_commits_total", "counter", "Events that were committed", ("account",)),
    Metric("vtexorders_retries_total", "counter", "Steps and commands that are tried again", ("account",)),
    Metric(
        "vtexorders_healed_total",
        "counter",
        "Steps whose message was lost, and which the sweeper brought back",
        ("account",),
    ),
    Metric(
        "vtexorders_crashes_total", "counter", "Steps and commands whose worker died over them", ("account",)
    ),
    Metric(
        "vtexorders_stalls_total",
        "counter",
        "Steps and commands whose worker was too slow, and another took over",
        ("account",),
    ),
    Metric("vtexorders_cool_downs_total", "counter", "Pauses of all calls after a 429", ("account",)),
    Metric(
        "vtexorders_orders",
        "gauge",
        "Orders by state; done and ignored are all since the ledger began",
        ("account", "state"),
    ),
    Metric(
        "vtexorders_unfinished_orders",
        "gauge",
        "Orders that are open or parked, by the step they are at (of the 5000 that are due first)",
        ("account", "state", "step"),
    ),
    Metric(
        "vtexorders_oldest_order_seconds",
        "gauge",
        "Age of the oldest order that is open or parked (of the 5000 that are due first)",
        ("account",),
    ),
    Metric("vtexorders_commands", "gauge", "Commands of the ERP by state", ("account", "state")),
    Metric(
        "vtexorders_oldest_work_seconds",
        "gauge",
        "Age of the oldest order of all stores that is open or parked: for what changes the number of workers",
    ),
    Metric(
        "vtexorders_open_orders", "gauge", "Orders of all stores that wait or are in progress: for the same"
    ),
    Metric(
        "vtexorders_open_commands",
        "gauge",
        "Commands of all stores that wait or are in progress: for the same",
    ),
    Metric(
        "vtexorders_uncommitted_events", "gauge", "Events that may be committed and are not", ("account",)
    ),
    Metric("vtexorders_feed_configured", "gauge", "Whether VTEX has a feed for our key (1/0)", ("account",)),
    Metric("vtexorders_feed_backlog_events", "gauge", "Events that wait in VTEX's feed", ("account",)),
    Metric(
        "vtexorders_feed_oldest_event_seconds",
        "gauge",
        "How long the oldest event has waited in VTEX's feed",
        ("account",),
    ),
    Metric(
        "vtexorders_feed_reads_missed",
        "gauge",
        "How many times the feed should have been read since it was (FEED_POLL_SECONDS)",
        ("account",),
    ),
    Metric(
        "vtexorders_paused",
        "gauge",
        "Whether work at VTEX or with the ERP is paused (1/0): refused (access), nobody there (breaker), by a person",
        ("account", "scope", "kind"),
    ),
    Metric(
        "vtexorders_condition",
        "gauge",
        "Whether something is wrong with the account as a whole (1/0); status says what, and what to do",
        ("account", "condition"),
    ),
    Metric("vtexorders_stuck_orders", "gauge", "Orders that stand still at VTEX", ("account", "status")),
    Metric(
        "vtexorders_cool_down_seconds", "gauge", "How long the pause after a 429 still lasts", ("account",)
    ),
    Metric(
        "vtexorders_reconcile_missing_orders",
        "gauge",
        "Orders that the last reconciliation had to take in",
        ("account",),
    ),
    Metric(
        "vtexorders_reconcile_dead_orders",
        "gauge",
        "Dead orders that, at the last reconciliation, still waited at VTEX",
        ("account",),
    ),
    Metric(
        "vtexorders_watched_orders",
        "gauge",
        "Orders that are looked at until they are invoiced",
        ("account",),
    ),
    Metric("vtexorders_queue_messages", "gauge", "Messages that wait in a queue", ("queue",)),
    Metric("vtexorders_queue_workers", "gauge", "Worker processes that serve a queue", ("queue",)),
    Metric("vtexorders_in_flight_messages", "gauge", "Messages that workers hold"),
    Metric("vtexorders_workers", "gauge", "Worker processes that beat"),
    Metric(
        "vtexorders_workers_lost",
        "gauge",
        "Worker processes that stopped beating, and none came in their place",
    ),
    Metric("vtexorders_beats", "gauge", "Beat processes that beat"),
    Metric("vtexorders_redis_up", "gauge", "Whether Redis answers (1/0)"),
    Metric("vtexorders_redis_memory_bytes", "gauge", "Memory that Redis uses"),
    Metric("vtexorders_redis_memory_limit_bytes", "gauge", "Memory that Redis may use; 0 is no limit"),
    Metric("vtexorders_redis_memory_ratio", "gauge", "How full Redis is, 0 to 1; 0 without a limit"),
    Metric(
        "vtexorders_redis_durable",
        "gauge",
        "Whether Redis keeps what it is given: append-only file, no eviction (1/0)",
    ),
    Metric("vtexorders_alarm", "gauge", "Whether an alarm is raised (1/0)", ("account", "alarm", "severity")),
)

METRICS = COUNTED | READ
