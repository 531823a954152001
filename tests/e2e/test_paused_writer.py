"""A writer that is stopped, or whose disk fails, while it holds a lock: with real processes."""

import errno
import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import pytest

from strongroom import limits
from strongroom.errors import StrongroomError, UnavailableError
from tests.support.deployment import CHAT, Deployment, wait_until
from tests.support.faulty_worker import Fault, FaultyWorker

LONG_S = 60.0
MANY = 3
OTHERS = 5
BEFORE_THE_COMMIT_POINT = Fault("fsync")
AT_THE_COMMIT_POINT = Fault("rename")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with one worker in good health."""
    deployment = Deployment(tmp_path_factory.mktemp("faults"), ("--workers", "1")).start()
    yield deployment
    assert deployment.stop() == 0


@pytest.fixture
def http(running: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with running.http() as client:
        yield client


@pytest.fixture
def faulty(running: Deployment) -> Iterator[FaultyWorker]:
    """One more worker, whose writes can be made to meet a fault."""
    worker = FaultyWorker(running, f"faulty-{next(_numbers)}")
    worker.start()
    yield worker
    worker.end()


def _key(wanted: Callable[[str], bool]) -> str:
    """Return a new key that has a property."""
    return next(key for n in _numbers if wanted(key := f"paused-{n}"))


def _asked_first(faulty: FaultyWorker) -> str:
    return _key(lambda key: faulty.is_first_for(key, "worker-1"))


def _asked_last(faulty: FaultyWorker) -> str:
    return _key(lambda key: not faulty.is_first_for(key, "worker-1"))


def _document(number: int) -> dict[str, object]:
    return {**CHAT, "n": number}


def _put(http: httpx.Client, key: str, number: int) -> httpx.Response:
    return http.put("/entity/chatdb", json={key: _document(number)})


def _read(http: httpx.Client, key: str) -> tuple[int, str]:
    """Return (the number in the document, ETag)."""
    answer = http.get("/entity/chatdb", params={"key": key})
    assert answer.status_code == 200, answer.text
    return answer.json()[key]["n"], answer.headers["ETag"]


def _kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def test_a_stopped_writer_holds_up_its_own_entity_and_no_other(
    http: httpx.Client, faulty: FaultyWorker
) -> None:
    """One stopped process stops the service, hangs its clients, or writes over what came later."""
    key, its_own = _asked_last(faulty), _asked_first(faulty)
    assert _put(http, key, 1).status_code == 201
    faulty.arm(AT_THE_COMMIT_POINT)
    with ThreadPoolExecutor(limits.LOCK_WAITERS_MAX + 3) as pool:
        stopped = pool.submit(faulty.put, key, json.dumps(_document(2)).encode(), LONG_S)
        assert wait_until(faulty.is_stopped, LONG_S)
        waiting = [pool.submit(_put, http, key, 3) for _ in range(limits.LOCK_WAITERS_MAX + 1)]
        handed_on = pool.submit(_put, http, its_own, 1)
        for _ in range(OTHERS):
            assert _put(http, _asked_last(faulty), 1).status_code == 201
        assert _read(http, key) == (1, '"1"')
        # One more than may wait is told so at once.
        first = next(as_completed(waiting)).result()
        assert first.json()["detail"] == "too many wait for this entity"
        assert sum(future.done() for future in waiting) == 1
        for answer in [future.result() for future in waiting]:
            assert (answer.status_code, _kind(answer)) == (503, "busy")
            assert int(answer.headers["Retry-After"]) >= 1
        assert handed_on.result().status_code == 201
        assert _read(http, key) == (1, '"1"')
        faulty.resume()
        assert stopped.result().metadata.version == 2
    assert _read(http, key) == (2, '"2"')
    assert _put(http, key, 4).headers["ETag"] == '"3"'
    # What was asked of the stopped worker first, and done by the other one, is not done again.
    assert _read(http, its_own) == (1, '"1"')


def test_a_writer_that_was_stopped_for_a_moment_goes_on(
    http: httpx.Client, faulty: FaultyWorker
) -> None:
    """A process that was stopped for a moment loses the write in its hands."""
    key = _asked_last(faulty)
    assert _put(http, key, 1).status_code == 201
    faulty.arm(BEFORE_THE_COMMIT_POINT)
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(faulty.put, key, json.dumps(_document(2)).encode(), LONG_S)
        assert wait_until(faulty.is_stopped, LONG_S)
        faulty.resume()
        assert stopped.result().metadata.version == 2
    assert _read(http, key) == (2, '"2"')


@pytest.mark.parametrize(
    ("passed_s", "reason"),
    [
        (limits.LEASE_SECONDS + 1.0, "lease has ended"),
        (limits.LOCK_HELD_SECONDS_MAX + 1.0, "held for too long"),
    ],
)
def test_a_writer_that_was_stopped_for_too_long_is_refused(
    http: httpx.Client, running: Deployment, faulty: FaultyWorker, passed_s: float, reason: str
) -> None:
    """A process that was stopped for long commits without a lease, or without its lock."""
    key = _asked_last(faulty)
    assert _put(http, key, 1).status_code == 201
    faulty.arm(Fault("fsync", passed_s=passed_s))
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(faulty.put, key, json.dumps(_document(2)).encode(), LONG_S)
        assert wait_until(faulty.is_stopped, LONG_S)
        faulty.resume()
        refused = stopped.exception()
    assert type(refused) is UnavailableError
    assert reason in refused.detail
    assert _read(http, key) == (1, '"1"')
    assert _put(http, key, 3).headers["ETag"] == '"2"'
    assert not list((running.shared_dir / "files").rglob(".tmp-*"))


@pytest.mark.parametrize(
    ("fault", "leaves"),
    [(Fault("write", 0, errno.ENOSPC), False), (Fault("fsync", 0, errno.EIO), True)],
    ids=["a full disk", "a failed fsync"],
)
def test_an_error_before_the_commit_point_costs_the_client_nothing(
    http: httpx.Client, faulty: FaultyWorker, fault: Fault, *, leaves: bool
) -> None:
    """One worker's bad disk is a failed write, though another worker could take it."""
    key = _asked_first(faulty)
    assert _put(http, key, 1).status_code == 201
    faulty.arm(fault)
    answer = _put(http, key, 2)
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    assert faulty.has_met_its_fault()
    assert _read(http, key) == (2, '"2"')
    if leaves:
        # After a failed fsync nobody knows what the page cache holds.
        assert faulty.process.wait(LONG_S) == 1
    else:
        assert faulty.put(_asked_first(faulty), b'{"chat":[]}', LONG_S).created


@pytest.mark.parametrize("fault", [Fault("fsync", 1, errno.EIO), Fault("rename", 1, errno.EIO)])
def test_after_an_error_past_the_commit_point_the_worker_leaves(
    http: httpx.Client, faulty: FaultyWorker, fault: Fault
) -> None:
    """A client is told yes or no where nobody knows, or a worker with a broken disk goes on."""

    def listed() -> set[str]:
        return {one["worker_id"] for one in http.get("/workers").json()["workers"]}

    key = _asked_first(faulty)
    assert _put(http, key, 1).status_code == 201
    assert listed() == {"worker-1", faulty.worker_id}
    faulty.arm(fault)
    answer = _put(http, key, 2)
    assert (answer.status_code, _kind(answer)) == (503, "outcome-unknown")
    with pytest.raises(StrongroomError):
        faulty.put(_asked_first(faulty), json.dumps(_document(1)).encode(), LONG_S)
    assert faulty.process.wait(LONG_S) == 1
    assert listed() == {"worker-1"}
    seen = _read(http, key)
    assert seen in {(1, '"1"'), (2, '"2"')}
    assert [_read(http, key) for _ in range(MANY)] == [seen] * MANY
    assert _put(http, key, 3).headers["ETag"] == f'"{seen[0] + 1}"'
    faulty.start()
    assert listed() == {"worker-1", faulty.worker_id}
    assert _put(http, _asked_first(faulty), 1).status_code == 201
