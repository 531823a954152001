"""What the views read of a request: parameters, bodies, credentials. All of it is hostile."""

import base64
import binascii
from decimal import Decimal
from functools import cache
from typing import Final, TypeVar, get_origin, get_type_hints
from urllib.parse import parse_qs, unquote_plus

import msgspec
from chalice.app import Request

from main_api.domain import conditions
from main_api.rest.operations import FORM, JSON, Operation
from strongroom import ids, jsontext, limits
from strongroom.errors import (
    InvalidArgumentError,
    TooLargeError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
)

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)
_GET: Final = "GET"
_CONDITIONS: Final = ("If-Match", "If-None-Match")
_TOKEN_BODY_BYTES_MAX: Final = 16 * 1024


def json_body(request: Request) -> bytes:
    """Return the body of a request that carries JSON.

    Raises:
        UnsupportedMediaTypeError: It says that it is something else.
        TooLargeError: It is larger than a message may be.
    """
    media_type(request, (JSON,))
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


def query_of(request: Request, kind: type[Q] | None) -> Q | None:
    """Return the query parameters, as a struct has them; None takes none.

    Raises:
        InvalidArgumentError: One is not known, it is not passed over; or is repeated though it is
            no list; or is not of its form.
    """
    if kind is None:
        parameters(request, frozenset())
        return None
    lists = _fields(kind)
    given = parameters(request, frozenset(lists))
    values = {name: found if lists[name] else single(name, found) for name, found in given.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise InvalidArgumentError(f"{where.rstrip('`')}: {what}") from error


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, bool]:
    """Return for each field of a struct whether it is a list."""
    hints = get_type_hints(kind)
    return {
        field.encode_name: get_origin(hints[field.name]) is list
        for field in msgspec.structs.fields(kind)
    }


def single(name: str, values: list[str]) -> str:
    """Return the value of a parameter that stands once.

    Raises:
        InvalidArgumentError: It is repeated.
    """
    if len(values) != 1:
        raise InvalidArgumentError(f"{name} stands once")
    return values[0]


def decoded(body: bytes, kind: type[T]) -> T:
    """Return the content of a body of ours.

    Raises:
        InvalidDocumentError, TooLargeError: It is not JSON.
        InvalidArgumentError: It has not the members that it should have.
    """
    value = _plain(jsontext.parse(body))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from error


def _plain(value: jsontext.JsonValue) -> jsontext.JsonValue:
    """Return a parsed value with numbers as a struct has them: 1.0 is the integer 1."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def check_headers(request: Request, operation: Operation) -> None:
    """Refuse header fields that are not of their form, or that would be passed over.

    Raises:
        InvalidArgumentError: A condition or a request's key cannot be read; or there is a condition
            that the operation does not have, or a write of a part (RFC 9110 section 14.5), and the
            method is not a safe one.
    """
    headers, is_safe = request.headers, request.method == _GET
    for name in () if is_safe else _CONDITIONS:
        if name.lower() in headers and name not in operation.headers:
            raise InvalidArgumentError(f"{name} means nothing here")
    if "content-range" in headers and not is_safe:
        raise InvalidArgumentError("a body is a whole one; there is no Content-Range")
    if "If-Match" in operation.headers:
        unwanted = None if is_safe else headers.get("if-none-match")
        conditions.of_request(headers.get("if-match"), unwanted)
    if "Idempotency-Key" in operation.headers:
        idempotency_key(request)


def optional_body(request: Request, kind: type[T]) -> T:
    """Return the content of a body; without one, what its members are by default."""
    return decoded(json_body(request), kind) if body_of(request) else kind()


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
    media_type(request, (FORM,))
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
