"""What a call says of itself: where it comes from, and which request it is."""

from typing import Any
from urllib.parse import unquote

from main_api.domain.addresses import Origin
from strongroom import tracing
from strongroom.tracing import Trace

# grpcio's own types say less of contexts than is needed here.
Context = Any


def origin(context: Context) -> Origin:
    """Return where a call comes from; `peer` is `ipv4:192.0.2.1:5000` or `ipv6:%5B::1%5D:5000`."""
    forwarded = (v for k, v in context.invocation_metadata() or () if k == "x-forwarded-for")
    return Origin(unquote(context.peer().partition(":")[2]), ",".join(map(str, forwarded)))


def trace(context: Context) -> Trace:
    """Return which request a call is: the one that this thread is in, or what its metadata say."""
    return tracing.of_call(context.invocation_metadata())
