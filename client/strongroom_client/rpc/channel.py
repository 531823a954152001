"""gRPC on blocking calls."""

from typing import Any, Final

import grpc

from strongroom_client.address import Address
from strongroom_client.core.steps import Broken
from strongroom_client.rpc.messages import RpcAnswer, RpcFailure, RpcRequest, RpcResponse
from strongroom_client.rpc.status import DETAILS_KEY

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
OPTIONS: Final = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    # Whether a call is repeated is decided in the core alone.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # A server that comes back is found soon: the pauses of the core are shorter than gRPC's second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class RpcChannel:
    """Carries calls to one address, over one connection that it keeps; for many threads."""

    def __init__(self, address: Address, roots: bytes | None) -> None:
        """Take where to, and whom to trust. Nothing is connected yet."""
        self._channel = grpc.secure_channel(
            address.authority, grpc.ssl_channel_credentials(roots), OPTIONS
        )
        self._methods: dict[str, Any] = {}

    def exchange(self, request: RpcRequest, timeout_s: float) -> RpcResponse | Broken:
        """Make a call and return what comes of it."""
        method = self._methods.get(request.method)
        if method is None:
            method = self._methods[request.method] = self._channel.unary_unary(request.method)
        try:
            answer = method(request.message, metadata=request.metadata, timeout=timeout_s)
        except grpc.RpcError as error:
            return failure(error)
        return RpcAnswer(answer)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def failure(error: Any) -> RpcFailure:  # noqa: ANN401 - a call and an exception at once
    """Return what an exception of gRPC's says, of either interface."""
    named = [
        value
        for key, value in error.trailing_metadata() or ()
        if key == DETAILS_KEY and isinstance(value, bytes)
    ]
    return RpcFailure(error.code().name, error.details() or "", named[0] if named else None)
