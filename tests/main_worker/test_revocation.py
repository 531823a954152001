"""A revoked worker: no keys, no token, no stream, no request, until it is reinstated."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from main_api.domain.grants import Action, Grant
from main_api.domain.registry import Revocation, WorkerRecord
from strongroom import limits
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
    StrongroomError,
    UnavailableError,
)
from strongroom.layout import Layout
from tests.support.mains import AT, MainRig
from tests.support.served_mains import Served

WORKER = "worker-1"
PATIENCE_S = 20


def revoke(served: Served) -> None:
    """Revoke worker-1 as an administrator does."""
    served.rig.administration.revoke_worker(served.rig.caller(client_id="admin"), WORKER)


def test_everything_is_refused_from_that_moment_on(served: Served) -> None:
    """A stolen worker gets the keys of today with yesterday's token, or with its certificate."""
    worker, other = served.worker(WORKER), served.worker("worker-2")
    early = worker.subscribe().token
    token = worker.register(worker.subscribe().token, "127.0.0.1:1").token
    theirs = other.register(other.subscribe().token, "127.0.0.1:2").token
    assert served.live() == [WORKER, "worker-2"]
    revoke(served)
    assert served.live() == ["worker-2"]
    calls: list[Callable[[], object]] = [
        worker.subscribe,
        lambda: worker.register(early, "127.0.0.1:1"),
        lambda: worker.register(token, "127.0.0.1:1"),
        lambda: worker.renew(token, "", 0),
        lambda: worker.fetch_keys(token),
        lambda: next(iter(worker.watch(token))),
        lambda: worker.leave(token),
    ]
    for call in calls:
        with pytest.raises(ForbiddenError, match="revoked"):
            call()
    other.renew(theirs, "", 0)
    other.fetch_keys(theirs)
    worker.close()
    other.close()


def test_its_event_stream_is_cut_and_no_other(served: Served) -> None:
    """A revoked worker keeps its keys until it happens to renew its lease."""
    told: list[StrongroomError | int] = []
    streams, threads = [], []
    for name in (WORKER, "worker-2"):
        worker = served.worker(name)
        token = worker.register(worker.subscribe().token, "127.0.0.1:1").token
        streams.append((worker, worker.watch(token)))

    def listen(nth: int) -> None:
        try:
            told.extend(streams[nth][1])
        except StrongroomError as error:
            told.append(error)

    for nth in range(2):
        threads.append(threading.Thread(target=listen, args=(nth,)))
        threads[-1].start()
    revoke(served)
    threads[0].join(PATIENCE_S)
    assert not threads[0].is_alive()
    assert threads[1].is_alive()
    assert [type(one) for one in told if not isinstance(one, int)] == [ForbiddenError]
    for worker, stream in streams:
        stream.cancel()
        worker.close()
    threads[1].join(PATIENCE_S)


def test_a_renewal_under_way_does_not_outlive_a_revocation(served: Served) -> None:
    """A renewal that had just been let in puts the revoked worker back into service."""
    worker = served.worker(WORKER)
    token = worker.register(worker.subscribe().token, "127.0.0.1:1").token
    store = served.rig.store
    put = store.put_worker

    def revoked_meanwhile(worker: WorkerRecord) -> None:
        store.revocations.put(WORKER, Revocation(worker_id=WORKER, revoked_at=AT))
        put(worker)

    store.put_worker = revoked_meanwhile  # type: ignore[method-assign]
    with pytest.raises(ForbiddenError, match="revoked"):
        worker.renew(token, "", 0)
    assert served.live() == []
    worker.close()


def test_a_reinstated_worker_comes_back(served: Served) -> None:
    """A worker that was revoked by mistake needs another name and certificate."""
    worker = served.worker(WORKER)
    worker.register(worker.subscribe().token, "127.0.0.1:1")
    revoke(served)
    served.rig.administration.reinstate_worker(served.rig.caller(client_id="b"), WORKER)
    served.rig.clock.advance(1)
    worker.register(worker.subscribe().token, "127.0.0.1:2")
    assert served.live() == [WORKER]
    worker.close()


def test_a_revocation_outlives_the_registry(served: Served) -> None:
    """A revoked worker only has to wait until the registry is swept."""
    worker, other = served.worker(WORKER), served.worker("worker-2")
    worker.register(worker.subscribe().token, "127.0.0.1:1")
    revoke(served)
    served.rig.clock.advance(limits.REGISTRY_KEPT_SECONDS + limits.LEASE_SECONDS + 1)
    other.register(other.subscribe().token, "127.0.0.1:2")
    assert served.rig.store.worker(WORKER) is None
    with pytest.raises(ForbiddenError):
        worker.subscribe()
    worker.close()
    other.close()


def test_what_a_revoked_worker_may_still_write_stays_on_record(served: Served) -> None:
    """A key is destroyed while a worker that nobody reaches commits under it."""
    worker = served.worker(WORKER)
    worker.register(worker.subscribe().token, "127.0.0.1:1")
    before = served.rig.store.worker(WORKER)
    revoke(served)
    assert served.rig.store.worker(WORKER) == before
    assert before is not None
    assert before.is_live(served.rig.clock.wall_ms())
    worker.close()


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_revocation_is_one(served: Served, tmp_path: Path, damage: bytes) -> None:
    """Whoever can write the disk, and has no key, puts a revoked worker back into service."""
    worker = served.worker(WORKER)
    worker.register(worker.subscribe().token, "127.0.0.1:1")
    revoke(served)
    Layout(tmp_path).record("revocations", WORKER).write_bytes(damage)
    with pytest.raises(ForbiddenError):
        worker.subscribe()
    assert served.live() == []
    caller = served.rig.caller(client_id="b")
    shown = served.rig.administration.revoked_workers(caller)
    assert shown == [Revocation(worker_id=WORKER, revoked_at="")]
    served.rig.administration.reinstate_worker(caller, WORKER)
    worker.subscribe()
    worker.close()


def test_revocations_that_cannot_be_read_let_nobody_in(served: Served, tmp_path: Path) -> None:
    """While the disk refuses, a revoked worker gets the keys."""
    worker = served.worker(WORKER)
    token = worker.register(worker.subscribe().token, "127.0.0.1:1").token
    Layout(tmp_path).records("revocations").write_bytes(b"no directory")
    for call in (worker.subscribe, lambda: worker.renew(token, "", 0)):
        with pytest.raises(UnavailableError):
            call()
    with pytest.raises(UnavailableError):
        served.live()
    worker.close()


# -- who may, and whom -----------------------------------------------------------------------------


def test_only_a_worker_that_is_known_is_revoked_by_name() -> None:
    """A typing error revokes nobody, and is answered with 204."""
    rig = MainRig()
    rig.add_workers("worker-1")
    caller = rig.caller()
    with pytest.raises(NotFoundError, match="unseen=true"):
        rig.administration.revoke_worker(caller, "worker-2")
    with pytest.raises(NotFoundError):
        rig.administration.reinstate_worker(caller, "worker-1")
    for name in ("", "../clients/admin", "WORKER"):
        with pytest.raises(InvalidArgumentError):
            rig.administration.revoke_worker(caller, name, unseen=True)
        with pytest.raises(InvalidArgumentError):
            rig.administration.reinstate_worker(caller, name)
    assert rig.administration.revoked_workers(caller) == []
    # One that was switched off long ago may have been stolen all the same.
    rig.administration.revoke_worker(caller, "worker-2", unseen=True)
    rig.administration.revoke_worker(caller, "worker-1")
    first = rig.administration.revoked_workers(caller)
    assert [one.worker_id for one in first] == ["worker-1", "worker-2"]
    rig.clock.advance(60)
    rig.administration.revoke_worker(caller, "worker-1")
    assert rig.administration.revoked_workers(caller) == first, "the first instant stays"


def test_it_takes_admin_on_every_database() -> None:
    """Who administers one database takes workers from all others."""
    rig = MainRig()
    rig.add_workers("worker-1")
    mine = Grant(database="chatdb", actions=frozenset(Action))
    caller = rig.caller(mine)
    for call in (
        lambda: rig.administration.revoke_worker(caller, "worker-1"),
        lambda: rig.administration.revoke_worker(caller, "no-such-worker"),
        lambda: rig.administration.reinstate_worker(caller, "worker-1"),
        lambda: rig.administration.revoked_workers(caller),
    ):
        with pytest.raises(ForbiddenError):
            call()
    assert rig.memory.revocations.names() == []


def test_a_stream_that_was_opened_late_is_refused_too(served: Served) -> None:
    """Between two looks at the disk a revoked worker opens a stream, and keeps it."""
    worker = served.worker(WORKER)
    token = worker.register(worker.subscribe().token, "127.0.0.1:1").token
    revoke(served)
    with pytest.raises(ForbiddenError):
        for _ in worker.watch(token):
            pass
    worker.close()
