"""Entities of a backup, put into a deployment that serves: through its commit, as any client puts.

So they get the next version of what is there, no cache sees time run backwards, the template that
is in force now is asked, and nothing is removed: what came after the backup stays, unless it is one
of the entities that are put back.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol

from cli.backup.domain import entries
from cli.backup.domain.batching import Batch, remaining_seconds
from cli.backup.domain.entries import EntityEntry
from cli.backup.domain.selection import Selection
from cli.backup.service import proving
from cli.backup.service.ports import Configured, Keys, Progress
from cli.backup.service.proving import Damage
from cli.backup.service.reading import Backup
from strongroom import limits
from strongroom.clock import Clock, from_rfc3339
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    KeyDestroyedError,
    NotFoundError,
)

_TOLD_MAX: Final = limits.BACKUP_TOLD_MAX


class Running(Protocol):
    """A deployment that serves.

    Every method raises ForbiddenError or UnavailableError.
    """

    def has_template(self, schema_id: str) -> bool:
        """Tell whether there is a template."""
        ...

    def make_template(self, schema_id: str, schema: bytes) -> None:
        """Make a template."""
        ...

    def has_database(self, name: str) -> bool:
        """Tell whether there is a database."""
        ...

    def make_database(self, name: str, schema_id: str, ttl_seconds: int | None) -> None:
        """Make a database."""
        ...

    def current(self, database: str, keys: list[str]) -> Mapping[str, bytes]:
        """Return the documents that are there, by key; those that cannot be read are left out."""
        ...

    def put(
        self, database: str, documents: Mapping[str, bytes], ttl_seconds: int | None
    ) -> Mapping[str, str]:
        """Put documents; return of those that are refused why."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be put back, and where.

    Attributes:
        selection: Of the backup.
        into: The name of the database that it is put into; None for the one that it was in.
        may_be_there: Whether that database may be there already.
        leaves_out: Whether what does not verify is left out, and told.
    """

    selection: Selection
    into: str | None
    may_be_there: bool
    leaves_out: bool = False


@dataclass(slots=True)
class PutBack:
    """What became of it.

    Attributes:
        written: Entities that were put.
        same: Entities that were there as the backup has them.
        gone: Tombstones, and entities whose time is over: nothing is put or removed for them.
        destroyed: Entities whose key was destroyed.
        refused: The first of the entities that the deployment refuses, as (key, reason).
        refusals: How many these are.
        databases: Databases that were made.
        damage: What of the backup does not verify, and was left out.
    """

    written: int = 0
    same: int = 0
    gone: int = 0
    destroyed: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    refusals: int = 0
    databases: list[str] = field(default_factory=list)
    damage: Damage = field(default_factory=lambda: Damage(is_left_out=False))


def put_back(
    backup: Backup, keys: Keys, target: Running, wish: Wish, *, clock: Clock, progress: Progress
) -> PutBack:
    """Prove what is wished for, then put it into a deployment. Done again, it puts what is missing.

    Raises:
        NotFoundError: The backup has no such database.
        ConflictError: A database is there that must not be, or is not where it should be.
        InvalidArgumentError: Several databases into one.
        IntegrityError: As `proving.prove`; nothing was put back.
        ForbiddenError, UnavailableError: Store or deployment refuse; some of it may be put back.
    """
    proof = proving.prove(backup, keys, progress, wish.selection, leaves_out=wish.leaves_out)
    chosen = _chosen(proof.bound, wish)
    done = PutBack(damage=proof.damage)
    putting = _Putting(backup, keys, target, wish, clock, done)
    for name in sorted(chosen):
        putting.provide(chosen[name])
    seen = 0
    with ThreadPoolExecutor(limits.BACKUP_THREADS) as pool:
        batch: Batch | None = None
        for some in proving.selected(backup, keys, wish.selection, proof.bound):
            wanted = [(chosen[one.database], one) for one in some if one.database in chosen]
            for found in pool.map(putting.opened, wanted):
                if isinstance(found, _Document):
                    batch = putting.add(batch, found)
                else:
                    putting.note(found)
            seen += len(some)
            progress(seen, None)
        if batch is not None:
            putting.flush(batch)
    return done


def _chosen(bound: Mapping[str, Configured], wish: Wish) -> dict[str, Configured]:
    missing = [one for one in wish.selection.databases if one not in bound]
    if missing:
        raise NotFoundError(f"the backup has no database {missing[0]}")
    chosen = {
        name: one
        for name, one in bound.items()
        if wish.selection.has_database(name) and not one.deleted
    }
    if wish.into is not None and len(chosen) != 1:
        raise InvalidArgumentError(
            "name the one database, with --database, that is put to the side"
        )
    return chosen


def _schema(backup: Backup, keys: Keys, schema_id: str) -> bytes:
    for entry in backup.files():
        if (entry.kind, entry.name) == (entries.TEMPLATES, schema_id):
            found = keys.template(schema_id, backup.content(entry))
            if found is not None:
                return found
    raise IntegrityError(f"the backup has no template {schema_id}")


class _Missing(Enum):
    """Why nothing is put of an entry."""

    NOT_MEANT = auto()
    GONE = auto()
    DESTROYED = auto()
    DAMAGED = auto()


@dataclass(frozen=True, slots=True)
class _Document:
    database: str
    key: str
    document: bytes
    ttl_seconds: int | None


@dataclass(frozen=True, slots=True)
class _Putting:
    backup: Backup
    keys: Keys
    target: Running
    wish: Wish
    clock: Clock
    done: PutBack

    def provide(self, configured: Configured) -> None:
        """Make a database, and its template, where there is none."""
        into = self.wish.into or configured.name
        if self.target.has_database(into):
            if not self.wish.may_be_there:
                raise ConflictError(
                    f"there is a database {into}; choose another name, or put back into it with"
                    " --in-place"
                )
            return
        schema_id = configured.schema_id
        if not self.target.has_template(schema_id):
            self.target.make_template(schema_id, _schema(self.backup, self.keys, schema_id))
        self.target.make_database(into, schema_id, configured.ttl_seconds)
        self.done.databases.append(into)

    def note(self, missing: _Missing) -> None:
        """Count an entry of which nothing is put."""
        self.done.gone += missing is _Missing.GONE
        self.done.destroyed += missing is _Missing.DESTROYED

    def opened(self, found: tuple[Configured, EntityEntry]) -> _Document | _Missing:
        """Return what is to be put of an entry."""
        configured, entry = found
        try:
            raw = self.backup.content(entry)
            header = proving.require_as_entered(entry, raw).header
            inside = self.keys.open(configured, entry.file_id, raw)
        except KeyDestroyedError:
            return _Missing.DESTROYED
        except IntegrityError:
            if self.wish.leaves_out:
                # The proof has told of it.
                return _Missing.DAMAGED
            raise
        if not inside.belongs or not self.wish.selection.has_key(inside.key):
            return _Missing.NOT_MEANT
        ends = None if header.expires_at is None else from_rfc3339(header.expires_at)
        left = remaining_seconds(ends, self.clock.wall_ms())
        if inside.document is None or left == 0:
            return _Missing.GONE
        return _Document(self.wish.into or configured.name, inside.key, inside.document, left)

    def add(self, batch: Batch | None, found: _Document) -> Batch:
        """Put a document into a batch, or into the next one."""
        if batch is not None and not batch.has_room(
            found.database, found.ttl_seconds, found.document
        ):
            self.flush(batch)
            batch = None
        batch = batch or Batch(found.database, found.ttl_seconds)
        batch.documents[found.key] = found.document
        return batch

    def flush(self, batch: Batch) -> None:
        """Put what is not there as it should be."""
        there = self.target.current(batch.database, list(batch.documents))
        changed = {k: raw for k, raw in batch.documents.items() if there.get(k) != raw}
        self.done.same += len(batch.documents) - len(changed)
        if not changed:
            return
        refused = self.target.put(batch.database, changed, batch.ttl_seconds)
        self.done.written += len(changed) - len(refused)
        self.done.refusals += len(refused)
        room = _TOLD_MAX - len(self.done.refused)
        self.done.refused += list(refused.items())[:room]
