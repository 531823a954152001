"""Foreign issuers in memory: their keys, the tokens that they sign, and a fake of asking them."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from main_api.domain import issuer_keys
from main_api.domain.claim_rules import Rule
from main_api.domain.issuer_keys import IssuerKeySet
from main_api.domain.trusted_issuers import TrustedIssuer
from main_api.service.federation.ports import IssuerUnreachableError
from tests.support.clocks import ManualClock

Json = Any
ISSUER: Final = "https://login.example/tenant"
AUDIENCE: Final = "https://strongroom.example"


_SECONDS: Final = 30.0
_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@dataclass(frozen=True)
class SigningKey:
    """A key pair of an issuer's."""

    kid: str
    algorithm: str
    private_key: Any

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as it is published."""
        public = _members(self.private_key.public_key(), self.algorithm)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    @property
    def private_jwk(self) -> dict[str, Any]:
        """Both halves, as no issuer should publish them."""
        return {**_members(self.private_key, self.algorithm), "kid": self.kid, "use": "sig"}

    def sign(self, claims: dict[str, Any], **header: Json) -> str:
        """Return a token; a member of the header that is None is left out."""
        named = {"kid": self.kid, "typ": "at+jwt", **header}
        kept = {name: value for name, value in named.items() if value is not None}
        if "typ" not in kept:
            kept["typ"] = ""  # PyJWT then leaves it out
        return jwt.encode(claims, self.private_key, algorithm=self.algorithm, headers=kept)


def _members(key: Any, algorithm: str) -> dict[str, Any]:  # noqa: ANN401 - a key of any kind
    if algorithm == "EdDSA":
        return OKPAlgorithm.to_jwk(key, as_dict=True)
    if algorithm.startswith("ES"):
        return ECAlgorithm.to_jwk(key, as_dict=True)
    return RSAAlgorithm.to_jwk(key, as_dict=True)


def signing_key(kid: str = "k1", algorithm: str = "ES256") -> SigningKey:
    """Return a new key pair; one of RSA is made once for each `kid`, which is slow."""
    if algorithm == "EdDSA":
        return SigningKey(kid, algorithm, ed25519.Ed25519PrivateKey.generate())
    if algorithm.startswith("ES"):
        return SigningKey(kid, algorithm, ec.generate_private_key(_CURVES[algorithm]))
    return SigningKey(kid, algorithm, _rsa(kid))


@cache
def _rsa(_kid: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwks(*keys: SigningKey | dict[str, Any]) -> bytes:
    """Return a JWK Set."""
    members = [key.jwk if isinstance(key, SigningKey) else key for key in keys]
    return json.dumps({"keys": members}).encode()


def claims(clock: ManualClock, **others: Json) -> dict[str, Any]:
    """Return the claims of an access token that is good now; one that is None is left out."""
    now_s = clock.wall_ms() // 1000
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": now_s,
        "exp": now_s + 300,
    }
    return {name: value for name, value in {**usual, **others}.items() if value is not None}


def trusted(*rules: Rule, **members: Json) -> TrustedIssuer:
    """Return what an administrator says of the issuer."""
    usual: dict[str, Any] = {"issuer": ISSUER, "audiences": (AUDIENCE,), "rules": rules}
    return TrustedIssuer(**{**usual, **members})


def settle() -> None:
    """Wait until no issuer is being asked any more."""
    for thread in threading.enumerate():
        if thread.name == "issuer-keys":
            thread.join(_SECONDS)


@dataclass
class MemoryIssuers:
    """A `KeySetSource`: what each `iss` publishes; one that is not there does not answer.

    Attributes:
        published: A JWK Set by `iss`.
        asked: How often each was asked.
        before: Called in the thread that asks, before the answer.
    """

    published: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    before: Callable[[], object] = lambda: None

    def check(self, trusted: TrustedIssuer) -> None:
        """Let everything pass."""

    def read(self, trusted: TrustedIssuer) -> IssuerKeySet:
        """Return what it publishes."""
        self.asked[trusted.issuer] += 1
        self.before()
        text = self.published.get(trusted.issuer)
        if text is None:
            raise IssuerUnreachableError("the issuer cannot be reached", "unreachable")
        try:
            return issuer_keys.key_set(text)
        except issuer_keys.UnusableKeySetError as error:
            raise IssuerUnreachableError(str(error), "unusable-answer") from error
