"""Every error has a code of its own and survives the way over gRPC."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from strongroom import errors
from strongroom.errors import (
    InternalError,
    RateLimitedError,
    StrongroomError,
    UnavailableError,
    Violation,
)
from strongroom.rpc import status

texts = st.text(max_size=30)
some_errors = st.builds(
    lambda kind, detail, **facts: kind(detail, **facts),
    kind=st.sampled_from(list(errors.BY_CODE.values())),
    detail=texts,
    retry_after_s=st.none() | st.integers(0, 10**6),
    current_version=st.none() | st.integers(0, 2**53 - 1),
    entity_key=st.none() | texts,
    violations=st.lists(st.builds(Violation, pointer=texts, keyword=texts, detail=texts)),
)


def error_classes() -> list[type[StrongroomError]]:
    """Return every class of the kernel's error module, its root aside."""
    found = [c for c in vars(errors).values() if isinstance(c, type)]
    return [c for c in found if issubclass(c, StrongroomError) and c is not StrongroomError]


def facts(error: StrongroomError) -> dict[str, object]:
    """Return all that an error says."""
    return {"type": type(error), **vars(error)}


def test_every_error_has_a_code_and_a_title_of_its_own() -> None:
    """A client cannot tell two failures apart by their stable code."""
    classes = error_classes()
    assert sorted(errors.BY_CODE) == sorted(c.code for c in classes)
    assert {code: kind.code for code, kind in errors.BY_CODE.items()} == {
        c: c for c in errors.BY_CODE
    }
    assert len({c.title for c in classes}) == len(classes)


def test_the_codes_that_clients_know_do_not_change() -> None:
    """A client that handles an error by its code does not recognise it any more."""
    known = {
        "internal": False,
        "invalid-argument": False,
        "invalid-json": False,
        "unauthenticated": False,
        "forbidden": False,
        "not-found": False,
        "method-not-allowed": False,
        "conflict": False,
        "precondition-failed": False,
        "too-large": False,
        "unsupported-media-type": False,
        "schema-violation": False,
        "patch-failed": False,
        "idempotency-mismatch": False,
        "rate-limited": True,
        "unavailable": True,
        "busy": True,
        "outcome-unknown": False,
        "integrity-error": False,
        "stale-binding": True,
    }
    assert known.items() <= {c.code: c.retryable for c in error_classes()}.items()


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.code)
def test_every_error_has_a_grpc_code(kind: type[StrongroomError]) -> None:
    """A refusal over gRPC is an internal error, because nobody gave its class a code."""
    code = status.to_status(kind("detail")).code
    assert code in {c.value[0] for c in grpc.StatusCode} - {0}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.PreconditionFailedError, grpc.StatusCode.ABORTED),
        (errors.IntegrityError, grpc.StatusCode.DATA_LOSS),
        (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
        (errors.ForbiddenError, grpc.StatusCode.PERMISSION_DENIED),
        (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
        (errors.SchemaViolationError, grpc.StatusCode.INVALID_ARGUMENT),
        (errors.RateLimitedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.UnavailableError, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_the_documented_grpc_codes(kind: type[StrongroomError], code: grpc.StatusCode) -> None:
    """A generic gRPC client retries what it must not, or gives up on what it should retry."""
    assert status.to_status(kind("detail")).code == code.value[0]


@given(some_errors)
def test_an_error_survives_as_a_message(error: StrongroomError) -> None:
    """Between the two workers an error becomes another one, or loses what it says."""
    wire = status.to_status(error).SerializeToString()
    assert facts(status.from_status(status_pb2.Status.FromString(wire))) == facts(error)


def packed(info: error_details_pb2.ErrorInfo) -> status_pb2.Status:
    """Return a status with one detail."""
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=5, message="secret detail", details=[detail])


@pytest.mark.parametrize(
    "message",
    [
        status_pb2.Status(code=14, message="secret detail"),
        packed(error_details_pb2.ErrorInfo(reason="made-up", domain=status.DOMAIN)),
        packed(error_details_pb2.ErrorInfo(reason="not-found", domain="example.com")),
        packed(error_details_pb2.ErrorInfo()),
    ],
    ids=["no details", "unknown reason", "foreign domain", "empty"],
)
def test_an_error_that_nobody_knows_is_an_internal_error(message: status_pb2.Status) -> None:
    """An answer of something in between is shown to the client as ours."""
    error = status.from_status(message)
    assert type(error) is InternalError
    assert "secret" not in error.detail


# -- over a real connection ------------------------------------------------------------------------

Handler = Callable[[grpc.ServicerContext], bytes]


class Answering(grpc.GenericRpcHandler):
    """Serves every method with one function."""

    def __init__(self) -> None:
        """Answer nothing of note yet."""
        self.answer: Handler = lambda _: b""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Return a handler of bytes."""
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(lambda _, context: self.answer(context))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Answering, Callable[[float], bytes]]]:
    """Serve on the loopback; return what answers, and a way to call it within some seconds."""
    answering = Answering()
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((answering,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield answering, calling(channel)
    server.stop(None).wait()


def calling(channel: grpc.Channel) -> Callable[[float], bytes]:
    """Return a way to call the server within some seconds."""
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Service/Method")
    return lambda timeout_s: bytes(method(b"", timeout=timeout_s))


def failure(call: Callable[[float], bytes], timeout_s: float = 10.0) -> StrongroomError:
    """Return the error that a call ends in."""
    with pytest.raises(grpc.RpcError) as caught:
        call(timeout_s)
    return status.from_rpc_error(caught.value)


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.code)
def test_every_error_crosses_a_connection(
    served: tuple[Answering, Callable[[float], bytes]], kind: type[StrongroomError]
) -> None:
    """A client of the gRPC face gets another error than one of the REST face."""
    answering, call = served
    error = kind(
        "grüße",
        retry_after_s=2,
        current_version=3,
        entity_key="kéy",
        violations=[Violation("/a~1b", "type", "not a string")],
    )
    answering.answer = lambda context: status.abort(context, error)
    assert facts(failure(call)) == facts(error)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, UnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UnavailableError),
        (grpc.StatusCode.CANCELLED, UnavailableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, RateLimitedError),
        (grpc.StatusCode.UNIMPLEMENTED, InternalError),
        (grpc.StatusCode.INTERNAL, InternalError),
        (grpc.StatusCode.UNKNOWN, InternalError),
    ],
)
def test_a_failure_that_grpc_names_is_translated(
    served: tuple[Answering, Callable[[float], bytes]],
    code: grpc.StatusCode,
    expected: type[StrongroomError],
) -> None:
    """An overloaded or dying worker is an internal error, and nobody asks the next one."""
    answering, call = served
    answering.answer = lambda context: context.abort(code, "secret detail")
    error = failure(call)
    assert type(error) is expected
    assert "secret" not in error.detail


def test_a_defect_of_the_other_side_shows_nothing_of_itself(
    served: tuple[Answering, Callable[[float], bytes]],
) -> None:
    """A stack trace or a document of the other side reaches the client."""
    answering, call = served

    def broken(_: grpc.ServicerContext) -> bytes:
        raise ValueError("secret detail")

    answering.answer = broken
    error = failure(call)
    assert type(error) is InternalError
    assert "secret" not in error.detail


def test_details_that_cannot_be_read_are_an_internal_error(
    served: tuple[Answering, Callable[[float], bytes]],
) -> None:
    """A broken answer of the other side ends in an exception that nobody translates."""
    answering, call = served

    def garbled(context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(((status.DETAILS_KEY, b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.UNKNOWN, "garbled")
        return b""

    answering.answer = garbled
    assert type(failure(call)) is InternalError


def test_a_call_that_takes_too_long_is_unavailable(
    served: tuple[Answering, Callable[[float], bytes]],
) -> None:
    """A worker that hangs is an internal error, and nobody asks the next one."""
    answering, call = served
    given_up = threading.Event()

    def hanging(context: grpc.ServicerContext) -> bytes:
        context.add_callback(given_up.set)
        given_up.wait(30)
        return b""

    answering.answer = hanging
    error = failure(call, timeout_s=0.05)
    assert type(error) is UnavailableError
    assert error.retry_after_s is not None


def test_a_worker_that_cannot_be_reached_is_unavailable() -> None:
    """A worker that has died is an internal error, and nobody asks the next one."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        error = failure(calling(channel))
    assert type(error) is UnavailableError
