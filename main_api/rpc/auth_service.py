"""AuthService: tokens for credentials."""

from typing import Final

from main_api.bootstrap import Main
from strongroom_pb.v1 import auth_pb2 as pb

DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["AuthService"]


def issue_token(main: Main, request: pb.IssueTokenRequest) -> pb.IssueTokenResponse:
    """Issue a token for client credentials."""
    issued = main.access.issue_token(request.client_id, request.client_secret, request.scope)
    return pb.IssueTokenResponse(
        access_token=issued.access_token,
        token_type="Bearer",  # noqa: S106 - the kind of token
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(issued.scope)),
    )


METHODS: Final = (issue_token,)
