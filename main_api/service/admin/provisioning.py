"""Bringing a deployment to life: its keyring, templates, databases, clients."""

import msgspec

from main_api.domain.grants import ALL_ACTIONS, Grant, require_within
from main_api.service.callers.access import Access
from main_api.service.keys.ports import KeyProvider, KeyringStore
from main_api.service.ports import ClientRecord, ControlStore, Kind
from strongroom import ids, keyring, limits
from strongroom.clock import Clock, from_rfc3339, rfc3339
from strongroom.configuration import Database, Retired, Template
from strongroom.crypto import aead
from strongroom.errors import ConflictError, InvalidArgumentError, NotFoundError
from strongroom.keyring import Keyring


def create_keyring(store: KeyringStore, provider: KeyProvider, clock: Clock) -> Keyring:
    """Make the keyring of a new deployment, and return it.

    Raises:
        ConflictError: There is one; a keyring is never overwritten.
        UnavailableError: Key provider or disk refuse.
    """
    with store.exclusive():
        if store.read() is not None:
            raise ConflictError("there is a keyring already")
        deployment, root = ids.new_id(), aead.new_key()
        made = keyring.new(deployment, rfc3339(clock.wall_ms()), provider.recovery)
        store.write(keyring.encode(made, root, provider.wrap(root, deployment)))
    return made


class Provisioning:
    """Makes, changes and deletes templates, databases and clients, one change at a time.

    Every change holds the store's lock; raises BusyError where others hold it for too long.
    """

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
        ids.schema_id(schema_id)
        _admit(schema)
        with self._store.exclusive():
            template = self._next_template(schema_id, schema)
            self._store.put_template(template)
        return template

    def try_template(self, schema_id: str, schema: bytes) -> Template:
        """Return what `put_template` would make, and make nothing; raises as that."""
        ids.schema_id(schema_id)
        _admit(schema)
        return self._next_template(schema_id, schema)

    def ensure_template(self, schema_id: str, schema: bytes) -> None:
        """Make a template where it is missing; raises as `put_template`."""
        if self._store.template(ids.schema_id(schema_id)) is None:
            self.put_template(schema_id, schema)

    def delete_template(self, schema_id: str) -> None:
        """Delete a template that no database is bound to.

        Raises:
            NotFoundError: There is none.
            ConflictError: A database is bound to it.
        """
        with self._store.exclusive():
            current = self._store.template(ids.schema_id(schema_id))
            if current is None:
                raise NotFoundError(f"no such schema: {schema_id}")
            bound = self.databases_of(schema_id)
            if bound:
                raise ConflictError(f"the schema is in use by the database {bound[0].name}")
            deleted = msgspec.structs.replace(
                current, schema=msgspec.Raw(b"false"), deleted_at=rfc3339(self._clock.wall_ms())
            )
            self._store.put_template(deleted)

    def databases_of(self, schema_id: str) -> list[Database]:
        """Return the databases that are bound to a template, in the order of their names."""
        found = map(self._store.database, self._store.names(Kind.DATABASE))
        return [one for one in found if one is not None and one.schema_id == schema_id]

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
        ids.schema_id(schema_id)
        with self._store.exclusive():
            record = self._store.database_record(ids.database_name(name))
            if self._store.template(schema_id) is None:
                raise NotFoundError(f"no such schema: {schema_id}")
            is_new = record is None or record.deleted_at is not None
            if record is None or is_new:
                database = Database(
                    name=name,
                    incarnation=ids.new_id(),
                    schema_id=schema_id,
                    created_at=rfc3339(self._clock.wall_ms()),
                    ttl_seconds=ttl_seconds,
                    retired=record.retired if record else (),
                )
            else:
                database = msgspec.structs.replace(
                    record, schema_id=schema_id, ttl_seconds=ttl_seconds
                )
            self._store.put_database(database)
        return database, is_new

    def delete_database(self, name: str) -> None:
        """Delete a database: it is gone at once, the workers remove its files after that.

        Raises:
            NotFoundError: There is none.
            ConflictError: It was deleted and made anew too often lately.
        """
        with self._store.exclusive():
            current = self._store.database(ids.database_name(name))
            if current is None:
                raise NotFoundError(f"no such database: {name}")
            now_ms = self._clock.wall_ms()
            retired = _not_long_gone(current.retired, now_ms)
            if len(retired) >= limits.INCARNATIONS_RETIRED_MAX:
                raise ConflictError(
                    f"{name} was deleted {len(retired)} times lately, and not all of their files"
                    " may be gone yet; use another name"
                )
            now = rfc3339(now_ms)
            retired = (*retired, Retired(current.incarnation, now))
            self._store.put_database(
                msgspec.structs.replace(current, deleted_at=now, retired=retired)
            )

    def put_administrator(self, client_id: str) -> str:
        """Make a client with all actions on every database; raises as `make_client`."""
        _, secret = self.make_client(client_id, (Grant(database="*", actions=ALL_ACTIONS),))
        return secret

    def make_client(self, client_id: str, grants: tuple[Grant, ...]) -> tuple[ClientRecord, str]:
        """Make a client, or give one new grants and a new secret; the secret is shown once."""
        with self._store.exclusive():
            known = self._store.client(ids.client_id(client_id))
            return self._new_client(
                client_id, grants, known.incarnation if known else ids.new_id(64)
            )

    def put_client(
        self, client_id: str, grants: tuple[Grant, ...], user_grants: tuple[Grant, ...] = ()
    ) -> tuple[ClientRecord, str | None]:
        """Make a client, its secret shown once; or give one other grants, its secret stays.

        Raises:
            InvalidArgumentError: They are too many, or `user_grants` allow more than `grants`.
        """
        ids.client_id(client_id)
        if max(len(grants), len(user_grants)) > limits.GRANTS_MAX:
            raise InvalidArgumentError(f"a client has at most {limits.GRANTS_MAX} grants")
        require_within(user_grants, grants, client_id)
        with self._store.exclusive():
            client = self._store.client(client_id)
            if client is None:
                return self._new_client(client_id, grants, ids.new_id(64), user_grants)
            changed = msgspec.structs.replace(client, grants=grants, user_grants=user_grants)
            self._store.put_client(changed)
            return changed, None

    def rotate_secret(self, client_id: str, overlap_s: int) -> tuple[ClientRecord, str]:
        """Give a client a new secret, shown this once, beside the one so far.

        Raises:
            NotFoundError: There is no such client.
            InvalidArgumentError: `overlap_s` is out of its bounds.
        """
        with self._store.exclusive():
            client = self._store.client(ids.client_id(client_id))
            if client is None:
                raise NotFoundError(f"no such client: {client_id}")
            changed, secret = self._access.secrets.rotated(client, overlap_s)
            self._store.put_client(changed)
        return changed, secret

    def delete_client(self, client_id: str) -> None:
        """Remove a client.

        Raises:
            NotFoundError: There is none.
        """
        with self._store.exclusive():
            if self._store.client(ids.client_id(client_id)) is None:
                raise NotFoundError(f"no such client: {client_id}")
            self._store.remove_client(client_id)

    def _next_template(self, schema_id: str, schema: bytes) -> Template:
        now = rfc3339(self._clock.wall_ms())
        record = self._store.template_record(schema_id)
        return Template(
            schema_id=schema_id,
            schema_version=record.schema_version + 1 if record else 1,
            created_at=now if record is None or record.deleted_at else record.created_at,
            updated_at=now,
            schema=msgspec.Raw(schema),
        )

    def _new_client(
        self,
        client_id: str,
        grants: tuple[Grant, ...],
        incarnation: str,
        user_grants: tuple[Grant, ...] = (),
    ) -> tuple[ClientRecord, str]:
        secret, secret_mac, key_id = self._access.secrets.new(client_id)
        client = ClientRecord(
            client_id=client_id,
            secret_mac=secret_mac,
            secret_key_id=key_id,
            grants=grants,
            created_at=rfc3339(self._clock.wall_ms()),
            incarnation=incarnation,
            user_grants=user_grants,
        )
        self._store.put_client(client)
        return client, secret


def _not_long_gone(retired: tuple[Retired, ...], now_ms: int) -> tuple[Retired, ...]:
    """Return the incarnations of which files may still lie there."""
    kept_ms = limits.INCARNATION_RETIRED_SECONDS * 1000
    return tuple(one for one in retired if now_ms - from_rfc3339(one.deleted_at) < kept_ms)


def _admit(schema: bytes) -> None:
    # The libraries behind it are for this rare request: 0.1 s of a Lambda's cold start.
    from main_api.service.admin import admission  # noqa: PLC0415

    admission.admit(schema)
