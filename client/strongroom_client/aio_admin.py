"""Administration, for asyncio."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol, TypeVar

from strongroom_client import admin_calls
from strongroom_client.admin_calls import AUDIT_PAGE, AdminRead, P, following
from strongroom_client.administration import (
    Backup,
    ClientRecord,
    Database,
    Explanation,
    Grant,
    Issuer,
    Job,
    Key,
    KeyExport,
    Listing,
    PublishedKeys,
    RevokedWorker,
    SigningKey,
    Template,
    TrustedIssuer,
    Worker,
    WorkerCredential,
)
from strongroom_client.calls import Call
from strongroom_client.oversight import (
    AuditHead,
    AuditKey,
    AuditPage,
    Removal,
    SchemaTrial,
    Verification,
)
from strongroom_client.values import JsonValue

T = TypeVar("T")


class _Run(Protocol):
    """Performs a call within the client's own time."""

    async def __call__(self, call: Call[T], timeout_s: float | None) -> T:
        """Return its answer."""


class AsyncAdmin:
    """What administrators do; `client.admin` is one.

    A change here has no idempotency key: it is tried again only where it surely was not made, and
    an OutcomeUnknownError says where nobody knows.
    """

    def __init__(self, run: _Run) -> None:
        """Take what performs calls."""
        self._run = run

    async def put_schema(self, schema_id: str, schema: JsonValue) -> Template:
        """Create or replace a template: a JSON Schema, draft-07 and later."""
        return await self._run(admin_calls.put_schema(schema_id, schema), None)

    async def schema(self, schema_id: str) -> Template:
        """Return a template, with its text."""
        return await self._run(admin_calls.schema(schema_id), None)

    def schemas(self) -> AsyncGenerator[Template]:
        """Read the templates, without their texts."""
        return self._each(admin_calls.schemas())

    async def delete_schema(self, schema_id: str) -> None:
        """Delete a template that no database is bound to."""
        await self._run(admin_calls.delete_schema(schema_id), None)

    async def put_database(
        self, name: str, schema_id: str, *, ttl_seconds: int | None = None
    ) -> Database:
        """Create a database, or bind it to another template; `ttl_seconds` lets entities expire."""
        return await self._run(admin_calls.put_database(name, schema_id, ttl_seconds), None)

    async def database(self, name: str) -> Database:
        """Return a database."""
        return await self._run(admin_calls.database(name), None)

    def databases(self) -> AsyncGenerator[Database]:
        """Read the databases that the client administers."""
        return self._each(admin_calls.databases())

    async def delete_database(self, name: str) -> None:
        """Delete a database with all its entities."""
        await self._run(admin_calls.delete_database(name), None)

    async def put_client(
        self, client_id: str, grants: Iterable[Grant], *, user_grants: Iterable[Grant] = ()
    ) -> ClientRecord:
        """Make a client, whose secret is told this once; or change the grants of one."""
        return await self._run(admin_calls.put_client(client_id, grants, user_grants), None)

    async def client(self, client_id: str) -> ClientRecord:
        """Return a client, without its secret."""
        return await self._run(admin_calls.client(client_id), None)

    def clients(self) -> AsyncGenerator[ClientRecord]:
        """Read the clients, without their secrets."""
        return self._each(admin_calls.clients())

    async def delete_client(self, client_id: str) -> None:
        """Remove a client."""
        await self._run(admin_calls.delete_client(client_id), None)

    async def rotate_secret(
        self, client_id: str, *, overlap_seconds: int | None = None
    ) -> ClientRecord:
        """Give a client a new secret; the old one is good for so long, a day where it is None."""
        return await self._run(admin_calls.rotate_secret(client_id, overlap_seconds), None)

    def workers(self) -> AsyncGenerator[Worker]:
        """Read the Processing Workers that are available."""
        return self._each(admin_calls.workers())

    def revoked_workers(self) -> AsyncGenerator[RevokedWorker]:
        """Read the workers that are revoked."""
        return self._each(admin_calls.revoked_workers())

    async def revoke_worker(self, worker_id: str, *, unseen: bool = False) -> None:
        """Revoke a worker; `unseen`: also one that was never there."""
        await self._run(admin_calls.revoke_worker(worker_id, unseen=unseen), None)

    async def reinstate_worker(self, worker_id: str) -> None:
        """Let a revoked worker come back."""
        await self._run(admin_calls.reinstate_worker(worker_id), None)

    def data_keys(self) -> AsyncGenerator[Key]:
        """Read the data keys, oldest first."""
        return self._each(admin_calls.data_keys())

    async def rotate_keys(self) -> str:
        """Make a new data key active, and return its id."""
        return await self._run(admin_calls.rotate_keys(), None)

    async def rewrap_keys(self, *, files_per_second: float | None = None) -> str:
        """Have every file put under the active key, and return the id of the job."""
        return await self._run(admin_calls.rewrap_keys(files_per_second), None)

    async def destroy_key(
        self, key_id: str, *, shred: bool = False, entities: int | None = None
    ) -> str:
        """Have a key destroyed, return the job's id; `shred`: though up to `entities` are lost."""
        return await self._run(
            admin_calls.destroy_key(key_id, shred=shred, entities=entities), None
        )

    async def job(self, job_id: str) -> Job:
        """Return how far a job has come."""
        return await self._run(admin_calls.job(job_id), None)

    def jobs(self) -> AsyncGenerator[Job]:
        """Read the jobs."""
        return self._each(admin_calls.jobs())

    async def cancel_job(self, job_id: str) -> None:
        """Have a job end."""
        await self._run(admin_calls.cancel_job(job_id), None)

    def dry_run_schema(self, schema_id: str, schema: JsonValue) -> AsyncGenerator[SchemaTrial]:
        """Tell what a template would refuse of what is stored, part by part; nothing is written."""
        return self._parts(admin_calls.dry_run_schema(schema_id, schema))

    async def explain_client(
        self, client_id: str, database: str, action: str, *, key: str = "", user: str | None = None
    ) -> Explanation:
        """Say which grant lets a client, or a user of it, do something, and why no other does."""
        return await self._run(
            admin_calls.explain_client(client_id, database, action, key, user), None
        )

    async def put_issuer(self, name: str, trusted: TrustedIssuer | JsonValue) -> Issuer:
        """Trust a foreign issuer, or change what it is trusted for."""
        return await self._run(admin_calls.put_issuer(name, trusted), None)

    async def issuer(self, name: str) -> Issuer:
        """Return a foreign issuer."""
        return await self._run(admin_calls.issuer(name), None)

    def issuers(self) -> AsyncGenerator[Issuer]:
        """Read the foreign issuers that are trusted."""
        return self._each(admin_calls.issuers())

    async def delete_issuer(self, name: str) -> None:
        """Trust a foreign issuer no more."""
        await self._run(admin_calls.delete_issuer(name), None)

    async def ask_issuer(self, name: str) -> PublishedKeys:
        """Have an issuer asked for its keys now; nothing is changed by it."""
        return await self._run(admin_calls.ask_issuer(name), None)

    async def put_worker_credential(
        self, worker_id: str, *, replace: bool = False
    ) -> WorkerCredential:
        """Give a worker a credential to subscribe with over REST; `replace` ends the one it has."""
        return await self._run(admin_calls.put_worker_credential(worker_id, replace=replace), None)

    def signing_keys(self) -> AsyncGenerator[SigningKey]:
        """Read the keys that sign access tokens, have or will."""
        return self._each(admin_calls.signing_keys())

    async def recovery_key(self) -> str | None:
        """Return the fingerprint of the recovery key; None where there is none."""
        return await self._run(admin_calls.recovery_key(), None)

    async def rotate_signing_keys(self) -> str:
        """Make a new key for access tokens, and return its id."""
        return await self._run(admin_calls.rotate_signing_keys(), None)

    async def export_keys(self) -> KeyExport:
        """Make a copy of the keyring that the recovery key alone opens; it goes on record."""
        return await self._run(admin_calls.export_keys(), None)

    def key_exports(self) -> AsyncGenerator[KeyExport]:
        """Read the exports on record, without their content."""
        return self._each(admin_calls.key_exports())

    async def delete_key_export(self, export_id: str) -> None:
        """Take an export that is gone off the record."""
        await self._run(admin_calls.delete_key_export(export_id), None)

    async def record_backup(self, backup_id: str) -> Backup:
        """Put a backup on record: no key that it needs is destroyed."""
        return await self._run(admin_calls.record_backup(backup_id), None)

    def backups(self) -> AsyncGenerator[Backup]:
        """Read the backups on record."""
        return self._each(admin_calls.backups())

    async def delete_backup(self, backup_id: str) -> None:
        """Take a backup that is gone off the record."""
        await self._run(admin_calls.delete_backup(backup_id), None)

    async def audit_page(self, *, cursor: str = "", page_size: int = AUDIT_PAGE) -> AuditPage:
        """Return the newest records of the audit log; with a `cursor`, what has come since."""
        return await self._run(admin_calls.audit_page(cursor, page_size), None)

    async def audit_pages(
        self, *, cursor: str = "", page_size: int = AUDIT_PAGE
    ) -> AsyncGenerator[AuditPage]:
        """Read records, a page at a time, as far as they go now.

        The last page's cursor is what to go on with later. Without a cursor it begins with the
        newest ones; each request is itself recorded, so a page that is not full is the last one.
        """
        while True:
            page = await self.audit_page(cursor=cursor, page_size=page_size)
            yield page
            if len(page.records) < page_size:
                return
            cursor = page.cursor

    def audit_heads(self) -> AsyncGenerator[AuditHead]:
        """Read how far the chains of the audit log have come."""
        return self._each(admin_calls.audit_heads())

    def audit_keys(self) -> AsyncGenerator[AuditKey]:
        """Read the public keys that verify the audit log."""
        return self._each(admin_calls.audit_keys())

    async def remove_audit(self, before: str) -> Removal:
        """Remove the segments to which nothing was written since an instant (RFC 3339)."""
        return await self._run(admin_calls.remove_audit(before), None)

    def verify(self, *, repair: bool = False) -> AsyncGenerator[Verification]:
        """Look at everything that is stored, part by part; `repair`: put right what can be."""
        return self._parts(admin_calls.verify(repair=repair))

    async def _each(self, first: AdminRead[Listing[T]]) -> AsyncGenerator[T]:
        async with aclosing(self._parts(first)) as listings:
            async for listing in listings:
                for record in listing.records:
                    yield record

    async def _parts(self, first: AdminRead[P]) -> AsyncGenerator[P]:
        call: AdminRead[P] | None = first
        while call is not None:
            part = await self._run(call, None)
            call = following(call, part)
            yield part
