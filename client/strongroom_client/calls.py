"""What can be asked of a deployment, as data: a codec makes requests of it, on either transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from strongroom_client.credentials import ClientCredentials
from strongroom_client.values import (
    UNCONDITIONAL,
    Condition,
    Entity,
    Page,
    Refusals,
)
from strongroom_client.written import Written

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T_co]):
    """Something to ask; the parameter is what is answered.

    Attributes:
        writes: Whether it changes something.
        needs_token: Whether it takes an access token.
    """

    writes: ClassVar[bool] = False
    needs_token: ClassVar[bool] = True

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again, though it may have been done."""
        return not self.writes


@dataclass(frozen=True, kw_only=True)
class IdempotentWrite(Call[T_co]):
    """A write that the server does once, however often it comes with this key."""

    writes = True
    idempotency_key: str

    @property
    def is_repeatable(self) -> bool:
        """The key makes it so."""
        return bool(self.idempotency_key)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and for how many seconds it is good."""

    text: str = field(repr=False)
    expires_in_s: float


@dataclass(frozen=True, kw_only=True)
class IssueToken(Call[Token]):
    """An access token, for a client or one of its users."""

    needs_token = False
    credentials: ClientCredentials


@dataclass(frozen=True, kw_only=True)
class GetEntity(Call[Entity | None]):
    """An entity; None where its version is the `known` one."""

    database: str
    key: str
    known: int = 0


@dataclass(frozen=True, kw_only=True)
class GetEntities(Call[Sequence[Entity]]):
    """Those of the entities that are there; at most 100."""

    database: str
    keys: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ReadPage(Call[Page]):
    """A page of a database; arguments as in `Client.page`."""

    database: str
    filter: str = ""
    select: str = ""
    prefix: str = ""
    page_size: int = 0
    cursor: str = ""


@dataclass(frozen=True, kw_only=True)
class PutEntity(IdempotentWrite[Written]):
    """Create or replace an entity; `document` is JSON text."""

    database: str
    key: str
    document: bytes = field(repr=False)
    condition: Condition = UNCONDITIONAL
    ttl_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class PutEntities(IdempotentWrite[Sequence[Written]]):
    """Create or replace several; all are validated before any is written."""

    database: str
    documents: Mapping[str, bytes] = field(repr=False)
    ttl_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class PatchEntity(IdempotentWrite[Written]):
    """Change a part of an entity: a merge patch (RFC 7396), or a JSON patch (RFC 6902)."""

    database: str
    key: str
    patch: bytes = field(repr=False)
    is_json_patch: bool = False
    condition: Condition = UNCONDITIONAL


@dataclass(frozen=True, kw_only=True)
class TransformEntity(Call[Entity]):
    """What a JMESPath expression makes of an entity."""

    database: str
    key: str
    expression: str


@dataclass(frozen=True, kw_only=True)
class StoreTransformedEntity(IdempotentWrite[Written]):
    """Replace an entity by what an expression makes of it."""

    database: str
    key: str
    expression: str
    condition: Condition = UNCONDITIONAL


@dataclass(frozen=True, kw_only=True)
class ValidateEntities(Call[Refusals]):
    """What would refuse a put of each."""

    database: str
    documents: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class DeleteEntity(IdempotentWrite[None]):
    """Delete an entity."""

    database: str
    key: str
    condition: Condition = UNCONDITIONAL


@dataclass(frozen=True, kw_only=True)
class DeleteEntities(IdempotentWrite[Mapping[str, bool]]):
    """Delete several; of each, whether it was there."""

    database: str
    keys: Sequence[str]
