"""The reference of the metrics, made from their catalogue."""

from typing import Final

from strongroom.metrics.catalogue import METRICS

_ABOUT: Final = (
    "How they are read, what the alerts are, and where the dashboard is:"
    " [observability](../observability.md)."
)


def page() -> str:
    """Return the page."""
    lines = ["# Metrics", "", _ABOUT, ""]
    lines += ["| metric | kind | labels | exported by | |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        told = (f"`{metric.name}`", metric.kind, labels, ", ".join(metric.processes), metric.about)
        lines.append(f"| {' | '.join(told)} |")
    lines += ["", "## Buckets", ""]
    for metric in METRICS:
        if metric.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
            lines.append(f"- `{metric.name}`: {bounds}")
    return "\n".join(lines) + "\n"
