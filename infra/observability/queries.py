"""PromQL of the catalogue's metrics: a name that is not in there cannot be written."""

from strongroom.metrics.catalogue import Metric

WINDOW = "5m"


def rate(metric: Metric, matchers: str = "", window: str = WINDOW, by: str = "") -> str:
    """Return the sum of a counter's rates, over all processes, by some labels."""
    return f"sum{_by(by)} (rate({metric.name}{_where(matchers)}[{window}]))"


def calls(histogram: Metric, matchers: str = "", window: str = WINDOW, by: str = "") -> str:
    """Return how many observations a histogram had a second."""
    return f"sum{_by(by)} (rate({histogram.name}_count{_where(matchers)}[{window}]))"


def share(histogram: Metric, matchers: str, window: str = WINDOW) -> str:
    """Return which part of a histogram's observations has some labels."""
    return f"{calls(histogram, matchers, window)} / {calls(histogram, window=window)}"


def quantile(
    quantile: float, histogram: Metric, matchers: str = "", window: str = WINDOW, by: str = ""
) -> str:
    """Return a quantile of what a histogram has seen."""
    labels = f"le, {by}" if by else "le"
    buckets = f"rate({histogram.name}_bucket{_where(matchers)}[{window}])"
    return f"histogram_quantile({quantile:g}, sum by ({labels}) ({buckets}))"


def more(counter: Metric, window: str, matchers: str = "") -> str:
    """Return by how much a counter has grown, over all processes."""
    return f"sum (increase({counter.name}{_where(matchers)}[{window}]))"


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
