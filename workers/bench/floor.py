"""The reference that keeps nothing: a bare script of 128 threads, ``requests``, the guide's calls, SQLite.

Read the feed, read the order, keep it, start handling, commit: as VTEX's integration guide has it, with a lot of
ten a read and one commit an order. No queue, no ledger, no repeats: a failure ends it. Given every advantage
that a plain script has: a session a thread, no look at the environment, several feed readers, one
connection to the database that all share.

Run as a process of its own: ``python -m workers.bench.floor URL DATABASE``; it says ``ready`` and begins when it
reads a line. It ends with its standard input.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import sys
import threading
import time

import requests

THREADS = 128
READERS = 8
#: What a poll does after a read that brought nothing, in seconds.
PAUSE = 0.5
TIMEOUT = 30
HEADERS = {"X-VTEX-API-AppKey": "key", "X-VTEX-API-AppToken": "token"}


class Floor:
    """The script."""

    def __init__(self, url: str, database: str) -> None:
        self.url = url
        self.events: queue.Queue[dict[str, str]] = queue.Queue(maxsize=THREADS * 4)
        self.lock = threading.Lock()
        self.database = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE orders (order_id TEXT PRIMARY KEY, document TEXT)")

    def run(self) -> None:
        """Work until the process ends."""
        threading.excepthook = _end
        for target, count in ((self.read, READERS), (self.work, THREADS)):
            for _ in range(count):
                threading.Thread(target=target, daemon=True).start()

    def session(self) -> requests.Session:
        """A session of this thread's own."""
        session = requests.Session()
        session.trust_env = False
        session.headers.update(HEADERS)
        return session

    def read(self) -> None:
        """Read the feed, again and again."""
        session = self.session()
        while True:
            answer = session.get(f"{self.url}/api/orders/feed?maxlot=10", timeout=TIMEOUT)
            answer.raise_for_status()
            events = answer.json()
            for event in events:
                self.events.put(event)
            if not events:
                time.sleep(PAUSE)

    def work(self) -> None:
        """One order after another."""
        session = self.session()
        while True:
            event = self.events.get()
            order_id = event["orderId"]
            address = f"{self.url}/api/oms/pvt/orders/{order_id}"
            answer = session.get(address, timeout=TIMEOUT)
            answer.raise_for_status()
            if answer.json()["status"] == "ready-for-handling":
                with self.lock:
                    self.database.execute(
                        "INSERT OR IGNORE INTO orders VALUES (?, ?)", (order_id, answer.text)
                    )
                session.post(f"{address}/start-handling", timeout=TIMEOUT).raise_for_status()
            done = {"handles": [event["handle"]]}
            session.post(f"{self.url}/api/orders/feed", json=done, timeout=TIMEOUT).raise_for_status()


def _end(failed: threading.ExceptHookArgs) -> None:
    """A thread that failed would only make the others look slow."""
    print(f"{failed.exc_type.__name__}: {failed.exc_value}", file=sys.stderr)  # noqa: T201 - a script
    os._exit(1)


def main() -> None:
    """Say ready, wait for the word, work until standard input ends."""
    url, database = sys.argv[1:]
    floor = Floor(url, database)
    print("ready", flush=True)  # noqa: T201 - the bench waits for it
    sys.stdin.readline()
    floor.run()
    sys.stdin.read()


if __name__ == "__main__":
    main()
