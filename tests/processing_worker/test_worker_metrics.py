"""What a worker counts of its work, and of what goes wrong with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from main_api.adapters.processing_workers import GrpcWorkers
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from processing_fn.service.instruments import Instruments
from processing_fn.service.requests import Put
from processing_fn.service.session import Lease, open_session
from processing_fn.storage.locks import EntityLocks
from strongroom.clock import SystemClock
from strongroom.configuration import Database
from strongroom.durable import LocalFilesystem
from strongroom.errors import BusyError, IntegrityError, NotFoundError, UnavailableError
from strongroom.keyring import WORKER_PURPOSES
from strongroom.layout import BLOB_SUFFIX
from strongroom.metrics import catalogue
from strongroom.metrics.instruments import OTHER, Distribution, Metrics
from strongroom_pb.v1 import processing_pb2
from tests.support.engines import AT, Rig, Worker
from tests.support.held_identities import live
from tests.support.main_fakes import a_worker
from tests.support.rpc_mains import SECONDS, Pki

DATABASE = Database(name="people", incarnation="00" * 16, schema_id="person.v1", created_at=AT)


@pytest.fixture
def metrics() -> Metrics:
    """What it counts with."""
    return Metrics()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A shared directory with one entity."""
    found = Rig(tmp_path / "shared", clock=SystemClock())
    found.worker().engine.put(found.binding, Put("key", b'{"n": 1}'))
    yield found
    found.close()


@pytest.fixture
def worker(rig: Rig, metrics: Metrics) -> Worker:
    """A worker with nothing in its cache."""
    lease = Lease(rig.clock, rig.clock.boot_s() + 1_000)
    keys = rig.keys.of(WORKER_PURPOSES)
    session = open_session(rig.keys.deployment, "worker-1", lease, keys, Instruments(metrics))
    return rig.worker(session=session)


def _counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return what was counted, by name and labels; of a histogram how many observations."""
    return {
        (sample.metric.name, *sample.labels): sum(sample.value.counts)
        if isinstance(sample.value, Distribution)
        else sample.value
        for sample in metrics.counted()
    }


def _blob(rig: Rig) -> Path:
    (found,) = Path(rig.layout.files()).rglob(f"*{BLOB_SUFFIX}")
    return found


def test_what_does_not_open_or_cannot_be_encrypted_is_counted(
    rig: Rig, worker: Worker, metrics: Metrics
) -> None:
    """Files are changed on the disk, or a key is gone, and no alarm comes."""
    blob = _blob(rig)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        worker.engine.get(rig.binding, "key")
    with pytest.raises(IntegrityError):
        worker.engine.put(rig.binding, Put("key", b'{"n": 2}'))
    assert _counted(metrics)[catalogue.DECRYPT_FAILURES.name,] == 2
    assert _counted(metrics)[catalogue.ENCRYPT_FAILURES.name,] == 0
    blob.write_bytes(whole)
    worker.session.data_keys.forget()
    with pytest.raises(UnavailableError):
        worker.engine.put(rig.binding, Put("another", b'{"n": 2}'))
    assert _counted(metrics)[catalogue.ENCRYPT_FAILURES.name,] == 1
    assert _counted(metrics)[catalogue.DECRYPT_FAILURES.name,] == 2


def test_operations_are_timed_by_how_they_end(
    rig: Rig, worker: Worker, metrics: Metrics, tmp_path: Path
) -> None:
    """Nobody sees that reads fail, or that a file is damaged in a way that no key is asked for."""
    pki = Pki.make(tmp_path / "pki", ["worker-1"])
    service = ProcessingService(lambda: worker.engine, dict, lambda: None, metrics=metrics)
    grpc_server, port = server.start(service, live(pki.workers["worker-1"]), "127.0.0.1:0")
    client = GrpcWorkers(live(pki.main))
    there = a_worker("worker-1", address=f"127.0.0.1:{port}")
    client.get(there, DATABASE, "key", 0, SECONDS)
    with pytest.raises(NotFoundError):
        client.get(there, DATABASE, "missing", 0, SECONDS)
    worker.cache.clear()
    blob = _blob(rig)
    blob.write_bytes(b"no blob at all")
    with pytest.raises(IntegrityError):
        client.get(there, DATABASE, "key", 0, SECONDS)
    (answer,) = client.get_many(there, DATABASE, ["key"], SECONDS).result()
    assert isinstance(answer, IntegrityError)
    client.close()
    grpc_server.stop(None).wait()
    times = catalogue.OPERATION_SECONDS.name
    found = {key[1:]: count for key, count in _counted(metrics).items() if key[0] == times}
    assert found == {
        ("get", "ok"): 1,
        ("get", "not-found"): 1,
        ("get", "integrity-error"): 1,
        ("get-many", "ok"): 1,
    }
    assert _counted(metrics)[catalogue.INTEGRITY_ERRORS.name,] == 2


def test_a_number_that_is_no_operation_makes_no_label(metrics: Metrics) -> None:
    """A Main Worker of another release, or a stolen one, makes labels without end."""
    service = ProcessingService(lambda: None, dict, lambda: None, metrics=metrics)  # type: ignore[arg-type,return-value]
    for number in range(100, 150):
        service._times[number, "ok"](0.1)  # noqa: SLF001 - what every handler does
    assert len(service._times) == 0  # noqa: SLF001 - as above
    known = len(processing_pb2.Operation.keys())
    assert known < 100
    assert _counted(metrics)[catalogue.OPERATION_SECONDS.name, OTHER, "ok"] == 50


def test_waits_for_a_lock_are_timed_whether_it_was_had_or_not(rig: Rig, metrics: Metrics) -> None:
    """Writers wait for each other, and nobody sees for how long."""
    holder = EntityLocks(LocalFilesystem(), rig.layout, SystemClock())
    waiter = EntityLocks(LocalFilesystem(), rig.layout, SystemClock(), metrics)
    file_id = b"\7" * 32
    with holder.exclusive(file_id), pytest.raises(BusyError), waiter.exclusive(file_id, 0.05):
        pytest.fail("two hold the lock")
    with pytest.raises(BusyError, match="of the one who holds it"), waiter.exclusive(file_id):
        raise BusyError("of the one who holds it")
    found = {sample.labels: sample.value for sample in metrics.counted()}
    refused, had = found["refused",], found["had",]
    assert isinstance(refused, Distribution)
    assert isinstance(had, Distribution)
    assert sum(refused.counts) == 1
    assert 0.03 < refused.total < 5
    assert sum(had.counts) == 1
    assert had.total < 5
    holder.close()
    waiter.close()
