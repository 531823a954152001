"""Which request this is: what is taken over of a caller, and where it is told."""

import json
import threading
from collections.abc import Iterator

import pytest
import structlog

from strongroom import limits, logs, tracing
from strongroom.tracing import Trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def test_what_a_caller_sends_is_handed_on_as_it_came() -> None:
    """A trace ends at this service."""
    trace = tracing.taken_over("an-id", PARENT, "a=1,b=2")
    assert trace == Trace("an-id", PARENT, "a=1,b=2")
    assert trace.trace_id == TRACE_ID
    assert tracing.of_metadata(trace.metadata()) == trace


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "é", 'a"', "a\n"])
def test_what_is_no_request_id_is_replaced(sent: str) -> None:
    """A client writes what it likes into our logs."""
    made = tracing.taken_over(sent, "", "")
    assert len(bytes.fromhex(made.request_id)) == 16


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + " ",
        PARENT[:-1],
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-b7ad6b7169203331-0g",
        PARENT.replace("-", "_"),
        f"{PARENT},{PARENT}",
        "01" + PARENT[2:] + "-" + "x" * limits.TRACEPARENT_CHARS_MAX,
    ],
)
def test_what_is_no_trace_is_dropped(sent: str) -> None:
    """What a caller makes up goes on as a trace, into the logs of everybody behind."""
    assert tracing.taken_over("an-id", sent, "a=1") == Trace("an-id")


@pytest.mark.parametrize("rest", ["", "-what-comes-later"])
def test_a_later_version_is_understood_as_far_as_it_is_known(rest: str) -> None:
    """A caller that speaks a later version of Trace Context has no trace any more."""
    assert tracing.taken_over("an-id", "cc" + PARENT[2:] + rest, "").traceparent == PARENT


@pytest.mark.parametrize("state", ["x" * (limits.TRACESTATE_CHARS_MAX + 1), "é=1", "a\x00=1", ""])
def test_what_is_no_state_is_dropped_without_the_trace(state: str) -> None:
    """A broken state takes its trace with it, or is handed on."""
    assert tracing.taken_over("an-id", PARENT, state) == Trace("an-id", PARENT)


def test_bytes_in_metadata_are_no_id() -> None:
    """A call with binary metadata is an internal error."""
    trace = tracing.of_metadata([("x-request-id", b"\xff"), ("traceparent", PARENT)])
    assert (len(trace.request_id), trace.traceparent) == (32, PARENT)
    assert tracing.of_metadata(None).traceparent == ""


def test_a_log_line_says_in_which_request_it_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A request cannot be followed through the logs."""
    before = structlog.get_config()
    try:
        logs.configure("test")
        with tracing.entered(Trace("an-id", PARENT)):
            logs.logger().info("within")
            logs.logger().info("another", request_id="named")
        logs.logger().info("outside")
    finally:
        structlog.configure(**before)
    within, another, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert (within["request_id"], within["trace_id"]) == ("an-id", TRACE_ID)
    assert (another["request_id"], another["trace_id"]) == ("named", TRACE_ID)
    assert not {"request_id", "trace_id"} & set(outside)


class _Metadata(list[tuple[str, str | bytes]]):
    """What came with a call; counts who looks at it."""

    looked = 0

    def __iter__(self) -> Iterator[tuple[str, str | bytes]]:
        self.looked += 1
        return super().__iter__()


def test_metadata_are_read_once_and_only_when_somebody_asks() -> None:
    """Every read pays for what hardly any asks; or a request has another id each time it does."""
    metadata = _Metadata([("traceparent", PARENT)])
    with tracing.entered(tracing.unread(metadata)):
        with tracing.within("a part") as span:
            assert span is None
        with tracing.unspanned():
            assert metadata.looked == 0
            first = tracing.current()
        assert tracing.current() == first
        assert (len(first.request_id), first.traceparent) == (32, PARENT)
        assert tracing.of_call([("x-request-id", "another")]) == first
        inner = tracing.unread([("x-request-id", "another")])
        with tracing.entered(inner):
            assert tracing.current() == first
    assert metadata.looked == 1
    assert tracing.current() == Trace()


def test_no_thread_is_in_the_request_of_another() -> None:
    """What one client causes is logged as another's."""
    seen: list[Trace] = []
    with tracing.entered(Trace("an-id")):
        thread = threading.Thread(target=lambda: seen.append(tracing.current()))
        thread.start()
        thread.join()
        assert tracing.current() == Trace("an-id")
    assert seen == [tracing.current()] == [Trace()]
