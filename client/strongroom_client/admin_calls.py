"""What administrators ask, as calls: each names an operation that both transports have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

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
from strongroom_client.errors import ServerError
from strongroom_client.oversight import (
    AuditHead,
    AuditKey,
    AuditPage,
    Removal,
    SchemaTrial,
    Verification,
)
from strongroom_client.values import JsonValue, encode

AUDIT_PAGE: Final = 100
"""How many records of the audit log a page has, where nobody says."""

T_co = TypeVar("T_co", covariant=True)


class _Part(Protocol):
    """A part of an answer, after which the next one can be asked for."""

    @property
    def cursor(self) -> str:
        """What to ask with; "" after the last part."""


P = TypeVar("P", bound=_Part)


@dataclass(frozen=True, kw_only=True)
class AdminRead(Call[T_co]):
    """An operation that changes nothing.

    Attributes:
        name: Which one.
        given: What is said with it.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class AdminWrite(AdminRead[T_co]):
    """An operation that changes something, and has no key that makes a repetition harmless."""

    writes = True


def put_schema(schema_id: str, schema: JsonValue) -> AdminWrite[Template]:
    """Return the call of `Admin.put_schema`."""
    given = {"schema_id": schema_id, "schema": encode(schema)}
    return AdminWrite(name="put_schema", given=given)


def schema(schema_id: str) -> AdminRead[Template]:
    """Return the call of `Admin.schema`."""
    return AdminRead(name="schema", given={"schema_id": schema_id})


def schemas() -> AdminRead[Listing[Template]]:
    """Return the call of a first page of `Admin.schemas`."""
    return AdminRead(name="schemas")


def delete_schema(schema_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_schema`."""
    return AdminWrite(name="delete_schema", given={"schema_id": schema_id})


def put_database(name: str, schema_id: str, ttl_seconds: int | None) -> AdminWrite[Database]:
    """Return the call of `Admin.put_database`."""
    given = {"database": name, "schema_id": schema_id, "ttl_seconds": ttl_seconds}
    return AdminWrite(name="put_database", given=given)


def database(name: str) -> AdminRead[Database]:
    """Return the call of `Admin.database`."""
    return AdminRead(name="database", given={"database": name})


def databases() -> AdminRead[Listing[Database]]:
    """Return the call of a first page of `Admin.databases`."""
    return AdminRead(name="databases")


def delete_database(name: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_database`."""
    return AdminWrite(name="delete_database", given={"database": name})


def put_client(
    client_id: str, grants: Iterable[Grant], user_grants: Iterable[Grant]
) -> AdminWrite[ClientRecord]:
    """Return the call of `Admin.put_client`."""
    given = {"client_id": client_id, "grants": tuple(grants), "user_grants": tuple(user_grants)}
    return AdminWrite(name="put_client", given=given)


def client(client_id: str) -> AdminRead[ClientRecord]:
    """Return the call of `Admin.client`."""
    return AdminRead(name="client", given={"client_id": client_id})


def clients() -> AdminRead[Listing[ClientRecord]]:
    """Return the call of a first page of `Admin.clients`."""
    return AdminRead(name="clients")


def delete_client(client_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_client`."""
    return AdminWrite(name="delete_client", given={"client_id": client_id})


def rotate_secret(client_id: str, overlap_seconds: int | None) -> AdminWrite[ClientRecord]:
    """Return the call of `Admin.rotate_secret`."""
    given = {"client_id": client_id, "overlap_seconds": overlap_seconds}
    return AdminWrite(name="rotate_secret", given=given)


def workers() -> AdminRead[Listing[Worker]]:
    """Return the call of a first page of `Admin.workers`."""
    return AdminRead(name="workers")


def revoked_workers() -> AdminRead[Listing[RevokedWorker]]:
    """Return the call of a first page of `Admin.revoked_workers`."""
    return AdminRead(name="revoked_workers")


def revoke_worker(worker_id: str, *, unseen: bool) -> AdminWrite[None]:
    """Return the call of `Admin.revoke_worker`."""
    return AdminWrite(name="revoke_worker", given={"worker_id": worker_id, "unseen": unseen})


def reinstate_worker(worker_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.reinstate_worker`."""
    return AdminWrite(name="reinstate_worker", given={"worker_id": worker_id})


def data_keys() -> AdminRead[Listing[Key]]:
    """Return the call of a first page of `Admin.data_keys`."""
    return AdminRead(name="data_keys")


def rotate_keys() -> AdminWrite[str]:
    """Return the call of `Admin.rotate_keys`."""
    return AdminWrite(name="rotate_keys")


def rewrap_keys(files_per_second: float | None) -> AdminWrite[str]:
    """Return the call of `Admin.rewrap_keys`."""
    return AdminWrite(name="rewrap_keys", given={"files_per_second": files_per_second})


def destroy_key(key_id: str, *, shred: bool, entities: int | None) -> AdminWrite[str]:
    """Return the call of `Admin.destroy_key`."""
    given = {"key_id": key_id, "shred": shred, "entities": entities}
    return AdminWrite(name="destroy_key", given=given)


def job(job_id: str) -> AdminRead[Job]:
    """Return the call of `Admin.job`."""
    return AdminRead(name="job", given={"job_id": job_id})


def jobs() -> AdminRead[Listing[Job]]:
    """Return the call of a first page of `Admin.jobs`."""
    return AdminRead(name="jobs")


def cancel_job(job_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.cancel_job`."""
    return AdminWrite(name="cancel_job", given={"job_id": job_id})


def dry_run_schema(schema_id: str, schema: JsonValue) -> AdminRead[SchemaTrial]:
    """Return the call of a first part of `Admin.dry_run_schema`."""
    given = {"schema_id": schema_id, "schema": encode(schema), "dry_run": True}
    return AdminRead(name="dry_run_schema", given=given)


def explain_client(
    client_id: str, database: str, action: str, key: str, user: str | None
) -> AdminRead[Explanation]:
    """Return the call of `Admin.explain_client`."""
    given = {"client_id": client_id, "database": database, "action": action, "key": key}
    return AdminRead(name="explain_client", given={**given, "user": user})


def put_issuer(name: str, trusted: TrustedIssuer | JsonValue) -> AdminWrite[Issuer]:
    """Return the call of `Admin.put_issuer`."""
    return AdminWrite(name="put_issuer", given={"name": name, "trusted": encode(trusted)})


def issuer(name: str) -> AdminRead[Issuer]:
    """Return the call of `Admin.issuer`."""
    return AdminRead(name="issuer", given={"name": name})


def issuers() -> AdminRead[Listing[Issuer]]:
    """Return the call of `Admin.issuers`."""
    return AdminRead(name="issuers")


def delete_issuer(name: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_issuer`."""
    return AdminWrite(name="delete_issuer", given={"name": name})


def ask_issuer(name: str) -> AdminRead[PublishedKeys]:
    """Return the call of `Admin.ask_issuer`."""
    return AdminRead(name="ask_issuer", given={"name": name})


def put_worker_credential(worker_id: str, *, replace: bool) -> AdminWrite[WorkerCredential]:
    """Return the call of `Admin.put_worker_credential`."""
    given = {"worker_id": worker_id, "replace": replace}
    return AdminWrite(name="put_worker_credential", given=given)


def signing_keys() -> AdminRead[Listing[SigningKey]]:
    """Return the call of `Admin.signing_keys`."""
    return AdminRead(name="signing_keys")


def recovery_key() -> AdminRead[str | None]:
    """Return the call of `Admin.recovery_key`."""
    return AdminRead(name="recovery_key")


def rotate_signing_keys() -> AdminWrite[str]:
    """Return the call of `Admin.rotate_signing_keys`."""
    return AdminWrite(name="rotate_signing_keys")


def export_keys() -> AdminWrite[KeyExport]:
    """Return the call of `Admin.export_keys`."""
    return AdminWrite(name="export_keys")


def key_exports() -> AdminRead[Listing[KeyExport]]:
    """Return the call of a first page of `Admin.key_exports`."""
    return AdminRead(name="key_exports")


def delete_key_export(export_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_key_export`."""
    return AdminWrite(name="delete_key_export", given={"export_id": export_id})


def record_backup(backup_id: str) -> AdminWrite[Backup]:
    """Return the call of `Admin.record_backup`."""
    return AdminWrite(name="record_backup", given={"backup_id": backup_id})


def backups() -> AdminRead[Listing[Backup]]:
    """Return the call of a first page of `Admin.backups`."""
    return AdminRead(name="backups")


def delete_backup(backup_id: str) -> AdminWrite[None]:
    """Return the call of `Admin.delete_backup`."""
    return AdminWrite(name="delete_backup", given={"backup_id": backup_id})


def audit_page(cursor: str, page_size: int) -> AdminRead[AuditPage]:
    """Return the call of `Admin.audit_page`."""
    return AdminRead(name="audit_page", given={"cursor": cursor, "page_size": page_size})


def audit_heads() -> AdminRead[Listing[AuditHead]]:
    """Return the call of `Admin.audit_heads`."""
    return AdminRead(name="audit_heads")


def audit_keys() -> AdminRead[Listing[AuditKey]]:
    """Return the call of `Admin.audit_keys`."""
    return AdminRead(name="audit_keys")


def remove_audit(before: str) -> AdminWrite[Removal]:
    """Return the call of `Admin.remove_audit`."""
    return AdminWrite(name="remove_audit", given={"before": before})


def verify(*, repair: bool) -> AdminRead[Verification]:
    """Return the call of a first part of `Admin.verify`: what is repaired twice is repaired."""
    return AdminRead(name="verify", given={"repair": repair})


def following(asked: AdminRead[P], part: P) -> AdminRead[P] | None:
    """Return what asks for the next part; None after the last one.

    Raises:
        ServerError: The cursor is the one that was asked with, which would never end.
    """
    if not part.cursor:
        return None
    if part.cursor == asked.given.get("cursor"):
        raise ServerError("the server answers a page with the cursor that it was asked with")
    return replace(asked, given={**asked.given, "cursor": part.cursor})
