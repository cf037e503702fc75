"""The OpenAPI document is valid, and schemathesis finds the API to be as the document says."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import validate

from workers.settings import Secret
from workers.web.app import OPERATIONS
from workers.web.openapi import document

from .web import ALL, front_door

SETTINGS = Path(__file__).parent / "schemathesis.toml"


def test_the_document_is_valid_and_describes_every_route(flow):
    described = document(OPERATIONS)
    validate(described)
    found = {(method.upper(), path) for path, one in described["paths"].items() for method in one}
    assert found == {(one.method, one.path) for one in OPERATIONS}


def test_schemathesis_finds_nothing(flow, tmp_path):
    run = flow()
    run.vtex.create(3, status="handling")
    settings = dataclasses.replace(
        run.process.settings, web_tokens=Secret(ALL), web_requests_per_minute=1_000_000
    )
    with front_door(settings) as door:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={SETTINGS}",
                "run",
                f"{door.url}/openapi.json",
                f"--header=Authorization: Bearer {ALL}",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(OPERATIONS)}" in done.stdout
