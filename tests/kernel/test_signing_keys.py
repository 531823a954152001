"""Which key signs and which ones verify: at no moment is a token of anybody's refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import keyring, limits, signing_keys, tokens
from strongroom.clock import rfc3339
from strongroom.errors import ConflictError, UnauthenticatedError, UnavailableError
from strongroom.keyring import Key, Keyring, Purpose, State
from tests.support.clocks import ManualClock

BEGIN_MS = ManualClock().wall_ms()
PUBLISHED_MS = limits.SIGNING_KEY_PUBLISHED_SECONDS * 1000
LIFE_MS = limits.ACCESS_TOKEN_SECONDS * 1000
KNOWN_S = limits.SIGNING_KEYS_READ_EVERY_SECONDS + limits.UNKNOWN_KEY_LOOKED_FOR_EVERY_SECONDS
SKEW_S = limits.CLOCK_SKEW_MS_MAX / 1000


def made(at_ms: int) -> Key:
    """Return a new signing key."""
    return keyring.new_key(Purpose.TOKEN_SIGNING, rfc3339(at_ms))


def rotated_at(*times_ms: int) -> list[Keyring]:
    """Return the keyring of the beginning, and as each rotation leaves it."""
    rings = [keyring.new("deployment", rfc3339(BEGIN_MS))]
    for at_ms in times_ms:
        rings.append(signing_keys.rotated(rings[-1], made(at_ms), at_ms))
    return rings


def ids(keys: tuple[Key, ...]) -> list[str]:
    """Return the ids of keys."""
    return [key.key_id for key in keys]


def test_the_first_key_signs_at_once() -> None:
    """A new deployment issues no token for its first ten seconds."""
    ring = keyring.new("deployment", rfc3339(BEGIN_MS))
    keys = ring.of(signing_keys.PURPOSE)
    assert signing_keys.signing(keys, BEGIN_MS) == keys[0]
    assert signing_keys.signing(keys, BEGIN_MS - 3_600_000) == keys[0]
    with pytest.raises(UnavailableError):
        signing_keys.signing((), BEGIN_MS)


def test_a_key_is_published_before_it_signs_and_verifies_after_it_has() -> None:
    """A token is refused by who has not heard of its key yet, or has forgotten it already."""
    at_ms = BEGIN_MS + 3_600_000
    _, ring = rotated_at(at_ms)
    first, second = keys = ring.of(signing_keys.PURPOSE)
    both, ends_ms = [first.key_id, second.key_id], at_ms + PUBLISHED_MS + LIFE_MS
    for now_ms, signing in [
        (at_ms, first),
        (at_ms + PUBLISHED_MS - 1, first),
        (at_ms + PUBLISHED_MS, second),
        (ends_ms, second),
    ]:
        assert signing_keys.signing(keys, now_ms) == signing
        assert ids(signing_keys.verifying(keys, now_ms)) == both
    later_ms = ends_ms + 2 * limits.CLOCK_SKEW_MS_MAX
    assert ids(signing_keys.verifying(keys, later_ms - 1)) == both
    assert ids(signing_keys.verifying(keys, later_ms)) == [second.key_id]


def test_keys_that_are_of_no_use_any_more_are_destroyed_and_no_others() -> None:
    """Every rotation leaves a key that can be stolen; or destroys one that a token still needs."""
    at_ms = BEGIN_MS + 3_600_000
    before, ring = rotated_at(at_ms)
    assert signing_keys.without_spent(ring, at_ms + PUBLISHED_MS + LIFE_MS) is ring
    kept = signing_keys.without_spent(ring, at_ms + PUBLISHED_MS + LIFE_MS + 10_000)
    assert kept.generation == ring.generation + 1
    first, second = kept.of(signing_keys.PURPOSE)
    assert (first.state, first.material) == (State.DESTROYED, b"")
    assert second == ring.active(Purpose.TOKEN_SIGNING)
    assert signing_keys.signing((first, second), at_ms) == second
    keyring.require_successor(before, kept)
    keyring.require_successor(ring, kept)
    others = frozenset(Purpose) - signing_keys.PURPOSE
    assert kept.of(others) == ring.of(others) == before.of(others)


def test_rotations_in_a_row_do_not_pile_keys_up() -> None:
    """A script that rotates in a loop fills the keyring, and with it the memory of everybody."""
    at_ms = BEGIN_MS + 3_600_000
    _, ring = rotated_at(at_ms)
    with pytest.raises(ConflictError, match="does not sign yet"):
        signing_keys.rotated(ring, made(at_ms), at_ms + PUBLISHED_MS - 1)
    most = 0
    for number in range(1, 200):
        now_ms = at_ms + number * PUBLISHED_MS
        ring = signing_keys.rotated(ring, made(now_ms), now_ms)
        most = max(most, sum(bool(key.material) for key in ring.of(signing_keys.PURPOSE)))
    assert most <= limits.ACCESS_TOKEN_SECONDS / limits.SIGNING_KEY_PUBLISHED_SECONDS + 3


@given(
    gaps_s=st.lists(
        st.integers(limits.SIGNING_KEY_PUBLISHED_SECONDS, 2_000), min_size=1, max_size=5
    ),
    # Most of it is about the moments after a rotation.
    issued=st.tuples(
        st.integers(0, 4),
        st.floats(0, 1.5 * limits.SIGNING_KEY_PUBLISHED_SECONDS) | st.floats(0, 2_000),
    ),
    age_s=st.floats(0, limits.ACCESS_TOKEN_SECONDS - SKEW_S * 2),
    behind_s=st.tuples(st.floats(0, KNOWN_S), st.floats(0, KNOWN_S)),
    skew_s=st.tuples(st.floats(-SKEW_S / 2, SKEW_S / 2), st.floats(-SKEW_S / 2, SKEW_S / 2)),
)
def test_no_token_is_refused_in_its_life_whatever_was_rotated_when(
    gaps_s: list[int],
    issued: tuple[int, float],
    age_s: float,
    behind_s: tuple[float, float],
    skew_s: tuple[float, float],
) -> None:
    """A rotation fails a request: of a client that has just got its token, or of an older one.

    One process signs, another one verifies. Each knows the keyring as it was some moment ago, and
    their clocks differ.
    """
    times_ms = [BEGIN_MS + s * 1000 for s in itertools.accumulate(gaps_s)]
    rings = rotated_at(*times_ms)
    issued_s = (times_ms[issued[0] % len(times_ms)] - BEGIN_MS) / 1000 + issued[1]

    def at(seconds: float, behind: float, skew: float) -> tuple[Keyring, ManualClock]:
        known = sum(ms <= BEGIN_MS + (seconds - behind) * 1000 for ms in times_ms)
        return rings[known], ManualClock(BEGIN_MS + round((seconds + skew) * 1000))

    signer, signers_clock = at(issued_s, behind_s[0], skew_s[0])
    verifier, verifiers_clock = at(issued_s + age_s, behind_s[1], skew_s[1])
    token = tokens.issue(
        signer,
        signers_clock,
        audience=tokens.CLIENT_AUDIENCE,
        subject="ada",
        scope=frozenset(),
        lifetime_s=limits.ACCESS_TOKEN_SECONDS,
        issued_to=tokens.Party("ada", "1"),
    )
    audience = tokens.CLIENT_AUDIENCE
    assert tokens.verify(verifier, verifiers_clock, token, audience=audience).subject == "ada"


def test_a_published_key_is_the_one_that_verifies() -> None:
    """What is published verifies nothing."""
    ring = keyring.new("deployment", rfc3339(BEGIN_MS))
    key = ring.active(Purpose.TOKEN_SIGNING)
    assert len(tokens.public_key(key)) == 32
    assert tokens.public_key(key) != key.material
    assert tokens.public_key(key) != tokens.public_key(made(BEGIN_MS))


def test_a_token_of_a_destroyed_key_is_refused() -> None:
    """A key that was destroyed still opens, or brings the request down."""
    before, after = rotated_at(BEGIN_MS + 3_600_000)
    clock = ManualClock(BEGIN_MS + 3_600_000 + PUBLISHED_MS + LIFE_MS + 10_000)
    kept = signing_keys.without_spent(after, clock.wall_ms())
    token = tokens.issue(
        before,
        clock,
        audience=tokens.CLIENT_AUDIENCE,
        subject="ada",
        scope=frozenset(),
        lifetime_s=60,
        issued_to=tokens.Party("ada", "1"),
    )
    with pytest.raises(UnauthenticatedError):
        tokens.verify(kept, clock, token, audience=tokens.CLIENT_AUDIENCE)
