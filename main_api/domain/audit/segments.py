"""Format version 1 of a segment, one file of the audit log (design.md section 4, "Audit").

    offset  size  content
    0       3     magic "SRA"
    3       1     format version, 1
    4       14    chain: the millisecond of its beginning (6), 8 random bytes
    18      4     number of the segment in its chain, from 1
    22      8     when the segment was begun, in milliseconds since 1970
    30      8     id of the key that signs its blocks and encrypts its records
    38      8     number of the last block before the segment; 0 where it is the chain's first
    46      8     when that block was written
    54      32    the chain's head after it
    86            blocks, one after the other

A block:

    0       4     length of all of it
    4       1     kind: R, M, E or P
    5       8     number of the block in its chain, from 1
    13      8     when it was written
    21      4     check: the first bytes of SHA-256 over the 21 before
    25      m     payload
    25+m    64    signature (Ed25519)

    kind  payload
    R     IV (12 bytes), ciphertext and tag (16) of records, each a JSON object on a line
    M     other chains' heads, as they were seen: [{"chain", "block", "at_ms", "head"}, ...]
    E     nothing: the chain has ended in order
    P     {"before_ms"}: segments whose last block was written before that were removed

Numbers are big endian. Blocks are chained by SHA-256, over every byte of the file:

    h0 = SHA-256(the segment's first 86 bytes)
    c  = SHA-256(h || block without signature); signed is the label "strongroom/audit/v1", a 0, c
    h  = SHA-256(c || signature): the head after the block

So one good signature vouches for the whole segment before it, and by the head in the next segment's
beginning for all earlier ones. Everything but the records is readable without a key.

The check tells a block that ends too early, which a crash leaves, from one that was changed.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from strongroom import jsontext, limits
from strongroom.crypto import signing
from strongroom.errors import IntegrityError

FORMAT_VERSION: Final = 1
CHAIN_BYTES: Final = 14
NO_HEAD: Final = bytes(32)
_MAGIC: Final = b"SRA"
_HEADER: Final = struct.Struct(">3sB14sIQ8sQQ32s")
_FRAME: Final = struct.Struct(">I1sQQ")
_CHECK_BYTES: Final = 4
FRAME_BYTES: Final = _FRAME.size + _CHECK_BYTES
_LEAST_BYTES: Final = FRAME_BYTES + signing.SIGNATURE_BYTES
_ZEROS_BY_CHANCE: Final = 3
_SIGNED_LABEL: Final = b"strongroom/audit/v1\x00"


class Head(NamedTuple):
    """How far a chain has come.

    Attributes:
        chain: Its id, 28 hex digits.
        block: The number of its last block; 0 for none.
        at_ms: When that one was written.
        digest: The head after it, 32 bytes.
    """

    chain: str
    block: int
    at_ms: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of a segment; `previous` is the head after the segment before it."""

    chain: str
    number: int
    begun_ms: int
    key_id: str
    previous: Head

    def encode(self) -> bytes:
        """Return its bytes."""
        return _HEADER.pack(
            _MAGIC,
            FORMAT_VERSION,
            bytes.fromhex(self.chain),
            self.number,
            self.begun_ms,
            bytes.fromhex(self.key_id),
            self.previous.block,
            self.previous.at_ms,
            self.previous.digest,
        )


HEADER_BYTES: Final = _HEADER.size


class Kind(Enum):
    """What a block holds."""

    RECORDS = b"R"
    MENTIONS = b"M"
    END = b"E"
    REMOVAL = b"P"


@dataclass(frozen=True, slots=True)
class Block:
    """A complete block and its place in the bytes of its segment."""

    kind: Kind
    number: int
    at_ms: int
    start: int
    end: int

    @property
    def payload(self) -> slice:
        """Where its payload lies."""
        return slice(self.start + FRAME_BYTES, self.end - signing.SIGNATURE_BYTES)

    @property
    def signature(self) -> slice:
        """Where its signature lies."""
        return slice(self.end - signing.SIGNATURE_BYTES, self.end)


class Rest(Enum):
    """What follows the last complete block of a segment."""

    NOTHING = "nothing"
    TORN = "torn"
    """The beginning of a block, as a crash leaves it."""
    CHANGED = "changed"
    """Something that no crash leaves."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The bytes of a segment, taken apart; nothing is verified yet.

    Attributes:
        raw: All of them.
        header: None where not even the beginning is complete, or is one of ours.
        blocks: The complete ones.
        rest: What follows them.
    """

    raw: bytes
    header: Header | None
    blocks: tuple[Block, ...]
    rest: Rest


def parse(raw: bytes) -> Segment:
    """Take a segment apart, as far as that goes."""
    header = _header(raw)
    if header is None:
        is_prefix = len(raw) < HEADER_BYTES and raw[: len(_MAGIC)] == _MAGIC[: len(raw)]
        is_torn = is_prefix or not any(raw)
        return Segment(raw, None, (), Rest.TORN if is_torn else Rest.CHANGED)
    blocks: list[Block] = []
    offset = HEADER_BYTES
    # A power cut may leave a file longer than what of it has reached the disk: zeros at the end. A
    # signature ends in so many by a chance of 2^-32.
    written = len(raw.rstrip(b"\0")) + _ZEROS_BY_CHANCE
    while (found := _block(raw, offset)) is not None and found.end <= written:
        blocks.append(found)
        offset = found.end
    return Segment(raw, header, tuple(blocks), _rest(raw, offset))


def unknown_format(raw: bytes) -> int | None:
    """Return the format version of a segment that this version does not know; None for others."""
    if len(raw) <= len(_MAGIC) or not raw.startswith(_MAGIC):
        return None
    found = raw[len(_MAGIC)]
    return None if found == FORMAT_VERSION else found


def block_bytes(payload_bytes: int) -> int:
    """Return how large a block is."""
    return _LEAST_BYTES + payload_bytes


def frame(kind: Kind, number: int, at_ms: int, payload_bytes: int) -> bytes:
    """Return what stands before a block's payload."""
    plain = _FRAME.pack(block_bytes(payload_bytes), kind.value, number, at_ms)
    return plain + _check(plain)


def first(header: bytes) -> bytes:
    """Return what the first block of a segment is chained to."""
    return hashlib.sha256(header).digest()


def content_digest(before: bytes, unsigned_block: bytes | memoryview) -> bytes:
    """Return what a block's signature is made of: all before it, and the block."""
    digest = hashlib.sha256(before)
    digest.update(unsigned_block)
    return digest.digest()


def signed(content: bytes) -> bytes:
    """Return the message that is signed."""
    return _SIGNED_LABEL + content


def head(content: bytes, signature: bytes) -> bytes:
    """Return the head after a block."""
    return hashlib.sha256(content + signature).digest()


class Link(NamedTuple):
    """A block in its chain: what its signature is made of, and the head after it."""

    block: Block
    content: bytes
    head: bytes


def links(segment: Segment) -> Iterator[Link]:
    """Yield the blocks of a segment, chained; it has a header."""
    view = memoryview(segment.raw)
    before = first(segment.raw[:HEADER_BYTES])
    for block in segment.blocks:
        content = content_digest(before, view[block.start : block.signature.start])
        before = head(content, segment.raw[block.signature])
        yield Link(block, content, before)


def last_head(segment: Segment) -> Head | None:
    """Return how far a chain has come by a segment; None where it has no beginning."""
    if segment.header is None:
        return None
    last = segment.header.previous
    for link in links(segment):
        last = Head(last.chain, link.block.number, link.block.at_ms, link.head)
    return last


def require_signature(segment: Segment, link: Link, public_key: bytes) -> None:
    """Check a block's signature, which vouches for all that stands before it in the segment.

    Raises:
        IntegrityError: It does not verify.
    """
    signing.verify(public_key, segment.raw[link.block.signature], signed(link.content))


class _Mention(msgspec.Struct, frozen=True):
    chain: str
    block: int
    at_ms: int
    head: str


class _Removal(msgspec.Struct, frozen=True):
    before_ms: int


def encode_mentions(heads: list[Head]) -> bytes:
    """Return the payload of a block that says how far other chains have come."""
    return msgspec.json.encode([_Mention(h.chain, h.block, h.at_ms, h.digest.hex()) for h in heads])


def decode_mentions(payload: bytes) -> tuple[Head, ...]:
    """Return what `encode_mentions` was given.

    Raises:
        IntegrityError: It is no such payload.
    """
    try:
        found = msgspec.json.decode(payload, type=list[_Mention])
        return tuple(Head(m.chain, m.block, m.at_ms, bytes.fromhex(m.head)) for m in found)
    except jsontext.UNREADABLE as error:
        raise IntegrityError("the block cannot be read") from error


def encode_removal(before_ms: int) -> bytes:
    """Return the payload of a block that says what was removed."""
    return msgspec.json.encode(_Removal(before_ms))


def decode_removal(payload: bytes) -> int:
    """Return what `encode_removal` was given; raises as `decode_mentions`."""
    try:
        return msgspec.json.decode(payload, type=_Removal).before_ms
    except jsontext.UNREADABLE as error:
        raise IntegrityError("the block cannot be read") from error


def _header(raw: bytes) -> Header | None:
    if len(raw) < HEADER_BYTES:
        return None
    magic, version, chain, number, begun_ms, key_id, block, at_ms, digest = _HEADER.unpack_from(raw)
    if magic != _MAGIC or version != FORMAT_VERSION:
        return None
    name = chain.hex()
    return Header(name, number, begun_ms, key_id.hex(), Head(name, block, at_ms, digest))


def _block(raw: bytes, offset: int) -> Block | None:
    """Return the block that begins there, if it is complete."""
    read = _frame(raw, offset)
    if read is None:
        return None
    kind, length, number, at_ms = read
    end = offset + length
    if end > len(raw):
        return None
    return Block(kind, number, at_ms, offset, end)


def _rest(raw: bytes, offset: int) -> Rest:
    if offset == len(raw):
        return Rest.NOTHING
    is_partial_frame = len(raw) - offset < FRAME_BYTES
    if is_partial_frame or not any(raw[offset:]) or _frame(raw, offset) is not None:
        return Rest.TORN
    return Rest.CHANGED


def _frame(raw: bytes, offset: int) -> tuple[Kind, int, int, int] | None:
    """Return (kind, length, number, at_ms) of a block's first bytes, None where they are none."""
    plain = raw[offset : offset + _FRAME.size]
    if raw[offset + _FRAME.size : offset + FRAME_BYTES] != _check(plain):
        return None
    try:
        length, kind, number, at_ms = _FRAME.unpack(plain)
        known = Kind(kind)
    except (struct.error, ValueError):
        return None
    is_possible = _LEAST_BYTES <= length <= limits.AUDIT_BLOCK_BYTES_MAX
    return (known, length, number, at_ms) if is_possible else None


def _check(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()[:_CHECK_BYTES]
