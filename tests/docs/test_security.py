"""docs/security.md: its formats are those of real files, and its sources and tests are there."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from main_api.domain.audit import segments
from processing_fn.service.scanning import Query
from strongroom import controlfile, keyring, limits, tokens
from strongroom.clock import SystemClock
from strongroom.crypto import aead, seal
from strongroom.keyring import KeySet, Purpose, State
from tests.support.engines import Rig

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs" / "security.md").read_text()
GOLDEN = REPOSITORY / "tests" / "kernel" / "golden"
AUDIT_SEGMENT = REPOSITORY / "tests" / "main_worker" / "golden" / "audit-segment-v1.hex"
GOLDEN_KEY, GOLDEN_FILE_ID = bytes(range(32)), bytes(range(32, 64))
DEPLOYMENT, AT = "test-deployment", "2026-01-01T00:00:00.000Z"
ROOT = aead.new_key()


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """The functions of docs/examples/formats.py, which knows nothing of Strongroom."""
    return runpy.run_path(str(REPOSITORY / "docs" / "examples" / "formats.py"))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A directory with a database."""
    return Rig(tmp_path)


def golden_blob() -> bytes:
    """Return the frozen blob."""
    return golden(GOLDEN / "blob-v1.hex")


def golden(path: Path) -> bytes:
    """Return the bytes of a file of hex text; `#` begins a comment."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in path.read_text().splitlines()))


def key_of(keys: keyring.Keyring, purpose: Purpose) -> bytes:
    """Return the active key of a purpose."""
    return keys.active(purpose).material


# -- the example opens what the code has written ---------------------------------------------------


def test_the_example_is_independent() -> None:
    """What is shown to open a file by hand uses our own code for it."""
    text = (REPOSITORY / "docs" / "examples" / "formats.py").read_text()
    imported = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    assert set(imported) == {"base64", "hashlib", "hmac", "json", "typing", "cryptography"}


def test_the_golden_blob_opens_by_hand(by_hand: dict[str, Any]) -> None:
    """A file cannot be read by its documented format: without Strongroom the data is lost."""
    raw = golden_blob()
    header, prelude, document = by_hand["open_blob"](raw, GOLDEN_FILE_ID, GOLDEN_KEY)
    assert (header["version"], header["alg"]) == (7, "AES-256-GCM")
    assert prelude["key"] == "Chat_id"
    assert document.decode() == '{"chat": [{"text": "grüß dich", "n": 1.50}]}'
    with pytest.raises(InvalidTag):
        by_hand["open_blob"](raw, bytes(32), GOLDEN_KEY)


def test_an_entity_is_found_and_opened_by_hand(by_hand: dict[str, Any], rig: Rig) -> None:
    """The documented file-id is not that of the files."""
    worker = rig.worker()
    worker.put("a key", b'{"n": 1.50}')
    naming = key_of(rig.keys, Purpose.NAMING)
    identity = by_hand["file_id"](naming, "people", rig.binding.incarnation, "a key")
    name = f"files/people/{identity.hex()[:2]}/{identity.hex()}.json.enc"
    raw = (rig.root / name).read_bytes()
    header, prelude, document = by_hand["open_blob"](raw, identity, key_of(rig.keys, Purpose.DATA))
    assert header["key_id"] == rig.keys.active(Purpose.DATA).key_id
    assert (prelude["key"], document) == ("a key", b'{"n": 1.50}')


@pytest.mark.parametrize("recovery", ["", "SHA256:of-a-key"])
def test_the_keyring_opens_by_hand(by_hand: dict[str, Any], recovery: str) -> None:
    """Whoever has saved the root cannot get at the keys with it."""
    keys = keyring.with_active(
        keyring.new(DEPLOYMENT, AT, recovery), keyring.new_key(Purpose.DATA, AT)
    )
    former = next(key for key in keys.keys if key.state == State.DECRYPT_ONLY)
    keys = keyring.without(keys, former.key_id)
    raw = keyring.encode(keys, ROOT, b"the provider's message")
    assert by_hand["open_keyring"](raw, ROOT) == {
        key.key_id: (key.purpose.value, key.state.value, key.material) for key in keys.keys
    }
    with pytest.raises(ValueError, match="does not verify"):
        by_hand["open_keyring"](raw.replace(b'"decrypt-only"', b'"active"', 1) + b" ", bytes(32))


def test_an_older_copy_of_the_keyring_has_a_destroyed_key(by_hand: dict[str, Any]) -> None:
    """The page promises more of a destruction than it does, or warns of what is not so."""
    keys = keyring.with_active(keyring.new(DEPLOYMENT, AT), keyring.new_key(Purpose.DATA, AT))
    former = next(key for key in keys.keys if key.state == State.DECRYPT_ONLY)
    copy = keyring.encode(keys, ROOT, b"the provider's message")
    now = keyring.encode(keyring.without(keys, former.key_id), ROOT, b"the provider's message")
    assert by_hand["open_keyring"](now, ROOT)[former.key_id][2] == b""
    assert by_hand["open_keyring"](copy, ROOT)[former.key_id][2] == former.material


def test_configuration_verifies_by_hand(by_hand: dict[str, Any], rig: Rig) -> None:
    """The documented MAC is not the one that is made."""
    key = key_of(rig.keys, Purpose.CONFIGURATION)
    raw = rig.layout.database("people").read_bytes()
    check = by_hand["check_configuration"]
    assert check(raw, "database", "people", key)["schema_id"] == "person.v1"
    raw_template = rig.layout.template("person.v1").read_bytes()
    assert check(raw_template, "template", "person.v1", key)["schema_version"] == 1
    with pytest.raises(ValueError, match="does not verify"):
        check(raw.replace(b"person.v1", b"person.v2"), "database", "people", key)


def test_a_control_file_opens_by_hand(by_hand: dict[str, Any], rig: Rig) -> None:
    """The record of a client or a worker cannot be read by its documented format."""
    control = KeySet(rig.keys.of(frozenset({Purpose.CONTROL})))
    raw = controlfile.encode("clients", "admin", b'{"grants": []}', control, AT)
    identity = by_hand["control_file_id"]("clients", "admin")
    _, prelude, content = by_hand["open_blob"](raw, identity, key_of(rig.keys, Purpose.CONTROL))
    assert (prelude["key"], content) == ("admin", b'{"grants": []}')


def test_a_cursor_opens_by_hand(by_hand: dict[str, Any], rig: Rig) -> None:
    """What a cursor holds, and what it is bound to, is not what is documented."""
    worker = rig.worker()
    for key in "abc":
        worker.put(key, b"{}")
    query = Query(limit=1, filter="n == null", scope="admin")
    page = worker.engine.page(rig.binding, query)
    naming = key_of(rig.keys, Purpose.NAMING)
    # Who asks, prefix, filter, select, and the prefixes of the grants, of which there is one here.
    parts = ("admin", "", "n == null", "", "")
    bound_to = bytes.fromhex(rig.binding.incarnation) + b"".join(
        len(part).to_bytes(4, "big") + part.encode() for part in parts
    )
    (item,) = page.items
    found = by_hand["open_cursor"](page.cursor, naming, "people", bound_to)
    assert found == worker.file_id("people", rig.binding.incarnation, item.entity_key)


def test_a_segment_of_the_audit_log_verifies_by_hand(by_hand: dict[str, Any]) -> None:
    """An auditor who trusts nobody's program cannot write his own, or cannot read the records."""
    raw = golden(AUDIT_SEGMENT)
    public_key = by_hand["audit_public_key"](GOLDEN_KEY, "test-deployment")
    blocks, head = by_hand["check_audit_segment"](raw, public_key)
    assert [kind for kind, _ in blocks] == ["M", "R", "P", "E"]
    last = segments.last_head(segments.parse(raw))
    assert last is not None
    assert head == last.digest
    records = by_hand["open_audit_records"](raw, blocks[1][1], GOLDEN_KEY)
    assert [record["act"] for record in records] == ["put_client", "list_keys"]
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises((InvalidSignature, ValueError)):
            by_hand["check_audit_segment"](bytes(changed), public_key)


def test_a_token_verifies_by_hand(by_hand: dict[str, Any]) -> None:
    """A token does not hold what is documented."""
    keys = keyring.new(DEPLOYMENT, AT)
    token = tokens.issue(
        keys,
        SystemClock(),
        audience=tokens.CLIENT_AUDIENCE,
        subject="admin",
        scope=frozenset({"read"}),
        lifetime_s=600,
        issued_to=tokens.Party("admin", "1", is_user=True),
    )
    header, claims = by_hand["check_token"](token, key_of(keys, Purpose.TOKEN_SIGNING))
    signing = keys.active(Purpose.TOKEN_SIGNING)
    assert header == {"alg": "EdDSA", "kid": signing.key_id, "typ": "at+jwt"}
    for name in claims:
        assert f"`{name}`" in section(4)
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("admin", 600)


def test_a_sealed_key_opens_by_hand(by_hand: dict[str, Any]) -> None:
    """The documented binding of a sealed key is not the one that is used."""
    private_key = X25519PrivateKey.generate()
    public, key = private_key.public_key().public_bytes_raw(), aead.new_key()
    binding = (DEPLOYMENT, "worker-1", "data", "0123456789abcdef")
    sealed = seal.seal(public, key, seal.info(*binding))
    assert len(sealed) == 32 + 32 + 16
    assert by_hand["unseal"](sealed, private_key, *binding) == key


def test_the_tables_of_the_blob_tile_the_golden_file(by_hand: dict[str, Any]) -> None:
    """An offset of the page is wrong: who reads a file by it reads nonsense."""
    raw = golden_blob()
    _, _, document = by_hand["open_blob"](raw, GOLDEN_FILE_ID, GOLDEN_KEY)
    n = int.from_bytes(raw[4:8], "big")
    m = len(raw) - 8 - n - 16
    p = m - 4 - len(document)
    lengths = {"n": n, "m": m, "p": p, "q": len(document)}
    outside, inside = (_rows(table) for table in _tables("offset")[:2])
    for rows, total in ((outside, len(raw)), (inside, m)):
        offset = 0
        for row in rows:
            assert _sum(row[0], lengths) == offset, row
            offset += _sum(row[1], lengths)
        assert offset == total
    assert raw.startswith(b"SRM\x01")


def test_the_table_of_the_segment_tiles_its_beginning() -> None:
    """An offset of the page is wrong: who reads the audit log by it reads nonsense."""
    beginning, block = (_rows(table) for table in _tables("offset")[2:4])
    for rows, total in ((beginning, segments.HEADER_BYTES), (block[:5], segments.FRAME_BYTES)):
        offset = 0
        for row in rows:
            assert int(row[0]) == offset, row
            offset += int(row[1])
        assert offset == total


# -- the page itself -------------------------------------------------------------------------------


def section(number: int) -> str:
    """Return a section of the page."""
    return TEXT.partition(f"\n## {number}. ")[2].partition("\n## ")[0]


def test_every_attacker_has_a_guarantee_a_limit_and_a_test() -> None:
    """The page names somebody to fear, and then says nothing of him."""
    attackers = section(2).split("\n### ")[1:]
    assert len(attackers) > 8
    for attacker in attackers:
        for part in ("**Holds.**", "**Guarantee.**", "**Limit.**", "**Tests.**"):
            assert part in attacker, (attacker.splitlines()[0], part)
        assert "`tests/" in attacker.partition("**Tests.**")[2], attacker.splitlines()[0]


def test_every_choice_has_its_source() -> None:
    """A primitive is said to be right, and nobody can look it up."""
    rows = _rows(_tables("what")[0])
    assert rows
    for row in rows:
        assert re.search(r"RFC \d+|NIST|FIPS|draft-|AWS|20\d\d", row[-1]), row


@pytest.mark.parametrize(
    ("phrase", "told_s", "limit_s"),
    [
        ("tokens for ten minutes", 600, limits.ACCESS_TOKEN_SECONDS),
        ("5 s at most after the client was removed", 5, limits.REVOCATION_SECONDS_MAX),
        ("for five minutes at most", 300, limits.CACHE_TTL_SECONDS),
    ],
)
def test_a_time_of_the_page_is_that_of_the_limits(
    phrase: str, told_s: float, limit_s: float
) -> None:
    """A limit was changed, and the page tells the old one."""
    assert phrase in " ".join(TEXT.split())
    assert told_s == limit_s


def _tables(first_column: str) -> list[str]:
    found = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    return [table for table in found if table.startswith(f"| {first_column} |")]


def _rows(table: str) -> list[list[str]]:
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _sum(text: str, lengths: dict[str, int]) -> int:
    return sum(lengths.get(term) or int(term) for term in text.split("+"))
