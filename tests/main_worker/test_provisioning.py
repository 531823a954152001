"""A deployment's first steps: its keyring, templates, databases, clients."""

from collections.abc import Callable

import msgspec
import pytest

from main_api.domain.grants import Action
from main_api.service.admin import provisioning
from main_api.service.keys.live_keyring import LiveKeyring
from strongroom import limits
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    InvalidDocumentError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.main_fakes import FakeKeyProvider, MemoryKeyringStore
from tests.support.mains import MainRig, grant

# -- keyring ---------------------------------------------------------------------------------------


def created() -> tuple[MemoryKeyringStore, FakeKeyProvider]:
    """Return the parts of a deployment that was just made."""
    store, provider = MemoryKeyringStore(), FakeKeyProvider()
    provisioning.create_keyring(store, provider, ManualClock())
    return store, provider


def test_a_new_deployment_opens_with_one_call_each_time() -> None:
    """A start costs several KMS calls, or gives other keys than the last one did."""
    store, provider = created()
    assert provider.calls == ["wrap"]
    opened = [LiveKeyring(store, provider).current for _ in range(2)]
    assert provider.calls == ["wrap", "unwrap", "unwrap"]
    assert opened[0] == opened[1]
    assert {key.purpose for key in opened[0].keys} == set(Purpose)


def test_a_keyring_is_never_overwritten() -> None:
    """A second initialization makes everything that is stored unreadable for ever."""
    store, provider = created()
    before = store.raw
    with pytest.raises(ConflictError):
        provisioning.create_keyring(store, provider, ManualClock())
    assert store.raw == before


def test_without_a_keyring_nothing_starts() -> None:
    """A Main Worker that mounts the wrong directory makes itself new keys."""
    store, provider = MemoryKeyringStore(), FakeKeyProvider()
    with pytest.raises(UnavailableError, match="never initialized"):
        LiveKeyring(store, provider)
    assert store.raw is None
    assert provider.calls == []


def test_a_keyring_of_another_deployment_does_not_open() -> None:
    """A Main Worker serves with the keys of another deployment."""
    store, _ = created()
    with pytest.raises(IntegrityError):
        LiveKeyring(store, FakeKeyProvider())


def test_a_failed_initialization_leaves_nothing() -> None:
    """After an outage of KMS during the first start no second one is possible."""
    store, provider = MemoryKeyringStore(), FakeKeyProvider()
    provider.down = True
    with pytest.raises(UnavailableError):
        provisioning.create_keyring(store, provider, ManualClock())
    assert store.raw is None


# -- templates -------------------------------------------------------------------------------------

DRAFT_7 = b"http://json-schema.org/draft-07/schema#"
ADMITTED = [
    b"{}",
    b"true",
    b"false",
    b'{"type": "object"}',
    b'{"$schema": "%s", "type": "object"}' % DRAFT_7,
    b'{"$schema": "https://json-schema.org/draft/2019-09/schema", "type": "object"}',
    b'{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}',
    b'{"$id": "https://example.com/a", "$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}',
    b'{"$ref": "https://json-schema.org/draft/2020-12/schema"}',
    b'{"$schema": "%s", "properties": {"a": {"$ref": "%s"}}}' % (DRAFT_7, DRAFT_7),
    b'{"pattern": "^\\\\p{Letter}+$"}',
    b'{"format": "email", "x-format": "annotate"}',
    b'{"multipleOf": 0.01, "maximum": 123456789012345678901234567890}',
    '{"description": "grüße", "const": "😀"}'.encode(),
]

NOT_ADMITTED = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a repeated member": b'{"type": "object", "type": "array"}',
    "an unknown type": b'{"type": "objekt"}',
    "a wrong keyword value": b'{"minLength": "1"}',
    "a negative length": b'{"minLength": -1}',
    "required that is a string": b'{"required": "a"}',
    "a broken pattern": b'{"pattern": "("}',
    "a reference into nothing": b'{"$ref": "#/$defs/nothing"}',
    "a reference to a file": b'{"$ref": "file:///etc/passwd"}',
    "a reference to the network": b'{"$ref": "http://169.254.169.254/latest/meta-data"}',
    "an unknown draft": b'{"$schema": "https://example.com/my-draft", "type": "object"}',
    "a draft that is a number": b'{"$schema": 7}',
    "a draft that is a list": b'{"$schema": []}',
    "a draft that is no URI": b'{"$schema": "http://[bad"}',
    "an id that is a number": b'{"$id": 7}',
    "properties that are a list": b'{"properties": []}',
}


@pytest.mark.parametrize("schema", ADMITTED, ids=lambda schema: schema.decode())
def test_a_json_schema_is_admitted(schema: bytes) -> None:
    """A valid template cannot be used."""
    template = MainRig().provisioning.put_template("t", schema)
    assert (template.schema_id, template.schema_version) == ("t", 1)
    assert bytes(template.schema) == schema


@pytest.mark.parametrize("schema", NOT_ADMITTED.values(), ids=NOT_ADMITTED)
def test_what_is_no_usable_schema_is_refused(schema: bytes) -> None:
    """A template is stored that no worker can compile, and the database is dead."""
    rig = MainRig()
    with pytest.raises(InvalidDocumentError):
        rig.provisioning.put_template("t", schema)
    assert rig.memory.templates == {}


def test_a_template_is_bounded() -> None:
    """A template of any size is compiled by every worker."""
    with pytest.raises(TooLargeError):
        MainRig().provisioning.put_template("t", b" " * limits.TEMPLATE_BYTES_MAX + b"{}")


def test_a_replaced_template_gets_the_next_version() -> None:
    """An entity does not tell by which template it was validated."""
    rig = MainRig()
    first = rig.provisioning.put_template("t", b"{}")
    rig.clock.advance(5)
    second = rig.provisioning.put_template("t", b"true")
    assert (first.schema_version, second.schema_version) == (1, 2)
    assert second.created_at == first.created_at == first.updated_at < second.updated_at
    rig.provisioning.ensure_template("t", b"false")
    assert rig.memory.templates["t"] == second


# -- databases and clients -------------------------------------------------------------------------


def test_a_database_keeps_its_incarnation_for_as_long_as_it_is_there() -> None:
    """A database shows another one's entities, or loses its own at a change of its template."""
    rig = MainRig()
    rig.provisioning.put_template("t", b"{}")
    rig.provisioning.put_template("u", b"{}")
    (one, is_new), (other, _) = (rig.provisioning.put_database(n, "t") for n in ("one", "other"))
    assert is_new
    assert one.incarnation != other.incarnation
    assert len(bytes.fromhex(one.incarnation)) == 16
    rig.clock.advance(5)
    changed, is_new = rig.provisioning.put_database("one", "u", 60)
    assert not is_new
    assert (changed.incarnation, changed.created_at) == (one.incarnation, one.created_at)
    assert (changed.schema_id, changed.ttl_seconds) == ("u", 60)
    rig.provisioning.ensure_database("one", "t")
    assert rig.memory.databases["one"] == changed


def test_a_change_keeps_the_floor_that_a_restore_has_set() -> None:
    """After a restore and a change of template versions are used a second time."""
    rig = MainRig()
    rig.provisioning.put_template("t", b"{}")
    made, _ = rig.provisioning.put_database("one", "t")
    rig.memory.put_database(msgspec.structs.replace(made, version_floor=1_000))
    assert rig.provisioning.put_database("one", "t")[0].version_floor == 1_000


def test_a_database_needs_its_template() -> None:
    """A database is made into which nothing can be written."""
    rig = MainRig()
    with pytest.raises(NotFoundError, match="nothing"):
        rig.provisioning.put_database("one", "nothing")
    assert "one" not in rig.memory.databases


@pytest.mark.parametrize("name", ["", "..", "a/b", "../control/keyring", "a\0b"], ids=ascii)
def test_no_name_leads_out_of_its_place(name: str) -> None:
    """Whoever makes templates, databases or clients overwrites any file of the deployment."""
    rig = MainRig()
    rig.provisioning.put_template("t", b"{}")
    makers: list[Callable[[], object]] = [
        lambda: rig.provisioning.put_template(name, b"{}"),
        lambda: rig.provisioning.ensure_template(name, b"{}"),
        lambda: rig.provisioning.put_database(name, "t"),
        lambda: rig.provisioning.put_database("one", name),
        lambda: rig.provisioning.ensure_database(name, "t"),
        lambda: rig.provisioning.put_client(name, ()),
        lambda: rig.provisioning.make_client(name, ()),
        lambda: rig.provisioning.delete_client(name),
        lambda: rig.provisioning.delete_database(name),
        lambda: rig.provisioning.delete_template(name),
    ]
    for make in makers:
        with pytest.raises(InvalidArgumentError):
            make()


def test_other_grants_leave_the_secret_as_it_is() -> None:
    """A client whose grants change is locked out."""
    rig = MainRig()
    ada = rig.add_client("ada", grant("one", Action.READ))
    changed, secret = rig.provisioning.put_client("ada", (grant("two", Action.WRITE),))
    assert secret is None
    assert changed.grants == (grant("two", Action.WRITE),)
    assert rig.access.authenticate(rig.bearer(ada)).grants == changed.grants


def test_secrets_cannot_be_guessed() -> None:
    """A client's secret is one of a few."""
    rig = MainRig()
    made = {rig.provisioning.make_client("ada", ())[1] for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 43
