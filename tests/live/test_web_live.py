"""The front door as a process: killed after its answer, and a store's events by hook while the feed brings the same."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import requests

from workers.embedded import Embedded

from .system import ROOT, System, free_port

TOKEN, SECRET = secrets.token_hex(24), secrets.token_hex(24)


class Door:
    """The front door of a system, and what an ERP does with it."""

    def __init__(self, system):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        system.settings |= {"WEB_TOKENS": TOKEN, "WEB_PORT": str(self.port), "HOOK_SECRET": SECRET}
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method, path, body=None, key=None):
        """(status, answer); (0, None) when nothing answers."""
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        if key:
            request.add_header("Idempotency-Key", key)
        try:
            with self._opener.open(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    def at_once(self, key, count):
        """The answers to so many cancellations and to one event, all sent at the same time."""
        with ThreadPoolExecutor(count + 1) as senders:
            answers = [senders.submit(self._cancel, f"{key}-{number}") for number in range(count)]
            answers.append(senders.submit(self._event, key))
            return [answer.result() for answer in answers]

    def _cancel(self, key):
        sent = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
        return self._post(f"/v1/orders/{key}/cancellation", {"reason": "sem estoque"}, sent)

    def _event(self, order):
        event = {
            "OrderId": order,
            "State": "ready-for-handling",
            "LastChange": "2026-01-01T10:00:00.1234567Z",
        }
        return self._post("/hooks/vtex/teststore", event, {"X-Hook-Secret": SECRET})

    def _post(self, path, body, headers):
        with requests.Session() as session:
            session.trust_env = False
            return session.post(self.url + path, json=body, headers=headers, timeout=30)

    def open(self, wait_until):
        wait_until(lambda: self.ask("GET", "/health")[0] == 200, "the front door")


#: What was not enqueued is soon missed; and a front door that finds a file ``die`` dies before it enqueues.
CUSTOM = f"""
import os, runpy, signal, time
from tests import after_import
runpy.run_path({str(ROOT / "tests/chaos/hasty/sitecustomize.py")!r})

def intake(module):
    send = module.enqueue_all

    def enqueue_all(commands):
        if os.path.exists("die"):
            os.unlink("die")
            time.sleep(1)  # whoever waits has his answer
            os.kill(os.getpid(), signal.SIGKILL)
        send(commands)

    module.enqueue_all = enqueue_all

after_import.change({{"workers.intake": intake}})
"""


@pytest.mark.promise("P4", "P9")
def test_what_was_accepted_ends_once_whenever_the_front_door_dies(tmp_path, wait_until):
    custom = tmp_path / "custom"
    custom.mkdir()
    (custom / "sitecustomize.py").write_text(CUSTOM)
    with System(tmp_path / "one") as system:
        system.settings |= {"PYTHONPATH": f"{custom}{os.pathsep}{ROOT}", "SWEEP_SECONDS": "1"}
        door = Door(system)
        up = system.start("up")
        door.open(wait_until)
        orders = system.vtex.create(8, status="handling")
        keys = {order: f"change-{order}" for order in orders}
        reason, last = {"reason": "Promotion", "discountValue": 100}, orders[-1]
        for number, order in enumerate(orders[:-1]):
            # the ERP asks until it has an answer, as it is told to
            path = f"/v1/orders/{order}/changes"
            wait_until(
                lambda p=path, k=keys[order]: door.ask("POST", p, reason, k)[0] in (200, 202), "an answer"
            )
            if number == 4:
                kill_web(system, up, wait_until)
        pids = system.started(up, "web")
        (system.folder / "die").touch()
        assert door.ask("POST", f"/v1/orders/{last}/changes", reason, keys[last])[0] == 202
        wait_until(lambda: len(system.started(up, "web")) > len(pids), "the front door's death")
        assert not (system.folder / "die").exists()
        door.open(wait_until)

        for key in keys.values():
            wait_until(
                lambda k=key: (door.ask("GET", f"/v1/commands/{k}")[1] or {}).get("state") == "done",
                f"the end of {key}",
                240,
            )
        for order in orders:
            assert len(system.vtex.state(order)["changes"]) == 1
        assert not [1 for seen in system.vtex.audit()["never"].values() if seen["count"]]
        assert TOKEN not in system.output(up)
        assert SECRET not in system.output(up)
        assert system.stop(up) == 0
        system.none_left()


def kill_web(system, up, wait_until):
    """kill -9, and until the supervisor has started another one."""
    pids = system.started(up, "web")
    os.kill(pids[-1], signal.SIGKILL)
    wait_until(lambda: len(system.started(up, "web")) > len(pids), "another front door")


@pytest.mark.promise("P9")
def test_what_cannot_be_recorded_is_refused_in_time_and_not_lost_when_sent_again(tmp_path, wait_until):
    """A Redis that is full, that stands still, and that is gone, and later is there again."""
    with System(tmp_path / "one") as system, Embedded(tmp_path / "redis") as valkey:
        system.settings["REDIS_URL"] = valkey.url
        door = Door(system)
        web = system.start("web")
        door.open(wait_until)
        at_redis = redis.Redis.from_url(valkey.url, decode_responses=True)

        with pytest.raises(OSError, match="refused"):  # it is this machine's only: no address but 127.0.0.1
            socket.create_connection(("127.0.0.2", door.port), timeout=10)

        at_redis.config_set("maxmemory", 1)
        refused(door, "full")
        assert door.ask("GET", "/v1/commands/full-0")[0] == 404  # looking goes on, and nothing was recorded
        at_redis.config_set("maxmemory", 0)
        accepted(door, "full")

        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            refused(door, "still", count=40)  # more than there are threads
            assert door.ask("GET", "/v1/commands/full-0")[0] == 503
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        accepted(door, "still", count=40)

        os.kill(valkey.pid, signal.SIGKILL)
        wait_until(lambda: not valkey.alive(), "Redis' end")
        refused(door, "gone")
        valkey.restart()
        accepted(door, "gone")
        assert door.ask("GET", "/v1/commands/full-0")[1]["state"] == "open"
        assert at_redis.hgetall("vo:teststore:ccounts") == {"open": "42"}  # each once
        assert not system.said(web, "web_failed")
        assert system.stop(web) == 0


def refused(door, key, count=1):
    """Commands and events are answered with 503, all of them, sooner than their sender gives up."""
    for answer in door.at_once(key, count):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"].startswith("application/problem+json")


def accepted(door, key, count=1):
    """The same again are taken; 200 for what had been recorded although nobody heard of it."""
    *commands, event = door.at_once(key, count)
    assert {answer.status_code for answer in commands} <= {200, 202}
    assert event.status_code == 200


def both_ways(folder, wait_until, count, **config):
    with System(
        folder, faults="duplicates=0.1,hook_lost=0.05,hook_late=0.1,slow_seconds=1", **config
    ) as system:
        door = Door(system)
        up = system.start("up")
        door.open(wait_until)
        shown = system.run("hook", "show")
        assert "no hook" in shown.stdout
        done = system.run("hook", "configure", door.url)
        assert done.returncode == 0, done.stderr
        assert system.json("hook", "show")["secretIsOurs"]
        system.vtex.create(count)
        system.orders = count
        system.each_once()
        audit = system.audit()
        assert audit["hook"]["delivered"] > count / 2
        assert system.run("hook", "delete", "--yes").returncode == 0
        assert system.json("hook", "show") is None
        assert system.stop(up) == 0


def test_by_hook_and_by_feed_every_order_is_done_once(tmp_path, wait_until):
    both_ways(tmp_path / "one", wait_until, 100)


#: Runs ``vtexorders`` with so few files as a small container has.
FEW_FILES = ["sh", "-c", 'ulimit -n 64; exec "$0" -m workers.cli "$@"', sys.executable]


def test_silent_connections_keep_nobody_out_and_fill_no_log(tmp_path, wait_until):
    with System(tmp_path / "one") as system, Embedded(tmp_path / "redis") as valkey:
        system.settings["REDIS_URL"] = valkey.url
        door = Door(system)
        web = system.start("web", program=FEW_FILES)
        door.open(wait_until)
        with contextlib.ExitStack() as open_:
            for number in range(20):
                for _ in range(90 if number == 0 else 10):
                    open_.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=30))
                assert door.ask("GET", "/v1/commands/x")[0] == 404
            assert door.ask("POST", "/v1/orders/1-01/cancellation", {}, key="c-1")[0] == 202
        said = system.output(web)
        assert "Traceback" not in said
        assert len(said.splitlines()) < 20
        assert sum(
            line["kinds"].get("too many connections", 0) for line in system.said(web, "strangers_refused")
        )
        assert system.stop(web) == 0


@pytest.mark.soak
def test_by_hook_and_by_feed_two_thousand_orders_are_done_once(tmp_path, wait_until):
    both_ways(tmp_path / "one", wait_until, 2000)


def test_it_says_what_it_lacks(tmp_path):
    with System(tmp_path / "one") as system:
        done = system.run("web")
        assert done.returncode == 2
        assert "WEB_TOKENS" in done.stderr
        done = system.run("hook", "configure", "https://orders.example.com")
        assert done.returncode == 2
        assert "HOOK_SECRET" in done.stderr
