"""Methods of a gRPC service as plain functions, bound to what their proto file declares.

    def get_entity(main: Main, caller: Caller, request: pb.GetEntityRequest) -> pb.Entity: ...

serves `GetEntity`. A function gets at its caller only through a verified token, so no method can be
served without one; only what its proto file declares to take no token is a function of
`(main, request)`.
Functions run on a thread pool: the use cases block, and asyncio is left to what is held open.

A method that streams its answers is a generator, of which a thread makes each page. In the place of
a caller it is given the way to one, and goes it for each page: who is revoked, or loses a grant,
meanwhile, gets no further page.

    def stream_entities(
        main: Main, who: Who, request: pb.ListEntitiesRequest
    ) -> Iterator[pb.ListEntitiesResponse]: ...
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, get_args

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.rpc import declared, metadata, wire
from main_api.service.audit import entry as audit_entry
from strongroom import limits, logs, tracing
from strongroom.errors import InternalError, StrongroomError, UnauthenticatedError
from strongroom.rpc import status

T = TypeVar("T")
# Of these, mypy sees each function beside its own messages; what binds them is checked here.
Method = Callable[..., Any]
Who = Callable[[], Caller]
_log = logs.logger()


def service(
    main: Main, descriptor: ServiceDescriptor, functions: Iterable[Method]
) -> grpc.GenericRpcHandler:
    """Return what serves a service.

    Raises:
        TypeError: The functions are not those that the proto file declares.
    """
    by_name = {_name(function): function for function in functions}
    if by_name.keys() != (names := set(descriptor.methods_by_name)):
        wrong = ", ".join(sorted(by_name.keys() ^ names))
        raise TypeError(f"{descriptor.full_name} has no function, or no method, for: {wrong}")
    handlers = {m.name: _handler(main, m, by_name[m.name]) for m in descriptor.methods}
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def serve(context: grpc.ServicerContext, work: Callable[[], T]) -> T:
    """Run a handler; its errors become google.rpc.Status."""
    failure: StrongroomError
    with tracing.entered(metadata.trace(context)):
        try:
            return work()
        except StrongroomError as error:
            failure = error
        except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
            _log.exception("call-failed")
            failure = InternalError("an internal error; the log has more")
    return status.abort(context, failure)


def authorization(
    context: grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any],
) -> str | None:
    """Return the `authorization` of a call's metadata.

    Raises:
        UnauthenticatedError: It stands there twice; who was meant is anybody's guess.
    """
    metadata = context.invocation_metadata() or ()
    given = [value for key, value in metadata if key == "authorization"]
    if len(given) > 1:
        raise UnauthenticatedError("send one authorization")
    return given[0] if given and isinstance(given[0], str) else None


def _handler(
    main: Main, method: MethodDescriptor, function: Method
) -> "grpc.RpcMethodHandler[Any, Any]":
    request_type, answer_type = _messages(method, function)

    def caller_of(context: grpc.ServicerContext) -> Caller:
        caller = main.access.authenticate(authorization(context))
        audit_entry.called_by(caller)
        return caller

    def answer(request: Message, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - a message
        return serve(context, lambda: function(main, caller_of(context), request))

    def answer_anybody(request: Message, context: grpc.ServicerContext) -> Any:  # noqa: ANN401
        return serve(context, lambda: function(main, request))

    def stream(request: Message, context: grpc.ServicerContext) -> Iterator[bytes]:
        pages = function(main, lambda: caller_of(context), request)
        while (page := serve(context, lambda: next(pages, None))) is not None:
            yield page.SerializeToString()

    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, _parsing(method, request_type))
    return grpc.unary_unary_rpc_method_handler(
        answer if declared.takes_token(method) else answer_anybody,
        request_deserializer=_parsing(method, request_type),
        response_serializer=answer_type.SerializeToString,
    )


def _messages(method: MethodDescriptor, function: Method) -> tuple[type[Message], type[Message]]:
    """Return the messages that a function takes and answers, which are those of its method."""
    if not declared.rights(method):
        raise TypeError(f"{method.full_name} does not declare which rights it takes")
    takes, answers = (function.__annotations__[name] for name in ("request", "return"))
    if method.server_streaming:
        (answers,) = get_args(answers)
    if [method.input_type, method.output_type] != [takes.DESCRIPTOR, answers.DESCRIPTOR]:
        raise TypeError(f"{function.__qualname__} has not the messages of {method.full_name}")
    return takes, answers


def _parsing(method: MethodDescriptor, takes: type[Message]) -> Callable[[bytes], Message]:
    """Return what parses a method's messages; it raises as `wire.check`, and DecodeError."""

    def parse(raw: bytes) -> Message:
        if len(raw) > limits.SMALL_BYTES_MAX:
            wire.check(raw, method.input_type)
        return takes.FromString(raw)

    return parse


def _name(function: Method) -> str:
    """Return the method that a function serves: `get_entity` serves `GetEntity`."""
    return function.__name__.title().replace("_", "")
