"""What administrators are answered who look after what is stored: parts of it, one at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strongroom_client.errors import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A file that is not as it should be.

    Attributes:
        path: Below the shared directory.
        condition: `damaged`, `orphaned`, `stale` or `unjudged`.
        reason: A sentence for people.
        repaired: It was put right.
    """

    path: str
    condition: str
    reason: str
    repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A part of what is stored was looked at.

    Attributes:
        findings: What is not as it should be.
        examined: How many entities the part had.
        done: How many parts lie behind it.
        total: How many parts there are.
        cursor: To go on with; "" after the last one.
    """

    findings: Sequence[Finding] = ()
    examined: int = 0
    done: int = 0
    total: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEntity:
    """An entity that a template would refuse, and why."""

    database: str
    key: str
    version: int
    detail: str
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaTrial:
    """What a template would refuse of a part of what is stored.

    Attributes:
        examined: How many entities the part had.
        refused: How many of them it would refuse.
        damaged: How many did not verify, and were not judged.
        reasons: How many each keyword refuses.
        refusals: Those that the caller may read.
        cursor: To go on with; "" after the last part.
    """

    examined: int = 0
    refused: int = 0
    damaged: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    refusals: tuple[RefusedEntity, ...] = ()
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who did what to what, when, and how it ended; what is empty does not apply.

    Attributes:
        record_id: What no other record has.
        at: RFC 3339, UTC.
        act: What was done.
        intent: It is about to be done; the record of its outcome has the same `entry`.
        outcome: `ok`, or the code of an error.
        face: How it came in: `rest`, `grpc`, `workers`, `main` or `command`.
        client: Who has proven to act.
        subject: The user of it that acts.
        worker: A worker that acts.
        claimed: Whom somebody has claimed to be.
        address: From where.
        database: Of which database.
        keys: The file-ids of the entities, in hex.
        target: What it is about.
        detail: What else is known.
        request_id: What the logs have it under.
        entry: Ties intent and outcome together.
        count: How many of its kind it stands for.
        until: When the last one of these was.
    """

    record_id: str
    at: str
    act: str
    intent: bool = False
    outcome: str = ""
    face: str = ""
    client: str = ""
    subject: str = ""
    worker: str = ""
    claimed: str = ""
    address: str = ""
    database: str = ""
    keys: tuple[str, ...] = ()
    target: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    entry: str = ""
    count: int = 1
    until: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records, the oldest first.

    Attributes:
        records: They.
        cursor: To go on with; there is always one, for there may be more later.
        damaged: How many blocks did not open.
    """

    records: tuple[AuditRecord, ...]
    cursor: str
    damaged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """How far a chain of the audit log has come; kept elsewhere, it shows a cut."""

    chain: str
    block: int
    at: str
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditKey:
    """A public key that verifies the audit log: Ed25519, 32 bytes."""

    key_id: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What was removed of the audit log."""

    segments: int = 0
    before: str
