"""Stores whose names are words of ours: whatever runs and looks takes none of their keys for its own."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from workers import deaths, heartbeat, rights, settings
from workers.cli import console
from workers.command_ledger import CommandLedger
from workers.conditions import NAMES as NAMES_OF_CONDITIONS
from workers.conditions import Conditions, Fault
from workers.heartbeat import Heartbeat
from workers.ledger import DOWNLOAD, Claim
from workers.monitor import readings
from workers.monitor.exporter import Exporter
from workers.monitor.watch import Watch
from workers.runtime import ledger_of
from workers.vtex.schemas import Event
from workers.watchlist import Watchlist

#: A word of our keys each, and what programs like to take for something else.
NAMES = (
    "worker", "workers", "beat", "beats", "lease", "begun", "deaths", "alarms", "rights", "shadow", "celery",
    "orders", "unacked", "None", "null", "0", "together",
)  # fmt: skip


@pytest.fixture
def fleet(fresh_redis, _settings, monkeypatch, tmp_path):
    """The settings of all of them, and their ledgers with something of everything in them."""
    lines = [f'[{name}]\napp_key = "key-{name}"\napp_token = "token-{name}"' for name in NAMES]
    file = tmp_path / "accounts.toml"
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    for name in ("VTEX_ACCOUNT", "VTEX_APP_KEY", "VTEX_APP_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("ACCOUNTS_FILE", str(file))
    loaded = settings.load()
    ledgers = [ledger_of(fresh_redis, loaded, name) for name in NAMES]
    for ledger in ledgers:
        _fill(ledger)
    return loaded, ledgers


def _fill(ledger) -> None:
    ledger.observe(
        [Event("event", "handle", "1-01", "ready-for-handling", "Fulfillment", "2026-01-31T00:00:00Z")]
    )
    assert isinstance(ledger.claim("1-01", DOWNLOAD, ledger.owner()), Claim)
    ledger.keep_oddity({"odd": 1})
    ledger.remember("polled", ledger.now(), 600)
    ledger.pause("erp", "stocktaking", by="me")
    Conditions(ledger).begin(Fault(NAMES_OF_CONDITIONS[0], "it says so", "look"))
    watched = Watchlist(ledger)
    watched.add(["1-01"], 0.0)
    watched.stands_still("1-01", "handling", "2026-01-31T00:00:00Z")
    CommandLedger(ledger).accept([("key", "cancel", "1-01", {"reason": "test"}, "fingerprint")])


def test_processes_and_stores_are_told_apart(fleet, fresh_redis):
    loaded, ledgers = fleet
    worker = Heartbeat(fresh_redis, "worker1@host", ["orders"])
    clock = Heartbeat(fresh_redis, "beat@host", [], kind="beat")
    for one in (worker, clock):
        one.beat()
    assert list(heartbeat.living(fresh_redis)) == [worker.who]
    assert heartbeat.beats(fresh_redis) == 1
    assert heartbeat.lost(fresh_redis, heartbeat.living(fresh_redis)) == []
    assert deaths.since(fresh_redis, "0") == ("0", [])
    assert rights.missing(fresh_redis) == []

    watch = Watch(fresh_redis, ledgers, loaded)
    watch.look()
    watch.stop()
    registry = CollectorRegistry()
    registry.register(Exporter(lambda: readings.read(fresh_redis, ledgers, loaded)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for family in families for sample in family.samples]
    (workers,) = [one.value for one in samples if one.name == "vtexorders_workers"]
    opened = {
        one.labels["account"]: one.value
        for one in samples
        if one.name == "vtexorders_orders" and one.labels["state"] == "open"
    }
    assert workers == 1
    assert opened == dict.fromkeys(NAMES, 1)

    document = json.loads(_console("status", "--json"))
    assert document["workers"] == 1
    assert set(document["accounts"]) == set(NAMES)
    assert {one["orders"]["open"] for one in document["accounts"].values()} == {1}
    moments = [one["paused"]["erp"]["since"] for one in document["accounts"].values()]
    moments += [one["since"] for one in document["alarms"] if one["since"]]
    assert moments
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one) for one in moments)
    text = _console("status")
    assert all(f"{name}:\n" in text for name in NAMES)
    for name in NAMES:
        assert "1 open" in _console("status", "--account", name)
        assert json.loads(_console("order", "1-01", "--account", name, "--json"))["account"] == name
    worker.stop()
    clock.stop()
    for ledger in ledgers:  # and nothing of theirs went with what was ours
        assert ledger.counts().open == 1


def _console(*words: str) -> str:
    done = CliRunner().invoke(console, words)
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout
