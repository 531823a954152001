"""The paths of keys: which there are, a new one, and what follows from it."""

from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.job_routes import JOB_BEGUN, accepted
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
from main_api.rest.requests import optional_body
from main_api.service.keys.signing import PublishedKey
from strongroom import jsontext, limits
from strongroom.errors import ConflictError, IntegrityError, InvalidArgumentError, NotFoundError
from strongroom.keyring import Key, State


class RotateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the new key is for: what is encrypted, or the tokens that are signed."""

    purpose: Literal["data", "token-signing"] = "data"


class RewrapBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast, on all workers together; as fast as it goes without a rate."""

    files_per_second: (
        Annotated[float, msgspec.Meta(ge=1, le=limits.REWRAP_FILES_PER_SECOND_MAX)] | None
    ) = None


class DestroyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the key is destroyed though something may need it."""

    shred: bool = False
    entities: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=limits.ENTITIES_LOST_MAX)] | None,
        msgspec.Meta(description="Goes with `shred`: how many may be lost, as was confirmed."),
    ] = None


class DataKey(msgspec.Struct, frozen=True, kw_only=True):
    """A data key, without its material."""

    key_id: str
    state: State
    created_at: Time
    written_bytes: Annotated[
        Count | msgspec.UnsetType,
        msgspec.Meta(description="Of the active one: about how much was written under it."),
    ] = msgspec.UNSET


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signs access tokens, or has, or will; without its private half."""

    key_id: str
    is_signing: bool
    created_at: Time


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """The data keys, the fingerprint of the recovery key, and the keys that sign tokens."""

    keys: list[DataKey]
    recovery: str | None
    signing_keys: list[SigningKey]


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key that was made."""

    key_id: str


Destruction = Annotated[
    DestroyBody,
    msgspec.Meta(
        extra_json_schema={
            "if": {"properties": {"shred": {"const": True}}, "required": ["shred"]},
            "then": {"properties": {"entities": {"type": "integer"}}, "required": ["entities"]},
            "else": {"properties": {"entities": {"type": "null"}}},
        }
    ),
]
_KEY: Final = DataKey(
    key_id="4338abd0257bc0e8", state=State.ACTIVE, created_at=AN_INSTANT, written_bytes=2048
)
_KEYS: Final = KeyList(
    keys=[_KEY],
    recovery=None,
    signing_keys=[SigningKey(key_id="da3c7a8bdb800453", is_signing=True, created_at=AN_INSTANT)],
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_rotation(app)
    _add_orders(app)


def _add_rotation(app: StrongroomApp) -> None:
    @app.route(
        "/keys",
        methods=["GET"],
        operation=Operation(
            tag=Tag.KEYS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The keys.", json_content(KeyList, _KEYS)),),
        ),
    )
    def list_keys() -> Response:
        """Answer the data keys and those that sign tokens, without their material."""
        found = app.main.keys.list(app.caller)
        answer = KeyList(
            keys=[_shown(app, one) for one in found],
            recovery=app.main.keyring.current.recovery or None,
            signing_keys=[_signing_key(one) for one in app.main.signing_keys.published()],
        )
        return json_response(jsontext.dump(answer))

    @app.route(
        "/keys/rotate",
        methods=["POST"],
        operation=Operation(
            tag=Tag.KEYS,
            rights=(Right.EVERYWHERE,),
            body=json_content(RotateBody, RotateBody()),
            body_optional=True,
            answers=(
                Answer(201, "The new one.", json_content(NewKey, NewKey(key_id=_KEY.key_id))),
            ),
            errors=(ConflictError, IntegrityError),
        ),
    )
    def rotate_keys() -> Response:
        """Make a new key for what is encrypted, or for the tokens that are signed, from now on."""
        signs = optional_body(app.request, RotateBody).purpose == "token-signing"
        made = (app.main.signing_keys if signs else app.main.keys).rotate(app.caller)
        return json_response(jsontext.dump(NewKey(key_id=made.key_id)), 201)


def _add_orders(app: StrongroomApp) -> None:
    @app.route(
        "/keys/rewrap",
        methods=["POST"],
        operation=Operation(
            tag=Tag.KEYS,
            rights=(Right.EVERYWHERE,),
            body=json_content(RewrapBody, RewrapBody(files_per_second=100)),
            body_optional=True,
            answers=(JOB_BEGUN,),
            errors=(ConflictError, IntegrityError),
        ),
    )
    def rewrap_entities() -> Response:
        """Begin to put every file under the active key."""
        body = optional_body(app.request, RewrapBody)
        return accepted(app.main.jobs.rewrap(app.caller, body.files_per_second or 0))

    @app.route(
        "/keys/{key_id}/destroy",
        methods=["POST"],
        operation=Operation(
            tag=Tag.KEYS,
            rights=(Right.EVERYWHERE,),
            body=json_content(Destruction, DestroyBody()),
            body_optional=True,
            answers=(JOB_BEGUN,),
            errors=(NotFoundError, ConflictError, IntegrityError),
        ),
    )
    def destroy_key(key_id: str) -> Response:
        """Begin to destroy a key; with `shred`, whatever may need it."""
        body = optional_body(app.request, DestroyBody)
        if body.shred is not (body.entities is not None):
            raise InvalidArgumentError(
                "shred goes with entities: how many of them may be lost, as was confirmed"
            )
        return accepted(app.main.jobs.destroy(app.caller, key_id, body.entities))


def _shown(app: StrongroomApp, key: Key) -> DataKey:
    written_bytes = (
        app.main.rotation.written_bytes(key.key_id) if key.state == State.ACTIVE else msgspec.UNSET
    )
    return DataKey(
        key_id=key.key_id, state=key.state, created_at=key.created_at, written_bytes=written_bytes
    )


def _signing_key(key: PublishedKey) -> SigningKey:
    return SigningKey(key_id=key.key_id, is_signing=key.is_signing, created_at=key.created_at)
