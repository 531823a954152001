"""What is read and what is answered, and how values become JSON text and come back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec

from strongroom_client.errors import InvalidError, StrongroomClientError

T = TypeVar("T")
JsonValue = Any
"""Anything that JSON can say: dict, list, str, int, float, Decimal, bool, None."""

_EXACT: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class JsonText:
    """A document that is JSON text already; it is sent as it is, byte for byte."""

    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity as it is stored, or what an expression makes of it.

    Attributes:
        key: Its key.
        version: Its version, which is its ETag.
        text: The document, JSON text exactly as it was put.
    """

    key: str
    version: int
    text: bytes = field(repr=False)

    @property
    def value(self) -> JsonValue:
        """The document's value; numbers with a fraction or an exponent as floats.

        Raises:
            InvalidError: A number that no float holds; `exact` has it.
        """
        return self.to(object)

    def exact(self) -> JsonValue:
        """Return the document's value, to the last digit: fractions and exponents as Decimal."""
        return _EXACT.decode(self.text)

    def to(self, kind: type[T]) -> T:
        """Return the document as a type that msgspec can make: a Struct, a dataclass, a TypedDict.

        Raises:
            InvalidError: It does not have this form.
        """
        try:
            return msgspec.json.decode(self.text, type=kind)
        except msgspec.ValidationError as error:
            raise InvalidError(f"the document is no {kind.__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """Some entities of a database, in the order that the server keeps them in.

    Attributes:
        entities: There may be none, although it is not the last page.
        cursor: Asks for the next page; "" on the last one.
        examined: How many entities were looked at.
        damaged: How many files did not verify; they are left out.
    """

    entities: Sequence[Entity]
    cursor: str = ""
    examined: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to hold of the stored entity for a write to take place; nothing by default."""

    if_version: int | None = None
    if_absent: bool = False
    if_present: bool = False


UNCONDITIONAL: Final = Condition()
Refusals = Mapping[str, StrongroomClientError | None]
"""Of each entity what would refuse a put of it; None: nothing would."""


def encode(value: JsonValue) -> bytes:
    """Return the JSON text of a value.

    Raises:
        InvalidError: JSON has no way to say it.
    """
    if isinstance(value, JsonText):
        return value.text
    try:
        return _text(value)
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        # The error of the json module can quote the value; the class says what is needed.
        reason = f"{type(error).__name__}; JSON has no NaN, no infinity and no unpaired surrogate"
        raise InvalidError(f"this cannot be said in JSON: {reason}", "invalid-json") from None


def _text(value: JsonValue) -> bytes:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except TypeError:
        plain = msgspec.to_builtins(value, builtin_types=(Decimal,), str_keys=True)
        _check_finite(plain)
        return _ENCODER.encode(plain)


def _check_finite(value: JsonValue) -> None:
    """Refuse what msgspec would write as null."""
    is_finite = value.is_finite() if isinstance(value, Decimal) else True
    if not is_finite or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("not finite")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for member in value:
            _check_finite(member)
