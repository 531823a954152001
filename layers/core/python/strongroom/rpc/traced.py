"""Spans of calls over gRPC: interceptors of channels and servers, there where spans are exported.

A call's span is the parent of what serves it on the other side: its metadata name it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc

from strongroom import tracing
from strongroom.tracing import TRACEPARENT_KEY, Attribute, InSpan, Span, Trace, Tracer

# grpcio's own types say less of handlers, calls and contexts than is needed here.
Handler = Any
Context = Any
_OURS: Final = "/strongroom_pb."
_SYSTEM: Final = {"rpc.system": "grpc"}


class ClientSpans(grpc.UnaryUnaryClientInterceptor):
    """Puts a span around each call of a channel that belongs to a request."""

    def __init__(self, attributes: Mapping[str, Attribute]) -> None:
        """Take what is said of each span."""
        self._attributes = {**_SYSTEM, **attributes}

    def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Any],
        client_call_details: Any,  # noqa: ANN401 - as grpcio declares it
        request: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Make the call; the span ends with it."""
        outer = tracing.current().span
        if outer is None:
            return continuation(client_call_details, request)
        named = {**self._attributes, **_method(client_call_details.method)}
        span = outer.child(f"call {named['rpc.method']}", "client", named)
        try:
            details = client_call_details._replace(
                metadata=_named(client_call_details.metadata, span)
            )
            call = continuation(details, request)
        except BaseException as error:
            span.fail(tracing.reason_of(error))
            span.end()
            raise
        call.add_done_callback(lambda ended: _end_call(span, ended))
        return call


class ServerSpans(grpc.ServerInterceptor):
    """Puts a span around each call that a server with threads serves."""

    def __init__(self, tracer: Tracer) -> None:
        """Take what begins spans."""
        self._tracer = tracer
        self._handlers: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: Callable[[Any], Any],
        handler_call_details: Any,  # noqa: ANN401 - as grpcio declares it
    ) -> Any:  # noqa: ANN401 - as above
        """Return what serves a call."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = continuation(handler_call_details)
            if handler is None or handler.unary_unary is None or not method.startswith(_OURS):
                return handler
            self._handlers[method] = handler = self._spanned(method, handler)
        return handler

    def _spanned(self, method: str, handler: Handler) -> Handler:
        named = {**_SYSTEM, **_method(method)}
        begin, serve = self._tracer.begin, handler.unary_unary
        name = f"{named['rpc.service'].rpartition('.')[2]}/{named['rpc.method']}"

        def answer(request: Any, context: Context) -> Any:  # noqa: ANN401 - any message
            came = tracing.of_metadata(context.invocation_metadata())
            trace = begin(name, came, named)
            if trace.span is None:
                with tracing.entered(trace):
                    return serve(request, context)
            with tracing.spanning(trace, trace.span) as span:
                span.note(_asked(request))
                answered = serve(request, context)
                _note_refusal(span, answered)
                return answered

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


class AioServerSpans(grpc.aio.ServerInterceptor):
    """The same for the server of an event loop. It is the outermost interceptor.

    Handlers may serve on other threads: what they are in, they take of the metadata.
    """

    def __init__(self, tracer: Tracer) -> None:
        """Take what begins spans."""
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Any,  # noqa: ANN401 - as grpcio declares it
        handler_call_details: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return what serves a call."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        named = {**_SYSTEM, **_method(method)}
        name = f"{named['rpc.service'].rpartition('.')[2]}/{named['rpc.method']}"
        came = tracing.of_metadata(handler_call_details.invocation_metadata)
        trace = self._tracer.begin(name, came, named)
        return handler if trace.span is None else _spanned(handler, trace, trace.span)


def _spanned(handler: Handler, trace: Trace, span: Span) -> Handler:
    """Return a handler whose calls are told that they are in a span, which ends with them."""

    async def serve(begun: Any, context: Context, inner: Callable[[Any, Context], Any]) -> Any:  # noqa: ANN401
        seen = _Seen(context, trace, span)
        try:
            return await inner(begun, seen)
        except BaseException as error:
            if not seen.is_told:
                span.fail(tracing.reason_of(error))
            raise
        finally:
            span.end()

    shaped = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.stream_unary is not None:

        async def unary(begun: Any, context: Context) -> Any:  # noqa: ANN401
            return await serve(begun, context, handler.stream_unary)

        return grpc.stream_unary_rpc_method_handler(unary, **shaped)
    if handler.stream_stream is not None:

        async def stream(begun: Any, context: Context) -> Any:  # noqa: ANN401
            return await serve(begun, context, handler.stream_stream)

        return grpc.stream_stream_rpc_method_handler(stream, **shaped)
    span.end()
    return handler


class _Seen:
    """A call's context in a span: its metadata name the span, and its end is noticed."""

    def __init__(self, context: Context, trace: Trace, span: Span) -> None:
        self._context = context
        self._span = span
        self.is_told = False
        self._metadata = InSpan(context.invocation_metadata() or (), trace)

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def invocation_metadata(self) -> InSpan:
        return self._metadata

    async def abort(self, code: grpc.StatusCode, *details: Any) -> None:  # noqa: ANN401
        self.is_told = True
        self._span.note({"rpc.grpc.status_code": code.value[0]})
        self._span.fail(code.name.lower())
        await self._context.abort(code, *details)


def _method(path: str) -> dict[str, str]:
    service, _, method = path[1:].partition("/")
    return {"rpc.service": service, "rpc.method": method}


def _named(metadata: Any, span: Span) -> list[tuple[str, str]]:  # noqa: ANN401 - grpcio's
    kept = [pair for pair in metadata or () if pair[0] != TRACEPARENT_KEY]
    return [*kept, (TRACEPARENT_KEY, span.traceparent)]


def _asked(request: Any) -> dict[str, Attribute]:  # noqa: ANN401 - any message
    """Return what a span tells of a message to a worker."""
    database = getattr(request, "database_name", "")
    asked: dict[str, Attribute] = {"strongroom.database": database} if database else {}
    operation = request.DESCRIPTOR.fields_by_name.get("operation")
    if operation is not None and operation.enum_type is not None:
        known = operation.enum_type.values_by_number.get(request.operation)
        if known is not None:
            asked["strongroom.operation"] = known.name.removeprefix("OPERATION_").lower()
    return asked


def _note_refusal(span: Span, answered: Any) -> None:  # noqa: ANN401 - any message
    """Say that a worker's answer is a refusal, which is no failure of the call."""
    fields = answered.DESCRIPTOR.fields_by_name
    if "status" in fields and answered.HasField("status"):
        span.fail(_code(answered.status.code))


def _code(number: int) -> str:
    return _CODES.get(number, "unknown")


_CODES: Final = {code.value[0]: code.name.lower() for code in grpc.StatusCode}


def _end_call(span: Span, call: Any) -> None:  # noqa: ANN401 - grpcio's
    code = call.code()
    if code is not grpc.StatusCode.OK:
        span.note({"rpc.grpc.status_code": code.value[0]})
        span.fail(code.name.lower())
    span.end()
