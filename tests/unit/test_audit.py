"""The list of images is what is pulled, and ``make audit`` never takes silence for good news."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
LISTED = tomllib.loads((DEPLOY / "images.toml").read_text(encoding="utf-8"))["image"]


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", DEPLOY / "audit.py")
    module = sys.modules["audit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["audit"]


def test_the_list_is_what_is_pulled():
    pulled = set(re.findall(r"(?m)^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    for file in (DEPLOY / "compose.yaml", *(DEPLOY / "kubernetes").rglob("*.yaml")):
        pulled |= set(re.findall(r"(?m)^\s*(?:- )?image:\s*(\S+)", file.read_text(encoding="utf-8")))
    ours = {image for image in pulled if re.fullmatch(r"vtexorders(:.*)?", image)}
    assert ours < pulled
    assert pulled - ours == {f"{one['name']}:{one['tag']}" for one in LISTED}


def test_no_listed_version_has_a_weakness_that_is_known_here(audit):
    assert audit.images(LISTED, lambda _name, _version: []).weak == []


def silent(_name, _version):
    raise TimeoutError("nobody answers")


def test_images_that_are_old_or_weak_are_found(audit):
    old = [{"name": "valkey/valkey", "tag": "8.1.4-alpine", "least": "8.1.9", "osv": "valkey"}]
    report = audit.images(old, silent)
    assert report.audited == 0
    assert report.weak == ["valkey/valkey 8.1.4: older than 8.1.9, which mended weaknesses"]
    assert audit.verdict([report]) == 1
    asked = []
    report = audit.images(LISTED, lambda *asked_for: asked.append(asked_for) or ["BIT-1"])
    assert ("prometheus", "3.5.0") in asked
    assert len(report.weak) == report.audited == len(LISTED)
    assert audit.verdict([report]) == 1
    assert audit.numbers("17.10") > audit.numbers("17.6")


def test_silence_is_no_audit(audit, capsys):
    nobody = audit.images(LISTED, silent)
    assert audit.verdict([audit.Report("packages"), nobody]) == 2
    assert "NOTHING WAS AUDITED" in capsys.readouterr().out
    assert audit.verdict([audit.Report("packages", of=3, audited=1), nobody]) == 0
    assert audit.verdict([audit.Report("packages"), audit.images(LISTED, lambda *_: [])]) == 0


@pytest.mark.parametrize(
    ("says", "code", "audited"),
    [
        ("", 3, 0),
        ('{"dependencies": [{"name": "a", "skip_reason": "x"}]}', 0, 0),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, 1),
    ],
)
def test_what_pip_audit_answers(audit, monkeypatch, says, code, audited):
    done = subprocess.CompletedProcess([], code, says, "no route to host\n")
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.packages("requirements.txt").audited == audited


def test_a_weak_package_is_exit_1(audit, monkeypatch):
    says = (
        '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}'
    )
    monkeypatch.setattr(
        audit.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, says, "")
    )
    report = audit.packages("requirements.txt")
    assert report.weak == ["a 1: CVE-1, fixed in 2"]
    assert audit.verdict([report]) == 1
