"""What the views read of a request: parameters, bodies, credentials. All of it is hostile."""

import base64
import binascii
from typing import Final, TypeVar
from urllib.parse import parse_qs, unquote_plus

import msgspec
from chalice.app import Request

from strongroom import ids, jsontext, limits
from strongroom.errors import (
    InvalidArgumentError,
    TooLargeError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
)

T = TypeVar("T")
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN_BODY_BYTES_MAX: Final = 16 * 1024
_DIGITS_MAX: Final = 10


def json_body(request: Request) -> bytes:
    """Return the body of a request that carries JSON.

    Raises:
        UnsupportedMediaTypeError: It says that it is something else.
        TooLargeError: It is larger than a message may be.
    """
    media_type(request, (_JSON,))
    return bounded_body(request, limits.MESSAGE_BYTES_MAX)


def body_of(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        InvalidArgumentError: Its encoding is broken.
    """
    try:
        raw = request.raw_body
    except ValueError as error:
        raise InvalidArgumentError("the body cannot be read") from error
    return raw if isinstance(raw, bytes) else raw.encode()


def parameters(request: Request, known: frozenset[str]) -> dict[str, list[str]]:
    """Return the query parameters.

    Raises:
        InvalidArgumentError: One is not known; it is not passed over.
    """
    query = request.query_params
    parameters = {name: query.getlist(name) for name in query} if query is not None else {}
    for name in parameters:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise InvalidArgumentError(f"known parameters here: {names}")
    return parameters


def single(name: str, values: list[str]) -> str:
    """Return the value of a parameter that stands once.

    Raises:
        InvalidArgumentError: It is repeated.
    """
    if len(values) != 1:
        raise InvalidArgumentError(f"{name} stands once")
    return values[0]


def check_dry_run(given: dict[str, list[str]]) -> None:
    """Check the parameter `dry_run` of a request that has it.

    Raises:
        InvalidArgumentError: It is not `true`; nobody then knows what was meant.
    """
    if single("dry_run", given["dry_run"]) != "true":
        raise InvalidArgumentError("dry_run is true, or not there")


def whole_number(name: str, text: str) -> int:
    """Return the number that a parameter says.

    Raises:
        InvalidArgumentError: It is not a whole number.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX):
        raise InvalidArgumentError(f"{name} is a whole number")
    return int(text)


def decoded(body: bytes, kind: type[T]) -> T:
    """Return the content of a body of ours.

    Raises:
        InvalidDocumentError, TooLargeError: It is not JSON.
        InvalidArgumentError: It has not the members that it should have.
    """
    jsontext.parse(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from error


def idempotency_key(request: Request) -> str:
    """Return the client's `Idempotency-Key`, empty where the header is not there.

    Raises:
        InvalidArgumentError: It is there and is not one.
    """
    given = request.headers.get("idempotency-key")
    return "" if given is None else ids.idempotency_key(given)


def media_type(request: Request, wanted: tuple[str, ...]) -> str:
    """Return the media type of a body, one of the wanted; without a header the first one.

    Raises:
        UnsupportedMediaTypeError: It says that it is something else.
    """
    given: str = request.headers.get("content-type", wanted[0])
    named = given.partition(";")[0].strip().lower()
    if named not in wanted:
        raise UnsupportedMediaTypeError("send " + " or ".join(wanted))
    return named


def bounded_body(request: Request, bytes_max: int) -> bytes:
    """Return the body.

    Raises:
        TooLargeError: It is larger than that.
    """
    body = body_of(request)
    if len(body) > bytes_max:
        raise TooLargeError(f"a request has at most {bytes_max} bytes")
    return body


def form(request: Request) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        InvalidArgumentError: It cannot be read, or repeats a field (RFC 6749 section 3.2).
        UnsupportedMediaTypeError, TooLargeError: As they say.
    """
    media_type(request, (_FORM,))
    body = bounded_body(request, _TOKEN_BODY_BYTES_MAX)
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError as error:
        raise InvalidArgumentError("the form cannot be read") from error
    if any(len(values) > 1 for values in fields.values()):
        raise InvalidArgumentError("a parameter is repeated")
    return {name: values[0] for name, values in fields.items()}


def basic_credentials(authorization: str | None) -> tuple[str, str]:
    """Return (client id, secret) of an `Authorization: Basic` header (RFC 6749 section 2.3.1).

    Raises:
        UnauthenticatedError: There is none, or it cannot be read.
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    try:
        client_id, colon, secret = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError) as error:
        raise UnauthenticatedError("the Basic credentials cannot be read") from error
    if scheme.lower() != "basic" or not colon:
        raise UnauthenticatedError("send the client's credentials: HTTP Basic client_id:secret")
    return unquote_plus(client_id), unquote_plus(secret)
