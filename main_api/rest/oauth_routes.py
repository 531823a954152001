"""The paths of OAuth 2.0: tokens, and the keys that they verify by."""

import base64
from typing import Annotated, Final, Literal

import msgspec
from chalice.app import Response

from main_api.rest import problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.operations import FORM, Answer, Content, Operation, Right, Tag, json_content
from main_api.rest.requests import basic_credentials, form
from main_api.service.keys.signing import PublishedKey
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError, UnauthenticatedError

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="strongroom", charset="UTF-8"'}


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a token."""

    grant_type: Literal["client_credentials"]
    scope: Annotated[
        str,
        msgspec.Meta(
            description="What to narrow it to: some of `read`, `write`, `delete`, `admin`,"
            " separated by spaces."
        ),
    ] = ""


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - its type
    expires_in: Annotated[int, msgspec.Meta(description="Seconds.")]
    scope: str


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """A public key, as RFC 8037 section 2 has it."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: str
    kid: str
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"


class JwkSet(msgspec.Struct, frozen=True, kw_only=True):
    """Public keys (RFC 7517 section 5)."""

    keys: list[Jwk]


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
    _add_keys(app)


def _add_token(app: StrongroomApp) -> None:
    @app.route(
        "/oauth/token",
        methods=["POST"],
        operation=Operation(
            tag=Tag.TOKENS,
            rights=(Right.CLIENT,),
            body={FORM: Content(TokenForm, TokenForm(grant_type="client_credentials"))},
            answers=(Answer(200, "The token.", json_content(TokenAnswer, _TOKEN)),),
            errors=(UnauthenticatedError,),
        ),
    )
    def issue_token() -> Response:
        """Issue an access token for client credentials (RFC 6749 section 4.4).

        The credentials are sent as HTTP Basic: client id and secret.
        """
        fields = form(app.request)
        if fields.get("grant_type") != "client_credentials":
            error = InvalidArgumentError("grant_type is client_credentials")
            return problems.response(error, app.request_id, oauth_error="unsupported_grant_type")
        try:
            client_id, secret = basic_credentials(app.request.headers.get("authorization"))
            issued = app.main.access.issue_token(client_id, secret, fields.get("scope", ""))
        except UnauthenticatedError as refusal:
            return problems.response(
                refusal, app.request_id, _CHALLENGE, oauth_error="invalid_client"
            )
        except InvalidArgumentError as refusal:
            return problems.response(refusal, app.request_id, oauth_error="invalid_scope")
        answer = TokenAnswer(
            access_token=issued.access_token,
            expires_in=issued.expires_in_s,
            scope=" ".join(sorted(issued.scope)),
        )
        return json_response(jsontext.dump(answer))


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
        found = JwkSet(keys=[_jwk(key) for key in app.main.signing_keys.published()])
        return json_response(jsontext.dump(found))


def _jwk(key: PublishedKey) -> Jwk:
    x = base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode()
    return Jwk(x=x, kid=key.key_id)
