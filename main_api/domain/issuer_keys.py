"""The keys that an issuer publishes: a JWK Set (RFC 7517), of which only what verifies is taken.

A text that is no set, or too large, is refused as a whole. Within a set a key is passed over that
cannot serve: one for encryption, a symmetric one, one of an unknown kind or size, one without a
`kid`, two with the same. So is one whose private half stands there for everybody to read.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from main_api.domain.trusted_issuers import Algorithm, check_address, origin
from strongroom import jsontext, limits
from strongroom.errors import StrongroomError

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_OF_CURVE: Final = {
    ("EC", "P-256"): Algorithm.ES256,
    ("EC", "P-384"): Algorithm.ES384,
    ("EC", "P-521"): Algorithm.ES512,
    ("OKP", "Ed25519"): Algorithm.EDDSA,
}
_OF_RSA: Final = frozenset(one for one in Algorithm if one.startswith(("RS", "PS")))
# Of a modulus of 8,192 bits, and of an exponent of 32: what is larger makes verifying expensive.
_MODULUS: Final = re.compile(f"[A-Za-z0-9_-]{{1,{limits.RSA_MODULUS_BITS_MAX // 6 + 1}}}")
_EXPONENT: Final = re.compile(r"[A-Za-z0-9_-]{1,6}")
_COORDINATE: Final = re.compile(r"[A-Za-z0-9_-]{1,88}")
_DEPTH_MAX: Final = 16


class UnusableKeySetError(Exception):
    """What an issuer publishes is no JWK Set, or not the issuer's; the text says why."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer.

    Attributes:
        kid: Its id.
        algorithms: What it may be used with.
        public_key: What PyJWT verifies with.
        material: The members that make it, to tell it from another one under the same `kid`.
    """

    kid: str
    algorithms: frozenset[Algorithm]
    public_key: Any
    material: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssuerKeySet:
    """The keys that can serve, by `kid`, and how many others there are.

    Attributes:
        keys: Those that can serve.
        exposed: Those whose private half is published.
        passed_over: How many others there are.
    """

    keys: Mapping[str, IssuerKey]
    exposed: tuple[str, ...] = ()
    passed_over: int = 0


def key_set(text: bytes) -> IssuerKeySet:
    """Return the keys of a JWK Set; one that has none is one.

    Raises:
        UnusableKeySetError: It is no JWK Set, or has more than `limits.JWKS_KEYS_MAX` keys.
    """
    members = _object(text).get("keys")
    if not isinstance(members, list):
        raise UnusableKeySetError("what the issuer publishes is no JWK Set")
    if len(members) > limits.JWKS_KEYS_MAX:
        raise UnusableKeySetError(f"the issuer publishes more than {limits.JWKS_KEYS_MAX} keys")
    objects = [member for member in members if isinstance(member, dict)]
    kids = Counter(kid for member in objects if isinstance(kid := member.get("kid"), str))
    exposed = [member for member in objects if _PRIVATE & member.keys()]
    found = [
        key
        for member in objects
        if not _PRIVATE & member.keys() and kids[str(member.get("kid"))] == 1
        for key in _usable(member)
    ]
    return IssuerKeySet(
        {key.kid: key for key in found},
        tuple(str(member.get("kid"))[: limits.CLAIM_TEXT_CHARS_MAX] for member in exposed),
        len(members) - len(found) - len(exposed),
    )


def jwks_uri(document: bytes, issuer: str) -> str:
    """Return where the keys are, by what an issuer says of itself.

    A request goes only to where an administrator has sent it: to the issuer's own scheme, host and
    port. For keys that lie elsewhere the record has a `jwks_uri`.

    Raises:
        UnusableKeySetError: It does not say it, or describes another issuer (OpenID Connect
            Discovery 1.0, section 4.3).
    """
    said = _object(document)
    if said.get("issuer") != issuer:
        raise UnusableKeySetError("the discovery document is another issuer's")
    found = said.get("jwks_uri")
    try:
        if not isinstance(found, str) or len(found) > limits.CLAIM_TEXT_CHARS_MAX:
            raise UnusableKeySetError("the discovery document has no jwks_uri")
        check_address(found)
    except ValueError as error:
        raise UnusableKeySetError(f"the issuer's jwks_uri: {error}") from error
    if origin(found) != origin(issuer):
        raise UnusableKeySetError(
            "the issuer's keys are on another host; name it as jwks_uri in the issuer's record"
        )
    return found


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = jsontext.parse(text, _DEPTH_MAX)
    except StrongroomError as error:
        raise UnusableKeySetError(f"what the issuer publishes: {error.detail}") from error
    if not isinstance(value, dict):
        raise UnusableKeySetError("what the issuer publishes is no JSON object")
    return value


def _usable(member: dict[str, Any]) -> list[IssuerKey]:
    """Return the key that a member is, or nothing."""
    kid = member.get("kid")
    algorithms = _algorithms(member)
    is_for_signatures = member.get("use", "sig") == "sig" and "verify" in _operations(member)
    if not isinstance(kid, str) or not algorithms or not is_for_signatures:
        return []
    if not 1 <= len(kid) <= limits.CLAIM_TEXT_CHARS_MAX:
        return []
    # Only the public members are handed on: no other one can change what is made of them.
    public = {name: str(member.get(name, "")) for name in _PUBLIC[member["kty"]]}
    try:
        made = jwt.PyJWK({"kty": member["kty"], **public}, min(algorithms)).key
    except (jwt.PyJWTError, ValueError):
        return []
    if isinstance(made, RSAPublicKey) and made.key_size < limits.RSA_MODULUS_BITS_MIN:
        return []
    return [IssuerKey(kid, algorithms, made, (member["kty"], *public.values()))]


def _operations(member: dict[str, Any]) -> list[Any]:
    given = member.get("key_ops", ["verify"])
    return given if isinstance(given, list) else []


def _algorithms(member: dict[str, Any]) -> frozenset[Algorithm]:
    """Return what a key may be used with, by its kind, its form and its `alg`."""
    kty, crv = member.get("kty"), member.get("crv")
    if kty == "RSA":
        fits = _matches(_MODULUS, member, "n") and _matches(_EXPONENT, member, "e")
        offered = _OF_RSA if fits else frozenset()
    elif isinstance(kty, str) and isinstance(crv, str) and (kty, crv) in _OF_CURVE:
        fits = all(_matches(_COORDINATE, member, one) for one in _PUBLIC[kty] if one != "crv")
        offered = frozenset({_OF_CURVE[kty, crv]}) if fits else frozenset()
    else:
        offered = frozenset()
    named = member.get("alg")
    return offered if named is None else frozenset(one for one in offered if one == named)


def _matches(pattern: re.Pattern[str], member: dict[str, Any], name: str) -> bool:
    value = member.get(name)
    return isinstance(value, str) and pattern.fullmatch(value) is not None
