"""The paths of Processing Workers: their registry, and how one is enrolled and subscribes."""

import base64
import binascii
from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.domain.registry import Revocation, WorkerRecord
from main_api.rest import problems
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    Answer,
    Operation,
    Right,
    Tag,
    Time,
    WorkerId,
    json_content,
)
from main_api.rest.requests import basic_credentials, bounded_body, decoded, media_type
from strongroom import ids, jsontext, limits
from strongroom.clock import rfc3339
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    UnauthenticatedError,
)

_BEARER: Final = "bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="strongroom workers", charset="UTF-8"'}

Base64 = Annotated[str, msgspec.Meta(extra_json_schema={"contentEncoding": "base64"})]
PublicKey = Annotated[
    Base64,
    msgspec.Meta(
        description="A public key of the suite.", extra_json_schema={"format": "hpke-public-key"}
    ),
]


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who subscribes, and what its keys are to be sealed to."""

    worker_id: WorkerId
    pubkey: PublicKey
    suite: Annotated[
        Literal["", "x25519", "mlkem768-x25519"],
        msgspec.Meta(description="How to seal; `x25519` without it."),
    ] = ""


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The active data key, sealed (HPKE, RFC 9180)."""

    token: str
    wrapped_key: Base64
    key_id: str
    lease_seconds: int
    deployment: str


class WorkerCredentialAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker subscribes with over REST."""

    worker_id: WorkerId
    credential: Annotated[str, msgspec.Meta(description="Shown in this answer, and never again.")]


class LiveWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A Processing Worker that is available."""

    worker_id: WorkerId
    address: str
    registered_at: Time
    lease_until: Time
    certificate_until: Annotated[
        Time | msgspec.UnsetType,
        msgspec.Meta(description="When the certificate ends that it has shown last."),
    ] = msgspec.UNSET
    state: Annotated[
        Literal["live", "draining"],
        msgspec.Meta(description="`draining`: it finishes what it has begun, and gets no more."),
    ]
    load: Annotated[
        float, msgspec.Meta(description="Requests under way on the average, as it told last.", ge=0)
    ]
    cache_entries: Annotated[int, msgspec.Meta(ge=0)]
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)]
    version: Annotated[str, msgspec.Meta(description="Of its software.")]


class RevokedWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is given no keys; without a time where its record cannot be read."""

    worker_id: WorkerId
    revoked_at: Time | msgspec.UnsetType = msgspec.UNSET


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The workers whose lease runs, and those that are revoked."""

    workers: list[LiveWorker]
    revoked: list[RevokedWorker]


class PutWorkerQuery(msgspec.Struct, frozen=True):
    """The parameters of a credential's PUT."""

    replace: Annotated[
        Literal["true"] | msgspec.UnsetType,
        msgspec.Meta(description="The credential that there is becomes worthless."),
    ] = msgspec.UNSET


class DeleteWorkerQuery(msgspec.Struct, frozen=True):
    """The parameters of a revocation."""

    unseen: Annotated[
        Literal["true"] | msgspec.UnsetType,
        msgspec.Meta(description="Also where the registry does not know such a worker."),
    ] = msgspec.UNSET


_CREDENTIAL: Final = WorkerCredentialAnswer(
    worker_id="worker-1", credential="dGhpcyBpcyBhbiBleGFtcGxlIG9mIGEgY3JlZGVudGlhbA"
)
_REGISTRY: Final = Registry(
    workers=[
        LiveWorker(
            worker_id="worker-1",
            address="127.0.0.1:50061",
            registered_at=AN_INSTANT,
            lease_until="2026-01-01T00:00:06.000Z",
            certificate_until="2026-04-01T00:00:00.000Z",
            state="live",
            load=1.25,
            cache_entries=1_000,
            cache_bytes=2_400_000,
            version="0.1.0",
        )
    ],
    revoked=[],
)
_SUBSCRIPTION: Final = Subscription(
    worker_id="worker-1", pubkey="5tk5TcCjR9HTgf8GmGSVMfRz9vjqxNQ7rqiV5W9+pSo="
)
_SUBSCRIBED: Final = Subscribed(
    token="eyJ...",  # noqa: S106 - an example
    wrapped_key="Zm9yIGFuIGV4YW1wbGUgdGhpcyBoYXMgdG8gZG8=",
    key_id="4338abd0257bc0e8",
    lease_seconds=limits.LEASE_SECONDS,
    deployment="d2f3a9c4b1e05678",
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_subscription(app)
    _add_registry(app)


def _add_subscription(app: StrongroomApp) -> None:
    @app.route(
        "/workers/{worker_id}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.WORKERS,
            rights=(Right.EVERYWHERE,),
            query=PutWorkerQuery,
            holds_secret=True,
            answers=(
                Answer(201, "Its first one.", json_content(WorkerCredentialAnswer, _CREDENTIAL)),
                Answer(200, "Another one.", json_content(WorkerCredentialAnswer, _CREDENTIAL)),
            ),
            errors=(ConflictError, IntegrityError),
        ),
    )
    def put_worker(worker_id: str) -> Response:
        """Give a worker a credential to subscribe with, shown this once."""
        replace = bool(app.query(PutWorkerQuery).replace)
        made, is_first = app.main.worker_credentials.put(app.caller, worker_id, replace=replace)
        answer = WorkerCredentialAnswer(worker_id=worker_id, credential=made)
        return json_response(jsontext.dump(answer), 201 if is_first else 200)

    @app.route(
        "/workers/subscribe",
        methods=["POST"],
        operation=Operation(
            tag=Tag.WORKERS,
            rights=(Right.WORKER,),
            body=json_content(Subscription, _SUBSCRIPTION),
            holds_secret=True,
            answers=(Answer(200, "Its key.", json_content(Subscribed, _SUBSCRIBED)),),
            errors=(UnauthenticatedError, ForbiddenError, IntegrityError),
        ),
    )
    def subscribe_worker() -> Response:
        """Vend the active data key, sealed to the worker's public key."""
        try:
            return _subscribed(app)
        except UnauthenticatedError as error:
            return problems.response(error, app.request_id, _CHALLENGE)


def _add_registry(app: StrongroomApp) -> None:
    @app.route(
        "/workers",
        methods=["GET"],
        operation=Operation(
            tag=Tag.WORKERS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The registry.", json_content(Registry, _REGISTRY)),),
            errors=(IntegrityError,),
        ),
    )
    def get_workers() -> Response:
        """Answer the registry: the Processing Workers whose lease runs."""
        administration = app.main.administration
        registry = Registry(
            workers=[_live(one) for one in administration.workers(app.caller)],
            revoked=[_revoked(one) for one in administration.revoked_workers(app.caller)],
        )
        return json_response(jsontext.dump(registry))

    @app.route(
        "/workers/{worker_id}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.WORKERS,
            rights=(Right.EVERYWHERE,),
            query=DeleteWorkerQuery,
            answers=(Answer(204, "It is revoked."),),
            errors=(NotFoundError,),
        ),
    )
    def delete_worker(worker_id: str) -> Response:
        """Revoke a Processing Worker."""
        unseen = bool(app.query(DeleteWorkerQuery).unseen)
        app.main.administration.revoke_worker(app.caller, worker_id, unseen=unseen)
        return Response("", {}, 204)

    @app.route(
        "/workers/{worker_id}/reinstate",
        methods=["POST"],
        operation=Operation(
            tag=Tag.WORKERS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(204, "It may subscribe again."),),
            errors=(NotFoundError,),
        ),
    )
    def reinstate_worker(worker_id: str) -> Response:
        """Let a revoked Processing Worker come into service again."""
        app.main.administration.reinstate_worker(app.caller, worker_id)
        return Response("", {}, 204)


def _subscribed(app: StrongroomApp) -> Response:
    media_type(app.request, ("application/json",))
    authorization = app.request.headers.get("authorization")
    if not authorization:
        raise UnauthenticatedError("send the worker's credential: HTTP Basic worker_id:credential")
    raw = bounded_body(app.request, limits.SMALL_BYTES_MAX)
    body = decoded(raw, Subscription)
    named, secret = _credential(authorization, body.worker_id)
    proven = app.main.worker_credentials.prove(named, secret)
    given = app.main.subscriptions.subscribe(
        proven, body.worker_id, _bytes_of(body.pubkey), body.suite
    )
    sealed = next(one for one in given.keys if one.key_id == given.key_id)
    answer = Subscribed(
        token=given.token,
        wrapped_key=base64.b64encode(sealed.sealed).decode(),
        key_id=given.key_id,
        lease_seconds=given.lease_s,
        deployment=given.deployment,
    )
    return json_response(jsontext.dump(answer))


def _credential(authorization: str, worker_id: str) -> tuple[str, str]:
    """Return (worker id, credential) of HTTP Basic, or a Bearer credential of the one named."""
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return worker_id, authorization[len(_BEARER) :].strip()
    named, secret = basic_credentials(authorization)
    try:
        return ids.worker_id(named), secret
    except InvalidArgumentError as error:
        # As any other worker that is not known.
        raise UnauthenticatedError("unknown worker or wrong credential") from error


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError("pubkey is base64") from error


def _live(worker: WorkerRecord) -> LiveWorker:
    until_ms = worker.certificate_until_ms
    return LiveWorker(
        worker_id=worker.worker_id,
        address=worker.address,
        registered_at=worker.registered_at,
        lease_until=rfc3339(worker.lease_until_ms),
        certificate_until=rfc3339(until_ms) if until_ms else msgspec.UNSET,
        state="draining" if worker.report.is_draining else "live",
        load=worker.report.load,
        cache_entries=worker.report.cache_entries,
        cache_bytes=worker.report.cache_bytes,
        version=worker.report.version,
    )


def _revoked(revocation: Revocation) -> RevokedWorker:
    return RevokedWorker(
        worker_id=revocation.worker_id, revoked_at=revocation.revoked_at or msgspec.UNSET
    )
