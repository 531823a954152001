"""Mutual TLS between the workers: whose certificate says what.

A deployment has one certificate authority. A certificate names its holder in a DNS name:

    <worker-id>.worker.strongroom.internal    a Processing Worker
    main.strongroom.internal                  a Main Worker

Both sides check that name, not just the signature: a Main Worker calls the very worker that it
means, a worker takes `Process` from a Main Worker only, and the subscription API hands keys out
only to the worker that a certificate names (design.md section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from strongroom import limits
from strongroom.errors import UnauthenticatedError

MAIN_NAME: Final = "main.strongroom.internal"
_WORKER_SUFFIX: Final = ".worker.strongroom.internal"
_SAN_PROPERTY: Final = "x509_subject_alternative_name"

_MESSAGE_OPTIONS: Final = [
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX + 64 * 1024),
    ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX + 64 * 1024),
]
SERVER_OPTIONS: Final[list[tuple[str, int]]] = [
    *_MESSAGE_OPTIONS,
    # Two servers on one port would share its connections unnoticed.
    ("grpc.so_reuseport", 0),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True, slots=True)
class Identity:
    """The files of one holder: PEM, read when credentials are made."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def worker_name(worker_id: str) -> str:
    """Return the DNS name in a worker's certificate."""
    return worker_id + _WORKER_SUFFIX


def mutual_server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return credentials of a server that demands a certificate of the deployment's CA."""
    return grpc.ssl_server_credentials(
        [(identity.key_file.read_bytes(), identity.certificate_file.read_bytes())],
        root_certificates=identity.ca_file.read_bytes(),
        require_client_auth=True,
    )


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return credentials of a server whose clients prove themselves by a token."""
    return grpc.ssl_server_credentials(
        [(identity.key_file.read_bytes(), identity.certificate_file.read_bytes())]
    )


def mutual_channel(identity: Identity, address: str, server_name: str) -> grpc.Channel:
    """Return a channel to the holder of `server_name` at `address`, presenting `identity`."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.ca_file.read_bytes(),
        private_key=identity.key_file.read_bytes(),
        certificate_chain=identity.certificate_file.read_bytes(),
    )
    options = [
        *_MESSAGE_OPTIONS,
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.secure_channel(address, credentials, options)


def peer_names(auth_context: Mapping[str, object]) -> frozenset[str]:
    """Return the names in the certificate that the other side has proven to hold."""
    values = auth_context.get(_SAN_PROPERTY, ())
    if not isinstance(values, list | tuple):
        return frozenset()
    return frozenset(value.decode() for value in values if isinstance(value, bytes))


def worker_of(auth_context: Mapping[str, object]) -> str:
    """Return the id of the worker that the other side has proven to be.

    Raises:
        UnauthenticatedError: No certificate, or not one of a worker.
    """
    workers = [name for name in peer_names(auth_context) if name.endswith(_WORKER_SUFFIX)]
    if len(workers) != 1:
        raise UnauthenticatedError("a worker's certificate is needed")
    return workers[0].removesuffix(_WORKER_SUFFIX)


def require_main(auth_context: Mapping[str, object]) -> None:
    """Refuse everybody but a Main Worker.

    Raises:
        UnauthenticatedError: The other side is not one.
    """
    if MAIN_NAME not in peer_names(auth_context):
        raise UnauthenticatedError("the certificate of a Main Worker is needed")
