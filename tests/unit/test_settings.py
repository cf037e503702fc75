from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workers.settings import Account, Secret, Settings, SettingsError, load, spare_credentials
from workers.vtex.states import DEFAULT_FEED_STATES

NEEDED = {
    "VTEX_ACCOUNT": "mystore",
    "VTEX_APP_KEY": "canary-key",
    "VTEX_APP_TOKEN": "canary-token",
    "ERP_URL": "sqlite:///erp.db",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment with what is needed and nothing of ours besides."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(
            ("VTEX_", "ERP_", "REDIS_", "SENTINEL_", "FEED_", "WORKER_", "FLOWER_", "LOG_", "ALLOW_")
        ):
            monkeypatch.delenv(name)
    for name in ("DATA_DIR", "TIMEZONE", "HTTP_TIMEOUT_SECONDS", "SWEEP_SECONDS", "RETRY_HORIZON_HOURS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(**values: str | None) -> None:
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return put


def problems() -> list[str]:
    with pytest.raises(SettingsError) as failure:
        load()
    assert str(failure.value).count("\n") == len(failure.value.problems) + 1
    return failure.value.problems


def test_what_is_needed_is_enough() -> None:
    account = Account("mystore", Secret("canary-key"), Secret("canary-token"))
    settings = load()
    assert settings == Settings(accounts={"mystore": account}, erp_url="sqlite:///erp.db")
    assert settings.worker_processes == os.cpu_count()
    assert settings.feed_states == DEFAULT_FEED_STATES
    assert settings.redis_url is None
    assert settings.account() is settings.account("mystore") is settings.accounts["mystore"]
    with pytest.raises(KeyError, match="there is: mystore"):
        settings.account("other")


def test_the_two_hosts_of_an_account(env: Any) -> None:
    account = load().account()
    assert account.oms_url == "https://mystore.vtexcommercestable.com.br"
    assert account.feed_url == "https://mystore.myvtex.com"
    env(VTEX_ENVIRONMENT="vtexcommercebeta")
    assert load().account().oms_url == "https://mystore.vtexcommercebeta.com.br"
    env(VTEX_BASE_URL="http://localhost:8900/")
    account = load().account()
    assert account.oms_url == account.feed_url == "http://localhost:8900"


def test_nothing_listens_for_other_machines_by_itself(env: Any) -> None:
    env(WEB_TOKENS="a-token-of-sixteen", FLOWER_BASIC_AUTH="ops:word", METRICS_PORT="9100", WEB_ADDRESS="")
    settings = load()
    addresses = {settings.web_address, settings.flower_address, settings.metrics_address}
    assert addresses == {"127.0.0.1"}


def test_everything_else(env: Any) -> None:
    env(
        REDIS_URL="rediss://redis.default:6379/0",
        DATA_DIR="/data",
        TIMEZONE="Europe/Vienna",
        HTTP_TIMEOUT_SECONDS="2.5",
        FEED_POLL_SECONDS="1",
        FEED_STATES=" handling , cancel,handling",
        SWEEP_SECONDS="3",
        RETRY_HORIZON_HOURS="2",
        WORKER_PROCESSES="3",
        WORKER_CONCURRENCY="16",
        LOG_FORMAT="console",
        LOG_LEVEL="DEBUG",
        FLOWER_PORT="0",
        FLOWER_BASIC_AUTH="ops:secret:word",
        VTEX_REQUESTS_PER_MINUTE="60",
    )
    settings = load()
    assert settings.account().requests_per_minute == 60
    assert settings == Settings(
        accounts=settings.accounts,
        erp_url="sqlite:///erp.db",
        redis_url="rediss://redis.default:6379/0",
        data_dir=Path("/data"),
        timezone="Europe/Vienna",
        http_timeout=2.5,
        feed_poll=1.0,
        feed_states=("handling", "cancel"),
        sweep=3.0,
        retry_horizon=7200.0,
        worker_processes=3,
        worker_concurrency=16,
        log_format="console",
        log_level="DEBUG",
        flower_port=0,
        flower_basic_auth=Secret("ops:secret:word"),
    )


@pytest.mark.parametrize("empty", [None, "", "  ", "\r\n", "\ufeff"])
def test_all_that_is_missing_is_told_at_once(env: Any, empty: str | None) -> None:
    env(**dict.fromkeys(NEEDED, empty))
    found = problems()
    assert [problem.split(" is missing")[0] for problem in found] == list(NEEDED)


def test_wrong_and_missing_together(env: Any) -> None:
    env(
        VTEX_APP_KEY=None,
        TIMEZONE="Mars/Olympus",
        WORKER_CONCURRENCY="many",
        VTEX_ACCOUNT="https://x.myvtex.com",
    )
    assert [problem.split()[0] for problem in problems()] == [
        "VTEX_ACCOUNT",
        "VTEX_APP_KEY",
        "TIMEZONE",
        "WORKER_CONCURRENCY",
    ]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("VTEX_ACCOUNT", "my.store", "bare name"),
        ("VTEX_ACCOUNT", "-store", "bare name"),
        ("VTEX_APP_KEY", "a b", "header"),
        ("VTEX_APP_TOKEN", "a\u200bb", "header"),
        ("VTEX_ENVIRONMENT", "a/b", "bare name"),
        ("VTEX_BASE_URL", "localhost:8900", "such as https://"),
        ("VTEX_BASE_URL", "http://vtex.example", "use https"),
        ("VTEX_BASE_URL", "https://user:hush@vtex.example", "without user name"),
        ("VTEX_BASE_URL", "https://vtex.example?x=hush", "without user name"),
        ("VTEX_BASE_URL", "https://vtex.example:hush", "such as https://"),
        ("VTEX_BASE_URL", "https://[hush", "such as https://"),
        ("VTEX_BASE_URL", "https://vtex.example/a b", "without spaces"),
        ("VTEX_BASE_URL", "https://", "such as https://"),
        ("ALLOW_INSECURE_HTTP", "yes", "0 or 1"),
        ("VTEX_REQUESTS_PER_MINUTE", "0", "from 1"),
        ("VTEX_REQUESTS_PER_MINUTE", "٣", "from 1"),
        ("VTEX_REQUESTS_PER_MINUTE", "9" * 5000, "from 1"),
        ("HTTP_TIMEOUT_SECONDS", "0", "from 0.1"),
        ("HTTP_TIMEOUT_SECONDS", "nan", "from 0.1"),
        ("FEED_POLL_SECONDS", "inf", "from 0.2"),
        ("FEED_STATES", "ready-for-handlin", "never fire"),
        ("FEED_STATES", ",", "no state"),
        ("TIMEZONE", "../etc/passwd", "zone"),
        ("TIMEZONE", "America", "zone"),
        ("LOG_LEVEL", "LOUD", "one of"),
        ("FLOWER_PORT", "65536", "from 0"),
        ("FLOWER_BASIC_AUTH", "hush", "user:password"),
        ("FLOWER_BASIC_AUTH", ":hush", "user:password"),
        ("ERP_URL", "mysql://user:hush@host/db", "no sink"),
        ("ERP_URL", "hush", "no sink"),
        ("ERP_URL", "sqlite:hush", "no sink"),
        ("ERP_URL", "sqlite://", "in memory"),
        ("ERP_URL", "sqlite:///", "in memory"),
        ("ERP_URL", "sqlite:///:memory:", "in memory"),
        ("ERP_URL", "sqlite:///file::memory:?cache=shared&uri=true", "in memory"),
        ("ERP_URL", "sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("ERP_URL", "sqlite://hush.db", "three slashes"),
        ("ERP_URL", "postgresql+psycopg://user:hush@host", "no database"),
        ("ERP_URL", "postgresql+psycopg://user:hush@host:port/db", "database address"),
        ("REDIS_URL", "localhost:6379", "such as redis://"),
        ("REDIS_URL", "unix:///tmp/hush", "such as redis://"),
        ("REDIS_URL", "redis://", "such as redis://"),
        ("REDIS_URL", "sentinel://:hush@one:26379/0;sentinel://:hush@two:26379/0", "such as redis://"),
        ("REDIS_URL", "sentinel://:hush@one,two:26379", "name the service"),
        ("REDIS_URL", "redis://:hush@one,two/0", "through Sentinels"),
        ("REDIS_URL", "rediss://:hush@one/0?ssl_cert_reqs=none", "always verified"),
        ("REDIS_URL", "redis://:hush/hush@one/0", "%-encoded"),
        ("REDIS_URL", "redis://one/zero", "number of the database"),
        ("REDIS_CA", "-----BEGIN CERTIFICATE-----\nhush\n-----END CERTIFICATE-----", "PEM"),
        ("REDIS_URL", "redis://user:hush@host:port/0", "such as redis://"),
        ("REDIS_URL", "redis://user:hush@redis/0", "use rediss://"),
        ("REDIS_URL", "redis://hush", "use rediss://"),
        ("REDIS_URL", "redis://:hush@10.0.0.7/0", "use rediss://"),
        ("REDIS_URL", "sentinel://:hush@localhost,two/orders/0", "use sentinels://"),
        ("ERP_URL", "postgresql+psycopg://user:hush@host/db?sslmode=require", "verify-full"),
        ("ERP_URL", "postgresql+psycopg://user:hush@host/db?sslmode=verify-ca", "verify-full"),
        ("ERP_URL", "postgresql+psycopg://user:hush@127.0.0.1/db?host=db&sslmode=prefer", "verify-full"),
        ("ALLOW_INSECURE_HTTP", "redis,true", "0 or 1"),
        ("ALLOW_INSECURE_HTTP", "redis://redis", "names of hosts"),
    ],
)
def test_one_wrong_value_is_one_problem_and_shows_no_secret(
    env: Any, name: str, value: str, why: str
) -> None:
    env(**{name: value})
    (problem,) = problems()
    assert problem.startswith(f"{name} ")
    assert why in problem
    assert "hush" not in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ERP_URL", "sqlite:////srv/erp.db"),
        ("ERP_URL", "sqlite:///relative/erp.db"),
        ("ERP_URL", "postgresql+psycopg://user:p%40ss@host:5432/erp?sslmode=verify-full"),
        ("ERP_URL", "postgresql+psycopg://user:p%40ss@host:5432/erp"),
        ("ERP_URL", "postgresql+psycopg://user@127.0.0.1/erp?sslmode=disable"),
        ("ERP_URL", "postgresql+psycopg:///erp"),
        ("REDIS_URL", "rediss://:pass@redis.example:6380/1"),
        ("REDIS_URL", "redis://127.1/0"),
        ("REDIS_URL", "redis://[::1]:6379"),
        ("REDIS_URL", "sentinel://worker:pass@localhost,127.0.0.1:26380,[::1]/orders/1"),
        ("REDIS_URL", "sentinels://:p%40ss@one/orders"),
        ("VTEX_BASE_URL", "https://vtex.example/prefix"),
        ("VTEX_BASE_URL", "http://127.0.0.1:8900"),
        ("VTEX_BASE_URL", "http://[::1]:8900"),
    ],
)
def test_values_that_are_right(env: Any, name: str, value: str) -> None:
    env(**{name: value})
    settings = load()
    assert value in {settings.erp_url, settings.redis_url, settings.account().base_url}


def test_plain_http_elsewhere_when_allowed(env: Any) -> None:
    env(VTEX_BASE_URL="http://vtex.cluster.local", ALLOW_INSECURE_HTTP="1")
    assert load().account().base_url == "http://vtex.cluster.local"


@pytest.mark.parametrize("allowed", ["1", "valkey, POSTGRESQL"])
def test_without_tls_to_hosts_that_are_allowed(env: Any, allowed: str) -> None:
    env(
        REDIS_URL="redis://:pass@valkey/0",
        ERP_URL="postgresql+psycopg://erp:pass@postgresql/erp?sslmode=disable",
        ALLOW_INSECURE_HTTP=allowed,
    )
    assert load().redis_url == "redis://:pass@valkey/0"
    env(VTEX_BASE_URL="http://vtex.example")
    if allowed != "1":
        (problem,) = problems()
        assert problem.startswith("VTEX_BASE_URL is plain http to another machine")


@pytest.mark.parametrize(
    "content", [b"from-file", b"from-file\r\n", b"\xef\xbb\xbffrom-file\n", b"  from-file\n\n"]
)
def test_a_value_in_a_file(env: Any, here: Path, content: bytes) -> None:
    (here / "token").write_bytes(content)
    env(VTEX_APP_TOKEN=None, VTEX_APP_TOKEN_FILE="token")
    assert load().account().app_token == Secret("from-file")


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "readable"), (b"\xff\xfeh\x00", "readable"), (b" \r\n", "empty"), (b"", "empty")],
)
def test_a_file_without_a_value_is_one_problem(env: Any, here: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (here / "token").write_bytes(content)
    env(VTEX_APP_TOKEN="", VTEX_APP_TOKEN_FILE=str(here / "token"))
    (problem,) = problems()
    assert problem.startswith("VTEX_APP_TOKEN_FILE ")
    assert why in problem


def test_a_directory_is_no_file(env: Any, here: Path) -> None:
    env(REDIS_URL_FILE=str(here))
    assert problems() == ["REDIS_URL_FILE does not name a readable text file"]


def test_a_value_and_a_file_together(env: Any, here: Path) -> None:
    (here / "token").write_text("other")
    env(VTEX_APP_TOKEN_FILE="token")
    assert problems() == ["VTEX_APP_TOKEN and VTEX_APP_TOKEN_FILE are both given: remove one"]


def test_a_dotenv_here(env: Any, here: Path) -> None:
    (here / ".env").write_bytes(
        b"\xef\xbb\xbfVTEX_ACCOUNT=fromdotenv\r\n# a comment\r\n\r\nexport VTEX_APP_KEY='k'\r\n"
        b'VTEX_APP_TOKEN="p${HOME}$x#y"\r\nERP_URL=sqlite:///e.db # why\r\nTIMEZONE=\r\n'
    )
    env(**dict.fromkeys(NEEDED))
    settings = load()
    account = settings.account("fromdotenv")
    assert (account.app_key, account.app_token) == (Secret("k"), Secret("p${HOME}$x#y"))
    assert settings.erp_url == "sqlite:///e.db"
    assert settings.timezone == "America/Sao_Paulo"
    assert "VTEX_ACCOUNT" not in os.environ


def test_the_environment_goes_before_the_dotenv(env: Any, here: Path) -> None:
    (here / "token").write_text("from-file")
    (here / ".env").write_text("VTEX_ACCOUNT=other\nVTEX_APP_TOKEN=other\nVTEX_APP_KEY_FILE=nowhere\n")
    env(VTEX_APP_TOKEN=None, VTEX_APP_TOKEN_FILE="token")
    account = load().account("mystore")
    assert (account.app_key, account.app_token) == (Secret("canary-key"), Secret("from-file"))


def test_a_dotenv_above_is_not_ours(env: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("FLOWER_PORT=1\n")
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    assert load().flower_port == 5555


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"FLOWER_PORT=1\n\n\nhush hush\nLOG_LEVEL=INFO\n", ".env, line 4: not NAME=value"),
        (b'\nVTEX_APP_KEY="hush\n', ".env, line 2: not NAME=value"),
        (b"\n\nHUSH\n", ".env, line 3: not NAME=value"),
        (b"\xff\xfeV\x00", ".env is not a readable text file in UTF-8"),
    ],
)
def test_a_malformed_dotenv_is_a_clear_problem(here: Path, content: bytes, expected: str) -> None:
    (here / ".env").write_bytes(content)
    assert problems() == [expected]


def test_a_dotenv_that_is_a_directory(here: Path) -> None:
    (here / ".env").mkdir()
    assert problems() == [".env is not a readable text file in UTF-8"]


def test_nothing_secret_shows(env: Any) -> None:
    env(
        ERP_URL="postgresql+psycopg://erp:hush@host/erp",
        REDIS_URL="rediss://:hush@redis/0",
        FLOWER_BASIC_AUTH="ops:hush",
    )
    shown = repr(load()) + str(load()) + repr(load().account())
    assert "canary" not in shown
    assert "hush" not in shown


def test_a_secret() -> None:
    secret = Secret("value")
    assert (repr(secret), str(secret), f"{secret}", secret.reveal()) == ("***", "***", "***", "value")
    assert secret == Secret("value") != Secret("other")
    assert secret != "value"
    assert len({secret, Secret("value")}) == 1
    assert secret
    assert not Secret("")


def test_who_speaks_with_redis_alone_reads_no_other_credential(env: Any, here: Path) -> None:
    env(
        VTEX_APP_KEY=None,
        VTEX_APP_KEY_FILE="/nowhere/key",
        ERP_URL="nonsense",
        REDIS_URL="rediss://redis/0",
    )
    assert len(problems()) == 2
    spare_credentials()
    settings = load()
    assert not settings.account().app_key
    assert not settings.account().app_token  # though it is there
    assert settings.erp_url == ""
    assert settings.redis_url == "rediss://redis/0"
    env(VTEX_ACCOUNT=None, ACCOUNTS_FILE="accounts.toml")
    (here / "accounts.toml").write_text(
        '[one]\napp_key_file = "nowhere"\nhook_secret_env = "NOWHERE"\n[two]\n'
    )
    (problem,) = problems()
    assert "NOWHERE" in problem
