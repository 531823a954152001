"""What is stored, as the use cases need it."""

from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol, TypeVar

import msgspec

from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.grants import Grant
from main_api.domain.jobs import JobRecord
from main_api.domain.registry import MainRecord, Revocation, WorkerCredential, WorkerRecord
from main_api.domain.token_revocations import TokenRevocation
from main_api.domain.trusted_issuers import IssuerRecord
from strongroom.configuration import Database, Template
from strongroom.finding import Finding

R = TypeVar("R")


class RetiringSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that a client had before, while it is still valid.

    Attributes:
        secret_mac: As in `ClientRecord`.
        secret_key_id: As in `ClientRecord`.
        valid_until: RFC 3339; from then on it is not.
    """

    secret_mac: str
    secret_key_id: str
    valid_until: str


class ClientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A client.

    Attributes:
        client_id: Its id.
        secret_mac: HMAC-SHA256 of its secret under the client-secret key, base64.
        secret_key_id: Which key that is.
        grants: What it may do.
        user_grants: What a token may do that it has issued for one of its users, within its own
            grants. Without any it may have none issued.
        created_at: RFC 3339.
        incarnation: Random, new each time that a client of this id is made: a token, a cursor and
            an idempotency key of an earlier one are not this one's.
        retiring: The secret of before a rotation.
    """

    client_id: str
    secret_mac: str
    secret_key_id: str
    grants: tuple[Grant, ...]
    created_at: str
    incarnation: str
    retiring: RetiringSecret | None = None
    user_grants: tuple[Grant, ...] = ()


class Kind(Enum):
    """What can be listed by name."""

    TEMPLATE = "template"
    DATABASE = "database"
    CLIENT = "client"


class Records(Protocol[R]):
    """Records of one kind, by name; errors as `ControlStore`."""

    def names(self) -> list[str]:
        """Return the names of which there is a record, in order."""
        ...

    def get(self, name: str) -> R | None:
        """Return a record."""
        ...

    def put(self, name: str, record: R, *, is_durable: bool = True) -> None:
        """Write a record; one that is not durable need not survive a power cut."""
        ...

    def remove(self, name: str) -> None:
        """Remove a record."""
        ...


class Barrier(Protocol):
    """Tells when every writer that was under way has ended."""

    def restart(self) -> None:
        """Begin anew: only those count that end from now on."""
        ...

    def wait(self, wait_s: float) -> bool:
        """Wait; False where a writer goes on for longer than that. Raises UnavailableError."""
        ...


class ControlStore(Protocol):
    """The Main Worker's own state under the shared directory, and the configuration it writes.

    Every method raises IntegrityError for a file that somebody without the key has changed, and
    UnavailableError when the disk refuses.
    """

    @property
    def jobs(self) -> Records[JobRecord]:
        """The jobs, running ones and ended ones."""
        ...

    @property
    def backups(self) -> Records[BackupRecord]:
        """The backups on record."""
        ...

    @property
    def mains(self) -> Records[MainRecord]:
        """The gRPC Main Workers that are in service."""
        ...

    @property
    def revocations(self) -> Records[Revocation]:
        """The workers that are revoked: that there is a record is enough, damaged or not."""
        ...

    @property
    def token_revocations(self) -> Records[TokenRevocation]:
        """The tokens that are revoked, by the names that `domain.token_revocations` reads."""
        ...

    @property
    def worker_credentials(self) -> Records[WorkerCredential]:
        """The credentials with which workers subscribe over REST."""
        ...

    @property
    def issuers(self) -> Records[IssuerRecord]:
        """The foreign issuers that are trusted."""
        ...

    @property
    def exports(self) -> Records[ExportRecord]:
        """The exports of the keyring on record."""
        ...

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock of those who change templates, databases and clients; not reentrant.

        Raises:
            BusyError: Others hold it for longer than `limits.LOCK_WAIT_SECONDS`.
        """
        ...

    def names(self, kind: Kind) -> list[str]:
        """Return the names of which there is a record, deleted ones too, in order."""
        ...

    def database(self, name: str) -> Database | None:
        """Return a database's configuration."""
        ...

    def database_record(self, name: str) -> Database | None:
        """Return a database's configuration, a deleted one's too."""
        ...

    def put_database(self, database: Database) -> None:
        """Write a database's configuration."""
        ...

    def template(self, schema_id: str) -> Template | None:
        """Return a template."""
        ...

    def template_record(self, schema_id: str) -> Template | None:
        """Return a template, a deleted one too."""
        ...

    def put_template(self, template: Template) -> None:
        """Write a template."""
        ...

    def client(self, client_id: str) -> ClientRecord | None:
        """Return a client."""
        ...

    def put_client(self, client: ClientRecord) -> None:
        """Write a client."""
        ...

    def remove_client(self, client_id: str) -> None:
        """Remove a client."""
        ...

    def inspect(self, *, repair: bool) -> list[Finding]:
        """Return what is the matter with the records; remove what a crash has left."""
        ...

    def workers(self) -> list[WorkerRecord]:
        """Return every record of the registry; one that cannot be read is left out and logged."""
        ...

    def every_worker(self) -> tuple[list[WorkerRecord], list[str]]:
        """Return every record of the registry, and the names of those that do not verify."""
        ...

    def worker(self, worker_id: str) -> WorkerRecord | None:
        """Return a worker's record."""
        ...

    def put_worker(self, worker: WorkerRecord) -> None:
        """Write a worker's record; it need not survive a power cut."""
        ...

    def remove_worker(self, worker_id: str) -> None:
        """Remove a worker's record."""
        ...
