"""Administration through the client library, in all four combinations, of one real deployment."""

import itertools
import json
from collections.abc import Iterator

import pytest

from strongroom_client import (
    ClientCredentials,
    ConflictError,
    Grant,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    Retries,
    StrongroomClientError,
    admin_calls,
    errors,
)
from strongroom_client.admin_calls import AdminRead, AdminWrite
from strongroom_client.administration import Listing
from strongroom_client.core.steps import Broken
from strongroom_client.rest import admin as over_rest
from strongroom_client.rpc import admin as over_grpc
from tests.support.client_combinations import COMBINATIONS, Asked, Where, client_of
from tests.support.client_worlds import World
from tests.support.deployment import Deployment, wait_until

_numbers = itertools.count()


@pytest.fixture(scope="module")
def where(deployment: Deployment) -> Where:
    """The deployment."""
    urls = {
        "rest": deployment.facts["http_url"],
        "grpc": f"grpc://{deployment.facts['grpc_address']}",
    }
    return Where(urls, deployment.facts["grpc_ca_file"])


@pytest.fixture(params=COMBINATIONS)
def client(request: pytest.FixtureRequest, where: Where, deployment: Deployment) -> Iterator[Asked]:
    """An administrator."""
    credentials = ClientCredentials(*deployment.credentials())
    with client_of(request.param, where, credentials) as made:
        yield made


def test_templates_and_databases(client: Asked) -> None:
    """A database cannot be made by a program, or not be found again."""
    admin = client.admin
    made = admin.put_schema("by-client", {"type": "object"})
    assert made.schema_id == "by-client"
    assert json.loads(admin.schema("by-client").text) == {"type": "object"}
    again = admin.put_schema("by-client", {"type": ["object", "array"]})
    assert again.schema_version == made.schema_version + 1
    assert "by-client" in {one.schema_id for one in admin.schemas()}
    with pytest.raises(InvalidError):
        admin.put_schema("by-client", {"type": 5})
    database = admin.put_database("by-client", "by-client", ttl_seconds=600)
    assert (database.name, database.schema_id, database.ttl_seconds) == (
        "by-client",
        "by-client",
        600,
    )
    assert admin.database("by-client") == database
    assert database in list(admin.databases())
    assert admin.put_database("by-client", "by-client").ttl_seconds is None
    assert client.put("by-client", "k", {}).version == 1
    with pytest.raises(ConflictError):
        admin.delete_schema("by-client")
    admin.delete_database("by-client")
    admin.delete_schema("by-client")
    with pytest.raises(NotFoundError):
        admin.database("by-client")


def test_clients(client: Asked, where: Where) -> None:
    """A program that makes clients loses their secrets, or grants them something else."""
    # A name that is used again means another client, of whom some processes hear later.
    name = f"by-client-{next(_numbers)}"
    grants = [Grant("chatdb", frozenset({"read", "write"}), "by-client/"), Grant("*", ["read"])]  # type: ignore[arg-type]
    users = [Grant("chatdb", frozenset({"read"}), "{sub}/")]
    made = client.admin.put_client(name, grants, user_grants=users)
    assert made.client_secret
    assert made.client_secret not in repr(made)
    assert made.grants == tuple(grants)
    known = client.admin.client(name)
    assert (known.grants, known.user_grants, known.client_secret) == (
        tuple(grants),
        tuple(users),
        None,
    )
    assert client.admin.put_client(name, grants).client_secret is None
    assert name in {one.client_id for one in client.admin.clients()}
    rotated = client.admin.rotate_secret(name, overlap_seconds=0)
    assert rotated.client_secret not in {None, made.client_secret}
    theirs = ClientCredentials(name, str(rotated.client_secret))
    with client_of("rest-sync", where, theirs) as other:
        assert other.get_many("chatdb", ["by-client/1"]) == {}
    client.admin.delete_client(name)
    with pytest.raises(NotFoundError):
        client.admin.client(name)
    with pytest.raises(InvalidError):
        client.admin.put_client(name, [Grant("*", frozenset({"everything"}))])


def test_workers(client: Asked) -> None:
    """Nobody sees which workers there are, or sees them twice."""
    workers = list(client.admin.workers())
    assert sorted(one.worker_id for one in workers) == ["worker-1", "worker-2"]
    assert {one.state for one in workers} <= {"live", "draining"}
    assert all(one.version and one.certificate_until for one in workers)
    client.admin.revoke_worker("by-client", unseen=True)
    assert "by-client" in {one.worker_id for one in client.admin.revoked_workers()}
    client.admin.reinstate_worker("by-client")
    assert "by-client" not in {one.worker_id for one in client.admin.revoked_workers()}


def test_keys_and_jobs(client: Asked) -> None:
    """A program cannot rotate keys, or not see how a job ends."""
    admin = client.admin
    old = [one.key_id for one in admin.data_keys() if one.state == "active"]
    key_id = admin.rotate_keys()
    states = {one.key_id: one.state for one in admin.data_keys()}
    assert (states[key_id], states[old[0]]) == ("active", "decrypt-only")
    job_id = admin.rewrap_keys(files_per_second=10_000)
    assert wait_until(lambda: admin.job(job_id).state == "done", 60)
    job = admin.job(job_id)
    assert (job.kind, job.left.files) == ("rewrap", 0)
    assert job_id in {one.job_id for one in admin.jobs()}
    with pytest.raises(ConflictError):
        admin.cancel_job(job_id)
    destroyed = admin.destroy_key(old[0])
    assert wait_until(lambda: admin.job(destroyed).state == "done", 60)
    assert {one.key_id: one.state for one in admin.data_keys()}[old[0]] == "destroyed"


def test_both_transports_have_every_operation() -> None:
    """A program that changes its transport misses an operation."""
    assert over_rest.OPERATIONS == over_grpc.OPERATIONS
    assert len(over_rest.OPERATIONS) == 24


def test_a_change_is_not_made_twice() -> None:
    """A connection that breaks rotates the keys a second time."""
    world = World([Broken("cut", may_have_acted=True), "done"])
    with pytest.raises(OutcomeUnknownError):
        world.run(world.conversation().perform(admin_calls.rotate_keys(), 60))
    assert len(world.sent) == 1
    world = World([errors.UnavailableError("not now"), "done"])
    conversation = world.conversation(retries=Retries(first_pause_s=0.01))
    assert world.run(conversation.perform(admin_calls.rotate_keys(), 60)) == "done"


def test_listings_end() -> None:
    """A server that repeats a cursor is asked for ever."""
    first: AdminRead[Listing[object]] = AdminRead(name="jobs")
    second = admin_calls.following(first, Listing((), "c"))
    assert second is not None
    assert second.given == {"cursor": "c"}
    assert admin_calls.following(second, Listing(())) is None
    with pytest.raises(StrongroomClientError):
        admin_calls.following(second, Listing((), "c"))


def test_a_secret_is_not_in_a_call() -> None:
    """A log of calls shows a schema or a grant."""
    assert "hunter2" not in repr(AdminWrite(name="n", given={"a": "hunter2"}))
