"""AuthService: tokens for credentials."""

from typing import Final

from main_api.bootstrap import Main
from main_api.service.callers.authorization_server import SUBJECT_TOKEN_TYPE, Exchange, IssuedToken
from strongroom_pb.v1 import auth_pb2 as pb

DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["AuthService"]


def issue_token(main: Main, request: pb.IssueTokenRequest) -> pb.IssueTokenResponse:
    """Issue a token for client credentials."""
    return _issued(
        main.authorization.issue_token(request.client_id, request.client_secret, request.scope)
    )


def exchange_token(main: Main, request: pb.ExchangeTokenRequest) -> pb.IssueTokenResponse:
    """Issue a token for a user of a client."""
    wanted = Exchange(request.subject, SUBJECT_TOKEN_TYPE, request.scope)
    return _issued(main.authorization.exchange(request.client_id, request.client_secret, wanted))


def revoke_token(main: Main, request: pb.RevokeTokenRequest) -> pb.RevokeTokenResponse:
    """Revoke a token of a client's."""
    main.authorization.revoke(request.client_id, request.client_secret, request.token)
    return pb.RevokeTokenResponse()


def _issued(issued: IssuedToken) -> pb.IssueTokenResponse:
    return pb.IssueTokenResponse(
        access_token=issued.access_token,
        token_type="Bearer",  # noqa: S106 - the kind of token
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(issued.scope)),
    )


METHODS: Final = (issue_token, exchange_token, revoke_token)
