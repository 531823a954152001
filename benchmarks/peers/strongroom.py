"""Strongroom as `strongroom up` starts it, with one worker: Main Worker and worker on one core."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.load.closed_loop import Lanes
from benchmarks.load.faces import Face, GrpcFace, RestFace
from benchmarks.peers import children
from benchmarks.peers.ledger import Ledger
from benchmarks.peers.stores import Asked, Place, Traits
from tests.support.deployment import Deployment

_DATABASE: Final = "chatdb"
_TRAITS: Final = Traits(
    encryption="AES-256-GCM, a subkey for each entity; root key in KMS",
    schema="JSON Schema",
    durability="fsync of file and directory, each put by itself",
    transport="",
    caller="signed token, grants",
)


@dataclass
class Running:
    """One deployment for both faces."""

    deployment: Deployment | None = None

    def start(self, place: Place, stack: ExitStack) -> Deployment:
        """Start it, once."""
        if self.deployment is None:
            directory = place.directory / "strongroom"
            directory.mkdir()
            deployment = Deployment(directory)
            options = {
                "root": str(deployment.root),
                "http": "127.0.0.1:0",
                "grpc": "127.0.0.1:0",
                "workers": "1",
                "ready-file": str(deployment.ready_file),
            }
            program = str(Path(sys.executable).parent / "strongroom")
            command = [program, "up", *(f"--{name}={value}" for name, value in options.items())]
            wait_until = children.serve(command, directory / "up.log", place, stack)
            wait_until(deployment.ready_file.exists)
            deployment.reload()
            self.deployment = deployment
        return self.deployment


@dataclass
class OneFace(Asked):
    """One of its faces."""

    name: str
    traits: Traits
    running: Running
    face_of: Callable[[Deployment, str], Face]
    _face: Face = field(init=False)

    def __post_init__(self) -> None:
        """Keep keys of its own, as the other face writes to the same database."""
        self._ledger = Ledger(self.name.rpartition(" ")[2].lower())

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start the deployment."""
        self._face = self.face_of(self.running.start(place, stack), _DATABASE)
        self.fill()

    def lanes(self, in_flight: int) -> Lanes:
        """Connect."""
        return self._face.lanes(in_flight)

    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        return self._face.get(key)

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        return self._face.put(key, document)


def both() -> tuple[OneFace, OneFace]:
    """Return gRPC and REST, of one deployment."""
    running = Running()
    return (
        OneFace("Strongroom, gRPC", _TRAITS.over("gRPC, TLS"), running, GrpcFace.of),
        OneFace("Strongroom, REST", _TRAITS.over("HTTP, without TLS"), running, RestFace.of),
    )
