"""Entities of a file or a pipe, one after the other: a line each, or members of one JSON text.

    {"key": "a", "entity": 1}            NDJSON: a line each
    [{"key": "a", "entity": 1}, ...]     an array of the same
    {"a": 1, ...}                        an object of entities by key

An entity is handed on as the bytes that it is, so no digit and no repeated member of it is lost;
the deployment judges it. (ijson, which streams JSON too, hands on values: of two members of one
name the last one, and `?` for an unpaired surrogate.) No more than one entity is in memory, and the
bytes read with it.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Final, NoReturn

import msgspec

from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError

_ENTITY_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX
_READ_BYTES: Final = 256 * 1024
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_OF_A_LINE: Final = re.compile(rb'\s*\{\s*"key"\s*:')
# What numbers are is not asked here: only where they end.
_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


class Format(StrEnum):
    """How entities stand in a file."""

    AUTO = "auto"
    NDJSON = "ndjson"
    JSON = "json"


class _Line(msgspec.Struct, frozen=True):
    key: str
    entity: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Item:
    """An entity, where it stands, and how many bytes were read so far.

    Attributes:
        number: Its line in NDJSON; else which one it is, from 1.
        line: The line that it begins in.
        key: Its key.
        text: JSON text.
        read_bytes: How many bytes of the whole were read.
    """

    number: int
    line: int
    key: str
    text: bytes = field(repr=False)
    read_bytes: int


def items(source: BinaryIO, chosen: Format) -> Iterator[Item]:
    """Read entities.

    Raises:
        InvalidArgumentError: It is not of the format; says line and column, and quotes nothing.
        OSError: The kernel refuses.
    """
    # Some editors write one, and RFC 8259 section 8.1 lets it be passed over.
    first = source.readline(_ENTITY_BYTES_MAX + 1).removeprefix(codecs.BOM_UTF8)
    is_lines = chosen is Format.NDJSON or (chosen is Format.AUTO and _is_line(first))
    return _lines(source, first) if is_lines else _Json(source, first).items()


def _is_line(first: bytes) -> bool:
    """Tell whether a file that begins with this line has an entity on each."""
    if not first.strip():
        return False
    try:
        parsed = msgspec.json.decode(first)
    except jsontext.UNREADABLE:
        # One JSON text may begin with a bracket alone; a line that is broken is told as a line.
        return first.strip()[:1] not in {b"{", b"["} or _OF_A_LINE.match(first) is not None
    return isinstance(parsed, dict) and isinstance(parsed.get("key"), str) and "entity" in parsed


def _lines(source: BinaryIO, first: bytes) -> Iterator[Item]:
    number = read_bytes = 0
    raw = first
    while raw:
        number += 1
        read_bytes += len(raw)
        if len(raw) > _ENTITY_BYTES_MAX:
            raise InvalidArgumentError(f"line {number} has more than {_ENTITY_BYTES_MAX} bytes")
        if raw.strip():
            one = _entry(raw, f"line {number}")
            yield Item(number, number, one.key, bytes(one.entity), read_bytes)
        raw = source.readline(_ENTITY_BYTES_MAX + 1)


def _entry(raw: bytes, where: str) -> _Line:
    try:
        # An entity is not looked into otherwise.
        raw.decode()
        return msgspec.json.decode(raw, type=_Line)
    except msgspec.DecodeError as error:
        # It tells of bytes and types, not of values.
        found = re.search(r"byte (\d+)", str(error))
        at = f", column {int(found[1]) + 1}" if found else ""
        raise _not_an_entry(f"{where}{at}") from None
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"{where} has something in it that is not UTF-8") from None
    except jsontext.UNREADABLE:
        raise _not_an_entry(where) from None


def _not_an_entry(where: str) -> InvalidArgumentError:
    return InvalidArgumentError(f'{where} is not of the form {{"key": "...", "entity": ...}}')


class _Json:
    """One JSON text, of which a window is in memory."""

    def __init__(self, source: BinaryIO, first: bytes) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._read_bytes = 0
        self._line, self._column = 1, 1
        self._ended = False
        self._take(first)

    def items(self) -> Iterator[Item]:
        opening = self._next_char()
        if not opening:
            # Nothing at all is nothing to put, in either form.
            return
        if opening not in {"{", "["}:
            self._refuse("a JSON object or array is expected")
        self._skip(1)
        closing = "}" if opening == "{" else "]"
        number = 0
        if self._next_char() == closing:
            self._skip(1)
        else:
            while True:
                number += 1
                self._next_char()
                yield self._member(number) if opening == "{" else self._element(number)
                after = self._next_char()
                if after not in {",", closing}:
                    self._refuse(f"',' or '{closing}' is expected")
                self._skip(1)
                if after == closing:
                    break
        if self._next_char():
            self._refuse("there is something after the end")

    def _member(self, number: int) -> Item:
        line = self._line
        if self._next_char() != '"':
            self._refuse("a key in quotes is expected")
        key = self._value()
        if self._next_char() != ":":
            self._refuse("':' is expected")
        self._skip(1)
        self._next_char()
        text = self._value()
        try:
            name = msgspec.json.decode(key.encode("utf-8", "surrogatepass"), type=str)
        except jsontext.UNREADABLE:
            raise InvalidArgumentError(f"line {line}: the key of entity {number} is none") from None
        return Item(number, line, name, text.encode(), self._read_bytes)

    def _element(self, number: int) -> Item:
        line = self._line
        one = _entry(self._value().encode(), f"entity {number}, line {line},")
        return Item(number, line, one.key, bytes(one.entity), self._read_bytes)

    def _value(self) -> str:
        """Return the text of the value that begins here, and step behind it."""
        while True:
            try:
                _, end = _SCANNER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # What is cut off in the middle looks like what is wrong.
                if not self._more():
                    self._skip(error.pos - self._at)
                    self._refuse("this is not JSON")
            except RecursionError:
                self._refuse("this nests too deep")
            else:
                if end < len(self._text) or not self._more():
                    text = self._text[self._at : end]
                    self._skip(len(text))
                    return text

    def _next_char(self) -> str:
        """Step over white space; return the character that follows, "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None, "nothing matches too"  # noqa: S101
            self._skip(space.end() - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _skip(self, count: int) -> None:
        passed = self._text[self._at : self._at + count]
        self._at += count
        breaks = passed.count("\n")
        self._line += breaks
        self._column = len(passed) - passed.rfind("\n") if breaks else self._column + len(passed)

    def _more(self) -> bool:
        """Read on; the answer is whether there was more."""
        if self._ended:
            return False
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > _ENTITY_BYTES_MAX:
            self._refuse(f"an entity has at most {_ENTITY_BYTES_MAX} bytes")
        # As much again as there is, so that a large entity is not looked at for each piece of it.
        self._take(self._source.read(max(_READ_BYTES, len(self._text))))
        return True

    def _take(self, raw: bytes) -> None:
        self._read_bytes += len(raw)
        self._ended = not raw
        try:
            self._text += self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError:
            raise InvalidArgumentError(
                f"after line {self._line} there is something that is not UTF-8"
            ) from None

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidArgumentError(f"line {self._line}, column {self._column}: {why}")
