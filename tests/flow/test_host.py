"""A program of the ERP's that imports ours and has a Celery of its own: nothing of it changes (docs/erp.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from workers.embedded import Embedded

ROOT = Path(__file__).parents[2]

HOST = '''
import gc, importlib, json, logging, os, sys
import celery, kombu
from kombu import pools
from celery import Celery, current_app, shared_task, signals
from celery.app import log, trace, task as celery_task
from celery.app.amqp import AMQP
from celery.beat import Scheduler
from celery.events.dispatcher import EventDispatcher
from celery.worker import consumer, request, state, WorkController
from kombu.transport import redis as transport, virtual

URL = os.environ["REDIS_URL"]
host = Celery("host", broker=URL)
host.conf.update(task_default_queue="host", task_acks_late=True, worker_prefetch_multiplier=1)

@host.task(name="host.work")
def work():
    pass

def members():
    """Each attribute of each class of kombu's and Celery's, and each receiver of each signal."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        if module and name.partition(".")[0] in {"kombu", "celery", "redis", "vine"}:
            for label, kind in vars(module).items():
                if isinstance(kind, type) and kind.__module__ == name:
                    for attribute, value in vars(kind).items():
                        if not attribute.startswith("_abc") and attribute != "__dict__":
                            found[f"{name}.{label}.{attribute}"] = value
    return found

def receivers():
    return {name: len(one.receivers) for name, one in vars(signals).items() if isinstance(one, signals.Signal)}

def logs():
    root = logging.getLogger()
    return list(root.handlers), root.level, logging.getLogger("celery").handlers, logging.getLogger("kombu").level

def acknowledged():
    """How the host's own acknowledgement is done: at once, by kombu's class."""
    with host.connection_for_read() as connection, connection.Producer() as producer:
        producer.publish({}, exchange="", routing_key="host", serializer="json")
        message = connection.SimpleQueue("host").get(timeout=20)
        channel = message.channel
        kinds = [type(one).__module__ for one in (connection, connection.transport, channel, channel.qos)]
        channel.qos.ack(message.delivery_tag)
        with channel.conn_or_acquire() as client:
            return kinds, client.hlen("unacked")

host.finalize()
before = members(), receivers(), logs(), acknowledged()
names, default, limit = set(host.tasks), celery._state.default_app, pools.get_limit()
import workers.intake, workers.app
sys.argv = ["host"]

def same():
    now = members()
    changed = [name for name, value in before[0].items() if now.get(name) is not value]
    other = Celery("another", set_as_current=False)
    return {
        "changed": changed,
        "receivers": receivers() == before[1],
        "logs": logs() == before[2],
        "acknowledged": acknowledged() == before[3],
        "kinds": acknowledged()[0],
        "current": current_app._get_current_object() is host and celery._state.default_app is default,
        "limit": pools.get_limit() == limit,
        "tasks": set(host.tasks) == names,
        "another": [name for name in other.tasks if not name.startswith("celery.")],
    }

imported = same()
asked = workers.intake.ask("cancel", "1234567890123-01", {"reason": "no stock"}, key="a-key")
workers.intake.enqueue_all([("teststore", "b-key", "cancel", "1234567890123-01")])
import tasks.commands, tasks.orders  # what a program might import, too
print(json.dumps({"imported": imported, "sent": same(), "state": asked.state}))
'''


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the host saw of itself; on a server of its own, as another test's worker would take its messages."""
    folder = tmp_path_factory.mktemp("host")
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with Embedded(folder / "redis") as server, redis.Redis.from_url(server.url) as client:
        done = subprocess.run(
            [sys.executable, "-c", HOST],
            cwd=folder,
            env=clean
            | {
                "PYTHONPATH": str(ROOT),
                "VTEX_ACCOUNT": "teststore",
                "VTEX_APP_KEY": "key",
                "VTEX_APP_TOKEN": "token",
                "ERP_URL": "sqlite:///erp.db",
                "REDIS_URL": server.url,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout) | {"messages": client.lrange("commands", 0, -1)}


@pytest.mark.parametrize("when", ["imported", "sent"])
def test_the_hosts_celery_and_kombu_are_what_they_were(told, when):
    seen = told[when]
    assert seen["changed"] == []
    assert seen["receivers"], "no signal of the process has a receiver of ours"
    assert seen["logs"]
    assert seen["current"]
    assert seen["limit"]
    assert seen["tasks"]
    assert seen["another"] == ["host.work"], "the host's own, which it shares"
    assert seen["acknowledged"]
    assert all(module.startswith("kombu.") for module in seen["kinds"])


def test_a_command_is_sent_all_the_same(told):
    assert told["state"] == "open"
    assert len(told["messages"]) == 2
    tasks = {json.loads(message)["headers"]["task"] for message in told["messages"]}
    assert tasks == {"orders.cancel"}
