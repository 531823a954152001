"""The paths of foreign issuers whose tokens are taken."""

from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.domain.claim_rules import Rule
from main_api.domain.grants import Action, Grant
from main_api.domain.issuer_keys import IssuerKeySet
from main_api.domain.trusted_issuers import Algorithm, IssuerRecord, TokenType, TrustedIssuer
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    DELETED,
    Answer,
    Count,
    Name,
    Operation,
    Right,
    Tag,
    Time,
    json_content,
)
from main_api.rest.requests import decoded, json_body
from strongroom import jsontext
from strongroom.errors import ConflictError, IntegrityError, NotFoundError


class IssuerAnswer(TrustedIssuer, frozen=True, kw_only=True):
    """A foreign issuer, and what its tokens are good for."""

    name: Name
    created_at: Time
    updated_at: Time


class IssuerList(msgspec.Struct, frozen=True, kw_only=True):
    """The issuers that are trusted, by name."""

    issuers: list[IssuerAnswer]
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


class PublishedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that an issuer publishes, and with which its tokens can be verified."""

    kid: str
    algorithms: list[Algorithm]


class PublishedKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What an issuer publishes now."""

    keys: list[PublishedKey]
    exposed: Annotated[
        tuple[str, ...], msgspec.Meta(description="Keys whose private half is published too.")
    ]
    passed_over: Annotated[
        int, msgspec.Meta(ge=0, description="Keys of another kind, or that cannot be used.")
    ]


_RULES: Final = (
    Rule(
        claims={"/realm_access/roles": ("chat-user",)},
        grants=(
            Grant(
                database="chatdb",
                actions=frozenset({Action.READ, Action.WRITE}),
                key_prefix="users/{sub}/",
            ),
        ),
    ),
)
_TRUSTED: Final = TrustedIssuer(
    issuer="https://login.example.com/realms/main",
    audiences=("https://strongroom.example.com",),
    rules=_RULES,
    token_type=TokenType.JWT,
)
_ISSUER: Final = IssuerAnswer(
    name="keycloak",
    created_at=AN_INSTANT,
    updated_at=AN_INSTANT,
    **msgspec.structs.asdict(_TRUSTED),
)
_KEYS: Final = PublishedKeys(
    keys=[
        PublishedKey(
            kid="FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", algorithms=[Algorithm.RS256]
        )
    ],
    exposed=(),
    passed_over=1,
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_writing(app)
    _add_reading(app)


def _add_writing(app: StrongroomApp) -> None:
    @app.route(
        "/issuers/{issuer_name}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.ISSUERS,
            rights=(Right.EVERYWHERE,),
            body=json_content(TrustedIssuer, _TRUSTED),
            answers=(
                Answer(201, "It is trusted.", json_content(IssuerAnswer, _ISSUER)),
                Answer(200, "It is trusted for this now.", json_content(IssuerAnswer, _ISSUER)),
            ),
            errors=(ConflictError, IntegrityError),
        ),
    )
    def put_issuer(issuer_name: str) -> Response:
        """Trust a foreign issuer, or change what it is trusted for."""
        trusted = decoded(json_body(app.request), TrustedIssuer)
        made, is_new = app.main.issuers.put(app.caller, issuer_name, trusted)
        return json_response(jsontext.dump(_shown(made)), 201 if is_new else 200)

    @app.route(
        "/issuers/{issuer_name}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.ISSUERS,
            rights=(Right.EVERYWHERE,),
            answers=(DELETED,),
            errors=(NotFoundError,),
        ),
    )
    def delete_issuer(issuer_name: str) -> Response:
        """Trust a foreign issuer no more; its tokens are refused within five seconds."""
        app.main.issuers.remove(app.caller, issuer_name)
        return Response("", {}, 204)


def _add_reading(app: StrongroomApp) -> None:
    @app.route(
        "/issuers",
        methods=["GET"],
        operation=Operation(
            tag=Tag.ISSUERS,
            rights=(Right.EVERYWHERE,),
            answers=(
                Answer(
                    200, "All of them.", json_content(IssuerList, IssuerList(issuers=[_ISSUER]))
                ),
            ),
        ),
    )
    def list_issuers() -> Response:
        """Answer the foreign issuers that are trusted."""
        found, damaged = app.main.issuers.all(app.caller)
        answer = IssuerList(
            issuers=[_shown(one) for one in found], damaged=damaged or msgspec.UNSET
        )
        return json_response(jsontext.dump(answer))

    @app.route(
        "/issuers/{issuer_name}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.ISSUERS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The issuer.", json_content(IssuerAnswer, _ISSUER)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def get_issuer(issuer_name: str) -> Response:
        """Answer a foreign issuer."""
        return json_response(jsontext.dump(_shown(app.main.issuers.get(app.caller, issuer_name))))

    @app.route(
        "/issuers/{issuer_name}/ask",
        methods=["POST"],
        operation=Operation(
            tag=Tag.ISSUERS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "Its keys.", json_content(PublishedKeys, _KEYS)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def ask_issuer(issuer_name: str) -> Response:
        """Ask a foreign issuer for its keys now, and answer which there are.

        Nothing is changed by it. Where the issuer cannot be reached, or its answer cannot be used,
        the detail of the problem says why.
        """
        found = app.main.issuers.ask(app.caller, issuer_name)
        return json_response(jsontext.dump(_published(found)))


def _shown(record: IssuerRecord) -> IssuerAnswer:
    return IssuerAnswer(
        name=record.name,
        created_at=record.created_at,
        updated_at=record.updated_at,
        **msgspec.structs.asdict(record.trusted),
    )


def _published(found: IssuerKeySet) -> PublishedKeys:
    return PublishedKeys(
        keys=[
            PublishedKey(kid=key.kid, algorithms=sorted(key.algorithms))
            for key in found.keys.values()
        ],
        exposed=found.exposed,
        passed_over=found.passed_over,
    )
