"""The header fields that the REST face heeds and sends, as the document describes them."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from strongroom import ids, limits


@dataclass(frozen=True, slots=True)
class Field:
    """A header field.

    Attributes:
        about: One sentence.
        model: A type of which msgspec makes a JSON Schema.
        example: A value; None where none would do anywhere.
    """

    about: str
    model: Any
    example: str | int | None = None


_Text = str
RequestId = Annotated[str, msgspec.Meta(pattern=f"^{ids.REQUEST_ID_PATTERN}$")]
IdempotencyKey = Annotated[
    str, msgspec.Meta(pattern=f"^[ -~]{{1,{limits.IDEMPOTENCY_KEY_CHARS_MAX}}}$")
]
EntityTag = Annotated[str, msgspec.Meta(pattern=r'^"[!#-~]*"$')]
EntityTags = Annotated[
    str, msgspec.Meta(pattern=r'^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*"){0,99})$')
]
Number = Annotated[int, msgspec.Meta(ge=0)]

REQUEST_HEADERS_OF_READS: Final = {
    "If-None-Match": Field(
        "What is known already, as it was tagged: then the answer is 304. What is no list of entity"
        " tags is passed over.",
        _Text,
    ),
}

REQUEST_HEADERS: Final = {
    "X-Request-ID": Field(
        f"Comes back, and stands in the logs: 1 to {limits.REQUEST_ID_CHARS_MAX} token characters;"
        " anything else is replaced.",
        _Text,
        "trace-1.2",
    ),
    "If-Match": Field(
        'Only if the entity is there in one of these versions, as in `"3"`; `*`: in any.',
        EntityTags,
    ),
    "If-None-Match": Field(
        "Only if it is not there in one of these versions; `*`: not at all. A read of a version"
        " that is known is answered with 304.",
        EntityTags,
        'W/"0"',
    ),
    "Idempotency-Key": Field(
        "Such as a UUID. The same request again gets the first answer, for"
        f" {limits.REQUEST_IDS_KEPT_SECONDS // 3600} hours and the last"
        f" {limits.REQUEST_IDS_KEPT} keys of the entity.",
        IdempotencyKey,
    ),
}

HEADERS: Final = {
    "X-Request-ID": Field("The request's id, as in the log.", RequestId, "trace-1.2"),
    "ETag": Field(
        "The version of an entity; of another thing, what changes with it.", EntityTag, '"3"'
    ),
    "Link": Field(
        'The next page (RFC 8288), `rel="next"`; without it this is the last one.',
        _Text,
        '</entity/chatdb?cursor=abc>; rel="next"',
    ),
    "Strongroom-Cursor": Field("Of lines: what `cursor` is in a page.", _Text, "abc"),
    "Strongroom-Examined": Field("Of a page: how many entities were looked at.", Number, 1),
    "Strongroom-Damaged": Field("Of a page: how many files did not verify.", Number, 1),
    "Retry-After": Field("After how many seconds to try again.", Number, 1),
    "WWW-Authenticate": Field("What proof is wanted.", _Text, 'Bearer realm="strongroom"'),
    "RateLimit": Field(
        "How the client's limits stand, where it has any.", _Text, '"requests";r=19;t=2'
    ),
    "RateLimit-Policy": Field(
        "The client's limits, where it has any.", _Text, '"requests";q=20;w=2'
    ),
}
