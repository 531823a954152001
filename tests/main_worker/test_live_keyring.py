"""A keyring that follows its file: what another Main Worker makes is in use here, and no less."""

import threading
from pathlib import Path

import pytest

from main_api.adapters.control_store import KeyringFile
from main_api.service.admin import provisioning
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.keys.ports import KeyringStore
from strongroom import durable, keyring
from strongroom.durable import LocalFilesystem
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.keyring import Keyring, Purpose, State
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.main_fakes import FakeKeyProvider, MemoryKeyringStore
from tests.support.mains import AT
from tests.support.memory_filesystem import MemoryFilesystem


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyringStore:
    """Return a store without a keyring."""
    if request.param == "memory":
        return MemoryKeyringStore()
    return KeyringFile(LocalFilesystem(), Layout(tmp_path), ManualClock())


@pytest.fixture
def provider(store: KeyringStore) -> FakeKeyProvider:
    """Return the provider under which the store's keyring was made."""
    provider = FakeKeyProvider()
    provisioning.create_keyring(store, provider, ManualClock())
    return provider


def _rotated(current: Keyring) -> Keyring:
    return keyring.with_active(current, keyring.new_key(Purpose.DATA, AT))


def _raw(store: KeyringStore) -> bytes:
    raw = store.read()
    assert raw is not None
    return raw


def test_a_change_is_seen_by_the_others_without_a_call(
    store: KeyringStore, provider: FakeKeyProvider
) -> None:
    """Every rotation costs every Main Worker a call, and fails while KMS is away."""
    here, there = LiveKeyring(store, provider), LiveKeyring(store, provider)
    provider.calls.clear()
    provider.down = True
    changed = here.change(_rotated)
    assert here.current == changed
    assert there.current != changed
    assert there.follow()
    assert not there.follow()
    assert there.current == changed
    assert there.active(Purpose.DATA) == changed.active(Purpose.DATA)
    assert provider.calls == []


def test_changes_at_once_are_all_kept(store: KeyringStore, provider: FakeKeyProvider) -> None:
    """Of two rotations at the same time one key is lost, and with it what was written under it."""
    rings = [LiveKeyring(store, provider) for _ in range(3)]
    threads = [threading.Thread(target=ring.change, args=(_rotated,)) for ring in rings * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ring in rings:
        ring.follow()
        keys = ring.of(frozenset({Purpose.DATA}))
        assert len(keys) == 13
        assert [key.state for key in keys].count(State.ACTIVE) == 1
        assert ring.generation == 13


def test_an_older_file_put_back_is_not_taken(
    store: KeyringStore, provider: FakeKeyProvider
) -> None:
    """Whoever can write the disk has the system encrypt under a key that was given up."""
    ring = LiveKeyring(store, provider)
    older = _raw(store)
    changed = ring.change(_rotated)
    store.write(older)
    with pytest.raises(IntegrityError, match="older"):
        ring.follow()
    assert ring.current == changed
    with pytest.raises(IntegrityError):
        ring.change(_rotated)
    assert _raw(store) == older


def test_a_keyring_that_has_lost_a_key_is_not_taken(
    store: KeyringStore, provider: FakeKeyProvider
) -> None:
    """After a restored backup and a rotation, what lies under the key of before is given up."""
    running, older = LiveKeyring(store, provider), _raw(store)
    in_use = running.change(_rotated)
    store.write(older)
    started_later = LiveKeyring(store, provider)
    for _ in range(2):
        started_later.change(_rotated)
        with pytest.raises(IntegrityError, match="lacks a key"):
            running.follow()
        with pytest.raises(IntegrityError):
            running.change(_rotated)
    assert running.current == in_use
    assert _raw(store) != older


def test_a_destroyed_key_does_not_come_back(store: KeyringStore, provider: FakeKeyProvider) -> None:
    """What was shredded can be read again, because somebody has put a file back."""
    ring = LiveKeyring(store, provider)
    old = ring.active(Purpose.DATA).key_id
    ring.change(_rotated)
    there = LiveKeyring(store, provider)
    before = _raw(store)
    ring.change(lambda current: keyring.without(current, old))
    store.write(before)
    for _ in range(2):
        there.change(_rotated)
    with pytest.raises(IntegrityError, match="destroyed"):
        ring.follow()
    assert ring.find(old, Purpose.DATA).material == b""


@pytest.mark.parametrize("starts", [False, True])
def test_what_is_in_use_survives_a_power_cut(starts: bool) -> None:  # noqa: FBT001
    """A key is vended that its maker had not brought to the disk: what lies under it is lost."""
    memory, clock, provider = MemoryFilesystem(), ManualClock(), FakeKeyProvider()
    store = KeyringFile(memory, Layout(Path("/shared")), clock)
    provisioning.create_keyring(store, provider, clock)
    there = LiveKeyring(store, provider)
    changed = _rotated(there.current)
    raw = keyring.encode(changed, *_root(store, provider))
    # Another Main Worker, which is killed before the last of its syncs.
    directory = memory.open_directory("/shared/control")
    memory.rename(durable.stage(memory, directory, raw, is_durable=True), "keyring.json", directory)
    if starts:
        there = LiveKeyring(store, provider)
    else:
        assert there.follow()
    assert there.current == changed
    memory.cut()
    assert LiveKeyring(store, provider).current == changed


def test_what_does_not_reach_the_disk_is_not_taken() -> None:
    """A key is vended though the disk has refused to keep it."""
    memory, clock, provider = MemoryFilesystem(), ManualClock(), FakeKeyProvider()
    store = KeyringFile(memory, Layout(Path("/shared")), clock)
    provisioning.create_keyring(store, provider, clock)
    here, there = LiveKeyring(store, provider), LiveKeyring(store, provider)
    before = there.current
    here.change(_rotated)
    memory.break_fsync(0)
    with pytest.raises(UnavailableError):
        there.follow()
    assert there.current == before


def _root(store: KeyringStore, provider: FakeKeyProvider) -> tuple[bytes, bytes]:
    _, root, message = keyring.decode(_raw(store), provider.unwrap)
    return root, message


@pytest.mark.parametrize("damage", ["changed", "another", "garbage"])
def test_a_file_that_does_not_verify_is_not_taken(
    store: KeyringStore, provider: FakeKeyProvider, damage: str
) -> None:
    """A damaged keyring takes a running system down, or is overwritten and lost."""
    ring = LiveKeyring(store, provider)
    before, raw = ring.current, _raw(store)
    other = MemoryKeyringStore()
    provisioning.create_keyring(other, provider, ManualClock())
    odd = {
        "changed": raw.replace(b'"generation": 1', b'"generation": 9'),
        "another": _raw(other),
        "garbage": b"garbage",
    }[damage]
    store.write(odd)
    for use in (ring.follow, lambda: ring.change(_rotated), ring.check):
        with pytest.raises(IntegrityError):
            use()
    assert ring.current == before
    assert _raw(store) == odd
    store.write(raw)
    assert not ring.follow()


def test_an_outage_of_the_provider_stops_who_starts_and_nobody_who_runs(
    store: KeyringStore, provider: FakeKeyProvider
) -> None:
    """An outage of KMS takes a running system down."""
    ring = LiveKeyring(store, provider)
    provider.down = True
    assert not ring.follow()
    ring.change(_rotated)
    for use in (ring.check, lambda: LiveKeyring(store, provider)):
        with pytest.raises(UnavailableError):
            use()


def test_two_looks_at_once_are_in_order(provider: FakeKeyProvider, store: KeyringStore) -> None:
    """A look that was overtaken by another thread's is told that the keyring is an older one."""
    here, there = LiveKeyring(store, provider), LiveKeyring(store, provider)
    here.change(_rotated)
    is_reading, may_go_on = threading.Event(), threading.Event()
    read = store.read

    def slow_read() -> bytes | None:
        raw = read()
        is_reading.set()
        may_go_on.wait(30)
        return raw

    told: list[bool | IntegrityError] = []

    def look() -> None:
        try:
            told.append(there.follow())
        except IntegrityError as error:
            told.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    store.read = slow_read  # type: ignore[method-assign]
    threads[0].start()
    assert is_reading.wait(30)
    store.read = read  # type: ignore[method-assign]
    here.change(_rotated)
    threads[1].start()
    threads[1].join(0.2)
    may_go_on.set()
    for thread in threads:
        thread.join(30)
    assert told == [True, True]
    assert there.current == here.current


def test_a_change_while_the_file_is_checked_is_no_damage(
    store: KeyringStore, provider: FakeKeyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verification beside a rotation calls a sound keyring damaged."""
    here, there = LiveKeyring(store, provider), LiveKeyring(store, provider)
    unwrap, read = provider.unwrap, store.read

    def rotated_before_it_is_opened(message: bytes, deployment: str) -> bytes:
        there.change(_rotated)
        return unwrap(message, deployment)

    monkeypatch.setattr(provider, "unwrap", rotated_before_it_is_opened)
    here.check()

    def rotated_before_it_is_read() -> bytes | None:
        monkeypatch.setattr(store, "read", read)
        there.change(_rotated)
        return read()

    def rotated_twice() -> bytes | None:
        monkeypatch.setattr(store, "read", rotated_before_it_is_read)
        return read()

    for reads in (rotated_before_it_is_read, rotated_twice):
        monkeypatch.setattr(store, "read", reads)
        here.check()


def test_another_keyring_is_not_taken_for_a_change(
    store: KeyringStore, provider: FakeKeyProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a start would open is not what is in use, and nobody hears of it."""
    here = LiveKeyring(store, provider)
    here.change(_rotated)
    other = here.change(_rotated)
    forged = Keyring(other.deployment, other.generation, other.keys[:-1], other.recovery)
    monkeypatch.setattr(keyring, "decode", lambda *_: (forged, b"r" * 32, b"m"))
    with pytest.raises(IntegrityError, match="not the keyring that is in use"):
        here.check()
