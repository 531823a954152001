"""The port `EntityStorage`: who writes an entity excludes all others, or else is refused.

The other part of the contract in test_storage_contract.py, on the same filesystems.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from processing_fn.service.ports import EntityStorage
from strongroom import blob, limits
from strongroom.errors import BusyError, UnavailableError
from tests.support.clocks import ManualClock
from tests.support.filesystems import CountingFilesystem, GenerousFilesystem
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
HERE, NEIGHBOUR = place(0x11), place(0x111)


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


class _ImpatientClock(ManualClock):
    """A second goes by whenever it is asked."""

    def boot_s(self) -> float:
        """Return the time, which has gone on."""
        self.advance(1)
        return super().boot_s()


@pytest.mark.parametrize("wait_s", [limits.LOCK_WAIT_SECONDS, 2.0])
def test_a_lock_that_another_process_holds_is_waited_for_and_given_up(
    rig: StorageRig, storage: EntityStorage, wait_s: float
) -> None:
    """A stuck worker blocks every other one for ever."""
    commit(storage, HERE, OLD)
    clock = _ImpatientClock()
    waiting = rig.storage(clock=clock)
    with storage.exclusive(HERE):
        began = clock.now_boot_s
        with pytest.raises(BusyError), waiting.exclusive(HERE, wait_s):
            pytest.fail("two processes hold the entity's lock")
        assert wait_s <= clock.now_boot_s - began <= wait_s + 3
        assert state(waiting, HERE) == (1, OLD)
        assert commit(waiting, NEIGHBOUR, OLD) == 1
    assert commit(waiting, HERE, NEW) == 2


def test_a_lock_that_another_thread_holds_is_given_up_too(storage: EntityStorage) -> None:
    """A stuck request blocks every other one of its worker for ever."""
    refusals: list[BusyError] = []

    def enter() -> None:
        try:
            with storage.exclusive(HERE, 0.01):
                pytest.fail("two threads hold the entity's lock")
        except BusyError as error:
            refusals.append(error)

    with storage.exclusive(HERE):
        waiter = threading.Thread(target=enter)
        waiter.start()
        waiter.join(30)
    assert len(refusals) == 1


def test_too_many_threads_do_not_wait_for_one_entity(storage: EntityStorage) -> None:
    """Requests for one slow entity take every thread of a worker."""
    refused = threading.Semaphore(0)
    entered: list[int] = []

    def enter() -> None:
        try:
            with storage.exclusive(HERE):
                entered.append(1)
        except BusyError:
            refused.release()

    # The holder counts too, so one waiter fewer gets in.
    waiters = [threading.Thread(target=enter) for _ in range(limits.LOCK_WAITERS_MAX - 1 + 4)]
    with storage.exclusive(HERE):
        for waiter in waiters:
            waiter.start()
        for _ in range(4):
            assert refused.acquire(timeout=30)
        assert entered == []
    for waiter in waiters:
        waiter.join(30)
    assert len(entered) == limits.LOCK_WAITERS_MAX - 1, "who waits gets it"


def test_commits_of_threads_and_processes_follow_each_other(rig: StorageRig) -> None:
    """Of two writes at once one is lost, or both get one version."""
    processes = [rig.storage(), rig.storage()]
    versions: list[int] = []

    def write(process: EntityStorage) -> None:
        for _ in range(4):
            versions.append(commit(process, HERE, OLD))  # noqa: PERF401 - each as it comes

    threads = [threading.Thread(target=write, args=[process]) for process in processes * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(versions) == list(range(1, 17))
    assert state(processes[0], HERE) == (16, OLD)


@pytest.mark.parametrize("there", [False, True], ids=["made", "replaced"])
def test_a_writer_that_lost_its_lock_is_refused_before_the_rename(
    rig: StorageRig, *, there: bool
) -> None:
    """Of two writers that both believe to hold the lock, one overwrites the other unnoticed."""
    if there:
        commit(rig.storage(), HERE, OLD)
    counted = CountingFilesystem(rig.shared.filesystem)
    stale, other = rig.storage(counted), rig.storage(GenerousFilesystem(rig.shared.filesystem))
    with stale.exclusive(HERE) as transaction:
        transaction.current()
        version = commit(other, HERE, NEW)
        with rig.unchanged(HERE), pytest.raises(BusyError):
            transaction.commit(sealed(HERE, version, LATER), nothing)
    assert "rename" not in counted.calls
    assert state(rig.storage(), HERE) == (version, NEW)


def test_a_removal_without_its_lock_is_refused(rig: StorageRig) -> None:
    """An entity that was written anew is removed by who has looked at the one before it."""
    commit(rig.storage(), HERE, OLD)
    other = rig.storage(GenerousFilesystem(rig.shared.filesystem))
    with rig.storage().exclusive(HERE) as transaction:
        transaction.current()
        commit(other, HERE, NEW)
        with rig.unchanged(HERE), pytest.raises(BusyError):
            transaction.remove()


def test_a_rewrap_by_another_writer_is_noticed_too(rig: StorageRig) -> None:
    """A rewrap under the new key, which changes no version, is undone by a stale writer."""
    commit(rig.storage(), HERE, OLD)
    generous = rig.storage(GenerousFilesystem(rig.shared.filesystem))
    rewrapped = sealed(HERE, 1, OLD)
    with rig.storage().exclusive(HERE) as transaction:
        transaction.current()
        with generous.exclusive(HERE) as other:
            other.current()
            other.commit(rewrapped, nothing)
        with rig.unchanged(HERE), pytest.raises(BusyError):
            transaction.commit(sealed(HERE, 2, NEW), nothing)
    assert rig.contents(HERE) == (rewrapped, sidecar_of(rewrapped))


def test_a_repair_without_its_lock_puts_no_older_sidecar_in_place(rig: StorageRig) -> None:
    """A slow reader takes the newer sidecar away, which then looks as if a blob were put back."""
    commit(rig.storage(), HERE, OLD)
    commit(rig.storage(), HERE, NEW)
    rig.shared.remove(rig.files(HERE)[1])
    generous = rig.storage(GenerousFilesystem(rig.shared.filesystem))

    def overtaken(parsed: blob.Parsed) -> blob.Body:
        commit(generous, HERE, LATER)
        return opener(HERE)(parsed)

    with pytest.raises(BusyError):
        rig.storage().load(HERE, overtaken)
    assert state(rig.storage(), HERE) == (3, LATER)
    assert rig.temporaries(HERE) == []


@pytest.mark.parametrize("over_s", [-0.5, 0.5], ids=["in time", "too late"])
def test_a_lock_that_was_held_for_too_long_is_not_relied_on(
    rig: StorageRig, storage: EntityStorage, over_s: float
) -> None:
    """A worker that was asleep commits under a lock that others have been given meanwhile."""
    commit(storage, HERE, OLD)
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        rig.clock.advance(limits.LOCK_HELD_SECONDS_MAX + over_s)
        if over_s < 0:
            transaction.commit(sealed(HERE, 2, NEW), nothing)
        else:
            with rig.unchanged(HERE), pytest.raises(UnavailableError, match="too long"):
                transaction.commit(sealed(HERE, 2, NEW), nothing)
    assert state(storage, HERE) == ((2, NEW) if over_s < 0 else (1, OLD))
