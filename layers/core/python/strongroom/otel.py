"""Spans by OpenTelemetry's SDK, exported as OTLP over HTTP; the one module that imports either.

A request never waits for a collector. A span that has ended is put into a queue of
`limits.SPANS_WAITING_MAX`, or dropped and counted where it is full; one thread exports what is
there, `limits.SPANS_EXPORT_SECONDS` at a time at the most. What could not be exported is lost, and
counted as well. The log says when it begins to fail, and when it works again.

Which requests are sampled is decided here, as `ParentBased(TraceIdRatioBased)` would: the SDK's own
decision makes a span first, which costs a request that nobody looks at more than all else.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from strongroom import limits, logs, release
from strongroom.tracing import ATTRIBUTES, Attribute, Kind, Span, Trace

_KINDS: Final[Mapping[Kind, api.SpanKind]] = {
    "server": api.SpanKind.SERVER,
    "client": api.SpanKind.CLIENT,
    "internal": api.SpanKind.INTERNAL,
}
_ALL: Final = 1 << 64
_SAMPLED: Final = api.TraceFlags(api.TraceFlags.SAMPLED)
_log = logs.logger()


class ExportQueue(SpanProcessor):
    """Exports spans that have ended, beside the requests."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Start the thread."""
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._dropped = self._exported = 0
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many spans were not exported."""
        return self._dropped

    @property
    def exported(self) -> int:
        """How many were."""
        return self._exported

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, or drop it."""
        if len(self._waiting) < limits.SPANS_WAITING_MAX and not self._stopping.is_set():
            self._waiting.append(span)
        else:
            self._count_dropped(1)

    def shutdown(self) -> None:
        """Export what waits, within `limits.SPANS_LAST_EXPORT_SECONDS`; the rest is lost."""
        self._stopping.set()
        self._thread.join(limits.SPANS_LAST_EXPORT_SECONDS)
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._stopping.wait(limits.SPANS_EXPORTED_EVERY_SECONDS):
            self._export_all()
        self._export_all()

    def _export_all(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), limits.SPANS_PER_EXPORT_MAX)
            self._export([self._waiting.popleft() for _ in range(count)])

    def _export(self, spans: list[ReadableSpan]) -> None:
        try:
            is_done = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - the boundary of a thread: it has to go on
            is_done = False
        if is_done:
            self._exported += len(spans)
        else:
            self._count_dropped(len(spans))
        if is_done and self._is_failing:
            _log.info("spans-exported-again", count=self._dropped)
        elif not is_done and not self._is_failing:
            _log.warning("spans-not-exported", count=self._dropped)
        self._is_failing = not is_done

    def _count_dropped(self, count: int) -> None:
        with self._lock:
            self._dropped += count


class OtelSpan:
    """A `tracing.Span` of the SDK."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: api.Tracer, span: api.Span) -> None:
        """Take a span that was begun."""
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        """Return it as the parent of others."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def child(self, name: str, kind: Kind, attributes: Mapping[str, Attribute]) -> Span:
        """Begin a part of it."""
        context = api.set_span_in_context(self._span)
        return begun(self._tracer, name, kind, attributes, context)

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        self._span.set_attributes(_allowed(attributes))

    def fail(self, reason: str) -> None:
        """Mark it as failed."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(api.StatusCode.ERROR)

    def end(self) -> None:
        """End it."""
        self._span.end()


class OtelTracer:
    """The `tracing.Tracer` of a process."""

    def __init__(self, tracer: api.Tracer, ratio: float) -> None:
        """Take the SDK's, and how much of what nobody has sampled yet is."""
        self._tracer = tracer
        self._sampled_below = round(ratio * _ALL)

    def begin(self, name: str, trace: Trace, attributes: Mapping[str, Attribute]) -> Trace:
        """Begin a span, as a part of what the request came from."""
        if trace.traceparent:
            if not trace.is_sampled:
                return trace
            context = api.set_span_in_context(api.NonRecordingSpan(_parent(trace.traceparent)))
        else:
            if secrets.randbits(64) >= self._sampled_below:
                return trace
            context = Context()
        named = {"strongroom.request_id": trace.request_id, **attributes}
        span = begun(self._tracer, name, "server", named, context)
        return msgspec.structs.replace(trace, traceparent=span.traceparent, span=span)


class Exporting:
    """A tracer whose spans are exported until `close`."""

    def __init__(self, exporter: SpanExporter, ratio: float, resource: Mapping[str, str]) -> None:
        """Begin."""
        self.queue = ExportQueue(exporter)
        # ALWAYS_ON: what is not sampled never gets to the SDK.
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource.create(dict(resource)), shutdown_on_exit=False
        )
        provider.add_span_processor(self.queue)
        self.tracer = OtelTracer(provider.get_tracer("strongroom", release.version()), ratio)

    def close(self) -> None:
        """Export what waits, for a moment."""
        self.queue.shutdown()


def start(url: str, ratio: float, process: str, instance: str) -> Exporting:
    """Begin to export; url and ratio as settings have them (`strongroom.spans`)."""
    # It logs each attempt, with addresses; what matters of it, the queue says.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)
    exporter = OTLPSpanExporter(url, timeout=limits.SPANS_EXPORT_SECONDS)
    resource = {
        "service.namespace": "strongroom",
        "service.name": process,
        "service.version": release.version(),
        **({"service.instance.id": instance} if instance else {}),
    }
    return Exporting(exporter, ratio, resource)


def begun(
    tracer: api.Tracer,
    name: str,
    kind: Kind,
    attributes: Mapping[str, Attribute],
    context: Context,
) -> OtelSpan:
    """Return a span that begins now."""
    allowed = _allowed(attributes)
    return OtelSpan(tracer, tracer.start_span(name, context, _KINDS[kind], allowed))


def _allowed(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {
        name: value[: limits.SPAN_TEXT_CHARS_MAX] if isinstance(value, str) else value
        for name, value in attributes.items()
        if name in ATTRIBUTES
    }


def _parent(traceparent: str) -> api.SpanContext:
    _, trace_id, span_id, _ = traceparent.split("-")
    return api.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=_SAMPLED
    )
