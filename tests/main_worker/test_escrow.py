"""Escrow: the keyring opens with the recovery key that the deployment names, whoever starts."""

import threading
from pathlib import Path

import pytest

from main_api.adapters.control_store import KeyringFile
from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.adapters.keys.local_key import KeyFile, LocalKeyProvider
from main_api.adapters.keys.recovery_key import RecoveryPublicKey
from main_api.domain.exports import ExportRecord
from main_api.domain.grants import Action
from main_api.service.admin import provisioning
from main_api.service.keys.exports import Exports
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.errors import ConflictError, ForbiddenError, IntegrityError, NotFoundError
from strongroom.keyring import Keyring, Purpose
from strongroom.layout import Layout
from tests.support import recovery_keys
from tests.support.clocks import ManualClock
from tests.support.mains import AT, MainRig, grant


@pytest.fixture
def file(tmp_path: Path) -> KeyringFile:
    """Return where a keyring lies."""
    return KeyringFile(LocalFilesystem(), Layout(tmp_path / "shared"), ManualClock())


class Providers:
    """Providers over one master key."""

    def __init__(self, path: Path) -> None:
        """Make the key."""
        self._source = KeyFile(path)
        self._source.make()

    def __call__(self, recovery: RecoveryPublicKey | None) -> LocalKeyProvider:
        """Return one that wraps for a recovery key too."""
        return LocalKeyProvider(self._source, recovery)


@pytest.fixture
def provider(tmp_path: Path, file: KeyringFile) -> Providers:
    """Return the providers of a keyring that was made without a recovery key."""
    made = Providers(tmp_path / "master.key")
    provisioning.create_keyring(file, made(None), ManualClock())
    return made


def escrowed(file: KeyringFile) -> Keyring:
    """Open the keyring with the recovery key."""
    raw = file.read()
    assert raw is not None
    return keyring.decode(raw, recovery_keys.opener().unwrap)[0]


def test_a_keyring_without_escrow_gets_it_at_the_next_start(
    file: KeyringFile, provider: Providers
) -> None:
    """Whoever names a recovery key later has none on the day that he needs it."""
    public = recovery_keys.one().public
    before = LiveKeyring(file, provider(None)).current
    live = LiveKeyring(file, provider(public))
    assert live.escrow()
    assert live.current == keyring.with_recovery(before, public.fingerprint)
    assert escrowed(file) == live.current
    assert live.current.keys == before.keys
    raw = file.read()
    assert not live.escrow()
    assert not LiveKeyring(file, provider(public)).escrow()
    assert file.read() == raw
    # A rotation keeps it.
    live.change(lambda ring: keyring.with_active(ring, keyring.new_key(Purpose.DATA, AT)))
    assert escrowed(file) == LiveKeyring(file, provider(None)).current


def test_another_recovery_key_takes_the_place_of_the_first(
    file: KeyringFile, provider: Providers
) -> None:
    """After a change of the recovery key the new one opens nothing, or the old one goes on to."""
    LiveKeyring(file, provider(recovery_keys.other().public)).escrow()
    with pytest.raises(IntegrityError):
        escrowed(file)
    LiveKeyring(file, provider(recovery_keys.one().public)).escrow()
    assert escrowed(file).recovery == recovery_keys.one().public.fingerprint
    raw = file.read()
    assert raw is not None
    with pytest.raises(IntegrityError):
        keyring.decode(raw, recovery_keys.foreign_opener().unwrap)


def test_a_process_that_was_not_told_leaves_the_escrow_as_it_is(
    file: KeyringFile, provider: Providers
) -> None:
    """One Lambda without the setting takes the recovery away from all."""
    LiveKeyring(file, provider(recovery_keys.one().public)).escrow()
    assert not LiveKeyring(file, provider(None)).escrow()
    assert escrowed(file).recovery == recovery_keys.one().public.fingerprint


def test_several_that_start_at_once_wrap_once(file: KeyringFile, provider: Providers) -> None:
    """Of two Main Workers that start together one does not start, or a key is lost."""
    rings = [LiveKeyring(file, provider(recovery_keys.one().public)) for _ in range(6)]
    idle = LiveKeyring(file, provider(None))
    outcomes: list[bool] = []

    def escrow(ring: LiveKeyring) -> None:
        outcomes.append(ring.escrow())

    rotate = threading.Thread(
        target=idle.change,
        args=(lambda ring: keyring.with_active(ring, keyring.new_key(Purpose.DATA, AT)),),
    )
    threads = [threading.Thread(target=escrow, args=(ring,)) for ring in rings]
    for thread in (*threads, rotate):
        thread.start()
    for thread in (*threads, rotate):
        thread.join()
    assert sorted(outcomes) == [False] * 5 + [True]
    for ring in (*rings, idle):
        ring.follow()
        assert ring.current == escrowed(file)
        assert len(ring.of(frozenset({Purpose.DATA}))) == 2


def test_following_a_keyring_that_was_wrapped_anew_asks_nobody(
    file: KeyringFile, provider: Providers, tmp_path: Path
) -> None:
    """A change of the recovery key stops every Main Worker, if KMS is away."""
    running = LiveKeyring(file, provider(None))
    other = LiveKeyring(file, provider(recovery_keys.one().public))
    other.escrow()
    (tmp_path / "master.key").unlink()
    assert running.follow()
    assert running.current == escrowed(file)


def test_the_fingerprint_is_authenticated(file: KeyringFile, provider: Providers) -> None:
    """The file names a recovery key that opens nothing."""
    LiveKeyring(file, provider(recovery_keys.one().public)).escrow()
    raw = file.read()
    assert raw is not None
    mine = recovery_keys.one().public.fingerprint.encode()
    assert mine in raw
    theirs = recovery_keys.other().public.fingerprint.encode()
    for changed in (raw.replace(mine, theirs), raw.replace(b'"recovery"', b'"recovered"')):
        with pytest.raises(IntegrityError):
            keyring.decode(changed, provider(None).unwrap)


# -- exports ---------------------------------------------------------------------------------------


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker that names a recovery key."""
    return MainRig(escrow=EscrowWrapper(recovery_keys.one().public))


def exports(rig: MainRig) -> Exports:
    """Return the use case."""
    return rig.main().exports


def test_an_export_is_the_keyring_for_the_recovery_key(rig: MainRig) -> None:
    """A key backup opens nothing, or holds fewer keys than its record says."""
    caller = rig.caller()
    first, _ = exports(rig).make(caller)
    rig.live.change(lambda ring: keyring.with_active(ring, keyring.new_key(Purpose.DATA, AT)))
    made, raw = exports(rig).make(caller)
    opened, _, _ = keyring.decode(raw, recovery_keys.opener().unwrap)
    assert opened.keys == rig.live.current.keys
    assert opened.deployment == rig.live.deployment
    data = opened.of(frozenset({Purpose.DATA}))
    assert made.key_ids == tuple(key.key_id for key in data)
    assert made.generation == opened.generation
    assert made.recovery == opened.recovery == recovery_keys.one().public.fingerprint
    assert set(exports(rig).all(caller)) == {first, made}
    with pytest.raises(IntegrityError):
        keyring.decode(raw, rig.key_provider.unwrap)


def test_an_export_holds_no_destroyed_key(rig: MainRig) -> None:
    """The record says that an export could open what was destroyed before it was made."""
    gone = rig.live.active(Purpose.DATA).key_id
    rig.live.change(lambda ring: keyring.with_active(ring, keyring.new_key(Purpose.DATA, AT)))
    rig.live.change(lambda ring: keyring.without(ring, gone))
    made, _ = exports(rig).make(rig.caller())
    assert gone not in made.key_ids
    assert len(made.key_ids) == 1


def test_without_a_recovery_key_there_is_no_export() -> None:
    """An export is made that nobody can open."""
    rig = MainRig()
    with pytest.raises(ConflictError, match="names no recovery key"):
        exports(rig).make(rig.caller())
    assert exports(rig).all(rig.caller()) == ()


def test_only_an_administrator_of_everything_exports(rig: MainRig) -> None:
    """Whoever may read one database takes the keys of all."""
    caller = rig.caller(grant("chatdb", *Action))
    uses = (
        lambda: exports(rig).make(caller),
        lambda: exports(rig).all(caller),
        lambda: exports(rig).remove(caller, "x"),
    )
    for use in uses:
        with pytest.raises(ForbiddenError):
            use()
    assert rig.store.exports.names() == []


def test_the_record_is_bounded_and_an_export_can_leave_it(rig: MainRig) -> None:
    """The directory fills with records; or one of an export that is gone stays for ever."""
    caller = rig.caller()
    made, _ = exports(rig).make(caller)
    for number in range(limits.EXPORTS_MAX - 1):
        name = f"e{number}"
        rig.store.exports.put(
            name,
            ExportRecord(export_id=name, exported_at=AT, generation=1, key_ids=(), recovery=""),
        )
    with pytest.raises(ConflictError, match="too many exports"):
        exports(rig).make(caller)
    exports(rig).remove(caller, made.export_id)
    with pytest.raises(NotFoundError):
        exports(rig).remove(caller, made.export_id)
    exports(rig).make(caller)
