"""How many parts a message has, before it is parsed.

A part of two bytes, such as an empty entity in a list of them, takes some sixty when it is parsed;
a message of the largest size was seen to take 130 MiB. So a large one is walked through first, by
the encoding (https://protobuf.dev/programming-guides/encoding/) and the message's descriptor.
"""

from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from strongroom import limits
from strongroom.errors import InvalidArgumentError, TooLargeError

_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES_MAX: Final = 10
_TEXTS: Final = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES})


def check(raw: bytes, descriptor: Descriptor) -> None:
    """Let a message pass that has few enough parts.

    Raises:
        TooLargeError: It has more than `limits.MESSAGE_PARTS_MAX`.
        InvalidArgumentError: It is no message.
    """
    try:
        _Walk(raw).through(0, len(raw), descriptor)
    except IndexError as error:
        raise InvalidArgumentError("the message is not one of this call") from error


class _Walk:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = limits.MESSAGE_PARTS_MAX

    def through(self, at: int, end: int, descriptor: Descriptor) -> None:
        """Count the parts between two places; IndexError where they are none."""
        fields = descriptor.fields_by_number
        while at < end:
            self._count(1)
            tag, at = self._varint(at)
            kind = tag & 7
            if kind == _VARINT:
                _, at = self._varint(at)
            elif kind == _SIZED:
                size, at = self._varint(at)
                self._enter(at, at + size, fields.get(tag >> 3))
                at += size
            else:
                at += self._fixed(kind)
        if at != end:
            raise IndexError

    def _enter(self, at: int, end: int, field: FieldDescriptor | None) -> None:
        if end > len(self._raw):
            raise IndexError
        # What is not known is kept as it came.
        if field is None or field.type in _TEXTS:
            return
        if field.message_type is not None:
            self.through(at, end, field.message_type)
        else:
            # Packed numbers have a byte each, or more.
            self._count(end - at)

    def _fixed(self, kind: int) -> int:
        if kind not in _FIXED_BYTES:
            # Groups, which no message of ours has.
            raise IndexError
        return _FIXED_BYTES[kind]

    def _count(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise TooLargeError(f"a message has at most {limits.MESSAGE_PARTS_MAX} parts")

    def _varint(self, at: int) -> tuple[int, int]:
        value = 0
        for place in range(_VARINT_BYTES_MAX):
            byte = self._raw[at + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:  # noqa: PLR2004 - the last one has no high bit
                return value, at + place + 1
        raise IndexError
