"""The tokens of the front door, and the pace of their requests."""

from __future__ import annotations

import pytest

from workers import settings
from workers.web import tokens
from workers.web.pace import Pace

A, B = "a" * 20, "b" * 20


def test_a_bare_token_may_do_everything_everywhere():
    [token] = tokens.parse(A)
    assert token.scopes == {"read", "command", "operate"}
    assert token.account is None
    assert tokens.find((token,), A) is token
    assert tokens.find((token,), A[:-1]) is None
    assert A not in repr(token) + token.name


def test_scopes_and_accounts():
    one, other = tokens.parse(f"{A}:read+command@mystore, {B}@other")
    assert (one.scopes, one.account) == ({"read", "command"}, "mystore")
    assert (other.scopes, other.account) == ({"read", "command", "operate"}, "other")
    assert tokens.secrets_in(f"{A}:read@mystore,{B}") == {A, B}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("short", "entry 1 has a token of less than 16"),
        (f"{A},,{B}", "entry 2 must be"),
        (f"{A}:write", "entry 1 has a scope that there is not"),
        (f"{A},{B} {B}", "entry 2 must be"),
        (f"{A},{A}:read", "one token twice"),
    ],
)
def test_what_is_wrong_is_told_without_the_token(written, says):
    with pytest.raises(ValueError, match=says) as wrong:
        tokens.parse(written)
    assert A not in str(wrong.value)


def test_a_token_of_a_store_that_there_is_not_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "VTEX_ACCOUNT": "mystore",
        "VTEX_APP_KEY": "key",
        "VTEX_APP_TOKEN": "token",
        "ERP_URL": "sqlite:///erp.db",
        "WEB_TOKENS": f"{A}@another",
        "HOOK_SECRET": "short",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(settings.SettingsError) as wrong:
        settings.load()
    assert "WEB_TOKENS entry 1 is for a store that the settings do not have" in str(wrong.value)
    assert "HOOK_SECRET is shorter than 16" in str(wrong.value)


def test_a_token_has_ten_seconds_worth_in_advance_and_then_its_rate():
    now = [100.0]
    pace = Pace(600, clock=lambda: now[0])
    assert [pace.wait("a") for _ in range(100)] == [0.0] * 100
    assert 0 < pace.wait("a") <= 0.11
    assert pace.wait("b") == 0.0
    now[0] += 0.11
    assert pace.wait("a") == 0.0
    assert pace.wait("a") > 0
