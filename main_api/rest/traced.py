"""The span of a request over REST, around the whole application."""

from typing import Any, Final

from main_api.rest.application import StrongroomApp
from main_api.rest.incoming import Event, trace_of
from strongroom import tracing
from strongroom.errors import StrongroomError
from strongroom.tracing import Attribute, Tracer

_ASKED_ALL_THE_TIME: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"})
_SERVER_ERROR: Final = 500


class SpannedApp:
    """Serves as the application does, each request in a span."""

    def __init__(self, app: StrongroomApp, tracer: Tracer) -> None:
        """Take what serves, and what begins spans."""
        self._app = app
        self._tracer = tracer

    @property
    def routes(self) -> dict[str, Any]:
        """The application's."""
        return self._app.routes

    def __call__(self, event: Event, context: Any) -> dict[str, Any]:  # noqa: ANN401 - Chalice's
        """Serve one event whose header fields are named in lower case."""
        route: str = event["resource"]
        if route in _ASKED_ALL_THE_TIME:
            return self._app(event, context)
        # What is not one of ours may be anything: a key, or a token.
        method = event["httpMethod"] if event["httpMethod"] in _METHODS else "_OTHER"
        named: dict[str, Attribute] = {"http.request.method": method}
        if route in self._app.routes:
            named["http.route"] = route
        name = f"{method} {named.get('http.route', '')}".rstrip()
        trace = self._tracer.begin(name, trace_of(event["headers"]), named)
        if trace.span is None:
            with tracing.entered(trace):
                return self._app(event, context)
        with tracing.spanning(trace, trace.span) as span:
            answer = self._app(event, context)
            status: int = answer["statusCode"]
            span.note({"http.response.status_code": status})
            if status >= _SERVER_ERROR:
                span.fail(str(status))
            return answer

    def refuse(self, error: StrongroomError, headers: dict[str, str]) -> dict[str, Any]:
        """Answer a request that never became an event."""
        return self._app.refuse(error, headers)
