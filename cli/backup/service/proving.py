"""Proof of a backup: every byte of it, before anything is brought back."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, TypeVar

from cli.backup.domain import entries
from cli.backup.domain.entries import EntityEntry
from cli.backup.domain.manifest import Counts
from cli.backup.domain.selection import Selection
from cli.backup.service.ports import Configured, Keys, Progress
from cli.backup.service.reading import Backup
from strongroom import blob, limits
from strongroom.errors import IntegrityError, KeyDestroyedError

T = TypeVar("T")
_AT_ONCE: Final = 8 * limits.BACKUP_THREADS


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proven of a backup.

    Attributes:
        read: How many blobs were read; their digests are those of the manifest.
        opened: How many of them were decrypted; 0 without keys.
        destroyed: How many lie under keys that were destroyed since.
        bound: Databases as the backup has them, where keys are at hand.
        highest: The highest version of each database.
        damage: What does not verify, and is left out.
    """

    read: int
    opened: int
    destroyed: int
    bound: dict[str, Configured] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    damage: "Damage" = field(default_factory=lambda: Damage(is_left_out=False))


@dataclass(slots=True)
class Damage:
    """What of a backup does not verify.

    A blob may have been damaged before it was copied, which nobody sees who has no keys; one such
    blob must not keep all the others from being brought back.

    Attributes:
        is_left_out: Whether it is left out, and told; else the first of it ends everything.
        count: How much there is of it.
        told: The first of it, each with its path.
        files: Kind and name of the files among it.
    """

    is_left_out: bool
    count: int = 0
    told: list[str] = field(default_factory=list)
    files: set[tuple[str, str]] = field(default_factory=set)

    def note(self, error: IntegrityError) -> None:
        """Count it; raises it where nothing is left out."""
        if not self.is_left_out:
            raise DamagedError(error.detail) from error
        self.count += 1
        if len(self.told) < limits.BACKUP_TOLD_MAX:
            self.told.append(error.detail)


class DamagedError(IntegrityError):
    """An entity or a file does not verify; without it the others can be brought back."""


def prove(
    backup: Backup,
    keys: Keys | None,
    progress: Progress,
    selection: Selection | None = None,
    *,
    leaves_out: bool = False,
) -> Proof:
    """Check a backup: its whole manifest, every file of configuration, and the entities selected.

    Every digest and size is compared, and the counts; every blob's header is read and compared with
    its entry. With keys the deployment's record of the backup and every file of configuration
    verify, and every blob decrypts for the place that it is to lie in. What `leaves_out` is for
    are entities and files that do not; the manifest has to be whole in any case.

    Raises:
        DamagedError: An entity or a file does not verify, and nothing is to be left out.
        IntegrityError: The manifest or its record is not as the deployment has put it on record.
        UnavailableError: The store refuses.
    """
    chosen = selection or Selection()
    damage = Damage(leaves_out)
    counts, bound = _files(backup, keys, damage)
    total = backup.manifest.counts.entities
    proof = Proof(0, 0, 0, bound, damage=damage)
    with ThreadPoolExecutor(limits.BACKUP_THREADS) as pool:
        seen = 0
        for batch in batches(backup.entities(), _AT_ONCE):
            for entry in batch:
                counts = counts.plus(entry)
                known = proof.highest.get(entry.database, 0)
                proof.highest[entry.database] = max(known, entry.version)
            wanted = [entry for entry in batch if chosen.has_database(entry.database)]
            _note_unbound(wanted if leaves_out else batch, backup, proof, keys)
            wanted = _narrowed(wanted, chosen, keys, bound)
            work = [(backup, entry, keys, bound.get(entry.database)) for entry in wanted]
            outcomes = [_noted(outcome, damage) for outcome in pool.map(_entity, work)]
            proof = replace(
                proof,
                read=proof.read + len(outcomes) - outcomes.count("damaged"),
                opened=proof.opened + outcomes.count("opened"),
                destroyed=proof.destroyed + outcomes.count("destroyed"),
            )
            seen += len(batch)
            progress(seen, total)
    if counts != backup.manifest.counts:
        raise IntegrityError("the backup holds another number of entities than its manifest says")
    return proof


def _noted(outcome: str | IntegrityError, damage: Damage) -> str:
    if isinstance(outcome, str):
        return outcome
    damage.note(outcome)
    return "damaged"


def _files(
    backup: Backup, keys: Keys | None, damage: Damage
) -> tuple[Counts, dict[str, Configured]]:
    if keys is not None:
        if backup.manifest.deployment != keys.deployment:
            raise IntegrityError(
                f"the backup is of the deployment {backup.manifest.deployment}, the keys at hand"
                f" are of {keys.deployment}"
            )
        keys.check_record(backup.backup_id, backup.record())
    else:
        backup.record()
    counts, bound = Counts(), {}
    for entry in backup.files():
        counts = counts.plus(entry)
        try:
            raw = backup.content(entry)
            if keys is not None:
                keys.check_file(entry.kind, entry.name, raw)
                if entry.kind == entries.DATABASES:
                    bound[entry.name] = keys.database(entry.name, raw)
        except IntegrityError as error:
            damage.note(error)
            damage.files.add(entry.order)
    return counts, bound


def _note_unbound(
    batch: list[EntityEntry], backup: Backup, proof: Proof, keys: Keys | None
) -> None:
    """Note entities whose database has no file that verifies: nobody can say what they belong to.

    Where the file is there and is damaged, it is told of itself.
    """
    for entry in batch:
        if keys is not None and entry.database not in proof.bound:
            what = f"{entry.path}: {backup.backup_id} has no file of its database that verifies"
            proof.damage.note(IntegrityError(what))


def _narrowed(
    batch: list[EntityEntry],
    selection: Selection,
    keys: Keys | None,
    bound: dict[str, Configured],
) -> list[EntityEntry]:
    """Leave out what cannot be meant, where the keys that are meant are known to the letter."""
    if keys is None:
        return batch
    batch = [entry for entry in batch if entry.database in bound]
    exact = selection.exact_keys()
    if exact is None:
        return batch
    names = {entry.database for entry in batch}
    meant = {(name, keys.file_id(bound[name], key)) for name in names for key in exact}
    return [entry for entry in batch if entry.order in meant]


def selected(
    backup: Backup, keys: Keys, selection: Selection, bound: dict[str, Configured]
) -> Iterator[list[EntityEntry]]:
    """Yield the entries that may be meant, some at a time; raises as `Backup.entities`."""
    for batch in batches(backup.entities(), _AT_ONCE):
        wanted = [entry for entry in batch if selection.has_database(entry.database)]
        yield _narrowed(wanted, selection, keys, bound)


def require_as_entered(entry: EntityEntry, raw: bytes) -> blob.Parsed:
    """Return a blob whose header says what its entry says; raises IntegrityError."""
    try:
        parsed = blob.parse(raw)
    except IntegrityError as error:
        raise IntegrityError(f"{entry.path}: {error.detail}") from error
    if (*parsed.identity(), parsed.header.deleted) != (*entry.identity, entry.deleted):
        raise IntegrityError(f"{entry.path}: it is another version than the manifest says")
    return parsed


def _entity(
    work: tuple[Backup, EntityEntry, Keys | None, Configured | None],
) -> str | IntegrityError:
    backup, entry, keys, configured = work
    try:
        raw = backup.content(entry)
        require_as_entered(entry, raw)
    except IntegrityError as error:
        return error
    if keys is None or configured is None:
        return "read"
    try:
        keys.open(configured, entry.file_id, raw)
    except KeyDestroyedError:
        return "destroyed"
    except IntegrityError as error:
        return IntegrityError(f"{entry.path}: {error.detail}")
    return "opened"


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield them some at a time."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
