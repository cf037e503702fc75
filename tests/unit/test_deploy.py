"""What deploy/README.md tells to type makes what the compose file and the manifests need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from workers import redis_address, settings
from workers.demo import OURS

DEPLOY = Path(__file__).parents[2] / "deploy"
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def shell(heading):
    """The first shell block below a heading."""
    return re.sub(r"(?m)^   ", "", re.search(rf"## {heading}\n.*?```sh\n(.*?)```", README, re.DOTALL)[1])


@pytest.fixture
def made(tmp_path):
    """``deploy/secrets`` after both blocks, and what kubectl was called with."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here")
    shutil.copytree(DEPLOY / "redis", tmp_path / "deploy" / "redis")
    calls = tmp_path / "calls"
    for name in ("docker", "kubectl"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> "{calls}"\n')
        program.chmod(0o755)
    script = f'set -e\nPATH="{tmp_path}/bin:$PATH"\n{shell("Compose")}\n{shell("Kubernetes")}'
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)
    return tmp_path / "deploy" / "secrets", calls.read_text()


def test_in_containers_web_flower_and_metrics_listen_for_others():
    """Their own rule is this machine only, which in a container is nobody."""
    image = re.findall(r"([A-Z]+_ADDRESS)=(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert dict(image) == {"WEB_ADDRESS": "0.0.0.0", "FLOWER_ADDRESS": "0.0.0.0"}
    for service in ("web", "flower"):
        assert COMPOSE["services"][service]["environment"][f"{service.upper()}_ADDRESS"] == "0.0.0.0"
    base = yaml.safe_load((DEPLOY / "kubernetes/base/kustomization.yaml").read_text(encoding="utf-8"))
    [settings] = [one["literals"] for one in base["configMapGenerator"]]
    assert {f"{name}_ADDRESS=0.0.0.0" for name in ("WEB", "FLOWER", "METRICS")} <= set(settings)


def test_every_secret_of_compose_and_of_the_manifests_is_made(made):
    folder, calls = made
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    written = {file.name: file.read_text() for file in folder.iterdir()}
    assert wanted <= written.keys()
    assert all(text.strip() for text in written.values())
    assert "CHANGE-ME" not in written["users.acl"]
    for user, name in (("worker", "redis_url"), ("web", "redis_url_web"), ("flower", "redis_url_flower")):
        address = redis_address.parse(written[name].strip())
        assert address.username == user
        assert f"user {user} on >{address.password} " in written["users.acl"]
    assert written["metrics_basic_auth"] == f"prometheus:{written['metrics_password']}"
    given = dict(re.findall(r"--from-file=([a-z-]+)=(\S+)", calls))
    manifests = "".join(file.read_text() for file in DEPLOY.rglob("kubernetes/**/*.yaml"))
    keys = set(re.findall(r"key: ([a-z-]+)[,}]", manifests))
    assert given.keys() == keys
    assert set(given.values()) <= written.keys()


def test_what_is_made_for_compose_is_good_where_it_is_used(made, monkeypatch, tmp_path):
    folder, _ = made
    monkeypatch.chdir(tmp_path)
    allowed = COMPOSE["services"]["worker-orders"]["environment"]["ALLOW_INSECURE_HTTP"]
    assert set(allowed.split(",")) < COMPOSE["services"].keys()
    assert COMPOSE["networks"]["inside"]["internal"]
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    for name, value in {
        "VTEX_ACCOUNT": "mystore",
        "VTEX_APP_KEY": "a-key",
        "VTEX_APP_TOKEN": "a-token",
        "ERP_URL_FILE": str(folder / "erp_url"),
        "REDIS_URL_FILE": str(folder / "redis_url"),
        "ALLOW_INSECURE_HTTP": allowed,
    }.items():
        monkeypatch.setenv(name, value)
    assert settings.load().redis_url
    monkeypatch.setenv("ERP_URL_FILE", "")
    monkeypatch.setenv("ERP_URL", "https://erp.example.com/orders")
    monkeypatch.setenv("ALLOW_INSECURE_HTTP", literals("overlays/trial")["ALLOW_INSECURE_HTTP"])
    assert settings.load().redis_url


def literals(kustomization):
    """What a kustomization puts into the settings of all pods."""
    document = yaml.safe_load((DEPLOY / "kubernetes" / kustomization / "kustomization.yaml").read_text())
    (generated,) = document["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def test_the_overlay_for_several_stores_gives_good_settings(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stores").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "stores" / "accounts.toml").write_text(
        "".join(f'[{store}]\napp_key_file = "key"\napp_token_file = "key"\n' for store in ("one", "two"))
    )
    (tmp_path / "stores" / "key").write_text("a-key")
    (tmp_path / "secrets" / "redis-url").write_text("rediss://redis/0")
    (tmp_path / "secrets" / "erp-url").write_text("https://erp.example.com/orders")
    (tmp_path / "secrets" / "metrics-basic-auth").write_text("prometheus:a-password")
    for overlay in ("base", "overlays/production", "overlays/stores"):
        for name, value in literals(overlay).items():
            path = value.startswith(("/secrets/", "/stores/", "/data"))
            monkeypatch.setenv(name, f"{tmp_path}{value}" if path else value)
    assert sorted(settings.load().accounts) == ["one", "two"]


def test_every_profile_of_compose_is_told():
    profiles = {
        profile for service in COMPOSE["services"].values() for profile in service.get("profiles", [])
    }
    assert {f"--profile {profile}" for profile in profiles} <= set(re.findall(r"--profile [a-z]+", README))
