"""Entity files below the shared directory: read, currency check, repair, listing.

A blob is the truth; its sidecar follows it. How they are written is in `transaction`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from processing_fn.domain import coherence
from processing_fn.domain.coherence import Witness
from processing_fn.service.keyed_mutex import KeyedMutex
from processing_fn.service.ports import Overlap, Place, Shard
from processing_fn.storage.locks import EntityLocks
from processing_fn.storage.transaction import (
    BLOB_BYTES_MAX,
    FileTransaction,
    Parts,
)
from strongroom import blob, durable, limits, tracing
from strongroom.clock import Clock
from strongroom.diskerrors import translated
from strongroom.errors import IntegrityError
from strongroom.layout import (
    BLOB_SUFFIX,
    SIDECAR_SUFFIX,
    TEMPORARY_PREFIX,
    Layout,
    blob_name,
    sidecar_name,
)

_LEVELS_BELOW_ROOT: Final = 3
_STEM: Final = re.compile(r"[0-9a-f]{64}")
_STEM_CHARS: Final = 64
_SUFFIXES: Final = frozenset({BLOB_SUFFIX, SIDECAR_SUFFIX})
_SHARD: Final = re.compile(r"[0-9a-f]{2}")
Loaded = tuple[blob.Parsed, blob.Body, bytes]


class EntityFiles:
    """The `EntityStorage` of the shared directory. Safe under threads."""

    def __init__(
        self,
        filesystem: durable.Filesystem,
        layout: Layout,
        locks: EntityLocks,
        *,
        clock: Clock,
        overlap: Overlap,
        out_of_service: Callable[[], None],
        is_network: bool = True,
    ) -> None:
        """Take the parts.

        Args:
            filesystem: Where the files are.
            layout: What they are called.
            locks: Of entities.
            clock: Measures.
            overlap: Does two things at once.
            out_of_service: Called when a write's outcome is unknown.
            is_network: Whether a name may be believed only after its directory was opened, which
                makes a client of NFS ask its server.
        """
        self._filesystem = filesystem
        self._layout = layout
        self._locks = locks
        self._clock = clock
        self._parts = Parts(filesystem, clock, overlap, out_of_service)
        self._durable: set[str] = set()
        """Directories whose own names are."""
        self._syncing = KeyedMutex()
        self._is_network = is_network

    def is_current(self, place: Place, witness: Witness) -> bool:
        """Read the sidecar and compare it: two calls, and on a network one more.

        Every warm read comes through here, so it is written out: context managers would take
        another third of its time.
        """
        entity = self._layout.entity(place.database, place.file_id)
        try:
            if not self._is_network:
                return self._is(entity + SIDECAR_SUFFIX, None, witness)
            shard, _, name = entity.rpartition("/")
            directory = self._filesystem.open_directory(shard)
            try:
                return self._is(name + SIDECAR_SUFFIX, directory, witness)
            finally:
                self._filesystem.close(directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translated(error) from error

    def _is(self, name: str, directory: int | None, witness: Witness) -> bool:
        descriptor = self._filesystem.open(name, directory)
        try:
            # One byte more than what it should be: a longer one differs.
            # Of a longer one this is not the witness: it is loaded each time.
            found = self._filesystem.read(descriptor, limits.SIDECAR_COMPARED_BYTES)
            return coherence.witness(found) == witness
        finally:
            self._filesystem.close(descriptor)

    @tracing.spanned("load")
    def load(self, place: Place, authenticate: Callable[[blob.Parsed], blob.Body]) -> Loaded | None:
        """Read sidecar and blob; where they differ, repair and only then answer."""
        if not self._is_network:
            loaded = self._load_here(place, authenticate)
            if loaded is not None:
                return loaded
        with self._parts.disk():
            directory = self._open_shard(place)
            if directory is None:
                return None
            with durable.opened(self._filesystem, directory):
                sidecar = self._read(sidecar_name(place.file_id), directory)
                raw = self._read(blob_name(place.file_id), directory)
                if raw is None and sidecar is None:
                    return None
                if raw is not None:
                    parsed = blob.parse(raw)
                    if sidecar is not None and blob.has_sidecar(parsed, sidecar):
                        return parsed, authenticate(parsed), sidecar
                return self._repair(place, directory, authenticate)

    def _load_here(
        self, place: Place, authenticate: Callable[[blob.Parsed], blob.Body]
    ) -> Loaded | None:
        """Read both files by their paths; None where they do not belong together."""
        stem = self._layout.entity(place.database, place.file_id)
        try:
            sidecar = durable.read_file(self._filesystem, stem + SIDECAR_SUFFIX, BLOB_BYTES_MAX)
            raw = durable.read_file(self._filesystem, stem + BLOB_SUFFIX, BLOB_BYTES_MAX)
        except OSError as error:
            raise translated(error) from error
        if raw is None or sidecar is None:
            return None
        parsed = blob.parse(raw)
        return (
            (parsed, authenticate(parsed), sidecar) if blob.has_sidecar(parsed, sidecar) else None
        )

    def peek(self, place: Place) -> tuple[bytes | None, bytes | None]:
        """Read both files."""
        shard = self._layout.shard(place.database, place.file_id)
        with self._parts.disk():
            raw, sidecar = (
                durable.read_file(self._filesystem, f"{shard}/{name}", BLOB_BYTES_MAX)
                for name in (blob_name(place.file_id), sidecar_name(place.file_id))
            )
            return raw, sidecar

    def file_ids(self, database: str, after: bytes) -> Iterator[bytes]:
        """List one shard after the other."""
        first = after[0] if after else 0
        for number in range(first, 256):
            found = _file_ids(self._names(self._layout.shard(database, bytes([number]))), number)
            if after and number == first:
                found = {file_id for file_id in found if file_id > after}
            yield from sorted(found)

    def databases(self) -> list[str]:
        """List the directories below files/."""
        return sorted(self._names(self._layout.files()))

    def strangers(self, database: str) -> list[str]:
        """List a database's directory."""
        names = self._names(f"{self._layout.files()}/{database}")
        return sorted(name for name in names if not _SHARD.fullmatch(name))

    def shard(self, database: str, shard: int) -> Shard:
        """List a shard, and look how old its temporary files are."""
        directory = self._layout.shard(database, bytes([shard]))
        names = self._names(directory)
        with self._parts.disk():
            left = durable.abandoned(self._filesystem, directory, names, self._abandoned_s())
        strangers = [
            name
            for name in names
            if not _file_ids([name], shard) and not name.startswith(TEMPORARY_PREFIX)
        ]
        return Shard(
            tuple(sorted(_file_ids(names, shard))), tuple(sorted(left)), tuple(sorted(strangers))
        )

    def sweep(self, database: str, shard: int) -> None:
        """Remove temporary files of one shard that are too old to be in use."""
        self._sweep(self._layout.shard(database, bytes([shard])))

    def sweep_configuration(self) -> None:
        """Remove them where the Main Worker writes."""
        for directory in (*self._layout.configuration(), self._layout.keyring().parent):
            self._sweep(str(directory))

    def _sweep(self, directory: str) -> None:
        with self._parts.disk(), suppress(FileNotFoundError):
            durable.sweep(self._filesystem, directory, self._abandoned_s())

    def _abandoned_s(self) -> float:
        return self._clock.wall_ms() / 1000 - limits.TEMPORARY_FILE_SECONDS_MAX

    def headers(
        self, database: str, shard: int, after: bytes
    ) -> Iterator[tuple[bytes, blob.Header | None]]:
        """Read the first bytes of the blobs of one shard."""
        path = self._layout.shard(database, bytes([shard]))
        todo = sorted(found for found in _file_ids(self._names(path), shard) if found > after)
        for file_id in todo:
            try:
                with self._parts.disk():
                    head = self._head(f"{path}/{blob_name(file_id)}")
                if head is None:
                    continue
                header, _ = blob.parse_header(head)
            except IntegrityError:
                yield file_id, None
            else:
                yield file_id, header

    def _head(self, path: str) -> bytes | None:
        try:
            descriptor = self._filesystem.open(path, None)
        except FileNotFoundError:
            return None
        with durable.opened(self._filesystem, descriptor):
            return self._filesystem.read(descriptor, blob.HEAD_BYTES)

    def sidecars(self, database: str, shard: int) -> Iterator[tuple[bytes, bytes | None]]:
        """Read the sidecars of one shard."""
        directory = self._layout.shard(database, bytes([shard]))
        for file_id in sorted(_file_ids(self._names(directory), shard)):
            path = f"{directory}/{sidecar_name(file_id)}"
            raw: bytes | None = None
            with suppress(IntegrityError), self._parts.disk():
                raw = durable.read_file(self._filesystem, path, limits.SIDECAR_BYTES_MAX)
            yield file_id, raw

    def _names(self, directory: str) -> list[str]:
        """Return the names in a directory, none where there is no directory of that name."""
        try:
            return self._filesystem.list_directory(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise translated(error) from error

    @contextmanager
    def exclusive(
        self, place: Place, wait_s: float = limits.LOCK_WAIT_SECONDS
    ) -> Iterator[FileTransaction]:
        """Hold the entity's lock and its directory."""
        with self._parts.disk(), self._locks.exclusive(place.file_id, wait_s) as locked_at:
            directory = self._open_durable_shard(place)
            try:
                yield FileTransaction(self._parts, place.file_id, directory, locked_at)
            finally:
                # Nothing was written through it: an error here says nothing about the commit.
                with suppress(OSError):
                    self._filesystem.close(directory)

    def _open_durable_shard(self, place: Place) -> int:
        """Open an entity's directory, whose own name a power cut cannot take back.

        Another process may have made it a moment ago and not have synced its parent yet, so
        each process does that once for each directory, and for those above it.
        """
        shard = self._layout.shard(place.database, place.file_id)
        directory = durable.open_or_make_directory(self._filesystem, shard)
        if shard not in self._durable:
            try:
                with self._syncing.exclusive(shard.encode(), limits.LOCK_WAIT_SECONDS):
                    self._sync_above(shard)
            except BaseException:
                self._filesystem.close(directory)
                raise
        return directory

    def _sync_above(self, shard: str) -> None:
        """Sync the directory that holds a shard's name, and those above where that is not done."""
        unsynced: list[str] = []
        directory = shard
        while len(unsynced) < _LEVELS_BELOW_ROOT and directory not in self._durable:
            unsynced.append(directory)
            directory = directory.rpartition("/")[0]
        durable.sync_parents(self._filesystem, shard, len(unsynced))
        if len(self._durable) >= limits.SHARDS_REMEMBERED:
            self._durable.clear()
        self._durable.update(unsynced)

    def _open_shard(self, place: Place) -> int | None:
        try:
            return self._filesystem.open_directory(
                self._layout.shard(place.database, place.file_id)
            )
        except FileNotFoundError:
            return None

    def _read(self, name: str, directory: int) -> bytes | None:
        return durable.read_file(self._filesystem, name, BLOB_BYTES_MAX, directory)

    def _repair(
        self, place: Place, directory: int, authenticate: Callable[[blob.Parsed], blob.Body]
    ) -> Loaded | None:
        """Renew a sidecar from its blob, under the lock and after reading both once more.

        Blob and directory are synced first: the blob may stem from a writer that was killed between
        its rename and its sync, and nobody may see its version before a power cut cannot undo it.
        """
        with self._locks.exclusive(place.file_id) as locked_at:
            transaction = FileTransaction(self._parts, place.file_id, directory, locked_at)
            parsed = transaction.current()
            if parsed is None:
                return None
            body = authenticate(parsed)
            sidecar = blob.sidecar(parsed)
            if transaction.stored_sidecar() != sidecar:
                transaction.renew_sidecar(sidecar)
            return parsed, body, sidecar


def _file_ids(names: list[str], shard: int) -> set[bytes]:
    """Return the entities of a shard that have a blob, a sidecar or both."""
    stems = {name[:_STEM_CHARS] for name in names if name[_STEM_CHARS:] in _SUFFIXES}
    # A file that was put into another shard's directory is none: it would be listed twice.
    belongs = f"{shard:02x}"
    return {bytes.fromhex(stem) for stem in stems if stem[:2] == belongs and _STEM.fullmatch(stem)}
