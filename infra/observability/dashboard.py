"""A dashboard of Grafana: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/."""

import json
from dataclasses import dataclass
from typing import Any, Final

from infra.observability.queries import calls, quantile, rate, share
from strongroom.metrics import catalogue as m

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 24
_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """A figure.

    Attributes:
        title: What it shows.
        queries: Its lines: PromQL, by what Grafana calls them.
        unit: Of its values, as Grafana names units.
        width: Of 24 columns.
        kind: A curve, or the last value in large.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    width: int = 8
    kind: str = "timeseries"


def _quantiles(histogram: m.Metric, matchers: str = "") -> dict[str, str]:
    return {f"p{q * 100:g}": quantile(q, histogram, matchers) for q in (0.5, 0.95, 0.99)}


def _stat(title: str, query: str, unit: str = "short") -> Panel:
    return Panel(title, {title: query}, unit, width=4, kind="stat")


_READS: Final = 'operation=~"get|get-many"'
ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "At a glance": (
        _stat("Workers", f"max({m.WORKERS_LIVE.name})"),
        _stat("REST requests a second", calls(m.HTTP_SECONDS), "reqps"),
        _stat("gRPC calls a second", calls(m.GRPC_SECONDS), "reqps"),
        _stat("REST, failed", share(m.HTTP_SECONDS, 'status="5xx"'), "percentunit"),
        _stat(
            "Reads out of the cache",
            f"{rate(m.CACHE_HITS)} / ({rate(m.CACHE_HITS)} + {rate(m.CACHE_MISSES)})",
            "percentunit",
        ),
        _stat("Files that do not verify, ever", f"sum({m.INTEGRITY_ERRORS.name})"),
        _stat("Shortest lease", f"min({m.LEASE_LEFT.name})", "s"),
        _stat("Age of the data key", f"max({m.ACTIVE_KEY_AGE.name})", "s"),
        _stat("Key provider", f"min({m.KEY_PROVIDER_UP.name})"),
        _stat("Audit log", f"min({m.AUDIT_UP.name})"),
        _stat("Next certificate ends in", f"min({m.CERTIFICATE_END.name}) - time()", "s"),
        _stat("Releases", f"count (count by (version) ({m.BUILD_INFO.name}))"),
    ),
    "REST": (
        Panel("Requests, by status", {"{{status}}": calls(m.HTTP_SECONDS, by="status")}, "reqps"),
        Panel("Time of a request", _quantiles(m.HTTP_SECONDS), "s"),
        Panel(
            "Slowest routes, p95",
            {
                "{{method}} {{route}}": "topk(8, "
                + quantile(0.95, m.HTTP_SECONDS, by="method, route")
                + ")"
            },
            "s",
        ),
    ),
    "gRPC": (
        Panel("Calls, by code", {"{{code}}": calls(m.GRPC_SECONDS, by="code")}, "reqps"),
        Panel(
            "Time of a call, p95, by method",
            {"{{method}}": "topk(8, " + quantile(0.95, m.GRPC_SECONDS, by="method") + ")"},
            "s",
        ),
        Panel("Wait for the event loop", {"{{instance}}": m.LOOP_WAIT.name}, "s"),
    ),
    "Workers": (
        Panel(
            "Operations",
            {"{{operation}}": calls(m.OPERATION_SECONDS, by="operation")},
            "reqps",
        ),
        Panel(
            "Operations that were refused or failed",
            {
                "{{operation}} {{outcome}}": calls(
                    m.OPERATION_SECONDS, 'outcome!="ok"', by="operation, outcome"
                )
            },
            "reqps",
        ),
        Panel("Time of a read", _quantiles(m.OPERATION_SECONDS, _READS), "s"),
        Panel(
            "Time of everything else",
            _quantiles(m.OPERATION_SECONDS, 'operation!~"get|get-many"'),
            "s",
        ),
        Panel("Requests at a time", {"{{instance}}": m.IN_FLIGHT.name}),
        Panel("Requests that wait for a thread", {"{{instance}}": m.WAITING.name}),
    ),
    "Cache": (
        Panel(
            "Reads",
            {
                "hits": rate(m.CACHE_HITS),
                "of them without asking the disk": rate(m.CACHE_UNASKED),
                "misses": rate(m.CACHE_MISSES),
                "joined": rate(m.CACHE_JOINED),
                "stale": rate(m.CACHE_STALE),
            },
            "reqps",
        ),
        Panel(
            "What leaves it",
            {
                "no room": rate(m.CACHE_EVICTIONS),
                "too old": rate(m.CACHE_EXPIRATIONS),
                "another worker's commit": rate(m.CACHE_INVALIDATED),
            },
            "ops",
        ),
        Panel(
            "How full it is",
            {"{{instance}}": f"{m.CACHE_BYTES.name} / {m.CACHE_BYTES_MAX.name}"},
            "percentunit",
        ),
        Panel("Entities", {"{{instance}}": m.CACHE_ENTRIES.name}),
        Panel("Commits that others have not heard of", {"{{instance}}": m.COMMITS_UNTOLD.name}),
    ),
    "Disk and locks": (
        Panel("Time of an fsync", _quantiles(m.FSYNC_SECONDS), "s"),
        Panel("Bytes", {"read": rate(m.READ_BYTES), "written": rate(m.WRITTEN_BYTES)}, "Bps"),
        Panel("Wait for an entity's lock", _quantiles(m.LOCK_WAIT_SECONDS), "s"),
        Panel(
            "Locks",
            {"{{outcome}}": calls(m.LOCK_WAIT_SECONDS, by="outcome")},
            "ops",
        ),
        Panel(
            "Failures",
            {
                "does not verify": rate(m.INTEGRITY_ERRORS),
                "does not decrypt": rate(m.DECRYPT_FAILURES),
                "cannot be encrypted": rate(m.ENCRYPT_FAILURES),
                "fsync": rate(m.FSYNC_FAILURES),
            },
            "ops",
        ),
    ),
    "Keys and leases": (
        Panel("Time left of a lease", {"{{instance}}": m.LEASE_LEFT.name}, "s"),
        Panel("Since the last renewal", {"{{instance}}": m.LEASE_AGE.name}, "s"),
        Panel(
            "Failures",
            {
                "subscriptions": rate(m.SUBSCRIPTION_FAILURES),
                "renewals": rate(m.RENEWAL_FAILURES),
                "key provider": rate(m.KEY_PROVIDER_FAILURES),
            },
            "ops",
        ),
        Panel(
            "Rotations, and generation of the keyring",
            {
                "rotations": f"max({m.KEY_ROTATIONS.name})",
                "generation": f"max({m.KEYRING_GENERATION.name})",
            },
        ),
        Panel(
            "Certificates end in",
            {"{{role}} {{holder}}": f"min by (role, holder) ({m.CERTIFICATE_END.name}) - time()"},
            "s",
        ),
        Panel(
            "Rewrap",
            {
                "{{state}}": f"max by (state) ({m.JOB_FILES.name})",
                "a second, {{outcome}}": rate(m.REWRAPPED_FILES, by="outcome"),
                "jobs ended, {{state}}": f"sum by (state) ({m.JOBS_ENDED.name})",
            },
        ),
    ),
    "From Main Workers to workers": (
        Panel("Calls", {"{{outcome}}": rate(m.DISPATCH_ATTEMPTS, by="outcome")}, "reqps"),
        Panel("Second attempts", {"{{outcome}}": rate(m.DISPATCH_RETRIES, by="outcome")}, "reqps"),
        Panel(
            "Workers left alone",
            {"now": f"max({m.CIRCUITS_OPEN.name})", "begun a second": rate(m.CIRCUIT_OPENINGS)},
        ),
    ),
    "Callers": (
        Panel(
            "Refused",
            {
                "over a limit": rate(m.RATE_LIMITED),
                "not authenticated": rate(m.FAILED_AUTHENTICATIONS),
            },
            "reqps",
        ),
        Panel(
            "Audit log",
            {"written": rate(m.AUDIT_RECORDS), "lost": rate(m.AUDIT_LOST)},
            "ops",
        ),
        Panel(
            "Foreign issuers",
            {
                "{{issuer}}: age of its keys": m.ISSUER_KEYS_AGE.name,
                "{{issuer}}: up": m.ISSUER_KEYS_UP.name,
                "{{issuer}}: failures": m.ISSUER_KEYS_FAILURES.name,
            },
        ),
    ),
    "Processes": (
        Panel(
            "Processor", {"{{job}} {{instance}}": f"rate({m.PROCESS_CPU.name}[5m])"}, "percentunit"
        ),
        Panel("Memory", {"{{job}} {{instance}}": m.PROCESS_MEMORY.name}, "bytes"),
        Panel("Addresses", {"{{job}} {{instance}}": m.PROCESS_ADDRESSES.name}, "bytes"),
        Panel(
            "Descriptors",
            {"{{job}} {{instance}}": f"{m.PROCESS_FILES.name} / {m.PROCESS_FILES_MAX.name}"},
            "percentunit",
        ),
        Panel("Up since", {"{{job}} {{instance}}": f"time() - {m.PROCESS_START.name}"}, "s"),
    ),
}


def text() -> str:
    """Return the dashboard, in JSON, to be imported."""
    return json.dumps(_dashboard(), indent=1) + "\n"


def _dashboard() -> dict[str, Any]:
    return {
        "uid": "strongroom",
        "title": "Strongroom",
        "description": "Written by `make observability` out of infra/observability/dashboard.py.",
        "tags": ["strongroom"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                }
            ]
        },
        "panels": _panels(),
    }


def _panels() -> list[dict[str, Any]]:
    """Lay the panels out, from left to right and from top to bottom."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS.items():
        found.append(_row(len(found) + 1, title, y))
        y, x, height = y + 1, 0, 0
        for panel in panels:
            if x + panel.width > _WIDTH:
                x, y = 0, y + height
            height = _STAT_HEIGHT if panel.kind == "stat" else _HEIGHT
            at = {"x": x, "y": y, "w": panel.width, "h": height}
            found.append(_panel(len(found) + 1, panel, at))
            x += panel.width
        y += height
    return found


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": _WIDTH, "h": 1},
        "panels": [],
    }


def _panel(number: int, panel: Panel, at: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": query, "legendFormat": name}
        for n, (name, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}}
        if panel.kind == "stat"
        else {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": targets,
    }
