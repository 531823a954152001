"""The errors: one tree for both transports, of every code that a server has."""

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2

from strongroom import errors as kernel
from strongroom.errors import Violation
from strongroom.rpc import status
from strongroom_client import errors
from strongroom_client.calls import Call, DeleteEntity, GetEntities, GetEntity
from strongroom_client.core.steps import Broken
from strongroom_client.rest import problems
from strongroom_client.rest.codec import RestCodec
from strongroom_client.rest.messages import HttpResponse
from strongroom_client.rpc.codec import RpcCodec
from strongroom_client.rpc.messages import RpcAnswer, RpcFailure
from strongroom_client.rpc.status import refusal
from strongroom_client.written import Written
from strongroom_pb.v1 import entity_pb2 as pb


def test_every_code_of_a_server_has_its_class() -> None:
    """An error of the server's reaches a program as a defect of the server's."""
    assert set(errors.BY_CODE) == set(kernel.BY_CODE)


@pytest.mark.parametrize("code", sorted(kernel.BY_CODE))
def test_a_status_is_told_whole(code: str) -> None:
    """Over gRPC a program does not learn why, or when to come back."""
    told = kernel.BY_CODE[code](
        "because",
        retry_after_s=7,
        current_version=3,
        entity_key="k",
        violations=[Violation("/a", "type", "no")],
    )
    error = refusal(RpcFailure("UNKNOWN", "", status.to_status(told).SerializeToString()))
    assert isinstance(error, errors.BY_CODE[code])
    assert (error.code, error.detail, error.retry_after_s) == (code, "because", 7.0)
    assert (error.current_version, error.key) == (3, "k")
    assert error.violations == (errors.Violation("/a", "type", "no"),)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("UNAUTHENTICATED", errors.UnauthenticatedError), ("INTERNAL", errors.ServerError)],
)
def test_a_status_without_a_reason(code: str, kind: type[Exception]) -> None:
    """A proxy's refusal is taken for a success, or is repeated."""
    assert isinstance(refusal(RpcFailure(code, "x")), kind)


@pytest.mark.parametrize(
    ("failure", "may_have_acted"),
    [
        (RpcFailure("UNAVAILABLE", "failed to connect to all addresses; last error"), False),
        (RpcFailure("UNAVAILABLE", "Socket closed"), True),
        (RpcFailure("DEADLINE_EXCEEDED", "Deadline Exceeded"), True),
        (RpcFailure("UNKNOWN", "Stream removed (Socket closed)"), True),
    ],
)
def test_a_connection_that_breaks(failure: RpcFailure, *, may_have_acted: bool) -> None:
    """A write that was sent is taken for one that was not."""
    broken = refusal(failure)
    assert isinstance(broken, Broken)
    assert broken.may_have_acted == may_have_acted


@pytest.mark.parametrize("raw", [b"\xff\xff", b""])
def test_a_status_that_is_none(raw: bytes) -> None:
    """Bytes of a stranger end in a stack trace."""
    assert isinstance(refusal(RpcFailure("INTERNAL", "", raw)), errors.ServerError)


def test_a_strangers_reason_is_not_ours() -> None:
    """Another service's `not-found` is taken for an entity that is not there."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="not-found", domain="example.org"))
    told = status.to_status(kernel.NotFoundError("no"))
    del told.details[:]
    told.details.append(info)
    error = refusal(RpcFailure("NOT_FOUND", "", told.SerializeToString()))
    assert isinstance(error, errors.ServerError)


PROBLEM = {"content-type": "application/problem+json", "retry-after": "7"}


def test_a_problem_is_told_whole() -> None:
    """Over REST a program does not learn why, or when to come back."""
    body = (
        b'{"type":"urn:strongroom:problem:schema-violation","title":"t","status":422,"detail":"d",'
        b'"request_id":"r","errors":[{"pointer":"/a","keyword":"type","detail":"no"}],"key":"k",'
        b'"current_version":3}'
    )
    error = problems.refusal(HttpResponse(422, PROBLEM, body))
    assert isinstance(error, errors.SchemaViolationError)
    assert (error.code, error.detail, error.request_id) == ("schema-violation", "d", "r")
    assert (error.retry_after_s, error.current_version, error.key) == (7.0, 3, "k")
    assert error.violations == (errors.Violation("/a", "type", "no"),)


def test_a_problem_of_several() -> None:
    """After a failed batch a program does not know what was written."""
    body = (
        b'{"type":"urn:strongroom:problem:outcome-unknown","detail":"d","outcomes":{'
        b'"a":{"version":2,"created":false},"b":{"error":"busy","detail":"wait"},'
        b'"c":{"deleted":true,"version":3},"d":{"deleted":false}}}'
    )
    error = problems.refusal(HttpResponse(503, PROBLEM, body))
    assert isinstance(error, errors.PartlyWrittenError)
    told = error.outcomes
    assert (told["a"], told["c"], told["d"]) == (Written("a", 2, created=False), True, False)
    assert isinstance(told["b"], errors.UnavailableError)
    assert (told["b"].code, told["b"].key) == ("busy", "b")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"type":"about:blank","detail":"d"}', b"\xff"]
)
@pytest.mark.parametrize("kind", ["application/problem+json", "text/html", ""])
@pytest.mark.parametrize("status_code", [500, 404, 302, 200, 418])
def test_an_answer_of_a_stranger(body: bytes, kind: str, status_code: int) -> None:
    """A web server's 404 is taken for an entity that is not there."""
    error = problems.refusal(HttpResponse(status_code, {"content-type": kind}, body))
    assert isinstance(error, errors.ServerError)


@pytest.mark.parametrize("advice", [("5", 5.0), ("", None), ("Fri, 31 Dec 1999", None)])
@pytest.mark.parametrize("status_code", [502, 503, 504])
@pytest.mark.parametrize("body", [b"<html>", b'{"type":"about:blank","detail":"d"}'])
def test_a_gateway_without_a_server(
    status_code: int, advice: tuple[str, float | None], body: bytes
) -> None:
    """A write that a gateway lost sight of is said not to have taken place."""
    headers = {"content-type": "application/problem+json", "retry-after": advice[0]}
    broken = problems.refusal(HttpResponse(status_code, headers, body))
    assert isinstance(broken, Broken)
    assert broken.may_have_acted
    assert broken.retry_after_s == advice[1]


def test_a_gateway_that_refuses() -> None:
    """A gateway's limit or authorizer ends in an error that says nothing."""
    kinds = {
        401: errors.UnauthenticatedError,
        403: errors.ForbiddenError,
        413: errors.TooLargeError,
        429: errors.RateLimitedError,
    }
    found = {code: type(problems.refusal(HttpResponse(code))) for code in kinds}
    assert found == kinds


NOT_MODIFIED = HttpResponse(304)
OTHERS_LINE = HttpResponse(200, {}, b'{"key": "theirs", "version": 1, "entity": 1}\n')


@pytest.mark.parametrize(
    ("call", "response"),
    [
        (GetEntity(database="d", key="k"), NOT_MODIFIED),
        (GetEntities(database="d", keys=["k"]), NOT_MODIFIED),
        (DeleteEntity(database="d", key="k", idempotency_key="i"), NOT_MODIFIED),
        (GetEntity(database="d", key="k"), OTHERS_LINE),
    ],
)
def test_an_answer_to_something_else(call: Call[object], response: HttpResponse) -> None:
    """A cache's 304 is taken for a deletion, or another entity for the one that was asked for."""
    with pytest.raises(errors.ServerError):
        RestCodec().answer(call, response)


@pytest.mark.parametrize("answer", [pb.Entity(key="k", not_modified=True), pb.Entity(key="theirs")])
def test_an_answer_to_something_else_over_grpc(answer: pb.Entity) -> None:
    """As above."""
    call = GetEntity(database="d", key="k")
    with pytest.raises(errors.ServerError):
        RpcCodec().answer(call, RpcAnswer(answer.SerializeToString()))


@pytest.mark.parametrize("status_code", [200, 500])
def test_an_answer_without_depth_bound(status_code: int) -> None:
    """An answer that nests deeper than the stack ends a program with a stack trace."""
    deep = b'{"zzz": ' + b"[" * 50_000 + b"]" * 50_000 + b', "key": "k", "version": 1, "entity": 1}'
    kind = {"content-type": "application/problem+json"}
    with pytest.raises(errors.ServerError):
        RestCodec().answer(GetEntity(database="d", key="k"), HttpResponse(status_code, kind, deep))
