"""Prometheus' alert rules and Grafana's dashboard, made from our own tables, so that they cannot differ from them.

``python -m workers.monitor.render deploy/monitoring`` writes both files.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from workers.monitor.catalog import METRICS
from workers.monitor.rules import RULES, Rule

RUNBOOK = "deploy/runbook.md"


def expression(rule: Rule) -> str:
    """The rule in PromQL. Several beats tell the same numbers: they are not added up, the worst counts."""
    where = ",".join(f'{label}="{value}"' for label, value in rule.where.items())
    series = f"{rule.metric}{{{where}}}" if where else rule.metric
    if rule.over:
        series = f"increase({series}[{rule.over / 60:.0f}m])"
    by = " by (account)" if rule.of_a_store else ""
    worst = f"{'max' if rule.beyond == 'above' else 'min'}{by} ({series})"
    sign = ">" if rule.beyond == "above" else "<"
    text = f"{worst} {sign} {rule.begins:g}"
    if rule.ends is not None:
        firing = f'ALERTS{{alertname="{title(rule)}",alertstate="firing"}}'
        on = "account" if rule.of_a_store else ""
        text += f" or ({worst} {sign} {rule.ends:g} and on ({on}) {firing})"
    return f"{text} or absent({rule.metric})" if rule.absent else text


def title(rule: Rule) -> str:
    """``redis_full`` → ``VtexordersRedisFull``."""
    return "Vtexorders" + "".join(word.capitalize() for word in rule.name.split("_"))


def alerts() -> str:
    """alerts.yaml. JSON strings are YAML strings."""
    lines = [
        "# Made by: python -m workers.monitor.render deploy/monitoring",
        "groups:",
        "  - name: vtexorders",
        "    rules:",
    ]
    for rule in RULES:
        lines += [
            f"      - alert: {title(rule)}",
            f"        expr: {json.dumps(expression(rule))}",
            *([f"        for: {rule.hold:.0f}s"] if rule.hold else []),
            *([f"        keep_firing_for: {rule.linger:.0f}s"] if rule.linger else []),
            f"        labels: {{severity: {rule.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(_summary(rule))}",
            f"          description: {json.dumps(rule.do)}",
            f"          runbook: {RUNBOOK}#{rule.name}",
        ]
    return "\n".join(lines) + "\n"


def _summary(rule: Rule) -> str:
    if rule.logged:
        return f"{rule.name.replace('_', ' ')} (vtexorders status says more)"
    words = {
        "value": "{{ $value }}",
        "percent": "{{ $value | humanizePercentage }}",
        "hours": "{{ $value }} s",
    }
    text = rule.says.replace("{percent} %", "{percent}").replace("{hours} h", "{hours}")
    return re.sub(r":? ?\{why\}", "", text).format(**words)


def _share(histogram: str, by: str, share: float = 0.95) -> str:
    rate = f'rate({histogram}_bucket{{account="$account"}}[5m])'
    return f"histogram_quantile({share}, max by ({by}) ({rate}))"


#: A panel of the dashboard: title, unit, and (legend, expression) each.
_PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Alarms", "short", (("{{account}} {{alarm}}", "max by (account, alarm) (vtexorders_alarm) > 0"),)),
    (
        "Orders by state",
        "short",
        (("{{state}}", 'max by (state) (vtexorders_orders{account="$account",state=~"open|parked|dead"})'),),
    ),
    (
        "Orders into handling, a second",
        "ops",
        (("orders", 'max(rate(vtexorders_order_handling_seconds_count{account="$account"}[5m]))'),),
    ),
    (
        "From event to handled",
        "s",
        tuple(
            (
                f"{share:.0%}",
                _share("vtexorders_order_handling_seconds", "le", share),
            )
            for share in (0.5, 0.95)
        ),
    ),
    (
        "Oldest",
        "s",
        (
            ("event in the feed", 'max(vtexorders_feed_oldest_event_seconds{account="$account"})'),
            ("order here", 'max(vtexorders_oldest_order_seconds{account="$account"})'),
        ),
    ),
    (
        "What waits",
        "short",
        (
            ("feed", 'max(vtexorders_feed_backlog_events{account="$account"})'),
            ("queue {{queue}}", "max by (queue) (vtexorders_queue_messages)"),
            ("in flight", "max(vtexorders_in_flight_messages)"),
            ("uncommitted", 'max(vtexorders_uncommitted_events{account="$account"})'),
        ),
    ),
    (
        "Unfinished orders by step",
        "short",
        (("{{state}} {{step}}", 'max by (state, step) (vtexorders_unfinished_orders{account="$account"})'),),
    ),
    (
        "Steps by outcome, a second",
        "ops",
        (
            (
                "{{step}} {{outcome}}",
                'max by (step, outcome) (rate(vtexorders_order_steps_total{account="$account"}[5m]))',
            ),
        ),
    ),
    (
        "Calls to VTEX by status, a second",
        "ops",
        (
            (
                "{{endpoint}} {{status}}",
                'max by (endpoint, status) (rate(vtexorders_vtex_requests_total{account="$account"}[5m]))',
            ),
        ),
    ),
    (
        "VTEX's answers, 95 %",
        "s",
        (
            (
                "{{endpoint}}",
                _share("vtexorders_vtex_request_seconds", "endpoint, le"),
            ),
        ),
    ),
    (
        "The ERP's answers, 95 %",
        "s",
        (
            (
                "{{outcome}}",
                _share("vtexorders_erp_delivery_seconds", "outcome, le"),
            ),
        ),
    ),
    (
        "Waits for the pace, 95 %; pause after a 429",
        "s",
        (
            (
                "pace",
                _share("vtexorders_limiter_wait_seconds", "le"),
            ),
            ("pause", 'max(vtexorders_cool_down_seconds{account="$account"})'),
        ),
    ),
    (
        "Commands of the ERP",
        "ops",
        (
            (
                "{{command}} {{outcome}}",
                'max by (command, outcome) (rate(vtexorders_command_steps_total{account="$account"}[5m]))',
            ),
        ),
    ),
    (
        "Trouble, a second",
        "ops",
        tuple(
            (
                name.removeprefix("vtexorders_").removesuffix("_total"),
                f'max(rate({name}{{account="$account"}}[5m]))',
            )
            for name in (
                "vtexorders_retries_total",
                "vtexorders_healed_total",
                "vtexorders_crashes_total",
                "vtexorders_stalls_total",
                "vtexorders_feed_duplicates_total",
            )
        ),
    ),
    (
        "Workers",
        "short",
        (
            ("all", "max(vtexorders_workers)"),
            ("{{queue}}", "max by (queue) (vtexorders_queue_workers)"),
            ("lost", "max(vtexorders_workers_lost)"),
        ),
    ),
    (
        "Redis' memory",
        "bytes",
        (
            ("used", "max(vtexorders_redis_memory_bytes)"),
            ("limit", "max(vtexorders_redis_memory_limit_bytes)"),
        ),
    ),
)


def dashboard() -> str:
    """dashboard.json, for Grafana's import."""
    panels: list[dict[str, Any]] = []
    for number, (name, unit, targets) in enumerate(_PANELS):
        panels.append(
            {
                "id": number + 1,
                "title": name,
                "type": "timeseries",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "gridPos": {"h": 8, "w": 8, "x": 8 * (number % 3), "y": 8 * (number // 3)},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend}
                    for place, (legend, expr) in enumerate(targets)
                ],
            }
        )
    document = {
        "title": "VTEX orders",
        "uid": "vtexorders",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "account",
                    "type": "query",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": "label_values(vtexorders_orders, account)",
                    "refresh": 2,
                },
            ]
        },
        "panels": panels,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def names_in(expression: str) -> set[str]:
    """Our metrics that an expression reads, a histogram's series by its own name."""
    found = set(re.findall(r"\bvtexorders_[a-z_]+", expression))
    return {
        name
        if name in METRICS
        else next(
            (base for end in ("_bucket", "_count", "_sum") if (base := name.removesuffix(end)) in METRICS),
            name,
        )
        for name in found
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alerts.yaml").write_text(alerts(), encoding="utf-8")
    (folder / "dashboard.json").write_text(dashboard(), encoding="utf-8")
