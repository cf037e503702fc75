"""Several stores: what is said names one, and what is done wants to be told which."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from workers.cli import console, look
from workers.demo import OURS
from workers.stores import advice

ACCOUNTS = """
[one]
app_key = "key-of-one"
app_token = "token-of-one"

[other]
app_key = "key-of-other"
app_token = "token-of-other"
"""
#: Whatever changes something.
ACTIONS = [
    ["pause"],
    ["resume"],
    ["replay", "1-01"],
    ["redeliver", "1-01"],
    ["reconcile"],
    ["reconcile", "--dry-run"],
    ["forget", "1-01", "--yes"],
    ["invoice", "1-01", "file.json"],
    ["tracking", "1-01", "file.json"],
    ["cancel", "1-01"],
    ["change", "1-01", "file.json"],
    ["feed", "configure"],
    ["feed", "delete", "--yes"],
    ["hook", "configure", "https://orders.example.com"],
    ["hook", "delete", "--yes"],
]


@pytest.fixture
def stores(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    (tmp_path / "accounts.toml").chmod(0o600)
    monkeypatch.setenv("ACCOUNTS_FILE", "accounts.toml")
    monkeypatch.setenv("ERP_URL", "sqlite:///erp.db")
    monkeypatch.setenv("HOOK_SECRET", "a-secret-of-the-hook-0123456789")


@pytest.mark.parametrize("action", ACTIONS, ids=" ".join)
def test_an_action_wants_to_know_which_store(stores, action):
    done = CliRunner().invoke(console, action)
    assert done.exit_code == 2, done.output
    assert "say which store is meant, there are several: one, other (--account NAME)" in done.stderr


@pytest.mark.parametrize(
    "action", [*ACTIONS, ["status"], ["dead"], ["order", "1-01"], ["feed", "show"]], ids=" ".join
)
def test_a_store_that_there_is_not(stores, action):
    done = CliRunner().invoke(console, [*action, "--account", "third"])
    assert done.exit_code == 2, done.output
    assert "no account 'third' in the settings; there is: one, other" in done.stderr


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("run: vtexorders feed configure", "run: vtexorders feed configure --account one"),
        (
            "vtexorders dead says why; vtexorders replay",
            "vtexorders dead --account one says why; vtexorders replay --account one",
        ),
        ("run: vtexorders up", "run: vtexorders up"),
        ("run: vtexorders resume --account one", "run: vtexorders resume --account one"),
    ],
)
def test_advice_names_the_store_where_there_are_several(do, said):
    assert advice(do, "one", several=True) == said
    assert advice(do, "one", several=False) == do
    assert advice(do, "", several=True) == do


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        (None, "3 events wait in the feeds that can be read, the oldest for 49 s"),
        (True, "3 events wait, the oldest"),
    ],
)
def test_the_feeds_together_are_those_that_can_be_read(configured, said):
    feed = {"configured": configured, "quantity": 3, "oldest_seconds": 48.7747}
    orders = dict.fromkeys(("open", "parked", "done", "ignored", "dead"), 0)
    *_, line = look._numbers({"orders": orders, "queues": {}, "feed": feed, "accounts": {}})
    assert line.removeprefix("feed     ").startswith(said)
