"""What a route declares of itself, in one place, beside its view.

    @app.route("/databases/{database}", methods=["PUT"], operation=Operation(
        tag=Tag.DATABASES,
        rights=(Right.ADMIN,),
        body=json_content(DatabaseBody, example=DatabaseBody(schema_id="chat.v1")),
        answers=(Answer(201, "It was made.", json_content(DatabaseAnswer, example=...)),),
        errors=(NotFoundError,),
    ))
    def put_database(database: str) -> Response:
        '''Make a database, or change it.'''

The name of the view is the operationId; its docstring is summary and description. What every
operation can answer (no token, past a limit, ...) is not declared: `openapi.py` knows it. The
application refuses query parameters that are not fields of `query`, and an `Accept` that none of
the `answers` fits. So the document at `/openapi.json` is made from what really decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec

from strongroom import ids, limits
from strongroom.errors import StrongroomError

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
NDJSON: Final = "application/x-ndjson"


class Right(StrEnum):
    """What a caller needs for an operation; `x-strongroom-rights` in the document."""

    PUBLIC = "public"
    """Nothing."""
    CLIENT = "client"
    """A client's id and secret."""
    WORKER = "worker"
    """A worker's pre-shared credential."""
    READ = "read"
    """A token, and the action on the database, for the keys in question."""
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"
    """The action on the database, all of it; where none is named, on some."""
    EVERYWHERE = "everywhere"
    """The action admin on every database."""


WITHOUT_TOKEN: Final = frozenset({Right.PUBLIC, Right.CLIENT, Right.WORKER})


class Tag(StrEnum):
    """The chapters of the document."""

    ENTITIES = "Entities"
    SCHEMAS = "Schemas"
    DATABASES = "Databases"
    CLIENTS = "Clients"
    TOKENS = "Tokens"
    ISSUERS = "Issuers"
    WORKERS = "Workers"
    KEYS = "Keys"
    JOBS = "Jobs"
    BACKUPS = "Backups"
    AUDIT = "Audit"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a body or an answer in one media type.

    Attributes:
        model: A type of which msgspec makes a JSON Schema; None for text that is no JSON.
        example: A value of that type.
    """

    model: Any
    example: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of success.

    Attributes:
        status: The HTTP status.
        about: One sentence.
        content: By media type; empty for an answer without a body.
        headers: The names of what is in `HEADERS` and always there; not always with `?` at the end.
        links: Which operations go on from it, and what of it their parameters are (OpenAPI's
            runtime expressions).
    """

    status: int
    about: str
    content: Mapping[str, Content] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        tag: The chapter in which it stands.
        rights: What its caller needs, all of them.
        answers: What it answers where nothing is wrong.
        further_rights: What else it takes, by when: `{"the patch is a JSON Patch": Right.READ}`.
        query: A struct whose fields are the query parameters; those that are a list may be
            repeated. The view gets it by `app.query(...)`.
        headers: The names of what is in `REQUEST_HEADERS` and heeded.
        body: By media type; empty for none.
        body_optional: Whether the body may be left out.
        holds_secret: Whether an answer has a credential, or in one piece what several have chosen:
            it is then never compressed (docs/adr/0017-what-is-compressed.md).
        errors: What it raises, beside what every operation may.
    """

    tag: Tag
    rights: tuple[Right, ...]
    answers: tuple[Answer, ...]
    further_rights: Mapping[str, Right] = field(default_factory=dict)
    query: type[msgspec.Struct] | None = None
    headers: tuple[str, ...] = ()
    body: Mapping[str, Content] = field(default_factory=dict)
    body_optional: bool = False
    holds_secret: bool = False
    errors: tuple[type[StrongroomError], ...] = ()

    @cached_property
    def takes_token(self) -> bool:
        """Tell whether only who sends an access token gets to the view."""
        return not WITHOUT_TOKEN.intersection(self.rights)

    @cached_property
    def right_names(self) -> frozenset[str]:
        """The `rights`, as the audit log knows them."""
        return frozenset(map(str, self.rights))

    @cached_property
    def media_types(self) -> tuple[str, ...]:
        """In which media types it answers; the first one without a wish."""
        return tuple(dict.fromkeys(one for answer in self.answers for one in answer.content))

    @cached_property
    def may_have_no_content(self) -> bool:
        """Whether one of its answers is 204 (RFC 9110 section 15.3.5)."""
        return any(answer.status == _NO_CONTENT for answer in self.answers)


def json_content(model: Any, example: Any) -> dict[str, Content]:  # noqa: ANN401 - any model
    """Return content that is JSON, in the only media type that there is of it."""
    return {JSON: Content(model, example)}


_NO_CONTENT: Final = 204
AN_INSTANT: Final = "2026-01-01T00:00:00.000Z"
DELETED: Final = Answer(_NO_CONTENT, "It is deleted.")

Name = Annotated[str, msgspec.Meta(pattern=f"^{ids.NAME_PATTERN}$")]
WorkerId = Annotated[str, msgspec.Meta(pattern=f"^{ids.WORKER_ID_PATTERN}$", max_length=63)]
EntityKey = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=limits.ENTITY_KEY_BYTES_MAX,
        pattern=r"^[^\u0000-\u001f\u007f-\u009f]+$",
        description=f"1 to {limits.ENTITY_KEY_BYTES_MAX} bytes of UTF-8, no control characters.",
        extra_json_schema={"format": "entity-key"},
    ),
]
KeyPrefix = Annotated[
    str,
    msgspec.Meta(
        max_length=limits.ENTITY_KEY_BYTES_MAX,
        pattern=r"^[^\u0000-\u001f\u007f-\u009f]*$",
        extra_json_schema={"format": "entity-key-prefix"},
    ),
]
Subject = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=limits.SUBJECT_BYTES_MAX,
        pattern=r"^[^/\u0000-\u001f\u007f-\u009f]+$",
        description="The name of a client's user, which is the `sub` of its tokens: 1 to"
        f" {limits.SUBJECT_BYTES_MAX} bytes of UTF-8 without `/` and control characters.",
        extra_json_schema={"format": "subject"},
    ),
]
Time = Annotated[
    str, msgspec.Meta(description="RFC 3339, in UTC.", extra_json_schema={"format": "date-time"})
]
Version = Annotated[int, msgspec.Meta(ge=1, le=limits.VERSION_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Limit = Annotated[
    int,
    msgspec.Meta(
        ge=1, le=limits.PAGE_SIZE_MAX, description="How many of them a page has, at the most."
    ),
]
Cursor = Annotated[
    str,
    msgspec.Meta(
        max_length=limits.CURSOR_CHARS_MAX,
        description="Where the page before has ended, as its answer said.",
        extra_json_schema={"format": "cursor"},
    ),
]


class PageQuery(msgspec.Struct, frozen=True):
    """The parameters of a listing."""

    limit: Limit = limits.PAGE_SIZE
    cursor: Cursor = ""
