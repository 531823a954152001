"""Mutual TLS between the workers: whose certificate says what.

A deployment has one certificate authority. A certificate names its holder in a DNS name:

    <worker-id>.worker.strongroom.internal    a Processing Worker
    main.strongroom.internal                  a Main Worker
    enrolment.strongroom.internal             who may have a new worker's certificate issued

Both sides check that name, not just the signature: a Main Worker calls the very worker that it
means, a worker takes `Process` from a Main Worker only, and the subscription API hands keys out
only to the worker that a certificate names (design.md section 4).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import grpc

from strongroom import certificates, limits
from strongroom.certificates import Certificate
from strongroom.errors import InvalidArgumentError, UnauthenticatedError
from strongroom.identity import Held, LiveIdentity

MAIN_NAME: Final = "main.strongroom.internal"
ENROLMENT_NAME: Final = "enrolment.strongroom.internal"
_WORKER_SUFFIX: Final = ".worker.strongroom.internal"
_PEM_PROPERTY: Final = "x509_pem_cert"
_SAN_PROPERTY: Final = "x509_subject_alternative_name"

_PING_INTERVAL: Final = "grpc.http2.min_ping_interval_without_data_ms"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


_MESSAGE_OPTIONS: Final = [
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX + 64 * 1024),
    ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX + 64 * 1024),
]
SERVER_OPTIONS: Final[list[tuple[str, int]]] = [
    *_MESSAGE_OPTIONS,
    # Two servers on one port would share its connections unnoticed.
    ("grpc.so_reuseport", 0),
    # The first of the two is soft: what is above it is refused by chance, up to the second.
    ("grpc.max_metadata_size", limits.METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", limits.METADATA_BYTES_MAX),
    (_PING_INTERVAL, 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
MUTUAL_SERVER_OPTIONS: Final[list[tuple[str, int]]] = [
    *(option for option in SERVER_OPTIONS if option[0] != _PING_INTERVAL),
    # Whoever has a certificate of the deployment may ask for signs of life as often as it likes.
    (_PING_INTERVAL, _ms(limits.PING_AFTER_SECONDS) // 2),
    ("grpc.http2.max_ping_strikes", 0),
]
_SIGNS_OF_LIFE: Final = [
    # A process that is stopped, or that the network leads nowhere any more, refuses nothing. So
    # while a call is under way the connection is tried when nothing comes.
    ("grpc.keepalive_time_ms", _ms(limits.PING_AFTER_SECONDS)),
    ("grpc.keepalive_timeout_ms", _ms(limits.PING_ANSWERED_SECONDS)),
    ("grpc.http2.ping_timeout_ms", _ms(limits.PING_ANSWERED_SECONDS)),
    ("grpc.http2.max_pings_without_data", 0),
    # Despite its name the time that one attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", _ms(limits.CONNECT_SECONDS)),
]


def worker_name(worker_id: str) -> str:
    """Return the DNS name in a worker's certificate."""
    return worker_id + _WORKER_SUFFIX


def mutual_server_credentials(identity: LiveIdentity) -> grpc.ServerCredentials:
    """Return credentials of a server that demands a certificate of the deployment's CA."""
    return _server_credentials(identity, is_mutual=True)


def server_credentials(identity: LiveIdentity) -> grpc.ServerCredentials:
    """Return credentials of a server whose clients prove themselves by a token."""
    return _server_credentials(identity, is_mutual=False)


def channel(held: Held, address: str, server_name: str) -> grpc.Channel:
    """Return a channel to the holder of `server_name` at `address`, presenting a certificate."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=held.authorities,
        private_key=held.key_pem,
        certificate_chain=held.certificate_pem,
    )
    options = [
        *_MESSAGE_OPTIONS,
        *_SIGNS_OF_LIFE,
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.secure_channel(address, credentials, options)


def _server_credentials(identity: LiveIdentity, *, is_mutual: bool) -> grpc.ServerCredentials:
    """Return credentials that present, from each handshake on, what is in force then."""
    first = identity.current()

    def configuration(held: Held) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(held.key_pem, held.certificate_pem)],
            root_certificates=held.authorities if is_mutual else None,
        )

    presented = first

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # Called before each handshake; None says that nothing has changed.
        nonlocal presented
        held = identity.current()
        if held is presented:
            return None
        presented = held
        return configuration(held)

    return grpc.dynamic_ssl_server_credentials(
        configuration(first),
        fetch,  # type: ignore[arg-type] # its documentation has None, grpcio's types have not
        require_client_authentication=is_mutual,
    )


def peer_names(auth_context: Mapping[str, object]) -> frozenset[str]:
    """Return the names in the certificate that the other side has proven to hold."""
    values = auth_context.get(_SAN_PROPERTY, ())
    if not isinstance(values, list | tuple):
        return frozenset()
    return frozenset(value.decode() for value in values if isinstance(value, bytes))


def peer_certificate(auth_context: Mapping[str, object], now_ms: int) -> Certificate:
    """Return the certificate that the other side has proven to hold, which is in force now.

    TLS asks for that when a connection is made; it may last for longer than the certificate.

    Args:
        auth_context: What grpc tells of the other side.
        now_ms: The machine's wall clock.

    Raises:
        UnauthenticatedError: There is none, or it has ended since.
    """
    values = auth_context.get(_PEM_PROPERTY, ())
    pem = values[0] if isinstance(values, list | tuple) and values else b""
    try:
        certificate = _parsed(pem if isinstance(pem, bytes) else b"")
    except InvalidArgumentError as error:
        raise UnauthenticatedError("a certificate is needed") from error
    if certificate.has_ended(now_ms):
        raise UnauthenticatedError("the certificate has ended")
    return certificate


# 15 us to parse, 0.6 to find again: the same few come with every call.
_parsed = lru_cache(limits.PEERS_REMEMBERED)(certificates.parse)


def worker_of(auth_context: Mapping[str, object]) -> str:
    """Return the id of the worker that the other side has proven to be.

    Raises:
        UnauthenticatedError: No certificate, or not one of a worker.
    """
    workers = [name for name in peer_names(auth_context) if name.endswith(_WORKER_SUFFIX)]
    if len(workers) != 1:
        raise UnauthenticatedError("a worker's certificate is needed")
    return workers[0].removesuffix(_WORKER_SUFFIX)


def require_enrolment(auth_context: Mapping[str, object]) -> None:
    """Refuse everybody but who may enrol a worker.

    Raises:
        UnauthenticatedError: The other side may not.
    """
    if ENROLMENT_NAME not in peer_names(auth_context):
        raise UnauthenticatedError("the certificate of the enrolment is needed")


def require_main(auth_context: Mapping[str, object], now_ms: int) -> None:
    """Refuse everybody but a Main Worker, whose certificate is in force now.

    Raises:
        UnauthenticatedError: The other side is not one, or its certificate has ended since.
    """
    # By the certificate that is parsed already, not by grpc's list of its names: every read asks.
    if MAIN_NAME not in peer_certificate(auth_context, now_ms).names:
        raise UnauthenticatedError("the certificate of a Main Worker is needed")
