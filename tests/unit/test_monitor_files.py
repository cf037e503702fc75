"""The files for Prometheus and Grafana, the runbook, and the tables in the program say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from workers.cli import console
from workers.monitor import render
from workers.monitor.catalog import COUNTED, METRICS
from workers.monitor.rules import RULES

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text())
RUNBOOK = (DEPLOY / "runbook.md").read_text()
PANELS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}


def test_the_files_are_what_the_program_says():
    folder = DEPLOY / "monitoring"
    written = (folder / "alerts.yaml").read_text(), (folder / "dashboard.json").read_text()
    assert written == (render.alerts(), render.dashboard()), (
        "python -m workers.monitor.render deploy/monitoring"
    )


def test_each_condition_has_one_alert_and_one_section_of_the_runbook():
    (group,) = ALERTS["groups"]
    assert [alert["alert"] for alert in group["rules"]] == [render.title(rule) for rule in RULES]
    sections = re.findall(r"^### ([a-z_]+)$", RUNBOOK, re.MULTILINE)
    assert sections == [rule.name for rule in RULES]
    for alert, rule in zip(group["rules"], RULES, strict=True):
        assert alert["labels"]["severity"] == rule.severity
        assert alert["annotations"]["runbook"] == f"deploy/runbook.md#{rule.name}"
        assert "{why}" not in alert["annotations"]["summary"]


def test_each_section_says_what_it_is_how_to_see_it_and_what_to_do():
    for name, text in re.findall(
        r"^### ([a-z_]+)\n(.*?)(?=^##)", RUNBOOK + "\n## ", re.MULTILINE | re.DOTALL
    ):
        for part in ("**What it means.**", "**See it.**", "**Do.**"):
            assert text.count(part) == 1, (name, part)
        assert "`vtexorders " in text, name


def test_the_runbook_calls_no_command_that_does_not_exist():
    called = re.findall(r"vtexorders ([a-z]+)", RUNBOOK)
    assert called
    assert set(called) <= set(console.commands)


@pytest.mark.parametrize(
    "expression",
    [alert["expr"] for alert in ALERTS["groups"][0]["rules"]] + list(PANELS.values()),
)
def test_every_expression_is_promql_and_reads_what_is_exported(expression):
    promql_parser.parse(expression.replace("$account", "shop"))
    used = render.names_in(expression)
    assert used
    assert used <= set(METRICS)
    for name in re.findall(r"(vtexorders_[a-z_]+)\{([^}]*)\}", expression):
        metric = METRICS[next(iter(render.names_in(name[0])))]
        assert set(re.findall(r"(\w+)=", name[1])) <= set(metric.labels)


def test_the_dashboard_shows_all_that_is_counted():
    shown = set().union(*(render.names_in(expression) for expression in PANELS.values()))
    assert set(COUNTED) <= shown


def test_limits_of_the_rules_stand_in_the_expressions():
    for alert, rule in zip(ALERTS["groups"][0]["rules"], RULES, strict=True):
        assert f"{rule.begins:g}" in alert["expr"]
        assert alert.get("for") == (f"{rule.hold:.0f}s" if rule.hold else None)
        assert alert.get("keep_firing_for") == (f"{rule.linger:.0f}s" if rule.linger else None)
