"""Clients of both faces that own what they write, and so know what every read has to answer."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc
import httpx

from strongroom.rpc import status
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.faulty_kms import FaultyDeployment
from tests.support.owned_keys import OwnedKeys

KEYS_PER_CLIENT = 24
KEYS_PER_READ = 8
PAUSE_S = 0.01
PATIENCE_S = 30.0
NOTHING_DONE = frozenset({"unavailable", "busy", "rate-limited"})
T = TypeVar("T")


class RefusedError(Exception):
    """What a face refuses a request with; the text is the stable code."""


class Face(Protocol):
    """One way to the entities; both raise RefusedError."""

    def put(self, key: str, number: int) -> None:
        """Write a number."""
        ...

    def get(self, keys: Sequence[str]) -> dict[str, int]:
        """Read those that are there."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class RestFace:
    """REST, over a connection of its own."""

    def __init__(self, http: httpx.Client) -> None:
        """Take it."""
        self._http = http

    def put(self, key: str, number: int) -> None:
        """Write a number."""
        self._sent("PUT", json={key: {"chat": [], "n": number}})

    def get(self, keys: Sequence[str]) -> dict[str, int]:
        """Read numbers."""
        answer = self._sent("GET", params={"key": list(keys)})
        return {key: one["n"] for key, one in answer.json().items()}

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _sent(self, method: str, **request: object) -> httpx.Response:
        try:
            answer = self._http.request(method, "/entity/chatdb", **request)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            raise RefusedError(type(error).__name__) from error
        if not answer.is_success:
            raise RefusedError(answer.json()["type"].rpartition(":")[2])
        return answer


class RpcFace:
    """gRPC, over a channel of its own."""

    def __init__(self, deployment: FaultyDeployment) -> None:
        """Connect."""
        self._channel, self._metadata = deployment.client_channel()
        self._stub = entity_pb2_grpc.EntityServiceStub(self._channel)

    def put(self, key: str, number: int) -> None:
        """Write a number."""
        document = json.dumps({"chat": [], "n": number}).encode()
        put = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=document)
        self._called(lambda: self._stub.PutEntity(put, metadata=self._metadata, timeout=PATIENCE_S))

    def get(self, keys: Sequence[str]) -> dict[str, int]:
        """Read numbers."""
        if len(keys) == 1:
            get = entity_pb2.GetEntityRequest(database="chatdb", key=keys[0])
            call = lambda: [  # noqa: E731 - one of two ways
                self._stub.GetEntity(get, metadata=self._metadata, timeout=PATIENCE_S)
            ]
        else:
            many = entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=keys)
            call = lambda: list(  # noqa: E731 - the other
                self._stub.BatchGetEntities(
                    many, metadata=self._metadata, timeout=PATIENCE_S
                ).entities
            )
        return {one.key: json.loads(one.document)["n"] for one in self._called(call)}

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _called(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except grpc.RpcError as error:
            raise RefusedError(status.from_rpc_error(error).code) from error


@dataclass(frozen=True)
class Met:
    """A request, as its client saw it; times by the monotonic clock."""

    keys: Sequence[str]
    began_s: float
    ended_s: float
    refusal: str = ""


@dataclass
class Client:
    """Writes counted numbers to keys of its own and reads them back, one request at a time.

    Attributes:
        face: What it asks.
        number: Makes its keys its own.
        met: Its requests.
        wrong: Answers that cannot be.
        acknowledged: How many writes were.
        owned: What its keys may hold.
    """

    face: Face
    number: int
    met: list[Met] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    acknowledged: int = 0
    owned: OwnedKeys = field(default_factory=OwnedKeys)

    def work(self, stopping: threading.Event) -> None:
        """Go on until told to stop."""
        keys = [f"failover-{self.number}-{n}" for n in range(KEYS_PER_CLIENT)]
        turn = 0
        while not stopping.wait(PAUSE_S):
            key = keys[turn % len(keys)]
            self._put(key, turn)
            self._check([key])
            if turn % 4 == 0:
                at, known = turn % (len(keys) - KEYS_PER_READ), self.owned.keys
                self._check([one for one in keys[at : at + KEYS_PER_READ] if one in known])
            turn += 1

    def check_everything(self) -> None:
        """Read every key once more."""
        for key in self.owned.keys:
            self._check([key])

    def _put(self, key: str, number: int) -> None:
        refusal = self._timed([key], lambda: self.face.put(key, number))
        self.owned.begun(key)
        if not refusal:
            self.acknowledged += 1
            self.owned.acknowledged(key, number)
        elif refusal not in NOTHING_DONE:
            self.owned.unknown(key, number)

    def _check(self, keys: list[str]) -> None:
        found: dict[str, int] = {}

        def get() -> None:
            found.update(self.face.get(keys))

        if not keys or self._timed(keys, get) not in {"", "not-found"}:
            return
        told = (self.owned.wrong(key, found.get(key)) for key in keys)
        self.wrong += [text for text in told if text]

    def _timed(self, keys: Sequence[str], request: Callable[[], None]) -> str:
        began_s, refusal = time.monotonic(), ""
        try:
            request()
        except RefusedError as error:
            refusal = str(error)
        self.met.append(Met(keys, began_s, time.monotonic(), refusal))
        return refusal


def clients_of(deployment: FaultyDeployment, each: int) -> list[Client]:
    """Return so many clients of each face."""
    faces: list[Face] = []
    for _ in range(each):
        faces += [RestFace(deployment.http()), RpcFace(deployment)]
    return [Client(face, number) for number, face in enumerate(faces)]
