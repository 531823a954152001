"""What administrators may do, and nobody else."""

from collections.abc import Callable

import msgspec
import pytest

from main_api.domain.caller import Caller
from main_api.domain.grants import Action
from main_api.domain.registry import Revocation
from strongroom import limits
from strongroom.errors import (
    ConflictError,
    ForbiddenError,
    InvalidArgumentError,
    NotFoundError,
)
from tests.support.main_fakes import a_worker
from tests.support.mains import AT, MainRig, grant

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN
Use = Callable[[MainRig, Caller, str], object]

ON_EVERYTHING: dict[str, Use] = {
    "put_template": lambda rig, who, name: rig.administration.put_template(who, name, b"{}"),
    "template": lambda rig, who, name: rig.administration.template(who, name),
    "templates": lambda rig, who, _: rig.administration.templates(who, 10, ""),
    "delete_template": lambda rig, who, name: rig.administration.delete_template(who, name),
    "put_client": lambda rig, who, name: rig.administration.put_client(who, name, ()),
    "client": lambda rig, who, name: rig.administration.client(who, name),
    "clients": lambda rig, who, _: rig.administration.clients(who, 10, ""),
    "delete_client": lambda rig, who, name: rig.administration.delete_client(who, name),
    "workers": lambda rig, who, _: rig.administration.workers(who),
    "revoked_workers": lambda rig, who, _: rig.administration.revoked_workers(who),
    "revoke_worker": lambda rig, who, name: rig.administration.revoke_worker(who, name),
    "reinstate_worker": lambda rig, who, name: rig.administration.reinstate_worker(who, name),
    "try_template": lambda rig, who, name: rig.inspection.try_template(who, name, b"{}", ""),
    "verify": lambda rig, who, _: rig.inspection.verify(who, "", repair=False),
}
ON_A_DATABASE: dict[str, Use] = {
    "put_database": lambda rig, who, name: rig.administration.put_database(who, name, "there", 5),
    "database": lambda rig, who, name: rig.administration.database(who, name),
    "delete_database": lambda rig, who, name: rig.administration.delete_database(who, name),
}
WITHOUT_A_NAME = {"workers", "revoked_workers", "templates", "clients", "verify"}


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with a template, a client and a database of the same name."""
    made = MainRig()
    made.provisioning.put_template("there", b"{}")
    made.provisioning.put_database("there", "there")
    made.add_client("there", grant("there", READ))
    made.add_workers("there")
    made.store.revocations.put("there", Revocation(worker_id="there", revoked_at=AT))
    return made


@pytest.mark.parametrize("name", ["there", "nothing"])
@pytest.mark.parametrize("use", ON_EVERYTHING.values(), ids=ON_EVERYTHING)
def test_what_concerns_all_takes_admin_on_every_database(rig: MainRig, use: Use, name: str) -> None:
    """Somebody without the right changes templates or clients, or learns which there are."""
    others = {
        "no-admin": (grant("*", READ, WRITE, DELETE),),
        "one-database": (grant("there", ADMIN), grant("nothing", ADMIN)),
        "many-databases": (grant("t*", ADMIN), grant("n*", ADMIN)),
        "some-keys": (grant("*", ADMIN, key_prefix="a"),),
        "put-together": (grant("*", READ), grant("there", ADMIN)),
    }
    details = set()
    for client_id, grants in others.items():
        caller = rig.caller(*grants, client_id=client_id)
        reads = dict(rig.memory.reads)
        with pytest.raises(ForbiddenError) as refusal:
            use(rig, caller, name)
        details.add(refusal.value.detail)
        assert dict(rig.memory.reads) == reads
    narrowed = rig.access.authenticate(rig.bearer(rig.add_client("root"), "read write"))
    with pytest.raises(ForbiddenError):
        use(rig, narrowed, name)
    assert len(details) == 1


@pytest.mark.parametrize("name", ["there", "nothing"])
@pytest.mark.parametrize("use", ON_A_DATABASE.values(), ids=ON_A_DATABASE)
def test_what_concerns_a_database_takes_admin_on_it(rig: MainRig, use: Use, name: str) -> None:
    """Somebody without the right rebinds a database, or learns which there are."""
    others = {
        "no-admin": (grant("*", READ, WRITE, DELETE),),
        "another": (grant("other", ADMIN),),
        "some-keys": (grant("*", ADMIN, key_prefix="a"),),
    }
    for client_id, grants in others.items():
        caller = rig.caller(*grants, client_id=client_id)
        reads = dict(rig.memory.reads)
        with pytest.raises(ForbiddenError):
            use(rig, caller, name)
        assert dict(rig.memory.reads) == reads


def test_an_administrator_of_one_database_manages_it(rig: MainRig) -> None:
    """The administrator of one database cannot do their work."""
    caller = rig.caller(grant("my*", ADMIN))
    made, is_new = rig.administration.put_database(caller, "mydb", "there", 60)
    assert is_new
    assert rig.administration.database(caller, "mydb") == made
    with pytest.raises(NotFoundError):
        rig.administration.database(caller, "myother")


def test_an_administrator_manages_clients(rig: MainRig) -> None:
    """A secret is shown twice or never, or a removed client stays."""
    root = rig.caller()
    made, secret = rig.administration.put_client(root, "ada", (grant("there", READ),))
    assert secret is not None
    assert rig.administration.client(root, "ada") == made
    changed, again = rig.administration.put_client(root, "ada", (grant("there", WRITE),))
    assert again is None
    assert changed.grants == (grant("there", WRITE),)
    assert rig.authorization.issue_token("ada", secret, "").scope == {"write"}
    rig.administration.delete_client(root, "ada")
    for use in (rig.administration.client, rig.administration.delete_client):
        with pytest.raises(NotFoundError):
            use(root, "ada")


def test_an_administrator_manages_templates(rig: MainRig) -> None:
    """A template cannot be replaced or looked up."""
    root = rig.caller()
    assert rig.administration.put_template(root, "there", b"true").schema_version == 2
    assert bytes(rig.administration.template(root, "there").schema) == b"true"
    with pytest.raises(NotFoundError):
        rig.administration.template(root, "nothing")


def test_a_template_in_use_stays(rig: MainRig) -> None:
    """A database is left without its template, and nothing can be written into it any more."""
    root = rig.caller()
    with pytest.raises(ConflictError, match="there"):
        rig.administration.delete_template(root, "there")
    rig.administration.delete_database(root, "there")
    rig.administration.delete_template(root, "there")
    for use in (rig.administration.template, rig.administration.delete_template):
        with pytest.raises(NotFoundError):
            use(root, "there")
    with pytest.raises(NotFoundError):
        rig.administration.put_database(root, "there", "there", None)


def test_a_template_that_comes_back_goes_on_counting(rig: MainRig) -> None:
    """Two templates have the same id and version, and an entity does not tell which it obeys."""
    root = rig.caller()
    rig.administration.put_template(root, "t", b"{}")
    rig.administration.delete_template(root, "t")
    rig.clock.advance(1)
    made = rig.administration.put_template(root, "t", b"true")
    assert made.schema_version == 2
    assert made.created_at == made.updated_at


def test_a_deleted_database_is_gone_and_may_come_back_as_another(rig: MainRig) -> None:
    """What was deleted shows again under a database of the same name."""
    root = rig.caller()
    first = rig.administration.database(root, "there")
    rig.administration.delete_database(root, "there")
    for use in (rig.administration.database, rig.administration.delete_database):
        with pytest.raises(NotFoundError):
            use(root, "there")
    with pytest.raises(NotFoundError):
        rig.entities.get(root, "there", "k")
    second, is_new = rig.administration.put_database(root, "there", "there", None)
    assert is_new
    assert second.incarnation != first.incarnation
    assert [one.incarnation for one in second.retired] == [first.incarnation]


def test_the_deleted_incarnations_that_are_kept_are_bounded(rig: MainRig) -> None:
    """A configuration grows with every deletion, or forgets what still has to be removed."""
    for _ in range(limits.INCARNATIONS_RETIRED_MAX):
        rig.provisioning.delete_database("there")
        made, _ = rig.provisioning.put_database("there", "there")
    with pytest.raises(ConflictError, match="another name"):
        rig.provisioning.delete_database("there")
    assert len(made.retired) == limits.INCARNATIONS_RETIRED_MAX
    rig.clock.advance(limits.INCARNATION_RETIRED_SECONDS)
    rig.provisioning.delete_database("there")
    assert [one.incarnation for one in rig.memory.databases["there"].retired] == [made.incarnation]


def test_a_deletion_takes_the_right_to_delete(rig: MainRig) -> None:
    """Whoever may configure a database destroys what is in it."""
    refused = {
        "no-delete": (grant("there", ADMIN),),
        "some-keys": (grant("there", ADMIN), grant("there", DELETE, key_prefix="a")),
    }
    for client_id, grants in refused.items():
        with pytest.raises(ForbiddenError):
            rig.administration.delete_database(rig.caller(*grants, client_id=client_id), "there")
    rig.administration.delete_database(rig.caller(grant("there", ADMIN, DELETE)), "there")


def test_a_listing_ends_and_leaves_nothing_out(rig: MainRig) -> None:
    """An administrator does not see what there is, or pages for ever."""
    root = rig.caller()
    for number in range(5):
        rig.provisioning.put_template(f"t{number}", b'{"title": "long"}')
    rig.administration.delete_template(root, "t2")
    seen, cursor, pages = [], "", 0
    while True:
        page = rig.administration.templates(root, 2, cursor)
        assert len(page.records) <= 2
        seen += [one.schema_id for one in page.records]
        assert all(bytes(one.schema) == b"null" for one in page.records)
        cursor, pages = page.cursor, pages + 1
        if not cursor:
            break
    assert (seen, pages) == (["t0", "t1", "t3", "t4", "there"], 3)
    clients = rig.administration.clients(root, limits.PAGE_SIZE_MAX, "").records
    assert [one.client_id for one in clients] == ["somebody", "there"]
    for limit in (0, -1, limits.PAGE_SIZE_MAX + 1):
        with pytest.raises(InvalidArgumentError):
            rig.administration.databases(root, limit, "")


def test_a_listing_shows_the_databases_that_the_caller_administers(rig: MainRig) -> None:
    """An administrator of one database learns which others there are."""
    for name in ("mine-1", "mine-2", "other"):
        rig.provisioning.put_database(name, "there")
    caller = rig.caller(grant("mine-*", ADMIN), grant("*", READ, WRITE))
    found = rig.administration.databases(caller, 10, "").records
    assert [one.name for one in found] == ["mine-1", "mine-2"]
    narrowed = rig.access.authenticate(rig.bearer(rig.add_client("root"), "read write"))
    reader = rig.caller(grant("*", READ), client_id="reader")
    of_some_keys = rig.caller(grant("*", ADMIN, key_prefix="a"), client_id="of-some-keys")
    for who in (reader, of_some_keys, narrowed):
        with pytest.raises(ForbiddenError):
            rig.administration.databases(who, 10, "")


def test_a_listing_fits_into_an_answer(rig: MainRig) -> None:
    """A listing of clients with many grants is larger than any message may be."""
    grants = tuple(grant("d" * 60, READ, key_prefix=f"{n:0512}") for n in range(limits.GRANTS_MAX))
    for number in range(70):
        rig.provisioning.put_client(f"c{number:02}", grants)
    root = rig.caller()
    first = rig.administration.clients(root, limits.PAGE_SIZE_MAX, "")
    assert len(msgspec.json.encode(first.records)) <= limits.MESSAGE_BYTES_MAX
    second = rig.administration.clients(root, limits.PAGE_SIZE_MAX, first.cursor)
    assert len(first.records) + len(second.records) == 72
    assert second.cursor == ""


def test_only_live_workers_are_shown(rig: MainRig) -> None:
    """An operator sees workers that are gone."""
    rig.add_workers("worker-2", "worker-1")
    rig.memory.put_worker(a_worker("worker-2", lease_until_ms=rig.clock.wall_ms()))
    assert [w.worker_id for w in rig.administration.workers(rig.caller())] == ["worker-1"]


@pytest.mark.parametrize("ttl_seconds", [0, -1, limits.TTL_SECONDS_MAX + 1])
def test_a_databases_lifetime_is_bounded(rig: MainRig, ttl_seconds: int) -> None:
    """Everything that is written into a database is gone at once."""
    with pytest.raises(InvalidArgumentError):
        rig.administration.put_database(rig.caller(), "there", "there", ttl_seconds)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0"], ids=ascii)
@pytest.mark.parametrize(
    "use",
    [use for name, use in (ON_EVERYTHING | ON_A_DATABASE).items() if name not in WITHOUT_A_NAME],
    ids=[name for name in ON_EVERYTHING | ON_A_DATABASE if name not in WITHOUT_A_NAME],
)
def test_no_name_leads_out_of_its_place(rig: MainRig, use: Use, name: str) -> None:
    """An administrator reads, overwrites or removes any file below the shared directory."""
    with pytest.raises(InvalidArgumentError):
        use(rig, rig.caller(), name)
