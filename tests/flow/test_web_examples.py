"""The examples for ERPs in other languages, run where their tool is on this machine; and the pages' curl."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from workers.settings import Secret

from .web import ALL, front_door

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "deploy" / "examples"


@pytest.fixture
def door(erp):
    """``door()``: the front door, an ERP and its order."""
    with contextlib.ExitStack() as stack:

        def begin():
            system, [order] = erp()
            settings = dataclasses.replace(system.run.process.settings, web_tokens=Secret(ALL))
            return stack.enter_context(front_door(settings)), system, order

        yield begin


def run(erp, argv, folder, **environment):
    """What the program says; beat ticks meanwhile."""
    with subprocess.Popen(
        [str(part) for part in argv],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            erp.until(lambda: process.poll() is not None, "the program's end")
        finally:
            process.kill()
        said, complained = process.communicate()
    assert process.returncode == 0, said + complained
    return said


@pytest.mark.parametrize(
    ("tool", "program", "file"),
    [
        ("curl", "sh", "erp.sh"),
        ("node", "node", "erp.mjs"),
        ("java", "java", "Erp.java"),
        ("php", "php", "erp.php"),
    ],
)
def test_an_example_sends_an_invoice_and_its_tracking(door, tool, program, file, tmp_path):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not on this machine")
    door, erp, order = door()
    said = run(
        erp,
        [program, EXAMPLES / file, order, "9999", erp.value(order)],
        tmp_path,
        FRONT_DOOR=door.url,
        TOKEN=ALL,
    )
    assert said == "nf-9999: done\nnf-9999-sent: done\n"
    [invoice] = erp.facts(order)["invoices"]
    assert invoice["tracking"]["events"][0]["city"] == "Niterói"
    assert not erp.never()


@pytest.mark.parametrize("page", ["README.md", "docs/erp.md"])
def test_the_curl_of_a_page(door, page, tmp_path):
    door, erp, order = door()
    [code] = re.findall(r"```sh curl\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    [order_there] = set(re.findall(r"\d{13}-01", code))
    code = code.replace("http://localhost:8080", door.url).replace(order_there, order)
    (tmp_path / ".env").write_text(f"VTEX_ACCOUNT=teststore\nWEB_TOKENS={ALL}\n")
    code = code.replace("9508", str(erp.value(order)))
    said = run(
        erp, ["sh", "-ec", code.replace("curl ", "curl --silent --fail-with-body ")], tmp_path, TOKEN=ALL
    )
    [key] = set(re.findall(r"Idempotency-Key: ([^\"']+)", code))
    assert f'"id": "{key}"' in said
    assert erp.end(key)[0] == "done"
