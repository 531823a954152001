"""The lines of a backup's manifest: one for each blob and each file of configuration.

A manifest has as many lines as the deployment has entities, so they lie in chunks of
`limits.BACKUP_CHUNK_ENTRIES`, each an object of its own, a line of JSON for each entry:

    ["entity", database, file-id, version, key id, IV, deleted, size in bytes, SHA-256]
    ["file", kind, name, size in bytes, SHA-256]

Entities come in the order of (database, file-id), files in that of (kind, name); none comes twice.
What is read here was written by whoever can write the backup: every member is checked, because
paths are made of them.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from strongroom import ids, jsontext, limits
from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.layout import BLOB_SUFFIX

TEMPLATES: Final = "templates"
DATABASES: Final = "databases"
RECORDS: Final = (
    "clients",
    "issuers",
    "worker-credentials",
    "revocations",
    "token-revocations",
    "backups",
    "exports",
)
"""The kinds of control records that a backup holds; workers, Main Workers and jobs are of a day."""
KINDS: Final = (TEMPLATES, DATABASES, *RECORDS)
BLOB_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX + limits.HEADER_BYTES_MAX
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")
_IV: Final = re.compile(r"[A-Za-z0-9+/]{16}")


class EntityEntry(msgspec.Struct, frozen=True, array_like=True, tag="entity"):
    """A blob: where it lay, which version it is, and what it is called in the backup.

    Attributes:
        database: The database's name.
        file_id: 64 hex digits.
        version: The entity's.
        key_id: The data key that it lies under.
        iv: Base64; with version and key id it tells one write from every other.
        deleted: Whether it is a tombstone.
        size: In bytes.
        sha256: Of the whole blob, 64 hex digits.
    """

    database: str
    file_id: str
    version: int
    key_id: str
    iv: str
    deleted: bool
    size: int
    sha256: str

    @property
    def order(self) -> tuple[str, str]:
        """What entries are ordered by."""
        return self.database, self.file_id

    @property
    def identity(self) -> tuple[int, str, str]:
        """What two writes of an entity never have in common."""
        return self.version, self.key_id, self.iv

    @property
    def path(self) -> str:
        """Where it lies below a shared directory."""
        return f"files/{self.database}/{self.file_id[:2]}/{self.file_id}{BLOB_SUFFIX}"

    def require_well_formed(self) -> None:
        """Raise IntegrityError for what no backup of ours says."""
        try:
            ids.database_name(self.database)
        except InvalidArgumentError as error:
            raise IntegrityError(f"an entry of the manifest: {error.detail}") from error
        if not (
            _DIGEST.fullmatch(self.file_id)
            and _DIGEST.fullmatch(self.sha256)
            and _KEY_ID.fullmatch(self.key_id)
            and _IV.fullmatch(self.iv)
            and 0 < self.version <= limits.VERSION_MAX
            and 0 < self.size <= BLOB_BYTES_MAX
        ):
            raise IntegrityError("an entry of the manifest is not one of an entity")


class FileEntry(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """A file of configuration: a template, a database, or a record under control/.

    Attributes:
        kind: One of `KINDS`.
        name: Without its suffix.
        size: In bytes.
        sha256: 64 hex digits.
    """

    kind: str
    name: str
    size: int
    sha256: str

    @property
    def order(self) -> tuple[str, str]:
        """What entries are ordered by."""
        return self.kind, self.name

    @property
    def path(self) -> str:
        """How it is called in messages."""
        return f"{self.kind}/{self.name}"

    def require_well_formed(self) -> None:
        """Raise IntegrityError for what no backup of ours says."""
        try:
            ids.record_name(self.name)
        except InvalidArgumentError as error:
            raise IntegrityError(f"an entry of the manifest: {error.detail}") from error
        if self.kind not in KINDS or not (
            _DIGEST.fullmatch(self.sha256) and 0 < self.size <= limits.CONFIG_FILE_BYTES_MAX
        ):
            raise IntegrityError("an entry of the manifest is not one of a file")


E = TypeVar("E", EntityEntry, FileEntry)


def encode(entries: Iterable[EntityEntry | FileEntry]) -> bytes:
    """Return the bytes of a chunk."""
    return msgspec.json.Encoder().encode_lines(entries)


def decode(raw: bytes, kind: type[E], after: tuple[str, str]) -> list[E]:
    """Return the entries of a chunk.

    Args:
        raw: Its bytes.
        kind: Which entries it has.
        after: The order of the last entry of the chunk before it; two empty texts for the first.

    Raises:
        IntegrityError: It is not a chunk of such entries, or not the one that comes next.
    """
    try:
        found: list[E] = msgspec.json.Decoder(kind).decode_lines(raw)
    except jsontext.UNREADABLE as error:
        raise IntegrityError("a chunk of the manifest cannot be read") from error
    if not 0 < len(found) <= limits.BACKUP_CHUNK_ENTRIES:
        raise IntegrityError("a chunk of the manifest is empty, or has too many entries")
    for entry in found:
        entry.require_well_formed()
        if entry.order <= after:
            raise IntegrityError("the manifest's entries are out of order, or one comes twice")
        after = entry.order
    return found
