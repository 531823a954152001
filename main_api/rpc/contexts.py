"""Contexts of calls for handlers that run on threads, which may outlast their calls.

To ask grpcio for the peer or the certificate of a call that has ended is a segmentation fault, and
a thread cannot know whether its call has. So both are asked for on the event loop, when it begins.
"""

import asyncio
from typing import Any, NoReturn

import grpc

from main_api.service.patience import Patience

# grpcio's own types say less of contexts than is needed here.
Context = Any


class KnownPeer:
    """A call's context whose peer and certificate are known from its beginning."""

    def __init__(self, context: Context) -> None:
        """Ask now; from the event loop, before anything is awaited."""
        self._context = context
        self._peer: str = context.peer()
        self._auth_context: dict[str, object] = dict(context.auth_context())

    def __getattr__(self, name: str) -> object:
        """Be the context in all else."""
        return getattr(self._context, name)

    def peer(self) -> str:
        """Return where the call comes from."""
        return self._peer

    def auth_context(self) -> dict[str, object]:
        """Return what the caller's certificate says."""
        return self._auth_context


class ThreadContext:
    """A call's context for a handler on a thread; made on the event loop."""

    def __init__(self, context: Context) -> None:
        """Take the context."""
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.ended_with: grpc.StatusCode | None = None
        self.waiting = Patience(context.time_remaining())

    def __getattr__(self, name: str) -> object:
        """Be the context in all else."""
        return getattr(self._context, name)

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call; what this raises has to reach grpcio."""
        self.ended_with = code
        ending = end(self._context, code, details)
        asyncio.run_coroutine_threadsafe(ending, self._loop).result()
        raise AssertionError("abort returned")


async def end(context: Context, code: grpc.StatusCode, details: str) -> None:
    """End a call.

    Raises:
        CancelledError: The caller has gone, which is no defect of ours.
    """
    try:
        await context.abort(code, details)
    except (grpc.aio.InternalError, grpc.aio.UsageError):
        raise asyncio.CancelledError from None
