"""Signing keys are replaced while clients work: every Main Worker knows a key before it signs."""

import threading

import pytest

from main_api.domain.grants import Action
from main_api.service.callers.access import Access
from main_api.service.callers.authorization_server import AuthorizationServer
from main_api.service.keys.followed_keys import FollowedKeys
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.signing import SigningKeys
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.errors import ConflictError, ForbiddenError, UnauthenticatedError
from strongroom.keyring import Purpose
from tests.support.mains import Credentials, MainRig, grant


class Beside:
    """Another Main Worker of the same deployment: same disk, same clock, a keyring of its own."""

    def __init__(self, rig: MainRig) -> None:
        """Start it."""
        self.live = LiveKeyring(rig.keyring_store, rig.key_provider)
        self.keys = FollowedKeys(self.live, rig.clock)
        self.access = Access(self.keys, rig.store, rig.clock)
        self.authorization = AuthorizationServer(
            self.access.secrets, self.access.revocations, self.keys, rig.clock
        )
        self.signing_keys = SigningKeys(self.access, self.live, self.keys, rig.clock)

    def bearer(self, client: Credentials) -> str:
        """Return a token that this one has signed."""
        issued = self.authorization.issue_token(client.client_id, client.secret, "")
        return f"Bearer {issued.access_token}"


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker."""
    return MainRig()


@pytest.fixture
def reads(rig: MainRig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that is as long as the keyring's file was read often."""
    read, counted = rig.keyring_store.read, [0]

    def counting() -> bytes | None:
        counted.append(len(counted))
        return read()

    monkeypatch.setattr(rig.keyring_store, "read", counting)
    counted.clear()
    return counted


def test_no_request_fails_while_the_key_is_replaced(rig: MainRig) -> None:
    """A rotation logs somebody out, at one of the Main Workers, at some moment."""
    mains, ada = [Beside(rig) for _ in range(3)], rig.add_client("ada")
    admin, tokens = rig.caller(client_id="admin"), [mains[0].bearer(ada)]
    kids = set()
    for second in range(2 * limits.ACCESS_TOKEN_SECONDS):
        if second in {60, 300}:
            kids.add(rig.signing_keys.rotate(admin).key_id)
        # None of them does anything all the time: the one who signs verifies nothing meanwhile.
        tokens = [*tokens, mains[second % 3].bearer(ada)][-(limits.ACCESS_TOKEN_SECONDS - 1) :]
        for token in (tokens[0], tokens[-1]):
            assert mains[(second + 1) % 3].access.authenticate(token).client_id == "ada"
        rig.clock.advance(1)
    assert rig.live.active(Purpose.TOKEN_SIGNING).key_id in kids


def test_invented_key_ids_have_the_file_read_once_a_second(rig: MainRig, reads: list[int]) -> None:
    """A stranger has the disk read as often as it likes."""
    main, ada = Beside(rig), rig.add_client("ada")
    stranger = MainRig()
    forged = stranger.bearer(stranger.add_client("ada"))
    token = main.bearer(ada)
    reads.clear()
    for _ in range(500):
        with pytest.raises(UnauthenticatedError):
            main.access.authenticate(forged)
        main.access.authenticate(token)
        rig.clock.advance(0.01)
    assert len(reads) <= 6


def test_one_thread_reads_the_file_for_all_that_wait(
    rig: MainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request after a rotation has every thread read the file."""
    main, ada = Beside(rig), rig.add_client("ada")
    main.bearer(ada)
    rig.signing_keys.rotate(rig.caller(client_id="admin"))
    rig.clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS)
    token = rig.bearer(ada)
    read, calls, together = rig.keyring_store.read, list[None](), threading.Barrier(8)
    waiting = threading.Event()

    def slow() -> bytes | None:
        calls.append(None)
        waiting.wait(0.3)
        return read()

    monkeypatch.setattr(rig.keyring_store, "read", slow)
    known: list[str] = []

    def ask() -> None:
        together.wait(30)
        known.append(main.access.authenticate(token).client_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert known == ["ada"] * 8
    assert len(calls) == 1


def test_a_keyring_that_cannot_be_read_fails_nobody(rig: MainRig) -> None:
    """A damaged keyring's file takes a running Main Worker down."""
    main, ada = Beside(rig), rig.add_client("ada")
    rig.keyring_store.write(b"garbage")
    for _ in range(5):
        rig.clock.advance(limits.SIGNING_KEYS_READ_EVERY_SECONDS)
        assert main.access.authenticate(main.bearer(ada)).client_id == "ada"


def test_a_key_is_replaced_by_age_once_by_all_together(rig: MainRig) -> None:
    """Keys sign for ever, or each Main Worker makes one of its own."""
    mains = [Beside(rig) for _ in range(3)]

    def step() -> list[str]:
        for main in mains:
            main.signing_keys.step(1.0)
        return [key.key_id for key in mains[0].signing_keys.published()]

    # The keyring of the tests is from long ago.
    first, second = step()
    assert step() == [first, second]
    rig.clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS + limits.ACCESS_TOKEN_SECONDS + 1.001)
    assert step() == [second]
    kept = mains[2].live.of(frozenset({Purpose.TOKEN_SIGNING}))
    assert [(key.key_id, bool(key.material)) for key in kept] == [(first, False), (second, True)]
    generation = mains[2].live.generation
    rig.clock.advance(12 * 3600)
    assert step() == [second]
    assert mains[2].live.generation == generation
    rig.clock.advance(12 * 3600)
    assert step()[0] == second
    assert len(step()) == 2


def test_a_process_that_has_slept_over_rotations_goes_on(rig: MainRig) -> None:
    """A Lambda that was frozen for an hour takes the keyring for a forged one, for ever."""
    main, ada, admin = Beside(rig), rig.add_client("ada"), rig.add_client("admin")
    for _ in range(3):
        rig.signing_keys.rotate(rig.access.authenticate(rig.bearer(admin)))
        rig.clock.advance(2 * limits.ACCESS_TOKEN_SECONDS)
    rig.signing_keys.step(None)
    assert main.access.authenticate(rig.bearer(ada)).client_id == "ada"
    assert rig.access.authenticate(main.bearer(ada)).client_id == "ada"


def test_two_at_the_same_moment_make_one_key(rig: MainRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Main Workers rotate at once, and one of them tells of trouble that is none."""
    here, there = Beside(rig), Beside(rig)
    change = here.live.change

    def overtaken(edit: object) -> object:
        there.signing_keys.step(1.0)
        return change(edit)  # type: ignore[arg-type]

    monkeypatch.setattr(here.live, "change", overtaken)
    here.signing_keys.step(1.0)
    assert len(here.live.of(frozenset({Purpose.TOKEN_SIGNING}))) == 2
    assert here.live.generation == 2


def test_only_an_administrator_of_everything_replaces_the_key(rig: MainRig) -> None:
    """Any client fills the keyring."""
    for rights in (grant("*", Action.READ, Action.WRITE), grant("chatdb", Action.ADMIN)):
        with pytest.raises(ForbiddenError):
            rig.signing_keys.rotate(rig.caller(rights))
    admin = rig.caller(client_id="admin")
    rig.signing_keys.rotate(admin)
    with pytest.raises(ConflictError, match="does not sign yet"):
        rig.signing_keys.rotate(admin)


def test_a_key_is_dated_when_it_is_written(rig: MainRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that has waited for the lock signs with a key that nobody has seen yet."""
    admin = rig.caller(client_id="admin")
    exclusive = rig.keyring_store.exclusive

    def slow() -> object:
        rig.clock.advance(limits.LOCK_WAIT_SECONDS)
        return exclusive()

    monkeypatch.setattr(rig.keyring_store, "exclusive", slow)
    made = rig.signing_keys.rotate(admin)
    assert made.created_at == rfc3339(rig.clock.wall_ms())
    published = {key.key_id: key for key in rig.signing_keys.published()}
    assert not published[made.key_id].is_signing
    rig.clock.advance(limits.SIGNING_KEY_PUBLISHED_SECONDS - 0.001)
    assert not {k.key_id: k for k in rig.signing_keys.published()}[made.key_id].is_signing
    rig.clock.advance(0.001)
    assert {k.key_id: k for k in rig.signing_keys.published()}[made.key_id].is_signing
