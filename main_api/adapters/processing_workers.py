"""Calls to Processing Workers over gRPC and mutual TLS, one channel per worker."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

from main_api.adapters import worker_messages
from main_api.domain.jobs import Pass, Use
from main_api.domain.registry import WorkerRecord
from main_api.service.requests import patience
from main_api.service.workers.ports import (
    EntityPage,
    Found,
    GivenUpError,
    Inspected,
    PageRequest,
    Pending,
    Piece,
    Refused,
    RefusedPage,
    WorkerLostError,
    WriteItem,
    Written,
)
from strongroom import limits, tracing
from strongroom.configuration import Database
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.finding import Condition as FileCondition
from strongroom.finding import Finding
from strongroom.identity import Held, LiveIdentity
from strongroom.rpc import messages, status, tls
from strongroom_pb.v1 import processing_pb2 as pb
from strongroom_pb.v1 import processing_pb2_grpc

Connect = Callable[[Held, str, str], grpc.Channel]
T = TypeVar("T")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GrpcWorkers:
    """The `WorkerClient` and `Rewrapping` of a Main Worker. Safe under threads."""

    def __init__(self, identity: LiveIdentity, connect: Connect = tls.channel) -> None:
        """Take the Main Worker's certificate, which may change; connect at the first call.

        Args:
            identity: What every channel presents.
            connect: Makes a channel of it, an address, and the name that the worker has to prove.
        """
        self._identity = identity
        self._channel = connect
        self._lock = threading.Lock()
        self._connections: dict[str, _Connection] = {}
        self._spans: Callable[[WorkerRecord], grpc.UnaryUnaryClientInterceptor] | None = None

    def trace(self) -> None:
        """From now on put each call of a request that is in a span into one of its own."""
        # Imported where it is needed: without a collector nothing of this is there.
        from strongroom.rpc.traced import ClientSpans  # noqa: PLC0415

        self._spans = lambda worker: ClientSpans({"strongroom.worker_id": worker.worker_id})

    def get(
        self, worker: WorkerRecord, database: Database, key: str, known: int, timeout_s: float
    ) -> Found:
        """Read an entity."""
        params = pb.Params(if_none_match_version=known)
        request = worker_messages.request(database, key, pb.OPERATION_GET, params)
        answer = _call_quickly(self._stub(worker).Process, request, timeout_s)
        return _raised(worker_messages.found(key, answer))

    def get_many(
        self, worker: WorkerRecord, database: Database, keys: Sequence[str], timeout_s: float
    ) -> Pending[list[Found | StrongroomError]]:
        """Begin to read several entities."""
        request = worker_messages.reads(database, keys)
        metadata = tracing.current().metadata()
        method = self._stub(worker).ProcessBatch
        return _Reading(method.future(request, timeout=timeout_s, metadata=metadata), keys)

    def transform(
        self,
        worker: WorkerRecord,
        database: Database,
        key: str,
        expression: str,
        timeout_s: float,
    ) -> Found:
        """Return what a JMESPath expression makes of an entity."""
        params = pb.Params(expression=expression)
        request = worker_messages.request(database, key, pb.OPERATION_TRANSFORM, params)
        answer = _call(self._stub(worker).Process, request, timeout_s)
        return _raised(worker_messages.found(key, answer))

    def write(
        self, worker: WorkerRecord, database: Database, item: WriteItem, timeout_s: float
    ) -> Written:
        """Write an entity."""
        request = worker_messages.write(database, item)
        answer = _call(self._stub(worker).Process, request, timeout_s)
        return _raised(worker_messages.written(item.key, answer))

    def scan(
        self, worker: WorkerRecord, database: Database, request: PageRequest, timeout_s: float
    ) -> EntityPage:
        """Read a page."""
        message = pb.ScanRequest(
            database_name=database.name,
            schema_id=database.schema_id,
            incarnation=database.incarnation,
            query=worker_messages.query(request),
        )
        page = _call(self._stub(worker).Scan, message, timeout_s)
        entities = tuple(
            Found(one.entity_key, one.document, messages.to_metadata(one.metadata))
            for one in page.entities
        )
        return EntityPage(entities, page.cursor, page.examined, page.damaged)

    def try_template(
        self,
        worker: WorkerRecord,
        database: Database,
        schema: bytes,
        request: PageRequest,
        timeout_s: float,
    ) -> RefusedPage:
        """Return a page of what a template would refuse."""
        message = pb.TryTemplateRequest(
            database_name=database.name,
            schema_id=database.schema_id,
            incarnation=database.incarnation,
            schema=schema,
            query=worker_messages.query(request),
        )
        page = _call(self._stub(worker).TryTemplate, message, timeout_s)
        refused = tuple(
            Refused(one.entity_key, one.metadata.version, status.from_status(one.refusal))
            for one in page.entities
        )
        return RefusedPage(refused, page.cursor, page.examined, page.damaged)

    def inspect(
        self, worker: WorkerRecord, cursor: str, timeout_s: float, *, repair: bool
    ) -> Inspected:
        """Look at files."""
        message = pb.InspectRequest(cursor=cursor, repair=repair)
        answer = _call(self._stub(worker).Inspect, message, timeout_s)
        findings = tuple(
            Finding(one.path, FileCondition(one.condition), one.reason, one.repaired)
            for one in answer.findings
        )
        return Inspected(findings, answer.cursor, answer.examined, answer.done, answer.total)

    def rewrap(self, worker: WorkerRecord, piece: Piece, timeout_s: float) -> tuple[Pass, str]:
        """Rewrap or count files."""
        message = pb.RewrapRequest(
            shard=piece.shard,
            cursor=piece.cursor,
            drained_key_ids=piece.drained,
            files_per_second=piece.files_per_second,
        )
        answer = _call(self._stub(worker).Rewrap, message, timeout_s)
        seen = Pass(
            files=answer.files,
            rewrapped=answer.rewrapped,
            by_key={key: Use(use.files, use.entities) for key, use in answer.by_key.items()},
            unreadable=answer.unreadable,
            keyless=answer.keyless,
        )
        return seen, answer.cursor

    def put_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Put several entities."""
        request = worker_messages.writes(database, pb.OPERATION_PUT, items)
        answer = _call(self._stub(worker).ProcessBatch, request, timeout_s)
        return _all_written(items, answer)

    def delete_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Delete several entities."""
        request = worker_messages.writes(database, pb.OPERATION_DELETE, items)
        answer = _call(self._stub(worker).ProcessBatch, request, timeout_s)
        return _all_written(items, answer)

    def validate(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[StrongroomError | None]:
        """Return for each put what would refuse it."""
        request = worker_messages.writes(database, pb.OPERATION_VALIDATE, items)
        answer = _call(self._stub(worker).ProcessBatch, request, timeout_s)
        return [
            status.from_status(r.status) if r.HasField("status") else None for r in answer.responses
        ]

    def statistics(self, worker: WorkerRecord, timeout_s: float) -> dict[str, int]:
        """Return a worker's counters."""
        request = pb.GetStatisticsRequest()
        answer = _call(self._stub(worker).GetStatistics, request, timeout_s)
        return dict(answer.counters)

    def probe(self, worker: WorkerRecord, timeout_s: float) -> None:
        """Ask a worker for a sign of life."""
        _call_quickly(self._stub(worker).GetStatistics, pb.GetStatisticsRequest(), timeout_s)

    def close(self) -> None:
        """Close every channel."""
        with self._lock:
            for connection in self._connections.values():
                connection.channel.close()
            self._connections.clear()

    def _stub(self, worker: WorkerRecord) -> processing_pb2_grpc.ProcessingServiceStub:
        held = self._identity.current()
        connection = self._connections.get(worker.worker_id)
        if connection is None or not connection.is_of(worker, held):
            connection = self._connect(worker, held)
        # An interceptor costs a call that is in no span a twentieth of its time.
        return connection.stub if tracing.current().span is None else connection.spanned

    def _connect(self, worker: WorkerRecord, held: Held) -> "_Connection":
        with self._lock:
            known = self._connections.get(worker.worker_id)
            if known is not None and known.is_of(worker, held):
                return known
            if known is None and len(self._connections) >= limits.WORKER_CONNECTIONS_MAX:
                known = self._connections.pop(next(iter(self._connections)))
            if known is not None:
                _close_later(known.channel)
            name = tls.worker_name(worker.worker_id)
            channel = self._channel(held, worker.address, name)
            stub = spanned = processing_pb2_grpc.ProcessingServiceStub(channel)
            if self._spans is not None:
                observed = grpc.intercept_channel(channel, self._spans(worker))
                spanned = processing_pb2_grpc.ProcessingServiceStub(observed)
            made = _Connection(worker.address, held, channel, stub, spanned)
            self._connections[worker.worker_id] = made
            return self._connections[worker.worker_id]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A read of several entities that was begun."""

    under_way: "grpc._CallFuture[pb.ProcessBatchResponse]"
    keys: Sequence[str]

    def result(self) -> list[Found | StrongroomError]:
        """Wait for the answers."""
        answers = worker_messages.answers(_awaited(self.under_way))
        return [
            worker_messages.found(key, answer)
            for key, answer in zip(self.keys, answers, strict=True)
        ]

    def cancel(self) -> None:
        """End it."""
        self.under_way.cancel()


@dataclass(frozen=True, slots=True)
class _Connection:
    address: str
    held: Held
    channel: grpc.Channel
    stub: processing_pb2_grpc.ProcessingServiceStub
    spanned: processing_pb2_grpc.ProcessingServiceStub

    def is_of(self, worker: WorkerRecord, held: Held) -> bool:
        """Tell whether it leads to where the worker is, and presents what is in force."""
        return self.address == worker.address and self.held is held


def _close_later(channel: grpc.Channel) -> None:
    """Close a channel once no call can be under way on it any more."""
    timer = threading.Timer(limits.REQUEST_SECONDS, channel.close)
    timer.daemon = True
    timer.start()


def _call_quickly(
    method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request, timeout_s: float
) -> Answer:
    """Make a call that is too short to be cancelled: this saves a fifth of its time."""
    try:
        return method(request, timeout=timeout_s, metadata=tracing.current().metadata())
    except grpc.RpcError as error:
        raise _failure(error) from error


def _call(
    method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request, timeout_s: float
) -> Answer:
    """Make a call that is cancelled when nobody waits for its answer any more.

    Raises:
        GivenUpError: It was.
        WorkerLostError: There is no answer.
        StrongroomError: What the worker answers.
    """
    metadata = tracing.current().metadata()
    return _awaited(method.future(request, timeout=timeout_s, metadata=metadata))


def _awaited(under_way: "grpc._CallFuture[Answer]") -> Answer:
    try:
        with patience.current().cancelling(under_way.cancel):
            return under_way.result()
    except grpc.FutureCancelledError as error:
        raise GivenUpError from error
    except grpc.RpcError as error:
        raise _failure(error) from error


def _failure(error: grpc.RpcError) -> StrongroomError:
    failure = status.from_rpc_error(error)
    if not isinstance(failure, UnavailableError) or status.is_answer(error):
        return failure
    code = error.code() if isinstance(error, grpc.Call) else None
    text = error.details() if isinstance(error, grpc.Call) else ""
    return WorkerLostError(
        # gRPC core's own words for a call that was never put on the wire.
        delivered=not (text or "").startswith("failed to connect to all addresses"),
        timed_out=code is grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def _all_written(
    items: Sequence[WriteItem], answer: pb.ProcessBatchResponse
) -> list[Written | StrongroomError]:
    answers = worker_messages.answers(answer)
    return [worker_messages.written(i.key, r) for i, r in zip(items, answers, strict=True)]


def _raised(answer: T | StrongroomError) -> T:
    if isinstance(answer, StrongroomError):
        raise answer
    return answer
