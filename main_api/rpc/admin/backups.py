"""Backups on record."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.backups import BackupRecord
from main_api.domain.caller import Caller
from strongroom import limits
from strongroom_pb.v1 import admin_pb2 as pb


def create_backup(main: Main, caller: Caller, request: pb.CreateBackupRequest) -> pb.Backup:
    """Put a backup that was taken on record."""
    return _backup(main.backups.record(caller, request.backup_id))


def list_backups(
    main: Main, caller: Caller, request: pb.ListBackupsRequest
) -> pb.ListBackupsResponse:
    """Return a page of the backups on record."""
    found = main.backups.page(caller, request.page_size or limits.PAGE_SIZE, request.page_token)
    return pb.ListBackupsResponse(
        backups=map(_backup, found.records),
        next_page_token=found.cursor,
        damaged=found.damaged,
    )


def delete_backup(
    main: Main, caller: Caller, request: pb.DeleteBackupRequest
) -> pb.DeleteBackupResponse:
    """Take a backup that is gone off the record."""
    main.backups.remove(caller, request.backup_id)
    return pb.DeleteBackupResponse()


METHODS: Final = (create_backup, list_backups, delete_backup)


def _backup(backup: BackupRecord) -> pb.Backup:
    return pb.Backup(
        backup_id=backup.backup_id, recorded_at=backup.recorded_at, key_ids=backup.key_ids
    )
