"""Access tokens of foreign issuers: JWTs (RFC 7519) as RFC 8725 and RFC 9068 have them verified.

First a token is only read, to see whose it says it is and which key it names. What it says counts
when that issuer's key has verified it. `jku`, `x5u`, `jwk` and `x5c` in its header are never
looked at: where the keys are, an administrator has said.

An ID token is not an access token: it tells an application who has logged in, and everybody whom
that application shows it to has it. It is for the application, which its audience says; where an
issuer marks the kind, as Cognito (`token_use`) and Keycloak (`typ`) do, the mark is asked too.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import jwt

from main_api.domain.issuer_keys import IssuerKey
from main_api.domain.trusted_issuers import AudienceClaim, TokenType, TrustedIssuer
from strongroom import jsontext, limits
from strongroom.errors import StrongroomError, UnauthenticatedError
from strongroom.jsontext import JsonValue
from strongroom.tokens import StaleTokenError

_PARTS: Final = 3
_MEDIA_TYPE: Final = "application/"
_KIND_CLAIMS: Final = ("token_use", "typ")
_ID_TOKEN_CLAIMS: Final = ("at_hash", "c_hash", "s_hash")
# What issuers call an access token in a claim: Cognito in `token_use`, Keycloak in `typ`.
_ACCESS_KINDS: Final = frozenset({"access", "Bearer", "at+jwt"})
_INSTANT_MAX: Final = 2**53


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as it was read; nothing of it is verified.

    Attributes:
        text: The token.
        issuer: Its `iss`.
        algorithm: Its `alg`.
        kid: Its `kid`, empty for none.
        header: Its header.
        claims: Its payload.
    """

    text: str
    issuer: str
    algorithm: str
    kid: str
    header: Mapping[str, JsonValue]
    claims: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a token is good, in seconds since 1970."""

    not_before_s: float
    expires_at_s: float

    def check(self, now_s: float) -> None:
        """Refuse a token outside its time.

        Raises:
            StaleTokenError: It has expired, or is not valid yet.
        """
        if now_s >= self.expires_at_s:
            raise StaleTokenError("the token has expired")
        if now_s + limits.FOREIGN_CLOCK_SKEW_SECONDS < self.not_before_s:
            raise StaleTokenError("the token is not valid yet")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified token says.

    Attributes:
        subject: Its `sub`: who acts, among all whom its issuer knows.
        lifetime: When it is good.
        claims: All of it.
    """

    subject: str
    lifetime: Lifetime
    claims: Mapping[str, JsonValue]


def read(text: str) -> Presented:
    """Return what a token says of itself.

    Raises:
        UnauthenticatedError: It is no signed JWT, or longer or deeper than the bounds.
    """
    parts = text.split(".") if len(text) <= limits.FOREIGN_TOKEN_CHARS_MAX else []
    if len(parts) != _PARTS:
        raise _does_not_verify()
    header, claims = _object(parts[0]), _object(parts[1])
    issuer, algorithm, kid = claims.get("iss"), header.get("alg"), header.get("kid", "")
    if not (isinstance(issuer, str) and isinstance(algorithm, str) and isinstance(kid, str)):
        raise _does_not_verify()
    return Presented(text, issuer, algorithm, kid, header, claims)


def check_form(token: Presented, trusted: TrustedIssuer) -> None:
    """Check what needs no key: algorithm, type, and that nothing is asked that nobody does here.

    Raises:
        UnauthenticatedError: It is not as the issuer's record has it.
    """
    if token.algorithm not in trusted.algorithms or not token.kid:
        raise _does_not_verify()
    # RFC 7515 section 4.1.11: who does not know an extension refuses it. None is known here.
    if {"crit", "b64", "zip", "enc"} & token.header.keys():
        raise _does_not_verify()
    named = token.header.get("typ", "")
    plain = named.lower().removeprefix(_MEDIA_TYPE) if isinstance(named, str) else "?"
    accepted = {str(TokenType.ACCESS_TOKEN)}
    if trusted.token_type is TokenType.JWT:
        accepted |= {"jwt", ""}
    if plain not in accepted:
        raise UnauthenticatedError("not an access token: its typ is another one")


def verified(token: Presented, trusted: TrustedIssuer, key: IssuerKey, now_s: float) -> Verified:
    """Return what a token says, verified by one of its issuer's keys.

    Raises:
        UnauthenticatedError: It does not verify, or is not for here.
        StaleTokenError: It is genuine, and not good now.
    """
    check_form(token, trusted)
    if token.algorithm not in key.algorithms:
        raise _does_not_verify()
    is_by_aud = trusted.audience_claim is AudienceClaim.AUD
    try:
        jwt.decode(
            token.text,
            key.public_key,
            algorithms=[token.algorithm],
            audience=trusted.audiences if is_by_aud else None,
            issuer=trusted.issuer,
            options={
                "require": ["iss", "sub", "exp", "iat"],
                "verify_aud": is_by_aud,
                # PyJWT asks the machine's clock; ours is asked below.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidAudienceError as error:
        raise UnauthenticatedError("the token is for another audience") from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _does_not_verify() from error
    # From here on the claims are the issuer's word.
    if not is_by_aud:
        _check_client(token.claims, trusted)
    _check_kind(token.claims)
    lifetime = _lifetime(token.claims, trusted)
    lifetime.check(now_s)
    return Verified(_subject(token.claims), lifetime, token.claims)


def _check_client(claims: Mapping[str, JsonValue], trusted: TrustedIssuer) -> None:
    client_id = claims.get("client_id")
    if "aud" in claims or not isinstance(client_id, str) or client_id not in trusted.audiences:
        raise UnauthenticatedError("the token is for another audience")


def _check_kind(claims: Mapping[str, JsonValue]) -> None:
    """Refuse what is no bearer's access token, as far as the claims tell.

    Raises:
        UnauthenticatedError: It is an ID token, a refresh token, or one that is bound to a key of
            its holder (RFC 7800): whoever only shows such a one has not shown that it is theirs.
    """
    is_other = any(not _is_access(claims[name]) for name in _KIND_CLAIMS if name in claims) or any(
        name in claims for name in _ID_TOKEN_CLAIMS
    )
    if is_other:
        raise UnauthenticatedError("not an access token: its claims are another kind's")
    if "cnf" in claims:
        raise UnauthenticatedError("the token is bound to a key of its holder, which is not asked")


def _is_access(kind: JsonValue) -> bool:
    return isinstance(kind, str) and kind in _ACCESS_KINDS


def _lifetime(claims: Mapping[str, JsonValue], trusted: TrustedIssuer) -> Lifetime:
    issued_s, expires_s = _instant(claims["iat"]), _instant(claims["exp"])
    not_before_s = _instant(claims.get("nbf", claims["iat"]))
    if expires_s - issued_s > trusted.token_seconds_max:
        raise UnauthenticatedError(
            f"the token is good for more than {trusted.token_seconds_max} seconds"
        )
    return Lifetime(max(issued_s, not_before_s), expires_s)


def _instant(value: JsonValue) -> float:
    """Return a NumericDate (RFC 7519 section 2)."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | Decimal)
        or not 0 <= value <= _INSTANT_MAX
    ):
        raise _does_not_verify()
    return float(value)


def _subject(claims: Mapping[str, JsonValue]) -> str:
    subject = claims["sub"]
    if (
        not isinstance(subject, str)
        or not 1 <= len(subject) <= limits.FOREIGN_SUBJECT_CHARS_MAX
        or not subject.isprintable()
    ):
        raise UnauthenticatedError(
            f"the token's sub is not 1 to {limits.FOREIGN_SUBJECT_CHARS_MAX} printable characters"
        )
    return subject


def _object(part: str) -> dict[str, Any]:
    try:
        raw = base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
        value = jsontext.parse(raw, limits.FOREIGN_TOKEN_DEPTH_MAX)
    except (ValueError, binascii.Error, StrongroomError) as error:
        raise _does_not_verify() from error
    if not isinstance(value, dict):
        raise _does_not_verify()
    return value


def _does_not_verify() -> UnauthenticatedError:
    return UnauthenticatedError("the token does not verify")
