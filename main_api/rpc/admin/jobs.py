"""Jobs."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.domain.jobs import JobRecord, Kind, Phase, State
from strongroom import limits
from strongroom_pb.v1 import admin_pb2 as pb

KINDS: Final = {Kind.REWRAP: pb.JOB_KIND_REWRAP, Kind.DESTROY: pb.JOB_KIND_DESTROY}
STATES: Final = {
    State.RUNNING: pb.JOB_STATE_RUNNING,
    State.DONE: pb.JOB_STATE_DONE,
    State.FAILED: pb.JOB_STATE_FAILED,
    State.CANCELLED: pb.JOB_STATE_CANCELLED,
}
PHASES: Final = {
    Phase.COUNTING: pb.JOB_PHASE_COUNTING,
    Phase.REWRAPPING: pb.JOB_PHASE_REWRAPPING,
    Phase.SETTLING: pb.JOB_PHASE_SETTLING,
    Phase.VERIFYING: pb.JOB_PHASE_VERIFYING,
    Phase.DESTROYING: pb.JOB_PHASE_DESTROYING,
}


def get_job(main: Main, caller: Caller, request: pb.GetJobRequest) -> pb.Job:
    """Return how far a job has come."""
    return job_message(main.jobs.get(caller, request.job_id))


def list_jobs(main: Main, caller: Caller, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
    """Return a page of the jobs, the newest first."""
    found = main.jobs.page(caller, request.page_size or limits.PAGE_SIZE, request.page_token)
    return pb.ListJobsResponse(
        jobs=map(job_message, found.records),
        next_page_token=found.cursor,
        damaged=found.damaged,
    )


def cancel_job(main: Main, caller: Caller, request: pb.CancelJobRequest) -> pb.Job:
    """Have a job end."""
    return job_message(main.jobs.cancel(caller, request.job_id))


METHODS: Final = (get_job, list_jobs, cancel_job)


def job_message(job: JobRecord) -> pb.Job:
    """Return the message of a job."""
    return pb.Job(
        job_id=job.job_id,
        kind=KINDS[job.kind],
        state=STATES[job.state],
        phase=PHASES[job.phase],
        key_ids=job.drained,
        done=job.done,
        total=job.total,
        rewrapped=job.rewrapped_so_far,
        left=pb.FilesLeft(files=job.left.files, entities=job.left.entities),
        unreadable=job.unreadable,
        keyless=job.seen.keyless,
        detail=job.detail,
        backups=job.backups,
        exports=job.exports,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
