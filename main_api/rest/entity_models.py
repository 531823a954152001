"""What the paths of entities are sent, and answer."""

from typing import Annotated, Any, Final, Literal

import msgspec

from main_api.rest.operations import (
    NDJSON,
    Content,
    Count,
    Cursor,
    EntityKey,
    KeyPrefix,
    Limit,
    Time,
    Version,
)
from main_api.rest.problems import ViolationMember
from main_api.service.requests.batches import PartlyWrittenError
from strongroom import limits
from strongroom.errors import (
    IdempotencyMismatchError,
    IntegrityError,
    InvalidDocumentError,
    KeyDestroyedError,
    NotFoundError,
    OutcomeUnknownError,
    PreconditionFailedError,
    TooLargeError,
)

Expression = Annotated[
    str,
    msgspec.Meta(max_length=limits.EXPRESSION_CHARS_MAX, extra_json_schema={"format": "jmespath"}),
]
Select = Annotated[
    Expression, msgspec.Meta(description="JMESPath over each entity; the result takes its place.")
]
Prefix = Annotated[KeyPrefix, msgspec.Meta(description="Only keys that begin with it.")]
Documents = Annotated[
    dict[EntityKey, msgspec.Raw],
    msgspec.Meta(
        min_length=1,
        max_length=limits.ENTITIES_PER_REQUEST_MAX,
        description="Entities by key; each is any JSON value.",
    ),
]
Entities = Annotated[
    dict[EntityKey, msgspec.Raw],
    msgspec.Meta(description="Entities by key; each is any JSON value."),
]


class ReadQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entities."""

    key: Annotated[
        list[EntityKey],
        msgspec.Meta(
            max_length=limits.ENTITIES_PER_REQUEST_MAX,
            description="Which ones; without it, a page of all.",
        ),
    ] = []
    limit: Limit = limits.PAGE_SIZE
    cursor: Cursor = ""
    prefix: Prefix = ""
    select: Select = ""


DryRun = Annotated[
    Literal["true"] | msgspec.UnsetType,
    msgspec.Meta(description="Answer as it would be answered, and write nothing."),
]


class DeleteQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entities."""

    key: Annotated[
        list[EntityKey], msgspec.Meta(min_length=1, max_length=limits.ENTITIES_PER_REQUEST_MAX)
    ]
    dry_run: DryRun = msgspec.UNSET


class ChangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to change."""

    dry_run: DryRun = msgspec.UNSET


class PutQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How to write."""

    ttl_seconds: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=limits.TTL_SECONDS_MAX)] | msgspec.UnsetType,
        msgspec.Meta(description="How long they live; without it, as long as the database says."),
    ] = msgspec.UNSET
    dry_run: Annotated[
        Literal["true"] | msgspec.UnsetType, msgspec.Meta(description="Only validate.")
    ] = msgspec.UNSET


class TransformBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entity, and what to make of it."""

    key: EntityKey
    expression: Annotated[Expression, msgspec.Meta(min_length=1)]
    store: Annotated[bool, msgspec.Meta(description="Whether the result replaces it.")] = False


class QueryBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entities, and what of them."""

    filter: Annotated[
        Expression, msgspec.Meta(description="JMESPath; asked of each entity. All without it.")
    ] = ""
    select: Select = ""
    prefix: Prefix = ""
    limit: Limit = limits.PAGE_SIZE
    cursor: Cursor = ""


class QueryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entity."""

    key: EntityKey
    version: Version
    entity: msgspec.Raw


class QueryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page; without `cursor` it is the last one."""

    items: list[QueryItem]
    examined: Count
    cursor: Cursor | msgspec.UnsetType = msgspec.UNSET
    damaged: Annotated[
        Count | msgspec.UnsetType, msgspec.Meta(description="How many files did not verify.")
    ] = msgspec.UNSET


class WrittenEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity that was written."""

    version: Version
    created: Annotated[bool, msgspec.Meta(description="Whether there was none.")]
    created_at: Time
    updated_at: Time
    expires_at: Time | msgspec.UnsetType = msgspec.UNSET


class DeletedEntity(msgspec.Struct, frozen=True, kw_only=True):
    """One of several entities to be deleted."""

    deleted: Annotated[bool, msgspec.Meta(description="Whether it was there.")]
    version: Annotated[
        Version | msgspec.UnsetType, msgspec.Meta(description="Of the deletion.")
    ] = msgspec.UNSET


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an entity would be written, and why not."""

    valid: bool
    error: str | msgspec.UnsetType = msgspec.UNSET
    detail: str | msgspec.UnsetType = msgspec.UNSET
    errors: list[ViolationMember] | msgspec.UnsetType = msgspec.UNSET


class PatchOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of a JSON Patch, RFC 6902."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: Annotated[str, msgspec.Meta(extra_json_schema={"format": "json-pointer"})]
    from_: Annotated[
        str | msgspec.UnsetType, msgspec.Meta(extra_json_schema={"format": "json-pointer"})
    ] = msgspec.field(name="from", default=msgspec.UNSET)
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ONE: Final = msgspec.Meta(min_length=1, max_length=1, description="The patch, under the key.")
MergePatches = Annotated[dict[EntityKey, msgspec.Raw], _ONE]
JsonPatches = Annotated[
    dict[
        EntityKey,
        Annotated[list[PatchOperation], msgspec.Meta(max_length=limits.PATCH_OPERATIONS_MAX)],
    ],
    _ONE,
]
WrittenMap = dict[EntityKey, WrittenEntity]
DeletedMap = dict[EntityKey, DeletedEntity]
Verdicts = dict[EntityKey, Verdict]

_CHAT: Final = {"chat": [{"type": "assistant", "text": "HERE TEXT"}]}
_AT: Final = "2026-01-01T00:00:00.000Z"
EXAMPLE: Final[dict[str, Any]] = {"Chat_id": _CHAT}
MERGE_PATCH: Final[dict[str, Any]] = {"Chat_id": {"title": "A chat"}}
JSON_PATCH: Final[dict[str, Any]] = {
    "Chat_id": [{"op": "add", "path": "/chat/-", "value": {"type": "user", "text": "Hello"}}]
}
WRITTEN: Final = {"Chat_id": WrittenEntity(version=1, created=True, created_at=_AT, updated_at=_AT)}
DELETED_MAP: Final = {
    "Chat_id": DeletedEntity(deleted=True, version=2),
    "not-there": DeletedEntity(deleted=False),
}
QUERY: Final = QueryBody(filter="chat[0].type == 'assistant'", select="chat[0].text")
QUERY_PAGE: Final[dict[str, Any]] = {
    "items": [{"key": "Chat_id", "version": 1, "entity": "HERE TEXT"}],
    "examined": 1,
}

LINES: Final = {
    NDJSON: Content(QueryItem, QUERY_PAGE["items"][0]),
}
PAGE_HEADERS: Final = ("Strongroom-Cursor?", "Strongroom-Examined?", "Strongroom-Damaged?")

ERRORS_OF_READING: Final = (NotFoundError, TooLargeError, IntegrityError, KeyDestroyedError)
ERRORS_OF_WRITING: Final = (
    InvalidDocumentError,
    NotFoundError,
    PreconditionFailedError,
    TooLargeError,
    IdempotencyMismatchError,
    IntegrityError,
    KeyDestroyedError,
    OutcomeUnknownError,
    PartlyWrittenError,
)
