"""The processes of the Kubernetes manifests: their commands, settings, secrets and probes, run here for real."""

import contextlib
import signal

import pytest
import yaml

from .conftest import ROOT
from .system import KEY, TOKEN, System, free_port, get

BASE = ROOT / "deploy" / "kubernetes" / "base"
WEB_TOKEN = "livetest-web-token-0123456789abcdef"
SECRETS = {
    "vtex-app-key": KEY,
    "vtex-app-token": TOKEN,
    "metrics-basic-auth": "prometheus:metrics-password",
    "flower-basic-auth": "ops:flower-password",
    "web-tokens": WEB_TOKEN,
    "hook-secret": "the-secret-of-the-hook-0123456789",
}


def deployments():
    """The base's pods: name → its container, and the secret's files that it mounts by their keys."""
    found = {}
    for file in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]:
        for one in yaml.safe_load_all((BASE / file).read_text()):
            if one["kind"] == "Deployment":
                spec = one["spec"]["template"]["spec"]
                (secret,) = (volume["secret"] for volume in spec["volumes"] if "secret" in volume)
                found[one["metadata"]["name"]] = (
                    spec["containers"][0],
                    {item["path"]: item["key"] for item in secret["items"]},
                )
    return found


def config():
    """The settings that every pod has."""
    (generated,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


class Pods:
    """One process for each deployment, with what its pod would have and nothing else."""

    def __init__(self, system, folder, redis_url):
        redis_urls = dict.fromkeys(("redis-url", "redis-url-web", "redis-url-flower"), redis_url)
        secrets = SECRETS | redis_urls | {"erp-url": f"sqlite:///{system.folder}/erp.db"}
        self.processes, self.probes = {}, {}
        for name, (container, keys) in deployments().items():
            home = folder / name
            (home / "secrets").mkdir(parents=True)
            for path, key in keys.items():
                (home / "secrets" / path).write_text(secrets[key])
            port = free_port()
            own = {variable["name"]: variable["value"] for variable in container.get("env", [])}
            settings = {
                setting: value.replace("/secrets/", f"{home}/secrets/").replace("/data", f"{home}/data")
                for setting, value in {**config(), **own}.items()
            }
            (listens,) = container["ports"]
            settings[
                {9100: "METRICS_PORT", 5555: "FLOWER_PORT", 8080: "WEB_PORT"}[listens["containerPort"]]
            ] = str(port)
            kept = {name: system.settings[name] for name in ("VTEX_ACCOUNT", "VTEX_BASE_URL", "LIVE_TEST")}
            system.settings, ours = kept, system.settings
            self.processes[name] = system.start(*map(str, container["args"]), cwd=home, **settings)
            system.settings = ours
            self.probes[name] = {
                kind: f"http://127.0.0.1:{port}{container[f'{kind}Probe']['httpGet']['path']}"
                for kind in ("startup", "liveness", "readiness")
            }


@pytest.fixture
def pods(tmp_path, valkey, fresh_redis):
    with contextlib.ExitStack() as stack:
        system = stack.enter_context(System(tmp_path / "system", orders=30))
        yield system, Pods(system, tmp_path / "pods", valkey)


def test_who_speaks_with_redis_alone_gets_no_other_credential():
    for name, (_, keys) in deployments().items():
        alone = name in {"web", "flower"}
        assert (
            set(keys.values()) & {"vtex-app-key", "vtex-app-token", "erp-url", "redis-url"} == set()
        ) == alone


def test_pods_become_ready_work_and_end(pods, wait_until):
    system, running = pods
    for name, probes in running.probes.items():
        for kind in ("startup", "readiness", "liveness"):
            wait_until(lambda url=probes[kind]: get(url)[0] == 200, f"{name} {kind}")
    system.each_once()
    metrics = running.probes["beat"]["liveness"].replace("/healthz", "/metrics")
    assert get(metrics)[0] == 401
    status, text = get(metrics, user=SECRETS["metrics-basic-auth"])
    assert status == 200
    for metric in (  # what deploy/kubernetes/overlays/production/scaling.yaml scales on
        "vtexorders_open_orders ",
        "vtexorders_open_commands ",
        "vtexorders_oldest_work_seconds ",
        'vtexorders_queue_messages{queue="celery"}',
    ):
        assert f"\n{metric}" in text
    assert get(running.probes["flower"]["liveness"].replace("/healthcheck", "/"))[0] == 401
    for process in running.processes.values():
        process.send_signal(signal.SIGTERM)
    for name, process in running.processes.items():
        assert process.wait(60) in (0, -signal.SIGTERM if name == "flower" else 0), (
            name,
            system.output(process)[-2000:],
        )
        for secret in SECRETS.values():
            assert secret.rpartition(":")[2] not in system.output(process)
