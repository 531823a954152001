"""What administrators may do, and nobody else."""

from collections.abc import Callable

import pytest

from main_api.domain.grants import Action
from main_api.service.access import Caller
from strongroom import limits
from strongroom.errors import ForbiddenError, InvalidArgumentError, NotFoundError
from tests.support.main_fakes import a_worker
from tests.support.mains import MainRig, grant

READ, WRITE, DELETE, ADMIN = Action.READ, Action.WRITE, Action.DELETE, Action.ADMIN
Use = Callable[[MainRig, Caller, str], object]

ON_EVERYTHING: dict[str, Use] = {
    "put_template": lambda rig, who, name: rig.administration.put_template(who, name, b"{}"),
    "template": lambda rig, who, name: rig.administration.template(who, name),
    "put_client": lambda rig, who, name: rig.administration.put_client(who, name, ()),
    "client": lambda rig, who, name: rig.administration.client(who, name),
    "delete_client": lambda rig, who, name: rig.administration.delete_client(who, name),
    "workers": lambda rig, who, _: rig.administration.workers(who),
}
ON_A_DATABASE: dict[str, Use] = {
    "put_database": lambda rig, who, name: rig.administration.put_database(who, name, "there", 5),
    "database": lambda rig, who, name: rig.administration.database(who, name),
}


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with a template, a client and a database of the same name."""
    made = MainRig()
    made.provisioning.put_template("there", b"{}")
    made.provisioning.put_database("there", "there")
    made.add_client("there", grant("there", READ))
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
    assert rig.access.issue_token("ada", secret, "").scope == {"write"}
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
    [u for n, u in (ON_EVERYTHING | ON_A_DATABASE).items() if n != "workers"],
    ids=[n for n in ON_EVERYTHING | ON_A_DATABASE if n != "workers"],
)
def test_no_name_leads_out_of_its_place(rig: MainRig, use: Use, name: str) -> None:
    """An administrator reads, overwrites or removes any file below the shared directory."""
    with pytest.raises(InvalidArgumentError):
        use(rig, rig.caller(), name)
