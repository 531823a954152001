"""What administrators do with templates, databases and clients, once their rights are proven."""

from main_api.domain import registry
from main_api.domain.grants import Action, Grant
from main_api.domain.registry import WorkerRecord
from main_api.service.access import Access, Caller
from main_api.service.ports import ClientRecord, ControlStore
from main_api.service.provisioning import Provisioning
from strongroom import ids, limits
from strongroom.clock import Clock
from strongroom.configuration import Database, Template
from strongroom.errors import ForbiddenError, InvalidArgumentError, NotFoundError


class Administration:
    """Templates, databases and clients, authorized.

    Templates and clients are shared by all databases, so they want the action `admin` in a grant on
    every database (`*`). A database wants it in a grant on that database. Every method raises
    ForbiddenError where it is missing, whether what it asks for exists or not.
    """

    def __init__(
        self, access: Access, store: ControlStore, provisioning: Provisioning, clock: Clock
    ) -> None:
        """Take the parts."""
        self._clock = clock
        self._access = access
        self._store = store
        self._provisioning = provisioning

    def put_template(self, caller: Caller, schema_id: str, schema: bytes) -> Template:
        """Admit a template; the next version where it replaces one.

        Raises:
            InvalidDocumentError, TooLargeError, InvalidArgumentError: It is refused.
        """
        self._require_everywhere(caller)
        return self._provisioning.put_template(ids.schema_id(schema_id), schema)

    def template(self, caller: Caller, schema_id: str) -> Template:
        """Return a template.

        Raises:
            NotFoundError: There is none.
        """
        self._require_everywhere(caller)
        found = self._store.template(ids.schema_id(schema_id))
        if found is None:
            raise NotFoundError(f"no such schema: {schema_id}")
        return found

    def put_database(
        self, caller: Caller, name: str, schema_id: str, ttl_seconds: int | None
    ) -> tuple[Database, bool]:
        """Make a database, or change its template and lifetime; tell whether it is new.

        Raises:
            NotFoundError: There is no such template.
            InvalidArgumentError: A name or `ttl_seconds` is out of its bounds.
        """
        self._access.authorize(caller, ids.database_name(name), [""], Action.ADMIN)
        if ttl_seconds is not None and not 1 <= ttl_seconds <= limits.TTL_SECONDS_MAX:
            raise InvalidArgumentError(f"ttl_seconds is 1 to {limits.TTL_SECONDS_MAX}")
        return self._provisioning.put_database(name, ids.schema_id(schema_id), ttl_seconds)

    def database(self, caller: Caller, name: str) -> Database:
        """Return a database's configuration.

        Raises:
            NotFoundError: There is none.
        """
        self._access.authorize(caller, ids.database_name(name), [""], Action.ADMIN)
        found = self._store.database(name)
        if found is None:
            raise NotFoundError(f"no such database: {name}")
        return found

    def put_client(
        self, caller: Caller, client_id: str, grants: tuple[Grant, ...]
    ) -> tuple[ClientRecord, str | None]:
        """Make a client and return its secret, shown this once; or change a client's grants."""
        self._require_everywhere(caller)
        if self._store.client(ids.client_id(client_id)) is not None:
            return self._provisioning.change_grants(client_id, grants), None
        secret = self._provisioning.put_client(client_id, grants)
        return self.client(caller, client_id), secret

    def client(self, caller: Caller, client_id: str) -> ClientRecord:
        """Return a client.

        Raises:
            NotFoundError: There is none.
        """
        self._require_everywhere(caller)
        found = self._store.client(ids.client_id(client_id))
        if found is None:
            raise NotFoundError(f"no such client: {client_id}")
        return found

    def delete_client(self, caller: Caller, client_id: str) -> None:
        """Remove a client; its tokens are refused within `limits.REVOCATION_SECONDS_MAX`.

        Raises:
            NotFoundError: There is none.
        """
        self.client(caller, client_id)
        self._store.remove_client(client_id)

    def workers(self, caller: Caller) -> list[WorkerRecord]:
        """Return the Processing Workers that are available now."""
        self._require_everywhere(caller)
        return list(registry.live(self._store.workers(), self._clock.wall_ms()))

    def _require_everywhere(self, caller: Caller) -> None:
        everywhere = any(
            grant.database == "*" and Action.ADMIN in grant.actions and not grant.key_prefix
            for grant in caller.grants
        )
        if not everywhere or Action.ADMIN not in caller.scope:
            raise ForbiddenError("this takes the action admin on every database")
