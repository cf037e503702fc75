"""The settings of the sinks, and that their secrets end up in no log."""

import base64
import dataclasses

import fakeredis
import pytest

from workers import settings, telemetry
from workers.runtime import Runtime
from workers.settings import Secret, SettingsError, load

NEEDED = {
    "VTEX_ACCOUNT": "store",
    "VTEX_APP_KEY": "key",
    "VTEX_APP_TOKEN": "token",
    "ERP_URL": "sqlite:///erp.db",
}


@pytest.fixture(autouse=True)
def env(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ERP_TOKEN", "ERP_SIGNING_SECRET", "ALLOW_INSECURE_HTTP", "REDIS_URL"):
        for variable in (name, f"{name}_FILE"):
            monkeypatch.delenv(variable, raising=False)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch.setenv


def problem():
    with pytest.raises(SettingsError) as failure:
        load()
    [one] = failure.value.problems
    assert "hush" not in one
    return one


@pytest.mark.parametrize(
    "url",
    [
        "https://erp.example.com/orders",
        "https://user:pass@erp.example.com:8443/orders?code=x",
        "http://localhost:8700/orders",
        "http://127.0.0.1:8700",
        "http://[::1]:8700/",
        "file:///var/spool/my orders",
        "python:my_erp:open_sink",
        "python:company.erp:Factories.mine",
    ],
)
def test_addresses_that_are_right(env, url):
    env("ERP_URL", url)
    assert load().erp_url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://erp.example.com/hush", "use https"),
        ("https://", "such as https://"),
        ("https://host:hush/", "such as https://"),
        ("https://erp.example.com/hush hush", "without spaces"),
        ("https://erp.example.com/ç", "without spaces"),
        ("https://erp.example.com/#hush", "fragment"),
        ("https:erp.example.com", "names no sink"),
        ("file://hush/orders", "three slashes"),
        ("file:///", "three slashes"),
        ("file:hush", "names no sink"),
        ("python:hush", "python:module:factory"),
        ("python:a-b:c", "python:module:factory"),
        ("python:a:b()", "python:module:factory"),
    ],
)
def test_addresses_that_are_wrong(env, url, why):
    env("ERP_URL", url)
    one = problem()
    assert one.startswith("ERP_URL ")
    assert why in one


def test_plain_http_elsewhere_when_allowed(env):
    env("ERP_URL", "http://erp.internal/orders")
    env("ALLOW_INSECURE_HTTP", "1")
    assert load().erp_url == "http://erp.internal/orders"


def test_token_and_secret_from_files(env, tmp_path):
    (tmp_path / "token").write_text("canary-token\n")
    (tmp_path / "secret").write_text("canary-one whsec_Y2FuYXJ5LXR3bw==\n")
    env("ERP_TOKEN_FILE", "token")
    env("ERP_SIGNING_SECRET_FILE", "secret")
    loaded = load()
    assert loaded.erp_token == Secret("canary-token")
    assert loaded.erp_signing_secret.reveal().split() == ["canary-one", "whsec_Y2FuYXJ5LXR3bw=="]
    assert "canary" not in repr(loaded)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ERP_TOKEN", "hush hush", "header"),
        ("ERP_TOKEN", "hush\u200b", "header"),
        ("ERP_SIGNING_SECRET", "whsec_hush!", "base64"),
        ("ERP_SIGNING_SECRET", "fine whsk_hush", "not supported"),
    ],
)
def test_wrong_secrets_are_told_and_not_shown(env, name, value, why):
    env(name, value)
    one = problem()
    assert one.startswith(f"{name} ")
    assert why in one


def test_no_secret_of_a_sink_reaches_a_log(env):
    env("ERP_URL", "https://user:canary%40pass@erp.example.com/orders?code=canary-code")
    env("ERP_TOKEN", "canary-token")
    secret = base64.b64encode(b"canary-secret").decode()
    env("ERP_SIGNING_SECRET", f"canary-plain whsec_{secret}")
    clean = telemetry.Redactor(telemetry.secrets_of(load())).clean
    for text in (
        "canary%40pass",
        "canary@pass",
        "code=canary-code",
        "canary-token",
        "canary-plain",
        f"whsec_{secret}",
        secret,
    ):
        assert clean(f"it was {text}, really") == "it was ***, really"


def test_the_sink_gets_what_it_needs(env):
    env("ERP_URL", "http://127.0.0.1:1/orders")
    env("ERP_TOKEN", "canary-token")
    env("ERP_SIGNING_SECRET", "one two")
    env("HTTP_TIMEOUT_SECONDS", "3")
    runtime = Runtime(load(), fakeredis.FakeRedis(decode_responses=True))
    sink = runtime.link("store").sink
    assert sink._headers["Authorization"] == "Bearer canary-token"
    assert sink._keys == (b"one", b"two")
    assert sink._transport._timeout[1] == 3.0
    runtime.close()


def test_a_sink_that_cannot_be_opened_is_a_problem_of_the_settings():
    loaded = dataclasses.replace(settings.load(), erp_url="python:nowhere_at_all:factory")
    runtime = Runtime(loaded, fakeredis.FakeRedis(decode_responses=True))
    with pytest.raises(SettingsError, match="ERP_URL cannot be used: there is no module nowhere_at_all"):
        runtime.link("store")
    runtime.close()
