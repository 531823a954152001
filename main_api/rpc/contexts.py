"""A call's context, as handlers on threads may have it, and as the audit log wants it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import grpc

from main_api.service.requests.patience import Patience
from strongroom.errors import StrongroomError
from strongroom.rpc import status

# grpcio's own types say less of contexts than is needed here.
Context = Any


class KnownPeer:
    """A call's context whose peer, and its certificate, are known from its beginning.

    To ask grpcio for the peer of a call that has ended is a segmentation fault, and a thread cannot
    know whether its call has. So it is with certificates.
    """

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
        """Return what the other side has proven."""
        return self._auth_context


class ThreadContext:
    """A call's context for a handler on a thread."""

    def __init__(self, context: Context) -> None:
        """Take it; from the event loop."""
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.before_abort: Callable[[grpc.StatusCode], None] = lambda _: None
        self.waiting = Patience(context.time_remaining())

    def __getattr__(self, name: str) -> object:
        """Be the context in all else."""
        return getattr(self._context, name)

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call; what this raises has to reach grpcio."""
        self.before_abort(code)
        ending = end(self._context, code, details)
        asyncio.run_coroutine_threadsafe(ending, self._loop).result()
        raise AssertionError("abort returned")


class Watched:
    """A call's context, for a handler on a thread: it concludes before it aborts."""

    def __init__(self, context: Context, conclude: Callable[[str], None]) -> None:
        """Take what to tell how the call ends: with the code of an error."""
        self._context = context
        self._conclude = conclude
        self._outcome = ""

    def __getattr__(self, name: str) -> object:
        """Be the context in all else."""
        return getattr(self._context, name)

    def set_trailing_metadata(self, trailing: Iterable[tuple[str, str | bytes]]) -> None:
        """Look which error the metadata tell of."""
        told = tuple(trailing)
        self._outcome = status.code_of(told)
        self._context.set_trailing_metadata(told)

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """Conclude, then end the call; with another error where this one cannot be recorded."""
        try:
            self._conclude(self._outcome or code.name.lower())
        except StrongroomError as error:
            status.abort(self._context, error)
        self._context.abort(code, details)
        raise AssertionError("abort returned")


class WatchedStream(Watched):
    """The same for a coroutine."""

    async def abort(  # type: ignore[override]
        self, code: grpc.StatusCode, details: str
    ) -> NoReturn:
        """Conclude on a thread, because that may write."""
        await asyncio.to_thread(self._conclude, self._outcome or code.name.lower())
        await self._context.abort(code, details)
        raise AssertionError("abort returned")


async def end(context: Context, code: grpc.StatusCode, details: str) -> None:
    """End a call; from the event loop.

    Raises:
        CancelledError: The caller has gone, which is no defect of ours.
    """
    try:
        await context.abort(code, details)
    except (grpc.aio.InternalError, grpc.aio.UsageError):
        raise asyncio.CancelledError from None
