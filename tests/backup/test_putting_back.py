"""Entities of a backup, put into a deployment that serves: in place, and to the side."""

import pytest

from cli.backup.domain.selection import Selection
from cli.backup.service import putting_back
from cli.backup.service.putting_back import PutBack, Wish
from processing_fn.service.requests import Put
from strongroom import keyring, limits
from strongroom.clock import SystemClock, from_rfc3339
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
)
from strongroom.keyring import Purpose
from tests.support.backups import QUIET, BackupRig, LaterClock
from tests.support.engines import AT
from tests.support.running_engines import RunningEngine


@pytest.fixture
def running(backups: BackupRig) -> RunningEngine:
    """Return the deployment that the backup is of, with 60 entities and a backup of them."""
    backups.put(60)
    backups.take()
    return RunningEngine(backups.rig)


def put_back(
    backups: BackupRig,
    target: RunningEngine,
    *patterns: str,
    databases: tuple[str, ...] = (),
    into: str | None = None,
    in_place: bool = True,
    clock: SystemClock | None = None,
) -> PutBack:
    """Put a backup, or a part of it, back."""
    wish = Wish(Selection(databases, patterns), into, may_be_there=in_place and into is None)
    return putting_back.put_back(
        backups.find(),
        backups.opened,
        target,
        wish,
        clock=clock or SystemClock(),
        progress=QUIET,
    )


def test_in_place_every_entity_is_as_it_was_under_a_higher_version(
    backups: BackupRig, running: RunningEngine
) -> None:
    """Entities come back under versions that somebody has seen for something else."""
    for n in range(0, 60, 3):
        backups.worker.put(f"key-{n}", b'{"n": -1}')
    backups.worker.delete("key-1")
    backups.worker.put("later", b'{"n": 7}')
    done = put_back(backups, running)
    assert (done.written, done.same, done.refusals) == (21, 39, 0)
    for n in range(60):
        changed = n % 3 == 0
        version = 3 if changed or n == 1 else 1
        assert backups.worker.get(f"key-{n}") == (version, b'{"n": %d}' % n)
    # What came after the backup stays.
    assert backups.worker.get("later") == (1, b'{"n": 7}')


def test_done_again_it_writes_nothing(backups: BackupRig, running: RunningEngine) -> None:
    """A restore that was killed has to begin anew, and gives everything another version."""
    for n in range(60):
        backups.worker.put(f"key-{n}", b'{"n": -1}')
    running.dies_after = 27
    with pytest.raises(ConnectionError):
        put_back(backups, running)
    running.dies_after = 1_000_000
    done = put_back(backups, running)
    assert (done.written, done.same) == (33, 27)
    assert {backups.worker.get(f"key-{n}")[0] for n in range(60)} == {3}
    assert put_back(backups, running).written == 0


def test_one_entity_by_its_key(backups: BackupRig, running: RunningEngine) -> None:
    """To get one entity back, all the others have to go back in time with it."""
    for n in range(20):
        backups.worker.put(f"key-{n}", b'{"n": -1}')
    done = put_back(backups, running, "key-7")
    assert (done.written, done.same) == (1, 0)
    assert backups.worker.get("key-7") == (3, b'{"n": 7}')
    assert backups.worker.get("key-8") == (2, b'{"n": -1}')


def test_some_entities_by_a_pattern(backups: BackupRig, running: RunningEngine) -> None:
    """A pattern is taken for a key, or for more than it says."""
    for n in range(60):
        backups.worker.put(f"key-{n}", b'{"n": -1}')
    done = put_back(backups, running, "key-1?", "key-[56]")
    assert done.written == 12
    back = {n for n in range(60) if backups.worker.get(f"key-{n}")[0] == 3}
    assert back == {*range(10, 20), 5, 6}


def test_to_the_side(backups: BackupRig, running: RunningEngine) -> None:
    """Who wants to look at what was has to overwrite what is."""
    backups.worker.put("key-1", b'{"n": -1}')
    done = put_back(backups, running, databases=("people",), into="people-then")
    assert (done.written, done.databases) == (60, ["people-then"])
    aside = running.bindings["people-then"]
    assert running.worker.engine.get(aside, "key-1").document == b'{"n": 1}'
    assert backups.worker.get("key-1") == (2, b'{"n": -1}')


def test_a_copy_to_the_side_is_put_into_nothing_else(
    backups: BackupRig, running: RunningEngine
) -> None:
    """A mistyped name overwrites another database."""
    running.make_database("other", "person.v1", None)
    with pytest.raises(ConflictError, match="there is a database other"):
        put_back(backups, running, databases=("people",), into="other")
    assert running.puts == 0


def test_two_databases_do_not_go_into_one(backups: BackupRig, running: RunningEngine) -> None:
    """Entities of two databases with the same key overwrite each other."""
    backups.rig.put_database("animals", "11" * 16)
    backups.take()
    with pytest.raises(InvalidArgumentError, match="name the one database"):
        put_back(backups, running, into="both")
    assert running.puts == 0


def test_a_database_that_was_deleted_is_made_again(
    backups: BackupRig, running: RunningEngine
) -> None:
    """Whoever deletes a database by mistake has a backup that does not help."""
    del running.bindings["people"]
    running.rig.layout.template("person.v1").unlink()
    done = put_back(backups, running)
    assert (done.written, done.databases) == (60, ["people"])
    again = running.bindings["people"]
    assert running.worker.engine.get(again, "key-9").document == b'{"n": 9}'


def test_a_deleted_database_of_the_backup_is_not_made_again(
    backups: BackupRig, running: RunningEngine
) -> None:
    """What had been deleted when the backup was taken is back."""
    backups.rig.put_database("people", "00" * 16, deleted=True)
    backups.take()
    del running.bindings["people"]
    assert put_back(backups, running).written == 0
    assert "people" not in running.bindings


def test_what_had_been_deleted_is_neither_put_nor_removed(
    backups: BackupRig, running: RunningEngine
) -> None:
    """A restore brings deleted entities back, or removes ones that were made since."""
    backups.worker.delete("key-3")
    backups.worker.delete("key-4")
    backups.take()
    backups.worker.put("key-4", b'{"n": 44}')
    done = put_back(backups, running)
    assert (done.written, done.gone) == (0, 2)
    with pytest.raises(NotFoundError):
        backups.worker.get("key-3")
    assert backups.worker.get("key-4")[1] == b'{"n": 44}'


def test_an_expiry_comes_back_too(backups: BackupRig, running: RunningEngine) -> None:
    """An entity that was to end lives for ever, or one whose time is over is back."""
    backups.worker.engine.put(backups.rig.binding, Put("ends", b"{}", ttl_seconds=1_000))
    backups.take()
    backups.worker.delete("ends")
    assert put_back(backups, running, "ends", clock=LaterClock(1_001)).gone == 1
    with pytest.raises(NotFoundError):
        backups.worker.get("ends")
    done = put_back(backups, running, "ends", clock=LaterClock(600))
    assert done.written == 1
    ends = backups.worker.engine.get(backups.rig.binding, "ends").metadata
    assert ends.expires_at is not None
    left_s = (from_rfc3339(ends.expires_at) - SystemClock().wall_ms()) / 1000
    assert 390 < left_s < 410


def test_what_the_template_refuses_now_is_told_and_stops_no_other(
    backups: BackupRig, running: RunningEngine
) -> None:
    """A restore brings in what the template of today forbids, or ends at the first of it."""
    backups.rig.put_template(b'{"properties": {"n": {"minimum": 40}}}', version=2)
    for n in (30, 50):
        backups.worker.delete(f"key-{n}")
    done = put_back(backups, running)
    assert (done.written, done.same, done.refusals) == (1, 58, 1)
    ((key, reason),) = done.refused
    assert key == "key-30"
    assert "does not satisfy its template" in reason
    assert backups.worker.get("key-50")[1] == b'{"n": 50}'


def test_a_changed_blob_puts_nothing_back(backups: BackupRig, running: RunningEngine) -> None:
    """Half of a changed backup is put back before anybody notices."""
    for n in range(60):
        backups.worker.put(f"key-{n}", b'{"n": -1}')
    *_, last = backups.find().entities()
    path = backups.place / "objects" / last.sha256[:2] / last.sha256
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="its digest is another"):
        put_back(backups, running)
    assert running.puts == 0


def test_what_lies_under_a_destroyed_key_is_told(
    backups: BackupRig, running: RunningEngine
) -> None:
    """After a shredding nothing can be put back of any older backup."""
    old = backups.keys.active(Purpose.DATA)
    rotated = keyring.with_active(backups.keys, keyring.new_key(Purpose.DATA, AT))
    backups.keys = keyring.without(rotated, old.key_id)
    done = put_back(backups, running)
    assert (done.destroyed, done.written) == (60, 0)


def test_a_database_that_the_backup_has_not_is_told(
    backups: BackupRig, running: RunningEngine
) -> None:
    """A mistyped database restores nothing, and says that it is done."""
    with pytest.raises(NotFoundError, match="no database poeple"):
        put_back(backups, running, databases=("poeple",))


def test_files_of_a_former_incarnation_are_left_alone(
    backups: BackupRig, running: RunningEngine
) -> None:
    """Entities of a deleted database come back in the one of the same name."""
    backups.rig.put_database("people", "22" * 16, retired=("00" * 16,))
    backups.take()
    assert put_back(backups, running).written == 0


@pytest.mark.parametrize(
    "odd",
    [
        {"databases": ("../x",)},
        {"patterns": ("",)},
        {"patterns": ("\n",)},
        {"patterns": ("x",) * (limits.KEY_PATTERNS_MAX + 1)},
    ],
)
def test_a_selection_is_of_names_and_keys(odd: dict[str, tuple[str, ...]]) -> None:
    """What cannot be a name or a key is looked for."""
    with pytest.raises(InvalidArgumentError):
        Selection(**odd)
