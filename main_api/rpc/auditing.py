"""Every call begins an entry of the audit log before its handler runs, and concludes it.

How a call ends is told before the client is: by what it returns, or by how it is aborted.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from inspect import isasyncgenfunction
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor

from main_api.domain.audit import acts
from main_api.domain.audit.acts import Act, Kind
from main_api.domain.audit.records import OK
from main_api.rpc import declared, metadata
from main_api.rpc.contexts import Context, KnownPeer, ThreadContext, Watched, WatchedStream
from main_api.service.audit import entry as audit_entry
from main_api.service.audit.entry import Entry
from main_api.service.audit.trail import Audit
from main_api.service.callers.throttling import claimed_name
from strongroom import tracing
from strongroom.errors import StrongroomError, UnauthenticatedError
from strongroom.request_threads import RequestThreads
from strongroom.rpc import status, tls
from strongroom.tracing import Trace

T = TypeVar("T")
_NAMING: Final = ("_id", "name")
"""How the fields of messages end that say what an act is about, as path parameters do."""
_OF_CLIENTS: Final = frozenset({"request_id"})


def acts_of(methods: Iterable[MethodDescriptor]) -> dict[str, Act]:
    """Return what methods do, by their paths; their proto files say it."""
    return {
        declared.path(method): acts.act(
            _words(method.name), declared.rights(method), only_reads=declared.only_reads(method)
        )
        for method in methods
    }


class CallAudit:
    """Begins and concludes the entries of one server's calls."""

    def __init__(self, audit: Audit, known: Mapping[str, Act], face: str) -> None:
        """Take the acts of its methods; others, of health and reflection, are not recorded."""
        self._audit = audit
        self._acts = known
        self._face = face

    def records(self, method: str) -> bool:
        """Tell whether a method is one of those that are recorded."""
        return method in self._acts

    def refused(self, method: str, context: Context, outcome: str) -> None:
        """Record a call that was refused, by the code of the error."""
        entry = self._begun(method, context, metadata.trace(context))
        if entry is not None:
            self._audit.conclude(entry, outcome)

    def serve(
        self,
        method: str,
        context: Context,
        request: object,
        work: Callable[[Context], T],
        claimed: str = "",
    ) -> T:
        """Run a handler; what it is given as context aborts when that was recorded.

        Args:
            method: Its path.
            context: The call's, for a thread.
            request: The message.
            work: The handler.
            claimed: The client whose credentials the message says to have.
        """
        trace = metadata.trace(context)
        entry = self._begun(method, context, trace)
        if entry is None:
            return work(context)
        entry.claimed = claimed_name(claimed) or ""
        _describe(entry, request)
        with audit_entry.serving(entry), tracing.entered(trace):
            answer = work(Watched(context, self._conclude_current))
            self._conclude(entry, context)
        return answer

    def pages(
        self, method: str, context: Context, stream: Callable[[Context], Iterator[T]]
    ) -> Iterator[T]:
        """Run a handler that answers with pages: each of them is read by itself, on any thread."""
        pages = stream(Watched(context, self._conclude_current))
        trace = metadata.trace(context)
        while True:
            entry = self._begun(method, context, trace)
            with audit_entry.serving(entry), tracing.entered(trace):
                page = next(pages, None)
                if page is None:
                    return
                self._conclude(entry, context)
            yield page

    def _conclude_current(self, outcome: str) -> None:
        entry = audit_entry.current()
        if entry is not None:
            self._audit.conclude(entry, outcome)

    def _conclude(self, entry: Entry | None, context: Context) -> None:
        """Say that a call has done what it was to do; or end it where that cannot be recorded."""
        if entry is None:
            return
        try:
            self._audit.conclude(entry, OK)
        except StrongroomError as error:
            status.abort(context, error)

    def _begun(self, method: str, context: Context, trace: Trace) -> Entry | None:
        act = self._acts.get(method)
        if act is None:
            return None
        origin = metadata.origin(context)
        entry = self._audit.begin(act, self._face, trace.request_id, origin)
        try:
            entry.worker = tls.worker_of(context.auth_context())
        except UnauthenticatedError:
            entry.worker = ""
        return entry


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Has every call of a server recorded; for workers, whom no gate stands before."""

    def __init__(self, calls: CallAudit, pool: RequestThreads) -> None:
        """Take what records, and the threads on which handlers run that are no coroutines."""
        self._calls = calls
        self._pool = pool
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Any,  # noqa: ANN401 - as grpcio declares it
        handler_call_details: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return what serves a call in the place of its handler."""
        method = handler_call_details.method
        known = self._handlers.get(method)
        if known is None:
            found = await continuation(handler_call_details)
            if found is None or not self._calls.records(method):
                # Health checks stay as they are: their functions are coroutines.
                return found
            known = self._handlers[method] = self._recorded(method, found)
        return known

    def _recorded(self, method: str, handler: Any) -> Any:  # noqa: ANN401 - as above
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            answer = partial(self._answer, method, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(answer, **serializers)
        stream = handler.stream_stream if handler.request_streaming else handler.unary_stream
        if not isasyncgenfunction(stream):
            raise TypeError(f"{method} is neither a function nor an asynchronous generator")

        async def watched(request: object, begun: Context) -> AsyncIterator[object]:
            context = KnownPeer(begun)
            refused = partial(self._calls.refused, method, context)
            async for answered in stream(request, WatchedStream(context, refused)):
                yield answered

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(watched, **serializers)
        return grpc.unary_stream_rpc_method_handler(watched, **serializers)

    async def _answer(
        self, method: str, function: Callable[[object, Context], T], request: object, begun: Context
    ) -> T:
        """Run a handler on a thread."""
        context = ThreadContext(KnownPeer(begun))
        work = partial(function, request)
        return await self._pool.run(self._calls.serve, method, context, request, work)


def _describe(entry: Entry, request: object) -> None:
    """Take from a message what an act is about: the names of things, nothing else of it.

    What is about entities is told by the use case.
    """
    entry.database = str(getattr(request, "database", ""))
    if entry.act.kind in {Kind.READ, Kind.WRITE} or entry.claimed:
        return
    described = getattr(request, "DESCRIPTOR", None)
    for name in described.fields_by_name if described is not None else ():
        if name.endswith(_NAMING) and name not in _OF_CLIENTS:
            value = getattr(request, name)
            if isinstance(value, str) and value:
                entry.target[name] = value


def _words(name: str) -> str:
    """Return `put_client` for `PutClient`."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
