"""The ERP or VTEX is away for a while: nobody hammers, no order suffers, and it goes on by itself."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Erp(ThreadingHTTPServer):
    """An ERP that can be told to answer 503 to everything (``away``), or to orders alone (``ill``)."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.away = self.ill = False
        self.asked = 0
        self.orders: Counter[str] = Counter()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/orders"

    def answer(self, body: bytes) -> int:
        self.asked += 1
        if self.away or (self.ill and body):
            return 503
        if not body:
            return 400
        self.orders[json.loads(body)["orderId"]] += 1
        return 201


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        status = self.server.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_OPTIONS = _answer  # noqa: N815 - the names are http.server's

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def erp():
    with Erp() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def opened(store, scope) -> dict:
    return store.until(lambda: store.ledger.paused().get(scope), "the breaker")


def tried_in_vain(store, number) -> None:
    before = len(store.logs("still_paused"))
    store.until(lambda: len(store.logs("still_paused")) >= before + number, f"{number} probes")


@pytest.mark.promise("P1", "P6")
def test_an_erp_that_is_away_is_only_probed_and_gets_all_after_its_return(flow, erp):
    store = flow(orders=60, visibility_timeout=3.0, also={"erp_url": erp.url})
    erp.away = True
    pause = opened(store, "erp")
    assert (pause["kind"], pause["by"]) == ("breaker", "")
    assert "answered 503" in pause["why"]
    store.idle()
    asked, probes = erp.asked, len(store.logs("still_paused"))
    attempts = {order: store.ledger.record(order).attempts for order in known(store)}
    tried_in_vain(store, 4)
    # a probe is OPTIONS, and an empty POST where that says nothing; the last one may not be in the log yet
    assert erp.asked - asked <= 2 * (len(store.logs("still_paused")) - probes + 1)
    assert {order: store.ledger.record(order).attempts for order in attempts} == attempts
    assert store.ledger.counts().dead == 0
    assert store.vtex.audit()["start_handling_effects"] == 0
    assert len(store.logs("breaker_opened")) == 1

    erp.away = False
    audit = store.settled()
    assert set(erp.orders) == set(audit["per_order"])
    assert audit["start_handling_effects"] == 60
    assert audit["start_handling_more_than_once"] == audit["early_commits"] == 0
    assert store.ledger.counts().dead == 0
    assert not store.ledger.paused()


def known(store) -> list[str]:
    return [key.rpartition(":")[2] for key in store.redis.scan_iter("vo:*:o:*")]


@pytest.mark.promise("P6")
def test_an_erp_that_answers_questions_and_takes_no_orders_is_tried_with_one(flow, erp):
    store = flow(orders=60, visibility_timeout=3.0, also={"erp_url": erp.url})
    erp.ill = True
    opened(store, "erp")
    store.until(lambda: store.ledger.trials("erp") >= 2, "trials")
    assert store.ledger.counts().dead == 0
    erp.ill = False
    audit = store.settled()
    assert set(erp.orders) == set(audit["per_order"])
    assert store.logs("resumed")


@pytest.mark.promise("P6")
def test_orders_that_the_erp_breaks_on_do_not_hold_up_the_others(flow, erp, monkeypatch):
    store = flow(visibility_timeout=3.0, also={"erp_url": erp.url})
    bad = set(store.vtex.create(25))
    answer = erp.answer
    monkeypatch.setattr(
        erp, "answer", lambda body: 500 if body and json.loads(body)["orderId"] in bad else answer(body)
    )
    opened(store, "erp")
    good = set(store.vtex.create(5))
    store.until(lambda: good <= set(erp.orders), "the good ones")
    assert store.ledger.counts().dead == 0


@pytest.mark.promise("P1", "P6")
def test_a_vtex_that_is_away_is_only_probed(flow):
    store = flow(orders=40, visibility_timeout=3.0)
    store.vtex.control("faults", {"faults": "5xx=1.0"})
    pause = opened(store, "vtex")
    assert "the answer 5" in pause["why"]
    store.idle()
    calls, probes = store.vtex.calls()["total"], len(store.logs("still_paused"))
    tried_in_vain(store, 4)
    assert store.vtex.calls()["total"] - calls <= len(store.logs("still_paused")) - probes + 1
    store.vtex.control("faults", {"faults": {}})
    audit = store.settled()
    assert audit["start_handling_effects"] == 40
    assert store.ledger.counts().dead == 0
    assert not store.ledger.paused()
