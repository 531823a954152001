"""The alerts as Prometheus reads them: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/."""

import json
from collections.abc import Iterable

from infra.observability.alerts import Alert


def text(alerts: Iterable[Alert]) -> str:
    """Return a file of rules, in YAML: what JSON has as a string is one in YAML, too."""
    lines = [
        "# Written by `make observability` out of infra/observability/alerts.py; edit that.",
        "groups:",
        "  - name: strongroom",
        "    rules:",
    ]
    for alert in alerts:
        lines += _rule(alert)
    return "\n".join(lines) + "\n"


def table(alerts: Iterable[Alert]) -> str:
    """Return the runbook, as a table in Markdown."""
    lines = ["| alert | severity | what it means | what to do |", "|---|---|---|---|"]
    lines += [f"| `{a.name}` | {a.severity} | {a.means} | {a.action} |" for a in alerts]
    return "\n".join(lines) + "\n"


def _rule(alert: Alert) -> list[str]:
    quoted = json.dumps
    return [
        f"      - alert: {alert.name}",
        f"        expr: {quoted(alert.expression)}",
        f"        for: {alert.minutes}m",
        "        labels:",
        f"          severity: {alert.severity}",
        "        annotations:",
        f"          summary: {quoted(alert.means)}",
        f"          runbook: {quoted(alert.action)}",
    ]
