"""Backups on record: which keys they need."""

import msgspec


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A backup of the files, wherever it lies.

    Attributes:
        backup_id: Its name.
        recorded_at: RFC 3339.
        key_ids: The data keys that its files may lie under.
    """

    backup_id: str
    recorded_at: str
    key_ids: tuple[str, ...]
