"""A deployment's shared directory, read while its workers write it."""

import heapq
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from cli.backup.domain import entries
from strongroom import blob, durable, ids, jsontext, limits
from strongroom.diskerrors import translated
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import IntegrityError, InvalidArgumentError, NotFoundError
from strongroom.layout import BLOB_SUFFIX, RECORD_SUFFIX, SIDECAR_SUFFIX, Layout

_ENTITY_FILE: Final = re.compile(
    rf"([0-9a-f]{{64}})(?:{re.escape(BLOB_SUFFIX)}|{re.escape(SIDECAR_SUFFIX)})"
)
_CONFIGURATION_SUFFIX: Final = ".json"


class _Named(msgspec.Struct, frozen=True):
    deployment: str


class _Body(msgspec.Struct, frozen=True):
    deleted_at: str | None = None


class _Database(msgspec.Struct, frozen=True):
    body: _Body


class SharedDirectory:
    """The `Source` of a shared directory. It needs no key, and changes nothing."""

    def __init__(self, root: Path, filesystem: Filesystem | None = None) -> None:
        """Take the directory."""
        self._layout = Layout(root)
        self._filesystem = filesystem or LocalFilesystem()

    def deployment(self) -> str:
        """Read it from the keyring's file, where it is readable; no key is looked at."""
        raw = self._read(str(self._layout.keyring()), limits.CONFIG_FILE_BYTES_MAX)
        if raw is None:
            raise NotFoundError(f"{self._layout.root} is no deployment's: it has no keyring")
        try:
            return msgspec.json.decode(raw, type=_Named).deployment
        except jsontext.UNREADABLE as error:
            raise IntegrityError("the keyring's file cannot be read") from error

    def databases(self) -> list[str]:
        """List those whose file does not say that they are deleted.

        A file that cannot be read says nothing, so its database's entities are copied.
        """
        return [name for name in self.names(entries.DATABASES) if not self._is_deleted(name)]

    def file_ids(self, database: str, shard: int) -> Iterator[str]:
        """List a shard in parts, so that its size is no matter of memory."""
        directory = self._layout.shard(database, bytes([shard]))
        after = ""
        while True:
            with self._disk():
                # Twice as many: an entity has two names.
                part = heapq.nsmallest(
                    2 * limits.BACKUP_FILE_IDS_LISTED_MAX,
                    (one for one in _stems(directory, f"{shard:02x}") if one > after),
                )
            yield from dict.fromkeys(part)
            if len(part) < 2 * limits.BACKUP_FILE_IDS_LISTED_MAX:
                return
            after = part[-1]

    def header(self, database: str, file_id: str) -> blob.Header | None:
        """Read the first bytes of a blob."""
        with self._disk():
            try:
                descriptor = self._filesystem.open(self._path(database, file_id, BLOB_SUFFIX), None)
            except FileNotFoundError:
                return None
            with durable.opened(self._filesystem, descriptor):
                head = self._filesystem.read(descriptor, blob.HEAD_BYTES)
        return blob.parse_header(head)[0]

    def entity(self, database: str, file_id: str) -> bytes | None:
        """Read the sidecar, then the blob.

        In this order a sidecar is ahead only of a blob that was put back: writers write the blob
        first.
        """
        path = self._path(database, file_id, SIDECAR_SUFFIX)
        sidecar: bytes | None = None
        # One that cannot be read is made anew from its blob.
        with suppress(IntegrityError):
            sidecar = self._read(path, limits.SIDECAR_BYTES_MAX)
        raw = self._read(self._path(database, file_id, BLOB_SUFFIX), entries.BLOB_BYTES_MAX)
        if raw is None:
            # Whoever removes an entity removes its sidecar first.
            if self._read(path, limits.SIDECAR_BYTES_MAX) is not None:
                raise IntegrityError("the entity's blob is missing")
            return None
        ahead = None if sidecar is None else blob.sidecar_version(sidecar)
        if ahead is not None and ahead > blob.parse(raw).header.version:
            raise IntegrityError("the entity's blob is older than its sidecar")
        return raw

    def names(self, kind: str) -> list[str]:
        """List a directory; what has another form of name is none of ours."""
        directory, suffix = self._folder(kind)
        with self._disk():
            try:
                found = self._filesystem.list_directory(str(directory))
            except FileNotFoundError:
                return []
        stems = (name.removesuffix(suffix) for name in found if name.endswith(suffix))
        return sorted(stem for stem in stems if _is_name(stem))

    def file(self, kind: str, name: str) -> bytes | None:
        """Read a file of configuration."""
        directory, suffix = self._folder(kind)
        return self._read(f"{directory}/{name}{suffix}", limits.CONFIG_FILE_BYTES_MAX)

    def _folder(self, kind: str) -> tuple[Path, str]:
        if kind == entries.TEMPLATES:
            return self._layout.templates(), _CONFIGURATION_SUFFIX
        if kind == entries.DATABASES:
            return self._layout.databases(), _CONFIGURATION_SUFFIX
        return self._layout.records(kind), RECORD_SUFFIX

    def _is_deleted(self, name: str) -> bool:
        raw = self.file(entries.DATABASES, name)
        try:
            found = msgspec.json.decode(raw or b"", type=_Database)
        except jsontext.UNREADABLE:
            return False
        return found.body.deleted_at is not None

    def _path(self, database: str, file_id: str, suffix: str) -> str:
        return f"{self._layout.files()}/{database}/{file_id[:2]}/{file_id}{suffix}"

    def _read(self, path: str, size_max: int) -> bytes | None:
        with self._disk():
            return durable.read_file(self._filesystem, path, size_max)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise translated(error) from error


def _stems(directory: str, shard: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as found:
            for entry in found:
                match = _ENTITY_FILE.fullmatch(entry.name)
                # A file that was put into another shard's directory is none.
                if match is not None and match[1].startswith(shard):
                    yield match[1]
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_name(stem: str) -> bool:
    try:
        return bool(ids.record_name(stem))
    except InvalidArgumentError:
        return False
