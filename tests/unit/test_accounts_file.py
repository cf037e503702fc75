"""ACCOUNTS_FILE: several stores, what each has of its own, and every problem of the file at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers import telemetry
from workers.scope import parse as scope
from workers.settings import Secret, SettingsError, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("VTEX_", "ERP_", "FEED_", "HOOK_", "WEB_", "METRICS_", "ACCOUNTS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ACCOUNTS_FILE", "accounts.toml")
    monkeypatch.setenv("ERP_URL", "sqlite:///erp.db")
    return tmp_path


@pytest.fixture
def stores(here):
    """Write the file, for this user only or as readable as given; the problems of loading it."""

    def write(text, mode=0o600):
        file = here / "accounts.toml"
        file.write_text(text)
        file.chmod(mode)
        try:
            load()
        except SettingsError as error:
            return error.problems
        return []

    return write


TWO = """
[one]
app_key = "k1"
app_token = "t1"

[two]
app_key = "k2"
app_token = "t2"
"""


def test_what_a_store_does_not_say_the_environment_says_for_all(stores, monkeypatch):
    monkeypatch.setenv("FEED_POLL_SECONDS", "7")
    monkeypatch.setenv("VTEX_REQUESTS_PER_MINUTE", "100")
    said = 'requests_per_minute = 50\nfeed_poll_seconds = 0.5\nfeed_states = ["cancel", "canceled"]\nshadow = true'
    more = 'feed_managed = true\norder_scope = "channels=1,2"\ntimezone = "Europe/Lisbon"\nretry_horizon_hours = 1'
    assert stores(TWO + said + "\n" + more) == []
    settings = load()
    one, two = settings.of("one"), settings.of("two")
    assert list(settings.accounts) == ["one", "two"]
    assert (one.account().app_key, two.account().app_token) == (Secret("k1"), Secret("t2"))
    assert (one.account().requests_per_minute, two.account().requests_per_minute) == (100, 50)
    assert (one.feed_poll, two.feed_poll) == (7.0, 0.5)
    assert two.feed_states == ("cancel", "canceled")
    assert (one.shadow, two.shadow) == ("", "look")
    assert (one.feed_managed, two.feed_managed) == (False, True)
    assert two.order_scope == scope("channels=1,2")
    assert (one.timezone, two.timezone) == ("America/Sao_Paulo", "Europe/Lisbon")
    assert two.retry_horizon == 3600.0
    assert one.erp_url == two.erp_url == "sqlite:///erp.db"


def test_an_action_must_say_which_store(stores):
    stores(TWO)
    with pytest.raises(KeyError, match="say which store is meant, there are several: one, two"):
        load().account()
    with pytest.raises(KeyError, match="no account 'three' in the settings; there is: one, two"):
        load().of("three")


def test_references(stores, here, monkeypatch):
    (here / "secrets").mkdir()
    (here / "secrets" / "key").write_text("from-file\n")
    monkeypatch.setenv("OUTLET_TOKEN", "from-environment")
    text = '[one]\napp_key_file = "secrets/key"\napp_token_env = "OUTLET_TOKEN"\n'
    assert stores(text, mode=0o644) == []
    account = load().account()
    assert (account.app_key, account.app_token) == (Secret("from-file"), Secret("from-environment"))
    monkeypatch.setenv("ACCOUNTS_FILE", str(here / "accounts.toml"))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert load().account().app_key == Secret("from-file"), "seen from the folder of the accounts file"


def test_no_store_gets_the_secrets_of_another(stores, monkeypatch):
    monkeypatch.setenv("ERP_TOKEN", "of-the-shared-erp")
    monkeypatch.setenv("ERP_SIGNING_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    monkeypatch.setenv("VTEX_APP_KEY", "of-some-store")
    monkeypatch.setenv("VTEX_APP_TOKEN", "of-some-store")
    assert stores(TWO + 'erp_url = "https://other.example/erp"\n') == []
    one, two = load().of("one"), load().of("two")
    assert one.erp_token == Secret("of-the-shared-erp")
    assert (two.erp_token, two.erp_signing_secret) == (Secret(""), Secret(""))
    assert [problem.split(" is missing")[0] for problem in stores("[one]\n")] == [
        "accounts.toml, line 1, one: app_key",
        "accounts.toml, line 1, one: app_token",
    ]


def test_nothing_secret_shows_and_every_stores_secrets_are_masked(stores):
    text = (
        TWO
        + 'erp_url = "https://erp.example/in?code=hush1"\nerp_token = "hush2"\nhook_secret = "hush3hush3hush3hush3"\n'
    )
    assert stores(text) == []
    shown = repr(load()) + repr(load().of("two")) + repr(load().account("two"))
    assert not any(secret in shown for secret in ("hush", "k1", "t2"))
    assert {"k1", "t1", "k2", "t2", "code=hush1", "hush2", "hush3hush3hush3hush3"} <= telemetry.secrets_of(
        load()
    )


def test_every_problem_is_told_at_once_with_store_key_line_and_what_to_do(stores, here, monkeypatch):
    monkeypatch.setenv("FEED_STATES", "no-such-state")
    found = stores(
        """\
requests_per_minute = 5
[one]
app_key = "k"
app_key_file = "nowhere"
app_token_file = "nowhere"
requests_per_minut = 5
shadow = [1]

[two]
app_key_env = "NOT_THERE"
app_token = "a b"
requests_per_minute = 0
timezone = ""

[TWO]
app_key = "k"

["my.store"]
app_key = "k"
"""
    )
    assert found == [
        (
            "accounts.toml, line 1: requests_per_minute belongs to no store: put it below a [store], or, for all"
            " stores, set VTEX_REQUESTS_PER_MINUTE in the environment"
        ),
        (
            "accounts.toml, line 6, one: requests_per_minut is no setting of a store: did you mean"
            " requests_per_minute?"
        ),
        "accounts.toml, line 15: TWO and two are one store: remove one",
        (
            "accounts.toml, line 18: the store's name must be the bare name from your store's address"
            " (mystore in mystore.myvtex.com), not 'my.store'"
        ),
        "FEED_STATES names states that VTEX does not list and would never fire: no-such-state",
        "accounts.toml, line 3, one: app_key and app_key_file are both given: remove one",
        "accounts.toml, line 5, one: app_token_file does not name a readable text file",
        "accounts.toml, line 10, two: app_key_env names NOT_THERE, which the environment does not have",
        (
            "accounts.toml, line 11, two: app_token has characters that cannot be sent in a header (a copy and"
            " paste accident?)"
        ),
        "accounts.toml, line 12, two: requests_per_minute must be a whole number from 1 to 600000, not '0'",
        "accounts.toml, line 7, one: shadow must be text, a number, true or false, or a list of texts",
        "accounts.toml, line 13, two: timezone is empty: give it a value, or leave the line out",
    ]


@pytest.mark.parametrize(
    "secret", ['app_token = "hush"', 'erp_token = "hush"', 'erp_url = "postgresql+psycopg://u:hush@h/d"']
)
def test_a_credential_in_a_file_that_others_may_read_is_refused(stores, secret):
    text = f'[one]\napp_key_env = "HOME"\n{secret}\n' + (
        "" if "app" in secret else 'app_token_env = "HOME"\n'
    )
    [problem] = stores(text, mode=0o640)
    key = secret.partition(" ")[0]
    assert problem == (
        f"accounts.toml, line 3, one: {key} stands in a file that others may read: use {key}_file or {key}_env"
        " (or chmod 600 accounts.toml)"
    )
    assert stores(text, mode=0o600) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "accounts.toml names no store: it needs a table for each, such as [mystore]"),
        (
            "[one\n",
            "accounts.toml is not TOML: Expected ']' at the end of a table declaration (at line 1, column 5)",
        ),
        ("[one]\n[one]\n", "accounts.toml is not TOML: Cannot declare ('one',) twice (at line 2, column 5)"),
    ],
)
def test_a_file_that_cannot_be_used(stores, text, expected):
    assert stores(text) == [expected]


def test_no_file_and_both_ways_at_once(stores, monkeypatch):
    with pytest.raises(SettingsError) as missing:
        load()
    assert missing.value.problems == ["ACCOUNTS_FILE does not name a readable text file"]
    monkeypatch.setenv("VTEX_ACCOUNT", "one")
    assert stores(TWO) == ["VTEX_ACCOUNT and ACCOUNTS_FILE are both given: remove one"]


def test_stores_of_one_erp_erase_at_the_same_age(stores):
    assert stores(TWO + "retention_days = 30\n") == [
        (
            "two: retention_days differs from that of one, and both have the same erp_url: what is erased there is"
            " erased for both. Give both the same, or an ERP of its own to one"
        )
    ]
    assert stores(TWO + 'retention_days = 30\nerp_url = "sqlite:///two.db"\n') == []


def test_the_example_is_one(here, monkeypatch):
    text = (ROOT / "deploy/examples/accounts.toml").read_text()
    (here / "accounts.toml").write_text(text)
    (here / "secrets").mkdir()
    for store in ("mystore", "myoutlet", "newstore"):
        for what in ("key", "token", "erp"):
            (here / "secrets" / f"{store}-{what}").write_text("filled-in")
    monkeypatch.setenv("MYSTORE_SIGNING_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    monkeypatch.setenv("OUTLET_DATABASE", "postgresql+psycopg://u:p@h/d")
    assert list(load().accounts) == ["mystore", "myoutlet", "newstore"]
