"""Failed calls as errors: google.rpc.Status (AIP-193), or what gRPC says for want of one."""

from typing import Final

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from strongroom_client import errors
from strongroom_client.core.steps import Broken
from strongroom_client.rpc.messages import RpcFailure

DETAILS_KEY: Final = "grpc-status-details-bin"
_DOMAIN: Final = "strongroom"
_PASSING: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})
_BY_CODE: Final[dict[str, type[errors.StrongroomClientError]]] = {
    "UNAUTHENTICATED": errors.UnauthenticatedError,
    "PERMISSION_DENIED": errors.ForbiddenError,
    "RESOURCE_EXHAUSTED": errors.RateLimitedError,
}
# gRPC core's own words, where its codes do not tell things apart.
_NOT_CONNECTED: Final = "failed to connect to all addresses"
_LAST: Final = "last error: "
_REASON_CHARS: Final = 300
_TOO_LARGE: Final = "message larger than max"
_STREAM_REMOVED: Final = "Stream removed"


def refusal(failure: RpcFailure) -> Broken | errors.StrongroomClientError:
    """Return what a failed call says."""
    if failure.status is not None:
        try:
            return of_status(status_pb2.Status.FromString(failure.status))
        except (DecodeError, ValueError):
            return errors.ServerError("the error that the server names cannot be read")
    detail = f"the call ended with {failure.code}, for which the server names no reason"
    if _NOT_CONNECTED in failure.details:
        # No request was sent yet, so that nothing of one is in it; TLS and the kernel say why.
        detail = f"there is no connection: {failure.details.rpartition(_LAST)[2][:_REASON_CHARS]}"
    if failure.code in _PASSING or _STREAM_REMOVED in failure.details:
        return Broken(detail, may_have_acted=_NOT_CONNECTED not in failure.details)
    if _TOO_LARGE in failure.details:
        return errors.TooLargeError("the answer is larger than this client takes")
    return _BY_CODE.get(failure.code, errors.ServerError)(detail)


def of_status(status: status_pb2.Status, key: str | None = None) -> errors.StrongroomClientError:
    """Return the error that a status tells of.

    Args:
        status: The message.
        key: Which entity it is about, where the message stands beside others.
    """
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad_request, retry):
            detail.Unpack(message)
    if info.domain != _DOMAIN:
        return errors.ServerError("the answer is none of Strongroom's")
    version = info.metadata.get("current_version")
    delay = retry.retry_delay
    facts = errors.Facts(
        retry_after_s=delay.seconds + delay.nanos / 1e9 if retry.HasField("retry_delay") else None,
        current_version=int(version) if version is not None else None,
        key=key if key is not None else info.metadata.get("entity_key"),
        violations=[
            errors.Violation(one.field, one.reason, one.description)
            for one in bad_request.field_violations
        ],
    )
    return errors.of_code(info.reason, status.message, facts)
