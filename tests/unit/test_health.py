"""``vtexorders health``: what an orchestrator asks."""

import json
import os
import socket
from dataclasses import asdict

import pytest
from click.testing import CliRunner

from workers.cli import console
from workers.heartbeat import Health

ALIVE = Health("orders@host", "worker", os.getpid(), live=True, ready=True, why="")


@pytest.fixture
def ask(tmp_path, monkeypatch):
    for name, value in {"VTEX_ACCOUNT": "s", "VTEX_APP_KEY": "k", "VTEX_APP_TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ERP_URL", "sqlite:///erp.db")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "health").mkdir()

    def call(*said, ready=False):
        for number, health in enumerate(said):
            file = tmp_path / "health" / f"{socket.gethostname()}-{number}.json"
            file.write_text(json.dumps(asdict(health)))
        answer = CliRunner().invoke(console, ["health", "--json", *(["--ready"] if ready else [])])
        return answer.exit_code, [one["name"] for one in json.loads(answer.output)["processes"]]

    return call


def test_nobody_there_is_not_healthy(ask):
    assert ask() == (1, [])


def test_all_must_live(ask):
    hangs = Health("beat", "beat", os.getpid(), live=False, ready=False, why="it hangs")
    assert ask(ALIVE) == (0, ["orders@host"])
    assert ask(ALIVE, hangs) == (1, ["orders@host", "beat"])


def test_who_waits_for_redis_lives_and_is_not_ready(ask):
    waits = Health("orders@host", "worker", os.getpid(), live=True, ready=False, why="Redis does not answer")
    assert ask(waits)[0] == 0
    assert ask(waits, ready=True)[0] == 1
