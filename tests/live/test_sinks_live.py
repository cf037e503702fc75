"""The sinks beside SQL with real processes: killed writers, a whole system with faults, and an ERP that misbehaves."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workers.erp.contract import STORY, CrashContract, delivery
from workers.erp.sink import open_sink

from .conftest import ROOT
from .system import FAULTS, LONG, System

EXAMPLES = ROOT / "deploy" / "examples"
PAGE = (ROOT / "docs" / "erp.md").read_text()
WORKER = "worker 1"


def documented(mark):
    [code] = re.findall(rf"```{mark}\n(.*?)```", PAGE, re.DOTALL)
    return code


class TestSpoolSink(CrashContract):
    @pytest.fixture
    def erp(self, spool_erp):
        return spool_erp


class TestHttpSink(CrashContract):
    @pytest.fixture
    def erp(self, http_erp):
        return http_erp


def test_the_author_of_a_sink_can_test_it_as_documented(tmp_path):
    shutil.copy(EXAMPLES / "my_erp.py", tmp_path)
    (tmp_path / "test_my_erp.py").write_text(documented("python contract"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20


# A spool folder, several writers and one who takes

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from workers.erp.contract import STORY, delivery
from workers.erp.sink import open_sink
sink = open_sink(sys.argv[1])
story = [delivery(kind, second, order_id=str(n)) for n in range(40) for second, kind in STORY[:3]]
with ThreadPoolExecutor(64) as threads:
    list(threads.map(sink.deliver, story * 3))
"""


@pytest.mark.promise("P2", "P4")
def test_processes_on_one_folder_give_each_file_once(processes, spool_erp):
    taken = Counter()

    def take():
        for path in spool_erp.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # taken back for a newer state
                path.rename(spool_erp.folder / "taken")
                taken[path.name] += 1

    writers = [processes.python(WRITER, spool_erp.url) for _ in range(3)]
    killed = processes.python(WRITER, spool_erp.url)
    while sum(taken.values()) < 10 and killed.poll() is None:
        take()
    processes.kill(killed)
    while any(writer.poll() is None for writer in writers):
        take()
    assert [writer.wait() for writer in writers] == [0, 0, 0], [processes.output(one) for one in writers]
    sink = open_sink(spool_erp.url)
    for number in range(40):
        for second, kind in STORY[:3]:
            sink.deliver(delivery(kind, second, order_id=str(number)))
    take()
    assert set(taken.values()) == {1}
    for name in ("order.ready", "order.cancellation_requested-20240206T204602.7010747Z"):
        assert {f"store-{number}-{name}.json" for number in range(40)} <= set(taken)
    assert len([name for name in taken if "-order.ready-" in name]) <= 40
    assert list((spool_erp.folder / ".vtexorders" / "pending").iterdir()) == []


def test_the_documented_way_to_take_files(spool_erp, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "import-into-erp"
    program.write_text('#!/bin/sh\necho "$1" >> imported\n')
    program.chmod(0o755)
    sink = open_sink(spool_erp.url)
    for _ in range(2):
        for number in (1, 2):
            sink.deliver(delivery(order_id=str(number)))
        subprocess.run(
            ["/bin/sh", "-ec", documented("sh spool")],
            cwd=spool_erp.folder,
            env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
            check=True,
        )
    names = [f"store-{number}-order.ready.json" for number in (1, 2)]
    assert (spool_erp.folder / "imported").read_text().split() == [f"taken/{name}" for name in names]
    assert sorted(path.name for path in (spool_erp.folder / "taken" / "done").iterdir()) == names
    assert spool_erp.names() == []


# A whole system


@pytest.fixture
def system(tmp_path):
    """Makes systems in folders of their own."""
    with contextlib.ExitStack() as stack:
        yield lambda name="a store", **config: stack.enter_context(System(tmp_path / name, **config))


class Taker(threading.Thread):
    """An ERP that takes files from a folder as soon as they appear."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.messages = []
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            for path in self.folder.glob("*.json"):
                with contextlib.suppress(FileNotFoundError):  # taken back for a newer state
                    path.rename(self.folder / "taken")
                    self.messages.append(json.loads((self.folder / "taken").read_text()))

    def close(self):
        self.over.set()
        self.join()


@pytest.mark.promise("P1", "P2", "P4")
def test_every_order_arrives_once_whichever_the_sink(system, wait_until, receiver, spool_erp):
    """One store a sink, all at once: after the death of a worker most of the time is waiting."""
    endpoint = receiver(token="canary-token", secret="canary-secret")
    settings = {
        "http": {"ERP_URL": endpoint.url, "ERP_TOKEN": "canary-token", "ERP_SIGNING_SECRET": "canary-secret"},
        "folder": {"ERP_URL": spool_erp.url},
        "python": {"ERP_URL": "python:my_erp:open_sink", "MY_ERP_DATABASE": "my-erp.db"},
    }
    stores = {name: system(name, orders=220, faults=FAULTS, latency=0.1) for name in settings}
    shutil.copy(EXAMPLES / "my_erp.py", stores["python"].folder)
    taker = Taker(spool_erp.folder)
    taker.start()
    with contextlib.closing(taker):
        ups = {
            name: store.start("up", WORKER_CONCURRENCY="16", **settings[name])
            for name, store in stores.items()
        }
        for name, store in stores.items():
            store.until_handled(30)
            os.kill(store.started(ups[name], WORKER)[-1], signal.SIGKILL)
        for name, store in stores.items():
            wait_until(lambda s=store, n=name: len(s.started(ups[n], WORKER)) == 2, "a new worker")
            wait_until(lambda s=store: s.audit()["start_handling_effects"] == 220, f"{name}: all", 3 * LONG)
            store.until_settled()
        wait_until(lambda: not spool_erp.names(), "the ERP that takes files")

    stores["http"].each_once([order_id for (order_id,) in endpoint.rows("SELECT order_id FROM orders")])
    assert {message["type"] for message in taker.messages} == {"order.ready"}
    stores["folder"].each_once([message["orderId"] for message in taker.messages])
    with contextlib.closing(sqlite3.connect(stores["python"].folder / "my-erp.db", timeout=30)) as erp:
        rows = erp.execute("SELECT number, customer, total_cents, state FROM sales_orders").fetchall()
    stores["python"].each_once([number for number, *_ in rows])
    assert all("@" in customer and cents > 0 and state == "new" for _, customer, cents, state in rows)

    for name, store in stores.items():
        assert store.stop(ups[name]) == 0
        assert "canary" not in store.output(ups[name])
        assert "Traceback" not in store.output(ups[name])


def test_a_sink_that_cannot_be_opened_stops_the_start_with_one_sentence(system):
    system = system()
    shutil.copy(EXAMPLES / "my_erp.py", system.folder)
    for url, words in {
        "python:my_other:open_sink": "there is no module my_other, neither installed nor in the working directory",
        "python:my_erp:open": "the module my_erp has no function open",
        "python:my_erp:open_sink": "MY_ERP_DATABASE is missing: the file of the ERP's database",
    }.items():
        done = system.run("up", ERP_URL=url)
        assert done.returncode == 2
        assert f"ERP_URL cannot be used: {words}" in done.stderr
        assert "Traceback" not in done.stderr


# An ERP that misbehaves


class BadErp:
    """Takes orders, and shows every kind of trouble on the way. The lists are what it has stored and seen."""

    def __init__(self, *, refused):
        self.refused = refused
        self.stored = Counter()
        self.answers = Counter()
        self.trouble = 30  # so many answers of 500 at the beginning
        self.locked = False
        self.lock = threading.Lock()
        erp = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                status, words = erp.take(body)
                if status is None:
                    time.sleep(3.0)  # longer than HTTP_TIMEOUT_SECONDS
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(words)))
                self.end_headers()
                self.wfile.write(words)

            def do_OPTIONS(self):
                self.do_POST()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # they hung up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/orders"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def take(self, body):
        with self.lock:
            status, words = self._take(body)
            self.answers[status] += 1
            return status, words

    def _take(self, body):
        if self.locked:
            return 401, b'{"message": "the token has expired"}'
        if not body:
            return 400, b"no order"
        order = json.loads(body)["orderId"]
        if self.trouble > 0:
            self.trouble -= 1
            return 500, b"Traceback: maria@example.com"
        if order == self.refused:
            person = json.loads(body)["order"]["clientProfileData"]
            return 422, json.dumps({"message": f"SKU 17 is unknown to {person['email']}"}).encode()
        if self.stored[order]:
            return 409, b"known"
        self.stored[order] = 1
        if len(self.stored) == 60:
            self.locked = True
        return (None, b"") if len(self.stored) % 11 == 0 else (201, b"stored")

    def close(self):
        self.server.shutdown()
        self.server.server_close()


#: Seconds instead of minutes, in every process, so that the test need not wait so long for the sink's recovery.
QUICK_RECOVERY = """
from tests import after_import
def quick(constant):
    def change(module):
        assert hasattr(module, constant)
        setattr(module, constant, 2.0)
    return change
after_import.change({"workers.runtime": quick("PROBE_SECONDS"), "tasks.base": quick("PAUSE_SECONDS")})
"""


@pytest.mark.promise("P1", "P2", "P6")
def test_an_erp_that_misbehaves_gets_every_order_once_and_the_refused_one_is_explained(
    system, wait_until, tmp_path
):
    system = system(orders=200, faults=FAULTS)
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(QUICK_RECOVERY)
    everyone = sorted(system.vtex.audit()["per_order"])
    refused = everyone[100]
    erp = BadErp(refused=refused)
    settings = {"ERP_URL": erp.url, "HTTP_TIMEOUT_SECONDS": "2", "PYTHONPATH": f"{tmp_path / 'patch'}:{ROOT}"}
    try:
        up = system.start("up", **settings)
        wait_until(lambda: erp.answers[401], "the ERP to lock us out", LONG)
        paused = wait_until(lambda: system.json("status", ERP_URL=erp.url)["paused"].get("erp"), "the pause")
        assert "answered 401: the token has expired (check ERP_TOKEN)" in paused["why"]
        assert system.audit()["start_handling_effects"] <= 60
        erp.locked = False
        wait_until(lambda: len(erp.stored) == 199, lambda: f"all orders: {erp.answers}", LONG)
        wait_until(lambda: system.audit()["start_handling_effects"] == 199, "start handling", LONG)
        wait_until(lambda: not system.audit()["events_pending"], "the feed's end", LONG)
        status = system.json("status", ERP_URL=erp.url)
        assert status["paused"] == {}
        assert status["orders"]["dead"] == 1
        story = system.json("order", refused, ERP_URL=erp.url)
        assert story["state"] == "dead"
        assert "answered 422: SKU 17 is unknown to ***" in story["error"]
        assert system.stop(up) == 0
    finally:
        erp.close()
    assert sorted(erp.stored) == sorted(set(everyone) - {refused})
    assert erp.answers[500] == 30
    assert erp.answers[None] >= 10
    assert erp.answers[409] >= 10
    assert "maria@example.com" not in system.output(up)
    assert "Traceback" not in system.output(up).replace("Traceback: ***", "")
    audit = system.vtex.audit()
    assert audit["early_commit_orders"] == [refused]  # recorded as given up, so VTEX need not repeat it
    assert audit["start_handling_more_than_once"] == 0


def test_check_tells_what_is_wrong_with_each(system, tmp_path):
    system = system(orders=1)
    with contextlib.closing(BadErp(refused="")) as erp:
        for url, words in {
            erp.url: "",
            f"file://{tmp_path}": "",
            f"file://{tmp_path}/nowhere": "No such file or directory (make it",
            "http://127.0.0.1:1/": "no connection",
        }.items():
            done = system.run("check", ERP_URL=url)
            assert words in done.stdout, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
        erp.locked = True
        done = system.run("check", ERP_URL=erp.url)
        assert done.returncode == 1
        assert "answered 401: the token has expired (check ERP_TOKEN)" in done.stdout
