"""Checks everything that is deployed, offline: ``make check-deploy`` runs it with the tools of requirements-deploy.txt.

Dockerfile: hadolint. Compose: its schema. Kubernetes: each overlay is built, every object is held to the strict schema
of its kind, and then to what a careful reviewer asks of it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from workers.monitor.catalog import METRICS  # noqa: E402 - needs nothing that is installed

TOOLS = Path(sys.executable).parent
KUBERNETES = "1.32"
#: Seconds after which a worker that was asked to stop ends by itself (workers.runtime.lease_of, workers.cli.run).
WORKER_ENDS = 45

Object = dict[str, Any]


def main() -> int:
    """Print every problem; 1 if there is one."""
    problems = [*tool("hadolint", str(HERE / "Dockerfile"))]
    problems += tool(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(HERE / "compose.yaml")
    )
    problems += compose(yaml.safe_load((HERE / "compose.yaml").read_text()))
    for overlay in sorted((HERE / "kubernetes" / "overlays").iterdir()):
        built = subprocess.run(
            [TOOLS / "kubectl", "kustomize", overlay], capture_output=True, text=True, check=False
        )
        problems += [f"{overlay.name}: {line}" for line in built.stderr.splitlines()]
        objects = [one for one in yaml.safe_load_all(built.stdout) if one]
        problems += [f"{overlay.name}: {problem}" for problem in kubernetes(objects)]
        print(f"{overlay.name}: {len(objects)} objects")
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    return int(bool(problems))


def tool(name: str, *arguments: str) -> list[str]:
    """What a tool finds fault with."""
    done = subprocess.run([TOOLS / name, *arguments], capture_output=True, text=True, check=False)
    return [f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines()] if done.returncode else []


def compose(document: Object) -> Iterator[str]:
    """Every service: pinned, read-only, without rights, with limits and a way to stop."""
    for name, service in document["services"].items():
        wanted = {
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "restart": "always",
        }
        yield from (
            f"{name}: {key} is not {value}" for key, value in wanted.items() if service.get(key) != value
        )
        yield from (
            f"{name}: no {key}"
            for key in ("mem_limit", "cpus", "pids_limit", "logging")
            if key not in service
        )
        if not pinned(service["image"]):
            yield f"{name}: image {service['image']} is not pinned"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open to other machines"
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if not ((HERE / source).is_file() if source.startswith(".") else source in document["volumes"]):
                yield f"{name}: there is no {source} to mount"
        for secret in service.get("secrets", []):
            if secret not in document["secrets"]:
                yield f"{name}: secret {secret} is not defined"


def pinned(image: str) -> bool:
    """Whether an image names a version."""
    return bool(re.search(r":v?[0-9]+\.[0-9]+", image))


def kubernetes(objects: list[Object]) -> Iterator[str]:
    """Every object by itself, then what they need of each other."""
    for one in objects:
        yield from schema(one)
    workloads = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]
    for workload in workloads:
        yield from pod(workload)
        yield from around(workload, objects)
    yield from references(objects)
    for one in objects:
        if one["kind"] == "Service":
            yield from service(one, workloads)
        if one["kind"] == "ScaledObject":
            yield from scaling(one, objects)


def schema(one: Object) -> Iterator[str]:
    """The strict schema of its kind. KEDA's kinds have one of ours, made from its documentation."""
    name = f"{one['kind']} {one['metadata']['name']}"
    if one["apiVersion"].startswith("keda.sh/"):
        known = json.loads((HERE / "keda.schema.json").read_text())
        for error in jsonschema.Draft202012Validator(known).iter_errors(one):
            yield f"{name}: {error.json_path}: {error.message[:200]}"
        return
    try:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{name}: {'.'.join(map(str, error.path))}: {error.message[:200]}"


def pod(workload: Object) -> Iterator[str]:
    """What a pod may do, how much it may take, how it is looked after."""
    name, spec = workload["metadata"]["name"], workload["spec"]["template"]["spec"]
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{name}: gets a token of the cluster's API"
    if spec.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield f"{name}: may run as root"
    if spec.get("securityContext", {}).get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{name}: no seccomp profile"
    if spec.get("hostNetwork") or spec.get("hostPID") or any("hostPath" in one for one in spec["volumes"]):
        yield f"{name}: reaches into its node"
    if name.startswith("worker-") and spec["terminationGracePeriodSeconds"] <= WORKER_ENDS:
        yield f"{name}: is killed before it may end by itself"
    for container in spec["containers"]:
        yield from (f"{name}: {problem}" for problem in container_problems(container))


def container_problems(container: Object) -> Iterator[str]:
    """The same for one container."""
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or not context.get("readOnlyRootFilesystem"):
        yield "may gain rights, or write to its image"
    if context.get("capabilities") != {"drop": ["ALL"]} or context.get("privileged"):
        yield "keeps capabilities"
    for kind in ("requests", "limits"):
        missing = {"cpu", "memory", "ephemeral-storage"} - set(container.get("resources", {}).get(kind, {}))
        if missing:
            yield f"no {kind} for {', '.join(sorted(missing))}"
    yield from probe_problems(container)
    if not pinned(container["image"]):
        yield f"image {container['image']} is not pinned"
    for variable in container.get("env", []):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"{variable['name']} is a secret in the environment: mount it as a file"


def probe_problems(container: Object) -> Iterator[str]:
    """It is asked how it is, at a port that it has."""
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startup", "liveness", "readiness"):
        asked = container.get(f"{probe}Probe", {})
        if not asked:
            yield f"no {probe}Probe"
        elif (asked.get("httpGet") or asked["tcpSocket"])["port"] not in ports:
            yield f"{probe}Probe asks a port that it does not have"


def around(workload: Object, objects: list[Object]) -> Iterator[str]:
    """What must stand beside a workload: a disruption budget, policies for each port."""
    name = workload["metadata"]["name"]
    labels = workload["spec"]["template"]["metadata"]["labels"]

    def chosen(kind: str, selector: str) -> list[Object]:
        return [one for one in objects if one["kind"] == kind and selects(one["spec"][selector], labels)]

    scaled = any(
        one["kind"] == "ScaledObject" and one["spec"]["scaleTargetRef"]["name"] == name for one in objects
    )
    several = scaled or workload["spec"].get("replicas", 1) > 1
    if several and not chosen("PodDisruptionBudget", "selector"):
        yield f"{name}: several pods and no PodDisruptionBudget"
    if scaled and "replicas" in workload["spec"]:
        yield f"{name}: an apply would set back what KEDA has scaled"
    policies = chosen("NetworkPolicy", "podSelector")
    if not any(
        set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} and not one["spec"].get("ingress")
        for one in policies
    ):
        yield f"{name}: no policy that denies what is not allowed"
    ports = {
        port["containerPort"]
        for container in workload["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            opened = {port["port"] for port in rule.get("ports", [])}
            if not rule.get("from") or not opened:
                yield f"{name}: {policy['metadata']['name']} lets everybody in, or to every port"
            if not opened <= ports:
                yield f"{name}: {policy['metadata']['name']} opens a port that it does not have"


def service(one: Object, workloads: list[Object]) -> Iterator[str]:
    """A service leads to a port of a pod."""
    name = one["metadata"]["name"]
    chosen = [
        workload
        for workload in workloads
        if selects(
            {"matchLabels": one["spec"]["selector"]}, workload["spec"]["template"]["metadata"]["labels"]
        )
    ]
    ports = {
        port["name"]
        for workload in chosen
        for container in workload["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    if not {port["targetPort"] for port in one["spec"]["ports"]} <= ports:
        yield f"Service {name}: leads to no port of a pod"


def scaling(one: Object, objects: list[Object]) -> Iterator[str]:
    """A scaler reads metrics that exist, where they are told, and computes with all of them."""
    name, spec = one["metadata"]["name"], one["spec"]
    services = {
        f"{it['metadata']['name']}.{it['metadata']['namespace']}.svc:{port['port']}"
        for it in objects
        if it["kind"] == "Service"
        for port in it["spec"]["ports"]
    }
    for trigger in spec["triggers"]:
        about = trigger["metadata"]
        series = re.fullmatch(r"([a-z_]+)(?:\{([a-z_]+)=\"[^\"]*\"\})?", about["valueLocation"])
        metric = METRICS.get(series[1]) if series else None
        if not series or not metric or set(filter(None, [series[2]])) != set(metric.labels):
            yield f"ScaledObject {name}: there is no single number {about['valueLocation']}"
        if urlsplit(about["url"]).netloc not in services:
            yield f"ScaledObject {name}: nobody answers at {about['url']}"
    formula = set(re.findall(r"[a-z_]+", spec["advanced"]["scalingModifiers"]["formula"]))
    if formula != {trigger["name"] for trigger in spec["triggers"]}:
        yield f"ScaledObject {name}: the formula and the triggers speak of different things"


def selects(selector: Object, labels: Object) -> bool:
    """Whether a selector chooses those labels."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", [])
        if rule["operator"] == "In"
    )


def references(objects: list[Object]) -> Iterator[str]:
    """Names that lead to nothing."""
    known = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for one in objects:
        for wanted in named(one):
            if wanted not in known:
                yield f"{one['kind']} {one['metadata']['name']}: there is no {' '.join(wanted)}"


def named(one: Object) -> Iterator[tuple[str, str]]:
    """What an object refers to, secrets left out: those are not in a repository."""
    spec = one.get("spec", {})
    if one["kind"] == "ScaledObject":
        yield "Deployment", spec["scaleTargetRef"]["name"]
        yield from (
            ("TriggerAuthentication", trigger["authenticationRef"]["name"]) for trigger in spec["triggers"]
        )
    if one["kind"] in ("Deployment", "StatefulSet"):
        inner = spec["template"]["spec"]
        yield "ServiceAccount", inner["serviceAccountName"]
        for container in inner["containers"]:
            yield from (
                ("ConfigMap", source["configMapRef"]["name"]) for source in container.get("envFrom", [])
            )


if __name__ == "__main__":
    sys.exit(main())
