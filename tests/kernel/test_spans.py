"""Spans: what is sampled, what they may say, and that an export never stands in a request's way."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from strongroom import limits, otel, spans, tracing
from strongroom.errors import InvalidArgumentError, NotFoundError
from strongroom.spans import SpanSettings
from strongroom.tracing import Trace
from tests.support.deployment import wait_until
from tests.support.otlp_collector import Collector, Exported, collecting

SECONDS = 20.0
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = SAMPLED[:-1] + "0"


class Exporter(SpanExporter):
    """Takes spans as a test says."""

    def __init__(self) -> None:
        """Take them at once."""
        self.taken: list[ReadableSpan] = []
        self.answers = threading.Event()
        self.answers.set()
        self.asked = threading.Event()
        self.error: Exception | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take some."""
        self.asked.set()
        self.answers.wait(SECONDS)
        if self.error is not None:
            raise self.error
        self.taken += spans
        return SpanExportResult.SUCCESS


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """An exporter, which does not hang after the test."""
    made = Exporter()
    yield made
    made.answers.set()


@pytest.fixture
def exporting(exporter: Exporter) -> Iterator[Callable[[float], otel.Exporting]]:
    """Return what begins to export at a ratio."""
    begun: list[otel.Exporting] = []

    def begin(ratio: float) -> otel.Exporting:
        begun.append(otel.Exporting(exporter, ratio, {"service.name": "test"}))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def a_request(exporting: otel.Exporting, traceparent: str = "") -> Trace:
    """Begin and end a request; return it."""
    trace = exporting.tracer.begin("GET /", Trace("id", traceparent), {})
    if trace.span is not None:
        trace.span.end()
    return trace


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_who_began_a_trace_decides_whether_it_is_sampled(
    exporting: Callable[[float], otel.Exporting], ratio: float
) -> None:
    """Of a trace that somebody looks at, our part is missing; or all is exported by mistake."""
    begun = exporting(ratio)
    sampled = a_request(begun, SAMPLED)
    assert sampled.span is not None
    assert sampled.trace_id == SAMPLED[3:35]
    assert sampled.traceparent != SAMPLED
    assert a_request(begun, UNSAMPLED) == Trace("id", UNSAMPLED)
    assert (a_request(begun).span is not None) == bool(ratio)


def test_the_ratio_is_how_much_is_sampled(
    exporting: Callable[[float], otel.Exporting],
) -> None:
    """A setting of one in ten has everything exported, or nothing."""
    begun = exporting(0.1)
    sampled = sum(a_request(begun).span is not None for _ in range(4_000))
    assert 280 < sampled < 520


def test_a_full_queue_drops_and_counts(
    exporting: Callable[[float], otel.Exporting], exporter: Exporter
) -> None:
    """With a collector that hangs memory grows without an end, or requests wait for it."""
    begun = exporting(1.0)
    exporter.answers.clear()
    a_request(begun)
    assert exporter.asked.wait(SECONDS)
    began_s = time.perf_counter()
    for _ in range(limits.SPANS_WAITING_MAX + 500):
        a_request(begun)
    took_s = time.perf_counter() - began_s
    assert begun.queue.dropped == 500
    assert took_s < SECONDS / 2
    exporter.answers.set()
    assert wait_until(lambda: begun.queue.exported == limits.SPANS_WAITING_MAX + 1, SECONDS)
    assert begun.queue.dropped == 500


def test_an_export_that_fails_is_told_once_and_counted(
    exporting: Callable[[float], otel.Exporting], exporter: Exporter
) -> None:
    """Nobody learns that spans are lost; or the log is full of it; or the thread has ended."""
    begun = exporting(1.0)
    with structlog.testing.capture_logs() as logged:
        exporter.error = ValueError("hunter2")
        a_request(begun)
        assert wait_until(lambda: begun.queue.dropped == 1, SECONDS)
        a_request(begun)
        assert wait_until(lambda: begun.queue.dropped == 2, SECONDS)
        exporter.error = None
        a_request(begun)
        assert wait_until(lambda: begun.queue.exported == 1, SECONDS)
    told = [(line["event"], line["count"]) for line in logged]
    assert told == [("spans-not-exported", 1), ("spans-exported-again", 2)]


def test_the_end_does_not_wait_for_a_collector_that_hangs(exporter: Exporter) -> None:
    """A process that is told to end is killed instead, because its collector is down."""
    begun = otel.Exporting(exporter, 1.0, {})
    exporter.answers.clear()
    a_request(begun)
    began_s = time.perf_counter()
    begun.close()
    assert time.perf_counter() - began_s < limits.SPANS_LAST_EXPORT_SECONDS + 1
    exporter.answers.set()


def test_the_last_spans_are_exported_at_the_end(exporter: Exporter) -> None:
    """Of the requests before a stop nothing is seen."""
    begun = otel.Exporting(exporter, 1.0, {})
    a_request(begun)
    begun.close()
    assert [span.name for span in exporter.taken] == ["GET /"]


def test_a_span_says_only_what_is_allowed(
    exporting: Callable[[float], otel.Exporting], exporter: Exporter
) -> None:
    """A document that somebody passes by mistake, or an error's text, gets into a collector."""
    begun = exporting(1.0)
    named: dict[str, tracing.Attribute] = {"http.route": "r" * 1_000, "document": "hunter2"}
    trace = begun.tracer.begin("GET /", Trace("id"), named)
    assert trace.span is not None

    def work() -> None:
        with tracing.within("inner", attributes={"key": "hunter2"}):
            tracing.note({"token": "hunter2", "strongroom.cache": "hits"})
            raise NotFoundError("hunter2 is not there")

    with pytest.raises(NotFoundError), tracing.spanning(trace, trace.span):
        work()
    assert wait_until(lambda: len(exporter.taken) == 2, SECONDS)
    inner, outer = exporter.taken
    assert dict(inner.attributes or {}) == {"strongroom.cache": "hits", "error.type": "not-found"}
    assert dict(outer.attributes or {}) == {
        "strongroom.request_id": "id",
        "http.route": "r" * limits.SPAN_TEXT_CHARS_MAX,
        "error.type": "not-found",
    }
    assert all("hunter2" not in span.to_json() for span in exporter.taken)


def test_what_is_in_no_span_makes_none(
    exporting: Callable[[float], otel.Exporting], exporter: Exporter
) -> None:
    """Housekeeping fills a collector with traces that belong to nobody's request."""
    begun = exporting(1.0)

    @tracing.spanned("work")
    def work(number: int) -> int:
        with tracing.within("inner") as span:
            return number if span is None else -1

    assert work(7) == 7
    begun.close()
    assert exporter.taken == []


def test_what_comes_for_every_entity_of_a_page_has_no_span(
    exporting: Callable[[float], otel.Exporting], exporter: Exporter
) -> None:
    """One query fills a collector with a span for each of a thousand entities."""
    begun = exporting(1.0)
    trace = begun.tracer.begin("GET /", Trace("id"), {})
    assert trace.span is not None
    with tracing.spanning(trace, trace.span):
        with tracing.unspanned():
            assert tracing.spanned("load")(tracing.current)().request_id == "id"
        assert tracing.spanned("seal")(tracing.current)().span is not None
    assert wait_until(lambda: len(exporter.taken) == 2, SECONDS)
    assert [span.name for span in exporter.taken] == ["seal", "GET /"]


@pytest.mark.parametrize(
    ("endpoint", "ratio", "expected"),
    [
        ("", "", None),
        ("", "7", InvalidArgumentError),
        ("http://127.0.0.1:4318", "", SpanSettings("http://127.0.0.1:4318/v1/traces", 0.01)),
        ("https://c.example/otlp/", "1", SpanSettings("https://c.example/otlp/v1/traces", 1.0)),
        ("grpc://c.example:4317", "", InvalidArgumentError),
        ("c.example:4318", "", InvalidArgumentError),
        ("http://", "", InvalidArgumentError),
        ("http://c.example", "1.1", InvalidArgumentError),
        ("http://c.example", "-0.1", InvalidArgumentError),
        ("http://c.example", "nan", InvalidArgumentError),
        ("http://c.example", "much", InvalidArgumentError),
    ],
)
def test_settings(
    endpoint: str, ratio: str, expected: SpanSettings | type[Exception] | None
) -> None:
    """A mistyped setting has spans go nowhere, without a word."""
    environment = {spans.ENDPOINT: endpoint, spans.RATIO: ratio}
    if isinstance(expected, type):
        with pytest.raises(expected, match="STRONGROOM_"):
            spans.from_environment(environment)
    else:
        assert spans.from_environment(environment) == expected


def test_nothing_of_opentelemetry_is_imported_without_an_endpoint() -> None:
    """Every process, and a cold start of Lambda, pays for what is off."""
    modules = "main_api.rest.app, main_api.bootstrap, processing_fn.bootstrap, strongroom.spans"
    program = (
        f"import sys, {modules}\n"
        "assert strongroom.spans.start(None, 'test') is None\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own interpreter


def test_a_collector_is_sent_what_it_understands() -> None:
    """The bytes on the wire are not OTLP's, or name no process."""
    with collecting() as collector:
        begun = otel.start(collector.url + "/v1/traces", 1.0, "test", "one")
        trace = a_request(begun, SAMPLED)
        begun.close()
        (span,) = told(collector, trace)
    assert (span.process, span.name, span.kind) == ("test", "GET /", "server")
    assert span.parent_id == SAMPLED[36:52]


def told(collector: Collector, trace: Trace) -> list[Exported]:
    """Return what a collector knows of a trace."""
    return list(collector.trace(trace.trace_id))
