"""What the gRPC face lets in: how many messages it receives, keeps and sends at a time.

grpcio bounds the number of calls. It does not bound their bytes: every call that it has accepted
may receive a message of the largest size at once; 300 of 4 MiB were seen to take 3.9 GiB. So the
calls of clients come through here. A message that is not read stays with the client, by HTTP/2's
flow control; what counts is when it is read:

- First the token. Who has none is not listened to; neither is a client over its quota.
- Then a place among those that are received at a time. Who gets none within
  `limits.RECEIVE_WAIT_SECONDS`, or does not send within `limits.BODY_SECONDS`, is refused. (How
  large a message is shows only when it is there.)
- A small message goes on to the threads. A large one takes room until the call has ended, and is
  refused at once where there is none. So is a large answer, of a call that only reads.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Final, NoReturn, cast

import grpc
from cachetools import TTLCache
from google.protobuf.message import DecodeError

from main_api.rpc import metadata, streams
from main_api.rpc.auditing import CallAudit
from main_api.rpc.contexts import KnownPeer, ThreadContext, end
from main_api.rpc.methods import authorization
from main_api.rpc.streams import Streams
from main_api.service.callers.throttling import Throttle
from main_api.service.requests import patience
from main_api.service.requests.quotas import Quotas
from main_api.service.requests.room import Room
from strongroom import limits
from strongroom.errors import (
    InvalidArgumentError,
    RateLimitedError,
    StrongroomError,
    TimedOutError,
    TooLargeError,
)
from strongroom.request_threads import RequestThreads
from strongroom.rpc import status

# grpcio's own types say less of handlers and contexts than is needed here.
Handler = Any
Context = Any
_NO_MESSAGE: Final = "the message is not one of this call"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of the face.

    Attributes:
        serving: Run the handlers that are no coroutines.
        proving: Verify tokens. Were they the same, nobody would be refused while every thread waits
            for a worker: the refusal would wait for a thread too.
    """

    serving: RequestThreads
    proving: RequestThreads


class Gate(grpc.aio.ServerInterceptor):
    """Stands before every handler of the clients' server; used from its event loop."""

    def __init__(
        self,
        threads: Threads,
        throttle: Throttle,
        quotas: Quotas,
        calls: CallAudit,
        *,
        public: frozenset[str],
        only_read: frozenset[str],
        receive_wait_s: float,
        body_s: float,
    ) -> None:
        """Take what is needed to let a call in.

        Args:
            threads: Do what would hold up the event loop.
            throttle: Verifies tokens, and counts what proves nothing.
            quotas: Counts what clients use.
            calls: Records calls.
            public: The methods that take no token, by their paths.
            only_read: Those that change nothing.
            receive_wait_s: How long a call waits for its turn to be received.
            body_s: How long its message may take.
        """
        self._pool = threads.serving
        self._proofs = threads.proving
        self._throttle = throttle
        self._quotas = quotas
        self._calls = calls
        self._public = public
        self._only_read = only_read
        self._receive_wait_s = receive_wait_s
        self._body_s = body_s
        self._room = Room()
        self._clients = asyncio.Semaphore(limits.MESSAGES_RECEIVED_MAX)
        self._strangers = asyncio.Semaphore(limits.STRANGERS_MESSAGES_RECEIVED_MAX)
        self._streams = Streams(limits.CLIENT_STREAMS_MAX, limits.STREAMS_PER_CLIENT_MAX)
        self._strangers_streams = Streams(limits.MAIN_STREAMS_MAX, limits.MAIN_STREAMS_MAX)
        self._proven: TTLCache[str | None, str] = TTLCache(
            limits.VERIFIED_TOKENS_CACHED, limits.CLIENT_RECORD_CACHE_SECONDS
        )
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Any,  # noqa: ANN401 - as grpcio declares it
        handler_call_details: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return what serves a call in the place of its handler."""
        method = handler_call_details.method
        if _size_bytes(handler_call_details.invocation_metadata) > limits.METADATA_BYTES_MAX:
            return _refused(TooLargeError("the metadata are too large"))
        handler = self._handlers.get(method)
        if handler is None:
            found = await continuation(handler_call_details)
            if found is None or found.request_streaming:
                return found and self._one_more_stream(found)
            handler = self._handlers[method] = self._guarded(method, found)
        return handler

    def _guarded(self, method: str, handler: Handler) -> Handler:
        """Return a handler that is served as a stream of requests: such a one reads itself."""
        is_public = method in self._public
        throttle = self._throttle if is_public else None

        async def answer(_: object, begun: Context) -> bytes:
            context = KnownPeer(begun)
            account = None if is_public else await self._admit(method, context)
            message = await self._receive(context, account)
            data: bytes
            if iscoroutinefunction(handler.unary_unary):
                request = await _deserialized(handler, message, context)
                data = handler.response_serializer(await handler.unary_unary(request, context))
            else:
                call = _Call(method, handler, message, ThreadContext(context), throttle)
                try:
                    data = await self._pool.run(call.serve, self._calls)
                except asyncio.CancelledError:
                    # The client has gone, or its deadline has passed.
                    call.context.waiting.give_up()
                    raise
            if account is not None:
                self._quotas.charge(account, len(data))
            if method in self._only_read:
                await self._take_room(context, len(data))
            return data

        async def stream(_: object, begun: Context) -> None:
            context = KnownPeer(begun)
            account = None if is_public else await self._admit(method, context)
            message = await self._receive(context, account)
            request = await _deserialized(handler, message, context)
            if account is None:
                await self._hold(context, self._strangers_streams)
                await handler.unary_stream(request, context)
                return
            await self._hold(context, self._streams, account)
            pages = self._calls.pages(
                method, ThreadContext(context), partial(handler.unary_stream, request)
            )
            try:
                await streams.send(pages, context, self._pool, self._quotas, account)
            except StrongroomError as error:
                await _abort(context, error)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                stream, response_serializer=handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(answer)

    def _one_more_stream(self, handler: Handler) -> Handler:
        """Count a stream whose handler reads many messages, for as long as it lasts."""
        # grpcio runs a call's interceptors and its handler in one task.
        task = asyncio.current_task()
        try:
            give_back = self._strangers_streams.take()
        except RateLimitedError as error:
            return _refused(error)
        if task is not None:
            task.add_done_callback(lambda _: give_back())
        return handler

    async def _hold(self, context: Context, held: Streams, whose: str = "") -> None:
        """Take a stream's place until the call has ended."""
        try:
            give_back = held.take(whose)
        except RateLimitedError as error:
            await _abort(context, error)
        context.add_done_callback(lambda _: give_back())

    async def _receive(self, context: Context, account: str | None) -> list[bytes]:
        """Receive a call's message, and return the one place that holds it.

        When the call ends before its turn has come, nothing is left there: a thread that is still
        to serve it holds no memory.
        """
        is_public = account is None
        message = [await self._read(context, self._strangers if is_public else self._clients)]
        context.add_done_callback(lambda _: message.clear())
        if account is not None:
            self._quotas.charge(account, len(message[0]))
        elif len(message[0]) > limits.SMALL_BYTES_MAX:
            await _abort(context, TooLargeError("the message is too large"))
        await self._take_room(context, len(message[0]))
        return message

    async def _read(self, context: Context, places: asyncio.Semaphore) -> bytes:
        """Read a call's message, when there is a place among those that are received."""
        try:
            async with asyncio.timeout(self._receive_wait_s):
                await places.acquire()
        except TimeoutError:
            busy = RateLimitedError("too many messages are being received", retry_after_s=1)
            await _abort(context, busy)
        try:
            async with asyncio.timeout(self._body_s):
                message = await context.read()
        except TimeoutError:
            seconds = f"{self._body_s:.0f} s"
            await _abort(context, TimedOutError(f"the message did not come within {seconds}"))
        finally:
            places.release()
        if message is grpc.aio.EOF:
            await _abort(context, InvalidArgumentError("there is no message"))
        return bytes(message)

    async def _admit(self, method: str, context: Context) -> str:
        """Return whose quota a call takes, when it may be made; its request then counts."""
        try:
            account = await self._prove(method, context)
            self._quotas.admit(account)
        except StrongroomError as error:
            await _abort(context, error)
        return account

    async def _prove(self, method: str, context: Context) -> str:
        """Refuse a call without a token that holds; the handler asks again what it may do."""
        run = self._proofs.run
        try:
            token = authorization(context)
        except StrongroomError as error:
            await run(self._calls.refused, method, context, error.code)
            raise
        account = self._proven.get(token)
        if account is None:
            account = await run(self._proven_account, method, token, context)
            self._proven[token] = account
        return account

    def _proven_account(self, method: str, token: str | None, context: Context) -> str:
        """Return whose quota a token takes, on a thread; who is refused is on record."""
        try:
            return self._throttle.prove(token, metadata.origin(context)).account
        except StrongroomError as error:
            self._calls.refused(method, context, error.code)
            raise

    async def _take_room(self, context: Context, size_bytes: int) -> None:
        """Take room for a message until the call has ended."""
        try:
            give_back = self._room.take(size_bytes)
        except RateLimitedError as error:
            await _abort(context, error)
        context.add_done_callback(lambda _: give_back())


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that is served on a thread; with a throttle it has credentials in its message."""

    method: str
    handler: Handler
    message: list[bytes]
    context: ThreadContext
    throttle: Throttle | None

    def serve(self, calls: CallAudit) -> bytes:
        """Return the answer's bytes."""
        try:
            request = self.handler.request_deserializer(self.message.pop())
        except IndexError:
            # The call has ended while it waited for the thread.
            return b""
        except DecodeError:
            status.abort(_aborting(self.context), InvalidArgumentError(_NO_MESSAGE))
        except StrongroomError as error:
            status.abort(_aborting(self.context), error)
        claimed = "" if self.throttle is None else getattr(request, "client_id", "")

        def work(context: Context) -> bytes:
            if self.throttle is None:
                return self._answer(request, context)
            return self._authenticating(request, context, self.throttle, claimed)

        return calls.serve(self.method, self.context, request, work, claimed)

    def _answer(self, request: object, context: Context) -> bytes:
        with patience.serving(self.context.waiting):
            answer = self.handler.unary_unary(request, context)
        data: bytes = self.handler.response_serializer(answer)
        return data

    def _authenticating(
        self, request: object, context: Context, throttle: Throttle, claimed: str
    ) -> bytes:
        """Serve a call whose message has credentials, unless too many have failed from there."""
        try:
            attempt = throttle.attempt(metadata.origin(context), claimed)
        except StrongroomError as error:
            status.abort(_aborting(context), error)

        def count(code: grpc.StatusCode) -> None:
            if code is grpc.StatusCode.UNAUTHENTICATED:
                throttle.failed(attempt)

        # Whoever has been refused must not be able to try again before that counts.
        self.context.before_abort = count
        return self._answer(request, context)


def _aborting(context: Context) -> grpc.ServicerContext:
    """Return a context as the type checker wants it."""
    return cast("grpc.ServicerContext", context)


def _refused(error: StrongroomError) -> Handler:
    """Return a handler that ends a call before anything of it is read."""

    async def refuse(_: object, context: Context) -> None:
        await _abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _size_bytes(metadata: Iterable[tuple[str, str | bytes]] | None) -> int:
    """Return the size of metadata as RFC 9113 section 6.5.2 has it."""
    return sum(len(key) + len(value) + 32 for key, value in metadata or ())


async def _deserialized(handler: Handler, message: list[bytes], context: Context) -> Any:  # noqa: ANN401 - any message
    """Return the request of a call that no thread serves."""
    try:
        return handler.request_deserializer(message.pop())
    except DecodeError:
        await _abort(context, InvalidArgumentError(_NO_MESSAGE))
    except StrongroomError as error:
        await _abort(context, error)


async def _abort(context: Context, error: StrongroomError) -> NoReturn:
    """End a call with an error."""
    message = status.to_status(error)
    context.set_trailing_metadata(((status.DETAILS_KEY, message.SerializeToString()),))
    await end(context, _CODES[message.code], message.message)
    raise AssertionError("abort returned")
