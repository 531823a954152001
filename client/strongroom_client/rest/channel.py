"""HTTP on blocking sockets, by httpcore: the part of httpx that has no redirects, cookies and logs.

A deadline is of a whole exchange: httpcore bounds each read, and a server that sends a byte now and
then would be waited for without end. So its sockets are told here how long there is left.
"""

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import httpcore

from strongroom_client.address import Address
from strongroom_client.core.steps import Broken
from strongroom_client.errors import TooLargeError
from strongroom_client.rest.messages import HttpRequest, HttpResponse

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
CONNECT_S: Final = 5.0
CONNECTIONS_MAX: Final = 100
IDLE_S: Final = 30.0
NOT_SENT: Final = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
BROKEN: Final = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
_WRITTEN_BYTES: Final = 64 * 1024


class HttpChannel:
    """Carries requests to one address, over connections that it keeps; for many threads."""

    def __init__(self, address: Address, context: ssl.SSLContext) -> None:
        """Take where to, and whom to trust over https. Nothing is connected yet."""
        self._address = address
        self._deadline = _Deadline()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=IDLE_S,
            network_backend=_PunctualBackend(self._deadline),
        )

    def exchange(self, request: HttpRequest, timeout_s: float) -> HttpResponse | Broken:
        """Send a request and return its response.

        Raises:
            TooLargeError: The response is larger than any of Strongroom's.
        """
        self._deadline.ends_at = time.monotonic() + timeout_s
        try:
            with self._pool.stream(
                request.method,
                url_of(self._address, request),
                headers=headers_of(request),
                content=content_of(request),
                extensions={"timeout": timeouts(timeout_s)},
            ) as response:
                return HttpResponse(
                    response.status, fields(response), _bounded(response.iter_stream())
                )
        except BROKEN as error:
            return broken(self._address, error)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def url_of(address: Address, request: HttpRequest) -> httpcore.URL:
    """Return where a request goes."""
    return httpcore.URL(
        scheme=address.scheme.encode(),
        host=address.host.encode(),
        port=address.port,
        target=(address.path + request.target).encode(),
    )


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return the header fields as they are sent."""
    return [(name.encode(), value.encode()) for name, value in request.headers.items()]


def content_of(request: HttpRequest) -> bytes | None:
    """Return the content of a request; a method that has none is sent without its length too."""
    return None if request.method in {"GET", "DELETE"} else request.body


def timeouts(timeout_s: float) -> dict[str, float]:
    """Return how long each part may take."""
    whole = dict.fromkeys(("pool", "read", "write"), timeout_s)
    return {**whole, "connect": min(timeout_s, CONNECT_S)}


def fields(response: httpcore.Response) -> dict[str, str]:
    """Return the header fields of a response; of several of one name, the last one."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }


def broken(address: Address, error: Exception) -> Broken:
    """Return what an exception of httpcore's says."""
    reason = str(error) or type(error).__name__
    return Broken(
        f"{address.scheme}://{address.authority} does not answer: {reason}",
        may_have_acted=not isinstance(error, NOT_SENT),
    )


def too_large() -> TooLargeError:
    """Return what to raise for an answer without end."""
    return TooLargeError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")


def _bounded(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise too_large()
    return bytes(body)


class _Deadline(threading.local):
    """Until when the exchange of this thread may go on."""

    ends_at = 0.0

    def within(self, timeout_s: float | None, late: type[Exception]) -> float:
        """Return a timeout that ends with the exchange; raises where it has ended."""
        left_s = self.ends_at - time.monotonic()
        if left_s <= 0:
            raise late("the time for the whole exchange is over")
        return left_s if timeout_s is None else min(left_s, timeout_s)


class _PunctualBackend(httpcore.NetworkBackend):
    """Sockets that keep to the deadline of a thread's exchange."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        within = self._deadline.within(timeout, httpcore.ConnectTimeout)
        stream = self._sockets.connect_tcp(host, port, within, local_address, socket_options)
        return _PunctualStream(stream, self._deadline)


class _PunctualStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.within(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITTEN_BYTES):
            within = self._deadline.within(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _WRITTEN_BYTES], within)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        within = self._deadline.within(timeout, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, within)
        return _PunctualStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as the base has it
        return self._stream.get_extra_info(info)
