"""The port `EntityStorage` on a disk that fails: at every call of whatever it does.

What it may answer then is "unavailable", with everything as it was, or "outcome unknown", with the
worker out of service. Half a write, wrong data and "there is no such entity" it may not.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processing_fn.domain.coherence import witness
from processing_fn.service.ports import EntityStorage, Place
from strongroom.errors import OutcomeUnknownError, UnavailableError
from tests.support.filesystems import CALLS, CountingFilesystem, FailingFilesystem
from tests.support.shared_directories import shared_directory
from tests.support.storages import StorageRig, commit, place, state

CODES = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.ESTALE]
FULL = {errno.ENOSPC, errno.EDQUOT}
CALLS_MAX = 300
ENDING = frozenset({"close", "unlock"})
HERE = place(0x11)

code_by_name = pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])


@pytest.fixture(params=["unsynced", "memory"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageRig]:
    """Return an empty shared directory: of real files, which nobody waits for, or in memory."""
    made = StorageRig(shared_directory(request.param, tmp_path))
    yield made
    made.close()


def failure(code: int) -> OSError:
    """Return an error as the kernel would raise it."""
    return OSError(code, os.strerror(code))


def attempts(failing: FailingFilesystem, code: int, *, lasting: bool = False) -> Iterator[int]:
    """Fail the first call, then the second one and so on, until there was none left to fail."""
    for nth in range(CALLS_MAX):
        failing.arm(nth, failure(code), lasting=lasting)
        yield nth
        failing.disarm()
        if not failing.failed:
            return
    pytest.fail("there are more calls than expected")


def outcome_of(code: int, use: Callable[[], object]) -> str:
    """Return how a use ended: "done", "unavailable" or "unknown"."""
    try:
        use()
    except OutcomeUnknownError:
        return "unknown"
    except UnavailableError as error:
        refusal = error
    else:
        return "done"
    assert (refusal.detail == "the storage is full") == (code in FULL)
    return "unavailable"


# -- commits ---------------------------------------------------------------------------------------

PLACES: dict[str, Callable[[int], Place]] = {
    "the first of a database": lambda nth: place(0x11, f"db-{nth}"),
    "one more of a shard": lambda nth: place(0x11 + 256 * nth),
    "a replacement": lambda _: HERE,
}


@code_by_name
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("which", PLACES)
def test_an_error_at_every_call_of_a_commit(
    rig: StorageRig, which: str, code: int, *, lasting: bool
) -> None:
    """A disk that fails somewhere in a write leaves a half state, or a wrong answer."""
    failing = FailingFilesystem(rig.shared.filesystem)
    outcomes = _outcomes_of_commits(rig, failing, PLACES[which], code, lasting=lasting)
    assert outcomes.count("unknown") == 3
    assert outcomes.count("unavailable") > 10
    assert outcomes[-1] == "done"


@pytest.mark.parametrize("which", PLACES)
def test_an_error_at_every_close_and_unlock_of_a_commit(rig: StorageRig, which: str) -> None:
    """A write fails when everything was done, or the entity stays locked for ever."""
    failing = FailingFilesystem(rig.shared.filesystem, spared=frozenset(CALLS) - ENDING)
    outcomes = _outcomes_of_commits(rig, failing, PLACES[which], errno.EIO, lasting=False)
    assert "unknown" not in outcomes
    assert outcomes[-3:] == ["done"] * 3, "the directory's close and the unlock come after the end"


def _outcomes_of_commits(
    rig: StorageRig,
    failing: FailingFilesystem,
    place_of: Callable[[int], Place],
    code: int,
    *,
    lasting: bool,
) -> list[str]:
    outcomes = []
    healthy = rig.storage()
    commit(healthy, HERE, b"0")
    for nth in attempts(failing, code, lasting=lasting):
        at, document = place_of(nth), b"%d" % (nth + 1)
        old = state(healthy, at)
        new = (1 if old is None else old[0] + 1, document)
        files = rig.contents(at)
        rig.out_of_service = 0
        outcome = outcome_of(code, lambda: commit(rig.storage(failing), at, document))  # noqa: B023
        failing.disarm()
        # After a failed fsync the page cache cannot be believed any more.
        assert bool(rig.out_of_service) == (outcome == "unknown" or failing.failed == "fsync")
        if outcome == "unavailable":
            assert rig.contents(at) == files
        if not lasting:
            assert rig.temporaries(at) == []
        found = state(healthy, at)
        assert (found == new and outcome != "unavailable") or (found == old and outcome != "done")
        assert commit(healthy, at, b"after") in {new[0], new[0] + 1}, "it can be written"
        outcomes.append(outcome)
    return outcomes


def test_an_error_at_every_call_of_a_removal(rig: StorageRig) -> None:
    """A disk that fails somewhere in a removal leaves what looks like damage."""
    failing = FailingFilesystem(rig.shared.filesystem)
    outcomes = []
    for _ in attempts(failing, errno.EIO):
        version = commit(rig.storage(), HERE, b"old")
        outcomes.append(outcome_of(errno.EIO, lambda: _remove(rig.storage(failing))))
        found = state(rig.storage(), HERE)
        assert found is None or (found == (version, b"old") and outcomes[-1] == "unavailable")
    assert set(outcomes[:-1]) == {"unavailable"}
    assert outcomes[-1] == "done"


def _remove(storage: EntityStorage) -> None:
    with storage.exclusive(HERE) as transaction:
        transaction.current()
        transaction.remove()


# -- reads -----------------------------------------------------------------------------------------


def _as_it_should_be(_rig: StorageRig) -> None:
    return


def _behind(rig: StorageRig) -> None:
    before = rig.contents(HERE)[1]
    assert before is not None
    commit(rig.storage(), HERE, b"new")
    rig.shared.write(rig.files(HERE)[1], before)


def _missing(rig: StorageRig) -> None:
    rig.shared.remove(rig.files(HERE)[1])


@code_by_name
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("prepare", [_as_it_should_be, _behind, _missing])
def test_an_error_at_every_call_of_a_load(
    rig: StorageRig, prepare: Callable[[StorageRig], None], code: int, *, lasting: bool
) -> None:
    """A disk that fails somewhere in a read ends in a wrong answer, or in "not found"."""
    failing = FailingFilesystem(rig.shared.filesystem)
    commit(rig.storage(), HERE, b"old")
    outcomes = []
    for _ in attempts(failing, code, lasting=lasting):
        prepare(rig)
        raw = rig.contents(HERE)[0]
        descriptors = rig.shared.descriptors()
        rig.out_of_service = 0
        found: list[object] = []
        process = rig.storage(failing)
        outcomes.append(outcome_of(code, lambda: found.append(state(process, HERE))))  # noqa: B023
        failing.disarm()
        assert rig.shared.descriptors() <= descriptors + 1, "more than its lock file stays open"
        truth = state(rig.storage(), HERE)
        assert found == ([truth] if outcomes[-1] == "done" else [])
        assert rig.contents(HERE)[0] == raw
        assert lasting or rig.temporaries(HERE) == []
        assert bool(rig.out_of_service) == (failing.failed == "fsync")
    assert set(outcomes[:-1]) == {"unavailable"}
    assert outcomes[-1] == "done"
    assert len(outcomes) > (5 if prepare is _as_it_should_be else 15)


OTHER_USES: dict[str, Callable[[EntityStorage], object]] = {
    "is_current": lambda storage: storage.is_current(HERE, witness(b"anything")),
    "file_ids": lambda storage: list(storage.file_ids("people", b"")),
    "databases": lambda storage: storage.databases(),
    "sidecars": lambda storage: list(storage.sidecars("people", 0x11)),
    "peek": lambda storage: storage.peek(HERE),
    "shard": lambda storage: storage.shard("people", 0x11),
    "strangers": lambda storage: storage.strangers("people"),
    "sweep": lambda storage: storage.sweep("people", 0x11),
    "sweep_configuration": lambda storage: storage.sweep_configuration(),
}


@pytest.mark.parametrize("use", OTHER_USES)
def test_an_error_at_every_call_of_everything_else(rig: StorageRig, use: str) -> None:
    """While the disk fails, a listing ends early or a cached document is no longer current."""
    commit(rig.storage(), HERE, b"old")
    rig.shared.write(rig.shard(HERE) / ".tmp-0123456789abcdef", b"left by a crash")
    rig.clock.now_wall_ms *= 2
    failing = FailingFilesystem(rig.shared.filesystem)
    outcomes = [
        outcome_of(errno.EIO, lambda: OTHER_USES[use](rig.storage(failing)))
        for _ in attempts(failing, errno.EIO)
    ]
    assert set(outcomes[:-1]) == {"unavailable"}
    assert outcomes[-1] == "done"


# -- fsync -----------------------------------------------------------------------------------------

SYNCING: dict[str, Callable[[StorageRig, EntityStorage], object]] = {
    "the first of a database": lambda _, storage: commit(storage, place(0x11, "others"), b"new"),
    "a replacement": lambda _, storage: commit(storage, HERE, b"new"),
    "a repair": lambda _, storage: state(storage, HERE),
}


@pytest.mark.parametrize("use", SYNCING)
def test_a_failed_fsync_is_never_tried_again(rig: StorageRig, use: str) -> None:
    """A second fsync succeeds although the first one's pages are lost."""
    failing = FailingFilesystem(rig.shared.filesystem, spared=frozenset(CALLS) - {"fsync"})
    outcomes = []
    for nth in attempts(failing, errno.EIO):
        commit(rig.storage(), HERE, b"old")
        _missing(rig)
        counted = CountingFilesystem(failing)
        storage = rig.storage(counted)
        outcomes.append(outcome_of(errno.EIO, lambda: SYNCING[use](rig, storage)))  # noqa: B023
        failed = outcomes[-1] != "done"
        assert counted.calls.count("fsync") == nth + failed
        if failed:
            assert "rename" not in counted.calls[_position(counted.calls, "fsync", nth) :]
    assert len(outcomes) > 2


def _position(calls: list[str], name: str, nth: int) -> int:
    return [at for at, call in enumerate(calls) if call == name][nth]
