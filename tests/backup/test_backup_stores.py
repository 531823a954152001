"""Where backups lie: one contract, in a directory and in a bucket of S3."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from cli.backup.adapters.directory import DirectoryStore
from cli.backup.adapters.s3 import S3Store
from cli.backup.domain import manifest
from cli.backup.service import proving, reading
from cli.backup.service.ports import Store
from strongroom.errors import IntegrityError, InvalidArgumentError, UnavailableError
from tests.support.backups import QUIET, BackupRig


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a bucket of moto's."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "of-a-test",
        "AWS_SECRET_ACCESS_KEY": "of-a-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="backups-of-ours")
        yield "backups-of-ours"


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty store of each kind."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "new" / "backups")
    return S3Store(f"s3://{request.getfixturevalue('bucket')}/some/where")


def test_what_is_written_is_read(store: Store) -> None:
    """A backup is taken, and what is read of it is something else."""
    store.write("objects/ab/one", b"one")
    store.write("objects/ab/two", b"")
    store.settle()
    assert store.read("objects/ab/one", 3) == b"one"
    assert store.read("objects/ab/two", 3) == b""
    store.write("objects/ab/one", b"uno")
    assert store.read("objects/ab/one", 3) == b"uno"


def test_what_is_not_there_is_none(store: Store) -> None:
    """A place without backups ends in an error, or in an empty object."""
    assert store.read("objects/ab/one", 3) is None
    assert not store.has("objects/ab/one", 3)
    assert list(store.names("backups")) == []
    store.write("objects/ab/one", b"one")
    assert store.read("objects/ab/two", 3) is None
    assert store.read("backups/one", 3) is None


def test_it_is_there_only_in_its_size(store: Store) -> None:
    """A blob that was cut short is taken for the one that was to be copied."""
    store.write("objects/ab/one", b"one")
    assert store.has("objects/ab/one", 3)
    assert not store.has("objects/ab/one", 2)


def test_what_is_too_large_is_refused(store: Store) -> None:
    """A huge object fills the memory."""
    store.write("objects/ab/one", b"x" * 100_000)
    assert store.read("objects/ab/one", 100_000) == b"x" * 100_000
    with pytest.raises(IntegrityError, match="larger than what belongs there"):
        store.read("objects/ab/one", 99_999)


def test_what_is_removed_is_gone(store: Store) -> None:
    """What nothing needs any more stays there, or takes something else along."""
    store.write("objects/ab/one", b"one")
    store.write("objects/ab/two", b"two")
    store.remove("objects/ab/one")
    store.settle()
    assert store.read("objects/ab/one", 3) is None
    assert store.read("objects/ab/two", 3) == b"two"
    store.remove("objects/ab/one")
    store.remove("objects/cd/none")


def test_names_are_those_of_one_folder(store: Store) -> None:
    """A backup is not found, or one that is none."""
    for name in ("backups/b.json", "backups/a.json", "objects/ab/c.json"):
        store.write(name, b"{}")
    assert sorted(store.names("backups")) == ["a.json", "b.json"]


def test_many_backups_are_listed(bucket: str) -> None:
    """Of many backups in a bucket the newest is not found: S3 lists a page at a time."""
    store = S3Store(f"s3://{bucket}", names_per_page=3)
    for n in range(10):
        store.write(f"backups/{n}", b"")
    assert len(list(store.names("backups"))) == 10


def test_a_backup_in_a_bucket(backups: BackupRig, bucket: str) -> None:
    """A backup in S3 does not do what one in a directory does."""
    store = S3Store(f"s3://{bucket}/nightly/")
    written = backups.put(30)
    assert backups.take(store=store).tally.copied == 30
    backups.worker.put("key-1", b'{"n": 11}')
    assert backups.take(store=store).tally.copied == 1
    found = reading.find(store)
    proof = proving.prove(found, backups.opened, QUIET)
    assert (proof.read, proof.opened) == (len(written), len(written))
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert all(one["Key"].startswith("nightly/") for one in listed)
    (first, *_) = found.entities()
    store.write(manifest.object_name(first.sha256), b"x" * first.size)
    with pytest.raises(IntegrityError, match="its digest is another"):
        proving.prove(found, None, QUIET)


@pytest.mark.parametrize("odd", ["s3://", "s3:///x", "gs://bucket/x"])
def test_an_address_that_is_none_is_told(odd: str, bucket: str) -> None:
    """A mistyped address is a stack trace, or a directory called `s3:`."""
    assert bucket
    with pytest.raises(InvalidArgumentError, match="is not an address like"):
        S3Store(odd)


def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:
    """A backup into a bucket that does not exist ends in a stack trace."""
    store = S3Store(f"s3://{bucket}-2/x")
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        store.write("objects/ab/one", b"one")
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        store.read("objects/ab/one", 10)
