"""Puts the parts of a client together: the only place that knows both transports."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from strongroom_client.address import Address, parse
from strongroom_client.aio_driver import AsyncChannel
from strongroom_client.core.conversation import Conversation, Surroundings
from strongroom_client.core.retrying import Retries
from strongroom_client.core.steps import Codec
from strongroom_client.credentials import ClientCredentials, StaticToken
from strongroom_client.driver import Channel
from strongroom_client.errors import ConfigurationError
from strongroom_client.trust import roots, tls_context

TIMEOUT_S: Final = 30.0
ATTEMPT_S: Final = 15.0
"""Of one attempt: a deployment has given up by itself after 10 s."""

_TIMEOUT_S_MAX: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a client behaves; each has a default that suits.

    Attributes:
        ca_file: Whom to trust, PEM; None: whom the system trusts (gRPC: the roots that it ships).
        timeout_s: How long a call may take with all its attempts, unless the call says otherwise.
        attempt_s: How long one attempt may take.
        retries: How a call is tried again.
        allow_plaintext: Whether http may lead away from this machine.
    """

    ca_file: str | Path | None = None
    timeout_s: float = TIMEOUT_S
    attempt_s: float = ATTEMPT_S
    retries: Retries = field(default_factory=Retries)
    allow_plaintext: bool = False


_DEFAULT: Final = Options()


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a client asks, how it decides, and how long it takes for that."""

    address: Address
    pem: bytes | None = field(repr=False)
    conversation: Conversation
    timeout_s: float


def parts(
    url: str, credentials: ClientCredentials | StaticToken | None, options: Options | None
) -> Parts:
    """Return the parts of a client.

    Raises:
        ConfigurationError: One of them cannot be used.
    """
    chosen = options or _DEFAULT
    address = parse(url, allow_plaintext=chosen.allow_plaintext)
    surroundings = Surroundings(now=time.monotonic, drawn=_drawn, new_id=new_id)
    conversation = Conversation(
        _codec(address),
        credentials,
        chosen.retries,
        seconds(chosen.attempt_s, "attempt_s"),
        surroundings,
    )
    return Parts(
        address, roots(chosen.ca_file), conversation, seconds(chosen.timeout_s, "timeout_s")
    )


def channel(made: Parts) -> Channel:
    """Return what carries requests for threads."""
    if made.address.scheme == "grpc":
        from strongroom_client.rpc.channel import RpcChannel  # noqa: PLC0415 - an extra

        return RpcChannel(made.address, made.pem)
    from strongroom_client.rest.channel import HttpChannel  # noqa: PLC0415 - as above

    return HttpChannel(made.address, tls_context(made.pem))


def async_channel(made: Parts) -> AsyncChannel:
    """Return what carries requests for an event loop."""
    if made.address.scheme == "grpc":
        from strongroom_client.rpc.aio_channel import AsyncRpcChannel  # noqa: PLC0415 - an extra

        return AsyncRpcChannel(made.address, made.pem)
    from strongroom_client.rest.aio_channel import AsyncHttpChannel  # noqa: PLC0415 - as above

    return AsyncHttpChannel(made.address, tls_context(made.pem))


def environment(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the arguments of a client that the environment names.

    STRONGROOM_URL, STRONGROOM_CLIENT_ID, STRONGROOM_CLIENT_SECRET; STRONGROOM_CA_FILE where the
    deployment has a certificate authority of its own.

    Raises:
        ConfigurationError: One is missing.
    """
    told = os.environ if variables is None else variables
    names = ("STRONGROOM_URL", "STRONGROOM_CLIENT_ID", "STRONGROOM_CLIENT_SECRET")
    if missing := [name for name in names if not told.get(name)]:
        raise ConfigurationError(f"set {', '.join(missing)}")
    url, client_id, secret = (told[name] for name in names)
    return {
        "url": url,
        "credentials": ClientCredentials(client_id, secret),
        "options": Options(ca_file=told.get("STRONGROOM_CA_FILE") or None),
    }


def seconds(value: float, name: str) -> float:
    """Return a time that can be waited.

    Raises:
        ConfigurationError: It is none.
    """
    if not 0 < value <= _TIMEOUT_S_MAX:
        raise ConfigurationError(f"{name} is more than 0 and at most {_TIMEOUT_S_MAX:.0f} seconds")
    return value


def new_id() -> str:
    """Return an id that nobody else makes."""
    return secrets.token_hex(16)


def _drawn() -> float:
    return secrets.randbelow(2**32) / 2**32


def _codec(address: Address) -> Codec:
    try:
        if address.scheme == "grpc":
            from strongroom_client.rpc.codec import RpcCodec  # noqa: PLC0415 - an extra

            return RpcCodec()
        from strongroom_client.rest.codec import RestCodec  # noqa: PLC0415 - as above

        return RestCodec()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is missing: gRPC needs strongroom-client[grpc]"
        ) from error
