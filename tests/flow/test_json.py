"""``--json``: whatever a command does and however it ends, standard output is one JSON document and nothing else."""

from __future__ import annotations

import json

import click
from click.testing import CliRunner

from workers.cli import console

INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-11-25",
    "invoiceNumber": "1",
    "invoiceValue": 10000,
    "items": [{"id": "1234", "price": 10000, "quantity": 1}],
}
#: Arguments of each command that answers, and its exit code (None: one or the other).
#: ORDER and FILE stand for real ones.
CALLS = {
    "status": 0,
    "order ORDER": 0,
    "order no-such-order": 1,
    "invoice ORDER FILE --key i-1": 0,
    "tracking ORDER FILE": 1,
    "cancel ORDER --reason x --key c-1": 0,
    "change ORDER FILE": 1,
    "command i-1": 0,
    "check": 0,
    "feed show": 0,
    "feed oddities": 0,
    "feed configure": 0,
    "hook configure https://127.0.0.1:9": 1,
    "hook show": 0,
    "hook delete --yes": 1,
    "dead": 0,
    "replay ORDER": 1,
    "redeliver ORDER --dry-run": 0,
    "reconcile --dry-run": 0,
    "pause": 0,
    "resume": 0,
    "health": 1,
    "forget ORDER --yes": None,  # refused as long as a command of it is in progress
    "feed delete --yes": 0,
}


def test_each_answer_is_one_document(flow, tmp_path, monkeypatch):
    run = flow(orders=1)
    run.settled()
    [(order, _)] = run.rows()
    file = tmp_path / "invoice.json"
    file.write_text(json.dumps(INVOICE))
    monkeypatch.setenv("VTEX_BASE_URL", run.process.settings.account().base_url)
    monkeypatch.setenv("ERP_URL", run.process.settings.erp_url)
    monkeypatch.setenv("HOOK_SECRET", "a-secret-of-the-hook-0123456789")
    for words, code in CALLS.items():
        arguments = words.replace("ORDER", order).replace("FILE", str(file)).split()
        done = CliRunner().invoke(console, [*arguments, "--json"])
        assert done.exit_code in ((0, 1) if code is None else (code,)), (words, done.output, done.exception)
        if done.exit_code == 0 or done.stdout:
            json.loads(done.stdout)


def test_no_command_with_json_is_left_out():
    called = {tuple(words.split()[: 1 + (words.split()[0] in ("feed", "hook"))]) for words in CALLS}
    for name, command in console.commands.items():
        inner = command.commands.items() if isinstance(command, click.Group) else [(None, command)]
        for second, one in inner:
            if any("--json" in param.opts and param.is_flag for param in one.params) and name != "demo":
                assert ((name, second) if second else (name,)) in called
