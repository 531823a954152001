"""HTTP `GET /metrics` and `GET /readyz` of a process that serves no other HTTP.

It asks for no proof of identity, so it listens where nobody but this machine can ask: an agent or a
proxy beside the process takes the figures further, under its own protection
(docs/adr/0030-metrics-are-served-on-loopback-only.md). Whoever asks is hostile all the same: a
connection has a bound in bytes and in time, and there are few of them at once.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import responses
from typing import TYPE_CHECKING, Final

from strongroom import limits, logs
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.metrics.instruments import Metrics

if TYPE_CHECKING:
    from strongroom.readiness import Checkup

VARIABLE: Final = "STRONGROOM_METRICS_LISTEN"
_CHUNK_BYTES: Final = 4096
_END_OF_HEAD: Final = (b"\r\n\r\n", b"\n\n")
_PATH: Final = "/metrics"
_READINESS: Final = "/readyz"
_log = logs.logger()


def from_environment(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Return where metrics are to be served, None for nowhere; raises as `loopback_address`."""
    value = environment.get(VARIABLE, "")
    return loopback_address(value) if value else None


def loopback_address(value: str) -> tuple[str, int]:
    """Return host and port of a `HOST:PORT` that only this machine reaches.

    Raises:
        InvalidArgumentError: It is none; the detail says what to do.
    """
    host, _, port = value.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - TCP's
        raise InvalidArgumentError(f"{VARIABLE} is host:port")
    host = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise InvalidArgumentError(
            f"{VARIABLE} is served without TLS to anybody who asks, so it has to be 127.0.0.1 or"
            " [::1]: run what collects the metrics on this machine (on Fargate: in this task), or"
            " a proxy with mutual TLS in front of it"
        )
    return host, int(port)


class MetricsListener:
    """Serves the metrics on an address of this machine, with a few threads of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        text: Callable[[], tuple[str, bytes]],
        checkup: "Checkup | None" = None,
    ) -> None:
        """Listen; port 0 picks a free one.

        Args:
            host: An address of this machine, as `loopback_address` returns it.
            port: On which port.
            text: Returns content type and content.
            checkup: Looks at what the process needs.

        Raises:
            UnavailableError: The address cannot be had.
        """
        self._text = text
        self._checkup = checkup
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (host, port), family=family, backlog=limits.METRICS_CONNECTIONS_MAX
            )
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port} for metrics: {error.strerror}"
            ) from error
        bound = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}{_PATH}"
        self._places = threading.BoundedSemaphore(limits.METRICS_CONNECTIONS_MAX)
        threading.Thread(target=self._accept, name="metrics", daemon=True).start()

    @classmethod
    def start(
        cls, where: tuple[str, int] | None, metrics: Metrics, checkup: "Checkup | None" = None
    ) -> "MetricsListener | None":
        """Serve the metrics of a process, or nothing where nowhere was named; raises as above."""

        def text() -> tuple[str, bytes]:
            # Where nobody asks, nobody waits for the library.
            from strongroom.metrics import exposition  # noqa: PLC0415

            return exposition.CONTENT_TYPE, exposition.text(metrics)

        return None if where is None else cls(*where, text, checkup)

    def close(self) -> None:
        """Listen no longer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                # No descriptor is free: who holds them needs the processor.
                time.sleep(limits.METRICS_SECONDS / limits.METRICS_CONNECTIONS_MAX)
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            try:
                threading.Thread(
                    target=self._serve, args=(connection,), name="metrics", daemon=True
                ).start()
            except RuntimeError:  # there is no further thread to be had just now
                connection.close()
                self._places.release()

    def _serve(self, connection: socket.socket) -> None:
        ends_at_s = time.monotonic() + limits.METRICS_SECONDS
        try:
            with connection, suppress(OSError, _Refused):
                answer = self._answer(_head(connection, ends_at_s))
                _send(connection, answer, ends_at_s)
        except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
            _log.exception("metrics-failed")
        finally:
            self._places.release()

    def _answer(self, head: bytes) -> bytes:
        line = head.decode("latin-1").partition("\n")[0].rstrip("\r")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return _response(400)
        path = target.partition("?")[0]
        if path != _PATH and (path != _READINESS or self._checkup is None):
            return _response(404)
        if method != "GET":
            return _response(405, extra="Allow: GET\r\n")
        if path == _READINESS and self._checkup is not None:
            # The settings of a Lambda import this module, and pay for every import.
            from strongroom.readiness import report  # noqa: PLC0415

            is_ready, document = report(self._checkup.findings())
            return _response(200 if is_ready else 503, "application/json", document)
        content_type, content = self._text()
        return _response(200, content_type, content)


class _Refused(Exception):  # noqa: N818 - it ends a connection, and nobody is told
    """A connection that is not worth an answer."""


def _head(connection: socket.socket, ends_at_s: float) -> bytes:
    """Read a request up to the end of its head."""
    head = b""
    while not any(end in head for end in _END_OF_HEAD):
        _patience(connection, ends_at_s)
        chunk = connection.recv(_CHUNK_BYTES)
        head += chunk
        if not chunk or len(head) > limits.METRICS_HEAD_BYTES_MAX:
            raise _Refused
    return head.lstrip()


def _send(connection: socket.socket, answer: bytes, ends_at_s: float) -> None:
    left = memoryview(answer)
    while left:
        _patience(connection, ends_at_s)
        left = left[connection.send(left) :]
    connection.shutdown(socket.SHUT_WR)


def _patience(connection: socket.socket, ends_at_s: float) -> None:
    left_s = ends_at_s - time.monotonic()
    if left_s <= 0:
        raise _Refused
    connection.settimeout(left_s)


def _response(
    status: int, content_type: str = "text/plain", content: bytes = b"", extra: str = ""
) -> bytes:
    return (
        f"HTTP/1.1 {status} {responses[status]}\r\n{extra}Content-Type: {content_type}\r\n"
        f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode("latin-1") + content
