"""The Main Worker's state on the shared directory: keyring, clients, workers, configuration."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, TypeVar

import msgspec

from main_api.adapters import control_inspection
from main_api.adapters.configuration_lock import ConfigurationLock
from main_api.adapters.control_inspection import Records
from main_api.domain.registry import WorkerRecord
from main_api.service.ports import ClientRecord, Kind
from strongroom import configuration, controlfile, durable, ids, limits, logs
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.configuration_files import ConfigurationFiles
from strongroom.diskerrors import translated
from strongroom.errors import IntegrityError, InvalidArgumentError, StrongroomError
from strongroom.finding import Finding
from strongroom.keyring import Keys, KeySet, Purpose
from strongroom.layout import RECORD_SUFFIX, Layout

T = TypeVar("T", ClientRecord, WorkerRecord)
_CLIENTS: Final = "clients"
_WORKERS: Final = "workers"
_CONFIGURATION_SUFFIX: Final = ".json"
_log = logs.logger()


class KeyringFile:
    """The `KeyringStore` on the shared directory."""

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, clock: Clock) -> None:
        """Take the directory."""
        self._filesystem = filesystem
        self._path = layout.keyring()
        self._lock = ConfigurationLock(filesystem, layout, clock)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the configuration's lock."""
        return self._lock.exclusive()

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
        self, filesystem: durable.Filesystem, layout: Layout, keyring: Keys, clock: Clock
    ) -> None:
        """Take the keys that records and configuration are protected with."""
        self._filesystem = filesystem
        self._layout = layout
        self._clock = clock
        self._control_keys = KeySet(keyring.of(frozenset({Purpose.CONTROL})))
        self._mac_keys = KeySet(keyring.of(frozenset({Purpose.CONFIGURATION})))
        self._configuration = ConfigurationFiles(filesystem, layout, self._mac_keys)
        self._lock = ConfigurationLock(filesystem, layout, clock)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the configuration's lock."""
        return self._lock.exclusive()

    def names(self, kind: Kind) -> list[str]:
        """List a directory."""
        return self._names(self._records(kind))

    def database(self, name: str) -> Database | None:
        """Return a database's configuration."""
        return self._configuration.database(name)

    def database_record(self, name: str) -> Database | None:
        """Return a database's configuration, a deleted one's too."""
        return self._configuration.database_record(name)

    def put_database(self, database: Database) -> None:
        """Write a database's configuration."""
        raw = configuration.encode(database, self._mac_keys)
        with _disk():
            durable.replace_file(self._filesystem, self._layout.database(database.name), raw)

    def template(self, schema_id: str) -> Template | None:
        """Return a template."""
        return self._configuration.template(schema_id)

    def template_record(self, schema_id: str) -> Template | None:
        """Return a template, a deleted one too."""
        return self._configuration.template_record(schema_id)

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
        self._put_record(_CLIENTS, client.client_id, client, is_durable=True)

    def remove_client(self, client_id: str) -> None:
        """Remove a client."""
        with _disk():
            durable.remove_file(self._filesystem, self._layout.record(_CLIENTS, client_id))

    def inspect(self, *, repair: bool) -> list[Finding]:
        """Read every record."""
        layout, kinds = self._layout, [*map(self._records, Kind), self._registry()]
        before_s = self._clock.wall_ms() / 1000 - limits.TEMPORARY_FILE_SECONDS_MAX
        with _disk():
            return list(
                control_inspection.inspect(
                    self._filesystem, layout, kinds, left_before_s=before_s, repair=repair
                )
            )

    def _records(self, kind: Kind) -> Records:
        layout = self._layout
        return {
            Kind.TEMPLATE: Records(
                layout.templates(), _CONFIGURATION_SUFFIX, ids.schema_id, self.template
            ),
            Kind.DATABASE: Records(
                layout.databases(), _CONFIGURATION_SUFFIX, ids.database_name, self._bound
            ),
            Kind.CLIENT: Records(
                layout.records(_CLIENTS), RECORD_SUFFIX, ids.client_id, self.client
            ),
        }[kind]

    def _registry(self) -> Records:
        return Records(self._layout.records(_WORKERS), RECORD_SUFFIX, ids.worker_id, self.worker)

    def _bound(self, name: str) -> None:
        """Read a database; its template has to be there."""
        found = self.database(name)
        if found is not None and self.template(found.schema_id) is None:
            raise IntegrityError(f"its template {found.schema_id} is missing")

    def workers(self) -> list[WorkerRecord]:
        """Return every record that can be read."""
        found = map(self._readable_worker, self._names(self._registry()))
        return [record for record in found if record is not None]

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """Return a worker's record."""
        return self._record(_WORKERS, worker_id, WorkerRecord)

    def put_worker(self, worker: WorkerRecord) -> None:
        """Write a worker's record; after a power cut there are no workers to be listed."""
        self._put_record(_WORKERS, worker.worker_id, worker, is_durable=False)

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker's record."""
        with _disk():
            durable.remove_file(self._filesystem, self._layout.record(_WORKERS, worker_id))

    def _names(self, kind: Records) -> list[str]:
        """Return the names of records; what has another form of name is none of ours."""
        try:
            with _disk():
                names = self._filesystem.list_directory(str(kind.directory))
        except FileNotFoundError:
            return []
        stems = (n.removesuffix(kind.suffix) for n in names if n.endswith(kind.suffix))
        return sorted(stem for stem in stems if _is_well_formed(kind, stem))

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

    def _put_record(self, kind: str, name: str, record: T, *, is_durable: bool) -> None:
        at = rfc3339(self._clock.wall_ms())
        content = msgspec.json.encode(record)
        raw = controlfile.encode(kind, name, content, self._control_keys, at)
        with _disk():
            durable.replace_file(
                self._filesystem, self._layout.record(kind, name), raw, is_durable=is_durable
            )


@contextmanager
def _disk() -> Iterator[None]:
    """Translate what the kernel says, a missing file aside."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translated(error) from error


def _is_well_formed(kind: Records, name: str) -> bool:
    try:
        return bool(kind.well_formed(name))
    except InvalidArgumentError:
        return False
