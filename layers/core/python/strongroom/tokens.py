"""Access tokens: JWTs signed with Ed25519 (RFC 7519, RFC 8037), through PyJWT.

Two audiences that never meet: a client's token is of no use to a worker, and the reverse. The
signing keys lie in the keyring (`signing_keys`); `kid` is the key id.

A client's token is its own, or it is for one of its users. Then `act` names the client as who acts
for the user (RFC 8693 section 4.1), so that a user who is called as the client is told from it.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom import ids, limits, signing_keys
from strongroom.clock import Clock
from strongroom.errors import UnauthenticatedError, UnavailableError
from strongroom.keyring import Key, Keys, Purpose

CLIENT_AUDIENCE: Final = "strongroom:client"
WORKER_AUDIENCE: Final = "strongroom:worker"
_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_INCARNATION: Final = "strongroom_incarnation"
_REQUIRED: Final = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"]


_public_keys: dict[bytes, Ed25519PublicKey] = {}


class StaleTokenError(UnauthenticatedError):
    """A token that this deployment has signed, outside its time."""


@dataclass(frozen=True, slots=True)
class Party:
    """The client that a token is issued to.

    Attributes:
        client_id: Its id.
        incarnation: Which client of this id.
        is_user: Whether the client acts for a user of its own.
    """

    client_id: str
    incarnation: str
    is_user: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says.

    Attributes:
        subject: Who acts: a client's or a worker's id, or the name of a client's user.
        scope: Actions that a client's token is narrowed to; for a worker, its subscription.
        expires_at_s: Seconds since 1970.
        token_id: The `jti`.
        client_id: The client that it was issued to (RFC 9068 section 2.2); empty for a worker.
        incarnation: Which client of this id; empty for a worker.
        is_user: Whether the client acts for a user of its own.
    """

    subject: str
    scope: frozenset[str]
    expires_at_s: int
    token_id: str
    client_id: str = ""
    incarnation: str = ""
    is_user: bool = False

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
    issued_to: Party | None = None,
) -> str:
    """Return a signed token; arguments as in `Claims`, `issued_to` for a client's.

    Raises:
        UnavailableError: There is no key to sign it with.
    """
    key = signing_keys.signing(keyring.of(signing_keys.PURPOSE), clock.wall_ms())
    now_s = clock.wall_ms() // 1000
    claims: dict[str, Any] = {
        "iss": issuer(keyring.deployment),
        "aud": audience,
        "sub": subject,
        "scope": " ".join(sorted(scope)),
        "iat": now_s,
        "nbf": now_s,
        "exp": now_s + lifetime_s,
        "jti": ids.new_id(),
    }
    if issued_to is not None:
        claims["client_id"] = issued_to.client_id
        claims[_INCARNATION] = issued_to.incarnation
        if issued_to.is_user:
            claims["act"] = _acting(issued_to.client_id)
    headers = {"kid": key.key_id, "typ": _TYPE}
    return jwt.encode(claims, _private(key), algorithm=_ALGORITHM, headers=headers)


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
        key = _verifying_key(keyring, clock, str(header.get("kid")))
        claims: dict[str, Any] = jwt.decode(
            token,
            _public(key),
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
            is_user="act" in claims,
        )
        _check_actor(checked, claims.get("act"), audience)
        not_before_s = int(claims["nbf"])
    except (jwt.PyJWTError, UnavailableError, ValueError, TypeError) as error:
        raise UnauthenticatedError("the token does not verify") from error
    check_time(checked, clock, not_before_s)
    return checked


def is_foreign(token: str, deployment: str) -> bool:
    """Tell whether a text looks like the token of another issuer; nothing of it is verified."""
    if len(token) > limits.TOKEN_CHARS_MAX:
        return False
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    return claims.get("iss") != issuer(deployment)


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


def public_key(key: Key) -> bytes:
    """Return the public half of a signing key: 32 bytes (RFC 8032)."""
    return _public(key).public_bytes_raw()


def _private(key: Key) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.material)


def _public(key: Key) -> Ed25519PublicKey:
    """Return the public half; to make it takes as long as half of a verification."""
    # By a digest: what is remembered outlives the key, and must not be the key.
    digest = hashlib.sha256(key.material).digest()
    known = _public_keys.get(digest)
    if known is None:
        if len(_public_keys) >= limits.DATA_KEYS_EVER_MAX:
            _public_keys.clear()
        known = _public_keys[digest] = _private(key).public_key()
    return known


def _verifying_key(keyring: Keys, clock: Clock, key_id: str) -> Key:
    key = keyring.find(key_id, Purpose.TOKEN_SIGNING)
    current = signing_keys.verifying(keyring.of(signing_keys.PURPOSE), clock.wall_ms())
    if key_id not in {one.key_id for one in current}:
        raise UnauthenticatedError("the key of the token has served its time")
    return key


def _check_actor(checked: Claims, actor: object, audience: str) -> None:
    """Refuse a token that is neither a worker's, nor a client's own, nor one for a user of it."""
    if audience == WORKER_AUDIENCE:
        is_sound = not checked.client_id and not checked.is_user
    elif checked.is_user:
        is_sound = checked.client_id != "" and actor == _acting(checked.client_id)
    else:
        is_sound = checked.client_id == checked.subject
    if not is_sound:
        raise UnauthenticatedError("the token does not say who acts for whom")


def _acting(client_id: str) -> dict[str, str]:
    return {"sub": client_id}


def issuer(deployment: str) -> str:
    """Return the `iss` of a deployment's tokens."""
    return f"strongroom:{deployment}"
