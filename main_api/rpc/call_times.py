"""How long calls over gRPC take, by method and by how they end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from inspect import isasyncgenfunction
from time import perf_counter
from typing import Any, Final

import grpc

from main_api.rpc.contexts import Context
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics

UNMATCHED: Final = "unmatched"
"""The method of what is none of ours: its name is anybody's text, and stays out of the labels."""
_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


class CallTimes(grpc.aio.ServerInterceptor):
    """Times every call of a server, from when its handler begins; used from its event loop."""

    def __init__(self, metrics: Metrics, methods: frozenset[str]) -> None:
        """Take where to count, and the methods that there are, by their paths."""
        self._methods = methods
        self._times = metrics.histograms(catalogue.GRPC_SECONDS)
        self._limited = metrics.counter(catalogue.RATE_LIMITED)
        self._timed: dict[str, tuple[Any, Any]] = {}
        self.under_way = 0
        """How many calls are being served now, streams that are held open among them."""

    async def intercept_service(
        self,
        continuation: Any,  # noqa: ANN401 - as grpcio declares it
        handler_call_details: Any,  # noqa: ANN401 - as above
    ) -> Any:  # noqa: ANN401 - as above
        """Return what serves a call in the place of its handler."""
        found = await continuation(handler_call_details)
        method = handler_call_details.method
        name = method if method in self._methods else UNMATCHED
        if found is None:
            self._observe(name, grpc.StatusCode.UNIMPLEMENTED.name, 0.0)
            return None
        handler, timed = self._timed.get(name, (None, None))
        if handler is not found:
            timed = self._around(name, found)
            self._timed[name] = (found, timed)
        return timed

    def _around(self, name: str, handler: Any) -> Any:  # noqa: ANN401 - as above
        kind = next(kind for kind in _KINDS if getattr(handler, kind) is not None)
        function = getattr(handler, kind)

        async def answers(request: object, context: Context) -> AsyncIterator[object]:
            with self._call(name, context):
                async for answer in function(request, context):
                    yield answer

        async def answer(request: object, context: Context) -> object:
            with self._call(name, context):
                return await function(request, context)

        return handler._replace(**{kind: answers if isasyncgenfunction(function) else answer})

    @contextmanager
    def _call(self, name: str, context: Context) -> Iterator[None]:
        began_s = perf_counter()
        self.under_way += 1
        code = grpc.StatusCode.UNKNOWN.name
        try:
            yield
            code = _told(context)
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED.name
            raise
        except grpc.aio.AbortError:
            code = _told(context)
            raise
        finally:
            self.under_way -= 1
            self._observe(name, code, perf_counter() - began_s)

    def _observe(self, name: str, code: str, seconds: float) -> None:
        self._times.of(name, code).observe(seconds)
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED.name:
            self._limited.add()


def _told(context: Context) -> str:
    """Return the code that a call was given, OK where it was given none."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _CODES.get(code or 0, grpc.StatusCode.UNKNOWN.name)
