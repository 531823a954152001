"""Keys sealed to a worker, with either suite: what opens, what does not, and the standards."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import seal
from strongroom.crypto.seal import Suite
from strongroom.errors import IntegrityError, InvalidArgumentError
from tests.support import hpke_reference
from tests.support.bytes_changed import flipped_bits, truncations

MATERIAL = b"material of a data key, 32 bytes"
BINDING = ("deployment", "worker-1", "data", "0123456789abcdef")
ENCAPSULATED_BYTES = {Suite.X25519: 32, Suite.MLKEM768_X25519: 1120}
VECTOR = json.loads((Path(__file__).parent / "golden" / "x-wing.json").read_text())
either_suite = pytest.mark.parametrize("suite", Suite)


@either_suite
def test_a_sealed_key_opens_for_its_worker(suite: Suite) -> None:
    """No worker can come into service."""
    private_key = seal.new_private_key(suite)
    public_key, info = seal.public_bytes(private_key), seal.info(*BINDING, suite)
    sealed = seal.seal(public_key, MATERIAL, info, suite)
    assert len(public_key) == seal.PUBLIC_KEY_BYTES[suite]
    assert len(sealed) == ENCAPSULATED_BYTES[suite] + len(MATERIAL) + 16
    assert MATERIAL not in sealed
    assert seal.unseal(private_key, sealed, info) == MATERIAL
    assert seal.seal(public_key, MATERIAL, info, suite) != sealed
    assert seal.public_bytes(seal.new_private_key(suite)) != public_key


@either_suite
@pytest.mark.parametrize("position", range(4), ids=["deployment", "worker", "purpose", "key id"])
def test_a_sealed_key_is_bound_to_what_it_is_for(suite: Suite, position: int) -> None:
    """A sealed key is replayed to another worker, or passed off as another key."""
    private_key = seal.new_private_key(suite)
    info = seal.info(*BINDING, suite)
    sealed = seal.seal(seal.public_bytes(private_key), MATERIAL, info, suite)
    deployment, worker_id, purpose, key_id = (
        part + "x" if at == position else part for at, part in enumerate(BINDING)
    )
    with pytest.raises(IntegrityError):
        seal.unseal(private_key, sealed, seal.info(deployment, worker_id, purpose, key_id, suite))


def test_a_binding_names_its_suite() -> None:
    """What was sealed with one suite passes for what was sealed with the other."""
    assert len({seal.info(*BINDING, suite) for suite in Suite}) == len(Suite)
    private_key = seal.new_private_key(Suite.MLKEM768_X25519)
    info = seal.info(*BINDING, Suite.X25519)
    sealed = seal.seal(seal.public_bytes(private_key), MATERIAL, info, Suite.MLKEM768_X25519)
    with pytest.raises(IntegrityError):
        seal.unseal(private_key, sealed, seal.info(*BINDING, Suite.MLKEM768_X25519))


def test_the_binding_of_the_first_suite_does_not_change() -> None:
    """During an update, a Main Worker and a worker that knows no other suite part company."""
    expected = b"\0\x18strongroom/worker-key/v1\0\x01d\0\x01w\0\x01p\0\x01k"
    assert seal.info("d", "w", "p", "k") == expected


def test_what_is_sealed_with_one_suite_does_not_open_with_the_other() -> None:
    """A worker that asked for the hybrid takes what is sealed with X25519 alone."""
    classical, hybrid = (seal.new_private_key(suite) for suite in Suite)
    info = b"info"
    for ours, other in ((classical, hybrid), (hybrid, classical)):
        sealed = seal.seal(seal.public_bytes(ours), MATERIAL, info, ours.suite)
        with pytest.raises(IntegrityError):
            seal.unseal(other, sealed, info)
    # Not with the X25519 half of the very key pair either.
    half = X25519PrivateKey.generate()
    public_key = half.public_key().public_bytes_raw()
    mlkem, _ = hpke_reference.hybrid_key_pair(bytes(32))
    whole = seal.PrivateKey(
        Suite.MLKEM768_X25519,
        mlkem.public_key().public_bytes_raw() + public_key,
        hpke.MLKEM768X25519PrivateKey(mlkem, half),
    )
    with pytest.raises(IntegrityError):
        seal.unseal(whole, seal.seal(public_key, MATERIAL, info), info)


def test_the_parts_of_a_binding_cannot_be_moved() -> None:
    """A key sealed for one worker opens for another one whose name is cut elsewhere."""
    assert seal.info("d", "w", "p", "kk") != seal.info("d", "w", "pk", "k")
    assert seal.info("dw", "", "p", "k") != seal.info("d", "w", "p", "k")


@either_suite
def test_a_sealed_key_opens_with_its_own_private_key_only(suite: Suite) -> None:
    """Whoever listens in gets the data key."""
    info = seal.info(*BINDING, suite)
    public_key = seal.public_bytes(seal.new_private_key(suite))
    sealed = seal.seal(public_key, MATERIAL, info, suite)
    with pytest.raises(IntegrityError):
        seal.unseal(seal.new_private_key(suite), sealed, info)


@either_suite
def test_a_changed_sealed_key_does_not_open(suite: Suite) -> None:
    """A worker takes a key from whoever can change a message, and encrypts under it."""
    private_key = seal.new_private_key(suite)
    info = seal.info(*BINDING, suite)
    sealed = seal.seal(seal.public_bytes(private_key), MATERIAL, info, suite)
    changes = [*flipped_bits(sealed), *truncations(sealed), ("longer", sealed + b"\0")]
    for what, changed in changes:
        # X25519 ignores the highest bit of a public key (RFC 7748 section 5); HPKE binds it.
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: {seal.unseal(private_key, changed, info)!r}")


@pytest.mark.parametrize(
    "public_key",
    [
        b"",
        bytes(31),
        b"x" * 33,
        bytes(32),
        (1).to_bytes(32, "little"),
        (2**255 - 19).to_bytes(32, "little"),
    ],
    ids=["none", "short", "long", "zero", "one", "p"],
)
def test_what_is_no_public_key_is_refused(public_key: bytes) -> None:
    """A worker's broken key is an internal error, or a known secret seals the data key."""
    with pytest.raises(InvalidArgumentError):
        seal.seal(public_key, MATERIAL, seal.info(*BINDING))
    mlkem = seal.public_bytes(seal.new_private_key(Suite.MLKEM768_X25519))[:1184]
    with pytest.raises(InvalidArgumentError):
        seal.seal(mlkem + public_key, MATERIAL, b"", Suite.MLKEM768_X25519)


def test_what_is_no_key_of_ml_kem_is_refused() -> None:
    """The half that is to withstand a quantum computer is left out unnoticed."""
    classical = seal.public_bytes(seal.new_private_key())
    # A coefficient is 12 bits and below 3,329 (FIPS 203, section 7.2).
    for mlkem in (b"", bytes(1183), bytes(1185), b"\xff" * 1184):
        with pytest.raises(InvalidArgumentError):
            seal.seal(mlkem + classical, MATERIAL, b"", Suite.MLKEM768_X25519)


def test_a_public_key_of_the_other_suite_is_refused_with_both_sizes() -> None:
    """Who has set only one side cannot tell from the log what is the matter."""
    for ours, other in ((Suite.X25519, Suite.MLKEM768_X25519), tuple(reversed(Suite))):
        public_key = seal.public_bytes(seal.new_private_key(other))
        sizes = f"{seal.PUBLIC_KEY_BYTES[ours]} bytes for {ours}, not {len(public_key)}"
        with pytest.raises(InvalidArgumentError, match=sizes):
            seal.seal(public_key, MATERIAL, b"", ours)


def test_a_suite_goes_by_its_name() -> None:
    """A typing error in a setting seals keys with something else than was meant."""
    assert [seal.suite(suite.value) for suite in Suite] == list(Suite)
    assert seal.suite("") == seal.sealing({}) == Suite.X25519
    assert seal.sealing({"STRONGROOM_SEALING": "mlkem768-x25519"}) == Suite.MLKEM768_X25519
    for name in ("X25519", "mlkem768", "mlkem768-x25519 ", "\0", "x" * 10_000):
        with pytest.raises(InvalidArgumentError, match="x25519, mlkem768-x25519"):
            seal.suite(name)
        with pytest.raises(InvalidArgumentError, match="STRONGROOM_SEALING"):
            seal.sealing({"STRONGROOM_SEALING": name})


# -- the standards ---------------------------------------------------------------------------------


def test_the_reference_agrees_with_the_rfc() -> None:
    """The check below would be worth nothing (RFC 9180, appendix A.1.1, sequence number 0)."""
    sealed = hpke_reference.seal(
        bytes.fromhex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"),
        info=bytes.fromhex("4f6465206f6e2061204772656369616e2055726e"),
        aad=bytes.fromhex("436f756e742d30"),
        plaintext=b"Beauty is truth, truth beauty",
        ephemeral=X25519PrivateKey.from_private_bytes(
            bytes.fromhex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736")
        ),
        aead_id=hpke_reference.AES_128_GCM,
    )
    enc = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
    ciphertext = (
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )
    assert sealed.hex() == enc + ciphertext


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_what_is_sealed_by_the_rfc_opens(material: bytes, info: bytes) -> None:
    """A worker in another language, or with another library, cannot subscribe."""
    private_key = seal.new_private_key()
    sealed = hpke_reference.seal(
        seal.public_bytes(private_key), info, b"", material, ephemeral=X25519PrivateKey.generate()
    )
    assert seal.unseal(private_key, sealed, info) == material


def test_the_hybrid_of_the_reference_agrees_with_its_draft() -> None:
    """The checks below would be worth nothing (draft-connolly-cfrg-xwing-kem, vector 1)."""
    mlkem, x25519 = hpke_reference.hybrid_key_pair(bytes.fromhex(VECTOR["seed"]))
    shared = hpke_reference.decapsulate_hybrid(mlkem, x25519, bytes.fromhex(VECTOR["ct"]))
    assert shared.hex() == VECTOR["ss"]


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(min_size=32, max_size=32))
def test_the_hybrid_is_that_of_the_drafts(material: bytes, info: bytes, seed: bytes) -> None:
    """The hybrid is none that anybody has looked at, or only our own library opens it."""
    suite = Suite.MLKEM768_X25519
    private_key = seal.new_private_key(suite)
    sealed = hpke_reference.seal_hybrid(
        seal.public_bytes(private_key), info, material, ephemeral=X25519PrivateKey.generate()
    )
    assert seal.unseal(private_key, sealed, info) == material
    mlkem, x25519 = hpke_reference.hybrid_key_pair(seed)
    public_key = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    ours = seal.seal(public_key, material, info, suite)
    assert hpke_reference.open_hybrid(mlkem, x25519, ours, info) == material
