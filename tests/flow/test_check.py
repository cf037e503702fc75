"""An operator who has only ``vtexorders check`` finds each misconfiguration, and what to do about it."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading

import pytest
import redis
import requests
from click.testing import CliRunner

from workers import settings as settings_module
from workers.cli import console
from workers.ledger import Ledger
from workers.queues import QUEUES
from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess
from workers.vtex.schemas import Event
from workers.vtex.states import DEFAULT_FEED_STATES

from .web import ALL, SECRET, front_door

KEY, TOKEN = "check-key", "check-token"
GOOD_QUEUE = {"visibilityTimeoutInSeconds": 300, "MessageRetentionPeriodInSeconds": 1209600}


class Store:
    """A store that is connected well, until a test breaks something."""

    def __init__(self, vtex: SandboxProcess, client: redis.Redis) -> None:
        self.vtex, self.redis = vtex, client
        self.ledger = Ledger(client, "teststore")

    def configure(self, states=DEFAULT_FEED_STATES, **queue) -> None:
        body = {"filter": {"type": "FromWorkflow", "status": list(states)}, "queue": GOOD_QUEUE | queue}
        headers = {"X-VTEX-API-AppKey": KEY, "X-VTEX-API-AppToken": TOKEN}
        answer = requests.post(
            f"{self.vtex.url}/api/orders/feed/config", json=body, headers=headers, timeout=10
        )
        answer.raise_for_status()

    def work(self) -> None:
        """What a worker and beat leave behind."""
        worker = {"pid": 1, "queues": QUEUES, "since": 0}
        self.redis.set("vo:_:worker:one@host", json.dumps(worker), ex=600)
        self.redis.set("vo:_:beat:beat@host:2", "{}", ex=600)
        self.ledger.remember("polled", self.ledger.now())

    def check(self) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        """The exit code, and (says, do) by level."""
        done = CliRunner().invoke(console, ["check", "--json"])
        assert done.stdout, done.output
        document = json.loads(done.stdout)
        assert document["ok"] == (done.exit_code == 0)
        found: dict[str, list[tuple[str, str]]] = {"good": [], "look": [], "bad": []}
        for one in document["findings"]:
            assert one["level"] == "good" or one["do"], one
            found[one["level"]].append((one["about"] + ": " + one["says"], one["do"]))
        return done.exit_code, found


@pytest.fixture
def store(valkey, fresh_redis, tmp_path, monkeypatch):
    """Begin with a store that is connected well; options go to the stand-in VTEX."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:

        def begin(**options) -> Store:
            config = SandboxConfig(app_key=KEY, app_token=TOKEN, orders=3, **options)
            vtex = stack.enter_context(SandboxProcess(config))
            for name, value in {
                "VTEX_ACCOUNT": "teststore",
                "VTEX_APP_KEY": KEY,
                "VTEX_APP_TOKEN": TOKEN,
                "VTEX_BASE_URL": vtex.url,
                "ERP_URL": "sqlite:///erp.db",
                "REDIS_URL": valkey,
            }.items():
                monkeypatch.setenv(name, value)
            begun = Store(vtex, fresh_redis)
            if not options:
                begun.configure()
            begun.work()
            return begun

        yield begin


def only(findings: list[tuple[str, str]], says: str, do: str) -> None:
    """One finding, and it says so."""
    assert len(findings) == 1, findings
    assert says in findings[0][0]
    assert do in findings[0][1]


def test_all_is_well(store):
    code, found = store().check()
    assert code == 0
    assert not found["bad"]
    assert not found["look"]
    assert len(found["good"]) >= 7


def test_wrong_key(store, monkeypatch):
    begun = store()
    monkeypatch.setenv("VTEX_APP_TOKEN", "another")
    code, found = begun.check()
    assert code == 1
    only(found["bad"], "401", "make a new key")
    assert "another" not in str(found)


@pytest.mark.parametrize(
    ("denied", "permission"), [("list", "List Orders"), ("view", "View order"), ("config", "Feed v3")]
)
def test_missing_permission(store, denied, permission):
    _, found = store(denied=(denied,)).check()
    said = [line for line in found["bad"] if "403" in line[0]]
    only(said, permission, "give its role that permission")


def test_no_feed(store):
    _, found = store(feed_configured=False).check()
    only(found["bad"], "no feed", "vtexorders feed configure")


def test_misspelt_state(store):
    begun = store()
    begun.configure([*DEFAULT_FEED_STATES, "order-completed"])
    _, found = begun.check()
    only(found["bad"], "order-completed", "vtexorders feed configure")


def test_filter_of_somebody_else(store):
    begun = store()
    begun.configure(["ready-for-handling"])
    _, found = begun.check()
    only(found["bad"], "canceled", "vtexorders feed configure")


@pytest.fixture
def web(store, valkey, monkeypatch):
    """A store with a front door that receives its hook; and how to configure the hook at VTEX."""
    with contextlib.ExitStack() as stack:
        begun = store()
        monkeypatch.setenv("WEB_TOKENS", ALL)
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        door = stack.enter_context(front_door(settings_module.load()))
        monkeypatch.setenv("WEB_PORT", str(door.port))
        monkeypatch.setenv("WEB_ADDRESS", "127.0.0.1")
        yield begun, door


def hook(begun, url, *states, secret=SECRET):
    """Configure it past our own command, as somebody else would."""
    body = {
        "filter": {"type": "FromWorkflow", "status": list(states or DEFAULT_FEED_STATES)},
        "hook": {"url": url, "headers": {"x-hook-secret": secret}},
    }
    headers = {"X-VTEX-API-AppKey": KEY, "X-VTEX-API-AppToken": TOKEN}
    requests.post(
        f"{begun.vtex.url}/api/orders/hook/config", json=body, headers=headers, timeout=10
    ).raise_for_status()


def test_a_hook_that_is_well(web):
    begun, door = web
    hook(begun, f"{door.url}/hooks/vtex/teststore")
    code, found = begun.check()
    assert code == 0
    assert not found["look"]
    said = [line for line, _ in found["good"] if line.startswith(("HTTP API", "VTEX hook"))]
    assert len(said) == 2
    assert "to our secret alone" in said[0]
    assert SECRET not in str(found)


def test_a_hook_that_does_not_fit(web, monkeypatch):
    begun, door = web
    _, found = begun.check()
    only(found["look"], "VTEX has no hook", "vtexorders hook configure")

    monkeypatch.setenv("HOOK_SECRET", "another-secret-than-vtex-sends")
    hook(begun, f"{door.url}/hooks/vtex/teststore", "canceled")
    code, found = begun.check()
    assert code == 1
    only(found["bad"], "does not send our HOOK_SECRET", "vtexorders hook configure")
    only(found["look"], "not FEED_STATES", "vtexorders hook configure")

    monkeypatch.delenv("HOOK_SECRET")
    _, found = begun.check()
    only(found["look"], "no hook is received here", "vtexorders hook delete")


def test_an_address_that_is_open_to_other_machines(web, monkeypatch):
    begun, door = web
    hook(begun, f"{door.url}/hooks/vtex/teststore")
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "ops:word")
    monkeypatch.setenv("METRICS_PORT", "9100")
    monkeypatch.setenv("METRICS_BASIC_AUTH", "ops:word")
    assert not begun.check()[1]["look"]
    for name in ("WEB", "FLOWER", "METRICS"):
        monkeypatch.setenv(f"{name}_ADDRESS", "0.0.0.0")
    code, found = begun.check()
    assert code == 0
    assert len(found["look"]) == 3
    for name in ("WEB", "FLOWER", "METRICS"):
        [(says, do)] = [one for one in found["look"] if f"{name}_ADDRESS=0.0.0.0" in one[0]]
        assert "plain http" in says
        assert f"a proxy with TLS that alone reaches the port; without one: {name}_ADDRESS=127.0.0.1" in do


def test_a_hook_whose_address_is_not_ours(web):
    begun, _ = web
    with pings_answered() as elsewhere:
        hook(begun, f"{elsewhere}/other/vtex/teststore")
        code, found = begun.check()
        assert code == 1
        only(found["bad"], "does not end in /hooks/vtex/teststore", "vtexorders hook configure")
        hook(begun, f"{elsewhere}/hooks/vtex/teststore")
        assert begun.check()[0] == 0
    _, found = begun.check()
    only(found["look"], "cannot be reached from here", "from outside")


def test_the_front_door_is_closed(web, monkeypatch):
    begun, _ = web
    monkeypatch.delenv("HOOK_SECRET")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("WEB_PORT", str(taken.getsockname()[1]))
        _, found = begun.check()
        only(found["look"], "nothing answers at port", "vtexorders up")
    with pings_answered() as elsewhere:
        monkeypatch.setenv("WEB_PORT", elsewhere.rpartition(":")[2])
        code, found = begun.check()
        assert code == 1
        only(found["bad"], "another program", "WEB_PORT")


@contextlib.contextmanager
def pings_answered():
    """Another program's web server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_short_visibility(store):
    begun = store()
    begun.configure(visibilityTimeoutInSeconds=30)
    _, found = begun.check()
    only(found["look"], "after 30 s", "vtexorders feed configure")


def test_short_retention(store):
    begun = store()
    begun.configure(MessageRetentionPeriodInSeconds=345600)
    _, found = begun.check()
    only(found["look"], "4 days", "vtexorders feed configure")


def test_unreachable_vtex(store, monkeypatch):
    begun = store()
    monkeypatch.setenv("VTEX_BASE_URL", "http://127.0.0.1:9")
    code, found = begun.check()
    assert code == 1
    assert {"VTEX_ACCOUNT" in do for _, do in found["bad"]} == {True}


@pytest.mark.parametrize(
    ("name", "value", "back", "says"),
    [
        ("appendonly", "no", "yes", "keeps nothing on disk"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", "allkeys-lru"),
        ("maxmemory", "2gb", "0", None),
        ("maxmemory", "1mb", "0", "% full"),
    ],
)
def test_redis_that_forgets(store, name, value, back, says):
    begun = store()
    begun.redis.config_set(name, value)
    try:
        code, found = begun.check()
    finally:
        begun.redis.config_set(name, back)
    if says:
        assert code == 1
        only(found["bad"], says, "")
    else:
        assert code == 0


def test_redis_away(store, monkeypatch):
    begun = store()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    _, found = begun.check()
    only(found["bad"], "Redis: cannot be used", "REDIS_URL")


def test_erp_that_takes_nothing(store, monkeypatch, tmp_path):
    begun = store()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ERP_URL", "sqlite:///file/erp.db")
    _, found = begun.check()
    only(found["bad"], "ERP: ", "ERP_URL")


def test_nobody_works(store):
    begun = store()
    begun.redis.delete("vo:_:worker:one@host")
    code, found = begun.check()
    assert code == 0
    only(found["look"], "nobody works", "vtexorders up")


def test_no_beat(store):
    begun = store()
    begun.ledger.remember("polled", begun.ledger.now() - 3600)
    _, found = begun.check()
    only(found["bad"], "has not been read for 36", "vtexorders beat")


def test_paused_by_a_person(store):
    begun = store()
    paused = CliRunner().invoke(console, ["pause", "--why", "stock-taking", "--json"])
    assert json.loads(paused.stdout)["paused"]["vtex"]["why"] == "stock-taking"
    _, found = begun.check()
    only(found["look"], "stock-taking", "vtexorders resume")
    resumed = json.loads(CliRunner().invoke(console, ["resume", "--json"]).stdout)
    assert (resumed["resumed"], resumed["paused"]) == (["vtex"], {})
    assert not begun.check()[1]["look"]


def test_another_reader_on_the_same_key(store, monkeypatch):
    monkeypatch.setenv("RECONCILE_MIN_AGE_SECONDS", "0")
    begun = store()
    stolen = begun.vtex.create(1, status="handling", age=600)
    begun.ledger.observe([Event("e", "h", "1-01", "ready-for-handling", None, "")])
    claim = begun.ledger.claim("1-01", "download", "t")
    begun.ledger.advance(claim, "ack", "delivered", erp="has")
    begun.ledger.settle_acks(begun.ledger.take_acks())
    _, found = begun.check()
    only(found["look"], stolen[0], "another system")


def test_what_waits_can_be_seen_before_anything_runs(store, monkeypatch, tmp_path):
    begun = store()
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nothing-here"))
    waiting = begun.vtex.create(2, age=3600)
    done = CliRunner().invoke(console, ["reconcile", "--since", "2h", "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["missing"]) >= set(waiting)
    assert CliRunner().invoke(console, ["reconcile", "--since", "2h"]).exit_code == 1


@pytest.mark.parametrize("when", ["²d", "99999999d", "0001-01-01", "2999-01-01", "yesterday", ""])
def test_a_moment_that_is_none_is_said_plainly(store, when):
    store()
    done = CliRunner().invoke(console, ["reconcile", "--since", when, "--dry-run"])
    assert done.exit_code == 2
    assert "3d" in done.output


def test_feed_items_that_were_set_aside_can_be_seen(store):
    begun = store()
    begun.ledger.keep_oddity({"domain": "Fulfillment"})
    assert any("set aside" in says for says, _ in begun.check()[1]["look"])
    assert json.loads(CliRunner().invoke(console, ["feed", "oddities"]).stdout) == {"domain": "Fulfillment"}
