"""Three stores in one fleet of real processes: the trouble of two is not the third one's."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess

from .system import System

SLOTS = 8


class HangingErp:
    """An ERP that takes orders, or holds the line for as long as it likes."""

    def __init__(self):
        self.lets_go = threading.Event()
        self.waiting = self.most = 0
        self.taken: list[str] = []
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
                    erp.taken += [order] if order else []
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

    def store(self, name):
        return self.json("status")["accounts"][name]


@pytest.fixture
def erp():
    one = HangingErp()
    yield one
    one.close()


@pytest.mark.promise("P5", "P6")
def test_a_hanging_erp_a_refused_key_and_a_flood_are_each_one_stores_own(tmp_path, erp, wait_until):
    with Stores(tmp_path / "fleet", erp, hangs=60, denied=10, fine=60) as stores:
        stores.shops["denied"].control("credentials", {"status": 401})
        up = stores.start("up")
        # the ERP of one store holds every line: it gets half of the slots, and the third store all of its orders
        wait_until(lambda: erp.most >= SLOTS // 2, lambda: stores.output(up)[-3000:])
        wait_until(lambda: stores.handled("fine") == 60, lambda: stores.output(up)[-3000:])
        assert not erp.taken, "it still hangs"
        assert erp.most == SLOTS // 2
        assert len(stores.in_erp_of("fine")) == 60
        # the second one is paused, with its alarm, and nobody else is
        status = stores.json("status")
        paused = {name: list(store["paused"]) for name, store in status["accounts"].items()}
        assert paused["denied"] == ["vtex"]
        assert "vtex" not in paused["fine"] + paused["hangs"]
        assert paused["fine"] == []
        assert ("credentials_refused", "denied") in {
            (one["name"], one["account"]) for one in status["alarms"]
        }
        assert "credentials_refused" not in {
            one["name"] for one in stores.json("status", "--account", "fine")["alarms"]
        }
        assert stores.handled("denied") == 0
        # a new order of the third one begins at once, too
        stores.shops["fine"].create(5)
        wait_until(lambda: stores.handled("fine") == 65, lambda: stores.output(up)[-3000:])
        assert not erp.taken
        # an action wants to know which store; then the second one goes on, and so does the first one's ERP
        stores.shops["denied"].control("credentials", {"status": None})
        refused = stores.run("resume")
        assert refused.returncode == 2
        assert (
            "say which store is meant, there are several: hangs, denied, fine (--account NAME)"
            in refused.stderr
        )
        assert stores.json("resume", "--account", "denied")["resumed"] == ["vtex"]
        erp.lets_go.set()
        stores.run("resume", "--account", "hangs")
        wait_until(lambda: stores.handled("denied") == 10, lambda: stores.output(up)[-3000:])
        wait_until(lambda: stores.handled("hangs") == 60, lambda: stores.output(up)[-3000:])
        assert len(stores.in_erp_of("denied")) == 10
        assert len(set(erp.taken)) == 60
        # a flood of the first one, and five orders of the third one behind it
        stores.shops["hangs"].create(300)
        wait_until(
            lambda: stores.store("hangs")["queues"]["orders"] >= 100, lambda: stores.output(up)[-3000:]
        )
        before = stores.handled("hangs")
        stores.shops["fine"].create(5)
        wait_until(lambda: stores.handled("fine") == 70, lambda: stores.output(up)[-3000:])
        left = 360 - stores.handled("hangs")
        assert left > 0.8 * (360 - before), "the five did not wait for the three hundred"
        for name in stores.NAMES:
            audit = stores.shops[name].audit(per_order=False)
            assert (audit["early_commits"], audit["start_handling_more_than_once"]) == (0, 0)
        assert stores.stop(up) == 0
        for store in stores.NAMES:
            for secret in ("key-of-", "token-of-"):
                assert secret + store not in stores.output(up)
