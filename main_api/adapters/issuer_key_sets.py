"""Asking an issuer for its keys: HTTPS GET, bounded in time and size, following nothing.

`http.client` is what urllib3 and botocore stand on; it is loaded already, and has all that one
request needs. What it lacks is a bound on the whole: its time-out counts from one byte to the next,
so that who sends a byte a second is never late. The reader below gives each `recv` no more than
what is left of the whole.

Where a request goes an administrator has said: to the issuer, or to the `jwks_uri` of its record.
An answer sends it nowhere else: redirections are not followed, no proxy is asked.
"""

import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from main_api.domain import issuer_keys
from main_api.domain.issuer_keys import IssuerKeySet, UnusableKeySetError
from main_api.domain.trusted_issuers import TrustedIssuer, is_loopback, origin
from main_api.service.federation.ports import IssuerUnreachableError
from strongroom import limits
from strongroom.clock import Clock
from strongroom.errors import InvalidArgumentError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_OK: Final = 200
_PLAIN: Final = "identity"
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": _PLAIN,
    "Connection": "close",
    "User-Agent": "strongroom",
}
_Left = Callable[[], float]


class IssuersOverHttps:
    """The `KeySetSource`. Safe under threads."""

    def __init__(
        self,
        clock: Clock,
        *,
        allows_http_loopback: bool,
        within_s: float = limits.JWKS_FETCH_SECONDS,
    ) -> None:
        """Take whether an issuer on this machine may be asked without TLS, and how long it has."""
        self._clock = clock
        self._within_s = within_s
        self._allows_http_loopback = allows_http_loopback

    def check(self, trusted: TrustedIssuer) -> None:
        """Check an issuer's addresses and its certificates."""
        if trusted.unencrypted() and not self._allows_http_loopback:
            raise InvalidArgumentError(
                "http:// is for an issuer on this machine, and takes the setting"
                " STRONGROOM_ISSUERS_OVER_HTTP_LOOPBACK=yes"
            )
        try:
            _tls(trusted)
        except (ssl.SSLError, TypeError, ValueError) as error:
            raise InvalidArgumentError("ca_certificates are not certificates in PEM") from error

    def read(self, trusted: TrustedIssuer) -> IssuerKeySet:
        """Ask where the keys are, unless that is known, and read them."""
        ends_s = self._clock.boot_s() + self._within_s

        def left() -> float:
            remaining_s = ends_s - self._clock.boot_s()
            if remaining_s <= 0:
                raise TimeoutError
            return remaining_s

        with _translated():
            self.check(trusted)
            address = trusted.jwks_uri or issuer_keys.jwks_uri(
                _get(trusted, trusted.discovery_uri, left), trusted.issuer
            )
            return issuer_keys.key_set(_get(trusted, address, left))


def _get(trusted: TrustedIssuer, address: str, left: _Left) -> bytes:
    parts = urlsplit(address)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connected(trusted, address, left)
    try:
        connection.request("GET", target, headers=_HEADERS)
        with _BoundedResponse(connection.sock, left) as response:
            response.begin()
            return _body(response)
    finally:
        connection.close()


def _body(response: HTTPResponse) -> bytes:
    if response.status != _OK:
        raise IssuerUnreachableError(
            f"the issuer answers with status {response.status}", f"status-{response.status}"
        )
    if response.getheader("Content-Encoding", _PLAIN).lower() != _PLAIN:
        raise UnusableKeySetError("the issuer's answer is compressed, unasked")
    body = response.read(limits.JWKS_BYTES_MAX + 1)
    if len(body) > limits.JWKS_BYTES_MAX:
        raise UnusableKeySetError(
            f"the issuer's answer has more than {limits.JWKS_BYTES_MAX} bytes"
        )
    return body


def _connected(trusted: TrustedIssuer, address: str, left: _Left) -> HTTPConnection:
    """Return a connection to an address, which its certificate proves to be the host's."""
    scheme, host, port = origin(address)
    made = _socket(host, port, left)
    try:
        if scheme == "https":
            context = _tls(trusted)
            connection: HTTPConnection = HTTPSConnection(host, port, context=context)
            made.settimeout(left())
            made = context.wrap_socket(made, server_hostname=host)
        elif is_loopback(str(made.getpeername()[0])):
            connection = HTTPConnection(host, port)
        else:
            raise IssuerUnreachableError("http:// leads to another machine", "not-allowed")
        made.settimeout(left())
    except BaseException:
        made.close()
        raise
    connection.sock = made
    return connection


def _socket(host: str, port: int, left: _Left) -> socket.socket:
    """Connect to the first address of a host that answers."""
    refusal: OSError = ConnectionError("the name has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found[: limits.JWKS_ADDRESSES_TRIED_MAX]:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(min(left(), limits.JWKS_CONNECT_SECONDS))
            made.connect(address)
        except OSError as error:
            made.close()
            refusal = error
        else:
            return made
    raise refusal


def _tls(trusted: TrustedIssuer) -> ssl.SSLContext:
    """Return what verifies a server: by the record's authorities, else by the machine's."""
    return ssl.create_default_context(cadata=trusted.ca_certificates or None)


class _BoundedResponse(HTTPResponse):
    """A response that is read within what is left of a time."""

    def __init__(self, sock: socket.socket, left: _Left) -> None:
        super().__init__(sock, method="GET")
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, left))


class _BoundedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left: _Left) -> None:
        self._raw = raw
        self._sock = sock
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        self._sock.settimeout(self._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


@contextmanager
def _translated() -> Iterator[None]:
    """Say in one word what was in the way."""
    try:
        yield
    except InvalidArgumentError as error:
        raise IssuerUnreachableError(error.detail, "not-allowed") from error
    except UnusableKeySetError as error:
        raise IssuerUnreachableError(str(error), "unusable-answer") from error
    except TimeoutError as error:
        raise IssuerUnreachableError("the issuer does not answer in time", "timed-out") from error
    except ssl.SSLError as error:
        raise IssuerUnreachableError("the issuer's certificate is refused", "tls") from error
    except socket.gaierror as error:
        raise IssuerUnreachableError("the issuer's name is not known", "name-unknown") from error
    except OSError as error:
        raise IssuerUnreachableError("the issuer cannot be reached", "unreachable") from error
    except (HTTPException, ValueError) as error:
        raise IssuerUnreachableError("the issuer's answer is no HTTP", "unusable-answer") from error
