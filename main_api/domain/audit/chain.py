"""A chain as its writer sees it: every block is bound to all before it, and signed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from main_api.domain.audit import segments
from main_api.domain.audit.names import SegmentName
from main_api.domain.audit.segments import Block, Head, Header, Kind, Segment
from strongroom.crypto import aead
from strongroom.crypto.signing import SigningKey
from strongroom.errors import IntegrityError
from strongroom.keyring import Key, Keys, Purpose

_SIGNING: Final = b"strongroom/audit-signing/v1"
_RECORDS: Final = b"strongroom/audit-records/v1"
_SEALING_BYTES: Final = aead.IV_BYTES + aead.TAG_BYTES
_OF_CONTROL: Final = frozenset({Purpose.CONTROL})


@dataclass(frozen=True, slots=True)
class AuditKey:
    """What a control key gives the audit log: a key that signs, and one for each segment's records.

    Both are derived from it (docs/adr/0024-the-audit-log.md), so its id names them.
    """

    key_id: str
    material: bytes = field(repr=False)
    signing: SigningKey = field(repr=False)

    def cipher(self, header: Header) -> aead.Cipher:
        """Return what encrypts the records of one segment."""
        context = bytes.fromhex(header.chain) + header.number.to_bytes(4, "big")
        return aead.Cipher(self.material, _RECORDS, context)


def active_key(keys: Keys) -> AuditKey:
    """Return the key for new segments; raises UnavailableError where the keyring has none."""
    return _derived(keys.active(Purpose.CONTROL), keys.deployment)


def every_key(keys: Keys) -> dict[str, AuditKey]:
    """Return the keys of all segments that there may be, by id."""
    return {key.key_id: _derived(key, keys.deployment) for key in keys.of(_OF_CONTROL)}


def records_bytes(lines: Sequence[bytes]) -> int:
    """Return how large a block of some records is."""
    return segments.block_bytes(sum(map(len, lines)) + len(lines) - 1 + _SEALING_BYTES)


class Chain:
    """Makes the bytes of one chain, which its owner writes in this order and no other."""

    def __init__(
        self, key: AuditKey, chain_id: str, new_iv: Callable[[], bytes] = aead.new_iv
    ) -> None:
        """Begin with nothing."""
        self._key = key
        self._new_iv = new_iv
        self._number = 0
        self._before = segments.NO_HEAD
        self._header = b""
        self._cipher: aead.Cipher | None = None
        self.head = Head(chain_id, 0, 0, segments.NO_HEAD)

    def begin(self, begun_ms: int) -> tuple[SegmentName, bytes]:
        """Return name and first bytes of the next segment."""
        self._number += 1
        header = Header(self.head.chain, self._number, begun_ms, self._key.key_id, self.head)
        self._header = header.encode()
        self._before = segments.first(self._header)
        self._cipher = self._key.cipher(header)
        return SegmentName(header.chain, header.number, header.begun_ms), self._header

    def records(self, lines: Sequence[bytes], at_ms: int) -> bytes:
        """Return a block of records, each a line of JSON without its end."""
        plaintext = b"\n".join(lines)
        frame = self._frame(Kind.RECORDS, at_ms, len(plaintext) + _SEALING_BYTES)
        iv = self._new_iv()
        if self._cipher is None:
            raise RuntimeError("no segment was begun")
        sealed = self._cipher.seal(iv, plaintext, self._header + frame)
        return self._signed(frame + iv + sealed, at_ms)

    def mentions(self, heads: list[Head], at_ms: int) -> bytes:
        """Return a block that says how far other chains have come."""
        return self._plain(Kind.MENTIONS, segments.encode_mentions(heads), at_ms)

    def removal(self, before_ms: int, at_ms: int) -> bytes:
        """Return a block that says what was removed."""
        return self._plain(Kind.REMOVAL, segments.encode_removal(before_ms), at_ms)

    def end(self, at_ms: int) -> bytes:
        """Return the last block."""
        return self._plain(Kind.END, b"", at_ms)

    def _plain(self, kind: Kind, payload: bytes, at_ms: int) -> bytes:
        return self._signed(self._frame(kind, at_ms, len(payload)) + payload, at_ms)

    def _frame(self, kind: Kind, at_ms: int, payload_bytes: int) -> bytes:
        return segments.frame(kind, self.head.block + 1, at_ms, payload_bytes)

    def _signed(self, unsigned: bytes, at_ms: int) -> bytes:
        content = segments.content_digest(self._before, unsigned)
        signature = self._key.signing.sign(segments.signed(content))
        self._before = segments.head(content, signature)
        self.head = Head(self.head.chain, self.head.block + 1, at_ms, self._before)
        return unsigned + signature


class Opener:
    """Opens the records of one segment."""

    def __init__(self, segment: Segment, keys: Mapping[str, AuditKey]) -> None:
        """Take the keys that it may lie under.

        Raises:
            IntegrityError: It has no beginning, or lies under another key.
        """
        header = segment.header
        key = keys.get(header.key_id) if header is not None else None
        if header is None or key is None:
            raise IntegrityError("the key of the records is not known")
        self._raw = segment.raw
        self._cipher = key.cipher(header)

    def lines(self, block: Block) -> list[bytes]:
        """Return the records of a block, as `Chain.records` was given them.

        Raises:
            IntegrityError: They were changed.
        """
        payload = self._raw[block.payload]
        iv, sealed = payload[: aead.IV_BYTES], payload[aead.IV_BYTES :]
        frame = self._raw[block.start : block.start + segments.FRAME_BYTES]
        aad = self._raw[: segments.HEADER_BYTES] + frame
        return self._cipher.open(iv, sealed, aad).split(b"\n")


def _derived(key: Key, deployment: str) -> AuditKey:
    seed = aead.subkey(key.material, _SIGNING, deployment.encode())
    return AuditKey(key.key_id, key.material, SigningKey(seed))
