"""A deployment's one Processing Worker as its Main Worker calls it, over the same mutual TLS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figure import WrongAnswerError
from benchmarks.load.calls import Calls
from benchmarks.load.http2 import Certificates
from strongroom.rpc import tls
from strongroom_pb.v1 import processing_pb2 as pb
from tests.support.deployment import Deployment
from tests.support.raw_http2 import Field

DATABASE: Final = "chatdb"
_PROCESS: Final = "/strongroom_pb.v1.ProcessingService/"
# What the Main Worker sends with each call; grpcio writes a deadline so.
FIELDS: Final[tuple[Field, ...]] = (
    ("grpc-timeout", "3000m"),
    ("x-request-id", "0123456789abcdef0123456789abcdef"),
)


@dataclass(frozen=True, slots=True)
class WorkerOf:
    """What it takes to call it, and its requests."""

    worker_id: str
    pid: int
    address: str
    certificates: Certificates
    """The Main Worker's, for a channel to the worker."""
    served: Certificates
    """The worker's own, for a floor that is called in its place."""
    schema_id: str
    incarnation: str

    @classmethod
    def of(cls, deployment: Deployment) -> "WorkerOf":
        """Find it."""
        ((worker_id, pid),) = deployment.facts["pids"]["workers"].items()
        with deployment.http() as client:
            (record,) = client.get("/workers").json()["workers"]
        database = _database(deployment.shared_dir)
        name = tls.worker_name(worker_id)
        return cls(
            worker_id=worker_id,
            pid=pid,
            address=record["address"],
            certificates=_certificates(deployment, "main", name),
            served=_certificates(deployment, worker_id, name),
            schema_id=database["schema_id"],
            incarnation=database["incarnation"],
        )

    def calls(self, method: str = "Process") -> Calls:
        """Return a connection to it."""
        return Calls(self.address, self.certificates, f"{_PROCESS}{method}", *FIELDS)

    def floor_arguments(self) -> list[object]:
        """Return how a floor is told to show the worker's certificate."""
        files = self.served
        return [
            *("--ca", files.ca_file),
            *("--certificate", files.certificate_file),
            *("--key", files.key_file),
        ]

    def get(self, key: str) -> bytes:
        """Return the request of a read."""
        return self._request(key, pb.OPERATION_GET, pb.Params()).SerializeToString()

    def put(self, key: str, document: bytes, request_id: str = "") -> bytes:
        """Return the request of a write."""
        params = pb.Params(document=document, request_id=request_id)
        return self._request(key, pb.OPERATION_PUT, params).SerializeToString()

    def get_many(self, keys: list[str]) -> bytes:
        """Return the request of a read of several."""
        return pb.ProcessBatchRequest(
            database_name=DATABASE,
            schema_id=self.schema_id,
            incarnation=self.incarnation,
            operation=pb.OPERATION_GET,
            items=[pb.BatchItem(entity_key=key) for key in keys],
        ).SerializeToString()

    def filled(self, documents: dict[str, bytes]) -> None:
        """Put entities, and read them, so that they are cached."""
        with self.calls() as calls:
            for key, document in documents.items():
                written(calls.one(self.put(key, document)))
                if read(calls.one(self.get(key))).document != document:
                    raise WrongAnswerError(f"{key} does not read back as it was put")

    def _request(
        self, key: str, operation: "pb.Operation.ValueType", params: pb.Params
    ) -> pb.ProcessRequest:
        return pb.ProcessRequest(
            database_name=DATABASE,
            entity_key=key,
            schema_id=self.schema_id,
            incarnation=self.incarnation,
            operation=operation,
            params=params,
        )


def read(answer: bytes) -> pb.Result:
    """Return the result in an answer.

    Raises:
        WrongAnswerError: It is a refusal.
    """
    told = pb.ProcessResponse.FromString(answer)
    if not told.HasField("result"):
        raise WrongAnswerError(f"refused: {told.status.message}")
    return told.result


def written(answer: bytes) -> int:
    """Return the version that an answer tells; raises as `read`."""
    return read(answer).metadata.version


def _database(shared_dir: Path) -> dict[str, str]:
    stored = msgspec.json.decode((shared_dir / "databases" / f"{DATABASE}.json").read_bytes())
    body: dict[str, str] = stored["body"]
    return body


def _certificates(deployment: Deployment, holder: str, server_name: str) -> Certificates:
    held = deployment.root / "pki"
    return Certificates(
        held / "ca.pem", held / f"{holder}.pem", held / f"{holder}.key", server_name
    )
