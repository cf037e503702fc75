"""What docs/erp.md and the README tell an ERP about commands is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers.cli import console

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "erp.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
TITLE = "Sending invoices, tracking, cancellations and changes"
SECTION = PAGE.partition(f"\n## {TITLE}\n")[2].partition("\n## ")[0]
ORDER, BROKER = "1172452900788-01", "redis://:password@127.0.0.1:6379/0"


def block(mark, text=SECTION):
    [found] = re.findall(rf"```{mark}\n(.*?)```", text, re.DOTALL)
    return found


def run(code, folder, **replaced):
    for there, here in replaced.items():
        assert there in code
        code = code.replace(there, here)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def payload(erp):
    """A payload of the page, for this order."""

    def of(system, order, kind):
        body = json.loads(block(f"json {kind}"))
        if kind == "invoice":
            body["invoiceValue"] = str(system.value(order))
        if kind == "change":
            lines = system.run.link.vtex.get_order(order).details().lines
            body["itemsRemoved"][0]["id"], body["itemsAdded"][0]["id"] = lines[0].id, "1009"
        return body

    return of


def test_every_payload_is_carried_as_it_stands(erp, payload, tmp_path, monkeypatch):
    erp, [order] = erp(items=2)
    assert erp.end(erp.ask("change", order, payload(erp, order, "change")))[0] == "done"
    for kind in ("invoice", "tracking"):
        (tmp_path / f"{kind}.json").write_text(json.dumps(payload(erp, order, kind)), encoding="utf-8")
    monkeypatch.setenv("VTEX_BASE_URL", erp.run.vtex.url)
    monkeypatch.chdir(tmp_path)
    for line in block("sh console").splitlines():
        program, *words = shlex.split(line.replace(ORDER, order))
        assert program == "vtexorders"
        done = CliRunner().invoke(console, words)
        assert done.exit_code == 0, done.output
    facts = erp.facts(order)
    assert facts["status"] == "invoiced"
    assert facts["invoices"][0]["tracking"]["trackingNumber"] == "BR123456789"
    assert not erp.never()

    outcome = json.loads(block("json outcome"))
    record = erp.book.record("nf-9999")
    assert outcome["outcome"].keys() == record.outcome.keys()
    assert outcome["outcome"]["says"] == record.outcome["says"]


@pytest.mark.parametrize("where", ["page", "readme"])
def test_a_program_with_the_broker_s_address_alone(erp, tmp_path, where):
    erp, [order] = erp(status="handling" if where == "page" else "payment-approved")
    address = {BROKER: erp.run.process.settings.redis_url}
    if where == "page":
        run(block("python celery"), tmp_path, **address, **{ORDER: order, "9508": str(erp.value(order))})
        assert erp.end("nf-9999")[0] == "done"
        assert erp.facts(order)["invoicedSum"] == erp.value(order)
    else:
        text = README.partition(f"\n## {TITLE}\n")[2].partition("\n## ")[0]
        run(block("python", text), tmp_path, **address, **{"1001000000002-01": order})
        assert erp.end("cancel-2")[0] == "done"


def test_python_beside_the_workers(erp, capsys):
    erp, [order] = erp(status="payment-approved")
    exec(compile(block("python intake").replace(ORDER, order), "docs/erp.md", "exec"), {})
    assert capsys.readouterr().out == f"cancel-{order} open\n"
    assert erp.end(f"cancel-{order}")[0] == "done"


def test_the_page_names_refusals_in_the_program_s_own_words():
    code = " ".join(
        (ROOT / path).read_text(encoding="utf-8")
        for path in ("tasks/commands.py", "tasks/decisions.py", "tasks/command.py", "workers/intake.py")
    )
    words = re.sub(r'"\s*f?"', "", re.sub(r"\{[^}]*\}", "…", code))
    rows = re.findall(
        r"^\| ([^|]+) \|[^|]+\|[^|]+\|$", SECTION.partition("### What a refusal means")[2], re.MULTILINE
    )
    assert len(rows) > 15
    for row in rows[2:]:
        if row.startswith(("a field's name", "VTEX answered 400")):
            continue
        for part in (part.strip(" ,:") for part in re.split(r"…|\d+ h|has 2", row)):
            assert part in words, part


def test_the_readme_leads_to_the_page():
    [anchor] = re.findall(r"\(docs/erp\.md#([a-z-]+)\)", README)
    assert anchor == TITLE.lower().replace(",", "").replace(" ", "-")
    assert f"\n## {TITLE}\n" in PAGE
