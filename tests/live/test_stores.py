"""Three stores in one fleet of real processes: the trouble of two is not the third one's."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from celery import Celery

from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess

from .conftest import _wait_until
from .system import System

SLOTS = 8


class HangingErp:
    """An ERP that takes orders, or holds the line for as long as it likes."""

    def __init__(self):
        self.lets_go = threading.Event()
        self.waiting = self.most = 0
        self.taken: list[str] = []
        self.told: list[str] = []  # commands that ended
        lock, erp = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                order = body.get("orderId")  # without one it is only asked whether it is there
                with lock:
                    erp.waiting += order is not None
                    erp.most = max(erp.most, erp.waiting)
                erp.lets_go.wait(120)
                with lock, contextlib.suppress(OSError):
                    erp.waiting -= order is not None
                    erp.taken += [order] if body.get("type") == "order.ready" else []
                    erp.told += [body["command"]["id"]] if "command" in body else []
                    self.send_response(200)
                    self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/orders"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.lets_go.set()
        self._server.shutdown()
        self._server.server_close()


class Stores(System):
    """``hangs`` has an ERP of its own; ``denied`` and ``fine`` share one, and their orders have the same ids."""

    NAMES = ("hangs", "denied", "fine")

    def __init__(self, folder, erp, **orders):
        super().__init__(folder)
        self.shops = {
            name: SandboxProcess(
                SandboxConfig(
                    account=name,
                    app_key=f"key-of-{name}",
                    app_token=f"token-of-{name}",
                    orders=orders.get(name, 0),
                    latency=0.1 if name == "hangs" else 0.02,
                    visibility_timeout=60.0,
                    seed=7,
                )
            )
            for name in self.NAMES
        }
        self.erp = erp
        for name in ("VTEX_ACCOUNT", "VTEX_APP_KEY", "VTEX_APP_TOKEN"):
            self.settings[name] = None
        self.settings |= {
            "ACCOUNTS_FILE": "accounts.toml",
            "WORKER_PROCESSES": "1",
            "WORKER_CONCURRENCY": str(SLOTS),
            "HTTP_TIMEOUT_SECONDS": "30",
        }

    def __enter__(self):
        for shop in self.shops.values():
            shop.start()
        lines = []
        for name, shop in self.shops.items():
            (self.folder / f"{name}.token").write_text(f"token-of-{name}\n")
            self.settings[f"KEY_OF_{name.upper()}"] = f"key-of-{name}"
            lines += [
                f"[{name}]",
                f'app_key_env = "KEY_OF_{name.upper()}"',
                f'app_token_file = "{name}.token"',
                f'base_url = "{shop.url}"',
            ]
            if name == "hangs":
                lines.append(f'erp_url = "{self.erp.url}"')
        (self.folder / "accounts.toml").write_text("\n".join(lines))
        return self

    def __exit__(self, *_):
        self.processes.end()
        for shop in self.shops.values():
            shop.stop()

    def handled(self, name):
        return self.shops[name].audit(per_order=False)["start_handling_effects"]

    def in_erp_of(self, name):
        with contextlib.closing(sqlite3.connect(self.folder / "erp.db", timeout=30)) as erp:
            found = erp.execute("SELECT order_id FROM vtex_orders WHERE account = ?", (name,))
            return sorted(order_id for (order_id,) in found)

    def until(self, condition):
        _wait_until(condition, lambda: self.output(self.processes.running[-1])[-3000:])


@pytest.fixture
def erp():
    one = HangingErp()
    yield one
    one.close()


@pytest.mark.promise("P5", "P6")
def test_a_hanging_erp_a_refused_key_and_a_flood_are_each_one_stores_own(tmp_path, erp):
    with Stores(tmp_path / "fleet", erp, hangs=60, denied=10, fine=60) as stores:
        stores.shops["denied"].control("credentials", {"status": 401})
        up = stores.start("up")
        _the_third_does_not_notice(stores, erp)
        _the_two_recover(stores, erp)
        _commands_say_whose_order_they_mean(stores, erp)
        _a_flood_delays_nobody_else(stores)
        for name in stores.NAMES:
            audit = stores.shops[name].audit(per_order=False)
            assert (audit["early_commits"], audit["start_handling_more_than_once"]) == (0, 0)
        assert stores.stop(up) == 0
        for name in stores.NAMES:
            assert not [secret for secret in ("key-of-", "token-of-") if secret + name in stores.output(up)]


def _the_third_does_not_notice(stores, erp):
    """One store's ERP holds every line: it gets half of the slots, and the third store all of its orders."""
    stores.until(lambda: erp.most >= SLOTS // 2)
    stores.until(lambda: stores.handled("fine") == 60)
    assert not erp.taken, "it still hangs"
    assert erp.most == SLOTS // 2
    assert len(stores.in_erp_of("fine")) == 60
    status = stores.json("status")
    paused = {name: list(store["paused"]) for name, store in status["accounts"].items()}
    assert paused["denied"] == ["vtex"]
    assert "vtex" not in paused["fine"] + paused["hangs"]
    assert paused["fine"] == []
    [alarm] = [one for one in status["alarms"] if one["name"] == "credentials_refused"]
    assert alarm["account"] == "denied"
    alone = stores.json("status", "--account", "fine")
    assert "credentials_refused" not in {one["name"] for one in alone["alarms"]}
    assert stores.handled("denied") == 0
    stores.shops["fine"].create(5)
    stores.until(lambda: stores.handled("fine") == 65)
    assert not erp.taken, "it hangs even now"


def _the_two_recover(stores, erp):
    stores.shops["denied"].control("credentials", {"status": None})
    assert stores.json("resume", "--account", "denied")["resumed"] == ["vtex"]
    erp.lets_go.set()
    stores.run("resume", "--account", "hangs")
    stores.until(lambda: stores.handled("denied") == 10)
    stores.until(lambda: stores.handled("hangs") == 60)
    assert len(stores.in_erp_of("denied")) == 10
    assert len(set(erp.taken)) == 60


def _commands_say_whose_order_they_mean(stores, erp):
    """From an ERP that has only the broker. Who says nothing is refused, and no store's ERP hears of it."""
    asked = {"order_id": stores.in_erp_of("fine")[0], "reason": "none left"}
    with Celery("erp", broker=stores.redis_url(), set_as_current=False) as client:
        client.send_task("orders.cancel", kwargs={**asked, "account": "fine", "key": "whose"})
        client.send_task("orders.cancel", kwargs={**asked, "key": "nobodys"})
    stores.until(lambda: stores.run("command", "nobodys").returncode == 0)
    nobodys = stores.json("command", "nobodys")
    assert nobodys["state"] == "refused"
    assert "say which store is meant, there are several: hangs, denied, fine" in nobodys["outcome"]["why"]
    stores.until(lambda: stores.run("command", "whose").returncode == 0)

    def at_vtex():
        command = stores.json("command", "whose")
        return command["error"] or command["state"] != "open"

    stores.until(at_vtex)
    assert stores.json("command", "whose")["account"] == "fine"
    assert "nobodys" not in erp.told


def _a_flood_delays_nobody_else(stores):
    """Three hundred orders of one store, and behind them five of another."""
    stores.shops["hangs"].create(300)
    stores.until(lambda: stores.json("status")["accounts"]["hangs"]["queues"]["orders"] >= 100)
    before = stores.handled("hangs")
    stores.shops["fine"].create(5)
    stores.until(lambda: stores.handled("fine") == 70)
    assert 360 - stores.handled("hangs") > 0.8 * (360 - before), "the five did not wait for the three hundred"


class Words(Stores):
    """Stores that are called as our own words are."""

    NAMES = ("worker", "beat", "lease")


def test_stores_may_have_the_names_of_processes(tmp_path):
    with Words(tmp_path / "fleet", None, worker=5, beat=5, lease=5) as stores:
        up = stores.start("up", LOG_LEVEL="INFO")
        stores.until(lambda: all(stores.handled(name) == 5 for name in stores.NAMES))
        stores.until(lambda: stores.json("status")["workers"] == 1)
        stores.until(lambda: stores.json("status")["orders"]["done"] == 15)
        assert set(stores.json("status")["accounts"]) == set(stores.NAMES)
        for words in (
            ("status",),
            ("check",),
            ("dead",),
            ("health",),
            ("feed", "show"),
            ("check", "--account", "beat"),
        ):
            done = stores.run(*words)
            assert "Traceback" not in done.stdout + done.stderr
            assert done.returncode == 0 or words[0] == "check", (words, done.stdout, done.stderr)
        assert stores.stop(up) == 0
        assert "Traceback" not in stores.output(up)
        assert not stores.said(up, "unexpected_error")
