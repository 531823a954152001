"""Bringing a deployment to life: its keyring, templates, databases, clients."""

import secrets

import msgspec

from main_api.domain.grants import ALL_ACTIONS, Grant
from main_api.service.access import Access
from main_api.service.ports import ClientRecord, ControlStore, KeyProvider, KeyringStore
from strongroom import ids, keyring
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.crypto import aead
from strongroom.errors import ConflictError, NotFoundError, UnavailableError
from strongroom.keyring import Keyring

_SECRET_BYTES = 32


def open_keyring(store: KeyringStore, provider: KeyProvider) -> Keyring:
    """Open the keyring with one call to the key provider.

    Raises:
        UnavailableError: There is none, or the provider does not open it.
        IntegrityError: It was changed, or is another deployment's.
    """
    raw = store.read()
    if raw is None:
        raise UnavailableError("there is no keyring; the deployment was never initialized")
    opened, _, _ = keyring.decode(raw, provider.unwrap)
    return opened


def create_keyring(store: KeyringStore, provider: KeyProvider, clock: Clock) -> None:
    """Make the keyring of a new deployment.

    Raises:
        ConflictError: There is one; a keyring is never overwritten.
        UnavailableError: Key provider or disk refuse.
    """
    if store.read() is not None:
        raise ConflictError("there is a keyring already")
    deployment, root = ids.new_id(), aead.new_key()
    made = keyring.new(deployment, rfc3339(clock.wall_ms()))
    store.write(keyring.encode(made, root, provider.wrap(root, deployment)))


class Provisioning:
    """Makes templates, databases and clients."""

    def __init__(self, access: Access, store: ControlStore, clock: Clock) -> None:
        """Take the parts."""
        self._access = access
        self._store = store
        self._clock = clock

    def put_template(self, schema_id: str, schema: bytes) -> Template:
        """Admit a template, under the next version where it replaces one.

        Raises:
            InvalidDocumentError: Not a JSON Schema that can be used here; the detail says why.
            TooLargeError: Larger than `limits.TEMPLATE_BYTES_MAX`.
        """
        # The libraries behind it are for this rare request: 0.1 s of a Lambda's cold start.
        from main_api.service import admission  # noqa: PLC0415

        admission.admit(schema)
        now = rfc3339(self._clock.wall_ms())
        current = self._store.template(ids.schema_id(schema_id))
        template = Template(
            schema_id=schema_id,
            schema_version=current.schema_version + 1 if current else 1,
            created_at=current.created_at if current else now,
            updated_at=now,
            schema=msgspec.Raw(schema),
        )
        self._store.put_template(template)
        return template

    def ensure_template(self, schema_id: str, schema: bytes) -> None:
        """Make a template where it is missing; raises as `put_template`."""
        if self._store.template(ids.schema_id(schema_id)) is None:
            self.put_template(schema_id, schema)

    def ensure_database(self, name: str, schema_id: str) -> None:
        """Make a database where it is missing; raises as `put_database`."""
        if self._store.database(ids.database_name(name)) is None:
            self.put_database(name, schema_id)

    def put_database(
        self, name: str, schema_id: str, ttl_seconds: int | None = None
    ) -> tuple[Database, bool]:
        """Make a database, or change its template and lifetime; tell whether it is new.

        Raises:
            NotFoundError: There is no such template.
        """
        if self._store.template(ids.schema_id(schema_id)) is None:
            raise NotFoundError(f"no such schema: {schema_id}")
        current = self._store.database(ids.database_name(name))
        database = Database(
            name=name,
            incarnation=current.incarnation if current else ids.new_id(),
            schema_id=schema_id,
            created_at=current.created_at if current else rfc3339(self._clock.wall_ms()),
            version_floor=current.version_floor if current else 0,
            ttl_seconds=ttl_seconds,
        )
        self._store.put_database(database)
        return database, current is None

    def put_administrator(self, client_id: str) -> str:
        """Make a client with all actions on every database; raises as `put_client`."""
        return self.put_client(client_id, (Grant(database="*", actions=ALL_ACTIONS),))

    def put_client(self, client_id: str, grants: tuple[Grant, ...]) -> str:
        """Make a client, or give one new grants and a new secret; return the secret, shown once."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        secret_mac, key_id = self._access.secret_mac(ids.client_id(client_id), secret)
        self._store.put_client(
            ClientRecord(
                client_id=client_id,
                secret_mac=secret_mac,
                secret_key_id=key_id,
                grants=grants,
                created_at=rfc3339(self._clock.wall_ms()),
            )
        )
        return secret

    def change_grants(self, client_id: str, grants: tuple[Grant, ...]) -> ClientRecord:
        """Give a client other grants; its secret stays.

        Raises:
            NotFoundError: There is no such client.
        """
        client = self._store.client(ids.client_id(client_id))
        if client is None:
            raise NotFoundError(f"no such client: {client_id}")
        changed = msgspec.structs.replace(client, grants=grants)
        self._store.put_client(changed)
        return changed
