"""Access tokens: JWTs signed with Ed25519 (RFC 7519, RFC 8037), through PyJWT.

Two audiences that never meet: a client's token is of no use to a worker, and the reverse. The
signing key lies in the keyring; `kid` is its key id.
"""

from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom import ids, limits
from strongroom.clock import Clock
from strongroom.errors import UnauthenticatedError, UnavailableError
from strongroom.keyring import Keys, Purpose

CLIENT_AUDIENCE: Final = "strongroom:client"
WORKER_AUDIENCE: Final = "strongroom:worker"
_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_INCARNATION: Final = "strongroom_incarnation"
_REQUIRED: Final = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"]


class StaleTokenError(UnauthenticatedError):
    """A token that this deployment has signed, outside its time."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        subject: Who acts: a client's or a worker's id.
        scope: Actions that a client's token is narrowed to; for a worker, its subscription.
        expires_at_s: Seconds since 1970.
        token_id: The `jti`.
        client_id: The client that it was issued to (RFC 9068 section 2.2); empty for a worker.
        incarnation: Which client of this id; empty for a worker.
    """

    subject: str
    scope: frozenset[str]
    expires_at_s: int
    token_id: str
    client_id: str = ""
    incarnation: str = ""

    @property
    def public(self) -> dict[str, str]:
        """What may stand in a grant's key prefix."""
        return {"sub": self.subject, "client_id": self.client_id}


def issue(
    keyring: Keys,
    clock: Clock,
    *,
    audience: str,
    subject: str,
    scope: frozenset[str],
    lifetime_s: int,
    client_id: str = "",
    incarnation: str = "",
) -> str:
    """Return a signed token; arguments as in `Claims`."""
    key = keyring.active(Purpose.TOKEN_SIGNING)
    now_s = clock.wall_ms() // 1000
    claims = {
        "iss": issuer(keyring.deployment),
        "aud": audience,
        "sub": subject,
        "scope": " ".join(sorted(scope)),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + lifetime_s,
        "jti": ids.new_id(),
    }
    if client_id:
        claims["client_id"] = client_id
        claims[_INCARNATION] = incarnation
    headers = {"kid": key.key_id, "typ": _TYPE}
    private_key = Ed25519PrivateKey.from_private_bytes(key.material)
    return jwt.encode(claims, private_key, algorithm=_ALGORITHM, headers=headers)


def verify(keyring: Keys, clock: Clock, token: str, *, audience: str) -> Claims:
    """Return the claims of a token.

    Raises:
        UnauthenticatedError: Not a token of this deployment for this audience, or not now.
    """
    try:
        if len(token) > limits.TOKEN_CHARS_MAX:
            raise UnauthenticatedError("the token is too long")
        header = jwt.get_unverified_header(token)
        if header.get("typ") != _TYPE:
            raise UnauthenticatedError("not an access token")
        key = keyring.find(str(header.get("kid")), Purpose.TOKEN_SIGNING)
        claims: dict[str, Any] = jwt.decode(
            token,
            Ed25519PrivateKey.from_private_bytes(key.material).public_key(),
            algorithms=[_ALGORITHM],
            audience=audience,
            issuer=issuer(keyring.deployment),
            # PyJWT asks the machine's clock; ours is injected and asked below.
            options={
                "require": _REQUIRED,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        checked = Claims(
            subject=str(claims["sub"]),
            scope=frozenset(str(claims.get("scope", "")).split()),
            expires_at_s=int(claims["exp"]),
            token_id=str(claims["jti"]),
            client_id=str(claims.get("client_id", "")),
            incarnation=str(claims.get(_INCARNATION, "")),
        )
        not_before_s = int(claims["nbf"])
    except (jwt.PyJWTError, UnavailableError, ValueError, TypeError) as error:
        raise UnauthenticatedError("the token does not verify") from error
    check_time(checked, clock, not_before_s)
    return checked


def check_time(claims: Claims, clock: Clock, not_before_s: int = 0) -> None:
    """Refuse a token outside its time.

    Raises:
        StaleTokenError: Expired, or not yet valid.
    """
    now_s = clock.wall_ms() / 1000
    if now_s >= claims.expires_at_s:
        raise StaleTokenError("the token has expired")
    if now_s + limits.CLOCK_SKEW_MS_MAX / 1000 < not_before_s:
        raise StaleTokenError("the token is not valid yet")


def issuer(deployment: str) -> str:
    """Return the `iss` of a deployment's tokens."""
    return f"strongroom:{deployment}"
