"""Processing Workers, and the verification of the files, which they do."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.domain.registry import Revocation, WorkerRecord
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.finding import Finding
from strongroom_pb.v1 import admin_pb2 as pb
from strongroom_pb.v1 import common_pb2


def list_workers(
    main: Main, caller: Caller, request: pb.ListWorkersRequest
) -> pb.ListWorkersResponse:
    """Return a page of the workers whose lease runs."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.administration.workers_page(caller, limit, request.page_token)
    return pb.ListWorkersResponse(workers=map(_worker, found.records), next_page_token=found.cursor)


def list_revoked_workers(
    main: Main, caller: Caller, request: pb.ListRevokedWorkersRequest
) -> pb.ListRevokedWorkersResponse:
    """Return a page of the workers that are revoked."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.administration.revoked_workers_page(caller, limit, request.page_token)
    return pb.ListRevokedWorkersResponse(
        workers=map(_revoked, found.records), next_page_token=found.cursor
    )


def revoke_worker(
    main: Main, caller: Caller, request: pb.RevokeWorkerRequest
) -> pb.RevokeWorkerResponse:
    """Revoke a worker."""
    main.administration.revoke_worker(caller, request.worker_id, unseen=request.unseen)
    return pb.RevokeWorkerResponse()


def reinstate_worker(
    main: Main, caller: Caller, request: pb.ReinstateWorkerRequest
) -> pb.ReinstateWorkerResponse:
    """Let a revoked worker come into service again."""
    main.administration.reinstate_worker(caller, request.worker_id)
    return pb.ReinstateWorkerResponse()


def put_worker_credential(
    main: Main, caller: Caller, request: pb.PutWorkerCredentialRequest
) -> pb.PutWorkerCredentialResponse:
    """Give a worker a credential to subscribe with, shown this once."""
    made, is_first = main.worker_credentials.put(caller, request.worker_id, replace=request.replace)
    return pb.PutWorkerCredentialResponse(
        worker_id=request.worker_id, credential=made, created=is_first
    )


def verify(main: Main, caller: Caller, request: pb.VerifyRequest) -> pb.VerifyResponse:
    """Look at some of the files that are stored."""
    found = main.inspection.verify(caller, request.page_token, repair=request.repair)
    return pb.VerifyResponse(
        findings=map(_finding, found.findings),
        next_page_token=found.cursor,
        examined=found.examined,
        done=found.done,
        total=found.total,
    )


METHODS: Final = (
    list_workers,
    list_revoked_workers,
    revoke_worker,
    reinstate_worker,
    put_worker_credential,
    verify,
)


def _worker(worker: WorkerRecord) -> pb.Worker:
    return pb.Worker(
        worker_id=worker.worker_id,
        address=worker.address,
        registered_at=worker.registered_at,
        lease_until=rfc3339(worker.lease_until_ms),
        certificate_until=rfc3339(worker.certificate_until_ms)
        if worker.certificate_until_ms
        else "",
        draining=worker.report.is_draining,
        load=worker.report.load,
        cache_entries=worker.report.cache_entries,
        cache_bytes=worker.report.cache_bytes,
        version=worker.report.version,
    )


def _revoked(revocation: Revocation) -> pb.RevokedWorker:
    return pb.RevokedWorker(worker_id=revocation.worker_id, revoked_at=revocation.revoked_at)


def _finding(found: Finding) -> common_pb2.Finding:
    return common_pb2.Finding(
        path=found.path,
        condition=found.condition.value,
        reason=found.reason,
        repaired=found.repaired,
    )
