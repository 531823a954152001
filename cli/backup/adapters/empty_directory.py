"""A shared directory that a deployment is put back into, while nothing serves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from cli.backup.domain import entries
from strongroom import durable, jsontext
from strongroom.diskerrors import translated
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import ConflictError
from strongroom.layout import Layout, blob_name, sidecar_name

_LEVELS_BELOW_ROOT: Final = 3


class _Mark(msgspec.Struct, frozen=True):
    backup_id: str


class EmptySharedDirectory:
    """The `EmptyDirectory` of a shared directory."""

    def __init__(self, root: Path, filesystem: Filesystem | None = None) -> None:
        """Take the directory."""
        self._layout = Layout(root)
        self._filesystem = filesystem or LocalFilesystem()
        self._lock = threading.Lock()
        self._unsettled: set[str] = set()

    def begin(self, backup_id: str) -> None:
        """Look for data; leave a mark, so that an attempt that was killed can be gone on with."""
        with self._disk():
            mark = durable.read_file(self._filesystem, str(self._layout.restoring()), 4_096)
            if mark is not None:
                self._require_same(mark, backup_id)
                return
            # The audit log of `keys recover` lies there already.
            for directory in (one for one in self._layout.data() if one != self._layout.audit()):
                if directory.is_dir() and any(directory.iterdir()):
                    raise ConflictError(
                        f"there is data under {directory}: what is there is restored in place"
                        " (--in-place), or to the side (--as)"
                    )
            raw = msgspec.json.encode(_Mark(backup_id))
            durable.replace_file(self._filesystem, self._layout.restoring(), raw)

    def put_entity(self, database: str, file_id: str, raw: bytes, sidecar: bytes) -> None:
        """Write the blob, then the sidecar, which need not be durable."""
        identity = bytes.fromhex(file_id)
        shard = self._layout.shard(database, identity)
        with self._disk():
            made = durable.open_or_make_directory(self._filesystem, shard)
            with durable.opened(self._filesystem, made) as directory:
                self._put(directory, blob_name(identity), raw, is_durable=True)
                self._put(directory, sidecar_name(identity), sidecar, is_durable=False)
        with self._lock:
            self._unsettled.add(shard)

    def put_file(self, kind: str, name: str, raw: bytes) -> None:
        """Write it, once the entities before it are durable."""
        self._settle()
        with self._disk():
            durable.replace_file(self._filesystem, self._path(kind, name), raw)

    def end(self) -> None:
        """Take the mark away."""
        self._settle()
        with self._disk():
            durable.remove_file(self._filesystem, self._layout.restoring())

    def _require_same(self, mark: bytes, backup_id: str) -> None:
        try:
            begun = msgspec.json.decode(mark, type=_Mark).backup_id
        except jsontext.UNREADABLE:
            begun = "another backup"
        if begun != backup_id:
            raise ConflictError(
                f"{begun!a} was being put back here: go on with that one, or empty the"
                " directory, the keyring aside"
            )

    def _path(self, kind: str, name: str) -> Path:
        if kind == entries.TEMPLATES:
            return self._layout.template(name)
        if kind == entries.DATABASES:
            return self._layout.database(name)
        return self._layout.record(kind, name)

    def _put(self, directory: int, name: str, data: bytes, *, is_durable: bool) -> None:
        temporary = durable.stage(self._filesystem, directory, data, is_durable=is_durable)
        try:
            self._filesystem.rename(temporary, name, directory)
        except BaseException:
            durable.discard(self._filesystem, directory, temporary)
            raise

    def _settle(self) -> None:
        with self._disk():
            while self._unsettled:
                shard = self._unsettled.pop()
                durable.sync_directory(self._filesystem, shard)
                durable.sync_parents(self._filesystem, shard, _LEVELS_BELOW_ROOT)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translated(error) from error
