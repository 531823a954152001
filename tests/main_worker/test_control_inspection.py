"""An inspection of the Main Worker's own files: all that is wrong with them is told, once."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from main_api.adapters.control_store import ControlFiles, KeyringFile
from main_api.domain import jobs
from main_api.domain.backups import BackupRecord
from main_api.domain.exports import ExportRecord
from main_api.domain.registry import MainRecord, Revocation, WorkerCredential
from main_api.domain.trusted_issuers import IssuerRecord
from main_api.service.admin import provisioning
from main_api.service.admin.inspection import Inspection
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import limits, tokens
from strongroom.durable import LocalFilesystem
from strongroom.errors import UnavailableError
from strongroom.finding import Condition, Finding
from strongroom.layout import Layout
from tests.support.damage import a_socket
from tests.support.filesystems import FailingFilesystem, UnsyncedFilesystem
from tests.support.foreign_issuers import trusted
from tests.support.inspections import Told, age, lying, told
from tests.support.main_fakes import FakeKeyProvider, a_worker
from tests.support.mains import AT, MainRig

DAMAGED, ORPHANED, STALE, UNJUDGED = Condition
NOT_OURS = "it is none of our files"
CRASH = "a crash has left it"
NO_FILE = "a stored file is not one of ours"
SHORT = "the file is too short to be an entity"
NO_TAG = "the authentication tag does not verify"


class Control:
    """Templates, databases, clients and workers on real files, deleted ones too."""

    def __init__(self, root: Path) -> None:
        """Make some of each."""
        self.layout = Layout(root)
        self.main = MainRig()
        self.store = self.store_over(UnsyncedFilesystem())
        self.main = MainRig(keys=self.main.keys, other_store=self.store)
        make = self.main.provisioning
        for schema_id in ("chat.v1", "other.v1", "gone.v1"):
            make.put_template(schema_id, b"{}")
        make.put_database("other", "other.v1")
        make.put_database("gone", "gone.v1")
        make.delete_database("gone")
        make.delete_template("gone.v1")
        for name in ("ada", "bob"):
            self.main.add_client(name)
        self.store.put_worker(a_worker("worker-1"))
        self.store.mains.put("main-1", MainRecord(address="127.0.0.1:1", lease_until_ms=0))
        self.store.revocations.put("worker-2", Revocation(worker_id="worker-2", revoked_at=AT))
        token = self.main.bearer(self.main.add_client("ada")).removeprefix("Bearer ")
        claims = tokens.verify(
            self.main.keys, self.main.clock, token, audience=tokens.CLIENT_AUDIENCE
        )
        self.main.access.revocations.add(claims, "ada")
        self.store.issuers.put(
            "login",
            IssuerRecord(
                name="login", incarnation="1", created_at=AT, updated_at=AT, trusted=trusted()
            ),
        )
        self.store.worker_credentials.put(
            "worker-3",
            WorkerCredential(worker_id="worker-3", secret_mac="", secret_key_id="", created_at=AT),
        )
        self.store.exports.put(
            "e1",
            ExportRecord(
                export_id="e1", exported_at=AT, generation=1, key_ids=(), recovery="SHA256:x"
            ),
        )
        self.store.backups.put(
            "monday", BackupRecord(backup_id="monday", recorded_at=AT, key_ids=())
        )
        self.store.jobs.put("job", jobs.rewrap("job", (), 0, self.main.clock.wall_ms()))
        self.layout.keyring().write_bytes(b"the keyring is looked at by others")

    def store_over(self, disk: LocalFilesystem) -> ControlFiles:
        """Return a store as a process of its own would have it."""
        return ControlFiles(disk, self.layout, self.main.keys, self.main.clock)

    def findings(self, *, repair: bool = False) -> list[Finding]:
        """Return what a fresh process tells."""
        return self.store_over(UnsyncedFilesystem()).inspect(repair=repair)

    def directories(self) -> list[Path]:
        """Return the directories that hold records, and the one above the clients'."""
        return [*self.layout.configuration(), self.layout.keyring().parent]


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    """Return a deployment's own files."""
    monkeypatch.chdir(tmp_path)
    return Control(tmp_path)


# -- what can be the matter ------------------------------------------------------------------------

Spoil = Callable[[Control], list[Told]]
MAC = "the authentication code does not verify"


def changed(path: Path) -> None:
    """Change one byte near the end of a file."""
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)


def a_damaged_template(control: Control) -> list[Told]:
    """Change a template that a database is bound to."""
    path = control.layout.template("chat.v1")
    path.write_bytes(path.read_bytes().replace(b"{}", b"[]"))
    told_of = f"the template chat.v1: {MAC}"
    return [
        ("databases/chatdb.json", DAMAGED, told_of),
        ("templates/chat.v1.json", DAMAGED, told_of),
    ]


def a_damaged_database(control: Control) -> list[Told]:
    """Bind a database to another template, without a key."""
    path = control.layout.database("chatdb")
    path.write_bytes(path.read_bytes().replace(b"chat.v1", b"chat.v2"))
    return [("databases/chatdb.json", DAMAGED, f"the database chatdb: {MAC}")]


def a_database_that_was_brought_back(control: Control) -> list[Told]:
    """Undo a deletion, without a key."""
    path = control.layout.database("gone")
    path.write_bytes(path.read_bytes().replace(b"deleted_at", b"deleted_xx"))
    return [("databases/gone.json", DAMAGED, f"the database gone: {MAC}")]


def a_missing_template(control: Control) -> list[Told]:
    """Remove a template that a database is bound to."""
    control.layout.template("chat.v1").unlink()
    return [("databases/chatdb.json", DAMAGED, "its template chat.v1 is missing")]


def damaged_records(control: Control) -> list[Told]:
    """Change records of a client and of a worker."""
    changed(control.layout.record("clients", "ada"))
    changed(control.layout.record("workers", "worker-1"))
    changed(control.layout.record("revocations", "worker-2"))
    return [
        ("control/clients/ada.sealed", DAMAGED, NO_TAG),
        ("control/revocations/worker-2.sealed", DAMAGED, NO_TAG),
        ("control/workers/worker-1.sealed", DAMAGED, NO_TAG),
    ]


def a_record_under_another_name(control: Control) -> list[Told]:
    """Copy one client's record over to another name, and a template likewise."""
    client, template = control.layout.record("clients", "eve"), control.layout.template("new.v1")
    client.write_bytes(control.layout.record("clients", "ada").read_bytes())
    template.write_bytes(control.layout.template("chat.v1").read_bytes())
    return [
        ("control/clients/eve.sealed", DAMAGED, NO_TAG),
        ("templates/new.v1.json", DAMAGED, f"the template new.v1: {MAC}"),
    ]


def empty_files(control: Control) -> list[Told]:
    """Empty one file of each kind."""
    layout = control.layout
    for path in (layout.template("other.v1"), layout.record("clients", "ada")):
        path.write_bytes(b"")
    cannot = "the template other.v1 cannot be read"
    return [
        ("control/clients/ada.sealed", DAMAGED, SHORT),
        ("databases/other.json", DAMAGED, cannot),
        ("templates/other.v1.json", DAMAGED, cannot),
    ]


def what_is_no_file(control: Control) -> list[Told]:
    """Put something else in the place of files."""
    layout = control.layout
    made: list[tuple[Path, Callable[[Path], object], Condition, str]] = [
        (layout.database("other"), Path.mkdir, DAMAGED, NO_FILE),
        (layout.record("clients", "ada"), a_link, DAMAGED, NO_FILE),
        (layout.record("clients", "bob"), a_socket, UNJUDGED, "it cannot be read"),
        (layout.record("workers", "worker-1"), os.mkfifo, DAMAGED, SHORT),
    ]
    for path, make, _, _ in made:
        path.unlink()
        make(path)
    return sorted((layout.relative(path), found, reason) for path, _, found, reason in made)


def a_link(path: Path) -> None:
    """Make a link to a file."""
    path.symlink_to("/etc/passwd")


def what_is_no_directory(control: Control) -> list[Told]:
    """Put a file in the place of a directory."""
    workers = control.layout.records("workers")
    workers.rename(control.layout.root / "elsewhere")
    workers.touch()
    return [("control/workers", DAMAGED, "it is no directory")]


def strangers(control: Control) -> list[Told]:
    """Put into every directory what does not belong there."""
    expected: list[Told] = []
    for directory in control.directories():
        place = control.layout.relative(directory)
        for name in ("README", "-.json", "-.sealed", "note.txt~", ".hidden"):
            (directory / name).write_bytes(b"hello")
            expected.append((f"{place}/{name}", ORPHANED, NOT_OURS))
        (directory / "folder").mkdir()
        expected.append((f"{place}/folder", ORPHANED, NOT_OURS))
        Path(os.fsdecode(os.fsencode(directory) + b"/\xff\x1b[31m.json")).touch()
        expected.append((f"{place}/\\udcff\\x1b[31m.json", ORPHANED, NOT_OURS))
    return sorted(expected)


def a_directory_like_a_temporary_file(control: Control) -> list[Told]:
    """Make what has the name of a temporary file, and cannot be removed as one."""
    folder = control.layout.templates() / ".tmp-folder"
    folder.mkdir()
    age(folder, control.main.clock, abandoned=True)
    return [("templates/.tmp-folder", STALE, CRASH)]


def what_a_crash_left(control: Control) -> list[Told]:
    """Leave temporary files everywhere: old ones, and such as may be in use."""
    expected: list[Told] = []
    for directory in control.directories():
        for name in (".tmp-1", os.fsdecode(b".tmp-\xff\x1b[31m"), ".tmp-in-use"):
            (directory / name).write_bytes(b"x")
            age(directory / name, control.main.clock, abandoned=name != ".tmp-in-use")
        place = control.layout.relative(directory)
        expected.append((f"{place}/.tmp-1", STALE, CRASH))
        expected.append((f"{place}/.tmp-\\udcff\\x1b[31m", STALE, CRASH))
    return sorted(expected)


LEFT: list[Spoil] = [
    a_damaged_template,
    a_damaged_database,
    a_database_that_was_brought_back,
    a_missing_template,
    damaged_records,
    a_record_under_another_name,
    empty_files,
    what_is_no_file,
    what_is_no_directory,
    strangers,
    a_directory_like_a_temporary_file,
]


def test_where_all_is_well_nothing_is_told(control: Control) -> None:
    """An operator looks for damage that is not there; deleted records are none."""
    assert control.findings() == []


def test_an_empty_directory_is_well(tmp_path: Path) -> None:
    """A deployment that has made nothing yet cannot be verified."""
    rig = MainRig()
    store = ControlFiles(LocalFilesystem(), Layout(tmp_path), rig.keys, rig.clock)
    assert store.inspect(repair=True) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("spoil", LEFT, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_told_and_not_touched(
    control: Control, spoil: Spoil, *, repair: bool
) -> None:
    """A damaged record goes unnoticed, or a repair destroys what is left of it."""
    expected = spoil(control)
    before = lying(control.layout.root)
    found = control.findings(repair=repair)
    assert told(found) == expected
    assert told(found, repaired=True) == []
    assert lying(control.layout.root) == before


def test_what_a_crash_left_is_told_and_removed_when_asked(control: Control) -> None:
    """Temporary files stay for ever, or a file that is being written disappears."""
    sound = lying(control.layout.root)
    expected = what_a_crash_left(control)
    before = lying(control.layout.root)
    assert told(control.findings()) == expected
    assert lying(control.layout.root) == before
    found = control.findings(repair=True)
    assert told(found, repaired=True) == expected
    assert told(found) == []
    in_use = {os.fsencode(folder / ".tmp-in-use") for folder in control.directories()}
    assert lying(control.layout.root).keys() == sound.keys() | in_use
    assert control.findings() == []


def test_one_that_is_wrong_hides_no_other(control: Control) -> None:
    """The first bad record ends an inspection."""
    expected: list[Told] = []
    for spoil in (a_damaged_template, damaged_records, strangers, what_a_crash_left):
        expected += spoil(control)
    assert told(control.findings()) == sorted(expected)


def test_a_crowd_of_strangers_is_told_in_part(control: Control) -> None:
    """A directory full of strange files makes an answer that is larger than any may be."""
    clients = control.layout.records("clients")
    for number in range(600):
        (clients / f"stranger-{number}").touch()
    found = control.findings()
    assert len(found) <= limits.FINDINGS_PER_PAGE
    last = found[-1]
    assert (last.path, last.condition) == ("control/clients", ORPHANED)
    assert last.reason == f"{601 - len(found)} more in it are not as they should be"


@pytest.mark.parametrize("repair", [False, True])
def test_an_error_at_every_call_is_told_or_unavailable(control: Control, *, repair: bool) -> None:
    """A failing disk ends an inspection in a defect, or looks like damage or like nothing."""
    what_a_crash_left(control)
    disk = FailingFilesystem()
    failing = control.store_over(disk)
    for nth in range(300):
        disk.arm(nth, OSError(errno.EIO, os.strerror(errno.EIO)))
        try:
            found = failing.inspect(repair=repair)
        except UnavailableError:
            found = []
        else:
            conditions = {one.condition for one in found}
            assert not disk.failed or UNJUDGED in conditions
            assert conditions <= {UNJUDGED, STALE}
        disk.disarm()
        if not disk.failed:
            break
    assert not disk.failed
    assert nth > 20


# -- the keyring -----------------------------------------------------------------------------------


def no_change(path: Path, provider: FakeKeyProvider) -> None:
    """Leave the keyring as it is."""
    del path, provider


def a_changed_keyring(path: Path, provider: FakeKeyProvider) -> None:
    """Change a byte of the keyring."""
    del provider
    path.write_bytes(path.read_bytes().replace(b"active", b"actixe"))


def a_lost_keyring(path: Path, provider: FakeKeyProvider) -> None:
    """Remove the keyring."""
    del provider
    path.unlink()


def another_keyring(path: Path, provider: FakeKeyProvider) -> None:
    """Put another deployment's keyring there, under the same master key."""
    elsewhere = Layout(path.parent / "elsewhere")
    store = KeyringFile(UnsyncedFilesystem(), elsewhere, MainRig().clock)
    provisioning.create_keyring(store, provider, MainRig().clock)
    path.write_bytes(elsewhere.keyring().read_bytes())


def a_provider_that_is_down(path: Path, provider: FakeKeyProvider) -> None:
    """Let the key provider refuse."""
    del path
    provider.down = True


KEYRINGS: list[tuple[Callable[[Path, FakeKeyProvider], None], list[Condition]]] = [
    (no_change, []),
    (a_changed_keyring, [DAMAGED]),
    (a_lost_keyring, [DAMAGED]),
    (another_keyring, [DAMAGED]),
    (a_provider_that_is_down, [UNJUDGED]),
]


@pytest.mark.parametrize(
    ("spoil", "conditions"), KEYRINGS, ids=[spoil.__name__ for spoil, _ in KEYRINGS]
)
def test_the_keyring_is_opened_anew(
    tmp_path: Path, spoil: Callable[[Path, FakeKeyProvider], None], conditions: list[Condition]
) -> None:
    """A keyring that nobody can open any more is noticed at the next start, too late."""
    rig, provider, layout = MainRig(), FakeKeyProvider(), Layout(tmp_path)
    rig.add_workers("worker-1")
    store = KeyringFile(UnsyncedFilesystem(), layout, rig.clock)
    provisioning.create_keyring(store, provider, rig.clock)
    live = LiveKeyring(store, provider)
    spoil(layout.keyring(), provider)
    inspection = Inspection(
        rig.access,
        rig.store,
        rig.provisioning,
        rig.dispatcher,
        rig.workers,
        clock=rig.clock,
        check_keyring=live.check,
    )
    found = inspection.verify(rig.caller(), "", repair=True).findings
    of_keyring = [one for one in found if one.path == "control/keyring.json"]
    assert [one.condition for one in of_keyring] == conditions
    assert not any(one.repaired for one in of_keyring)
