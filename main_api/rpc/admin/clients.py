"""Clients and their grants."""

from typing import Annotated, Final

import msgspec

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.domain.explanations import Question
from main_api.domain.grants import Grant
from main_api.rpc.admin import grants
from main_api.service.ports import ClientRecord
from strongroom import limits
from strongroom.errors import InvalidArgumentError
from strongroom_pb.v1 import admin_pb2 as pb

Grants = Annotated[tuple[Grant, ...], msgspec.Meta(max_length=limits.GRANTS_MAX)]


class _Granted(msgspec.Struct):
    grants: Grants
    user_grants: Grants


def put_client(main: Main, caller: Caller, request: pb.PutClientRequest) -> pb.PutClientResponse:
    """Make a client, its secret shown this once; or change a client's grants."""
    given = _granted(request)
    client, secret = main.administration.put_client(
        caller, request.client_id, given.grants, given.user_grants
    )
    return pb.PutClientResponse(
        client=_client(client), client_secret=secret or "", created=secret is not None
    )


def get_client(main: Main, caller: Caller, request: pb.GetClientRequest) -> pb.Client:
    """Return a client, without its secret."""
    return _client(main.administration.client(caller, request.client_id))


def list_clients(
    main: Main, caller: Caller, request: pb.ListClientsRequest
) -> pb.ListClientsResponse:
    """Return a page of the clients, without their secrets."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.administration.clients(caller, limit, request.page_token)
    return pb.ListClientsResponse(
        clients=map(_client, found.records),
        next_page_token=found.cursor,
        damaged=found.damaged,
    )


def delete_client(
    main: Main, caller: Caller, request: pb.DeleteClientRequest
) -> pb.DeleteClientResponse:
    """Remove a client."""
    main.administration.delete_client(caller, request.client_id)
    return pb.DeleteClientResponse()


def rotate_client_secret(
    main: Main, caller: Caller, request: pb.RotateClientSecretRequest
) -> pb.RotateClientSecretResponse:
    """Give a client a new secret, shown this once."""
    is_said = request.HasField("overlap_seconds")
    overlap_s = request.overlap_seconds if is_said else limits.SECRET_OVERLAP_SECONDS
    client, secret = main.administration.rotate_secret(caller, request.client_id, overlap_s)
    return pb.RotateClientSecretResponse(client=_client(client), client_secret=secret)


def explain_client(
    main: Main, caller: Caller, request: pb.ExplainClientRequest
) -> pb.ExplainClientResponse:
    """Return which grant lets a client, or a user of it, do something, and why no other does."""
    user = request.subject if request.HasField("subject") else None
    question = Question(request.database, request.key, grants.action(request.action), user)
    found = main.administration.explain(caller, request.client_id, question)
    return pb.ExplainClientResponse(
        allowed=found.decides is not None,
        decides=found.decides,
        grants=[
            pb.JudgedGrant(
                grant=grants.message(one.grant),
                key_prefix=one.key_prefix,
                verdict=one.verdict,
                reason=one.verdict.reason,
            )
            for one in found.judged
        ],
    )


METHODS: Final = (
    put_client,
    get_client,
    list_clients,
    delete_client,
    rotate_client_secret,
    explain_client,
)


def _granted(request: pb.PutClientRequest) -> _Granted:
    members = {
        "grants": grants.members(request.grants),
        "user_grants": grants.members(request.user_grants),
    }
    try:
        return msgspec.convert(members, _Granted)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from error


def _client(client: ClientRecord) -> pb.Client:
    return pb.Client(
        client_id=client.client_id,
        grants=map(grants.message, client.grants),
        user_grants=map(grants.message, client.user_grants),
        created_at=client.created_at,
        old_secret_until=client.retiring.valid_until if client.retiring else "",
    )
