"""etcd: one member, as it is packaged; every put waits for the sync of its write-ahead log.

Messages are those of etcdserverpb/rpc.proto, of which a key and a value are all that is needed.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load.closed_loop import Lanes
from benchmarks.load.http2 import Grpc
from benchmarks.peers import children
from benchmarks.peers.stores import Asked, Place, Traits
from strongroom.identity import Identity

_KEY, _VALUE = 1, 2


_TRAITS: Final = Traits(
    encryption="none",
    schema="none",
    durability="fsync of the log, shared by puts that wait at once",
    transport="gRPC, TLS",
    caller="anybody",
)


@dataclass
class Etcd(Asked):
    """The store."""

    identity: Identity
    name: str = "etcd"
    traits: Traits = _TRAITS
    _address: str = field(default="", init=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start it, with no encryption between members, as there are none."""
        etcd = children.tool("etcd", "Debian's etcd-server")
        port, peer_port = children.free_port(), children.free_port()
        self._address = f"127.0.0.1:{port}"
        peers = f"http://127.0.0.1:{peer_port}"
        options = {
            "data-dir": str(place.directory / "etcd"),
            "listen-client-urls": f"https://{self._address}",
            "advertise-client-urls": f"https://{self._address}",
            "cert-file": str(self.identity.certificate_file),
            "key-file": str(self.identity.key_file),
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        command = [etcd, *(f"--{name}={value}" for name, value in options.items())]
        wait_until = children.serve(command, place.directory / "etcd.log", place, stack)
        wait_until(lambda: children.listens(port))
        self.fill()

    def lanes(self, in_flight: int) -> Lanes:
        """Connect; a lane is a stream."""
        del in_flight
        return Grpc(self._address, ca_file=str(self.identity.ca_file))

    def get_wire(self, key: str) -> bytes:
        """Return a linearizable range of one key."""
        return Grpc.wire("/etcdserverpb.KV/Range", _field(_KEY, key.encode()))

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a put."""
        message = _field(_KEY, key.encode()) + _field(_VALUE, document)
        return Grpc.wire("/etcdserverpb.KV/Put", message)


_LENGTH_DELIMITED: Final = 2
_MORE: Final = 0x80


def _field(number: int, value: bytes) -> bytes:
    """Return a field of bytes as Protocol Buffers encode it."""
    encoded, left = bytearray([number << 3 | _LENGTH_DELIMITED]), len(value)
    while left >= _MORE:
        encoded.append(left & (_MORE - 1) | _MORE)
        left >>= 7
    encoded.append(left)
    return bytes(encoded) + value
