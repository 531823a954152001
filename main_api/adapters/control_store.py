"""The Main Worker's state on the shared directory: keyring, clients, workers, configuration."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from main_api.adapters import control_inspection
from main_api.adapters.control_inspection import FileKind
from main_api.adapters.sealed_records import SealedRecords
from main_api.adapters.shared_lock import SharedLock
from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.jobs import JobRecord
from main_api.domain.registry import MainRecord, Revocation, WorkerCredential, WorkerRecord
from main_api.domain.token_revocations import TokenRevocation
from main_api.domain.trusted_issuers import IssuerRecord
from main_api.service.ports import ClientRecord, Kind
from strongroom import configuration, durable, ids, limits, logs
from strongroom.clock import Clock
from strongroom.configuration import Database, Template
from strongroom.configuration_files import ConfigurationFiles
from strongroom.diskerrors import translated
from strongroom.errors import IntegrityError, StrongroomError
from strongroom.finding import Finding
from strongroom.keyring import Keys, KeySet, Purpose
from strongroom.layout import Layout

_CONFIGURATION_SUFFIX: Final = ".json"
_log = logs.logger()


class KeyringFile:
    """The `KeyringStore` on the shared directory."""

    def __init__(self, filesystem: durable.Filesystem, layout: Layout, clock: Clock) -> None:
        """Take the directory."""
        self._filesystem = filesystem
        self._path = layout.keyring()
        self._lock = SharedLock(filesystem, layout.configuration_lock(), clock)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the configuration's lock."""
        return self._lock.exclusive()

    def read(self) -> bytes | None:
        """Return the file."""
        with _disk():
            return durable.read_file(
                self._filesystem, str(self._path), limits.CONFIG_FILE_BYTES_MAX
            )

    def make_durable(self) -> None:
        """Sync the file and its directory."""
        with _disk():
            durable.sync_file(self._filesystem, self._path)

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
        self.jobs = SealedRecords(
            filesystem, layout, keyring, clock, kind="jobs", record_type=JobRecord
        )
        self.backups = SealedRecords(
            filesystem, layout, keyring, clock, kind="backups", record_type=BackupRecord
        )
        self.exports = SealedRecords(
            filesystem, layout, keyring, clock, kind="exports", record_type=ExportRecord
        )
        self.issuers = SealedRecords(
            filesystem, layout, keyring, clock, kind="issuers", record_type=IssuerRecord
        )
        self._clients = SealedRecords(
            filesystem,
            layout,
            keyring,
            clock,
            kind="clients",
            record_type=ClientRecord,
            well_formed=ids.client_id,
        )
        self._workers = SealedRecords(
            filesystem,
            layout,
            keyring,
            clock,
            kind="workers",
            record_type=WorkerRecord,
            well_formed=ids.worker_id,
        )
        self.mains = SealedRecords(
            filesystem, layout, keyring, clock, kind="mains", record_type=MainRecord
        )
        self.revocations = SealedRecords(
            filesystem,
            layout,
            keyring,
            clock,
            kind="revocations",
            record_type=Revocation,
            well_formed=ids.worker_id,
        )
        self.token_revocations = SealedRecords(
            filesystem,
            layout,
            keyring,
            clock,
            kind="token-revocations",
            record_type=TokenRevocation,
        )
        self.worker_credentials = SealedRecords(
            filesystem,
            layout,
            keyring,
            clock,
            kind="worker-credentials",
            record_type=WorkerCredential,
            well_formed=ids.worker_id,
        )
        self._mac_keys = KeySet(keyring.of(frozenset({Purpose.CONFIGURATION})))
        self._configuration = ConfigurationFiles(filesystem, layout, self._mac_keys)
        self._lock = SharedLock(filesystem, layout.configuration_lock(), clock)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the configuration's lock."""
        return self._lock.exclusive()

    def names(self, kind: Kind) -> list[str]:
        """List a directory."""
        if kind is Kind.CLIENT:
            return self._clients.names()
        return self._names(self._configuration_kind(kind))

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
        return self._clients.get(client_id)

    def put_client(self, client: ClientRecord) -> None:
        """Write a client."""
        self._clients.put(client.client_id, client)

    def remove_client(self, client_id: str) -> None:
        """Remove a client."""
        self._clients.remove(client_id)

    def inspect(self, *, repair: bool) -> list[Finding]:
        """Read every record."""
        sealed = (
            self._clients,
            self._workers,
            self.mains,
            self.revocations,
            self.token_revocations,
            self.worker_credentials,
            self.issuers,
            self.jobs,
            self.backups,
            self.exports,
        )
        kinds = [
            self._configuration_kind(Kind.TEMPLATE),
            self._configuration_kind(Kind.DATABASE),
            *(records.file_kind() for records in sealed),
        ]
        before_s = self._clock.wall_ms() / 1000 - limits.TEMPORARY_FILE_SECONDS_MAX
        with _disk():
            return list(
                control_inspection.inspect(
                    self._filesystem, self._layout, kinds, left_before_s=before_s, repair=repair
                )
            )

    def _configuration_kind(self, kind: Kind) -> FileKind:
        if kind is Kind.TEMPLATE:
            return FileKind(
                self._layout.templates(), _CONFIGURATION_SUFFIX, ids.schema_id, self.template
            )
        return FileKind(
            self._layout.databases(), _CONFIGURATION_SUFFIX, ids.database_name, self._bound
        )

    def _bound(self, name: str) -> None:
        """Read a database; its template has to be there."""
        found = self.database(name)
        if found is not None and self.template(found.schema_id) is None:
            raise IntegrityError(f"its template {found.schema_id} is missing")

    def workers(self) -> list[WorkerRecord]:
        """Return every record that can be read."""
        found = map(self._readable_worker, self._workers.names())
        return [record for record in found if record is not None]

    def every_worker(self) -> tuple[list[WorkerRecord], list[str]]:
        """Return every record, and the names of those that do not verify."""
        found, damaged = [], []
        for worker_id in self._workers.names():
            try:
                record = self.worker(worker_id)
            except IntegrityError as error:
                _log.error("registry-record-unreadable", worker_id=worker_id, reason=error.detail)
                damaged.append(worker_id)
            else:
                found += [record] if record is not None else []
        return found, damaged

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """Return a worker's record."""
        return self._workers.get(worker_id)

    def put_worker(self, worker: WorkerRecord) -> None:
        """Write a worker's record; after a power cut there are no workers to be listed."""
        self._workers.put(worker.worker_id, worker, is_durable=False)

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker's record."""
        self._workers.remove(worker_id)

    def _names(self, kind: FileKind) -> list[str]:
        """Return the names of records; what has another form of name is none of ours."""
        try:
            with _disk():
                return kind.stems(self._filesystem.list_directory(str(kind.directory)))
        except FileNotFoundError:
            return []

    def _readable_worker(self, worker_id: str) -> WorkerRecord | None:
        try:
            return self.worker(worker_id)
        except StrongroomError as error:
            _log.error("registry-record-unreadable", worker_id=worker_id, reason=error.detail)
            return None


@contextmanager
def _disk() -> Iterator[None]:
    """Translate what the kernel says, a missing file aside."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translated(error) from error
