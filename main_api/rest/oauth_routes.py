"""The paths of OAuth 2.0: tokens, and the keys that they verify by."""

import base64

from chalice.app import Response

from main_api.rest import problems
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import basic_credentials, form, parameters
from main_api.service.keys.signing import PublishedKey
from strongroom import jsontext
from strongroom.errors import InvalidArgumentError, UnauthenticatedError


def add(app: StrongroomApp) -> None:
    """Register the paths."""

    @app.route("/oauth/token", methods=["POST"])
    def token() -> Response:
        """Issue an access token for client credentials (RFC 6749 section 4.4)."""
        fields = form(app.request)
        if fields.get("grant_type") != "client_credentials":
            error = InvalidArgumentError("grant_type is client_credentials")
            return problems.response(
                error, app.request_id, members={"error": "unsupported_grant_type"}
            )
        try:
            client_id, secret = basic_credentials(app.request.headers.get("authorization"))
            issued = app.main.access.issue_token(client_id, secret, fields.get("scope", ""))
        except UnauthenticatedError as error:
            challenge = {"WWW-Authenticate": 'Basic realm="strongroom", charset="UTF-8"'}
            return problems.response(error, app.request_id, challenge, {"error": "invalid_client"})
        except InvalidArgumentError as error:
            return problems.response(error, app.request_id, members={"error": "invalid_scope"})
        answer = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in_s,
            "scope": " ".join(sorted(issued.scope)),
        }
        return json_response(jsontext.dump(answer))

    @app.route("/.well-known/jwks.json", methods=["GET"])
    def signing_keys() -> Response:
        """Answer the public keys that tokens verify by, those that do not sign yet too."""
        parameters(app.request, frozenset())
        found = {"keys": [_jwk(key) for key in app.main.signing_keys.published()]}
        return json_response(jsontext.dump(found))


def _jwk(key: PublishedKey) -> dict[str, str]:
    """Return a key as RFC 8037 section 2 has it."""
    x = base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
        "kid": key.key_id,
        "alg": "EdDSA",
        "use": "sig",
    }
