"""Records under control/, one file each, encrypted and authenticated under the control key."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from main_api.adapters.control_inspection import FileKind
from strongroom import controlfile, durable, ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.diskerrors import translated
from strongroom.errors import IntegrityError
from strongroom.keyring import Keys, KeySet, Purpose
from strongroom.layout import RECORD_SUFFIX, Layout

T = TypeVar("T", bound=msgspec.Struct)


class SealedRecords(Generic[T]):
    """The `Records` of one kind on the shared directory. Safe under threads."""

    def __init__(
        self,
        filesystem: durable.Filesystem,
        layout: Layout,
        keyring: Keys,
        clock: Clock,
        *,
        kind: str,
        record_type: type[T],
        well_formed: Callable[[str], str] = ids.record_name,
    ) -> None:
        """Take the keys, the kind's name and its records' type."""
        self._filesystem = filesystem
        self._layout = layout
        self._keys = KeySet(keyring.of(frozenset({Purpose.CONTROL})))
        self._clock = clock
        self._kind = kind
        self._type = record_type
        self._well_formed = well_formed

    def names(self) -> list[str]:
        """List the directory; what has another form of name is none of ours."""
        kind = self.file_kind()
        try:
            return kind.stems(self._filesystem.list_directory(str(kind.directory)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise translated(error) from error

    def file_kind(self) -> FileKind:
        """Return how an inspection finds them."""
        return FileKind(
            self._layout.records(self._kind), RECORD_SUFFIX, self._well_formed, self.get
        )

    def get(self, name: str) -> T | None:
        """Return a record."""
        path = str(self._layout.record(self._kind, name))
        try:
            raw = durable.read_file(self._filesystem, path, limits.CONFIG_FILE_BYTES_MAX)
        except OSError as error:
            raise translated(error) from error
        if raw is None:
            return None
        content = controlfile.decode(self._kind, name, raw, self._keys)
        try:
            return msgspec.json.decode(content, type=self._type)
        except msgspec.MsgspecError as error:
            raise IntegrityError(
                f"the record of {name} under control/{self._kind} is odd"
            ) from error

    def put(self, name: str, record: T, *, is_durable: bool = True) -> None:
        """Write a record."""
        at = rfc3339(self._clock.wall_ms())
        raw = controlfile.encode(self._kind, name, msgspec.json.encode(record), self._keys, at)
        path = self._layout.record(self._kind, name)
        try:
            durable.replace_file(self._filesystem, path, raw, is_durable=is_durable)
        except OSError as error:
            raise translated(error) from error

    def remove(self, name: str) -> None:
        """Remove a record."""
        try:
            durable.remove_file(self._filesystem, self._layout.record(self._kind, name))
        except OSError as error:
            raise translated(error) from error
