"""Answers, in parts, and their content coding."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chalice.app import Response

from main_api.rest import coding, negotiation
from main_api.rest.incoming import utf8_bytes
from main_api.rest.negotiation import Codings
from main_api.rest.operations import JSON, NDJSON
from strongroom import jsontext, limits
from strongroom.errors import NotAcceptableError

_COMMA: Final = b","
_LINE: Final = b"\n"


class PartedResponse(Response):
    """An answer whose parts were written by different people.

    Attributes:
        parts: Its content.
    """

    def __init__(self, parts: Sequence[bytes], headers: dict[str, str], status: int) -> None:
        """Take them."""
        self.parts = parts
        super().__init__(b"".join(parts).decode(), dict(headers), status)


def json_response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer of JSON text that is one part."""
    return PartedResponse([body], {"Content-Type": JSON, **(headers or {})}, status)


def json_object(members: Sequence[tuple[bytes, bytes]], headers: dict[str, str]) -> Response:
    """Return an answer that is a JSON object of names and values, each of them JSON text."""
    separated = [b"%s:%s" % member for member in members]
    return PartedResponse(
        [b"{", *_joined(separated, _COMMA), b"}"], {"Content-Type": JSON, **headers}, 200
    )


def json_list(name: str, items: Sequence[bytes], rest: Mapping[str, object]) -> Response:
    """Return an answer that is an object with a list of JSON texts, and more members than that."""
    head, tail = b"{%s:[" % jsontext.string(name), b"]," + jsontext.dump(rest)[1:]
    parts = [head, *_joined(items, _COMMA), tail]
    return PartedResponse(parts, {"Content-Type": JSON}, 200)


def json_lines(lines: Sequence[bytes], headers: dict[str, str]) -> Response:
    """Return an answer of one JSON text a line."""
    return PartedResponse(
        [line + _LINE for line in lines], {"Content-Type": NDJSON, **headers}, 200
    )


def wanted_codings(accept_encoding: str | None, *, may_compress: bool) -> Codings:
    """Return which codings an answer may have.

    Raises:
        NotAcceptableError: None.
    """
    found = negotiation.codings(accept_encoding)
    if not may_compress:
        found = Codings(gzip=False, identity=found.identity)
    if not found.gzip and not found.identity:
        raise NotAcceptableError("this is answered without a content coding")
    return found


def encode(answer: dict[str, Any], parts: Sequence[bytes], codings: Codings) -> None:
    """Compress an answer where that is wanted and makes it smaller."""
    size_bytes = sum(map(len, parts))
    if not codings.gzip or (codings.identity and not coding.is_worth_it(size_bytes)):
        return
    data = coding.gzipped(parts)
    if codings.identity and len(data) >= size_bytes:
        return
    answer["body"] = base64.b64encode(data).decode()
    answer["isBase64Encoded"] = True
    answer["headers"]["Content-Encoding"] = "gzip"


def fit_into_lambda(answer: dict[str, Any]) -> None:
    """Make a large answer one that Lambda takes: its 6 MB are counted after it was made JSON text.

    There a quotation mark takes two characters, and a letter that is not ASCII six or twelve; in
    base64 the largest answer fits, whatever is in it.
    """
    body = answer.get("body") or ""
    if not answer.get("isBase64Encoded") and len(body) > limits.LAMBDA_TEXT_CHARS_MAX:
        answer["body"] = base64.b64encode(body.encode()).decode()
        answer["isBase64Encoded"] = True


def leave_out_content(answer: dict[str, Any]) -> None:
    """Make of an answer what HEAD is answered: its header fields alone."""
    body = answer.get("body") or ""
    size_bytes = len(base64.b64decode(body)) if answer.get("isBase64Encoded") else utf8_bytes(body)
    answer["headers"]["Content-Length"] = str(size_bytes)
    answer |= {"body": "", "isBase64Encoded": False}


def _joined(parts: Sequence[bytes], separator: bytes) -> list[bytes]:
    """Return parts of which all but the last one end in a separator."""
    return [part + separator for part in parts[:-1]] + list(parts[-1:])
