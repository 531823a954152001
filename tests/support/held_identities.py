"""Identities of workers and Main Workers as a process holds them."""

import grpc

from strongroom.certificates import Certificate
from strongroom.clock import SystemClock
from strongroom.identity import Held, Identity, LiveIdentity
from strongroom.rpc import tls


def live(files: Identity) -> LiveIdentity:
    """Return an identity that follows its files."""
    return LiveIdentity(files, SystemClock())


def mutual_channel(files: Identity, address: str, server_name: str) -> grpc.Channel:
    """Return a channel that presents what lies in files, whatever it is."""
    held = Held(
        authorities=files.ca_file.read_bytes(),
        certificate_pem=files.certificate_file.read_bytes(),
        key_pem=files.key_file.read_bytes(),
        certificate=Certificate((), 0, 0),
    )
    return tls.channel(held, address, server_name)


def patient_channel(held: Held, address: str, server_name: str) -> grpc.Channel:
    """Return a channel that asks for no signs of life, for a server that is stopped on purpose."""
    credentials = grpc.ssl_channel_credentials(held.authorities, held.key_pem, held.certificate_pem)
    options = [("grpc.ssl_target_name_override", server_name), ("grpc.enable_http_proxy", 0)]
    return grpc.secure_channel(address, credentials, options)
