"""What administrators read and are answered."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """Some records in the order of their names; without `cursor` there are no more."""

    records: Sequence[T_co]
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A JSON Schema template.

    Attributes:
        schema_id: Its name.
        schema_version: +1 each time it is replaced.
        created_at: RFC 3339, UTC.
        updated_at: The same.
        text: The schema, JSON text; empty in a listing and in the answer to a put.
    """

    schema_id: str
    schema_version: int
    created_at: str
    updated_at: str
    text: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database: its template, and how many seconds its entities live (None: for ever)."""

    name: str
    schema_id: str
    created_at: str
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions (`read`, `write`, `delete`, `admin`) in a database, `*` for all, on some keys."""

    database: str
    actions: AbstractSet[str]
    key_prefix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", frozenset(self.actions))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client of the deployment.

    Attributes:
        client_id: Its name.
        grants: What it may do.
        user_grants: What it may have tokens for its users for.
        created_at: RFC 3339, UTC.
        old_secret_until: Until when the secret before this one is taken too.
        client_secret: Only in the answer that made it, and not in `repr`.
    """

    client_id: str
    grants: tuple[Grant, ...] = ()
    user_grants: tuple[Grant, ...] = ()
    created_at: str
    old_secret_until: str | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A Processing Worker that is available; `state` is `live` or `draining`."""

    worker_id: str
    address: str
    registered_at: str
    lease_until: str
    state: str
    load: float
    cache_entries: int
    cache_bytes: int
    version: str = ""
    certificate_until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedWorker:
    """A worker that gets no keys and no requests."""

    worker_id: str
    revoked_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A data key; `state` is `active`, `decrypt-only` or `destroyed`.

    Attributes:
        key_id: Its name.
        state: What it is good for.
        created_at: RFC 3339, UTC.
        written_bytes: Of the active one: about how much was written under it.
    """

    key_id: str
    state: str
    created_at: str
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FilesLeft:
    """What is still under older keys."""

    files: int = 0
    entities: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A rewrap, or a key's destruction; `state`: `running`, `done`, `failed`, `cancelled`."""

    job_id: str
    kind: str
    state: str
    phase: str
    created_at: str
    updated_at: str
    key_ids: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    rewrapped: int = 0
    left: FilesLeft = FilesLeft()
    unreadable: int = 0
    keyless: int = 0
    detail: str = ""
    backups: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCredential:
    """What a worker subscribes with over REST: told this once, and not in `repr`."""

    worker_id: str
    credential: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that access tokens verify by; `is_signing`: they are signed with it now."""

    key_id: str
    is_signing: bool = False
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExport:
    """A copy of the keyring that the recovery key alone opens.

    Attributes:
        export_id: Its name.
        exported_at: RFC 3339, UTC.
        generation: The keyring's, of which it is a copy.
        key_ids: The data keys that it holds.
        recovery: Fingerprint of the recovery key.
        keyring: The copy, in the answer that made it; empty in a listing.
    """

    export_id: str
    exported_at: str
    generation: int
    key_ids: tuple[str, ...] = ()
    recovery: str = ""
    keyring: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup on record; no key that it needs is destroyed."""

    backup_id: str
    recorded_at: str
    key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRule:
    """Grants, and which claims a token needs for them: each claim one of its values."""

    claims: Mapping[str, tuple[str | int | bool, ...]]
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """What a foreign issuer is trusted for; docs/federation.md says what each member means.

    Attributes:
        issuer: The `iss` of its tokens, to the letter.
        audiences: A token is for one of these.
        rules: What its tokens are granted.
        algorithms: What they may be signed with.
        audience_claim: `aud`, or `client_id`.
        token_type: `at+jwt`, or `JWT`.
        token_seconds_max: How long a token may be good for.
        jwks_uri: Where its keys are; "": it is asked.
        ca_certificates: Whom to trust for its server, PEM; "": whom the Main Worker trusts.
    """

    issuer: str
    audiences: tuple[str, ...]
    rules: tuple[ClaimRule, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    audience_claim: str = "aud"
    token_type: str = "at+jwt"  # noqa: S105 - a media type
    token_seconds_max: int = 86_400
    jwks_uri: str = ""
    ca_certificates: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A foreign issuer under the name that it was given."""

    name: str
    created_at: str
    updated_at: str
    trusted: TrustedIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """A key that an issuer publishes, and what a token that it has signed may say."""

    kid: str
    algorithms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKeys:
    """What an issuer publishes now.

    Attributes:
        keys: Those that are used.
        exposed: Those whose private half is published too, which are not.
        passed_over: How many there are of another kind.
    """

    keys: tuple[PublishedKey, ...] = ()
    exposed: tuple[str, ...] = ()
    passed_over: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedGrant:
    """A grant, and whether it lets something pass.

    Attributes:
        grant: As it is written.
        verdict: `covers`, `other-database`, `other-action`, `no-such-claim` or `other-key`.
        reason: The same as a sentence.
        key_prefix: With the claims put in; None where one is missing.
    """

    grant: Grant
    verdict: str
    reason: str
    key_prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Whether a client may do something; `decides` is the index of the grant that lets it."""

    allowed: bool
    decides: int | None = None
    grants: tuple[JudgedGrant, ...] = ()
