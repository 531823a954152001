"""The paths of keys: which there are, a new one, and what follows from it."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from chalice.app import Response

from main_api.domain.backups import BackupRecord
from main_api.domain.jobs import JobRecord
from main_api.rest.application import StrongroomApp, json_response
from main_api.rest.requests import body_of, decoded, json_body, parameters
from main_api.service.keys.signing import PublishedKey
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError
from strongroom.keyring import Key, State

B = TypeVar("B")


class _RotateBody(msgspec.Struct, forbid_unknown_fields=True):
    purpose: Literal["data", "token-signing"] = "data"


class _RewrapBody(msgspec.Struct, forbid_unknown_fields=True):
    files_per_second: (
        Annotated[float, msgspec.Meta(ge=1, le=limits.REWRAP_FILES_PER_SECOND_MAX)] | None
    ) = None


class _DestroyBody(msgspec.Struct, forbid_unknown_fields=True):
    shred: bool = False
    entities: Annotated[int, msgspec.Meta(ge=0, le=limits.ENTITIES_LOST_MAX)] | None = None


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_keys(app)
    _add_jobs(app)
    _add_backups(app)


def _add_keys(app: StrongroomApp) -> None:
    @app.route("/keys", methods=["GET"])
    def list_keys() -> Response:
        """Answer the data keys and those that sign tokens, without their material."""
        parameters(app.request, frozenset())
        found = app.main.keys.list(app.caller)
        answer = {
            "keys": [_key(one) | _use(app, one) for one in found],
            "recovery": app.main.keyring.current.recovery or None,
            "signing_keys": [_signing_key(one) for one in app.main.signing_keys.published()],
        }
        return json_response(jsontext.dump(answer))

    @app.route("/keys/rotate", methods=["POST"])
    def rotate_keys() -> Response:
        """Make a new key for what is encrypted, or for the tokens that are signed, from now on."""
        parameters(app.request, frozenset())
        signs = _body(app, _RotateBody).purpose == "token-signing"
        made = (app.main.signing_keys if signs else app.main.keys).rotate(app.caller)
        return json_response(jsontext.dump({"key_id": made.key_id}), 201)

    @app.route("/keys/rewrap", methods=["POST"])
    def rewrap() -> Response:
        """Begin to put every file under the active key."""
        parameters(app.request, frozenset())
        body = _body(app, _RewrapBody)
        job = app.main.jobs.rewrap(app.caller, body.files_per_second or 0)
        return _accepted(job)

    @app.route("/keys/{key_id}/destroy", methods=["POST"])
    def destroy(key_id: str) -> Response:
        """Begin to destroy a key; with `shred`, whatever may need it."""
        parameters(app.request, frozenset())
        body = _body(app, _DestroyBody)
        if body.shred is not (body.entities is not None):
            raise InvalidArgumentError(
                "shred goes with entities: how many of them may be lost, as was confirmed"
            )
        return _accepted(app.main.jobs.destroy(app.caller, key_id, body.entities))


def _add_jobs(app: StrongroomApp) -> None:
    @app.route("/jobs", methods=["GET"])
    def list_jobs() -> Response:
        """Answer the jobs, the newest first."""
        parameters(app.request, frozenset())
        found, damaged = app.main.jobs.all(app.caller)
        return _listed("jobs", [_job(one) for one in found], damaged)

    @app.route("/jobs/{job_id}", methods=["GET"])
    def get_job(job_id: str) -> Response:
        """Answer how far a job has come."""
        parameters(app.request, frozenset())
        return json_response(jsontext.dump(_job(app.main.jobs.get(app.caller, job_id))))

    @app.route("/jobs/{job_id}/cancel", methods=["POST"])
    def cancel_job(job_id: str) -> Response:
        """Have a job end."""
        parameters(app.request, frozenset())
        return _accepted(app.main.jobs.cancel(app.caller, job_id))


def _add_backups(app: StrongroomApp) -> None:
    @app.route("/backups", methods=["GET"])
    def list_backups() -> Response:
        """Answer the backups on record."""
        parameters(app.request, frozenset())
        found, damaged = app.main.backups.all(app.caller)
        return _listed("backups", [_backup(one) for one in found], damaged)

    @app.route("/backups/{backup_id}", methods=["PUT"])
    def put_backup(backup_id: str) -> Response:
        """Put a backup that was taken on record."""
        parameters(app.request, frozenset())
        made = app.main.backups.record(app.caller, backup_id)
        return json_response(jsontext.dump(_backup(made)), 201)

    @app.route("/backups/{backup_id}", methods=["DELETE"])
    def delete_backup(backup_id: str) -> Response:
        """Take a backup that is gone off the record."""
        parameters(app.request, frozenset())
        app.main.backups.remove(app.caller, backup_id)
        return Response("", {}, 204)


def _body(app: StrongroomApp, kind: type[B]) -> B:
    """Return the body; without one, what its members are by default."""
    if not body_of(app.request):
        return kind()
    return decoded(json_body(app.request), kind)


def _listed(what: str, shown: list[dict[str, Any]], damaged: int) -> Response:
    answer: dict[str, Any] = {what: shown}
    return json_response(jsontext.dump(answer | ({"damaged": damaged} if damaged else {})))


def _accepted(job: JobRecord) -> Response:
    return json_response(jsontext.dump({"job_id": job.job_id}), 202)


def _use(app: StrongroomApp, key: Key) -> dict[str, int]:
    """Return what only the active key has: how much was written under it."""
    if key.state != State.ACTIVE:
        return {}
    return {"written_bytes": app.main.rotation.written_bytes(key.key_id)}


def _key(key: Key) -> dict[str, Any]:
    return {"key_id": key.key_id, "state": key.state.value, "created_at": key.created_at}


def _signing_key(key: PublishedKey) -> dict[str, Any]:
    return {"key_id": key.key_id, "is_signing": key.is_signing, "created_at": key.created_at}


def _backup(backup: BackupRecord) -> dict[str, Any]:
    return {
        "backup_id": backup.backup_id,
        "recorded_at": backup.recorded_at,
        "key_ids": list(backup.key_ids),
    }


def _job(job: JobRecord) -> dict[str, Any]:
    left = job.left
    return {
        "job_id": job.job_id,
        "kind": job.kind.value,
        "state": job.state.value,
        "phase": job.phase.value,
        "key_ids": list(job.drained),
        "done": job.done,
        "total": job.total,
        "rewrapped": job.rewrapped_so_far,
        "left": {"files": left.files, "entities": left.entities},
        "unreadable": job.unreadable,
        "keyless": job.seen.keyless,
        "detail": job.detail,
        "backups": list(job.backups),
        "exports": list(job.exports),
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }
