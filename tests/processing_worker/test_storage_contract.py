"""The port `EntityStorage`: the commit, the read and the repair of design.md section 3.

One contract, for `EntityFiles` over the real filesystem and over each double of it. It goes on in
test_storage_exclusion.py; what a disk that fails or loses its power does to it is in
test_storage_failures.py and test_storage_power.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processing_fn.domain.coherence import witness
from processing_fn.service.ports import EntityStorage
from strongroom import blob, limits
from strongroom.errors import IntegrityError
from tests.support.shared_directories import FILESYSTEMS, shared_directory
from tests.support.storages import (
    StorageRig,
    commit,
    nothing,
    opener,
    place,
    sealed,
    sidecar_of,
    state,
)

OLD, NEW, LATER = b'{"n":1}', b'{"n":2}', b'{"n":3}'
HERE, NEIGHBOUR, ELSEWHERE = place(0x11), place(0x111), place(0x12)


@pytest.fixture(params=FILESYSTEMS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageRig]:
    """Return an empty shared directory on each of the filesystems."""
    made = StorageRig(shared_directory(request.param, tmp_path))
    yield made
    made.close()


@pytest.fixture
def storage(rig: StorageRig) -> EntityStorage:
    """Return one process's storage over it."""
    return rig.storage()


# -- the commit ------------------------------------------------------------------------------------


def test_where_nothing_lies_there_is_nothing(rig: StorageRig, storage: EntityStorage) -> None:
    """An entity that never was ends in an error, or in another one's document."""
    assert state(storage, HERE) is None
    commit(storage, NEIGHBOUR, OLD)
    assert state(storage, HERE) is None
    assert not storage.is_current(HERE, witness(b"anything"))
    with storage.exclusive(HERE) as transaction:
        assert transaction.current() is None
    assert rig.contents(HERE) == (None, None)


def test_what_was_committed_is_loaded_by_everybody(rig: StorageRig, storage: EntityStorage) -> None:
    """An acknowledged write is not read, or only by its writer."""
    raw = sealed(HERE, 1, OLD)
    with storage.exclusive(HERE) as transaction:
        assert transaction.current() is None
        sidecar = transaction.commit(raw, nothing)
    assert sidecar == sidecar_of(raw)
    assert rig.contents(HERE) == (raw, sidecar)
    for reader in (storage, rig.storage()):
        loaded = reader.load(HERE, opener(HERE))
        assert loaded is not None
        assert loaded == (blob.parse(raw), opener(HERE)(blob.parse(raw)), sidecar)
        assert reader.is_current(HERE, witness(sidecar))
    assert len(rig.shared.names(rig.shard(HERE))) == 2


def test_a_commit_replaces_what_was_there(rig: StorageRig, storage: EntityStorage) -> None:
    """A second write is lost, or the first one is still taken for current."""
    commit(storage, HERE, OLD)
    before = rig.contents(HERE)[1]
    assert before is not None
    assert commit(rig.storage(), HERE, NEW) == 2
    after = rig.contents(HERE)[1]
    assert after is not None
    assert state(storage, HERE) == (2, NEW)
    assert not storage.is_current(HERE, witness(before))
    assert storage.is_current(HERE, witness(after))
    assert len(rig.shared.names(rig.shard(HERE))) == 2


def test_entities_do_not_touch_each_other(storage: EntityStorage) -> None:
    """A write of one entity changes another one, of its shard or of another database."""
    other = place(0x11, "others")
    for at, document in ((HERE, OLD), (NEIGHBOUR, NEW), (ELSEWHERE, LATER), (other, LATER)):
        commit(storage, at, document)
    assert [state(storage, at) for at in (HERE, NEIGHBOUR, ELSEWHERE, other)] == [
        (1, OLD),
        (1, NEW),
        (1, LATER),
        (1, LATER),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw + b" ",
        lambda raw: raw + b" " * limits.SIDECAR_COMPARED_BYTES,
        lambda raw: raw[:-1],
        lambda raw: b" " + raw[1:],
        lambda _: b"",
    ],
    ids=["longer", "much longer", "shorter", "different", "empty"],
)
def test_only_the_same_bytes_are_current(
    rig: StorageRig, storage: EntityStorage, change: Callable[[bytes], bytes]
) -> None:
    """A cached document is served after the entity has changed."""
    commit(storage, HERE, OLD)
    sidecar_file = rig.files(HERE)[1]
    intact = rig.shared.read(sidecar_file)
    assert intact is not None
    assert not storage.is_current(HERE, witness(change(intact)))
    rig.shared.write(sidecar_file, change(intact))
    assert not storage.is_current(HERE, witness(intact))
    rig.shared.remove(sidecar_file)
    assert not storage.is_current(HERE, witness(intact))


def test_a_guard_that_raises_leaves_everything_as_it_was(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """What is refused at the last moment is written all the same, or holds the lock for ever."""
    for expected in (None, (1, OLD)):
        with rig.unchanged(HERE), pytest.raises(_NoLongerWantedError):
            _commit_guarded(storage, 2, _refuse)
        assert state(storage, HERE) == expected
        assert commit(rig.storage(), HERE, OLD) == (1 if expected is None else 2)


def test_the_guard_is_asked_when_everything_else_is_done(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """A lease that ends while a slow disk syncs does not keep its worker from committing."""
    commit(storage, HERE, OLD)
    before = rig.contents(HERE)
    seen: list[int] = []

    def guard() -> None:
        assert rig.contents(HERE) == before
        seen.append(len(rig.temporaries(HERE)))

    _commit_guarded(storage, 2, guard)
    assert seen == [2]


class _NoLongerWantedError(Exception):
    """What a guard raises."""


def _refuse() -> None:
    raise _NoLongerWantedError


def _commit_guarded(storage: EntityStorage, version: int, guard: Callable[[], None]) -> None:
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        transaction.commit(sealed(HERE, version, NEW), guard)


def test_a_lock_without_a_commit_changes_nothing(rig: StorageRig, storage: EntityStorage) -> None:
    """Looking at an entity changes it."""
    commit(storage, HERE, OLD)
    with rig.unchanged(HERE), storage.exclusive(HERE) as transaction:
        assert transaction.current() == blob.parse(rig.contents(HERE)[0] or b"")


def test_a_removed_entity_never_was(rig: StorageRig, storage: EntityStorage) -> None:
    """What was deleted for good is read, or leaves what looks like damage."""
    for at in (HERE, NEIGHBOUR):
        commit(storage, at, OLD)
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        transaction.remove()
    assert rig.contents(HERE) == (None, None)
    assert state(storage, HERE) is None
    assert state(storage, NEIGHBOUR) == (1, OLD)
    assert commit(storage, HERE, NEW) == 1


def test_what_has_no_sidecar_is_removed_too(rig: StorageRig, storage: EntityStorage) -> None:
    """What a crash has left behind stays when its database is deleted."""
    commit(storage, HERE, OLD)
    rig.shared.remove(rig.files(HERE)[1])
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        transaction.remove()
    assert rig.contents(HERE) == (None, None)


# -- the repair ------------------------------------------------------------------------------------

LEFT_BEHIND: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "cut short": lambda right: right[:-20],
    "garbled": lambda _: b"\x00\xff" * 200,
    "behind": lambda _: sidecar_of(sealed(HERE, 1, OLD)),
    "of a rewrap": lambda _: sidecar_of(sealed(HERE, 2, NEW)),
    "one field": lambda right: right.replace(b"worker-1", b"worker-2"),
}


@pytest.mark.parametrize("left", LEFT_BEHIND)
def test_a_sidecar_that_is_not_its_blobs_is_renewed_before_anybody_reads(
    rig: StorageRig, storage: EntityStorage, left: str
) -> None:
    """After a crash between the two renames, two readers see versions in different orders."""
    commit(storage, HERE, OLD)
    cached = rig.contents(HERE)[1]
    commit(storage, HERE, NEW)
    before = rig.contents(HERE)
    assert before[1] is not None
    assert cached is not None
    wrong = LEFT_BEHIND[left](before[1])
    if wrong is None:
        rig.shared.remove(rig.files(HERE)[1])
    else:
        rig.shared.write(rig.files(HERE)[1], wrong)
    assert state(rig.storage(), HERE) == (2, NEW)
    assert rig.contents(HERE) == before
    assert rig.temporaries(HERE) == []
    assert not storage.is_current(HERE, witness(cached))
    assert storage.is_current(HERE, witness(before[1]))
    assert commit(storage, HERE, LATER) == 3


def test_a_sidecar_can_be_renewed_under_the_lock(rig: StorageRig, storage: EntityStorage) -> None:
    """Damage that was found is not judged by what lies there, or cannot be made good."""
    commit(storage, HERE, OLD)
    before = rig.contents(HERE)
    assert before[1] is not None
    rig.shared.write(rig.files(HERE)[1], b"garbled")
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        assert transaction.stored_sidecar() == b"garbled"
        transaction.renew_sidecar(before[1])
    assert rig.contents(HERE) == before
    assert rig.temporaries(HERE) == []


def test_a_writer_goes_on_from_a_sidecar_that_was_left_behind(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """After a crash an entity can be read, but not written."""
    commit(storage, HERE, OLD)
    rig.shared.write(rig.files(HERE)[1], b"garbled")
    assert commit(storage, HERE, NEW) == 2
    assert state(storage, HERE) == (2, NEW)


def test_a_sidecar_is_not_renewed_from_a_blob_that_does_not_open(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """A forged blob gets a sidecar that vouches for it."""
    commit(storage, HERE, OLD)
    forged = bytearray(sealed(HERE, 7, NEW))
    forged[-1] ^= 1
    rig.shared.write(rig.files(HERE)[0], bytes(forged))
    with rig.unchanged(HERE), pytest.raises(IntegrityError):
        state(storage, HERE)


DAMAGES: dict[str, bytes | None] = {
    "missing": None,
    "older": sealed(HERE, 1, OLD),
    "empty": b"",
    "garbled": b"\x00" * 500,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_blob_that_its_sidecar_is_ahead_of_is_refused(
    rig: StorageRig, storage: EntityStorage, damage: str
) -> None:
    """An old state comes back by copying one file, or a removed one looks as if it never was."""
    commit(storage, HERE, OLD)
    commit(storage, HERE, NEW)
    replacement = DAMAGES[damage]
    if replacement is None:
        rig.shared.remove(rig.files(HERE)[0])
    else:
        rig.shared.write(rig.files(HERE)[0], replacement)
    with rig.unchanged(HERE):
        for _ in range(2):
            with pytest.raises(IntegrityError):
                state(rig.storage(), HERE)
            with pytest.raises(IntegrityError), rig.storage().exclusive(HERE) as transaction:
                transaction.current()
    commit(storage, NEIGHBOUR, OLD)
    assert state(storage, NEIGHBOUR) == (1, OLD)


# -- listings --------------------------------------------------------------------------------------


def test_file_ids_come_in_order_and_after_a_given_one(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """A listing repeats entities, or leaves some out."""
    places = [place(number) for number in (0xFF, 0x01, 0x201, 0x101, 0x00, 0x80)]
    for at in places:
        commit(storage, at, OLD)
    commit(storage, place(0x55, "others"), OLD)
    expected = sorted(at.file_id for at in places)
    assert list(storage.file_ids("people", b"")) == expected
    for position, file_id in enumerate(expected):
        assert list(storage.file_ids("people", file_id)) == expected[position + 1 :]
    assert list(storage.file_ids("people", b"\x02")) == expected[-2:]
    assert list(storage.file_ids("nobody", b"")) == []
    rig.shared.remove(rig.files(places[0])[0])
    assert expected[-1] in list(storage.file_ids("people", b"")), "damage is not left out"


def test_what_is_no_entity_is_not_listed(rig: StorageRig, storage: EntityStorage) -> None:
    """A temporary file, or what somebody has put there, is taken for an entity."""
    commit(storage, HERE, OLD)
    shard = rig.shard(HERE)
    for name in (".tmp-0123456789abcdef", "README", "11.json.enc", "A1" * 32 + ".json.enc"):
        rig.shared.write(shard / name, b"not ours")
    assert list(storage.file_ids("people", b"")) == [HERE.file_id]
    assert [found for found, _ in storage.sidecars("people", 0x11)] == [HERE.file_id]
    found = storage.shard("people", 0x11)
    assert found.file_ids == (HERE.file_id,)
    assert found.strangers == ("11.json.enc", "A1" * 32 + ".json.enc", "README")


def test_what_is_no_shard_is_told_of(rig: StorageRig, storage: EntityStorage) -> None:
    """What lies in a database's directory and is not ours is never noticed."""
    commit(storage, HERE, OLD)
    assert storage.strangers("people") == []
    for name in ("README", "1", "AA", "111"):
        rig.shared.write(rig.shard(HERE).parent / name, b"not ours")
    assert storage.strangers("people") == ["1", "111", "AA", "README"]
    assert storage.strangers("nobody") == []
    assert list(storage.file_ids("people", b"")) == [HERE.file_id]


def test_a_file_in_another_shard_is_no_entity(rig: StorageRig, storage: EntityStorage) -> None:
    """A file that was put into another directory is listed twice."""
    commit(storage, HERE, OLD)
    raw, _ = rig.contents(HERE)
    assert raw is not None
    name = rig.files(HERE)[0].name
    rig.shared.write(rig.shard(ELSEWHERE) / name, raw)
    assert list(storage.file_ids("people", b"")) == [HERE.file_id]
    assert list(storage.sidecars("people", 0x12)) == []
    assert storage.shard("people", 0x12).strangers == (name,)


def test_a_look_at_the_files_judges_and_changes_nothing(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """Whoever looks for damage repairs it, or does not get to see it."""
    assert storage.peek(HERE) == (None, None)
    commit(storage, HERE, OLD)
    assert storage.peek(HERE) == rig.contents(HERE)
    rig.shared.write(rig.files(HERE)[1], b"garbled")
    with rig.unchanged(HERE), storage.exclusive(HERE):
        assert storage.peek(HERE) == (rig.contents(HERE)[0], b"garbled")
    rig.shared.remove(rig.files(HERE)[0])
    assert storage.peek(HERE) == (None, b"garbled")


def test_databases_are_those_that_have_files(storage: EntityStorage) -> None:
    """Housekeeping passes a database over."""
    assert storage.databases() == []
    for name in ("people", "chatdb"):
        commit(storage, place(1, name), OLD)
    assert storage.databases() == ["chatdb", "people"]


def test_sidecars_of_a_shard_are_as_on_the_disk(rig: StorageRig, storage: EntityStorage) -> None:
    """An expired entity is not found, or one is purged on another one's word."""
    for at in (HERE, NEIGHBOUR, ELSEWHERE):
        commit(storage, at, OLD)
    expected = {at.file_id: rig.contents(at)[1] for at in (HERE, NEIGHBOUR)}
    assert dict(storage.sidecars("people", 0x11)) == expected
    rig.shared.remove(rig.files(HERE)[1])
    assert dict(storage.sidecars("people", 0x11)) == expected | {HERE.file_id: None}
    assert list(storage.sidecars("people", 0x13)) == []
    assert list(storage.sidecars("nobody", 0x11)) == []


def test_a_sweep_removes_abandoned_temporary_files_alone(
    rig: StorageRig, storage: EntityStorage
) -> None:
    """Crashes fill the disk, or the file that a writer is about to rename is removed."""
    commit(storage, HERE, OLD)
    name = ".tmp-0123456789abcdef"
    left = [rig.shard(HERE) / name, rig.layout.template("t").parent / name]
    for path in left:
        rig.shared.write(path, b"left by a crash")
    written_s = max(rig.shared.filesystem.modified_s(str(path)) for path in left)
    ends_s = written_s + limits.TEMPORARY_FILE_SECONDS_MAX
    for now_s, gone in ((ends_s - 1, False), (ends_s + 1, True)):
        rig.clock.now_wall_ms = round(now_s * 1000)
        assert storage.shard("people", 0x11).temporaries == ((name,) if gone else ())
        storage.sweep("people", 0x12)
        assert rig.temporaries(HERE) == [name]
        storage.sweep("people", 0x11)
        storage.sweep_configuration()
        assert [rig.shared.read(path) is None for path in left] == [gone, gone]
    assert state(storage, HERE) == (1, OLD)
