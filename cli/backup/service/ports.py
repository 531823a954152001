"""What backups need of the world."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from strongroom import blob

Progress = Callable[[int, int | None], object]
"""Told how much is done, of how much; None where nobody knows."""


class Store(Protocol):
    """Where backups lie: named objects, which are written once. Safe under threads.

    A name is made of parts of `[A-Za-z0-9._-]`, which `/` sets apart. Whoever can write the store
    may have put anything there: nothing that is read is trusted for being there.
    """

    def read(self, name: str, size_max: int) -> bytes | None:
        """Return an object, None where there is none.

        Raises:
            IntegrityError: It is larger, or is no plain file.
            UnavailableError: The store refuses.
        """
        ...

    def has(self, name: str, size: int) -> bool:
        """Tell whether there is an object of this size; raises UnavailableError."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put an object there in one step that no crash can halve; raises UnavailableError."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object, where it is there; raises UnavailableError."""
        ...

    def settle(self) -> None:
        """Return once everything that was written survives a power cut; raises UnavailableError."""
        ...

    def names(self, folder: str) -> Iterator[str]:
        """Return the names in a folder, without it; raises UnavailableError."""
        ...


class Source(Protocol):
    """A deployment's shared directory, read while others write it.

    Every method raises UnavailableError where the disk refuses.
    """

    def deployment(self) -> str:
        """Return the deployment's id, as its keyring says. Raises NotFoundError without one."""
        ...

    def databases(self) -> list[str]:
        """Return the databases that are not deleted, in order."""
        ...

    def file_ids(self, database: str, shard: int) -> Iterator[str]:
        """Return the file-ids (hex) of one shard in order; what is written meanwhile may be in."""
        ...

    def header(self, database: str, file_id: str) -> blob.Header | None:
        """Return the header of a blob, None where there is none; raises IntegrityError."""
        ...

    def entity(self, database: str, file_id: str) -> bytes | None:
        """Return a blob, whole and of one write, None where there is none.

        Raises:
            IntegrityError: It is none, its sidecar is ahead of it, or there is a sidecar alone.
        """
        ...

    def names(self, kind: str) -> list[str]:
        """Return the names of the files of one kind, in order."""
        ...

    def file(self, kind: str, name: str) -> bytes | None:
        """Return a file of configuration, None where there is none."""
        ...


class Register(Protocol):
    """The deployment's record of backups: it destroys no key that one of them needs.

    Every method raises UnavailableError or ForbiddenError.
    """

    def names(self) -> set[str]:
        """Return what is on record."""
        ...

    def put(self, name: str) -> None:
        """Put a backup on record: every data key that there is now is kept for it."""
        ...

    def remove(self, name: str) -> None:
        """Take one off the record."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An entity of a backup, decrypted.

    Attributes:
        key: The entity's.
        document: The client's own JSON text, None in a tombstone.
        belongs: Whether it is one of the database as the backup has it; else it is what a deleted
            database of the same name has left.
    """

    key: str
    document: bytes | None
    belongs: bool


@dataclass(frozen=True, slots=True)
class Configured:
    """A database as its file in a backup says.

    Attributes:
        name: Its name.
        incarnation: Which of this name.
        schema_id: Its template.
        ttl_seconds: Lifetime of entities that a client gives none.
        deleted: Whether it is deleted.
    """

    name: str
    incarnation: str
    schema_id: str
    ttl_seconds: int | None
    deleted: bool


class Keys(Protocol):
    """The deployment's keys, at hand.

    Every method raises IntegrityError for what does not verify under them.
    """

    @property
    def deployment(self) -> str:
        """Whose."""
        ...

    def check_record(self, backup_id: str, raw: bytes) -> None:
        """Check that the deployment has put a backup of this id on record."""
        ...

    def check_file(self, kind: str, name: str, raw: bytes) -> None:
        """Check a file of configuration."""
        ...

    def database(self, name: str, raw: bytes) -> Configured:
        """Return what a database's file says."""
        ...

    def template(self, schema_id: str, raw: bytes) -> bytes | None:
        """Return the schema of a template's file, None where it is deleted."""
        ...

    def raised(self, name: str, raw: bytes, highest: int) -> bytes:
        """Return a database's file with a version floor far above it and a highest version."""
        ...

    def open(self, configured: Configured, file_id: str, raw: bytes) -> Opened:
        """Return what is in a blob. Raises KeyDestroyedError where its key was destroyed."""
        ...

    def file_id(self, configured: Configured, entity_key: str) -> str:
        """Return under which file-id a database has an entity."""
        ...
