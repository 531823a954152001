"""The paths of what is kept elsewhere: backups on record, and exports of the keyring."""

from typing import Annotated, Final

import msgspec
from chalice.app import Response

from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.rest.answers import json_response
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import (
    AN_INSTANT,
    Answer,
    Count,
    Name,
    Operation,
    Right,
    Tag,
    Time,
    json_content,
)
from strongroom import jsontext
from strongroom.errors import ConflictError, IntegrityError, NotFoundError

OFF_THE_RECORD: Final = Answer(204, "It is off the record.")


class BackupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A backup of the files, and the keys that it needs."""

    backup_id: Name
    recorded_at: Time
    key_ids: list[str]


class BackupList(msgspec.Struct, frozen=True, kw_only=True):
    """The backups on record."""

    backups: list[BackupAnswer]
    damaged: Count | msgspec.UnsetType = msgspec.UNSET


class ExportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An export of the keyring, which the recovery key alone opens."""

    export_id: str
    exported_at: Time
    generation: Count
    key_ids: list[str]
    recovery: Annotated[str, msgspec.Meta(description="The recovery key's fingerprint.")]


class NewExport(ExportAnswer, frozen=True, kw_only=True):
    """A new export, with its content."""

    keyring: Annotated[str, msgspec.Meta(description="What to keep, as it is.")]


class ExportList(msgspec.Struct, frozen=True, kw_only=True):
    """The exports on record."""

    exports: list[ExportAnswer]


_BACKUP: Final = BackupAnswer(
    backup_id="nightly-2026-01-01", recorded_at=AN_INSTANT, key_ids=["4338abd0257bc0e8"]
)
_EXPORT: Final = ExportAnswer(
    export_id="01a20bc764d706a5",
    exported_at=AN_INSTANT,
    generation=3,
    key_ids=["4338abd0257bc0e8"],
    recovery="SHA256:0b5a6e938f73f8c8",
)
_NEW_EXPORT: Final = NewExport(
    export_id=_EXPORT.export_id,
    exported_at=_EXPORT.exported_at,
    generation=_EXPORT.generation,
    key_ids=_EXPORT.key_ids,
    recovery=_EXPORT.recovery,
    keyring='{"format": 1}',
)


def add(app: StrongroomApp) -> None:
    """Register the paths."""
    _add_backups(app)
    _add_exports(app)


def _add_backups(app: StrongroomApp) -> None:
    @app.route(
        "/backups",
        methods=["GET"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(
                Answer(
                    200, "The backups.", json_content(BackupList, BackupList(backups=[_BACKUP]))
                ),
            ),
        ),
    )
    def list_backups() -> Response:
        """Answer the backups on record."""
        found, damaged = app.main.backups.all(app.caller)
        answer = BackupList(
            backups=[_backup(one) for one in found], damaged=damaged or msgspec.UNSET
        )
        return json_response(jsontext.dump(answer))

    @app.route(
        "/backups/{backup_id}",
        methods=["PUT"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(Answer(201, "It is on record.", json_content(BackupAnswer, _BACKUP)),),
            errors=(ConflictError, IntegrityError),
        ),
    )
    def put_backup(backup_id: str) -> Response:
        """Put a backup that was taken on record."""
        made = app.main.backups.record(app.caller, backup_id)
        return json_response(jsontext.dump(_backup(made)), 201)

    @app.route(
        "/backups/{backup_id}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(OFF_THE_RECORD,),
            errors=(NotFoundError,),
        ),
    )
    def delete_backup(backup_id: str) -> Response:
        """Take a backup that is gone off the record."""
        app.main.backups.remove(app.caller, backup_id)
        return Response("", {}, 204)


def _add_exports(app: StrongroomApp) -> None:
    @app.route(
        "/keys/export",
        methods=["POST"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(
                Answer(
                    201,
                    "The copy.",
                    json_content(NewExport, _NEW_EXPORT),
                    links={"delete_export": {"export_id": "$response.body#/export_id"}},
                ),
            ),
            holds_secret=True,
            errors=(ConflictError, IntegrityError),
        ),
    )
    def export_keys() -> Response:
        """Answer a copy of the keyring that the recovery key alone opens."""
        made, raw = app.main.exports.make(app.caller)
        shown = _export(made)
        answer = NewExport(
            export_id=shown.export_id,
            exported_at=shown.exported_at,
            generation=shown.generation,
            key_ids=shown.key_ids,
            recovery=shown.recovery,
            keyring=raw.decode(),
        )
        return json_response(jsontext.dump(answer), 201)

    @app.route(
        "/keys/exports",
        methods=["GET"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(
                Answer(
                    200, "The exports.", json_content(ExportList, ExportList(exports=[_EXPORT]))
                ),
            ),
            errors=(IntegrityError,),
        ),
    )
    def list_exports() -> Response:
        """Answer the exports on record."""
        found = app.main.exports.all(app.caller)
        return json_response(jsontext.dump(ExportList(exports=[_export(one) for one in found])))

    @app.route(
        "/keys/exports/{export_id}",
        methods=["DELETE"],
        operation=Operation(
            tag=Tag.BACKUPS,
            rights=(Right.EVERYWHERE,),
            answers=(OFF_THE_RECORD,),
            errors=(NotFoundError,),
        ),
    )
    def delete_export(export_id: str) -> Response:
        """Take an export that is gone off the record."""
        app.main.exports.remove(app.caller, export_id)
        return Response("", {}, 204)


def _backup(backup: BackupRecord) -> BackupAnswer:
    return BackupAnswer(
        backup_id=backup.backup_id,
        recorded_at=backup.recorded_at,
        key_ids=list(backup.key_ids),
    )


def _export(export: ExportRecord) -> ExportAnswer:
    return ExportAnswer(
        export_id=export.export_id,
        exported_at=export.exported_at,
        generation=export.generation,
        key_ids=list(export.key_ids),
        recovery=export.recovery,
    )
