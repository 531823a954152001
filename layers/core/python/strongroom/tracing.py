"""Which request this is, on its way through the processes: its id, and its trace.

A face takes `X-Request-ID` and the W3C Trace Context of a request over, or gives it an id. A call
to a worker carries them as gRPC metadata. Every line that is logged meanwhile, on either side, has
them. Nothing here makes spans: a trace is handed on as it came (Trace Context, section 4.3).
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

import msgspec

from strongroom import ids, limits

REQUEST_ID_KEY: Final = "x-request-id"
TRACEPARENT_KEY: Final = "traceparent"
TRACESTATE_KEY: Final = "tracestate"
_TRACEPARENT: Final = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(?P<more>-.*)?"
)
_TRACE_ID: Final = slice(3, 35)
Metadata = tuple[tuple[str, str], ...]


class Trace(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        request_id: 1 to 128 token characters; empty for none.
        traceparent: As W3C Trace Context section 3.2 has it; empty for none.
        tracestate: As section 3.3 has it; empty without a traceparent.
    """

    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""

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


_NONE: Final = Trace()
_current: ContextVar[Trace] = ContextVar("trace", default=_NONE)


def taken_over(request_id: str, traceparent: str, tracestate: str) -> Trace:
    """Return what a client has sent; what is not of its form is left out, or a new id."""
    parent = _traceparent(traceparent) if traceparent else ""
    return Trace(
        request_id=request_id if ids.is_request_id(request_id) else ids.new_id(),
        traceparent=parent,
        tracestate=tracestate if parent and _is_tracestate(tracestate) else "",
    )


def of_metadata(metadata: Iterable[tuple[str, str | bytes]] | None) -> Trace:
    """Return what the metadata of a gRPC call says; of what stands twice, the last."""
    given = dict(metadata or ())
    request_id, traceparent, tracestate = (
        given.get(REQUEST_ID_KEY, ""),
        given.get(TRACEPARENT_KEY, ""),
        given.get(TRACESTATE_KEY, ""),
    )
    # What has bytes for a value has a name of its own in gRPC, which ends in "-bin".
    return taken_over(str(request_id), str(traceparent), str(tracestate))


class entered:  # noqa: N801 - it is a function to who uses it
    """Be in a request: what this thread logs and calls until the end belongs to it.

    Threads that it starts are outside, unless they are given `contextvars.copy_context()`. A class,
    because every request comes through here, and a generator takes twice as long.
    """

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        self._token = _current.set(self._trace)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def current() -> Trace:
    """Return the request that this thread is in, an empty one outside of any."""
    return _current.get()


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
