"""What administrators do with templates, databases, clients and workers, once authorized."""

import msgspec

from main_api.domain import registry
from main_api.domain.caller import Caller
from main_api.domain.explanations import Explanation, Question, explain
from main_api.domain.grants import Action, Grant, client_claims
from main_api.domain.registry import Revocation, WorkerRecord
from main_api.service import listing
from main_api.service.admin.provisioning import Provisioning
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.listing import Listing
from main_api.service.ports import ClientRecord, ControlStore, Kind
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.configuration import Database, Template
from strongroom.errors import (
    ForbiddenError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
)


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

    def put_template(
        self, caller: Caller, schema_id: str, schema: bytes, *, validate_only: bool = False
    ) -> Template:
        """Admit a template; the next version where it replaces one.

        Args:
            caller: Who asks.
            schema_id: Its id.
            schema: JSON Schema.
            validate_only: Return what would be made, and make nothing.

        Raises:
            InvalidDocumentError, TooLargeError, InvalidArgumentError: It is refused.
        """
        self._access.require_everywhere(caller)
        if validate_only:
            return self._provisioning.try_template(ids.schema_id(schema_id), schema)
        return self._provisioning.put_template(ids.schema_id(schema_id), schema)

    def template(self, caller: Caller, schema_id: str) -> Template:
        """Return a template.

        Raises:
            NotFoundError: There is none.
        """
        self._access.require_everywhere(caller)
        found = self._store.template(ids.schema_id(schema_id))
        if found is None:
            raise NotFoundError(f"no such schema: {schema_id}")
        return found

    def templates(self, caller: Caller, limit: int, cursor: str) -> Listing[Template]:
        """Return a page of the templates, without their schemas; `cursor` is the last page's.

        Raises:
            InvalidArgumentError: `limit` is not 1 to `limits.PAGE_SIZE_MAX`.
        """
        self._access.require_everywhere(caller)
        return listing.page(self._store.names(Kind.TEMPLATE), self._bare_template, limit, cursor)

    def delete_template(self, caller: Caller, schema_id: str) -> None:
        """Delete a template; an entity goes on telling which version it was validated by.

        Raises:
            NotFoundError: There is none.
            ConflictError: A database is bound to it.
        """
        self._access.require_everywhere(caller)
        self._provisioning.delete_template(ids.schema_id(schema_id))

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

    def databases(self, caller: Caller, limit: int, cursor: str) -> Listing[Database]:
        """Return a page of the databases that the caller administers; else as `templates`.

        Raises:
            ForbiddenError: The caller administers none, whichever there are.
        """
        if not self._access.administers_any(caller):
            raise ForbiddenError("no grant lets this client administer a database")

        def read(name: str) -> Database | None:
            mine = self._access.may_administer(caller, name)
            return self._store.database(name) if mine else None

        return listing.page(self._store.names(Kind.DATABASE), read, limit, cursor)

    def delete_database(self, caller: Caller, name: str) -> None:
        """Delete a database with all its entities; takes the action `delete` too.

        Raises:
            NotFoundError: There is none.
        """
        for action in (Action.ADMIN, Action.DELETE):
            self._access.authorize(caller, ids.database_name(name), [""], action)
        self._provisioning.delete_database(name)

    def put_client(
        self,
        caller: Caller,
        client_id: str,
        grants: tuple[Grant, ...],
        user_grants: tuple[Grant, ...] = (),
    ) -> tuple[ClientRecord, str | None]:
        """Make a client and return its secret, shown this once; or change a client's grants.

        Raises:
            InvalidArgumentError: They are too many, or `user_grants` allow more than `grants`.
        """
        self._access.require_everywhere(caller)
        audit.note(grants="; ".join(map(str, grants)))
        if user_grants:
            audit.note(user_grants="; ".join(map(str, user_grants)))
        return self._provisioning.put_client(client_id, grants, user_grants)

    def client(self, caller: Caller, client_id: str) -> ClientRecord:
        """Return a client.

        Raises:
            NotFoundError: There is none.
        """
        self._access.require_everywhere(caller)
        found = self._store.client(ids.client_id(client_id))
        if found is None:
            raise NotFoundError(f"no such client: {client_id}")
        return found

    def explain(self, caller: Caller, client_id: str, question: Question) -> Explanation:
        """Return which grant decides whether a client, or a user of it, may do something, and why.

        A token may be narrowed further by its scope.

        Raises:
            NotFoundError: There is no such client.
            InvalidArgumentError: No name of a database, no key, no user's name.
        """
        found = self.client(caller, client_id)
        ids.database_name(question.database)
        if question.entity_key:
            ids.entity_key(question.entity_key)
        granted = found.grants
        if question.user is not None:
            ids.subject(question.user)
            granted = found.user_grants
        return explain(granted, client_claims(client_id, question.user), question)

    def clients(self, caller: Caller, limit: int, cursor: str) -> Listing[ClientRecord]:
        """Return a page of the clients; as `templates`."""
        self._access.require_everywhere(caller)
        return listing.page(self._store.names(Kind.CLIENT), self._store.client, limit, cursor)

    def rotate_secret(
        self, caller: Caller, client_id: str, overlap_s: int
    ) -> tuple[ClientRecord, str]:
        """Give a client a new secret, shown this once; the one so far is valid for a while more.

        Raises:
            NotFoundError: There is no such client.
            InvalidArgumentError: `overlap_s` is out of its bounds.
        """
        self._access.require_everywhere(caller)
        return self._provisioning.rotate_secret(ids.client_id(client_id), overlap_s)

    def delete_client(self, caller: Caller, client_id: str) -> None:
        """Remove a client; its tokens are refused within `limits.REVOCATION_SECONDS_MAX`.

        Raises:
            NotFoundError: There is none.
        """
        self._access.require_everywhere(caller)
        self._provisioning.delete_client(ids.client_id(client_id))

    def workers(self, caller: Caller) -> list[WorkerRecord]:
        """Return the Processing Workers that are available now."""
        self._access.require_everywhere(caller)
        revoked = self._store.revocations.names()
        return list(registry.live(self._store.workers(), revoked, self._clock.wall_ms()))

    def revoked_workers(self, caller: Caller) -> list[Revocation]:
        """Return who is revoked; a damaged record says no more, and lifts nothing."""
        self._access.require_everywhere(caller)
        return [self._revocation(worker_id) for worker_id in self._store.revocations.names()]

    def workers_page(self, caller: Caller, limit: int, cursor: str) -> Listing[WorkerRecord]:
        """Return a page of `workers`; as `templates`."""
        found = {worker.worker_id: worker for worker in self.workers(caller)}
        return listing.page(found, found.get, limit, cursor)

    def revoked_workers_page(self, caller: Caller, limit: int, cursor: str) -> Listing[Revocation]:
        """Return a page of `revoked_workers`; as `templates`."""
        self._access.require_everywhere(caller)
        return listing.page(self._store.revocations.names(), self._revocation, limit, cursor)

    def revoke_worker(self, caller: Caller, worker_id: str, *, unseen: bool = False) -> None:
        """Revoke a worker: from now on it is given no keys, and no request.

        Its record in the registry stays as it is: until its lease ends, a worker that cannot be
        reached may still write, which a destruction of keys has to wait for.

        Args:
            caller: Who asks.
            worker_id: Whom to revoke; one that is revoked already stays so.
            unseen: Revoke it even where the registry has not seen it within the last hour.

        Raises:
            NotFoundError: The registry does not know it, and `unseen` is not said.
        """
        self._access.require_everywhere(caller)
        ids.worker_id(worker_id)
        if worker_id in self._store.revocations.names():
            return
        if not unseen and not self._is_known(worker_id):
            raise NotFoundError(
                f"no such worker: {worker_id}; unseen=true revokes one that is not in the registry"
            )
        now = rfc3339(self._clock.wall_ms())
        revocation = Revocation(worker_id=worker_id, revoked_at=now)
        self._store.revocations.put(worker_id, revocation)

    def reinstate_worker(self, caller: Caller, worker_id: str) -> None:
        """Lift a revocation: the worker may subscribe again.

        Raises:
            NotFoundError: It is not revoked.
        """
        self._access.require_everywhere(caller)
        if ids.worker_id(worker_id) not in self._store.revocations.names():
            raise NotFoundError(f"no such worker is revoked: {worker_id}")
        self._store.revocations.remove(worker_id)

    def _revocation(self, worker_id: str) -> Revocation:
        unread = Revocation(worker_id=worker_id, revoked_at="")
        try:
            return self._store.revocations.get(worker_id) or unread
        except IntegrityError:
            return unread

    def _is_known(self, worker_id: str) -> bool:
        try:
            return (
                self._store.worker(worker_id) is not None
                or self._store.worker_credentials.get(worker_id) is not None
            )
        except IntegrityError:
            return True

    def _bare_template(self, schema_id: str) -> Template | None:
        found = self._store.template(schema_id)
        return found and msgspec.structs.replace(found, schema=msgspec.Raw(b"null"))
