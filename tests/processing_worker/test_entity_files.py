"""The commit, the read and the repair: what a crash, a bad disk or a thief can do to two files."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processing_fn.storage.overlap import AtOnce
from strongroom import blob
from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    OutcomeUnknownError,
    UnavailableError,
)
from tests.support.engines import Rig
from tests.support.filesystems import (
    CountingFilesystem,
    CountingOverlap,
    DyingFilesystem,
    FailingFilesystem,
    Killed,
    ObservedFilesystem,
)

OLD, NEW = b'{"n": 1}', b'{"n": 2}'


def test_a_put_leaves_two_files_and_nothing_else(rig: Rig) -> None:
    """Temporary files pile up, or the sidecar is missing."""
    worker = rig.worker()
    worker.put("a", OLD)
    blob_file, sidecar_file = worker.files("a")
    assert sorted(blob_file.parent.iterdir()) == [blob_file, sidecar_file]
    assert {path.stat().st_mode & 0o777 for path in (blob_file, sidecar_file)} == {0o600}


def test_the_sidecar_shows_the_header_and_no_secret(rig: Rig) -> None:
    """An auditor cannot see under which key a file lies, or anybody sees too much."""
    worker = rig.worker()
    worker.put("entity-key", b'{"text": "hush"}')
    blob_file, sidecar_file = worker.files("entity-key")
    sidecar = json.loads(sidecar_file.read_text())
    header = blob.parse(blob_file.read_bytes()).header
    assert set(sidecar) == {
        *("schema_id", "schema_version", "version", "created_at", "updated_at", "writer_id"),
        *("key_id", "alg", "iv", "tag", "format"),
    }
    assert (sidecar["iv"], sidecar["key_id"]) == (header.iv, header.key_id)
    everything = blob_file.read_bytes() + sidecar_file.read_bytes()
    assert b"hush" not in everything
    assert b"entity-key" not in everything


def test_calls_of_a_warm_read_a_cold_read_and_a_put(rig: Rig) -> None:
    """On a network filesystem an operation takes more round trips than designed (section 6)."""
    counted = CountingFilesystem()
    worker = rig.worker(filesystem=counted)
    worker.put("a", OLD)
    counted.calls.clear()
    worker.get("a")
    assert counted.calls == ["open_directory", "open", "read"]
    rig.is_network = False
    on_this_machine = rig.worker(filesystem=counted)
    on_this_machine.get("a")
    counted.calls.clear()
    on_this_machine.get("a")
    assert counted.calls == ["open", "read"]
    worker.cache.clear()
    counted.calls.clear()
    worker.get("a")
    assert counted.calls == ["open_directory", "open", "read", "open", "read"]


@pytest.mark.parametrize("entities", [1, 300])
def test_calls_of_a_put_in_sequence(rig: Rig, entities: int) -> None:
    """On a network filesystem a put takes more round trips than designed, or ever more of them."""
    counted = CountingFilesystem()
    overlap = CountingOverlap(counted)
    worker = rig.worker(filesystem=counted, overlap=overlap)
    for number in range(entities):
        worker.put(f"k{number}", OLD)
    for _ in range(2):
        worker.cache.clear()
        counted.calls.clear()
        overlap.saved = 0
        worker.put("k0", NEW)
        assert len(counted.calls) - overlap.saved <= 16, counted.calls


def test_a_directory_is_made_durable_once_for_each_process(rig: Rig) -> None:
    """A rewrap spends as much time on directories that are durable as on files."""
    rig.put_template(b"true", 2)
    first, names = rig.worker(), [f"k{number}" for number in range(60)]
    for name in names:
        first.put(name, OLD)
    counted = CountingFilesystem()
    worker = rig.worker("second", filesystem=counted)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda name: worker.put(name, NEW), names)) == {2}
    shards = {first.files(name)[0].parent for name in names}
    # The blob and its directory; above the shard, the database's; above these two more.
    expected = 2 * len(names) + len(shards) + 2
    # Threads that begin together may find nothing of what is above known yet.
    assert expected <= counted.calls.count("fsync") <= expected + 2 * 3


def test_two_things_at_once_are_one_write(rig: Rig) -> None:
    """On a network filesystem, where calls overlap, a write or its failure is another one."""
    failing = FailingFilesystem()
    overlap = AtOnce()
    rig.worker(overlap=overlap).put("a", OLD)
    for nth in range(100):
        worker = rig.worker("failing", filesystem=failing, overlap=overlap)
        before = rig.worker("before").get("a")[0]
        failing.arm(nth, OSError(errno.EIO, os.strerror(errno.EIO)))
        try:
            assert worker.put("a", NEW) == before + 1
        except OutcomeUnknownError:
            failing.disarm()
            assert rig.worker("reader").get("a")[0] in {before, before + 1}
        except UnavailableError:
            failing.disarm()
            assert rig.worker("reader").get("a")[0] == before
        else:
            break
    assert nth > 10
    assert not list(worker.files("a")[0].parent.glob(".tmp-*"))


@pytest.mark.parametrize("which", [0, 1])
def test_any_changed_bit_is_an_integrity_error_or_harmless(rig: Rig, which: int) -> None:
    """A flipped bit on the disk ends in wrong data."""
    writer = rig.worker()
    writer.put("a", OLD)
    path = writer.files("a")[which]
    intact = path.read_bytes()
    for position in range(len(intact)):
        for bit in (0, 7):
            changed = bytearray(intact)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            if which == 0:
                with pytest.raises(IntegrityError):
                    rig.worker("reader").get("a")
            else:
                _right_answer_or_integrity_error(rig)
            path.write_bytes(intact)


def test_truncation_at_every_length(rig: Rig) -> None:
    """A file that was cut short is served."""
    writer = rig.worker()
    writer.put("a", OLD)
    blob_file, sidecar_file = writer.files("a")
    for path in (blob_file, sidecar_file):
        intact = path.read_bytes()
        for length in range(len(intact)):
            path.write_bytes(intact[:length])
            if path == blob_file:
                with pytest.raises(IntegrityError):
                    rig.worker("reader").get("a")
            else:
                assert rig.worker("reader").get("a") == (1, OLD)
        path.write_bytes(intact)


def _right_answer_or_integrity_error(rig: Rig) -> None:
    try:
        assert rig.worker("reader").get("a") == (1, OLD)
    except IntegrityError:
        return


def test_a_blob_of_another_entity_does_not_open(rig: Rig) -> None:
    """Whoever can write the disk gives one person's record to another one."""
    worker = rig.worker()
    worker.put("mine", OLD)
    worker.put("yours", NEW)
    for mine, yours in zip(worker.files("mine"), worker.files("yours"), strict=True):
        mine.write_bytes(yours.read_bytes())
    with pytest.raises(IntegrityError):
        rig.worker("reader").get("mine")
    assert rig.worker("reader").get("yours") == (1, NEW)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", ["pipe", "directory", "link"])
def test_what_is_no_file_is_an_integrity_error_and_holds_nobody(
    rig: Rig, which: int, kind: str
) -> None:
    """A pipe in the place of a file holds a worker's thread for ever."""
    worker = rig.worker()
    worker.put("a", OLD)
    path = worker.files("a")[which]
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/etc/hostname")
    reader = rig.worker("reader")
    try:
        assert reader.get("a") == (1, OLD)
        assert which == 1
    except IntegrityError:
        pass


def test_a_kill_before_the_sidecar_is_renamed(rig: Rig) -> None:
    """A write that reached its commit point is half there."""
    crashing = rig.worker("dying", filesystem=DyingFilesystem(1, call="rename"))
    rig.worker().put("a", OLD)
    with pytest.raises(Killed):
        crashing.put("a", NEW)
    assert rig.worker("reader").get("a") == (2, NEW)
    assert rig.worker("writer").put("a", OLD) == 3


@pytest.mark.parametrize(("call", "nth"), [("fsync", 0), ("rename", 0), ("write", 1)])
def test_a_kill_before_the_commit_point_leaves_the_old_state(rig: Rig, call: str, nth: int) -> None:
    """A write that was never acknowledged replaces what was there."""
    rig.worker().put("a", OLD)
    crashing = rig.worker("dying", filesystem=DyingFilesystem(nth, call=call))
    with pytest.raises(Killed):
        crashing.put("a", NEW)
    assert rig.worker("reader").get("a") == (1, OLD)
    assert rig.worker("writer").put("a", NEW) == 2


@pytest.mark.parametrize(
    "code", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.ESTALE]
)
def test_an_error_at_every_call_of_a_put(rig: Rig, code: int) -> None:
    """A disk that fails somewhere in a write leaves a half state, or a wrong answer."""
    failing = FailingFilesystem()
    rig.worker().put("a", OLD)
    expected = 1
    for nth in range(100):
        worker = rig.worker("failing", filesystem=failing)
        failing.arm(nth, OSError(code, os.strerror(code)))
        document = b'{"n": %d}' % (nth + 10)
        try:
            worker.put("a", document)
        except OutcomeUnknownError:
            failing.disarm()
            version, found = rig.worker("reader").get("a")
            assert (version, found) == (expected + 1, document) or version == expected
            expected = version
            assert rig.broken.pop() == "failing"
        except UnavailableError:
            assert rig.worker("reader").get("a")[0] == expected
        else:
            break
        failing.disarm()
    assert failing.failed == ""
    assert nth > 10
    assert not list(worker.files("a")[0].parent.glob(".tmp-*"))


def test_an_error_at_every_call_of_a_read(rig: Rig) -> None:
    """A disk that fails somewhere in a read ends in a wrong answer, or in "not found"."""
    failing = FailingFilesystem()
    rig.worker().put("a", OLD)
    for nth in range(20):
        worker = rig.worker("failing", filesystem=failing)
        failing.arm(nth, OSError(errno.EIO, os.strerror(errno.EIO)))
        try:
            found = worker.get("a")
        except NotFoundError:
            pytest.fail(f"{failing.failed} failed, and the entity was said not to be there")
        except UnavailableError:
            continue
        else:
            assert found == (1, OLD)
            break
    assert nth > 3


def test_a_short_write_is_continued(rig: Rig) -> None:
    """A disk that takes fewer bytes at a time cuts a document short."""

    class Slow(ObservedFilesystem):
        def __init__(self) -> None:
            super().__init__(lambda _name, _arguments: None)
            self.write = lambda descriptor, data: os.write(descriptor, data[:7])  # type: ignore[method-assign]

    rig.worker(filesystem=Slow()).put("a", OLD)
    assert rig.worker("reader").get("a") == (1, OLD)


def test_entities_that_share_a_lock_file_do_not_wait_for_each_other(
    rig: Rig, tmp_path: Path
) -> None:
    """One locked entity stalls a 256th of the database."""
    del tmp_path
    worker = rig.worker()
    first = next(f"k{n}" for n in range(10_000))
    shard = worker.files(first)[0].parent.name
    second = next(
        f"k{n}" for n in range(1, 10_000) if worker.files(f"k{n}")[0].parent.name == shard
    )
    done: list[int] = []

    def during(name: str, _: tuple[object, ...]) -> None:
        if name == "create" and not done:
            done.append(0)
            done.append(worker.put(second, NEW))

    rig.worker("slow", filesystem=ObservedFilesystem(during)).put(first, OLD)
    assert done == [0, 1]
