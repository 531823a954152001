"""Whom to trust over TLS."""

import ssl
from pathlib import Path

from strongroom_client.errors import ConfigurationError


def roots(ca_file: str | Path | None) -> bytes | None:
    """Return the certificates of a file, PEM; None for those that the transport has.

    Raises:
        ConfigurationError: It has none.
    """
    if ca_file is None:
        return None
    try:
        pem = Path(ca_file).read_bytes()
        tls_context(pem)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{ca_file} has no certificates of an authority") from error
    return pem


def tls_context(pem: bytes | None) -> ssl.SSLContext:
    """Return what verifies a server by certificates; by those of the system for None."""
    return ssl.create_default_context(cadata=None if pem is None else pem.decode("ascii"))
