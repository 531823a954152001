"""What the use cases need of the world."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

import msgspec

from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.grants import Grant
from main_api.domain.jobs import JobRecord, Pass
from main_api.domain.registry import MainRecord, Revocation, WorkerCredential, WorkerRecord
from main_api.domain.token_revocations import TokenRevocation
from main_api.domain.trusted_issuers import IssuerRecord
from strongroom.configuration import Database, Template
from strongroom.entity import UNCONDITIONAL, Condition, Metadata
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.finding import Finding

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


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


class KeyProviderUnavailableError(UnavailableError):
    """The key provider does not answer, or refuses; the detail is for whoever runs the system.

    Attributes:
        reason: What it said, as one word: "AccessDeniedException".
    """

    def __init__(self, detail: str, reason: str) -> None:
        """Take both."""
        super().__init__(detail, retry_after_s=5)
        self.reason = reason


class RootWrapper(Protocol):
    """Wraps the keyring's root, so that it may lie on a disk."""

    @property
    def recovery(self) -> str:
        """The fingerprint of the recovery key that opens its messages; empty for none."""
        ...

    def wrap(self, root: bytes, deployment: str) -> bytes:
        """Return the root as a message bound to the deployment.

        Raises:
            UnavailableError: The provider does not answer, or refuses.
        """
        ...


class KeyProvider(RootWrapper, Protocol):
    """Wraps and opens the keyring's root under a master key that is not kept beside it."""

    def unwrap(self, message: bytes, deployment: str) -> bytes:
        """Return the root.

        Raises:
            IntegrityError: The message is not one of this deployment.
            UnavailableError: The provider does not answer, or refuses.
        """
        ...


class KeyringStore(Protocol):
    """Where the keyring's file lies. Raises UnavailableError when the disk refuses."""

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the lock of those who change it; raises BusyError where others hold it."""
        ...

    def read(self) -> bytes | None:
        """Return the file, None where there is none."""
        ...

    def make_durable(self) -> None:
        """Let a power cut not take back what `read` has returned, whoever has written it."""
        ...

    def write(self, raw: bytes) -> None:
        """Replace the file, durably."""
        ...


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


class WriteKind(Enum):
    """How a write changes an entity."""

    PUT = "put"
    DELETE = "delete"
    MERGE_PATCH = "merge-patch"
    JSON_PATCH = "json-patch"
    STORE_TRANSFORMED = "store-transformed"


@dataclass(frozen=True, slots=True)
class WriteItem:
    """One entity to be written.

    Attributes:
        kind: How.
        key: Its key.
        document: Its new JSON text, or the patch.
        expression: JMESPath, for a transformation.
        condition: What has to hold.
        request_id: Tells a repetition from a new write.
        ttl_seconds: Lifetime, for a put; None for the database's own.
        validate_only: Whether it is answered as it would be, and nothing is written.
    """

    kind: WriteKind
    key: str
    document: bytes = b""
    expression: str = ""
    condition: Condition = UNCONDITIONAL
    request_id: str = ""
    ttl_seconds: int | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An entity as a worker read it; `document` is empty where `not_modified`."""

    key: str
    document: bytes
    metadata: Metadata
    not_modified: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a worker answers to a put."""

    key: str
    created: bool
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a database, and of what.

    Attributes:
        prefix: Keys begin with it.
        key_prefixes: What the caller's grants allow: keys begin with one of these.
        filter: JMESPath that has to be true; empty for all.
        select: JMESPath whose result takes the document's place; empty for the document.
        limit: How many entities at the most.
        cursor: Where the page before has ended; empty for the first one.
        scope: Who asks; a cursor is of no use to anybody else.
    """

    prefix: str
    key_prefixes: tuple[str, ...]
    filter: str
    select: str
    limit: int
    cursor: str
    scope: str


@dataclass(frozen=True, slots=True)
class EntityPage:
    """A page: entities, the next page's cursor (empty for the end), and what was looked at."""

    entities: tuple[Found, ...]
    cursor: str
    examined: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A stored entity that a template would refuse; `refusal` says why."""

    key: str
    version: int
    refusal: StrongroomError


@dataclass(frozen=True, slots=True)
class RefusedPage:
    """A page of refused entities; else as `EntityPage`."""

    refused: tuple[Refused, ...]
    cursor: str
    examined: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """What an inspection of some files has found.

    Attributes:
        findings: Files that are not as they should be.
        cursor: Where the next one begins; empty for the end.
        examined: How many entities were looked at.
        done: How many shards of all databases lie behind it.
        total: How many there are.
    """

    findings: tuple[Finding, ...]
    cursor: str
    examined: int
    done: int
    total: int


class WorkerLostError(UnavailableError):
    """A worker did not answer.

    Attributes:
        delivered: It may have got the request.
        timed_out: It was not waited for any longer; of its connection nothing is known.
    """

    def __init__(self, *, delivered: bool, timed_out: bool = False) -> None:
        """Say it in the client's words."""
        super().__init__("the worker cannot be reached in time", retry_after_s=1)
        self.delivered = delivered
        self.timed_out = timed_out


class GivenUpError(UnavailableError):
    """Nobody waits for the answer any more; so nobody sees this one."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the request was given up", retry_after_s=1)


class Probe(Protocol):
    """Asks a worker for a sign of life."""

    def __call__(self, worker: WorkerRecord, timeout_s: float) -> object:
        """Return what it says; raises WorkerLostError where it says nothing."""
        ...


class Pending(Protocol[R_co]):
    """A call that was begun."""

    def result(self) -> R_co:
        """Wait for its answer; raises as the call."""
        ...

    def cancel(self) -> None:
        """End it; its answer is not waited for any more."""
        ...


class WorkerClient(Protocol):
    """Calls to a Processing Worker.

    Every method raises what the worker answers, WorkerLostError when there is no answer within
    `timeout_s`, and RateLimitedError when it has no room.
    """

    def get(
        self, worker: WorkerRecord, database: Database, key: str, known: int, timeout_s: float
    ) -> Found:
        """Read an entity; `known` is the version that the caller has, 0 for none."""
        ...

    def get_many(
        self, worker: WorkerRecord, database: Database, keys: Sequence[str], timeout_s: float
    ) -> Pending[list[Found | StrongroomError]]:
        """Begin to read several entities, each with its own answer."""
        ...

    def transform(
        self,
        worker: WorkerRecord,
        database: Database,
        key: str,
        expression: str,
        timeout_s: float,
    ) -> Found:
        """Return what a JMESPath expression makes of an entity."""
        ...

    def write(
        self, worker: WorkerRecord, database: Database, item: WriteItem, timeout_s: float
    ) -> Written:
        """Write an entity."""
        ...

    def scan(
        self, worker: WorkerRecord, database: Database, request: PageRequest, timeout_s: float
    ) -> EntityPage:
        """Read a page."""
        ...

    def try_template(
        self,
        worker: WorkerRecord,
        database: Database,
        schema: bytes,
        request: PageRequest,
        timeout_s: float,
    ) -> RefusedPage:
        """Return a page of the entities that a template would refuse."""
        ...

    def inspect(
        self, worker: WorkerRecord, cursor: str, timeout_s: float, *, repair: bool
    ) -> Inspected:
        """Look at files of all databases, from a cursor on; empty to begin."""
        ...

    def put_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Put several; raised is what refuses all, returned what concerns one."""
        ...

    def delete_many(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[Written | StrongroomError]:
        """Delete several; else as `put_many`."""
        ...

    def validate(
        self, worker: WorkerRecord, database: Database, items: Sequence[WriteItem], timeout_s: float
    ) -> list[StrongroomError | None]:
        """Return for each put what would refuse it."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Some files of a shard, to be rewrapped; or only to be counted, where no key is drained.

    Attributes:
        shard: The first byte of their file-ids, in every database.
        drained: What lies under one of these keys is put under the active one.
        cursor: Where the call before has ended; empty to begin.
        files_per_second: How many at the most; 0 for as many as the worker can.
    """

    shard: int
    drained: tuple[str, ...] = ()
    cursor: str = ""
    files_per_second: float = 0


class Rewrapping(Protocol):
    """The call to a Processing Worker that jobs are made of; errors as `WorkerClient`."""

    def rewrap(self, worker: WorkerRecord, piece: Piece, timeout_s: float) -> tuple[Pass, str]:
        """Return what was seen, and a cursor that is empty at the end of the shard."""
        ...
