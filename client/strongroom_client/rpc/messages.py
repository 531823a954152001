"""Calls over gRPC and what comes of them, as values."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """A call.

    Attributes:
        method: Its full name, with a slash before service and method.
        message: What is sent, serialized.
        metadata: One of them holds a token.
    """

    method: str
    message: bytes = field(repr=False)
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class RpcAnswer:
    """What was answered, serialized."""

    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RpcFailure:
    """A call that failed.

    Attributes:
        code: Name of its status code.
        details: What gRPC says.
        status: A google.rpc.Status in bytes, where the server has named the error.
    """

    code: str
    details: str = ""
    status: bytes | None = field(default=None, repr=False)


RpcResponse = RpcAnswer | RpcFailure
