"""Strongroom as `strongroom up` starts it, with one worker: Main Worker and worker on one core."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.load import http1
from benchmarks.load.closed_loop import Lanes
from benchmarks.load.http2 import Grpc
from benchmarks.peers import children
from benchmarks.peers.stores import Asked, Place, Traits
from strongroom_pb.v1 import entity_pb2
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
class OverGrpc(Asked):
    """Its gRPC face."""

    running: Running
    name: str = "Strongroom, gRPC"
    traits: Traits = field(default=_TRAITS.over("gRPC, TLS"))
    _address: str = field(default="", init=False)
    _ca_file: str = field(default="", init=False)
    _metadata: tuple[tuple[str, str], ...] = field(default=(), init=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start the deployment."""
        deployment = self.running.start(place, stack)
        self._address = deployment.facts["grpc_address"]
        self._ca_file = deployment.facts["grpc_ca_file"]
        self._metadata = (("authorization", f"Bearer {deployment.token()}"),)
        self.fill()

    def lanes(self, in_flight: int) -> Lanes:
        """Connect; a lane is a stream."""
        del in_flight
        return Grpc(self._address, self._metadata, self._ca_file)

    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        request = entity_pb2.GetEntityRequest(database=_DATABASE, key=key)
        return Grpc.wire("/strongroom_pb.v1.EntityService/GetEntity", request.SerializeToString())

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        request = entity_pb2.PutEntityRequest(database=_DATABASE, key=key, document=document)
        return Grpc.wire("/strongroom_pb.v1.EntityService/PutEntity", request.SerializeToString())


@dataclass
class OverRest(Asked):
    """Its REST face."""

    running: Running
    name: str = "Strongroom, REST"
    traits: Traits = field(default=_TRAITS.over("HTTP, without TLS"))
    _url: str = field(default="", init=False)
    _form: http1.Form = field(init=False)

    def start(self, place: Place, stack: ExitStack) -> None:
        """Start the deployment."""
        deployment = self.running.start(place, stack)
        self._url = deployment.facts["http_url"]
        self._form = http1.Form(self._url, {"Authorization": f"Bearer {deployment.token()}"})
        self.fill()

    def lanes(self, in_flight: int) -> Lanes:
        """Connect; a lane is a connection."""
        return http1.Http1(self._url, in_flight)

    def get_wire(self, key: str) -> bytes:
        """Return a read."""
        return self._form.wire("GET", f"/entity/{_DATABASE}?key={key}")

    def put_wire(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        body = b'{"%s": %s}' % (key.encode(), document)
        return self._form.wire("PUT", f"/entity/{_DATABASE}", body)
