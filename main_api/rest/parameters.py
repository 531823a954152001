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
EntityTagOrAny = Annotated[str, msgspec.Meta(pattern=r'^(\*|"[1-9][0-9]{0,15}")$')]
AnyTags = Annotated[
    str, msgspec.Meta(pattern=r'^(\*|(W/)?"[1-9][0-9]{0,15}"(, ?(W/)?"[1-9][0-9]{0,15}")*)$')
]
Seconds = Annotated[int, msgspec.Meta(ge=0)]

REQUEST_HEADERS: Final = {
    "X-Request-ID": Field(
        "Comes back, and stands in the log; anything else than this is replaced.",
        RequestId,
        "trace-1.2",
    ),
    "If-Match": Field("Only if this version is there; `*`: any.", EntityTagOrAny, '"3"'),
    "If-None-Match": Field(
        "Of a write `*`: only if there is none. Of a read the versions that are known.",
        AnyTags,
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
    "Strongroom-Damaged": Field("How many files did not verify.", Seconds, 1),
    "Retry-After": Field("After how many seconds to try again.", Seconds, 1),
    "WWW-Authenticate": Field("What proof is wanted.", _Text, 'Bearer realm="strongroom"'),
    "RateLimit": Field(
        "How the client's limits stand, where it has any.", _Text, '"requests";r=19;t=2'
    ),
    "RateLimit-Policy": Field(
        "The client's limits, where it has any.", _Text, '"requests";q=20;w=2'
    ),
}
