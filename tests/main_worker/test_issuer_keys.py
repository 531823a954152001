"""What an issuer publishes: keys that verify are taken, and nothing else."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from main_api.domain import issuer_keys
from main_api.domain.issuer_keys import UnusableKeySetError
from main_api.domain.trusted_issuers import Algorithm
from strongroom import limits
from tests.support.foreign_issuers import ISSUER, jwks, signing_key

EC = signing_key("ec", "ES256")
ED = signing_key("ed", "EdDSA")
RSA = signing_key("rsa", "RS256")
GOOD = signing_key("good", "ES256")


def kids(*members: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """Return which keys of a set can serve."""
    return sorted(issuer_keys.key_set(json.dumps({"keys": list(members)}).encode()).keys)


def test_keys_of_every_kind_are_taken() -> None:
    """The tokens of some issuer never verify."""
    made = [EC, ED, RSA, signing_key("p384", "ES384"), signing_key("p521", "ES512")]
    found = issuer_keys.key_set(jwks(*made))
    assert {key.kid: key.algorithms for key in found.keys.values()} == {
        key.kid: {key.algorithm} for key in made
    }
    assert (found.exposed, found.passed_over) == ((), 0)


def test_a_key_of_rsa_that_names_no_algorithm_serves_for_all_of_rsa() -> None:
    """Issuers that leave `alg` out, as RFC 7517 lets them, cannot be used."""
    bare = {name: value for name, value in RSA.jwk.items() if name not in {"alg", "use"}}
    (key,) = issuer_keys.key_set(jwks(bare)).keys.values()
    assert key.algorithms == {one for one in Algorithm if one[:2] in {"RS", "PS"}}


def _rsa_member(bits: int, exponent: int = 65537) -> dict[str, Any]:
    public = rsa.generate_private_key(public_exponent=exponent, key_size=bits).public_key()
    return {**RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "k"}


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


K256 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key(), as_dict=True)


@pytest.mark.parametrize(
    "member",
    [
        None,
        "key",
        [],
        {},
        {"kid": "k"},
        {"kty": "oct", "kid": "k", "k": "c2VjcmV0"},
        {"kty": ["RSA"], "kid": "k"},
        {**EC.jwk, "kid": None},
        {**EC.jwk, "kid": 7},
        {**EC.jwk, "kid": ""},
        {**EC.jwk, "kid": "k" * 513},
        {**EC.jwk, "use": "enc"},
        {**EC.jwk, "use": ["sig"]},
        {**EC.jwk, "key_ops": ["sign"]},
        {**EC.jwk, "key_ops": "verify"},
        {**EC.jwk, "alg": "ES384"},
        {**EC.jwk, "alg": "none"},
        {**EC.jwk, "alg": "HS256"},
        {**EC.jwk, "alg": ["ES256"]},
        {**EC.jwk, "crv": "P-384"},
        {**EC.jwk, "crv": "Ed25519"},
        {**EC.jwk, "crv": {"P-256": 1}},
        {**EC.jwk, "x": EC.jwk["y"], "y": EC.jwk["x"]},
        {**EC.jwk, "x": ""},
        {**EC.jwk, "x": 7},
        {**EC.jwk, "x": "A" * 43, "y": "A" * 43},
        {**EC.jwk, "x": "\u00e9" * 43},
        {**K256, "kid": "k"},
        {**ED.jwk, "crv": "X25519"},
        {**ED.jwk, "x": ED.jwk["x"][:-3]},
        {**RSA.jwk, "n": ""},
        {**RSA.jwk, "n": "A"},
        {**RSA.jwk, "n": "_" * 100_000},
        {**RSA.jwk, "n": _number(2**8200 - 1)},
        {**RSA.jwk, "e": ""},
        {**RSA.jwk, "e": "AQAAAAAAAQAAAAAAAQ"},
        {**RSA.jwk, "e": "Ag"},
        {**RSA.jwk, "e": "AQ"},
        {**RSA.jwk, "alg": "RSA-OAEP-256", "use": "enc"},
        {**RSA.jwk, "alg": "RSA-OAEP"},
        {**RSA.jwk, "kty": "EC"},
        _rsa_member(1024),
    ],
)
def test_what_cannot_serve_is_passed_over_and_the_others_serve(member: Any) -> None:  # noqa: ANN401 - any JSON
    """One odd key stops everybody; or is taken, and tokens verify that nobody has signed."""
    assert kids(member) == []
    assert kids(member, GOOD.jwk) == ["good"]


def test_a_key_whose_private_half_is_published_is_not_used_and_is_told() -> None:
    """Everybody who can read the issuer's keys signs tokens of it."""
    for key in (EC, ED, RSA):
        found = issuer_keys.key_set(jwks(key.private_jwk, GOOD))
        assert sorted(found.keys) == ["good"]
        assert found.exposed == (key.kid,)


def test_of_two_keys_with_one_id_neither_is_used() -> None:
    """Whoever can add a key to a set has its own taken for another one."""
    twin = signing_key("ec", "ES256").jwk
    assert kids(EC.jwk, twin, ED.jwk) == ["ed"]
    assert kids(EC.jwk, {**twin, "use": "enc"}, ED.jwk) == ["ed"]


def test_members_that_are_not_needed_change_nothing() -> None:
    """A certificate or an address within a key decides what it is."""
    odd = {**EC.jwk, "x5c": ["MIIB"], "x5u": "https://evil.example/", "ext": True, "n": "AQAB"}
    (key,) = issuer_keys.key_set(jwks(odd)).keys.values()
    assert key.material == (EC.jwk["kty"], EC.jwk["crv"], EC.jwk["x"], EC.jwk["y"])


def test_an_issuer_may_have_no_key() -> None:
    """An issuer that has withdrawn its last key is taken for one that does not answer."""
    assert issuer_keys.key_set(b'{"keys": []}').keys == {}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": null}',
        b'{"keys": {}}',
        b'{"keys": "x"}',
        b'{"keys": [], "keys": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"keys": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_what_is_no_key_set_is_refused_as_a_whole(text: bytes) -> None:
    """A page that says "down for maintenance" makes every token of an issuer invalid."""
    with pytest.raises(UnusableKeySetError):
        issuer_keys.key_set(text)


def test_a_set_of_thousands_of_keys_is_refused() -> None:
    """An issuer fills the Main Worker's memory, or takes its time."""
    many = [{**EC.jwk, "kid": str(number)} for number in range(limits.JWKS_KEYS_MAX + 1)]
    assert len(issuer_keys.key_set(jwks(*many[:-1])).keys) == limits.JWKS_KEYS_MAX
    with pytest.raises(UnusableKeySetError, match="more than 100 keys"):
        issuer_keys.key_set(jwks(*many))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e", "key_ops"])


@given(st.sampled_from([EC.jwk, ED.jwk, RSA.jwk]), st.dictionaries(NAMES, JSON, max_size=3))
def test_no_garbage_in_a_key_is_more_than_a_key_that_is_not_there(
    jwk: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Some text in a key set is an error that nobody expects, in a thread that nobody sees."""
    found = issuer_keys.key_set(jwks({**jwk, **changes}))
    assert len(found.keys) + found.passed_over == 1
    for key in found.keys.values():
        assert not isinstance(key.public_key, RSAPublicKey) or key.public_key.key_size >= 2048


# -- where they are --------------------------------------------------------------------------------


def discovered(**members: Any) -> str:  # noqa: ANN401 - any JSON
    """Return where the keys of the issuer are, by a discovery document."""
    document = {"issuer": ISSUER, "jwks_uri": "https://login.example/keys", **members}
    return issuer_keys.jwks_uri(json.dumps(document).encode(), ISSUER)


def test_the_issuer_says_where_its_keys_are() -> None:
    """Discovery finds nothing."""
    assert discovered() == "https://login.example/keys"
    assert (
        discovered(jwks_uri="https://login.example:443/k?p=x") == "https://login.example:443/k?p=x"
    )


@pytest.mark.parametrize(
    "said", [None, "", ISSUER + "/", ISSUER.upper(), "https://evil.example", [ISSUER]]
)
def test_a_document_of_another_issuer_is_refused(said: Any) -> None:  # noqa: ANN401 - any JSON
    """A host that serves many tenants has one of them speak for another."""
    with pytest.raises(UnusableKeySetError, match="another issuer"):
        discovered(issuer=said)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        "/keys",
        "https://evil.example/keys",
        "https://login.example.evil.example/keys",
        "https://login.example:8443/keys",
        "https://login.example@evil.example/keys",
        "https://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "http://login.example/keys",
        "http://127.0.0.1:8080/keys",
        "file:///etc/passwd",
        "https://login.example/" + "x" * 512,
    ],
)
def test_an_issuer_sends_the_main_worker_nowhere_else(uri: Any) -> None:  # noqa: ANN401 - any JSON
    """A document on the web makes the Main Worker call any address in its network."""
    with pytest.raises(UnusableKeySetError):
        discovered(jwks_uri=uri)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{", b"\xff", b'{"issuer": 1, "issuer": 2}']
)
def test_what_is_no_document_is_refused(text: bytes) -> None:
    """An answer that is no JSON is an error that nobody expects."""
    with pytest.raises(UnusableKeySetError):
        issuer_keys.jwks_uri(text, ISSUER)
