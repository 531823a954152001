"""Calls to Processing Workers, as the use cases need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from main_api.domain.jobs import Pass
from main_api.domain.registry import WorkerRecord
from strongroom.configuration import Database
from strongroom.entity import UNCONDITIONAL, Condition, Metadata
from strongroom.errors import StrongroomError, UnavailableError
from strongroom.finding import Finding

R_co = TypeVar("R_co", covariant=True)


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
