"""The paths of OAuth 2.0: tokens, and the keys that they verify by.

Whatever is refused is problem details, as everywhere, with the members `error` and
`error_description` of RFC 6749 section 5.2 beside the problem's own.
"""

from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.domain.grants import Action
from main_api.rest import problems
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    FORM,
    Answer,
    Content,
    Operation,
    Right,
    Subject,
    Tag,
    json_content,
)
from main_api.rest.public_keys import Jwk, JwkSet, jwk
from main_api.rest.requests import basic_credentials, form
from main_api.service.callers.authorization_server import (
    ACCESS_TOKEN_TYPE,
    SUBJECT_TOKEN_TYPE,
    Exchange,
    InvalidGrantError,
    InvalidScopeError,
    InvalidTargetError,
    IssuedToken,
    UnauthorizedClientError,
    UnsupportedTokenTypeError,
)
from strongroom import jsontext, limits, tokens
from strongroom.errors import (
    InvalidArgumentError,
    StrongroomError,
    UnauthenticatedError,
)

_CREDENTIALS: Final = "client_credentials"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="strongroom", charset="UTF-8"'}
_ACTION: Final = "|".join(Action)
Scope = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^(({_ACTION}) *)*$",
        description="What to narrow it to: some of `read`, `write`, `delete`, `admin`, separated by"
        " spaces.",
    ),
]


class CredentialsForm(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="grant_type", tag=_CREDENTIALS
):
    """A request for a client's own token (RFC 6749 section 4.4)."""

    scope: Scope = ""


class ExchangeForm(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="grant_type", tag=_EXCHANGE
):
    """A request for the token of one of the client's users (RFC 8693 section 2.1)."""

    subject_token: Subject
    subject_token_type: Annotated[
        str, msgspec.Meta(extra_json_schema={"const": SUBJECT_TOKEN_TYPE})
    ]
    scope: Scope = ""
    requested_token_type: Annotated[
        str, msgspec.Meta(extra_json_schema={"enum": [ACCESS_TOKEN_TYPE, ""]})
    ] = ""
    audience: Annotated[
        str, msgspec.Meta(extra_json_schema={"enum": [tokens.CLIENT_AUDIENCE, ""]})
    ] = ""


class RevocationForm(msgspec.Struct, frozen=True, kw_only=True):
    """A request to revoke a token (RFC 7009 section 2.1)."""

    token: Annotated[str, msgspec.Meta(min_length=1, description="The access token.")]
    token_type_hint: Annotated[str, msgspec.Meta(description="Is not needed.")] = ""


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An access token (RFC 6749 section 5.1, RFC 8693 section 2.2.1)."""

    access_token: str
    issued_token_type: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(description="Of an exchange.")
    ] = msgspec.UNSET
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - its type
    expires_in: Annotated[int, msgspec.Meta(description="Seconds.")]
    scope: str


class _UnsupportedGrantTypeError(InvalidArgumentError):
    """A grant type that there is not."""


_ERRORS: Final[dict[type[StrongroomError], str]] = {
    UnauthenticatedError: "invalid_client",
    UnauthorizedClientError: "unauthorized_client",
    InvalidGrantError: "invalid_grant",
    InvalidScopeError: "invalid_scope",
    UnsupportedTokenTypeError: "unsupported_token_type",
    InvalidTargetError: "invalid_target",
    _UnsupportedGrantTypeError: "unsupported_grant_type",
    InvalidArgumentError: "invalid_request",
}
_JWKS: Final = JwkSet(
    keys=[Jwk(x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid="da3c7a8bdb800453")]
)
_TOKEN: Final = TokenAnswer(
    access_token="eyJ...",  # noqa: S106 - an example
    expires_in=limits.ACCESS_TOKEN_SECONDS,
    scope="read write",
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_token(app)
    _add_revocation(app)
    _add_keys(app)


def _add_token(app: StrongroomApp) -> None:
    @app.route(
        "/oauth/token",
        methods=["POST"],
        operation=Operation(
            tag=Tag.TOKENS,
            rights=(Right.CLIENT,),
            body={FORM: Content(CredentialsForm | ExchangeForm, CredentialsForm())},
            holds_secret=True,
            answers=(Answer(200, "The token.", json_content(TokenAnswer, _TOKEN)),),
            errors=(UnauthenticatedError,),
        ),
    )
    def issue_token() -> Response:
        """Issue an access token, for a client or for one of its users.

        The client's credentials are sent as HTTP Basic: client id and secret (RFC 6749 section
        4.4). A client with `user_grants` gets a token for a user by token exchange (RFC 8693).
        """
        try:
            return json_response(jsontext.dump(_token(app)))
        except tuple(_ERRORS) as error:
            return _refused(error, app.request_id)


def _add_revocation(app: StrongroomApp) -> None:
    @app.route(
        "/oauth/revoke",
        methods=["POST"],
        operation=Operation(
            tag=Tag.TOKENS,
            rights=(Right.CLIENT,),
            body={FORM: Content(RevocationForm, RevocationForm(token="eyJ..."))},  # noqa: S106
            answers=(Answer(200, "It is good for nothing now, if it ever was."),),
            errors=(UnauthenticatedError,),
        ),
    )
    def revoke_token() -> Response:
        """Revoke an access token of the client, its own or a user's (RFC 7009).

        It is refused within 5 s. A text that is no token, or one that has ended, is answered in the
        same way. Who administers everything may revoke any client's.
        """
        try:
            client_id, secret = basic_credentials(app.request.headers.get("authorization"))
            app.main.authorization.revoke(client_id, secret, _fields(app).get("token", ""))
        except tuple(_ERRORS) as error:
            return _refused(error, app.request_id)
        return Response("", {}, 200)


def _token(app: StrongroomApp) -> TokenAnswer:
    fields = _fields(app)
    grant_type = fields.get("grant_type")
    if grant_type is None:
        raise InvalidArgumentError("grant_type is missing")
    if grant_type not in {_CREDENTIALS, _EXCHANGE}:
        raise _UnsupportedGrantTypeError(f"grant_type is {_CREDENTIALS} or {_EXCHANGE}")
    for name in ("actor_token", "actor_token_type", "resource"):
        if name in fields:
            # RFC 8693 section 2.1; who acts is the client itself, by its credentials.
            raise InvalidArgumentError(f"{name} is not taken here")
    client_id, secret = basic_credentials(app.request.headers.get("authorization"))
    authorization, scope = app.main.authorization, fields.get("scope", "")
    if grant_type == _CREDENTIALS:
        return _shown(authorization.issue_token(client_id, secret, scope))
    wanted = Exchange(
        subject_token=fields.get("subject_token", ""),
        subject_token_type=fields.get("subject_token_type", ""),
        scope=scope,
        requested_token_type=fields.get("requested_token_type", ""),
        audience=fields.get("audience", ""),
    )
    issued = _shown(authorization.exchange(client_id, secret, wanted))
    return msgspec.structs.replace(issued, issued_token_type=ACCESS_TOKEN_TYPE)


def _fields(app: StrongroomApp) -> dict[str, str]:
    """Return the form; a parameter without a value is not there (RFC 6749 section 3.2)."""
    return {name: value for name, value in form(app.request).items() if value}


def _shown(issued: IssuedToken) -> TokenAnswer:
    return TokenAnswer(
        access_token=issued.access_token,
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(issued.scope)),
    )


def _refused(error: StrongroomError, request_id: str) -> Response:
    code = next(_ERRORS[kind] for kind in type(error).__mro__ if kind in _ERRORS)
    if isinstance(error, UnauthenticatedError):
        return problems.response(error, request_id, _CHALLENGE, oauth_error=code)
    return problems.response(error, request_id, oauth_error=code)


def _add_keys(app: StrongroomApp) -> None:
    @app.route(
        "/.well-known/jwks.json",
        methods=["GET"],
        operation=Operation(
            tag=Tag.TOKENS,
            rights=(Right.PUBLIC,),
            answers=(Answer(200, "The keys.", json_content(JwkSet, _JWKS)),),
        ),
    )
    def list_signing_keys() -> Response:
        """Answer the public keys that tokens verify by, those that do not sign yet too."""
        found = JwkSet(
            keys=[jwk(key.key_id, key.public_key) for key in app.main.signing_keys.published()]
        )
        return json_response(jsontext.dump(found))
