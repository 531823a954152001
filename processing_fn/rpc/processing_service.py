"""ProcessingService: what a Main Worker calls.

What the engine answers, refusals included, is in the response. A gRPC status is left to what
concerns the call itself: no proof of being a Main Worker, no room, a defect of ours.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Final, TypeVar

import grpc

from processing_fn.domain.entity import Outcome
from processing_fn.rpc import translation
from processing_fn.rpc.operation_times import OK, OperationTimes
from processing_fn.service import deadline
from processing_fn.service.bindings import Binding
from processing_fn.service.engine import Engine
from processing_fn.service.patching import PatchKind
from processing_fn.service.requests import Snapshot
from processing_fn.service.traffic import Traffic
from strongroom import limits, logs, tracing
from strongroom.clock import SystemClock
from strongroom.errors import (
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    KeyDestroyedError,
    OutcomeUnknownError,
    StrongroomError,
)
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import Metrics
from strongroom.rpc import status, tls
from strongroom_pb.v1 import processing_pb2 as pb
from strongroom_pb.v1 import processing_pb2_grpc as services

T = TypeVar("T")
# TLS goes by the machine's clock, too.
_CLOCK: Final = SystemClock()
_log = logs.logger()


class ProcessingService(services.ProcessingServiceServicer):
    """Translates, asks the engine, translates back."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        statistics: Callable[[], dict[str, int]],
        note: Callable[[], object],
        traffic: Traffic | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Take the parts.

        Args:
            engine: The way to the engine in force; it raises UnavailableError while there is none.
            statistics: The counters.
            note: Takes note of a client's request.
            traffic: Counts the calls, and ends them.
            metrics: Where it is counted how long they take.
        """
        metrics = metrics or Metrics()
        self._damaged = metrics.counter(catalogue.INTEGRITY_ERRORS)
        self._times = OperationTimes(metrics)
        self._times_of_many = OperationTimes(metrics, "-many")
        self._engine = engine
        self._statistics = statistics
        self._note = note
        self._traffic = traffic or Traffic(SystemClock())

    def Process(  # noqa: N802 - named by gRPC
        self, request: pb.ProcessRequest, context: grpc.ServicerContext
    ) -> pb.ProcessResponse:
        """Answer one operation on one entity."""
        began_s = perf_counter()
        _require_main(context)
        self._note()
        outcome = InternalError.code
        with _traced(context):
            try:
                with self._traffic, deadline.Serving(context):
                    answer = self._process(request)
                outcome = OK
            except StrongroomError as error:
                outcome = error.code
                self._tell(error, request.database_name)
                return translation.response(error)
            except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
                _log.exception("process-failed", database=request.database_name)
                return translation.response(_defect())
            else:
                return answer
            finally:
                self._times[request.operation, outcome](perf_counter() - began_s)

    def ProcessBatch(  # noqa: N802 - named by gRPC
        self, request: pb.ProcessBatchRequest, context: grpc.ServicerContext
    ) -> pb.ProcessBatchResponse:
        """Answer one operation on several entities."""
        began_s = perf_counter()
        _require_main(context)
        self._note()
        outcome = InternalError.code
        with _traced(context):
            try:
                with self._traffic, deadline.Serving(context):
                    answers = self._process_batch(request)
                outcome = OK
            except StrongroomError as error:
                outcome = error.code
                self._tell(error, request.database_name)
                # Not as the call's own status: violations may be more than trailing metadata holds.
                return pb.ProcessBatchResponse(status=status.to_status(error))
            except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
                _log.exception("process-failed", database=request.database_name)
                return pb.ProcessBatchResponse(status=status.to_status(_defect()))
            else:
                return pb.ProcessBatchResponse(responses=answers)
            finally:
                self._times_of_many[request.operation, outcome](perf_counter() - began_s)

    def Scan(  # noqa: N802 - named by gRPC
        self, request: pb.ScanRequest, context: grpc.ServicerContext
    ) -> pb.ScanResponse:
        """Answer a page."""

        def work() -> pb.ScanResponse:
            self._note()
            binding, query = translation.binding(request), translation.query(request.query)
            with self._traffic, deadline.Serving(context):
                return translation.page(self._engine().page(binding, query))

        return self._served("scan", context, work)

    def TryTemplate(  # noqa: N802 - named by gRPC
        self, request: pb.TryTemplateRequest, context: grpc.ServicerContext
    ) -> pb.ScanResponse:
        """Answer a page of what a template would refuse."""

        def work() -> pb.ScanResponse:
            binding, query = translation.binding(request), translation.query(request.query)
            with self._traffic, deadline.Serving(context):
                return translation.page(self._engine().try_template(binding, request.schema, query))

        return self._served("try-template", context, work)

    def Inspect(  # noqa: N802 - named by gRPC
        self, request: pb.InspectRequest, context: grpc.ServicerContext
    ) -> pb.InspectResponse:
        """Answer what is the matter with some of the files."""

        def work() -> pb.InspectResponse:
            with self._traffic:
                inspector = self._engine().inspector
                return translation.report(inspector.inspect(request.cursor, repair=request.repair))

        return self._served("inspect", context, work)

    def Rewrap(  # noqa: N802 - named by gRPC
        self, request: pb.RewrapRequest, context: grpc.ServicerContext
    ) -> pb.RewrapResponse:
        """Put some files under the active key, or count them."""

        def work() -> pb.RewrapResponse:
            drained = frozenset(request.drained_key_ids)
            shard, cursor, rate = request.shard, request.cursor, request.files_per_second
            with self._traffic:
                rewrapper = self._engine().rewrapper
                return translation.census(rewrapper.run(shard, cursor, drained, rate))

        return self._served("rewrap", context, work)

    def GetStatistics(  # noqa: N802 - named by gRPC
        self, request: pb.GetStatisticsRequest, context: grpc.ServicerContext
    ) -> pb.GetStatisticsResponse:
        """Answer the counters."""
        del request
        _require_main(context)
        return pb.GetStatisticsResponse(counters=self._statistics())

    def _served(self, operation: str, context: grpc.ServicerContext, work: Callable[[], T]) -> T:
        """Run a handler whose refusals are the call's own status."""
        began_s = perf_counter()
        _require_main(context)
        outcome = InternalError.code
        with _traced(context):
            try:
                answer = work()
                outcome = OK
            except StrongroomError as error:
                outcome = error.code
                self._tell(error)
                return status.abort(context, error)
            except Exception:  # noqa: BLE001 - the boundary: what nobody foresaw is logged, not shown
                _log.exception("process-failed")
                return status.abort(context, _defect())
            else:
                return answer
            finally:
                self._times[operation, outcome](perf_counter() - began_s)

    def _told(self, answer: Snapshot | Outcome | StrongroomError) -> pb.ProcessResponse:
        if isinstance(answer, StrongroomError):
            self._tell(answer)
        return translation.response(answer)

    def _tell(self, error: StrongroomError, database: str = "") -> None:
        """Log a refusal that is the fault of this side: a damaged file, a write of unknown outcome.

        What was destroyed on purpose is none.
        """
        faults = IntegrityError | OutcomeUnknownError | InternalError
        if isinstance(error, faults) and not isinstance(error, KeyDestroyedError):
            if isinstance(error, IntegrityError):
                self._damaged.add()
            named = {"database": database} if database else {}
            _log.error("process-refused", code=error.code, reason=error.detail, **named)

    def _process(self, request: pb.ProcessRequest) -> pb.ProcessResponse:
        engine, params = self._engine(), request.params
        binding, key = translation.binding(request), request.entity_key
        # The hot path is first, and not looked up in a table.
        if request.operation == pb.OPERATION_GET:
            snapshot = engine.get(binding, key)
            return translation.response(snapshot, params.if_none_match_version)
        if request.operation == pb.OPERATION_TRANSFORM:
            return translation.response(engine.transform(binding, key, params.expression))
        return translation.response(_write(engine, binding, request))

    def _process_batch(self, request: pb.ProcessBatchRequest) -> list[pb.ProcessResponse]:
        if len(request.items) > limits.ENTITIES_PER_REQUEST_MAX:
            raise InvalidArgumentError(f"at most {limits.ENTITIES_PER_REQUEST_MAX} entities")
        engine, binding = self._engine(), translation.binding(request)
        if request.operation == pb.OPERATION_GET:
            keys = [item.entity_key for item in request.items]
            return [self._told(found) for found in engine.get_many(binding, keys)]
        if request.operation == pb.OPERATION_PUT:
            puts = [translation.put(item.entity_key, item.params) for item in request.items]
            return [self._told(done) for done in engine.put_many(binding, puts)]
        if request.operation == pb.OPERATION_DELETE:
            deletes = [translation.delete(item.entity_key, item.params) for item in request.items]
            return [self._told(done) for done in engine.delete_many(binding, deletes)]
        if request.operation == pb.OPERATION_VALIDATE:
            puts = [translation.put(item.entity_key, item.params) for item in request.items]
            return [translation.response(verdict) for verdict in engine.validate(binding, puts)]
        raise _unknown_operation()


def _write(engine: Engine, binding: Binding, request: pb.ProcessRequest) -> Outcome:
    key, params = request.entity_key, request.params
    if request.operation == pb.OPERATION_PUT:
        return engine.put(binding, translation.put(key, params))
    if request.operation == pb.OPERATION_DELETE:
        return engine.delete(binding, translation.delete(key, params))
    if request.operation == pb.OPERATION_MERGE_PATCH:
        return engine.patch(binding, translation.patch(key, PatchKind.MERGE, params))
    if request.operation == pb.OPERATION_JSON_PATCH:
        return engine.patch(binding, translation.patch(key, PatchKind.JSON, params))
    if request.operation == pb.OPERATION_STORE_TRANSFORMED:
        return engine.store_transformed(binding, translation.transform(key, params))
    raise _unknown_operation()


def _traced(context: grpc.ServicerContext) -> AbstractContextManager[None]:
    return tracing.entered(tracing.unread(context.invocation_metadata()))


def _require_main(context: grpc.ServicerContext) -> None:
    try:
        tls.require_main(context.auth_context(), _CLOCK.wall_ms())
    except StrongroomError as error:
        status.abort(context, error)


def _defect() -> InternalError:
    return InternalError("an internal error; the log has more")


def _unknown_operation() -> InvalidArgumentError:
    return InvalidArgumentError("this worker does not know the operation")
