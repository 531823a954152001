"""Which address a request comes from, and which addresses count as one."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

UNKNOWN: Final = "unknown"
_IPV6_PREFIX_BITS: Final = 64
_CHARS_MAX: Final = 128
_REMEMBERED: Final = 4_096
"""How many addresses are read once: every request is asked for its own, and more than once."""


class Origin(NamedTuple):
    """Where a request says that it comes from.

    Attributes:
        peer: The address of the socket's other end, or API Gateway's `sourceIp`.
        forwarded_for: The value of `X-Forwarded-For`, empty where there is none.
    """

    peer: str
    forwarded_for: str = ""


class _Address(NamedTuple):
    """An address that was read, and what stands for it where many are counted."""

    text: str
    network: str


def network_of(origin: Origin, trusted_proxies: int) -> str:
    """Return what stands for the address of a request: itself, of IPv6 its /64.

    A host has a whole /64 to choose from (RFC 7934), so single IPv6 addresses tell nothing.

    Args:
        origin: What the request brings.
        trusted_proxies: As for `address_of`.
    """
    address = _address(origin, trusted_proxies)
    return UNKNOWN if address is None else address.network


def address_of(origin: Origin, trusted_proxies: int) -> str:
    """Return the address of a request, `UNKNOWN` where it shows none.

    Each proxy appends the address that it was called from. So with N trusted ones the client's is
    the Nth from the right; what stands left of it is the client's own invention. A request with
    fewer has not passed all of them, and counts for whoever sent it.

    Args:
        origin: What the request brings.
        trusted_proxies: How many proxies of the deployment's own every request passes; with 0 the
            header is not looked at.
    """
    address = _address(origin, trusted_proxies)
    return UNKNOWN if address is None else address.text


def _address(origin: Origin, trusted_proxies: int) -> _Address | None:
    if trusted_proxies:
        forwarded = [part.strip() for part in origin.forwarded_for.split(",")]
        if len(forwarded) >= trusted_proxies:
            address = _parsed(forwarded[-trusted_proxies])
            if address is not None:
                return address
    return _parsed(origin.peer)


def _parsed(text: str) -> _Address | None:
    """Return an address, which may have a port beside it; None for anything else."""
    return _read(text) if len(text) <= _CHARS_MAX else None


@lru_cache(_REMEMBERED)
def _read(text: str) -> _Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is None and isinstance(address, IPv6Address):
        network = IPv6Network((int(address), _IPV6_PREFIX_BITS), strict=False)
        return _Address(str(address), str(network))
    return _Address(str(mapped or address), str(mapped or address))
