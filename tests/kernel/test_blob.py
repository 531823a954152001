"""Format version 1 of a stored file: frozen bytes, and no change to them goes unnoticed."""

import base64
import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from strongroom import blob, limits
from strongroom.blob import Body, Header, RequestRecord
from strongroom.errors import IntegrityError
from strongroom.keyring import Key, KeySet, Purpose, State
from tests.support.bytes_changed import flipped_bits, truncations

GOLDEN = Path(__file__).parent / "golden"
KEY = bytes(range(32))
KEY_ID = "0123456789abcdef"
FILE_ID = bytes(range(32, 64))
IV = bytes(range(64, 76))
HEADER = Header(
    format=1,
    alg="AES-256-GCM",
    key_id=KEY_ID,
    iv=base64.b64encode(IV).decode(),
    schema_id="chat.v1",
    schema_version=3,
    writer_id="worker-1",
    version=7,
    created_at="2026-01-01T00:00:00.000Z",
    updated_at="2026-01-02T03:04:05.678Z",
    expires_at="2027-01-01T00:00:00.000Z",
)
REQUESTS = (
    RequestRecord(b"k" * 12, b"d" * 8, 6, 1_767_225_600_000, created=True).pack(),
    RequestRecord(b"K" * 12, b"D" * 8, 7, 1_767_325_445_678, created=False).pack(),
)
DOCUMENT = '{"chat": [{"text": "grüß dich", "n": 1.50}]}'.encode()
BODY = Body("Chat_id", DOCUMENT, REQUESTS)
EXTRA: dict[str, Any] = {"x-compression": {"kind": "zstd", "level": 3}, "zzz": None}


def key_set(material: bytes = KEY, key_id: str = KEY_ID) -> KeySet:
    """Return a key as a holder of the keyring has it."""
    at = "2026-01-01T00:00:00.000Z"
    return KeySet((Key(key_id, Purpose.DATA, State.ACTIVE, at, material),))


KEYS = key_set()


def opened(raw: bytes, file_id: bytes = FILE_ID, keys: KeySet = KEYS) -> Body:
    """Read a blob as a reader does."""
    return blob.decrypt(blob.parse(raw), file_id, keys)


def small_blob() -> bytes:
    """Return a blob that has everything in it: expiry, requests, unknown members."""
    body = replace(BODY, extra={"later": [1, 2]})
    return blob.encrypt(HEADER, body, FILE_ID, KEY, header_extra=EXTRA)


def golden(name: str) -> bytes:
    """Return the bytes of a golden file; hex text in lines, `#` begins a comment."""
    lines = (GOLDEN / name).read_text().splitlines()
    return bytes.fromhex("".join(line.partition("#")[0] for line in lines))


# -- the format is frozen --------------------------------------------------------------------------


def test_the_bytes_of_format_version_1_do_not_change() -> None:
    """A new version of Strongroom writes files that the former one cannot read."""
    assert blob.encrypt(HEADER, BODY, FILE_ID, KEY) == golden("blob-v1.hex")


def test_the_golden_bytes_are_read() -> None:
    """A new version of Strongroom cannot read the files of the former one."""
    raw = golden("blob-v1.hex")
    assert blob.parse(raw).header == HEADER
    assert opened(raw) == BODY


def test_the_golden_bytes_are_what_the_docstring_says() -> None:
    """Nobody else can recover a file from the documented format and the keys."""
    raw = golden("blob-v1.hex")
    assert raw[:4] == b"SRM\x01"
    offset = 8 + int.from_bytes(raw[4:8], "big")
    header = json.loads(raw[8:offset])
    info = len(b"strongroom/file/v1").to_bytes(2, "big") + b"strongroom/file/v1" + FILE_ID
    subkey = hmac.digest(KEY, info + b"\x01", "sha256")
    iv = base64.b64decode(header["iv"])
    plaintext = AESGCM(subkey).decrypt(iv, raw[offset:], raw[:offset] + FILE_ID)
    length = int.from_bytes(plaintext[:4], "big")
    prelude = json.loads(plaintext[4 : 4 + length])
    assert plaintext[4 + length :] == DOCUMENT
    assert prelude["key"] == "Chat_id"
    assert [len(base64.b64decode(text)) for text in prelude["requests"]] == [33, 33]
    assert set(header) == {*Header.__struct_fields__} - {"deleted"}


def test_the_sidecar_of_the_golden_bytes_does_not_change() -> None:
    """After an update every sidecar differs from its blob, and every first read repairs one."""
    expected = (GOLDEN / "sidecar-v1.json").read_bytes()
    assert blob.sidecar(blob.parse(golden("blob-v1.hex"))) == expected


# -- whatever is changed is noticed ----------------------------------------------------------------


def test_every_flipped_bit_is_an_integrity_error() -> None:
    """A bit that flips on the disk gives a wrong document, or an error that hides the cause."""
    raw, body = small_blob(), opened(small_blob())
    for what, changed in flipped_bits(raw):
        found: object
        try:
            found = opened(changed)
        except IntegrityError:
            continue
        pytest.fail(f"{what}: opened, {'the same' if found == body else 'another'} body")


def test_every_truncation_is_an_integrity_error() -> None:
    """A file that was cut short by a full disk is taken for an entity."""
    for what, changed in truncations(small_blob()):
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: opened as {opened(changed)}")


@pytest.mark.parametrize("appended", [b"\0", b"\n", b"x" * 16, small_blob()])
def test_appended_bytes_are_an_integrity_error(appended: bytes) -> None:
    """A file with something behind it is taken for an entity."""
    with pytest.raises(IntegrityError):
        opened(small_blob() + appended)


@pytest.mark.parametrize(
    "raw",
    [b"", b"SRM", b"SRM\x01", b"\0" * 1_000, b"SRM\x01\xff\xff\xff\xff" + b"x" * 100, b"{}" * 50],
)
def test_what_never_was_a_blob_is_an_integrity_error(raw: bytes) -> None:
    """A foreign file below files/ ends in an internal error."""
    with pytest.raises(IntegrityError):
        blob.parse(raw)


@pytest.mark.parametrize("bit", range(256))
def test_a_blob_at_another_entitys_path_does_not_open(bit: int) -> None:
    """Whoever can write the disk gives one entity the content of another one."""
    elsewhere = (int.from_bytes(FILE_ID, "big") ^ (1 << bit)).to_bytes(32, "big")
    with pytest.raises(IntegrityError):
        opened(small_blob(), file_id=elsewhere)


@pytest.mark.parametrize("cut", [b"", FILE_ID[:-1], FILE_ID + b"\0"], ids=["none", "cut", "longer"])
def test_the_boundary_before_the_file_id_cannot_be_moved(cut: bytes) -> None:
    """A blob opens under a file-id that it was not sealed for."""
    with pytest.raises(IntegrityError):
        opened(small_blob(), file_id=cut)


def test_another_key_of_the_same_id_does_not_open_a_blob() -> None:
    """A file of another deployment is taken for one of this."""
    with pytest.raises(IntegrityError):
        opened(small_blob(), keys=key_set(material=bytes(32)))


def test_a_blob_under_a_key_that_does_not_exist_is_an_integrity_error() -> None:
    """A changed key id in a header reads as "try again later", forever."""
    with pytest.raises(IntegrityError):
        opened(small_blob(), keys=key_set(key_id="fedcba9876543210"))


def test_a_header_of_one_blob_does_not_fit_another() -> None:
    """Whoever can write the disk gives a document another version or expiry."""
    one = small_blob()
    other = blob.encrypt(replace_header(version=8), BODY, FILE_ID, KEY, header_extra=EXTRA)
    one_end, other_end = (blob.parse(raw).ciphertext_offset for raw in (one, other))
    with pytest.raises(IntegrityError):
        opened(other[:other_end] + one[one_end:])


@pytest.mark.parametrize("record", ["not base64!", "", "AAAA", "é", "A" * 48], ids=ascii)
def test_a_sealed_body_that_makes_no_sense_is_an_integrity_error(record: str) -> None:
    """A defect of a writer ends in an internal error at every reader."""
    broken = replace(BODY, extra={"requests": [record]})
    with pytest.raises(IntegrityError):
        opened(blob.encrypt(HEADER, broken, FILE_ID, KEY))


@pytest.mark.parametrize("iv", ["", "AAAA", "é", "not base64!", "A" * 400], ids=ascii)
def test_a_header_with_a_broken_iv_is_an_integrity_error(iv: str) -> None:
    """A changed header ends in an internal error."""
    raw = small_blob()
    head = raw[8 : blob.parse(raw).ciphertext_offset]
    changed = head.replace(HEADER.iv.encode(), iv.encode())
    assert changed != head
    with pytest.raises(IntegrityError):
        opened(raw[:4] + len(changed).to_bytes(4, "big") + changed + raw[8 + len(head) :])


@pytest.mark.parametrize(
    "value",
    [b"[" * 5_000 + b"]" * 5_000, b"[" * 5_000, b"1e999", b'"\xff"', b'"\\ud800"'],
    ids=lambda value: ascii(value[:8]),
)
def test_an_odd_member_of_a_header_is_an_integrity_error(value: bytes) -> None:
    """Whoever can write the disk ends a reader in an internal error, before any key is asked."""
    raw = small_blob()
    head = raw[8 : blob.parse(raw).ciphertext_offset]
    changed = head[:-1] + b',"zzz":' + value + b"}"
    odd = raw[:4] + len(changed).to_bytes(4, "big") + changed + raw[8 + len(head) :]
    with pytest.raises(IntegrityError):
        blob.sidecar(blob.parse(odd))
    with pytest.raises(IntegrityError):
        blob.has_sidecar(blob.parse(odd), b"")


# -- formats to come -------------------------------------------------------------------------------


def test_a_newer_format_is_refused_with_its_number() -> None:
    """After a downgrade nobody can tell why files do not open."""
    raw = bytearray(small_blob())
    raw[3] = 2
    with pytest.raises(IntegrityError, match=r"format version 2 .*not known"):
        blob.parse(bytes(raw))


@pytest.mark.parametrize(
    "changes", [{"format": 2}, {"format": 0}, {"alg": "AES-128-GCM"}, {"alg": "none"}, {"alg": ""}]
)
def test_a_header_that_contradicts_the_format_is_refused(changes: dict[str, Any]) -> None:
    """A file says which algorithm it is opened with, and so chooses a weaker one."""
    with pytest.raises(IntegrityError):
        blob.parse(blob.encrypt(replace_header(**changes), BODY, FILE_ID, KEY))


def test_a_header_past_its_bound_is_refused() -> None:
    """A file makes every reader take in megabytes before anything is authenticated."""
    extra = {"pad": "x" * limits.HEADER_BYTES_MAX}
    with pytest.raises(IntegrityError):
        blob.parse(blob.encrypt(HEADER, BODY, FILE_ID, KEY, header_extra=extra))


def test_members_of_a_later_version_survive_a_write_by_this_one() -> None:
    """During an update an old worker strips what a new one has stored."""
    parsed = blob.parse(small_blob())
    body = opened(small_blob())
    assert parsed.extra() == EXTRA
    assert body.extra == {"later": [1, 2]}
    again = blob.encrypt(
        replace_header(version=8, iv=blob.fresh_iv()),
        replace(body, document=b"null"),
        FILE_ID,
        KEY,
        header_extra=parsed.extra(),
    )
    assert blob.parse(again).extra() == EXTRA
    assert opened(again).extra == {"later": [1, 2]}
    assert opened(again).document == b"null"


# -- what is inside --------------------------------------------------------------------------------


def test_a_tombstone_has_no_document_and_keeps_its_requests() -> None:
    """A deleted entity comes back, or a repeated delete is applied twice."""
    raw = blob.encrypt(replace_header(deleted=True), replace(BODY, document=None), FILE_ID, KEY)
    assert blob.parse(raw).header.deleted
    assert opened(raw) == replace(BODY, document=None)


def test_nothing_of_the_inside_is_readable_outside() -> None:
    """Keys or documents of clients lie readable on the shared directory."""
    raw = small_blob()
    for visible in (raw, blob.sidecar(blob.parse(raw))):
        assert b"Chat_id" not in visible
        assert b"dich" not in visible
        assert b"requests" not in visible


def test_two_encryptions_of_the_same_share_nothing() -> None:
    """Whoever reads the disk sees that two documents are equal, or an IV is used twice."""
    one, other = (
        blob.encrypt(replace_header(iv=blob.fresh_iv()), BODY, FILE_ID, KEY) for _ in range(2)
    )
    assert blob.parse(one).header.iv != blob.parse(other).header.iv
    assert one[blob.parse(one).ciphertext_offset :] != other[blob.parse(other).ciphertext_offset :]
    assert len(base64.b64decode(blob.fresh_iv())) == 12


records = st.builds(
    RequestRecord,
    keyed_hash=st.binary(min_size=12, max_size=12),
    digest=st.binary(min_size=8, max_size=8),
    version=st.integers(0, limits.VERSION_MAX),
    at_ms=st.integers(0, 2**48 - 1),
    created=st.booleans(),
)


@given(records)
def test_a_request_record_survives(record: RequestRecord) -> None:
    """A repeated write is not recognised and applied twice."""
    assert RequestRecord.unpack(record.pack()) == record


@given(
    entity_key=st.text(min_size=1, max_size=50),
    document=st.binary(max_size=100),
    requests=st.lists(records.map(RequestRecord.pack), max_size=16).map(tuple),
)
def test_a_body_survives(entity_key: str, document: bytes, requests: tuple[bytes, ...]) -> None:
    """A document reads back as another one."""
    body = Body(entity_key, document, requests)
    assert opened(blob.encrypt(HEADER, body, FILE_ID, KEY)) == body


# -- sidecar ---------------------------------------------------------------------------------------


def test_a_sidecar_is_derived_from_its_blob_alone() -> None:
    """A lost sidecar cannot be rebuilt to the byte, and the cache never fits the disk again."""
    raw = small_blob()
    first, rebuilt = blob.sidecar(blob.parse(raw)), blob.sidecar(blob.parse(bytes(bytearray(raw))))
    assert first == rebuilt
    members = json.loads(first)
    tag = members.pop("tag")
    assert base64.b64decode(tag) == raw[-16:]
    assert members == msgspec.to_builtins(HEADER) | EXTRA
    assert blob.sidecar_version(first) == 7


@pytest.mark.parametrize(
    "members",
    [
        msgspec.to_builtins(HEADER),
        msgspec.to_builtins(replace(HEADER, expires_at=None, deleted=True)),
        msgspec.to_builtins(replace(HEADER, schema_id='a\n "updated_at": "\\\u2028')),
        msgspec.to_builtins(HEADER) | EXTRA,
        msgspec.to_builtins(HEADER) | {"tag": "of a version to come", "zzz": 'b\n "updated_at"'},
    ],
    ids=["this version's", "a tombstone's", "odd text", "a later one's", "tagged"],
)
@pytest.mark.parametrize("order", ["sorted", None])
def test_a_sidecar_is_the_header_and_the_tag_in_the_order_of_their_names(
    members: dict[str, Any], order: Literal["sorted"] | None
) -> None:
    """Two workers that see the same blob renew its sidecar in turn, and no cache is ever warm."""
    head, tag = msgspec.json.encode(members, order=order), bytes(range(16))
    parsed = blob.parse(b"SRM\x01" + len(head).to_bytes(4, "big") + head + tag)
    whole = members | {"tag": base64.b64encode(tag).decode()}
    expected = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert blob.sidecar(parsed) == expected.encode()
    assert blob.has_sidecar(parsed, expected.encode())


@pytest.mark.parametrize("extra", [{}, EXTRA], ids=["this version's", "a later one's"])
def test_a_sidecar_with_any_changed_byte_is_another_one(extra: dict[str, Any]) -> None:
    """A sidecar that somebody has edited is taken for what the blob says."""
    parsed = blob.parse(blob.encrypt(HEADER, BODY, FILE_ID, KEY, header_extra=extra))
    right = blob.sidecar(parsed)
    wrong = [
        *(right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(len(right))),
        *(right[:at] for at in range(len(right))),
        right + b"\n",
        None,
    ]
    assert blob.has_sidecar(parsed, right)
    assert not any(blob.has_sidecar(parsed, one) for one in wrong)


def test_every_bit_of_header_and_tag_shows_in_the_sidecar() -> None:
    """A blob that was exchanged goes unnoticed by the readers that have it in their cache."""
    raw = small_blob()
    parsed = blob.parse(raw)
    rewrapped = blob.encrypt(
        replace_header(iv=blob.fresh_iv()), BODY, FILE_ID, KEY, header_extra=parsed.extra()
    )
    assert blob.sidecar(blob.parse(rewrapped)) != blob.sidecar(parsed)
    assert blob.sidecar(blob.parse(raw[:-1] + bytes([raw[-1] ^ 1]))) != blob.sidecar(parsed)


NO_SIDECARS = [b"", b"{", b"[]", b"{}", b'{"version": "7"}', b"\xff", b"null"]
DEEP = b'{"version": 7, "zzz": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"


@pytest.mark.parametrize("raw", [*NO_SIDECARS, DEEP], ids=lambda raw: ascii(raw[:24]))
def test_a_sidecar_that_cannot_be_read_has_no_version(raw: bytes) -> None:
    """A damaged sidecar, which the blob can replace, makes an entity unreadable."""
    assert blob.sidecar_version(raw) is None


@pytest.mark.parametrize(
    ("raw", "expires_at"),
    [
        (b'{"version": 1, "expires_at": "2027-01-01T00:00:00.000Z"}', "2027-01-01T00:00:00.000Z"),
        (b'{"version": 1}', None),
        (b'{"version": 1, "expires_at": "soon"}', None),
        (b'{"version": 1, "expires_at": 5}', None),
        (b'{"version": 1, "expires_at": ""}', None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_the_expiry_in_a_sidecar_is_an_instant_or_nothing(
    raw: bytes, expires_at: str | None
) -> None:
    """A sidecar that somebody has edited ends housekeeping for the whole database."""
    assert blob.sidecar_expiry(raw) == expires_at


def test_the_identity_names_version_key_and_iv() -> None:
    """A commit does not notice that another writer was there, or that a file was rewrapped."""
    assert blob.parse(small_blob()).identity() == (7, KEY_ID, HEADER.iv)


# -- request ids -----------------------------------------------------------------------------------

NOW_MS = 1_800_000_000_000
DAY_MS = 24 * 3600 * 1000


def record(version: int, at_ms: int = NOW_MS) -> RequestRecord:
    """Return the record of a write."""
    return RequestRecord(version.to_bytes(12, "big"), bytes(8), version, at_ms, created=False)


def versions(requests: Iterable[bytes]) -> list[int]:
    """Return the versions of packed records."""
    return [RequestRecord.unpack(packed).version for packed in requests]


def test_the_last_sixteen_requests_are_remembered() -> None:
    """A retry soon after the first attempt is applied a second time."""
    kept: tuple[bytes, ...] = ()
    for version in range(1, 41):
        kept = blob.remember(kept, record(version), NOW_MS)
        assert versions(kept) == list(range(max(1, version - 15), version + 1))
    found = blob.recorded(kept, record(30).keyed_hash, NOW_MS)
    assert found == record(30)
    assert blob.recorded(kept, record(24).keyed_hash, NOW_MS) is None


def test_a_request_is_forgotten_after_a_day() -> None:
    """An idempotency key that a client uses again days later gets an old answer."""
    old = [record(1, NOW_MS - DAY_MS), record(2, NOW_MS - DAY_MS + 1), record(3, NOW_MS - 5)]
    packed = [one.pack() for one in old]
    assert [blob.recorded(packed, one.keyed_hash, NOW_MS) for one in old] == [None, *old[1:]]
    assert versions(blob.remember(packed, record(4), NOW_MS)) == [2, 3, 4]


@given(st.lists(st.integers(NOW_MS - 2 * DAY_MS, NOW_MS), max_size=40))
def test_what_is_remembered_is_bounded_recent_and_in_order(times: list[int]) -> None:
    """An entity that is written often grows without a bound."""
    records_before = [record(n, at_ms) for n, at_ms in enumerate(times)]
    kept = blob.remember([one.pack() for one in records_before], record(1_000), NOW_MS)
    fresh = [r for r in records_before if NOW_MS - r.at_ms < DAY_MS]
    assert versions(kept) == [one.version for one in (*fresh[-15:], record(1_000))]


def replace_header(**changes: Any) -> Header:  # noqa: ANN401 - any of the members
    """Return the header with some members changed."""
    return msgspec.structs.replace(HEADER, **changes)
