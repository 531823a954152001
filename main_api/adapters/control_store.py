"""The Main Worker's state on the shared directory: keyring, clients, workers, configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from main_api.domain.registry import WorkerRecord
from main_api.service.ports import ClientRecord
from strongroom import configuration, controlfile, durable, limits, logs
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.configuration_files import ConfigurationFiles
from strongroom.errors import IntegrityError, StrongroomError, UnavailableError
from strongroom.keyring import Keyring, KeySet, Purpose
from strongroom.layout import RECORD_SUFFIX, Layout

T = TypeVar("T", ClientRecord, WorkerRecord)
_CLIENTS: Final = "clients"
_WORKERS: Final = "workers"
_log = logs.logger()


class KeyringFile:
    """The `KeyringStore` on the shared directory."""

    def __init__(self, filesystem: durable.Filesystem, layout: Layout) -> None:
        """Take the directory."""
        self._filesystem = filesystem
        self._path = layout.keyring()

    def read(self) -> bytes | None:
        """Return the file."""
        with _disk():
            return durable.read_file(
                self._filesystem, str(self._path), limits.CONFIG_FILE_BYTES_MAX
            )

    def write(self, raw: bytes) -> None:
        """Replace the file."""
        with _disk():
            durable.replace_file(self._filesystem, self._path, raw)


class ControlFiles:
    """The `ControlStore` on the shared directory. Safe under threads."""

    def __init__(
        self, filesystem: durable.Filesystem, layout: Layout, keyring: Keyring, clock: Clock
    ) -> None:
        """Take the keys that records and configuration are protected with."""
        self._filesystem = filesystem
        self._layout = layout
        self._clock = clock
        self._control_keys = KeySet(keyring.of(frozenset({Purpose.CONTROL})))
        self._mac_keys = KeySet(keyring.of(frozenset({Purpose.CONFIGURATION})))
        self._configuration = ConfigurationFiles(filesystem, layout, self._mac_keys)

    def database(self, name: str) -> Database | None:
        """Return a database's configuration."""
        return self._configuration.database(name)

    def put_database(self, database: Database) -> None:
        """Write a database's configuration."""
        raw = configuration.encode(database, self._mac_keys)
        with _disk():
            durable.replace_file(self._filesystem, self._layout.database(database.name), raw)

    def template(self, schema_id: str) -> Template | None:
        """Return a template."""
        return self._configuration.template(schema_id)

    def put_template(self, template: Template) -> None:
        """Write a template."""
        raw = configuration.encode(template, self._mac_keys)
        with _disk():
            durable.replace_file(self._filesystem, self._layout.template(template.schema_id), raw)

    def client(self, client_id: str) -> ClientRecord | None:
        """Return a client."""
        return self._record(_CLIENTS, client_id, ClientRecord)

    def put_client(self, client: ClientRecord) -> None:
        """Write a client."""
        self._put_record(_CLIENTS, client.client_id, client, sync=True)

    def remove_client(self, client_id: str) -> None:
        """Remove a client."""
        with _disk():
            durable.remove_file(self._filesystem, self._layout.record(_CLIENTS, client_id))

    def workers(self) -> list[WorkerRecord]:
        """Return every record that can be read."""
        try:
            with _disk():
                names = self._filesystem.list_directory(str(self._layout.records(_WORKERS)))
        except FileNotFoundError:
            return []
        ids = [n.removesuffix(RECORD_SUFFIX) for n in names if n.endswith(RECORD_SUFFIX)]
        return [record for record in map(self._readable_worker, ids) if record is not None]

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """Return a worker's record."""
        return self._record(_WORKERS, worker_id, WorkerRecord)

    def put_worker(self, worker: WorkerRecord) -> None:
        """Write a worker's record; after a power cut there are no workers to be listed."""
        self._put_record(_WORKERS, worker.worker_id, worker, sync=False)

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker's record."""
        with _disk():
            durable.remove_file(self._filesystem, self._layout.record(_WORKERS, worker_id))

    def _readable_worker(self, worker_id: str) -> WorkerRecord | None:
        try:
            return self.worker(worker_id)
        except StrongroomError as error:
            _log.error("registry-record-unreadable", worker_id=worker_id, reason=error.detail)
            return None

    def _record(self, kind: str, name: str, kind_type: type[T]) -> T | None:
        path = str(self._layout.record(kind, name))
        with _disk():
            raw = durable.read_file(self._filesystem, path, limits.CONFIG_FILE_BYTES_MAX)
        if raw is None:
            return None
        content = controlfile.decode(kind, name, raw, self._control_keys)
        try:
            return msgspec.json.decode(content, type=kind_type)
        except msgspec.MsgspecError as error:
            raise IntegrityError(f"the record of {name} under control/{kind} is odd") from error

    def _put_record(self, kind: str, name: str, record: T, *, sync: bool) -> None:
        at = rfc3339(self._clock.wall_ms())
        content = msgspec.json.encode(record)
        raw = controlfile.encode(kind, name, content, self._control_keys, at)
        with _disk():
            durable.replace_file(self._filesystem, self._layout.record(kind, name), raw, sync=sync)


@contextmanager
def _disk() -> Iterator[None]:
    """Translate what the kernel says, a missing file aside."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnavailableError("the storage does not answer", retry_after_s=1) from error
