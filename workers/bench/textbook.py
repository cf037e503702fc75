"""The other reference: a plain Celery chain as a tutorial writes it, with Celery's own defaults.

``chain(download, start_handling, commit)`` an order, in threads, as many as ours. The documents are kept in
SQLite. Messages are acknowledged early and nothing is remembered: a worker that dies loses orders.

``celery -A workers.bench.textbook worker``; its addresses are in the environment.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import requests
from celery import Celery, chain

from workers.bench.floor import HEADERS, TIMEOUT

URL = os.environ.get("TEXTBOOK_URL", "")
DATABASE = os.environ.get("TEXTBOOK_DATABASE", "textbook.db")
#: Feed reads that are started at once: with one at a time the feed would be what is measured.
READERS = 8

app = Celery("textbook", broker=os.environ.get("TEXTBOOK_REDIS", ""))
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {
    f"poll {n}": {"task": "textbook.poll", "schedule": 1.0, "options": {"expires": 10}}
    for n in range(READERS)
}


@app.task(name="textbook.poll")
def poll() -> None:
    """Read the feed until it is empty."""
    while True:
        answer = requests.get(f"{URL}/api/orders/feed?maxlot=10", headers=HEADERS, timeout=TIMEOUT)
        answer.raise_for_status()
        events = answer.json()
        if not events:
            return
        for event in events:
            order_id = event["orderId"]
            chain(download.si(order_id), start_handling.si(order_id), commit.si(event["handle"])).delay()


@app.task(name="textbook.download")
def download(order_id: str) -> None:
    """Read the order and keep it."""
    answer = requests.get(f"{URL}/api/oms/pvt/orders/{order_id}", headers=HEADERS, timeout=TIMEOUT)
    answer.raise_for_status()
    with _database() as database:
        database.execute("INSERT OR IGNORE INTO orders VALUES (?, ?)", (order_id, answer.text))
    database.close()


@app.task(name="textbook.start_handling")
def start_handling(order_id: str) -> None:
    """Tell VTEX."""
    address = f"{URL}/api/oms/pvt/orders/{order_id}/start-handling"
    requests.post(address, headers=HEADERS, timeout=TIMEOUT).raise_for_status()


@app.task(name="textbook.commit")
def commit(handle: str) -> None:
    """Take the event out of the feed."""
    done: dict[str, Any] = {"handles": [handle]}
    answer = requests.post(f"{URL}/api/orders/feed", json=done, headers=HEADERS, timeout=TIMEOUT)
    answer.raise_for_status()


def _database() -> sqlite3.Connection:
    database = sqlite3.connect(DATABASE, timeout=60)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, document TEXT)")
    return database
