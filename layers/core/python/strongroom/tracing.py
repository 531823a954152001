"""Which request this is, on its way through the processes: its id, and its trace.

A face takes `X-Request-ID` and the W3C Trace Context of a request over, or gives it an id. A call
to a worker carries them as gRPC metadata. Every line that is logged meanwhile, on either side, has
them.

Without a tracer a trace is handed on as it came (Trace Context, section 4.3). Where settings name a
collector (`strongroom.spans`), a composition root puts decorators around the boundaries and ports
that every request passes: `strongroom.rpc.traced`, `main_api.rest.traced`,
`processing_fn.storage.traced`. No use case knows of it, and where there is no collector nothing of
that is there. What a warm read does not come to is marked by `spanned`, which asks whether the
request is in a span before it does anything.

An attribute of a span is one of `ATTRIBUTES`, as a field of the logs is one of theirs: a document,
an entity key or a token cannot get into a collector (design.md section 5, invariant 4).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Final, Literal, ParamSpec, Protocol, TypeVar

import msgspec

from strongroom import ids, limits
from strongroom.errors import StrongroomError

REQUEST_ID_KEY: Final = "x-request-id"
TRACEPARENT_KEY: Final = "traceparent"
TRACESTATE_KEY: Final = "tracestate"
_TRACEPARENT: Final = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?P<more>-.*)?"
)
_TRACE_ID: Final = slice(3, 35)
Metadata = tuple[tuple[str, str], ...]
P = ParamSpec("P")
T = TypeVar("T")
Attribute = str | int | bool
Kind = Literal["server", "client", "internal"]
ATTRIBUTES: Final = frozenset(
    {"http.request.method", "http.route", "http.response.status_code", "rpc.system", "rpc.service"}
    | {"rpc.method", "rpc.grpc.status_code", "error.type", "strongroom.request_id"}
    | {"strongroom.database", "strongroom.operation", "strongroom.worker_id", "strongroom.cache"}
)
"""Names of OpenTelemetry's semantic conventions, and of ours."""


class Span(Protocol):
    """A part of a request that is timed and exported. Used by one thread at a time."""

    @property
    def traceparent(self) -> str:
        """How what is called from within names it as its parent."""
        ...

    def child(self, name: str, kind: Kind, attributes: Mapping[str, Attribute]) -> "Span":
        """Begin a part of it."""
        ...

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more of it; what is not of `ATTRIBUTES` is left out."""
        ...

    def fail(self, reason: str) -> None:
        """Say that it has failed: with the code of an error, or the name of its type."""
        ...

    def end(self) -> None:
        """End it."""
        ...


class Trace(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        request_id: 1 to 128 token characters; empty for none.
        traceparent: As W3C Trace Context section 3.2 has it; empty for none.
        tracestate: As section 3.3 has it; empty without a traceparent.
        span: What it is in, where that is exported.
    """

    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    span: Span | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether who began the trace has it exported (Trace Context, section 3.2.2.5)."""
        return bool(self.traceparent) and bool(int(self.traceparent[-2:], 16) & 1)

    @property
    def trace_id(self) -> str:
        """The trace's id, 32 hex digits; empty for none."""
        return self.traceparent[_TRACE_ID]

    def metadata(self) -> Metadata:
        """Return it as metadata of a gRPC call."""
        pairs = (
            (REQUEST_ID_KEY, self.request_id),
            (TRACEPARENT_KEY, self.traceparent),
            (TRACESTATE_KEY, self.tracestate),
        )
        return tuple(pair for pair in pairs if pair[1])


class Tracer(Protocol):
    """Begins spans. Safe under threads."""

    def begin(self, name: str, trace: Trace, attributes: Mapping[str, Attribute]) -> Trace:
        """Return a request as it goes on from here: in a span of its own, where it is sampled."""
        ...


class Unread:
    """What a call's metadata say of its request, for whoever wants to know: of most calls nobody.

    No span is in them, as a span is in no metadata.
    """

    __slots__ = ("_metadata", "_trace")
    span: None = None

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        """Take the metadata, and look at none of them."""
        self._metadata = metadata
        self._trace: Trace | None = None

    def read(self) -> Trace:
        """Return it, the same each time."""
        if self._trace is None:
            self._trace = of_metadata(self._metadata)
        return self._trace


_NONE: Final = Trace()
_current: ContextVar[Trace | Unread] = ContextVar("trace", default=_NONE)


def taken_over(request_id: str, traceparent: str, tracestate: str) -> Trace:
    """Return what a client has sent; what is not of its form is left out, or a new id."""
    parent = _traceparent(traceparent) if traceparent else ""
    return Trace(
        request_id=request_id if ids.is_request_id(request_id) else ids.new_id(),
        traceparent=parent,
        tracestate=tracestate if parent and _is_tracestate(tracestate) else "",
    )


class InSpan(list[tuple[str, str | bytes]]):
    """The metadata of a gRPC call that is in a span of this process: it knows which request it is.

    So it reaches the thread that serves the call, which has a context of its own.
    """

    __slots__ = ("trace",)

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]], trace: Trace) -> None:
        """Take both."""
        super().__init__(metadata)
        self.trace = trace


def of_metadata(metadata: Iterable[tuple[str, str | bytes]] | None) -> Trace:
    """Return what the metadata of a gRPC call says; of what stands twice, the last."""
    if isinstance(metadata, InSpan):
        return metadata.trace
    given = dict(metadata or ())
    request_id, traceparent, tracestate = (
        given.get(REQUEST_ID_KEY, ""),
        given.get(TRACEPARENT_KEY, ""),
        given.get(TRACESTATE_KEY, ""),
    )
    # What has bytes for a value has a name of its own in gRPC, which ends in "-bin".
    return taken_over(str(request_id), str(traceparent), str(tracestate))


def of_call(metadata: Iterable[tuple[str, str | bytes]] | None) -> Trace:
    """Return which request a call is: the one that this thread is in, or what its metadata say."""
    entered_in = current()
    return entered_in if entered_in.request_id else of_metadata(metadata)


def unread(metadata: Iterable[tuple[str, str | bytes]] | None) -> Trace | Unread:
    """As `of_call`, but the metadata are looked at when somebody asks what they say."""
    entered_in = _current.get()
    return Unread(metadata) if entered_in is _NONE else entered_in


class entered:  # noqa: N801 - it is a function to who uses it
    """Be in a request: what this thread logs and calls until the end belongs to it.

    Threads that it starts are outside, unless they are given `contextvars.copy_context()`. A class,
    because every request comes through here, and a generator takes twice as long.
    """

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: Trace | Unread) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        self._token = _current.set(self._trace)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def current() -> Trace:
    """Return the request that this thread is in, an empty one outside of any."""
    entered_in = _current.get()
    return entered_in.read() if isinstance(entered_in, Unread) else entered_in


def unspanned() -> entered:
    """Be in the same request, and in no span of it: what comes again and again has none."""
    trace = _current.get()
    if isinstance(trace, Unread) or trace.span is None:
        return entered(trace)
    return entered(msgspec.structs.replace(trace, span=None))


@contextmanager
def within(
    name: str, kind: Kind = "internal", attributes: Mapping[str, Attribute] | None = None
) -> Iterator[Span | None]:
    """Be in a part of the request that this thread is in; None where nothing is exported of it."""
    trace = _current.get()
    if isinstance(trace, Unread) or trace.span is None:
        yield None
        return
    with spanning(trace, trace.span.child(name, kind, attributes or {})) as span:
        yield span


@contextmanager
def spanning(trace: Trace, span: Span) -> Iterator[Span]:
    """Be in a span until its end; what is raised is told of by its code, never by its text."""
    token = _current.set(msgspec.structs.replace(trace, traceparent=span.traceparent, span=span))
    try:
        yield span
    except BaseException as error:
        span.fail(reason_of(error))
        raise
    finally:
        _current.reset(token)
        span.end()


def spanned(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return what makes each call of a function a part of the request that calls it."""

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        @wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if _current.get().span is None:
                return work(*args, **kwargs)
            with within(name):
                return work(*args, **kwargs)

        return call

    return decorate


def note(attributes: Mapping[str, Attribute]) -> None:
    """Say more of the span that this thread is in, where it is in one."""
    span = _current.get().span
    if span is not None:
        span.note(attributes)


def reason_of(error: BaseException) -> str:
    """Return what a span may tell of an error: its code, or the name of its type."""
    return error.code if isinstance(error, StrongroomError) else type(error).__name__


def _traceparent(text: str) -> str:
    """Return a traceparent in version 00, empty where it is none.

    A later version may have more after what version 00 has (section 3.2.4).
    """
    if len(text) > limits.TRACEPARENT_CHARS_MAX:
        return ""
    match = _TRACEPARENT.fullmatch(text)
    if match is None or (text.startswith("00") and match["more"]):
        return ""
    return f"00-{match[1]}"


def _is_tracestate(text: str) -> bool:
    return 0 < len(text) <= limits.TRACESTATE_CHARS_MAX and text.isascii() and text.isprintable()
