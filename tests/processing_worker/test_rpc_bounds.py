"""Bounds of what a Main Worker may ask of a Processing Worker, at n and at n + 1, over gRPC."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from main_api.adapters.processing_workers import GrpcWorkers
from main_api.domain.registry import WorkerRecord
from main_api.service.workers.ports import Found, WriteItem, WriteKind, Written
from processing_fn.rpc import server
from processing_fn.rpc.processing_service import ProcessingService
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom.configuration import Database
from strongroom.errors import InvalidArgumentError
from tests.support.engines import AT, Rig
from tests.support.filesystems import UnsyncedFilesystem
from tests.support.held_identities import live
from tests.support.main_fakes import a_worker
from tests.support.rpc_mains import SECONDS, Pki

DATABASE = Database(name="people", incarnation="00" * 16, schema_id="person.v1", created_at=AT)
MOST = limits.ENTITIES_PER_REQUEST_MAX


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a shared directory."""
    return Rig(tmp_path / "shared", filesystem=UnsyncedFilesystem())


@pytest.fixture
def served(rig: Rig, tmp_path: Path) -> Iterator[tuple[GrpcWorkers, WorkerRecord]]:
    """Serve an engine, and return how a Main Worker reaches it."""
    pki = Pki.make(tmp_path / "pki", ["worker-1"])
    engine = rig.worker().engine
    service = ProcessingService(lambda: engine, dict, lambda: None)
    grpc_server, port = server.start(service, live(pki.workers["worker-1"]), "127.0.0.1:0")
    client = GrpcWorkers(live(pki.main))
    yield client, a_worker("worker-1", address=f"127.0.0.1:{port}")
    client.close()
    grpc_server.stop(None).wait()


def test_a_request_names_so_many_entities_and_no_more(
    served: tuple[GrpcWorkers, WorkerRecord], rig: Rig
) -> None:
    """A worker takes more entities at once than a Main Worker may send, or fewer."""
    client, worker = served
    items = [WriteItem(WriteKind.PUT, f"k{number}", b"{}") for number in range(MOST + 1)]
    keys = [item.key for item in items]
    written = client.put_many(worker, DATABASE, items[:MOST], SECONDS)
    assert [type(answer) for answer in written] == [Written] * MOST
    found = client.get_many(worker, DATABASE, keys[:MOST], SECONDS).result()
    assert [type(answer) for answer in found] == [Found] * MOST
    assert client.validate(worker, DATABASE, items[:MOST], SECONDS) == [None] * MOST
    with pytest.raises(InvalidArgumentError):
        client.put_many(worker, DATABASE, items, SECONDS)
    with pytest.raises(InvalidArgumentError):
        client.delete_many(worker, DATABASE, items, SECONDS)
    with pytest.raises(InvalidArgumentError):
        client.get_many(worker, DATABASE, keys, SECONDS).result()
    # Nothing of the request that was refused has been done.
    assert rig.worker("other").get("k0") == (1, b"{}")


@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"], ids=["short", "long"])
def test_what_would_refuse_each_of_many_fits_into_one_answer(
    served: tuple[GrpcWorkers, WorkerRecord], rig: Rig, letter: str
) -> None:
    """Many documents with much wrong in each cannot be tried: there is never room for it."""
    client, worker = served
    rig.put_template(b'{"additionalProperties": {"additionalProperties": {"type": "string"}}}')
    wrong = {letter * 1000: {f"m{number}": number for number in range(60)}}
    document = json.dumps(wrong, ensure_ascii=False).encode()
    items = [WriteItem(WriteKind.PUT, f"k{number}", document) for number in range(MOST)]
    verdicts = client.validate(worker, DATABASE, items, SECONDS)
    told = [len(verdict.violations) for verdict in verdicts if verdict is not None]
    assert len(told) == MOST
    assert (told[0], told[-1]) == (limits.VIOLATIONS_REPORTED_MAX, 1)
    (alone,) = client.validate(worker, DATABASE, items[-1:], SECONDS)
    assert alone is not None
    assert len(alone.violations) == limits.VIOLATIONS_REPORTED_MAX


def test_a_lifetime_ends_exactly_at_its_bound(
    served: tuple[GrpcWorkers, WorkerRecord], rig: Rig
) -> None:
    """A worker takes a lifetime that no time stamp can express, or refuses the longest one."""
    client, worker = served

    def put(ttl_seconds: int) -> Written:
        item = WriteItem(WriteKind.PUT, "a", b"{}", ttl_seconds=ttl_seconds)
        return client.write(worker, DATABASE, item, SECONDS)

    longest = put(limits.TTL_SECONDS_MAX)
    ends_at_ms = rig.clock.wall_ms() + limits.TTL_SECONDS_MAX * 1000
    assert longest.metadata.expires_at == rfc3339(ends_at_ms)
    for out_of_bounds in (limits.TTL_SECONDS_MAX + 1, -1):
        with pytest.raises(InvalidArgumentError):
            put(out_of_bounds)
    assert rig.worker("other").get("a") == (1, b"{}")
