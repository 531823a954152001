"""JSON text as the system accepts it: RFC 8259 in UTF-8, nothing repeated, nothing unbounded.

The client's own text is what is stored; parsing is for checking. So the checks here are exactly the
things that would make the stored text mean something else to another reader: repeated member names,
lone surrogates, NaN and infinities, numbers that cannot be carried to the last digit.
"""

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

import msgspec

from strongroom import limits
from strongroom.errors import InvalidDocumentError, TooLargeError

JsonValue = Any
"""A parsed JSON value: dict, list, str, int, Decimal, bool or None."""

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that are no JSON of the type that is asked for.

The last is for text that nests deeper than Python's stack, be it in a member that nobody knows.
"""

_LONE_SURROGATE_POSSIBLE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ODD_INTEGER: Final = re.compile(f"-0|[0-9]{{{limits.NUMBER_DIGITS_MAX + 1}}}")
_SHORT_NUMBER_BITS: Final = 3 * limits.NUMBER_DIGITS_MAX
_UNSURE: Final = object()
_BACKSLASH: Final = ord("\\")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SPLIT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse(text: bytes, depth_max: int = limits.NESTING_DEPTH_MAX) -> JsonValue:
    """Return the value of a JSON text, numbers with a fraction or exponent as `Decimal`.

    Raises:
        InvalidDocumentError: Not RFC 8259 in UTF-8, a repeated member name, nested deeper than
            `limits.NESTING_DEPTH_MAX`, or a number past the bounds. The detail says where, not
            what.
        TooLargeError: More than `limits.MEMBERS_MAX` members and elements.
    """
    # What has too many members would be held twice, only to be refused.
    may_be_large = len(text) > limits.MEMBERS_MAX and text.count(b",") > limits.MEMBERS_MAX
    value = _UNSURE if may_be_large else _quickly(text, depth_max)
    if value is _UNSURE:
        value = _carefully(text)
        _check_shape(text, value, depth_max)
    return value


def _quickly(text: bytes, depth_max: int) -> JsonValue:
    """Return the value of a text that is as most are; `_UNSURE` where that takes a closer look.

    A closer look takes what has an escaped character by its number, a zero that may be negative, a
    very long number, or what may be nested too deep or have too many members. A megabyte that is
    as most are takes a thirtieth of the time here.

    The decoder takes the last of several members of one name. Each has a colon in the text, so
    where the value has as many members as the text has colons, none was repeated.
    """
    # To look for a single byte first, as a number, takes a fiftieth of the time.
    if _BACKSLASH in text and b"\\u" in text:
        return _UNSURE
    try:
        value = _QUICK_DECODER.decode(text)
    except (msgspec.MsgspecError, InvalidDocumentError, ValueError, RecursionError):
        return _UNSURE
    members = 0
    containers = 0
    has_zero = False
    level = [value]
    for one in level:
        kind = type(one)
        if kind is str:
            continue
        if kind is dict:
            members += len(one)
            containers += 1
            level += one.values()
        elif kind is list:
            containers += 1
            level += one
        elif kind is int:
            if one.bit_length() > _SHORT_NUMBER_BITS:
                return _UNSURE
            has_zero = has_zero or not one
    if has_zero and b"-0" in text:
        return _UNSURE
    # Each container is one level more at the most.
    is_small = containers <= depth_max and len(level) <= limits.MEMBERS_MAX
    # The bytes that are missing without colons: to count them takes five times as long.
    colons = len(text) - len(text.replace(b":", b""))
    return value if is_small and members == colons else _UNSURE


def _carefully(text: bytes) -> JsonValue:
    """Return the value of any text, or say what is wrong with it; raises as `parse`."""
    try:
        characters = text.decode()
        odd = _ODD_INTEGER.search(characters) is not None
        decoder = _EXACT_DECODER if odd else _DECODER
        value = decoder.decode(characters)
        if _LONE_SURROGATE_POSSIBLE.search(characters) is not None:
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"not UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise InvalidDocumentError("a string has an unpaired surrogate") from error
    except json.JSONDecodeError as error:
        raise InvalidDocumentError(
            f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    return value


def split(text: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object, each value as the client's own text.

    Raises:
        InvalidDocumentError: As `parse`, or the text is not an object.
        TooLargeError: As `parse`.
    """
    # The object itself is not part of any document.
    if not isinstance(parse(text, limits.NESTING_DEPTH_MAX + 1), dict):
        raise InvalidDocumentError("the body is a JSON object: entity keys and their documents")
    return {name: bytes(raw) for name, raw in _SPLIT.decode(text).items()}


def dump(value: JsonValue) -> bytes:
    """Return a value as compact JSON text; what `parse` has returned keeps its digits."""
    return _ENCODER.encode(value)


def size(value: JsonValue) -> int:
    """Return how many members and elements a value has at all depths."""
    level = [value] if isinstance(value, dict | list) else []
    count = 0
    while level:
        count += sum(len(container) for container in level)
        level = [grandchild for child in level for grandchild in _children(child)]
    return count


def string(text: str) -> bytes:
    """Return a JSON string, escaped."""
    return msgspec.json.encode(text)


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidDocumentError("a member name is repeated within one object")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidDocumentError("NaN and infinities are not JSON")


def _decimal(text: str) -> Decimal:
    mantissa, _, exponent = text.lower().partition("e")
    if (
        len(mantissa.lstrip("-").replace(".", "")) > limits.NUMBER_DIGITS_MAX
        or len(exponent) > len("-0000001000")
        or abs(int(exponent or 0)) > limits.NUMBER_EXPONENT_MAX
    ):
        raise _number_too_long()
    return Decimal(text)


def _exact_int(text: str) -> int | Decimal:
    if len(text.lstrip("-")) > limits.NUMBER_DIGITS_MAX:
        raise _number_too_long()
    return Decimal(text) if text == "-0" else int(text)


def _number_too_long() -> InvalidDocumentError:
    return InvalidDocumentError(
        f"a number has more than {limits.NUMBER_DIGITS_MAX} digits"
        f" or an exponent beyond {limits.NUMBER_EXPONENT_MAX}"
    )


def _too_deep() -> InvalidDocumentError:
    return InvalidDocumentError(f"nested deeper than {limits.NESTING_DEPTH_MAX}")


# The C scanner of the standard library is used with these hooks: 6.8 us for a 1.1 KB document.
# A hook for integers costs a call for each, so it is there only where a long run of digits, or what
# may be a negative zero, stands somewhere.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_decimal, parse_constant=_refuse_constant
)
_QUICK_DECODER: Final = msgspec.json.Decoder(float_hook=_decimal)
_EXACT_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=_decimal,
    parse_int=_exact_int,
    parse_constant=_refuse_constant,
)


def _check_shape(text: bytes, value: JsonValue, depth_max: int) -> None:
    """Check nesting and size; brackets and commas bound both, so most texts need no walk."""
    opened = text.count(b"{") + text.count(b"[")
    if opened > depth_max:
        _check_depth(value, depth_max)
    if opened + text.count(b",") > limits.MEMBERS_MAX and size(value) > limits.MEMBERS_MAX:
        raise TooLargeError(f"more than {limits.MEMBERS_MAX} members and elements")


def _children(value: JsonValue) -> list[JsonValue]:
    values = value.values() if isinstance(value, dict) else value
    return [child for child in values if isinstance(child, dict | list)]


def _check_depth(value: JsonValue, depth_max: int) -> None:
    level = [value] if isinstance(value, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > depth_max:
            raise _too_deep()
        level = [grandchild for child in level for grandchild in _children(child)]
