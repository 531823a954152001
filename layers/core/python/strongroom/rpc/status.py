"""Errors as google.rpc.Status and back: the one table between our codes and gRPC's.

The stable code travels as `ErrorInfo.reason` in the domain `strongroom`, violations as
`BadRequest`, a wait as `RetryInfo`, so that a generic client understands them too (AIP-193).
"""

from collections.abc import Iterable
from typing import Any, Final, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from strongroom import errors

DOMAIN: Final = "strongroom"
DETAILS_KEY: Final = "grpc-status-details-bin"
_VERSION: Final = "current_version"
_DETAILS_BYTES_MAX: Final = 4_096
_ENTITY_KEY: Final = "entity_key"

_GRPC: Final[dict[type[errors.StrongroomError], int]] = {
    errors.InternalError: code_pb2.INTERNAL,
    errors.InvalidArgumentError: code_pb2.INVALID_ARGUMENT,
    errors.InvalidDocumentError: code_pb2.INVALID_ARGUMENT,
    errors.UnauthenticatedError: code_pb2.UNAUTHENTICATED,
    errors.ForbiddenError: code_pb2.PERMISSION_DENIED,
    errors.NotFoundError: code_pb2.NOT_FOUND,
    errors.MethodNotAllowedError: code_pb2.UNIMPLEMENTED,
    errors.NotAcceptableError: code_pb2.INVALID_ARGUMENT,
    errors.ConflictError: code_pb2.ALREADY_EXISTS,
    errors.PreconditionFailedError: code_pb2.ABORTED,
    errors.TimedOutError: code_pb2.DEADLINE_EXCEEDED,
    errors.TooLargeError: code_pb2.INVALID_ARGUMENT,
    errors.UnsupportedMediaTypeError: code_pb2.INVALID_ARGUMENT,
    errors.SchemaViolationError: code_pb2.INVALID_ARGUMENT,
    errors.PatchFailedError: code_pb2.INVALID_ARGUMENT,
    errors.IdempotencyMismatchError: code_pb2.INVALID_ARGUMENT,
    errors.RateLimitedError: code_pb2.RESOURCE_EXHAUSTED,
    errors.UnavailableError: code_pb2.UNAVAILABLE,
    errors.BusyError: code_pb2.UNAVAILABLE,
    errors.OutcomeUnknownError: code_pb2.UNKNOWN,
    errors.IntegrityError: code_pb2.DATA_LOSS,
    errors.KeyDestroyedError: code_pb2.DATA_LOSS,
    errors.StaleBindingError: code_pb2.FAILED_PRECONDITION,
}
_STATUS_CODES: Final = {status.value[0]: status for status in grpc.StatusCode}


def to_status(error: errors.StrongroomError) -> status_pb2.Status:
    """Return an error as the message that crosses the wire."""
    status = status_pb2.Status(code=_code(error), message=error.detail)
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    if error.current_version is not None:
        info.metadata[_VERSION] = str(error.current_version)
    if error.entity_key is not None:
        info.metadata[_ENTITY_KEY] = error.entity_key
    _add(status, info)
    if error.violations:
        _add(status, _bad_request(error))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = error.retry_after_s
        _add(status, retry)
    return status


def _code(error: errors.StrongroomError) -> int:
    return next(_GRPC[kind] for kind in type(error).__mro__ if kind in _GRPC)


def from_status(status: status_pb2.Status) -> errors.StrongroomError:
    """Return the error that a status tells of; an unknown one is an internal error."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad_request, retry):
            detail.Unpack(message)
    if info.domain != DOMAIN or info.reason not in errors.BY_CODE:
        return errors.InternalError("the other side failed in a way that it did not name")
    version = info.metadata.get(_VERSION)
    return errors.BY_CODE[info.reason](
        status.message,
        retry_after_s=retry.retry_delay.seconds if retry.HasField("retry_delay") else None,
        current_version=int(version) if version is not None else None,
        entity_key=info.metadata.get(_ENTITY_KEY),
        violations=[
            errors.Violation(v.field, v.reason, v.description) for v in bad_request.field_violations
        ],
    )


def from_rpc_error(error: grpc.RpcError) -> errors.StrongroomError:
    """Return the error of a failed call: the one that the server named, else what gRPC says."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    if isinstance(error, grpc.Call):
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                return _from_bytes(value)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.RateLimitedError("the server has no room for the request", retry_after_s=1)
    if code in _TRANSIENT or _connection_broke(error):
        return errors.UnavailableError("the server cannot be reached in time", retry_after_s=1)
    return errors.InternalError("the call failed in a way that the other side did not name")


def _connection_broke(error: grpc.RpcError) -> bool:
    """Recognize gRPC core's words for a connection that ended within a call, which is UNKNOWN."""
    return isinstance(error, grpc.Call) and "Stream removed" in (error.details() or "")


def code_of(trailing: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the code of the error that trailing metadata tell of; empty where they tell of none.

    They are those that `abort` sets.
    """
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _from_bytes(value).code
    return ""


def _from_bytes(raw: bytes) -> errors.StrongroomError:
    try:
        return from_status(status_pb2.Status.FromString(raw))
    except (DecodeError, ValueError):
        return errors.InternalError("the other side failed in a way that cannot be read")


def is_answer(error: grpc.RpcError) -> bool:
    """Tell whether the server itself has named the error, rather than gRPC for want of it."""
    return isinstance(error, grpc.Call) and any(
        key == DETAILS_KEY for key, _ in error.trailing_metadata() or ()
    )


_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


def abort(context: grpc.ServicerContext, error: errors.StrongroomError) -> NoReturn:
    """End a call of a server with an error."""
    status = _capped(to_status(error))
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(_STATUS_CODES[status.code], status.message)
    raise AssertionError("abort returned")


async def abort_aio(
    context: grpc.aio.ServicerContext[Any, Any], error: errors.StrongroomError
) -> NoReturn:
    """As `abort`, of a coroutine."""
    status = _capped(to_status(error))
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    await context.abort(_STATUS_CODES[status.code], status.message)
    raise AssertionError("abort returned")


def _capped(status: status_pb2.Status) -> status_pb2.Status:
    """Leave violations out until the status fits into trailing metadata."""
    for detail in status.details:
        bad_request = error_details_pb2.BadRequest()
        while detail.ByteSize() > _DETAILS_BYTES_MAX and detail.Unpack(bad_request):
            del bad_request.field_violations[len(bad_request.field_violations) // 2 :]
            detail.Pack(bad_request)
    return status


def _bad_request(error: errors.StrongroomError) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[
            violation(field=v.pointer, reason=v.keyword, description=v.detail)
            for v in error.violations
        ]
    )


def _add(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
