"""The paths with which a worker is enrolled over REST, and subscribes."""

import base64
import binascii
from typing import Final

import msgspec
from chalice.app import Response

from main_api.rest import problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import (
    basic_credentials,
    bounded_body,
    decoded,
    media_type,
    parameters,
)
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError, UnauthenticatedError

_BEARER: Final = "bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="strongroom workers", charset="UTF-8"'}


class _Subscription(msgspec.Struct, forbid_unknown_fields=True):
    worker_id: str
    pubkey: str
    suite: str = ""


def add(app: StrongroomApp) -> None:
    """Add them."""

    @app.route("/workers/{worker_id}", methods=["PUT"])
    def put_worker(worker_id: str) -> Response:
        """Give a worker a credential to subscribe with, shown this once."""
        given = parameters(app.request, frozenset({"replace"}))
        if given.get("replace", ["true"]) != ["true"]:
            raise InvalidArgumentError("replace is true, or is not said")
        made, is_first = app.main.worker_credentials.put(app.caller, worker_id, replace=bool(given))
        answer = {"worker_id": worker_id, "credential": made}
        return json_response(jsontext.dump(answer), 201 if is_first else 200)

    @app.route("/workers/subscribe", methods=["POST"])
    def subscribe() -> Response:
        """Vend the active data key, sealed to the worker's public key."""
        parameters(app.request, frozenset())
        try:
            return _subscribed(app)
        except UnauthenticatedError as error:
            return problems.response(error, app.request_id, _CHALLENGE)


def _subscribed(app: StrongroomApp) -> Response:
    media_type(app.request, ("application/json",))
    authorization = app.request.headers.get("authorization")
    if not authorization:
        raise UnauthenticatedError("send the worker's credential: HTTP Basic worker_id:credential")
    raw = bounded_body(app.request, limits.SMALL_BYTES_MAX)
    body = decoded(raw, _Subscription)
    named, secret = _credential(authorization, body.worker_id)
    proven = app.main.worker_credentials.prove(named, secret)
    given = app.main.subscriptions.subscribe(
        proven, body.worker_id, _bytes_of(body.pubkey), body.suite
    )
    sealed = next(one for one in given.keys if one.key_id == given.key_id)
    answer = {
        "token": given.token,
        "wrapped_key": base64.b64encode(sealed.sealed).decode(),
        "key_id": given.key_id,
        "lease_seconds": given.lease_s,
        "deployment": given.deployment,
    }
    return json_response(jsontext.dump(answer))


def _credential(authorization: str, worker_id: str) -> tuple[str, str]:
    """Return (worker id, credential) of HTTP Basic, or a Bearer credential of the one named."""
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return worker_id, authorization[len(_BEARER) :].strip()
    return basic_credentials(authorization)


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError("pubkey is base64") from error
