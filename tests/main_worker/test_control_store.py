"""The Main Worker's own state: one contract for the fake and for the files."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from main_api.adapters.control_store import ControlFiles, KeyringFile
from main_api.domain.grants import Action
from main_api.domain.registry import Revocation
from main_api.service.keys.ports import KeyringStore
from main_api.service.ports import ClientRecord, ControlStore
from strongroom import keyring
from strongroom.configuration import Template
from strongroom.durable import Filesystem, LocalFilesystem
from strongroom.errors import BusyError, IntegrityError, UnavailableError
from strongroom.keyring import Keyring
from strongroom.layout import Layout
from tests.support.clocks import ManualClock
from tests.support.filesystems import (
    CountingFilesystem,
    FailingFilesystem,
    ObservedFilesystem,
)
from tests.support.kills import killed_at
from tests.support.main_fakes import (
    MemoryControlStore,
    MemoryKeyringStore,
    a_database,
    a_worker,
)
from tests.support.mains import AT, MainRig, grant

CLIENT = ClientRecord(
    client_id="ada",
    secret_mac="bWFj",
    secret_key_id="0123456789abcdef",
    grants=(grant("chat*", Action.READ, Action.WRITE, key_prefix="grüße/"), grant("*")),
    created_at=AT,
    incarnation="0123456789abcdef",
)
TEMPLATE = Template(
    schema_id="chat.v1",
    schema_version=1,
    created_at=AT,
    updated_at=AT,
    schema=msgspec.Raw(b'{"type": "object"}'),
)


@dataclass
class Files:
    """A control store of files."""

    root: Path
    keys: Keyring

    @property
    def layout(self) -> Layout:
        """The paths."""
        return Layout(self.root)

    def store(self, disk: Filesystem | None = None) -> ControlFiles:
        """Return a store as a process of its own would have it."""
        return ControlFiles(disk or LocalFilesystem(), self.layout, self.keys, ManualClock())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return an empty shared directory."""
    return Files(tmp_path, keyring.new("deployment", AT))


# -- the contract ----------------------------------------------------------------------------------


@pytest.fixture(params=["fake", "files"])
def store(request: pytest.FixtureRequest, files: Files) -> ControlStore:
    """Return an empty control store."""
    return MemoryControlStore() if request.param == "fake" else files.store()


def test_nothing_is_there_at_first(store: ControlStore) -> None:
    """A fresh deployment does not start."""
    assert store.database("chatdb") is None
    assert store.template("chat.v1") is None
    assert store.client("ada") is None
    assert store.worker("worker-1") is None
    assert store.workers() == []
    store.remove_client("ada")
    store.remove_worker("worker-1")


def test_a_client_is_kept_replaced_and_removed(store: ControlStore) -> None:
    """A client loses its grants, keeps old ones, or stays after it was removed."""
    store.put_client(CLIENT)
    assert store.client("ada") == CLIENT
    assert store.client("bob") is None
    fewer = msgspec.structs.replace(CLIENT, grants=())
    store.put_client(fewer)
    assert store.client("ada") == fewer
    store.remove_client("ada")
    assert store.client("ada") is None


def test_databases_and_templates_are_kept_and_replaced(store: ControlStore) -> None:
    """A database forgets its template, or a replaced template is not in force."""
    database = a_database("chatdb")
    for one in (database, msgspec.structs.replace(database, ttl_seconds=5, version_floor=9)):
        store.put_database(one)
        assert store.database("chatdb") == one
    store.put_template(TEMPLATE)
    store.put_template(msgspec.structs.replace(TEMPLATE, schema_version=2))
    found = store.template("chat.v1")
    assert found is not None
    assert found.schema_version == 2
    assert msgspec.json.decode(found.schema) == {"type": "object"}
    assert store.database("other") is None
    assert store.template("other") is None


def test_workers_are_listed_replaced_and_removed(store: ControlStore) -> None:
    """A worker that has left gets requests, or one that is there gets none."""
    one, two = a_worker("worker-1", lease_until_ms=1), a_worker("worker-2", lease_until_ms=2)
    store.put_worker(one)
    store.put_worker(two)
    assert sorted(store.workers(), key=lambda w: w.worker_id) == [one, two]
    renewed = msgspec.structs.replace(one, lease_until_ms=10)
    store.put_worker(renewed)
    assert store.worker("worker-1") == renewed
    store.remove_worker("worker-2")
    assert store.workers() == [renewed]


@pytest.fixture(params=["fake", "file"])
def keyring_store(request: pytest.FixtureRequest, files: Files) -> KeyringStore:
    """Return an empty keyring store."""
    if request.param == "fake":
        return MemoryKeyringStore()
    return KeyringFile(LocalFilesystem(), files.layout, ManualClock())


def test_a_keyring_is_kept_and_replaced(keyring_store: KeyringStore) -> None:
    """After a restart there is no keyring, or an old one."""
    assert keyring_store.read() is None
    for raw in (b"one", b"two"):
        keyring_store.write(raw)
        assert keyring_store.read() == raw


# -- as files --------------------------------------------------------------------------------------


def filled(files: Files) -> ControlFiles:
    """Return a store with a client, a worker, a database and a template."""
    store = files.store()
    store.put_client(CLIENT)
    store.put_worker(a_worker("worker-1"))
    store.put_database(a_database("chatdb"))
    store.put_template(TEMPLATE)
    return store


def test_everything_outlives_the_process(files: Files) -> None:
    """After a restart nobody can log in."""
    filled(files)
    again = files.store()
    assert again.client("ada") == CLIENT
    assert again.database("chatdb") is not None
    assert [w.worker_id for w in again.workers()] == ["worker-1"]


def test_the_disk_shows_no_grant_secret_or_address(files: Files) -> None:
    """Whoever reads the shared directory learns who may do what, and where."""
    filled(files)
    control = files.root / "control"
    raw = b"".join(p.read_bytes() for p in control.rglob("*") if p.is_file())
    for secret in (CLIENT.secret_mac, "grüße", "chat*", "worker-1.test"):
        assert secret.encode() not in raw
    for path in [control, *control.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_an_acknowledged_client_is_on_the_disk_and_a_lease_needs_no_sync(files: Files) -> None:
    """A client that was made, or revoked, is as before after a power cut; or leases cost fsyncs."""
    disk = CountingFilesystem()
    store = files.store(disk)
    syncing: list[Callable[[], None]] = [
        lambda: store.put_client(CLIENT),
        lambda: store.remove_client("ada"),
        lambda: store.put_database(a_database()),
        lambda: store.put_template(TEMPLATE),
    ]
    for write in syncing:
        disk.calls.clear()
        write()
        assert disk.calls[-1] == "fsync"
    store.put_worker(a_worker("worker-1"))
    disk.calls.clear()
    store.put_worker(a_worker("worker-1"))
    assert "fsync" not in disk.calls


def test_a_changed_record_is_refused(files: Files) -> None:
    """Whoever can write the disk makes a client an administrator."""
    store = filled(files)
    path = files.layout.record("clients", "ada")
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(IntegrityError):
        store.client("ada")


def test_a_record_copied_to_another_name_is_refused(files: Files) -> None:
    """Whoever can write the disk copies the administrator's record over their own."""
    store = filled(files)
    copy = files.layout.record("clients", "eve")
    copy.write_bytes(files.layout.record("clients", "ada").read_bytes())
    with pytest.raises(IntegrityError):
        store.client("eve")


def test_one_bad_record_does_not_hide_the_other_workers(files: Files) -> None:
    """One damaged record of the registry takes the whole service down."""
    store = filled(files)
    store.put_worker(a_worker("worker-2"))
    workers = files.layout.records("workers")
    files.layout.record("workers", "worker-1").write_bytes(b"damaged")
    (workers / ".tmp-0123456789abcdef").write_bytes(b"left by a crash")
    (workers / "README").write_text("put here by somebody")
    (workers / "directory").mkdir()
    assert [w.worker_id for w in store.workers()] == ["worker-2"]


def test_a_disk_that_refuses_is_unavailable_at_every_call(files: Files) -> None:
    """While the disk fails, a client is told that it does not exist, or gets an internal error."""
    disk = FailingFilesystem()
    store = files.store(disk)
    filled(files)
    uses: list[Callable[[], object]] = [
        lambda: store.client("ada"),
        lambda: store.database("chatdb"),
        lambda: store.template("chat.v1"),
        lambda: store.worker("worker-1"),
        lambda: store.put_client(CLIENT),
        lambda: store.put_worker(a_worker("worker-1")),
        lambda: store.put_database(a_database()),
        lambda: store.put_template(TEMPLATE),
        lambda: store.remove_client("ada"),
        lambda: store.revocations.put("worker-2", Revocation(worker_id="worker-2", revoked_at=AT)),
        lambda: store.revocations.remove("worker-2"),
    ]
    for use in uses:
        nth = 0
        while failed_at(disk, nth, use):
            nth += 1
        disk.disarm()
        assert nth >= 2


def failed_at(disk: FailingFilesystem, nth: int, use: Callable[[], object]) -> bool:
    """Fail the n-th call of a use, which has to be unavailable or done; tell if there is one."""
    disk.arm(nth, OSError(5, "Input/output error"))
    try:
        use()
    except UnavailableError as error:
        return "Input/output" not in error.detail
    return bool(disk.failed)


def test_a_directory_that_cannot_be_listed_is_no_empty_registry(files: Files) -> None:
    """While the disk fails it looks as if there were no workers."""
    filled(files)
    disk = FailingFilesystem()
    store = files.store(disk)
    disk.arm(0, OSError(5, "Input/output error"))
    with pytest.raises(UnavailableError):
        store.workers()


def test_a_damaged_record_does_not_end_a_listing(files: Files) -> None:
    """One damaged file hides all other templates from an administrator."""
    rig = MainRig(keys=files.keys, other_store=files.store())
    for name in ("a", "b", "c"):
        rig.provisioning.put_template(name, b"{}")
    path = files.layout.template("b")
    path.write_bytes(path.read_bytes().replace(b"{}", b"[]"))
    found = rig.administration.templates(rig.caller(), 10, "")
    assert [one.schema_id for one in found.records] == ["a", "c"]
    assert found.damaged == 1
    # Whether the damaged one is bound to anything cannot be told.
    path = files.layout.database("chatdb")
    path.write_bytes(path.read_bytes().replace(b"chat.v1", b"chat.v2"))
    with pytest.raises(IntegrityError):
        rig.provisioning.delete_template("a")


def test_two_stores_exclude_each_other(files: Files) -> None:
    """Two Main Workers give two templates the same version."""
    rigs = [MainRig(keys=files.keys, other_store=files.store()) for _ in range(3)]
    made: list[int] = []

    def make(rig: MainRig) -> None:
        made.extend(rig.provisioning.put_template("t", b"{}").schema_version for _ in range(8))

    threads = [threading.Thread(target=make, args=(rig,)) for rig in rigs for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 49))


def test_a_change_that_others_hold_up_is_refused(files: Files) -> None:
    """A Main Worker that hangs under the lock takes all other ones with it."""
    clock = ManualClock()
    disk = ObservedFilesystem(lambda name, _: clock.advance(1) if name == "try_lock" else None)
    waiting = ControlFiles(disk, files.layout, files.keys, clock)
    with files.store().exclusive(), pytest.raises(BusyError), waiting.exclusive():
        pass
    with waiting.exclusive():
        pass


@pytest.mark.parametrize("known", [False, True])
def test_a_kill_at_every_call_of_a_replacement(files: Files, *, known: bool) -> None:
    """A Main Worker that is killed leaves half a template, or one that no other can replace."""
    rig = MainRig(keys=files.keys, other_store=files.store())
    for nth in range(60):
        if known:
            rig.provisioning.put_template("t", b'{"title": "old"}')
        before = rig.store.template_record("t")

        def replace(disk: Filesystem) -> None:
            store = ControlFiles(disk, files.layout, files.keys, ManualClock())
            MainRig(keys=files.keys, other_store=store).provisioning.put_template("t", b"true")

        ended = killed_at(nth, replace)
        after = files.store().template("t")
        assert after == before or (after is not None and bytes(after.schema) == b"true")
        grown = (after.schema_version if after else 0) - (before.schema_version if before else 0)
        assert grown == (after != before)
        assert grown or not ended
        if ended:
            break
    assert ended
    assert nth > 8


def test_the_use_cases_run_on_the_files(files: Files) -> None:
    """What is proven on the fake does not hold on the real store."""
    rig = MainRig(keys=files.keys, other_store=files.store())
    rig.provisioning.put_template("t", b"{}")
    rig.provisioning.put_database("made", "t", 60)
    ada = rig.add_client("ada", grant("made", Action.WRITE))
    rig.add_workers("worker-1")
    caller = rig.access.authenticate(rig.bearer(ada))
    (written,) = rig.entities.put(caller, "made", {"k": b"1"})
    assert written.metadata.version == 1
