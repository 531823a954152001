"""Reads and writes of entities over the gRPC and the REST face of a deployment."""

from dataclasses import dataclass
from typing import Protocol

from benchmarks.load.closed_loop import Lanes
from benchmarks.load.http1 import Form, Http1
from benchmarks.load.http2 import Grpc
from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import Deployment

_SERVICE = "/strongroom_pb.v1.EntityService"


class Face(Protocol):
    """How a database of a deployment is asked."""

    @property
    def database(self) -> str:
        """Its name."""
        ...

    def lanes(self, in_flight: int) -> Lanes:
        """Connect."""
        ...

    def get(self, key: str) -> bytes:
        """Return a read."""
        ...

    def put(self, key: str, document: bytes) -> bytes:
        """Return a write; the answer has the key."""
        ...


@dataclass(frozen=True)
class GrpcFace:
    """gRPC over TLS: a lane is a stream."""

    address: str
    ca_file: str
    metadata: tuple[tuple[str, str], ...]
    database: str

    @classmethod
    def of(cls, deployment: Deployment, database: str) -> "GrpcFace":
        """Return that of a deployment, for its administrator."""
        facts, bearer = deployment.facts, f"Bearer {deployment.token()}"
        return cls(
            facts["grpc_address"], facts["grpc_ca_file"], (("authorization", bearer),), database
        )

    def lanes(self, in_flight: int) -> Lanes:
        """Connect, whatever the number of streams."""
        del in_flight
        return Grpc(self.address, self.metadata, self.ca_file)

    def get(self, key: str) -> bytes:
        """Return a read."""
        request = entity_pb2.GetEntityRequest(database=self.database, key=key)
        return Grpc.wire(f"{_SERVICE}/GetEntity", request.SerializeToString())

    def put(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        request = entity_pb2.PutEntityRequest(database=self.database, key=key, document=document)
        return Grpc.wire(f"{_SERVICE}/PutEntity", request.SerializeToString())

    def page(self, size: int) -> bytes:
        """Return a listing's first page."""
        request = entity_pb2.ListEntitiesRequest(database=self.database, page_size=size)
        return Grpc.wire(f"{_SERVICE}/ListEntities", request.SerializeToString())


@dataclass(frozen=True)
class RestFace:
    """HTTP/1.1 without TLS: a lane is a connection."""

    url: str
    form: Form
    database: str

    @classmethod
    def of(cls, deployment: Deployment, database: str) -> "RestFace":
        """Return that of a deployment, for its administrator."""
        url = deployment.facts["http_url"]
        return cls(url, Form(url, {"Authorization": f"Bearer {deployment.token()}"}), database)

    def lanes(self, in_flight: int) -> Lanes:
        """Connect."""
        return Http1(self.url, in_flight)

    def get(self, key: str) -> bytes:
        """Return a read."""
        return self.form.wire("GET", f"/entity/{self.database}?key={key}")

    def put(self, key: str, document: bytes) -> bytes:
        """Return a write."""
        body = b'{"%s": %s}' % (key.encode(), document)
        return self.form.wire("PUT", f"/entity/{self.database}", body)
