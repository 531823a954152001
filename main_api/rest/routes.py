"""The REST face: health, tokens, and the paths that other modules add."""

from typing import Final

from chalice.app import Response

from main_api.bootstrap import Current
from main_api.rest import (
    admin_routes,
    entity_routes,
    export_routes,
    key_routes,
    metrics_routes,
    oauth_routes,
    worker_routes,
)
from main_api.rest.application import StrongroomApp, json_response
from main_api.service.keys.health import KeyProviderState
from strongroom import jsontext
from strongroom.errors import UnavailableError

PUBLIC: Final = frozenset(
    {"/oauth/token", "/.well-known/jwks.json", "/workers/subscribe", "/healthz", "/readyz"}
)


def build(current: Current) -> StrongroomApp:
    """Return the application with its routes."""
    app = StrongroomApp("strongroom", PUBLIC, current)
    _add_service_routes(app)
    oauth_routes.add(app)
    entity_routes.add(app)
    admin_routes.add(app)
    key_routes.add(app)
    worker_routes.add(app)
    export_routes.add(app)
    metrics_routes.add(app)
    return app


def _add_service_routes(app: StrongroomApp) -> None:
    @app.route("/healthz", methods=["GET"])
    def healthz() -> Response:
        """Say that the process answers."""
        return json_response(b'{"status":"ok"}')

    @app.route("/readyz", methods=["GET"])
    def readyz() -> Response:
        """Say whether requests can be served: keyring open, a worker available.

        Requests are served without the key provider; an outage of it is told all the same, because
        no Main Worker can start meanwhile.
        """
        workers = app.main.dispatcher.live_workers()
        if not workers:
            raise UnavailableError("no worker is available", retry_after_s=1)
        provider = _key_provider(app.main.key_health.state())
        return json_response(
            jsontext.dump({"status": "ok", "workers": len(workers), "key_provider": provider})
        )


def _key_provider(state: KeyProviderState) -> dict[str, str]:
    if state.is_up:
        return {"status": "ok", "since": state.since}
    return {"status": "unavailable", "since": state.since, "reason": state.reason}
