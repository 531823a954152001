"""The paths that tell whether the service is there."""

from typing import Final, Literal

import msgspec
from chalice.app import Response

from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    Answer,
    Count,
    Operation,
    Right,
    Tag,
    Time,
    json_content,
)
from main_api.service.audit.journal import JournalState
from main_api.service.keys.health import KeyProviderState
from strongroom import jsontext
from strongroom.errors import UnavailableError


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class KeyProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the key provider would open the keyring, and since when that is so."""

    status: Literal["ok", "unavailable"]
    since: Time
    reason: str | msgspec.UnsetType = msgspec.UNSET


class AuditHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the audit log can be written, and since when that is so."""

    status: Literal["ok", "unavailable"]
    since: Time
    reason: str | msgspec.UnsetType = msgspec.UNSET


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Requests can be served."""

    status: Literal["ok"] = "ok"
    workers: Count
    key_provider: KeyProviderHealth
    audit: AuditHealth


_READY: Final = Readiness(
    workers=2,
    key_provider=KeyProviderHealth(status="ok", since=AN_INSTANT),
    audit=AuditHealth(status="ok", since=AN_INSTANT),
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""

    @app.route(
        "/healthz",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.PUBLIC,),
            answers=(Answer(200, "It does.", json_content(Health, Health())),),
        ),
    )
    def get_health() -> Response:
        """Say that the process answers."""
        return json_response(jsontext.dump(Health()))

    @app.route(
        "/readyz",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.PUBLIC,),
            answers=(Answer(200, "They can.", json_content(Readiness, _READY)),),
        ),
    )
    def get_readiness() -> Response:
        """Say whether requests can be served: keyring open, a worker available.

        Requests are served without the key provider; an outage of it is told all the same, because
        no Main Worker can start meanwhile. So is an audit log that cannot be written: then
        administrative acts are refused, and reads and writes where it is required for them.
        """
        workers = app.main.dispatcher.live_workers()
        if not workers:
            raise UnavailableError("no worker is available", retry_after_s=1)
        if not app.main.audit.can_serve:
            raise UnavailableError("the audit log cannot be written", retry_after_s=1)
        ready = Readiness(
            workers=len(workers),
            key_provider=_key_provider(app.main.key_health.state()),
            audit=_audit(app.main.audit.state()),
        )
        return json_response(jsontext.dump(ready))


def _key_provider(state: KeyProviderState) -> KeyProviderHealth:
    if state.is_up:
        return KeyProviderHealth(status="ok", since=state.since)
    return KeyProviderHealth(status="unavailable", since=state.since, reason=state.reason)


def _audit(state: JournalState) -> AuditHealth:
    if state.is_up:
        return AuditHealth(status="ok", since=state.since)
    return AuditHealth(status="unavailable", since=state.since, reason=state.reason)
