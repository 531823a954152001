"""Templates and database configuration, read from the shared directory and verified.

The disk is asked each time; what it says is decoded again only when the bytes have changed.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from strongroom import configuration, durable, limits
from strongroom.configuration import Database, MacKeys, Template
from strongroom.diskerrors import translated
from strongroom.layout import Layout

T = TypeVar("T")
_DECODED_MAX: Final = limits.TEMPLATES_COMPILED


class ConfigurationFiles:
    """The readers' side of templates and databases. Safe under threads.

    Every method raises IntegrityError for a file that somebody without the key has changed, and
    UnavailableError when the disk refuses.
    """

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, keys: MacKeys) -> None:
        """Take the keys that the files are verified with."""
        self._databases = _Decoded(
            filesystem,
            layout.database,
            lambda raw, name: configuration.decode_database(raw, name, keys),
        )
        self._templates = _Decoded(
            filesystem,
            layout.template,
            lambda raw, name: configuration.decode_template(raw, name, keys),
        )

    def database(self, name: str) -> Database | None:
        """Return a database's configuration, None where there is no such database."""
        found = self.database_record(name)
        return None if found is None or found.deleted_at is not None else found

    def database_record(self, name: str) -> Database | None:
        """As `database`, but a deleted one too."""
        return self._databases.read(name)

    def template(self, schema_id: str) -> Template | None:
        """Return a template, None where there is none; the same object while it is current."""
        found = self.template_record(schema_id)
        return None if found is None or found.deleted_at is not None else found

    def template_record(self, schema_id: str) -> Template | None:
        """As `template`, but a deleted one too."""
        return self._templates.read(schema_id)


class _Decoded(Generic[T]):
    """Files of one kind, decoded once per content."""

    def __init__(
        self,
        filesystem: durable.Filesystem,
        path: Callable[[str], Path],
        decode: Callable[[bytes, str], T],
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._decode = decode
        self._lock = threading.Lock()
        self._known: LRUCache[str, tuple[str, bytes, T]] = LRUCache(_DECODED_MAX)

    def read(self, name: str) -> T | None:
        with self._lock:
            known = self._known.get(name)
        # Every write comes through here twice: a path is not made anew.
        path = str(self._path(name)) if known is None else known[0]
        try:
            raw = durable.read_file(self._filesystem, path, limits.CONFIG_FILE_BYTES_MAX)
        except OSError as error:
            raise translated(error) from error
        if raw is None:
            return None
        if known is not None and known[1] == raw:
            return known[2]
        decoded = self._decode(raw, name)
        with self._lock:
            self._known[name] = (path, raw, decoded)
        return decoded
