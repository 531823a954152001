"""How long requests over HTTP take, by route, method and what became of them."""

from collections.abc import Container
from typing import Final

from strongroom.metrics import catalogue
from strongroom.metrics.instruments import OTHER, Metrics

UNMATCHED: Final = "unmatched"
"""The route of what matches none: a path is anybody's text, and stays out of the labels."""
UNREAD: Final = "unread"
"""The route of what was refused before it was read that far."""
_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
_TOO_MANY: Final = 429


class RequestTimes:
    """Takes note of each answer. Safe under threads."""

    def __init__(self, metrics: Metrics, routes: Container[str]) -> None:
        """Take where to count, and the routes that there are."""
        self._routes = routes
        self._times = metrics.histograms(catalogue.HTTP_SECONDS)
        self._limited = metrics.counter(catalogue.RATE_LIMITED)

    def took(self, resource: str, method: str, status: int, seconds: float) -> None:
        """Take note of a request that has been answered, by what API Gateway calls its resource."""
        route = resource if resource in self._routes else UNMATCHED
        self._observe(route, method, status, seconds)

    def refused(self, status: int) -> None:
        """Take note of one that nobody has read."""
        self._observe(UNREAD, OTHER, status, 0.0)

    def _observe(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else OTHER
        self._times.of(route, known, f"{status // 100}xx").observe(seconds)
        if status == _TOO_MANY:
            self._limited.add()
