"""The listener that serves nothing but metrics, and whoever asks it for something else."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
import structlog

from strongroom import limits
from strongroom.clock import SystemClock
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.metrics import catalogue, listener
from strongroom.metrics.instruments import Metrics
from strongroom.metrics.listener import MetricsListener
from strongroom.readiness import ADVICE, Check, Checkup, Name, Reason, Verdict
from tests.support.deployment import wait_until
from tests.support.threads import none_to_be_had


@pytest.fixture
def served() -> Iterator[MetricsListener]:
    """A listener on a free port."""
    metrics = Metrics()
    metrics.counter(catalogue.DECRYPT_FAILURES).add(7)
    found = MetricsListener.start(("127.0.0.1", 0), metrics)
    assert found is not None
    yield found
    found.close()


def _connect(served: MetricsListener) -> socket.socket:
    port = int(served.url.removeprefix("http://127.0.0.1:").removesuffix("/metrics"))
    return socket.create_connection(("127.0.0.1", port), 20)


def _exchange(served: MetricsListener, request: bytes) -> bytes:
    with _connect(served) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while chunk := connection.recv(65_536):
                answer += chunk
        except ConnectionResetError:
            return answer
    return answer


def test_the_metrics_are_there(served: MetricsListener) -> None:
    """Prometheus finds nothing, or something that it cannot read."""
    answer = httpx.get(served.url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "strongroom_decrypt_failures_total 7.0" in answer.text
    assert "strongroom_build_info{version=" in answer.text
    assert "process_start_time_seconds" in answer.text


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET / HTTP/1.1", 404),
        ("GET /metrics/../etc/passwd HTTP/1.1", 404),
        ("GET //metrics HTTP/1.1", 404),
        ("GET http://elsewhere/metrics HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE /metrics HTTP/1.1", 405),
        ("GET /metrics HTTP/2.0", 400),
        ("GET", 400),
        ("\x00\xff\xfe", 400),
        ("GET /metrics?name[]=a HTTP/1.0", 200),
    ],
)
def test_it_serves_nothing_else(served: MetricsListener, line: str, status: int) -> None:
    """Something that a process must not show is read through the door for its metrics."""
    answer = _exchange(served, line.encode("latin-1") + b"\r\nHost: a\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"strongroom_" in answer) == (status == 200)


def test_blank_lines_are_no_defect_of_ours(served: MetricsListener) -> None:
    """Anybody on the machine fills the log with stack traces."""
    with structlog.testing.capture_logs() as logged:
        assert _exchange(served, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert logged == []


def test_a_moment_without_threads_passes(served: MetricsListener) -> None:
    """Once a machine had no thread to give the figures are gone, for ever."""
    with none_to_be_had():
        for _ in range(limits.METRICS_CONNECTIONS_MAX + 1):
            assert _exchange(served, b"") == b""
    assert httpx.get(served.url).status_code == 200


def test_a_head_without_end_is_not_kept(served: MetricsListener) -> None:
    """One connection fills the memory of a worker."""
    head = b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (2 * limits.METRICS_HEAD_BYTES_MAX)
    assert _exchange(served, head + b"\r\n\r\n") == b""
    assert httpx.get(served.url).status_code == 200


def test_who_sends_slowly_is_cut_off(served: MetricsListener) -> None:
    """A byte now and then holds a thread for ever."""
    began_s = time.monotonic()
    with _connect(served) as connection:
        connection.settimeout(0.5)
        ended = False
        while not ended and time.monotonic() - began_s < 3 * limits.METRICS_SECONDS:
            try:
                connection.sendall(b"G")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
    took_s = time.monotonic() - began_s
    assert limits.METRICS_SECONDS - 1 < took_s < limits.METRICS_SECONDS + 2


def test_many_connections_take_few_threads(served: MetricsListener) -> None:
    """A few hundred connections that say nothing stop the process, or Prometheus for good."""
    with ExitStack() as held:
        connections = [held.enter_context(_connect(served)) for _ in range(50)]

        def are_refused() -> bool:
            threads = [one for one in threading.enumerate() if one.name == "metrics"]
            assert len(threads) <= 1 + limits.METRICS_CONNECTIONS_MAX
            closed = sum(_is_closed(one) for one in connections)
            return closed >= len(connections) - limits.METRICS_CONNECTIONS_MAX

        assert wait_until(are_refused, 30)
    assert wait_until(lambda: _exchange(served, b"GET /metrics HTTP/1.1\r\n\r\n") != b"", 30)


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("127.0.0.1:9090", ("127.0.0.1", 9090)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("127.8.8.8:1", ("127.8.8.8", 1)),
        ("[::1]:9090", ("::1", 9090)),
    ],
)
def test_it_listens_on_this_machine(value: str, found: tuple[str, int]) -> None:
    """A collector beside the process cannot be served."""
    assert listener.from_environment({listener.VARIABLE: value}) == found


@pytest.mark.parametrize(
    "value", ["0.0.0.0:9090", "[::]:9090", "10.0.0.1:9090", "example.org:9090"]
)
def test_it_listens_nowhere_else(value: str) -> None:
    """Figures of a deployment are served to the whole network, without a question."""
    with pytest.raises(InvalidArgumentError, match=r"127\.0\.0\.1") as refused:
        listener.from_environment({listener.VARIABLE: value})
    assert listener.VARIABLE in refused.value.detail
    assert "TLS" in refused.value.detail


@pytest.mark.parametrize("value", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "9090", ":9090"])
def test_what_is_no_address_is_refused(value: str) -> None:
    """A mistyped setting ends in a stack trace."""
    with pytest.raises(InvalidArgumentError, match="host:port"):
        listener.from_environment({listener.VARIABLE: value})


def test_without_the_setting_nobody_listens() -> None:
    """A port is open that nobody has asked for."""
    assert listener.from_environment({}) is None
    assert MetricsListener.start(None, Metrics()) is None


def test_a_port_that_is_taken_is_told(served: MetricsListener) -> None:
    """A process starts without metrics, and nobody hears of it."""
    with _connect(served) as connection, pytest.raises(UnavailableError, match="for metrics"):
        MetricsListener.start(("127.0.0.1", connection.getpeername()[1]), Metrics())


def test_beside_the_metrics_it_says_what_is_wrong() -> None:
    """Of a process without an API for clients nobody learns why it does not serve."""
    reason: Reason | None = None
    check = Check(Name.LEASE, lambda: Verdict(reason, {"left_seconds": 3}), every_s=0)
    found = MetricsListener.start(("127.0.0.1", 0), Metrics(), Checkup([check], SystemClock()))
    assert found is not None
    url = found.url.removesuffix("/metrics") + "/readyz?verbose"
    well = httpx.get(url)
    reason = Reason.NO_LEASE
    ill = httpx.get(url)
    found.close()
    assert (well.status_code, well.json()["status"]) == (200, "ok")
    (told,) = ill.json()["checks"]
    assert (ill.status_code, ill.json()["status"]) == (503, "unavailable")
    assert (told["name"], told["status"], told["reason"]) == ("lease", "failed", "no-lease")
    assert (told["advice"], told["facts"]) == (ADVICE[Reason.NO_LEASE], {"left_seconds": 3})
