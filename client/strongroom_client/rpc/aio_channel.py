"""gRPC on an event loop."""

from typing import Any

import grpc
from grpc import aio

from strongroom_client.address import Address
from strongroom_client.core.steps import Broken
from strongroom_client.rpc.channel import OPTIONS, failure
from strongroom_client.rpc.messages import RpcAnswer, RpcRequest, RpcResponse


class AsyncRpcChannel:
    """Carries calls to one address, over one connection that it keeps; for one event loop."""

    def __init__(self, address: Address, roots: bytes | None) -> None:
        """Take where to, and whom to trust. gRPC's channel belongs to the first call's loop."""
        self._address = address
        self._roots = roots
        self._channel: aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    async def exchange(self, request: RpcRequest, timeout_s: float) -> RpcResponse | Broken:
        """Make a call and return what comes of it."""
        method = self._methods.get(request.method)
        if method is None:
            method = self._methods[request.method] = self._opened().unary_unary(request.method)
        try:
            answer = await method(request.message, metadata=request.metadata, timeout=timeout_s)
        except aio.AioRpcError as error:
            return failure(error)
        return RpcAnswer(answer)

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()

    def _opened(self) -> aio.Channel:
        if self._channel is None:
            self._channel = aio.secure_channel(
                self._address.authority, grpc.ssl_channel_credentials(self._roots), OPTIONS
            )
        return self._channel
