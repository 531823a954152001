"""Access tokens: only those of this deployment, for this audience, in their time."""

from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from strongroom import keyring, limits, signing_keys, tokens
from strongroom.clock import rfc3339
from strongroom.errors import UnauthenticatedError
from strongroom.keyring import Keyring, Purpose
from tests.support.clocks import ManualClock
from tests.support.forged_tokens import Forge

AT = "2026-01-01T00:00:00.000Z"
KEYS = keyring.new("deployment", AT)
SIGNING = KEYS.active(Purpose.TOKEN_SIGNING)
PRIVATE = Ed25519PrivateKey.from_private_bytes(SIGNING.material)
NOW_S = ManualClock().wall_ms() // 1000
CLAIMS: dict[str, Any] = {
    "iss": "strongroom:deployment",
    "aud": tokens.CLIENT_AUDIENCE,
    "sub": "ada",
    "client_id": "ada",
    "scope": "read",
    "iat": NOW_S,
    "nbf": NOW_S,
    "exp": NOW_S + 600,
    "jti": "0" * 32,
}


def issued(keys: Keyring = KEYS, clock: ManualClock | None = None, **changes: Any) -> str:  # noqa: ANN401 - any argument
    """Issue a token as the product does."""
    arguments: dict[str, Any] = {
        "audience": tokens.CLIENT_AUDIENCE,
        "subject": "ada",
        "scope": frozenset({"read", "write"}),
        "lifetime_s": 600,
        "issued_to": tokens.Party("ada", "1"),
    }
    return tokens.issue(keys, clock or ManualClock(), **(arguments | changes))


def verified(token: str, clock: ManualClock | None = None, keys: Keyring = KEYS) -> tokens.Claims:
    """Verify a token as a face does that serves clients."""
    return tokens.verify(keys, clock or ManualClock(), token, audience=tokens.CLIENT_AUDIENCE)


FORGE = Forge(KEYS, CLAIMS)
signed = FORGE.signed


def test_an_issued_token_verifies() -> None:
    """No client gets in."""
    claims = verified(issued())
    assert claims.subject == "ada"
    assert claims.scope == {"read", "write"}
    assert claims.expires_at_s == NOW_S + 600
    assert claims.token_id != verified(issued()).token_id


def test_a_token_made_by_hand_verifies() -> None:
    """The forgeries below would be refused for another reason than their own."""
    assert verified(signed(CLAIMS)).subject == "ada"


def test_a_token_is_an_ordinary_jwt() -> None:
    """A gateway in front cannot verify our tokens with the published key."""
    claims = jwt.decode(
        issued(),
        PRIVATE.public_key(),
        algorithms=["EdDSA"],
        audience=tokens.CLIENT_AUDIENCE,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert claims["scope"] == "read write"


def test_a_token_lives_exactly_as_long_as_it_says() -> None:
    """A token that has leaked works for longer than was promised."""
    clock = ManualClock()
    token = issued(clock=clock)
    clock.advance(599.999)
    verified(token, clock)
    clock.advance(0.001)
    with pytest.raises(UnauthenticatedError, match="expired"):
        verified(token, clock)


def test_a_token_from_the_future_is_refused_past_the_skew_of_clocks() -> None:
    """Two Main Workers refuse each other's tokens, or a token is usable before its time."""
    ahead, behind = ManualClock(), ManualClock()
    ahead.advance(10)
    token = issued(clock=ahead)
    behind.advance(10 - limits.CLOCK_SKEW_MS_MAX / 1000)
    verified(token, behind)
    behind.advance(-0.001)
    with pytest.raises(UnauthenticatedError, match="not valid yet"):
        verified(token, behind)


def test_a_token_that_says_more_than_is_known_is_refused_where_it_has_to_be() -> None:
    """A restriction that a later version puts into its tokens is passed over (RFC 7515, "crit")."""
    headers = {"kid": SIGNING.key_id, "typ": "at+jwt", "alg": "EdDSA"}
    assert verified(signed(CLAIMS, headers | {"only": "a"})).subject == "ada"
    with pytest.raises(UnauthenticatedError):
        verified(signed(CLAIMS, headers | {"only": "a", "crit": ["only"]}))


FORGERIES = FORGE.forgeries()


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_or_foreign_token_is_refused(token: str) -> None:
    """Somebody gets in who is nobody's client, or brings down the request with an odd token."""
    with pytest.raises(UnauthenticatedError):
        verified(token)


def test_a_token_at_the_bound_verifies() -> None:
    """A client with a long scope gets a token that is refused."""
    overhead = len(signed(CLAIMS | {"pad": ""}))
    pad = (limits.TOKEN_CHARS_MAX - overhead) * 3 // 4
    token = signed(CLAIMS | {"pad": "x" * pad})
    assert limits.TOKEN_CHARS_MAX - 2 <= len(token) <= limits.TOKEN_CHARS_MAX
    assert verified(token).subject == "ada"


def test_another_deployments_token_is_refused_though_the_key_is_the_same() -> None:
    """A test deployment that was copied from production makes tokens for it."""
    with pytest.raises(UnauthenticatedError):
        verified(issued(replace(KEYS, deployment="copy")))


def test_a_workers_token_is_no_clients_and_the_reverse() -> None:
    """A broken worker reads through the client API, or a client gets the data key."""
    client, worker = issued(), issued(audience=tokens.WORKER_AUDIENCE, issued_to=None)
    verified(client)
    tokens.verify(KEYS, ManualClock(), worker, audience=tokens.WORKER_AUDIENCE)
    odd = issued(audience=tokens.WORKER_AUDIENCE), issued(issued_to=None)
    for token in (worker, *odd):
        with pytest.raises(UnauthenticatedError):
            verified(token)
    for token in (client, *odd):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(KEYS, ManualClock(), token, audience=tokens.WORKER_AUDIENCE)


def test_every_truncated_or_changed_token_is_refused() -> None:
    """A changed token verifies: who it names can be changed too."""
    token = issued()
    for length in range(len(token)):
        with pytest.raises(UnauthenticatedError):
            pytest.fail(f"cut to {length}: {verified(token[:length])}")
    for position, character in enumerate(token):
        for other in "Ab0_.=":
            if other != character:
                changed = token[:position] + other + token[position + 1 :]
                with pytest.raises(UnauthenticatedError):
                    pytest.fail(f"{other} at {position}: {verified(changed)}")


def test_a_token_outlives_a_rotation_of_the_signing_key() -> None:
    """A rotation of the signing key logs everybody out."""
    clock = ManualClock()
    made = keyring.new_key(Purpose.TOKEN_SIGNING, rfc3339(clock.wall_ms()))
    rotated = signing_keys.rotated(KEYS, made, clock.wall_ms())
    clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS - 0.001)
    token = issued(rotated, clock)
    assert verified(token, clock, KEYS).subject == "ada"
    clock.advance(0.001)
    assert verified(token, clock, rotated).subject == "ada"
    assert verified(issued(rotated, clock), clock, rotated).subject == "ada"
    with pytest.raises(UnauthenticatedError):
        verified(issued(rotated, clock), clock, KEYS)


def test_a_key_that_has_served_its_time_signs_no_token_that_verifies() -> None:
    """Whoever finds an old signing key in some memory makes tokens with it for ever."""
    clock = ManualClock()
    made = keyring.new_key(Purpose.TOKEN_SIGNING, rfc3339(clock.wall_ms()))
    rotated = signing_keys.rotated(KEYS, made, clock.wall_ms())
    clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS + limits.ACCESS_TOKEN_SECONDS + 1)
    forged = issued(KEYS, clock)
    assert verified(forged, clock, KEYS).subject == "ada"
    with pytest.raises(UnauthenticatedError, match="served its time"):
        verified(forged, clock, rotated)


def test_a_users_token_says_who_acts_for_whom() -> None:
    """A user who is called as the client is taken for the client."""
    token = issued(issued_to=tokens.Party("ada", "1", is_user=True))
    claims = verified(token)
    assert (claims.subject, claims.client_id, claims.is_user) == ("ada", "ada", True)
    assert not verified(issued()).is_user
    payload = jwt.decode(token, options={"verify_signature": False})
    assert payload["act"] == {"sub": "ada"}
    assert payload["client_id"] == "ada"


@given(st.text(alphabet=st.characters(), max_size=200))
def test_no_text_is_more_than_refused(text: str) -> None:
    """Some header value ends in an internal error."""
    with pytest.raises(UnauthenticatedError):
        verified(text)
