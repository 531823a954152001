"""The record of backups: which keys each needs, what is refused, who may change it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from main_api.adapters.control_store import ControlFiles
from main_api.domain.backups import BackupRecord
from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.service.jobs.backups import Backups
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import keyring, limits
from strongroom.durable import LocalFilesystem
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
)
from strongroom.keyring import Purpose
from strongroom.layout import Layout
from tests.support.mains import AT, MainRig, grant

Use = Callable[[Backups, Caller, str], object]
USES: dict[str, Use] = {
    "record": lambda backups, who, name: backups.record(who, name),
    "all": lambda backups, who, _: backups.all(who),
    "remove": lambda backups, who, name: backups.remove(who, name),
}
NO_NAMES = ["", ".", "..", "../x", "a/b", "a b", "é", "\0", "-a", "a\n", "x" * 65]


class Rig:
    """A Main Worker with an administrator."""

    def __init__(self, main: MainRig | None = None) -> None:
        """Put it together."""
        self.main = main or MainRig()
        rig = self.main
        self.backups = Backups(rig.access, rig.store, rig.live, rig.clock)
        self.root = rig.caller()

    def rotate(self) -> None:
        """Make another data key active."""
        made = keyring.new_key(Purpose.DATA, AT)
        self.main.live.change(lambda current: keyring.with_active(current, made))

    def data_keys(self) -> tuple[str, ...]:
        """Return the ids of the data keys."""
        return tuple(key.key_id for key in self.main.live.of(frozenset({Purpose.DATA})))

    def names(self) -> list[str]:
        """Return what is on record."""
        return [one.backup_id for one in self.backups.all(self.root)[0]]


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with two data keys."""
    made = Rig()
    made.rotate()
    return made


def test_a_backup_needs_every_key_that_was_there(rig: Rig) -> None:
    """A key is destroyed that a backup needs, because the record does not name it."""
    old, active = rig.data_keys()
    first = rig.backups.record(rig.root, "monday")
    assert first.key_ids == (old, active)
    rig.main.live.change(lambda current: keyring.without(current, old))
    rig.rotate()
    newest = rig.data_keys()[-1]
    second = rig.backups.record(rig.root, "Tuesday_2.full")
    # No backup that is taken now has a file that a destroyed key opens.
    assert second.key_ids == (active, newest)
    assert rig.backups.all(rig.root) == ([second, first], 0)
    assert second.recorded_at.startswith("2027-")


def test_a_key_that_another_main_worker_has_made_is_needed_too(rig: Rig) -> None:
    """A backup that begins with a rotation's first files is recorded without their key."""
    another = LiveKeyring(rig.main.keyring_store, rig.main.key_provider)
    made = keyring.new_key(Purpose.DATA, AT)
    another.change(lambda current: keyring.with_active(current, made))
    assert rig.backups.record(rig.root, "monday").key_ids[-1] == made.key_id


def test_a_backup_on_record_is_not_changed(rig: Rig) -> None:
    """A second backup of the same name hides which keys the first one needs."""
    made = rig.backups.record(rig.root, "monday")
    rig.rotate()
    with pytest.raises(ConflictError, match="monday is on record; choose another name"):
        rig.backups.record(rig.root, "monday")
    assert rig.backups.all(rig.root) == ([made], 0)


def test_a_backup_that_is_gone_is_taken_off(rig: Rig) -> None:
    """A backup that is gone keeps a key from being destroyed for ever."""
    rig.backups.record(rig.root, "monday")
    rig.backups.record(rig.root, "tuesday")
    rig.backups.remove(rig.root, "monday")
    assert rig.names() == ["tuesday"]
    with pytest.raises(NotFoundError, match="no such backup on record"):
        rig.backups.remove(rig.root, "monday")
    rig.rotate()
    assert rig.backups.record(rig.root, "monday").key_ids == rig.data_keys()


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_is_no_path(rig: Rig, name: str) -> None:
    """A name reaches another file, or is a defect."""
    for use in (rig.backups.record, rig.backups.remove):
        with pytest.raises(InvalidArgumentError, match="a name is 1 to 64 of"):
            use(rig.root, name)
    assert rig.names() == []


def test_only_so_many_are_kept(rig: Rig) -> None:
    """Whoever records in a loop fills the disk."""
    for number in range(limits.BACKUPS_MAX):
        name = f"b{number}"
        rig.main.memory.backups.put(name, BackupRecord(backup_id=name, recorded_at=AT, key_ids=()))
    with pytest.raises(ConflictError, match="remove those that are gone"):
        rig.backups.record(rig.root, "one-more")
    rig.backups.remove(rig.root, "b7")
    rig.backups.record(rig.root, "one-more")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_record_takes_admin_on_every_database(rig: Rig, use: Use) -> None:
    """Somebody without the right takes off what protects a key, or learns which backups are."""
    rig.backups.record(rig.root, "monday")
    others = {
        "no-admin": (grant("*", Action.READ, Action.WRITE, Action.DELETE),),
        "one-database": (grant("chatdb", Action.ADMIN),),
        "some-keys": (grant("*", Action.ADMIN, key_prefix="a"),),
    }
    refusals = set()
    for client_id, grants in others.items():
        caller = rig.main.caller(*grants, client_id=client_id)
        for name in ("monday", "none", ".."):
            with pytest.raises(ForbiddenError) as refusal:
                use(rig.backups, caller, name)
            refusals.add(refusal.value.detail)
    assert len(refusals) == 1
    assert rig.names() == ["monday"]


def test_a_damaged_record_hides_no_other(tmp_path: Path) -> None:
    """One bad file keeps an administrator from seeing which backups are on record."""
    bare, layout = MainRig(), Layout(tmp_path)
    files = ControlFiles(LocalFilesystem(), layout, bare.keys, bare.clock)
    rig = Rig(MainRig(keys=bare.keys, other_store=files))
    for name in ("monday", "tuesday"):
        rig.backups.record(rig.root, name)
    layout.record("backups", "monday").write_bytes(b"{}")
    found, damaged = rig.backups.all(rig.root)
    assert ([one.backup_id for one in found], damaged) == (["tuesday"], 1)
    # It is on record until somebody says that the backup is gone.
    with pytest.raises(ConflictError):
        rig.backups.record(rig.root, "monday")
    rig.backups.remove(rig.root, "monday")
    assert rig.names() == ["tuesday"]
