"""The Celery application: queues, routes, acknowledgement, the beat schedule. Nothing else.

``celery -A workers.app:app worker`` works, with the same environment as ``vtexorders worker``.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from workers import policy, queues, redis_address
from workers import settings as settings_module
from workers.connection import OrderLink
from workers.settings import Settings

#: Seconds until the broker gives an unacknowledged message to somebody else. Longer than any step may take.
VISIBILITY_TIMEOUT = 300
assert policy.LONGEST_COUNTDOWN <= VISIBILITY_TIMEOUT / 3  # noqa: S101 - a longer countdown would multiply messages

#: Seconds between two looks at the buffer of commits.
ACK_SECONDS = 1.0
#: Seconds between two looks at whether a pause may end.
PAUSE_LOOK_SECONDS = 1.0
#: Seconds between two looks at what the ERP is still to be told.
TELL_SECONDS = 5.0
#: Seconds between two looks at the feed's configuration, and at orders that VTEX has not ended.
WATCH_SECONDS = 60.0
#: Seconds between two looks for personal data that is to be erased.
EXPIRE_SECONDS = 3600.0

app = OrderLink(
    "vtexorders",
    events="workers.events:Events",
    include=["tasks.feed", "tasks.orders", "tasks.commands", "tasks.upkeep", "tasks.probe", "tasks.watch"],
)
app.steps["worker"].add("workers.lifecycle:SignalsStep")
app.steps["consumer"].add("workers.handover:HandoverStep")


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings for ours."""
    threads, several = settings.worker_concurrency, len(settings.accounts) > 1
    broker = redis_address.broker(settings)
    return {
        **broker,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            # look for lost messages every 5 s; the default is every 100 s
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # never wait for ever on a half-open connection
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "max_connections": threads + 32,
            "queue_order_strategy": "workers.fairness:Turns" if several else "priority",
            "priority_steps": [0],
            **broker.get("broker_transport_options", {}),
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": 16,
        # the ledger keeps the state; results would only cost
        "result_backend": None,
        # else Celery looks through all installed packages for backends once in each thread: 15 ms of a new one
        "result_backend_thread_safe": True,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # acknowledged after the work; a failure is recorded and retried by us, not by the broker
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_pool": "threads",
        "worker_consumer": "workers.fairness:FairConsumer" if several else "celery.worker.consumer:Consumer",
        "worker_concurrency": threads,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": True,
        "worker_enable_remote_control": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0},
        "task_queues": [
            Queue(name, Exchange(name), routing_key=name)
            for name in queues.of_purpose(settings, *queues.QUEUES)
        ],
        "task_default_queue": queues.DEFAULT,
        "task_create_missing_queues": False,
        "task_routes": (queues.Router(settings),),
        "beat_scheduler": "workers.beat:Clock",  # no schedule file: every tick may be lost or doubled
        "beat_max_loop_interval": 1,
        "beat_schedule": schedule(settings),
        "enable_utc": True,
        "timezone": "UTC",
    }


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """What beat sends; a tick that nobody took within its period is dropped, so that ticks never pile up."""
    return {
        f"{task} {account}": {
            "task": task,
            "schedule": period,
            "kwargs": {"account": account},
            # generous, as beat's clock and a worker's may differ; a tick too many finds nothing to do
            "options": {"expires": max(3 * period, 60.0)},
        }
        for account in settings.accounts
        for task, period in _ticks(settings.of(account)).items()
    }


def _ticks(store: Settings) -> dict[str, float]:
    """What is done for a store again and again, and the seconds between."""
    return {
        "feed.poll": store.feed_poll,
        "orders.ack": ACK_SECONDS,
        "upkeep.sweep": store.sweep,
        "upkeep.probe": PAUSE_LOOK_SECONDS,
        "upkeep.reconcile": store.reconcile,
        "upkeep.watch_feed": WATCH_SECONDS,
        "upkeep.look_again": WATCH_SECONDS,
        "orders.tell": TELL_SECONDS,
        "upkeep.expire": EXPIRE_SECONDS,
    }


@app.on_configure.connect
def _configure(sender: Celery, **_: Any) -> None:
    sender.config_from_object(configuration(settings_module.load()))
