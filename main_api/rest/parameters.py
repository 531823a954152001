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
        example: A value.
    """

    about: str
    model: Any
    example: str | int


_Text = str
RequestId = Annotated[str, msgspec.Meta(pattern=f"^{ids.REQUEST_ID_PATTERN}$")]
IdempotencyKey = Annotated[
    str, msgspec.Meta(pattern=f"^[ -~]{{1,{limits.IDEMPOTENCY_KEY_CHARS_MAX}}}$")
]
EntityTag = Annotated[str, msgspec.Meta(pattern='^"[1-9][0-9]{0,15}"$')]
EntityTags = Annotated[
    str, msgspec.Meta(pattern=r'^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*"){0,99})$')
]
Number = Annotated[int, msgspec.Meta(ge=0)]

REQUEST_HEADERS: Final = {
    "X-Request-ID": Field(
        "Comes back, and stands in the log; anything else than this is replaced.",
        RequestId,
        "trace-1.2",
    ),
    "If-Match": Field(
        "Only if the entity is there in one of these versions; `*`: in any.", EntityTags, '"3"'
    ),
    "If-None-Match": Field(
        "Only if it is not there in one of these versions; `*`: not at all. A read of a version"
        " that is known is answered with 304.",
        EntityTags,
        '"3"',
    ),
    "Idempotency-Key": Field(
        "The same request again gets the first answer, for"
        f" {limits.REQUEST_IDS_KEPT_SECONDS // 3600} hours and the last"
        f" {limits.REQUEST_IDS_KEPT} keys of the entity.",
        IdempotencyKey,
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
    ),
}

HEADERS: Final = {
    "X-Request-ID": Field("The request's id, as in the log.", RequestId, "trace-1.2"),
    "ETag": Field("The version of the entity.", EntityTag, '"3"'),
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
