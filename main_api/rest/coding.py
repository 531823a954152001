"""The content coding gzip, both ways (RFC 9110 section 8.4, RFC 1952).

What is written into one entity must not be seen in how well another one compresses: compression
finds repetitions, so whoever may choose a part of an answer and sees its length on the wire can
guess at the rest of it (BREACH, CVE-2013-3587). So the parts of an answer are compressed apart from
each other: after each one the compressor forgets what it has seen (a full flush). What holds a
credential is not compressed at all; its operation says so (docs/adr/0017-what-is-compressed.md).
"""

import zlib
from collections.abc import Iterable
from typing import Final

from strongroom import limits
from strongroom.errors import InvalidArgumentError, TooLargeError, UnsupportedMediaTypeError

_GZIP_WINDOW: Final = 31
_LEVEL: Final = 4
_NAMES: Final = frozenset({"gzip", "x-gzip"})


class UnsupportedCodingError(UnsupportedMediaTypeError):
    """A body in a content coding that is not taken."""


def gzipped(parts: Iterable[bytes]) -> bytes:
    """Return one gzip stream, in which no part's size depends on another part."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_WINDOW)
    pieces = []
    for part in parts:
        pieces += [compressor.compress(part), compressor.flush(zlib.Z_FULL_FLUSH)]
    return b"".join((*pieces, compressor.flush()))


def is_coded(content_encoding: str) -> bool:
    """Tell whether a body is gzip, by its `Content-Encoding`; empty is none.

    Raises:
        UnsupportedCodingError: It is something else, or more than that.
    """
    named = content_encoding.strip().lower()
    if named in {"", "identity"}:
        return False
    if named not in _NAMES:
        raise UnsupportedCodingError("a body comes as it is, or as gzip")
    return True


def inflated(data: bytes, bytes_max: int) -> bytes:
    """Return what a gzip stream holds; no more than the bound is ever made of it.

    Raises:
        TooLargeError: It holds more.
        InvalidArgumentError: It is none, is cut short, or something follows it.
    """
    decompressor = zlib.decompressobj(_GZIP_WINDOW)
    try:
        found = decompressor.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise InvalidArgumentError("the body is not gzip") from error
    if len(found) > bytes_max:
        raise TooLargeError(f"a request has at most {bytes_max} bytes, uncompressed")
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidArgumentError("the body is not one gzip stream, whole")
    return found


def is_worth_it(size_bytes: int) -> bool:
    """Tell whether an answer of that size is compressed."""
    return size_bytes >= limits.COMPRESSED_BYTES_MIN
