"""Templates and database configuration: readable, and edited by nobody unnoticed."""

import json
from pathlib import Path

import msgspec
import pytest

from strongroom import configuration, durable, keyring
from strongroom.configuration import Database, Template
from strongroom.configuration_files import ConfigurationFiles
from strongroom.errors import IntegrityError, UnavailableError
from strongroom.keyring import Keyring, KeySet, Purpose
from strongroom.layout import Layout
from tests.support.bytes_changed import flipped_bits, replaced_bytes, truncations
from tests.support.filesystems import FailingFilesystem

AT = "2026-01-01T00:00:00.000Z"
DATABASE = Database(
    name="both",
    incarnation="0123456789abcdef" * 2,
    schema_id="chat.v1",
    created_at=AT,
    version_floor=4,
    ttl_seconds=60,
)
TEMPLATE = Template(
    schema_id="both",
    schema_version=2,
    created_at=AT,
    updated_at=AT,
    schema=msgspec.Raw(
        b'{"type":"object","multipleOf":1.50,"maximum":123456789012345678901234567890}'
    ),
)


def mac_keys(keys: Keyring) -> KeySet:
    """Return the configuration keys of a keyring."""
    return KeySet(keys.of(frozenset({Purpose.CONFIGURATION})))


KEYRING = keyring.new("deployment", AT)
KEYS = mac_keys(KEYRING)


def test_a_database_survives() -> None:
    """A database forgets its template, its lifetime, or the floor that a restore has set."""
    assert (
        configuration.decode_database(configuration.encode(DATABASE, KEYS), "both", KEYS)
        == DATABASE
    )
    bare = Database(name="a", incarnation="00" * 16, schema_id="s", created_at=AT)
    assert configuration.decode_database(configuration.encode(bare, KEYS), "a", KEYS) == bare


def test_a_template_survives_to_the_last_digit() -> None:
    """A template admits other documents after a restart than before."""
    found = configuration.decode_template(configuration.encode(TEMPLATE, KEYS), "both", KEYS)
    assert bytes(found.schema).replace(b" ", b"").replace(b"\n", b"") == bytes(TEMPLATE.schema)
    assert msgspec.structs.replace(found, schema=TEMPLATE.schema) == TEMPLATE


def test_the_files_are_readable_and_show_no_key() -> None:
    """Nobody can look up which template a database has, or the MAC key lies beside it."""
    raw = configuration.encode(DATABASE, KEYS)
    assert json.loads(raw)["body"]["schema_id"] == "chat.v1"
    assert KEYRING.active(Purpose.CONFIGURATION).material.hex().encode() not in raw


def test_every_other_value_of_every_byte_of_a_database_is_refused() -> None:
    """Whoever can write the disk binds a database to another template."""
    raw = configuration.encode(DATABASE, KEYS)
    for what, changed in replaced_bytes(raw.rstrip(b"\n")):
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: {configuration.decode_database(changed, 'both', KEYS)}")


def test_every_changed_bit_of_a_template_is_refused() -> None:
    """Whoever can write the disk makes a template let everything through."""
    raw = configuration.encode(TEMPLATE, KEYS)
    for what, changed in [*flipped_bits(raw), *truncations(raw.rstrip(b"\n"))]:
        with pytest.raises(IntegrityError):
            pytest.fail(f"{what}: {configuration.decode_template(changed, 'both', KEYS)}")


def test_a_file_at_another_name_is_refused() -> None:
    """Whoever can write the disk gives one database the lax template of another one."""
    with pytest.raises(IntegrityError):
        configuration.decode_database(configuration.encode(DATABASE, KEYS), "other", KEYS)
    with pytest.raises(IntegrityError):
        configuration.decode_template(configuration.encode(TEMPLATE, KEYS), "other", KEYS)


def test_a_template_is_no_database() -> None:
    """A template whose author wrote a database into it is taken for one."""
    as_schema = msgspec.structs.replace(TEMPLATE, schema=msgspec.Raw(msgspec.json.encode(DATABASE)))
    for raw in (configuration.encode(TEMPLATE, KEYS), configuration.encode(as_schema, KEYS)):
        with pytest.raises(IntegrityError):
            configuration.decode_database(raw, "both", KEYS)
    with pytest.raises(IntegrityError):
        configuration.decode_template(configuration.encode(DATABASE, KEYS), "both", KEYS)


def test_a_file_of_another_deployment_is_refused() -> None:
    """A template that was copied from elsewhere is in force here."""
    elsewhere = mac_keys(keyring.new("elsewhere", AT))
    with pytest.raises(IntegrityError):
        configuration.decode_database(configuration.encode(DATABASE, elsewhere), "both", KEYS)


def test_a_file_under_a_former_key_still_verifies() -> None:
    """After a rotation of the configuration key no database can be read."""
    rotated = keyring.with_active(KEYRING, keyring.new_key(Purpose.CONFIGURATION, AT))
    raw = configuration.encode(DATABASE, KEYS)
    assert configuration.decode_database(raw, "both", mac_keys(rotated)) == DATABASE
    with pytest.raises(IntegrityError):
        configuration.decode_database(
            configuration.encode(DATABASE, mac_keys(rotated)), "both", KEYS
        )


def test_a_newer_format_is_refused_with_its_number() -> None:
    """After a downgrade nobody can tell why a database is not served."""
    raw = configuration.encode(DATABASE, KEYS).replace(b'"format":1', b'"format":2')
    with pytest.raises(IntegrityError, match=r"database both: format 2 is not known"):
        configuration.decode_database(raw, "both", KEYS)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{}", b"[]", b"\xff", b"null", b'{"format":1,"mac":{}}'),
        '{"format":1,"mac":{"key_id":"0","tag":"é"},"body":{}}'.encode(),
        b'{"format":1,"mac":{"key_id":"0","tag":"A"},"body":{}}',
    ],
)
def test_what_is_no_configuration_file_is_refused_by_name(raw: bytes) -> None:
    """A foreign file ends in an internal error, and the log does not say which one it was."""
    with pytest.raises(IntegrityError, match="the database both"):
        configuration.decode_database(raw, "both", KEYS)


# -- as files --------------------------------------------------------------------------------------


def put(layout: Layout, record: Database | Template) -> Path:
    """Write a record to its place."""
    path = (
        layout.database(record.name)
        if isinstance(record, Database)
        else layout.template(record.schema_id)
    )
    durable.replace_file(durable.LocalFilesystem(), path, configuration.encode(record, KEYS))
    return path


def test_a_changed_file_is_in_force_at_the_next_read(tmp_path: Path) -> None:
    """A replaced template does not hold for the writes that begin after the answer."""
    layout = Layout(tmp_path)
    files = ConfigurationFiles(durable.LocalFilesystem(), layout, KEYS)
    assert files.template("both") is None
    put(layout, TEMPLATE)
    first = files.template("both")
    assert files.template("both") is first
    put(layout, msgspec.structs.replace(TEMPLATE, schema_version=3))
    second = files.template("both")
    assert second is not None
    assert second.schema_version == 3
    layout.template("both").unlink()
    assert files.template("both") is None


def test_an_edited_file_is_refused_though_it_was_read_before(tmp_path: Path) -> None:
    """A cached configuration hides that somebody has edited the file."""
    layout = Layout(tmp_path)
    files = ConfigurationFiles(durable.LocalFilesystem(), layout, KEYS)
    path = put(layout, DATABASE)
    assert files.database("both") == DATABASE
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"chat.v1", b"chat.v2"))
    with pytest.raises(IntegrityError):
        files.database("both")
    path.write_bytes(raw)
    assert files.database("both") == DATABASE


def test_a_file_that_was_copied_to_another_name_is_refused(tmp_path: Path) -> None:
    """A copied configuration file makes a database of a name that nobody has created."""
    layout = Layout(tmp_path)
    files = ConfigurationFiles(durable.LocalFilesystem(), layout, KEYS)
    layout.database("copy").write_bytes(put(layout, DATABASE).read_bytes())
    with pytest.raises(IntegrityError):
        files.database("copy")


def test_a_disk_that_refuses_is_no_missing_database(tmp_path: Path) -> None:
    """While the disk fails clients are told that their database does not exist."""
    layout, disk = Layout(tmp_path), FailingFilesystem()
    files = ConfigurationFiles(disk, layout, KEYS)
    put(layout, DATABASE)
    for nth in (0, 1):
        disk.arm(nth, OSError(5, "Input/output error"))
        with pytest.raises(UnavailableError):
            files.database("both")
    disk.disarm()
    assert files.database("both") == DATABASE


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever can make a link on the shared directory lets a Main Worker read any file."""
    layout = Layout(tmp_path / "shared")
    put(layout, DATABASE)
    elsewhere = layout.database("both").rename(tmp_path / "elsewhere.json")
    layout.database("both").symlink_to(elsewhere)
    with pytest.raises(IntegrityError):
        ConfigurationFiles(durable.LocalFilesystem(), layout, KEYS).database("both")
