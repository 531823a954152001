"""The paths of jobs."""

from typing import Final

import msgspec
from chalice.app import Response

from main_api.domain.jobs import JobRecord, Kind, Phase, State, Use
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    Answer,
    Count,
    Operation,
    Right,
    Tag,
    Time,
    json_content,
)
from strongroom import jsontext
from strongroom.errors import ConflictError, IntegrityError, NotFoundError


class JobBegun(msgspec.Struct, frozen=True, kw_only=True):
    """A job that goes on by itself; `GET /jobs/{job_id}` tells how far it is."""

    job_id: str


class JobAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job has come, or how it ended."""

    job_id: str
    kind: Kind
    state: State
    phase: Phase
    key_ids: list[str]
    done: Count
    total: Count
    rewrapped: Count
    left: Use
    unreadable: Count
    keyless: Count
    detail: str
    backups: list[str]
    exports: list[str]
    created_at: Time
    updated_at: Time


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs, the newest first."""

    jobs: list[JobAnswer]
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


_BEGUN: Final = JobBegun(job_id="01a20bc764d706a5ff8e11493a3a")
_JOB: Final = JobAnswer(
    job_id=_BEGUN.job_id,
    kind=Kind.REWRAP,
    state=State.DONE,
    phase=Phase.VERIFYING,
    key_ids=["4338abd0257bc0e8"],
    done=256,
    total=256,
    rewrapped=2,
    left=Use(),
    unreadable=0,
    keyless=0,
    detail="",
    backups=[],
    exports=[],
    created_at=AN_INSTANT,
    updated_at=AN_INSTANT,
)
_JOB_ID: Final = {"job_id": "$response.body#/job_id"}
JOB_BEGUN: Final = Answer(
    202,
    "It goes on as a job.",
    json_content(JobBegun, _BEGUN),
    links={"get_job": _JOB_ID, "cancel_job": _JOB_ID},
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""

    @app.route(
        "/jobs",
        methods=["GET"],
        operation=Operation(
            tag=Tag.JOBS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The jobs.", json_content(JobList, JobList(jobs=[_JOB]))),),
        ),
    )
    def list_jobs() -> Response:
        """Answer the jobs, the newest first."""
        found, damaged = app.main.jobs.all(app.caller)
        jobs = JobList(jobs=[_shown(one) for one in found], damaged=damaged or msgspec.UNSET)
        return json_response(jsontext.dump(jobs))

    @app.route(
        "/jobs/{job_id}",
        methods=["GET"],
        operation=Operation(
            tag=Tag.JOBS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(200, "The job.", json_content(JobAnswer, _JOB)),),
            errors=(NotFoundError, IntegrityError),
        ),
    )
    def get_job(job_id: str) -> Response:
        """Answer how far a job has come."""
        return json_response(jsontext.dump(_shown(app.main.jobs.get(app.caller, job_id))))

    @app.route(
        "/jobs/{job_id}/cancel",
        methods=["POST"],
        operation=Operation(
            tag=Tag.JOBS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(202, "It will end.", json_content(JobBegun, _BEGUN)),),
            errors=(NotFoundError, ConflictError, IntegrityError),
        ),
    )
    def cancel_job(job_id: str) -> Response:
        """Have a job end."""
        return accepted(app.main.jobs.cancel(app.caller, job_id))


def accepted(job: JobRecord) -> Response:
    """Return the answer to an order that a job carries out."""
    return json_response(jsontext.dump(JobBegun(job_id=job.job_id)), 202)


def _shown(job: JobRecord) -> JobAnswer:
    return JobAnswer(
        job_id=job.job_id,
        kind=job.kind,
        state=job.state,
        phase=job.phase,
        key_ids=list(job.drained),
        done=job.done,
        total=job.total,
        rewrapped=job.rewrapped_so_far,
        left=job.left,
        unreadable=job.unreadable,
        keyless=job.seen.keyless,
        detail=job.detail,
        backups=list(job.backups),
        exports=list(job.exports),
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
