"""The paths that tell whether the service is there."""

from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.rest import problems
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


Flag = Annotated[
    Literal["", "true", "false"],
    msgspec.Meta(description="Alone, or `true`: tell of each check, whatever comes of it."),
]


class ReadinessQuery(msgspec.Struct, frozen=True):
    """How much is told."""

    verbose: Flag = "false"


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that requests need: how it is, since when, and what to do."""

    name: Annotated[str, msgspec.Meta(description="What is looked at.")]
    status: Annotated[
        Literal["ok", "warning", "failed"],
        msgspec.Meta(description="`warning`: something is wrong, and requests are served."),
    ]
    since: Time
    reason: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="One of a closed list of words.")
    ] = msgspec.UNSET
    advice: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="What to do, for an operator.")
    ] = msgspec.UNSET
    facts: Annotated[
        dict[str, int | float | str],
        msgspec.Meta(description="What else is known: ages in seconds, counts, ends."),
    ] = msgspec.field(default_factory=dict)


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Requests can be served."""

    status: Literal["ok"] = "ok"
    workers: Count
    key_provider: KeyProviderHealth
    audit: AuditHealth


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """Requests can be served; and how everything is that they need."""

    status: Literal["ok"] = "ok"
    checks: list[CheckReport]


_READY: Final = Readiness(
    workers=2,
    key_provider=KeyProviderHealth(status="ok", since=AN_INSTANT),
    audit=AuditHealth(status="ok", since=AN_INSTANT),
)
_LOOKS_AT_ALL: Final = frozenset({"", "true"})


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
            query=ReadinessQuery,
            answers=(Answer(200, "They can.", json_content((Readiness, Checks), _READY)),),
        ),
    )
    def get_readiness() -> Response:
        """Say whether requests can be served: keyring open, a worker available.

        Requests are served without the key provider; an outage of it is told all the same, because
        no Main Worker can start meanwhile. So is an audit log that cannot be written: then
        administrative acts are refused, and reads and writes where it is required for them.

        With `verbose` each check is told of by its name, in a refusal too: live workers, the age
        of the registry's view, the keyring, the key provider, the audit log, the shared directory,
        this process' certificate, the clock. It takes a second at the most, whatever hangs.
        """
        if app.query(ReadinessQuery).verbose in _LOOKS_AT_ALL:
            return _looked_at(app)
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


def _looked_at(app: StrongroomApp) -> Response:
    # A cold start of Lambda does not pay for what it seldom needs.
    from strongroom import readiness  # noqa: PLC0415

    findings = app.main.checkup().findings()
    checks = [
        CheckReport(
            name=one.name,
            status=one.status.value,
            since=one.since,
            reason=one.reason or msgspec.UNSET,
            advice=readiness.ADVICE[one.reason] if one.reason else msgspec.UNSET,
            facts=dict(one.facts),
        )
        for one in findings
    ]
    if readiness.is_ready(findings):
        return json_response(jsontext.dump(Checks(checks=checks)))
    failed = ", ".join(one.name for one in findings if one.status is readiness.Status.FAILED)
    refusal = UnavailableError(f"this has failed: {failed}", retry_after_s=1)
    return problems.response(refusal, app.request_id, members={"checks": checks})


def _key_provider(state: KeyProviderState) -> KeyProviderHealth:
    if state.is_up:
        return KeyProviderHealth(status="ok", since=state.since)
    return KeyProviderHealth(status="unavailable", since=state.since, reason=state.reason)


def _audit(state: JournalState) -> AuditHealth:
    if state.is_up:
        return AuditHealth(status="ok", since=state.since)
    return AuditHealth(status="unavailable", since=state.since, reason=state.reason)
