"""Names, keys and random ids: the one place that says which are well formed."""

import re
import secrets
from typing import Final

from strongroom import limits
from strongroom.errors import InvalidArgumentError

NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
WORKER_ID_PATTERN: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
REQUEST_ID_PATTERN: Final = f"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{limits.REQUEST_ID_CHARS_MAX}}}"
_NAME: Final = re.compile(NAME_PATTERN)
_WORKER_ID: Final = re.compile(WORKER_ID_PATTERN)
# A worker of this name could not be revoked over REST.
_SUBSCRIBE: Final = "subscribe"
_REQUEST_ID: Final = re.compile(REQUEST_ID_PATTERN)
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def database_name(text: str) -> str:
    """Return the name of a database.

    Raises:
        InvalidArgumentError: It is not `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    """
    return _name("database name", text)


def schema_id(text: str) -> str:
    """Return the id of a template; raises as `database_name`."""
    return _name("schema id", text)


def record_name(text: str) -> str:
    """Return the name of a job, a backup or an export; raises as `database_name`."""
    return _name("name", text)


def client_id(text: str) -> str:
    """Return the id of a client; raises as `database_name`."""
    return _name("client id", text)


def _name(what: str, text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise InvalidArgumentError(
            f"a {what} is 1 to 64 of A-Z a-z 0-9 . _ - and starts with a letter or digit"
        )
    return text


def worker_id(text: str) -> str:
    """Return the id of a worker: a DNS label (RFC 1123), because its certificate carries it.

    Raises:
        InvalidArgumentError: It is not one.
    """
    if _WORKER_ID.fullmatch(text) is None:
        raise InvalidArgumentError("a worker id is a DNS label: 1 to 63 of a-z 0-9 -")
    if text == _SUBSCRIBE:
        raise InvalidArgumentError(f"{text} is a path below /workers, and no worker's id")
    return text


def entity_key(text: str) -> str:
    """Return an entity key: 1 to 512 bytes of UTF-8 without control characters.

    Raises:
        InvalidArgumentError: It is not one.
    """
    if text.isascii() and text.isprintable() and 0 < len(text) <= limits.ENTITY_KEY_BYTES_MAX:
        return text
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("an entity key is UTF-8 text") from error
    if not 0 < size <= limits.ENTITY_KEY_BYTES_MAX:
        raise InvalidArgumentError(
            f"an entity key has 1 to {limits.ENTITY_KEY_BYTES_MAX} bytes of UTF-8"
        )
    if _CONTROL_CHARACTER.search(text) is not None:
        raise InvalidArgumentError("an entity key has no control characters")
    return text


def subject(text: str) -> str:
    """Return the name of a client's user, as it stands in the `sub` of a token.

    It is 1 to 256 bytes of UTF-8 without control characters, and without the `/` that ends it in a
    grant's key prefix. Names are told apart byte for byte: `é` has two forms in Unicode.

    Raises:
        InvalidArgumentError: It is not one.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError("a user's name is UTF-8 text") from error
    if not 0 < size <= limits.SUBJECT_BYTES_MAX:
        raise InvalidArgumentError(
            f"a user's name has 1 to {limits.SUBJECT_BYTES_MAX} bytes of UTF-8"
        )
    if "/" in text or _CONTROL_CHARACTER.search(text) is not None:
        raise InvalidArgumentError("a user's name has no / and no control characters")
    return text


def is_request_id(text: str) -> bool:
    """Tell whether a client's `X-Request-ID` may be taken over (1 to 128 token characters)."""
    return _REQUEST_ID.fullmatch(text) is not None


def idempotency_key(text: str) -> str:
    """Return a client's `Idempotency-Key`: 1 to 128 printable ASCII characters.

    Raises:
        InvalidArgumentError: It is not one.
    """
    if not (
        text.isascii() and text.isprintable() and 0 < len(text) <= limits.IDEMPOTENCY_KEY_CHARS_MAX
    ):
        raise InvalidArgumentError("an idempotency key is 1 to 128 printable ASCII characters")
    return text


def new_id(bits: int = 128) -> str:
    """Return a random id in lower-case hex, unguessable at 128 bits."""
    return secrets.token_hex(bits // 8)
