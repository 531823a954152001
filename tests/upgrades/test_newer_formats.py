"""What a later version has written is refused by its version, or read past: as the format says.

The files are those of `format-1.tar.gz`, each made into one of the next format.
"""

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from cli.backup.domain import manifest
from main_api.adapters.control_store import ControlFiles
from main_api.domain.audit import segments
from main_api.domain.grants import Action
from main_api.service.ports import ClientRecord
from strongroom import blob, configuration, controlfile, keyring
from strongroom.durable import LocalFilesystem
from strongroom.errors import IntegrityError
from strongroom.keyring import KeySet, Purpose
from strongroom.layout import Layout
from tests.support.audit_logs import MemoryLog, alarms
from tests.support.clocks import ManualClock
from tests.support.main_fakes import a_worker
from tests.support.mains import AT, grant

FIXTURE = Path(__file__).parent / "format-1.tar.gz"
UNKNOWN = "format (version )?2.* not known to this version of Strongroom"
KEYS = keyring.new("deployment", AT)
CONTROL = KeySet(KEYS.of(frozenset({Purpose.CONTROL})))


def _nobody_is_asked(_message: bytes, _deployment: str) -> NoReturn:
    raise AssertionError("the master key was asked for a file that cannot be read")


def _blob(raw: bytes) -> None:
    blob.parse(raw[:3] + b"\x02" + raw[4:])


def _json(decode: Callable[[bytes], object], raw: bytes) -> None:
    """Have a file of the next format decoded whose other members have other meanings, too."""
    members = json.loads(raw)
    assert members["format"] == 1
    decode(json.dumps({name: [None] for name in members} | {"format": 2}).encode())


def _keyring(raw: bytes) -> None:
    _json(lambda later: keyring.decode(later, _nobody_is_asked), raw)


def _database(raw: bytes) -> None:
    _json(lambda later: configuration.decode_database(later, "people", CONTROL), raw)


def _template(raw: bytes) -> None:
    _json(lambda later: configuration.decode_template(later, "people", CONTROL), raw)


def _segment(raw: bytes) -> None:
    assert segments.unknown_format(raw) is None
    name = "01a228f4b138c0f238a7fa13671c-000001-01a228f4b138.audit"
    (told,) = alarms(MemoryLog({name: raw[:3] + b"\x02" + raw[4:]}))
    raise IntegrityError(told)


# Every kind of file under the shared directory. A sidecar has the format too, but no say: a reader
# compares it with the blob, and renews it where it differs.
SIDECAR = r"shared/files/.*\.meta\.json"
REFUSED: dict[str, Callable[[bytes], None]] = {
    r"shared/files/.*\.json\.enc": _blob,
    r"shared/control/keyring\.json": _keyring,
    r"shared/control/[a-z-]+/[^/]+\.sealed": _blob,
    r"shared/control/audit/.*\.audit": _segment,
    r"shared/databases/.*\.json": _database,
    r"shared/templates/.*\.json": _template,
}
# What the emulation on one machine keeps beside it; no other version shares these.
BESIDE = {"kms/master-key.json", "admin.json"}


def test_every_file_of_a_later_format_is_refused_by_its_format() -> None:
    """Whoever goes back to an older version is told of damage, or reads something else."""
    seen = set()
    with tarfile.open(FIXTURE) as archive:
        files = [member for member in archive if member.isfile() and member.name not in BESIDE]
        for member in files:
            found = archive.extractfile(member)
            assert found is not None
            if re.fullmatch(SIDECAR, member.name):
                assert json.loads(found.read())["format"] == 1
                continue
            (kind,) = [one for one in REFUSED if re.fullmatch(one, member.name)]
            with pytest.raises(IntegrityError, match=UNKNOWN):
                REFUSED[kind](found.read())
            seen.add(kind)
    assert seen == set(REFUSED)


def test_a_backup_of_a_later_format_is_refused_by_its_format() -> None:
    """A backup of a later version is told to be damaged, and thrown away."""
    with pytest.raises(IntegrityError, match=UNKNOWN):
        manifest.decode(b'{"format": 2, "objects": {}}', "20260101T000000Z-00")


def test_a_record_of_a_later_version_is_refused_by_its_version() -> None:
    """What a later version must not have passed over is passed over."""
    assert controlfile.decode("clients", "ada", _sealed("clients", "ada", b"1"), CONTROL) == b"1"
    with pytest.raises(IntegrityError, match="record of the kind clients is not known"):
        controlfile.decode("clients", "ada", _sealed("clients", "ada", b"1", version=2), CONTROL)


def _sealed(kind: str, name: str, content: bytes, version: int = 1) -> bytes:
    """Return a record as `controlfile` writes it, of any version of its members."""
    written = controlfile.encode(kind, name, content, CONTROL, AT)
    if version == 1:
        return written
    header = msgspec.structs.replace(blob.parse(written).header, schema_version=version)
    key_id, key = CONTROL.active()
    assert key_id == header.key_id
    return blob.encrypt(header, blob.Body(name, content), controlfile.file_id(kind, name), key)


# -- members that a later version has added --------------------------------------------------------


def _store(root: Path) -> ControlFiles:
    return ControlFiles(LocalFilesystem(), Layout(root), KEYS, ManualClock())


def _add(root: Path, kind: str, name: str, **members: Any) -> None:  # noqa: ANN401 - JSON
    """Have a record say more than this version knows of."""
    path = Path(Layout(root).record(kind, name))
    record = json.loads(controlfile.decode(kind, name, path.read_bytes(), CONTROL)) | members
    path.write_bytes(_sealed(kind, name, json.dumps(record).encode()))


def test_a_worker_of_a_later_version_is_listed(tmp_path: Path) -> None:
    """While workers are updated one after the other, the later ones get no requests."""
    store = _store(tmp_path)
    store.put_worker(a_worker("worker-1"))
    _add(tmp_path, "workers", "worker-1", zone="a", report={"load": 0.5, "threads": 3})
    found = store.worker("worker-1")
    assert found is not None
    assert (found.address, found.report.load) == (a_worker("worker-1").address, 0.5)
    # Every renewal writes the record: of what this one does not know nothing is left.
    store.put_worker(found)
    assert store.workers() == [found]


def test_a_grant_that_says_more_than_is_known_allows_nothing(tmp_path: Path) -> None:
    """A restriction that a later version knows is passed over: a client may do more."""
    store = _store(tmp_path)
    record = _client()
    store.put_client(record)
    assert store.client("ada") == record
    allowed = msgspec.to_builtins(record.grants[0])
    _add(tmp_path, "clients", "ada", grants=[allowed | {"only_from": "10.0.0.0/8"}])
    with pytest.raises(IntegrityError, match="odd"):
        store.client("ada")


def _client() -> ClientRecord:
    return ClientRecord(
        client_id="ada",
        secret_mac="bWFj",
        secret_key_id="0123456789abcdef",
        grants=(grant("chat*", Action.READ),),
        created_at=AT,
        incarnation="0123456789abcdef",
    )
