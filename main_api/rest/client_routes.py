"""The paths of clients."""

from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.domain.explanations import Question, Verdict
from main_api.domain.grants import Action, Grant
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    DELETED,
    Answer,
    Count,
    Cursor,
    KeyPrefix,
    Name,
    Operation,
    PageQuery,
    Right,
    Subject,
    Tag,
    Time,
    json_content,
)
from main_api.rest.requests import decoded, json_body, optional_body
from main_api.service.ports import ClientRecord
from strongroom import jsontext, limits
from strongroom.errors import IntegrityError, NotFoundError

Secret = Annotated[str, msgspec.Meta(description="Shown in this answer, and never again.")]


UserGrants = Annotated[
    list[Grant],
    msgspec.Meta(
        max_length=limits.GRANTS_MAX,
        description="What tokens may do that it has issued for its users, within its own `grants`."
        " Without any it may have none issued.",
    ),
]


class ClientBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client may do."""

    grants: Annotated[tuple[Grant, ...], msgspec.Meta(max_length=limits.GRANTS_MAX)]
    user_grants: UserGrants = msgspec.field(default_factory=list)


class RotateSecretBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the secret so far stays valid."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=limits.SECRET_OVERLAP_SECONDS_MAX)] = (
        limits.SECRET_OVERLAP_SECONDS
    )


class ClientAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A client."""

    client_id: Name
    grants: tuple[Grant, ...]
    user_grants: UserGrants
    created_at: Time
    old_secret_until: Time | msgspec.UnsetType = msgspec.UNSET
    client_secret: Secret | msgspec.UnsetType = msgspec.UNSET


class ClientPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of clients, by id; without `cursor` it is the last one."""

    clients: list[ClientAnswer]
    cursor: Cursor | msgspec.UnsetType = msgspec.UNSET
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


class ExplainBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants to do."""

    database: Name
    action: Action
    key: Annotated[
        KeyPrefix,
        msgspec.Meta(description="Without it: the database as a whole, which `admin` is about."),
    ] = ""
    sub: Annotated[
        Subject | None,
        msgspec.Meta(description="A user of the client; without it the client itself."),
    ] = None


class JudgedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant, and whether it lets it pass."""

    grant: Annotated[Grant, msgspec.Meta(description="As it is written.")]
    key_prefix: Annotated[
        str | None, msgspec.Meta(description="With the claims put in; null where one is missing.")
    ]
    verdict: Verdict
    reason: str


class ExplainAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it is allowed, and by which grant."""

    allowed: bool
    decides: Annotated[
        int | None,
        msgspec.Meta(description="Which of `grants` lets it pass, the first one; null for none."),
    ]
    grants: Annotated[
        list[JudgedGrant],
        msgspec.Meta(
            description="The client's `grants`, or its `user_grants` where `sub` is said."
        ),
    ]


_OWN: Final = (Grant(database="chatdb", actions=frozenset({Action.READ, Action.WRITE})),)
_USERS: Final = Grant(
    database="chatdb",
    actions=frozenset({Action.READ, Action.WRITE}),
    key_prefix="users/{sub}/",
)
_CLIENT: Final = ClientAnswer(
    client_id="front-end", grants=_OWN, user_grants=[_USERS], created_at=AN_INSTANT
)
_WITH_SECRET: Final = msgspec.structs.replace(
    _CLIENT,
    client_secret="dGhpcyBpcyBhbiBleGFtcGxlIG9mIGEgc2VjcmV0ISE",  # noqa: S106 - an example
)


_EXPLAINED: Final = ExplainAnswer(
    allowed=True,
    decides=0,
    grants=[
        JudgedGrant(
            grant=_USERS,
            key_prefix="users/alice/",
            verdict=Verdict.COVERS,
            reason=Verdict.COVERS.reason,
        )
    ],
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_writing(app)
    _add_reading(app)
    _add_explanation(app)


def _add_writing(app: StrongroomApp) -> None:
    @app.route(
        "/clients/{client_id}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            body=json_content(ClientBody, ClientBody(grants=_OWN, user_grants=[_USERS])),
            holds_secret=True,
            answers=(
                Answer(
                    201, "It is made; here is its secret.", json_content(ClientAnswer, _WITH_SECRET)
                ),
                Answer(200, "Its grants are changed.", json_content(ClientAnswer, _CLIENT)),
            ),
            errors=(IntegrityError,),
        ),
    )
    def put_client(client_id: str) -> Response:
        """Make a client, its secret shown this once; or change a client's grants."""
        body = decoded(json_body(app.request), ClientBody)
        client, secret = app.main.administration.put_client(
            app.caller, client_id, body.grants, tuple(body.user_grants)
        )
        return json_response(jsontext.dump(_shown(client, secret)), 201 if secret else 200)

    @app.route(
        "/clients/{client_id}/rotate-secret",
        methods=["POST"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            body=json_content(RotateSecretBody, RotateSecretBody(overlap_seconds=3600)),
            holds_secret=True,
            body_optional=True,
            answers=(
                Answer(201, "Here is the new secret.", json_content(ClientAnswer, _WITH_SECRET)),
            ),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def rotate_secret(client_id: str) -> Response:
        """Give a client a new secret, shown this once."""
        body = optional_body(app.request, RotateSecretBody)
        client, secret = app.main.administration.rotate_secret(
            app.caller, client_id, body.overlap_seconds
        )
        return json_response(jsontext.dump(_shown(client, secret)), 201)

    @app.route(
        "/clients/{client_id}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            answers=(DELETED,),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def delete_client(client_id: str) -> Response:
        """Remove a client."""
        app.main.administration.delete_client(app.caller, client_id)
        return Response("", {}, 204)


def _add_reading(app: StrongroomApp) -> None:
    @app.route(
        "/clients",
        methods=["GET"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            query=PageQuery,
            answers=(
                Answer(200, "A page.", json_content(ClientPage, ClientPage(clients=[_CLIENT]))),
            ),
        ),
    )
    def list_clients() -> Response:
        """Answer a page of the clients, without their secrets."""
        asked = app.query(PageQuery)
        found = app.main.administration.clients(app.caller, asked.limit, asked.cursor)
        page = ClientPage(
            clients=[_shown(one) for one in found.records],
            cursor=found.cursor or msgspec.UNSET,
            damaged=found.damaged or msgspec.UNSET,
        )
        return json_response(jsontext.dump(page))

    @app.route(
        "/clients/{client_id}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The client.", json_content(ClientAnswer, _CLIENT)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def get_client(client_id: str) -> Response:
        """Answer a client, without its secret."""
        return json_response(
            jsontext.dump(_shown(app.main.administration.client(app.caller, client_id)))
        )


def _add_explanation(app: StrongroomApp) -> None:
    @app.route(
        "/clients/{client_id}/explain",
        methods=["POST"],
        operation=Operation(
            tag=Tag.CLIENTS,
            rights=(Right.EVERYWHERE,),
            body=json_content(
                ExplainBody,
                ExplainBody(
                    database="chatdb", action=Action.READ, key="users/alice/1", sub="alice"
                ),
            ),
            answers=(Answer(200, "Who decides.", json_content(ExplainAnswer, _EXPLAINED)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def explain_client(client_id: str) -> Response:
        """Say which grant lets a client, or a user of it, do something, and why no other one does.

        It is asked of the rules as they are now: whether there is such a database or entity is not
        looked at, and a token may be narrowed further by its scope.
        """
        body = decoded(json_body(app.request), ExplainBody)
        found = app.main.administration.explain(
            app.caller, client_id, Question(body.database, body.key, body.action, body.sub)
        )
        answer = ExplainAnswer(
            allowed=found.decides is not None,
            decides=found.decides,
            grants=[
                JudgedGrant(
                    grant=one.grant,
                    key_prefix=one.key_prefix,
                    verdict=one.verdict,
                    reason=one.verdict.reason,
                )
                for one in found.judged
            ],
        )
        return json_response(jsontext.dump(answer))


def _shown(client: ClientRecord, secret: str | None = None) -> ClientAnswer:
    return ClientAnswer(
        client_id=client.client_id,
        grants=client.grants,
        user_grants=list(client.user_grants),
        created_at=client.created_at,
        old_secret_until=client.retiring.valid_until if client.retiring else msgspec.UNSET,
        client_secret=secret or msgspec.UNSET,
    )
