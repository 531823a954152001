"""Administration, for asyncio."""

from collections.abc import AsyncGenerator, Iterable
from typing import Protocol, TypeVar

from strongroom_client import admin_calls
from strongroom_client.admin_calls import AdminRead, following
from strongroom_client.administration import (
    ClientRecord,
    Database,
    Grant,
    Job,
    Key,
    Listing,
    RevokedWorker,
    Template,
    Worker,
)
from strongroom_client.calls import Call
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

    async def _each(self, first: AdminRead[Listing[T]]) -> AsyncGenerator[T]:
        call: AdminRead[Listing[T]] | None = first
        while call is not None:
            listing = await self._run(call, None)
            call = following(call, listing)
            for record in listing.records:
                yield record
