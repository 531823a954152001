"""Paths, queries and bodies of requests, of what a caller has given."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from strongroom_client.errors import InvalidError
from strongroom_client.rest.messages import HttpRequest

JSON: Final = "application/json"


def path(*segments: str) -> str:
    """Return a path of names, none of which leads elsewhere.

    Raises:
        InvalidError: One of them is no name.
    """
    if any(not one or not one.strip(".") for one in segments):
        raise InvalidError("a name is empty, or dots alone")
    try:
        return "/" + "/".join(quote(one, safe="") for one in segments)
    except UnicodeEncodeError:
        raise InvalidError("a name has an unpaired surrogate") from None


def query(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the query of parameters, with its question mark; nothing for none.

    Raises:
        InvalidError: One cannot be said in UTF-8.
    """
    try:
        return "?" + urlencode(pairs) if pairs else ""
    except UnicodeEncodeError:
        raise InvalidError("a key has an unpaired surrogate") from None


def sent(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> HttpRequest:
    """Return a request with a JSON body."""
    return HttpRequest(method, target, {"Content-Type": JSON, **headers}, body)


def encoded(value: Any) -> bytes:  # noqa: ANN401 - of JSON values
    """Return a value as JSON text.

    Raises:
        InvalidError: One of its texts cannot be said in UTF-8.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise InvalidError("a text has an unpaired surrogate") from None
