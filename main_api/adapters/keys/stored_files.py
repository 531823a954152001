"""Tries a keyring on everything that lies in a shared directory; it changes nothing there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from main_api.adapters.control_store import ControlFiles
from main_api.domain.recovery import Trial
from main_api.service.ports import Kind
from strongroom import blob, durable, limits
from strongroom.clock import Clock
from strongroom.diskerrors import translated
from strongroom.errors import IntegrityError, KeyDestroyedError
from strongroom.keyring import Keyring, KeySet, Purpose
from strongroom.layout import BLOB_SUFFIX, Layout

_BLOB_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX + limits.HEADER_BYTES_MAX


@dataclass(slots=True)
class _Tally:
    opened: int = 0
    destroyed: int = 0
    refused: int = 0
    first_refused: str = ""

    def take(self, path: str, open_file: Callable[[], object]) -> None:
        """Count a file; raises UnavailableError where the disk refuses."""
        try:
            open_file()
        except KeyDestroyedError:
            self.destroyed += 1
        except IntegrityError as error:
            self.first_refused = self.first_refused or f"{ascii(path)[1:-1]}: {error.detail}"
            self.refused += 1
        else:
            self.opened += 1


class StoredFilesOnDisk:
    """The `StoredFiles` of one shared directory.

    It reads every file, one after the other, as a verification does: some 10,000 a second where a
    call to the disk costs nothing, a few hundred on a filesystem behind a network.
    """

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, clock: Clock) -> None:
        """Take the directory."""
        self._filesystem = filesystem
        self._layout = layout
        self._clock = clock

    def try_keyring(self, keyring: Keyring) -> Trial:
        """Open every file with a keyring's keys."""
        tally = _Tally()
        store = ControlFiles(self._filesystem, self._layout, keyring, self._clock)
        readers: dict[Kind, Callable[[str], object]] = {
            Kind.TEMPLATE: store.template_record,
            Kind.DATABASE: store.database_record,
            Kind.CLIENT: store.client,
        }
        for kind, read in readers.items():
            for name in store.names(kind):
                tally.take(f"{kind.value} {name}", partial(read, name))
        keys = KeySet(keyring.of(frozenset({Purpose.DATA})))
        for path, file_id in self._blobs():
            tally.take(path, partial(self._open, path, file_id, keys))
        now_ms = self._clock.wall_ms() - limits.CLOCK_SKEW_MS_MAX
        # Another deployment's keyring reads no registry either.
        workers = store.workers() if tally.opened else []
        running = tuple(one.worker_id for one in workers if one.is_live(now_ms))
        return Trial(tally.opened, tally.destroyed, tally.refused, tally.first_refused, running)

    def _open(self, path: str, file_id: bytes, keys: KeySet) -> None:
        full = f"{self._layout.root}/{path}"
        try:
            raw = durable.read_file(self._filesystem, full, _BLOB_BYTES_MAX)
        except OSError as error:
            raise translated(error) from error
        if raw is not None:
            blob.decrypt(blob.parse(raw), file_id, keys)

    def _blobs(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and file-id of every blob; what has another form of name is none."""
        for database in self._names("files"):
            for shard in self._names(f"files/{database}"):
                for name in self._names(f"files/{database}/{shard}"):
                    try:
                        file_id = bytes.fromhex(name.removesuffix(BLOB_SUFFIX))
                    except ValueError:
                        continue
                    if name.endswith(BLOB_SUFFIX):
                        yield f"files/{database}/{shard}/{name}", file_id

    def _names(self, path: str) -> list[str]:
        try:
            return sorted(self._filesystem.list_directory(f"{self._layout.root}/{path}"))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise translated(error) from error
