"""Where a deployment is."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from strongroom_client.errors import ConfigurationError

_PORTS: Final = {"http": 80, "https": 443, "grpc": 50051}


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a deployment.

    Attributes:
        scheme: `https`, `http`, or `grpc`, which is gRPC over TLS.
        host: A name or an IP address.
        port: Its port.
        path: What stands before each path, such as the stage of an API gateway, without a slash at
            its end.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return it as a URL."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, *, allow_plaintext: bool) -> Address:
    """Return the address that a URL names.

    Args:
        url: Such as `https://db.example` or `grpc://db.example:50051`.
        allow_plaintext: Whether http may lead away from this machine.

    Raises:
        ConfigurationError: It is none, or secrets would go over a network in plaintext.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _no_address() from None
    odd = parts.username is not None or parts.query or parts.fragment
    if parts.scheme not in _PORTS or not host or odd or not url.isascii() or not url.isprintable():
        raise _no_address()
    if parts.scheme == "grpc" and parts.path.strip("/"):
        raise ConfigurationError("an address of gRPC has no path")
    if parts.scheme == "http" and not allow_plaintext and not _is_here(host):
        raise ConfigurationError(
            "over http the client's secret would go over the network in plaintext: use https"
            " (a program may say allow_plaintext=True)"
        )
    port = port if port is not None else _PORTS[parts.scheme]
    return Address(parts.scheme, host, port, parts.path.rstrip("/"))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _no_address() -> ConfigurationError:
    # Without the text: it may hold a password.
    return ConfigurationError(
        "the address is not like https://db.example, http://127.0.0.1:8080 or"
        " grpc://db.example:50051"
    )
