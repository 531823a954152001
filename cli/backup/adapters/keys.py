"""A keyring that is at hand: what opens a backup, and says that it is one of the deployment's."""

from collections.abc import Callable

import msgspec

from cli.backup.domain import entries
from cli.backup.service.ports import Configured, Opened
from strongroom import blob, configuration, controlfile, ids, limits, naming
from strongroom.configuration import Database
from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.keyring import Keyring, KeySet, Purpose


class KeyringKeys:
    """The `Keys` of an opened keyring. Safe under threads."""

    def __init__(self, keyring: Keyring) -> None:
        """Take the keyring."""
        self.deployment = keyring.deployment
        self._data = _keys(keyring, Purpose.DATA)
        self._control = _keys(keyring, Purpose.CONTROL)
        self._configuration = _keys(keyring, Purpose.CONFIGURATION)
        self._naming = keyring.active(Purpose.NAMING).material

    def check_record(self, backup_id: str, raw: bytes) -> None:
        """Open it under its name."""
        try:
            controlfile.decode("backups", backup_id, raw, self._control)
        except IntegrityError as error:
            raise IntegrityError(
                f"the record of {backup_id} does not verify: the deployment of this keyring took no"
                " such backup"
            ) from error

    def check_file(self, kind: str, name: str, raw: bytes) -> None:
        """Check the MAC, or open it."""
        checks: dict[str, Callable[[], object]] = {
            entries.TEMPLATES: lambda: configuration.decode_template(
                raw, name, self._configuration
            ),
            entries.DATABASES: lambda: self._database(name, raw),
        }
        decode = checks.get(kind, lambda: controlfile.decode(kind, name, raw, self._control))
        try:
            decode()
        except IntegrityError as error:
            raise IntegrityError(f"{kind}/{name} in the backup: {error.detail}") from error

    def database(self, name: str, raw: bytes) -> Configured:
        """Read the file."""
        found = self._database(name, raw)
        return Configured(
            name=name,
            incarnation=found.incarnation,
            schema_id=found.schema_id,
            ttl_seconds=found.ttl_seconds,
            deleted=found.deleted_at is not None,
        )

    def template(self, schema_id: str, raw: bytes) -> bytes | None:
        """Read the file."""
        found = configuration.decode_template(raw, schema_id, self._configuration)
        return None if found.deleted_at is not None else bytes(found.schema)

    def raised(self, name: str, raw: bytes, highest: int) -> bytes:
        """Write the file anew, unless the database is deleted."""
        found = self._database(name, raw)
        if found.deleted_at is not None:
            return raw
        # What came after the backup may be above its floor, whatever lies in it is below.
        above = max(found.version_floor, highest) + limits.RESTORED_VERSIONS_LEFT
        floor = min(above, limits.VERSION_MAX - 1)
        return configuration.encode(
            msgspec.structs.replace(found, version_floor=floor), self._configuration
        )

    def open(self, configured: Configured, file_id: str, raw: bytes) -> Opened:
        """Decrypt it, and see whether the database would name it so."""
        body = blob.decrypt(blob.parse(raw), bytes.fromhex(file_id), self._data)
        try:
            belongs = self.file_id(configured, ids.entity_key(body.entity_key)) == file_id
        except InvalidArgumentError as error:
            raise IntegrityError("the inside of the file cannot be read") from error
        return Opened(body.entity_key, body.document, belongs)

    def file_id(self, configured: Configured, entity_key: str) -> str:
        """Make it of the naming key."""
        return naming.file_id(
            self._naming, configured.name, configured.incarnation, entity_key
        ).hex()

    def _database(self, name: str, raw: bytes) -> Database:
        return configuration.decode_database(raw, name, self._configuration)


def _keys(keyring: Keyring, purpose: Purpose) -> KeySet:
    return KeySet(keyring.of(frozenset({purpose})))
