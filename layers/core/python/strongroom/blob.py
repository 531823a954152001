"""Format version 1 of a stored, encrypted file (design.md section 3).

    offset  size  content
    0       3     magic "SRM"
    3       1     format version, 1
    4       4     length of the header, big endian
    8       n     header: a JSON object, UTF-8
    8+n     m     ciphertext of the plaintext below
    8+n+m   16    GCM tag

    plaintext:
    0       4     length of the prelude, big endian
    4       p     prelude: a JSON object, UTF-8: the entity key, the request ids
    4+p     q     the document, the client's own JSON text; empty in a tombstone

Everything before the ciphertext, followed by the 32-byte file-id, is the AAD: a changed header bit
or a blob at another entity's path does not open. Members of header and prelude that this version
does not know are authenticated and carried along.

A blob is parsed in two steps, so that whoever needs the header alone needs no key.
"""

import binascii
import struct
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from strongroom import base64text, jsontext, limits, tracing
from strongroom.clock import from_rfc3339
from strongroom.crypto import aead
from strongroom.crypto.secret import Material
from strongroom.errors import IntegrityError

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"SRM"
_PREFIX: Final = struct.Struct(">3sBI")
_LENGTH: Final = struct.Struct(">I")
HEAD_BYTES: Final = _PREFIX.size + limits.HEADER_BYTES_MAX + aead.TAG_BYTES
"""What is read of a file of which the header is all that is wanted."""
_RECORD_BYTES: Final = 33
_IV_CHARS: Final = 16
_KEYED_HASH: Final = slice(0, 12)
_AT_MS: Final = slice(26, 32)
_PURPOSE: Final = b"strongroom/file/v1"


class DataKeys(Protocol):
    """The data keys that a holder of the keyring, or a worker, has in memory."""

    def active(self) -> tuple[str, Material]:
        """Return id and material of the key that new files are encrypted under."""
        ...

    def material(self, key_id: str) -> Material:
        """Return a key.

        Raises:
            IntegrityError: It is not known.
        """
        ...


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is readable of a stored file without a key.

    Timestamps are RFC 3339 in UTC with milliseconds, `iv` is base64.
    """

    format: int
    alg: str
    key_id: str
    iv: str
    schema_id: str
    schema_version: int
    writer_id: str
    version: int
    created_at: str
    updated_at: str
    expires_at: str | None = None
    deleted: bool = False


_HEADER: Final = msgspec.json.Decoder(Header)
_SORTED: Final = msgspec.json.Encoder(order="sorted")
_AFTER_TAG: Final = b'\n "updated_at"'
"""What follows the tag in a sidecar; within a value no line ends."""
_KNOWN_HEADER: Final = frozenset(Header.__struct_fields__)


class RequestRecord(msgspec.Struct, frozen=True):
    """A write that was applied, remembered so that its repetition is not.

    Attributes:
        keyed_hash: 12 bytes of a keyed hash of the request id.
        digest: 8 bytes of a keyed hash of the request.
        version: The version that the write made.
        at_ms: When, in milliseconds since 1970.
        created: Whether the write created the entity.
    """

    keyed_hash: bytes
    digest: bytes
    version: int
    at_ms: int
    created: bool

    def pack(self) -> bytes:
        """Return the 33 bytes of the record: 12, 8, 6 (version), 6 (at_ms), 1."""
        numbers = self.version.to_bytes(6, "big") + self.at_ms.to_bytes(6, "big")
        return self.keyed_hash + self.digest + numbers + bytes([self.created])

    @classmethod
    def unpack(cls, raw: bytes) -> "RequestRecord":
        """Return the record of its 33 bytes."""
        version, at_ms = int.from_bytes(raw[20:26], "big"), int.from_bytes(raw[_AT_MS], "big")
        return cls(raw[_KEYED_HASH], raw[12:20], version, at_ms, bool(raw[32]))


class Body(msgspec.Struct, frozen=True):
    """What lies inside the ciphertext.

    Attributes:
        entity_key: The client's key.
        document: The client's JSON text; None in a tombstone.
        requests: The last writes, newest last; each as `RequestRecord.pack` makes it, since who
            reads needs none of them, and who writes hardly more than one.
        extra: Members of the prelude that this version does not know.
    """

    entity_key: str
    document: bytes | None
    requests: tuple[bytes, ...] = ()
    extra: dict[str, Any] = {}


class _Prelude(msgspec.Struct, frozen=True, gc=False):
    key: str
    requests: tuple[bytes, ...] = ()


class _OnlyKnownPrelude(_Prelude, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


_KNOWN_PRELUDE: Final = msgspec.json.Decoder(_OnlyKnownPrelude)


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """A blob whose header was read; nothing is authenticated yet."""

    header: Header
    raw: bytes
    ciphertext_offset: int

    @property
    def tag(self) -> bytes:
        """The GCM tag."""
        return self.raw[-aead.TAG_BYTES :]

    def identity(self) -> tuple[int, str, str]:
        """Return (version, key_id, iv): what the commit compares once more."""
        return (self.header.version, self.header.key_id, self.header.iv)

    def extra(self) -> dict[str, Any]:
        """Return the header's members that this version does not know.

        Raises:
            IntegrityError: One of them says what nothing can hold; nobody has vouched for it yet.
        """
        try:
            members: dict[str, Any] = msgspec.json.decode(
                self.raw[_PREFIX.size : self.ciphertext_offset]
            )
        except jsontext.UNREADABLE as error:
            raise IntegrityError("the header cannot be read") from error
        return {name: value for name, value in members.items() if name not in _KNOWN_HEADER}


def parse(raw: bytes) -> Parsed:
    """Read the header of a blob.

    Raises:
        IntegrityError: Not a blob, a newer format, or cut short.
    """
    header, offset = parse_header(raw)
    return Parsed(header, raw, offset)


def parse_header(raw: bytes) -> tuple[Header, int]:
    """Return (header, offset of the ciphertext) of a blob, or of its first `HEAD_BYTES`.

    Raises:
        IntegrityError: As `parse`.
    """
    try:
        magic, version, length = _PREFIX.unpack_from(raw)
    except struct.error as error:
        raise IntegrityError("the file is too short to be an entity") from error
    if magic != _MAGIC:
        raise IntegrityError("the file does not begin as an entity does")
    if version != FORMAT_VERSION:
        raise IntegrityError(f"format version {version} is not known to this version of Strongroom")
    offset = _PREFIX.size + length
    if length > limits.HEADER_BYTES_MAX or len(raw) < offset + aead.TAG_BYTES:
        raise IntegrityError("the file is cut short")
    try:
        header = _HEADER.decode(raw[_PREFIX.size : offset])
    except jsontext.UNREADABLE as error:
        raise IntegrityError("the header cannot be read") from error
    if header.format != version or header.alg != aead.ALGORITHM:
        raise IntegrityError("the header names another format or algorithm")
    return header, offset


def cipher(data_key: Material, file_id: bytes) -> aead.Cipher:
    """Return the cipher of one file under one data key."""
    return aead.Cipher(data_key, _PURPOSE, file_id)


@tracing.spanned("decrypt")
def decrypt(parsed: Parsed, file_id: bytes, keys: DataKeys) -> Body:
    """Return what lies inside.

    Raises:
        IntegrityError: The blob was not sealed as it stands, for this file-id, under a known key.
    """
    opener = aead.Cipher(keys.material(parsed.header.key_id), _PURPOSE, file_id)
    return decrypt_with(opener, parsed, file_id)


def decrypt_with(opener: aead.Cipher, parsed: Parsed, file_id: bytes) -> Body:
    """Return what lies inside, with a cipher made before; raises as `decrypt`."""
    raw, offset = parsed.raw, parsed.ciphertext_offset
    try:
        # As `base64text.decode`: so many characters are so many bytes, and have no bits to spare.
        iv = binascii.a2b_base64(parsed.header.iv, strict_mode=True)
    except ValueError as error:
        raise IntegrityError("the header cannot be read") from error
    if len(parsed.header.iv) != _IV_CHARS or len(iv) != aead.IV_BYTES:
        raise IntegrityError("the header cannot be read")
    plaintext = opener.open(iv, raw[offset:], raw[:offset] + file_id)
    try:
        (length,) = _LENGTH.unpack_from(plaintext)
        start = _LENGTH.size + length
        prelude = plaintext[_LENGTH.size : start]
        members, extra = _members(prelude)
        if members.requests and {*map(len, members.requests)} != {_RECORD_BYTES}:
            raise ValueError("not a request record")
    except (*jsontext.UNREADABLE, struct.error) as error:
        raise IntegrityError("the inside of the file cannot be read") from error
    document = None if parsed.header.deleted else plaintext[start:]
    return Body(members.key, document, members.requests, extra)


def _members(prelude: bytes) -> tuple[_Prelude, dict[str, Any]]:
    """Return the members of a prelude: those that this version knows, and all others."""
    try:
        return _KNOWN_PRELUDE.decode(prelude), {}
    except msgspec.ValidationError:
        members = msgspec.json.decode(prelude, type=_Prelude)
        everything: dict[str, Any] = msgspec.json.decode(prelude)
        return members, {n: v for n, v in everything.items() if n not in {"key", "requests"}}


@tracing.spanned("encrypt")
def encrypt(
    header: Header,
    body: Body,
    file_id: bytes,
    data_key: Material,
    header_extra: dict[str, Any] | None = None,
) -> bytes:
    """Return the blob; `header.iv` has to be fresh from `fresh_iv`."""
    members = msgspec.to_builtins(header) | (header_extra or {})
    head = msgspec.json.encode(members, order="sorted")
    prefix = _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(head)) + head
    prelude = msgspec.json.encode({"key": body.entity_key, "requests": body.requests, **body.extra})
    plaintext = _LENGTH.pack(len(prelude)) + prelude + (body.document or b"")
    iv = base64text.decode(header.iv)
    return prefix + cipher(data_key, file_id).seal(iv, plaintext, prefix + file_id)


def fresh_iv() -> str:
    """Return a random IV as the header holds it."""
    return base64text.encode(aead.new_iv())


def sidecar(parsed: Parsed) -> bytes:
    """Return the bytes of the sidecar that belongs to a blob: its header and tag, readable."""
    tag = base64text.encode(parsed.tag)
    head = parsed.raw[_PREFIX.size : parsed.ciphertext_offset]
    # Nearly every header is this version's own text, which needs its tag and nothing else.
    if _SORTED.encode(parsed.header) == head:
        before, after = msgspec.json.format(head, indent=1).split(_AFTER_TAG, 1)
        return b'%b\n "tag": "%b",%b%b\n' % (before, tag.encode(), _AFTER_TAG, after)
    members = msgspec.to_builtins(parsed.header) | parsed.extra()
    members["tag"] = tag
    return msgspec.json.format(msgspec.json.encode(members, order="sorted"), indent=1) + b"\n"


def has_sidecar(parsed: Parsed, raw: bytes | None) -> bool:
    """Tell whether these bytes are the sidecar that belongs to a blob.

    Of a header whose members are not in the order of their names, they may be in its order too.

    Raises:
        IntegrityError: As `Parsed.extra`.
    """
    # Nearly every one is the header's own text with the tag in its place: every load comes here.
    try:
        text = msgspec.json.format(parsed.raw[_PREFIX.size : parsed.ciphertext_offset], indent=1)
    except jsontext.UNREADABLE as error:
        raise IntegrityError("the header cannot be read") from error
    at = text.rfind(_AFTER_TAG)
    tag = binascii.b2a_base64(parsed.raw[-aead.TAG_BYTES :], newline=False)
    likely = b"".join((text[:at], b'\n "tag": "', tag, b'",', text[at:], b"\n"))
    return raw == likely or raw == sidecar(parsed)


def sidecar_version(raw: bytes) -> int | None:
    """Return the version that a sidecar names, or None where it cannot be read."""
    try:
        return msgspec.json.decode(raw, type=_SidecarVersion).version
    except jsontext.UNREADABLE:
        return None


def sidecar_expiry(raw: bytes) -> str | None:
    """Return when a sidecar says that its entity expires; it is a hint, nothing vouches for it."""
    try:
        ends = msgspec.json.decode(raw, type=_SidecarVersion).expires_at
        return ends if ends is None or from_rfc3339(ends) else None
    except jsontext.UNREADABLE:
        return None


class _SidecarVersion(msgspec.Struct, frozen=True):
    version: int
    expires_at: str | None = None


def recorded(requests: Iterable[bytes], keyed_hash: bytes, now_ms: int) -> RequestRecord | None:
    """Return the first record of the last 24 hours that has a keyed hash of a request id."""
    for packed in requests:
        if packed[_KEYED_HASH] == keyed_hash and _recent((packed,), now_ms):
            return RequestRecord.unpack(packed)
    return None


def remember(requests: Iterable[bytes], new: RequestRecord, now_ms: int) -> tuple[bytes, ...]:
    """Return the packed records to keep: the last 16 within 24 hours, the new one last."""
    return (*_recent(requests, now_ms)[-(limits.REQUEST_IDS_KEPT - 1) :], new.pack())


def _recent(requests: Iterable[bytes], now_ms: int) -> list[bytes]:
    before_ms = now_ms - limits.REQUEST_IDS_KEPT_SECONDS * 1000
    return [one for one in requests if int.from_bytes(one[_AT_MS], "big") > before_ms]
