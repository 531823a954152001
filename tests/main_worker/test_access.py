"""Who gets in, and for what."""

import base64
import hashlib
from dataclasses import replace

import pytest

from main_api.domain.grants import Action
from main_api.service.callers.client_secrets import ClientSecrets
from strongroom import keyring, limits, tokens
from strongroom.errors import (
    ForbiddenError,
    InvalidArgumentError,
    StrongroomError,
    UnauthenticatedError,
)
from strongroom.keyring import Purpose
from tests.support.clocks import ManualClock
from tests.support.mains import AT, Credentials, MainRig, grant

READ, WRITE = Action.READ, Action.WRITE


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker."""
    return MainRig()


def refused(rig: MainRig, client_id: str, secret: str) -> StrongroomError:
    """Return the error of a login that fails."""
    with pytest.raises(UnauthenticatedError) as refusal:
        rig.authorization.issue_token(client_id, secret, "")
    return refusal.value


def test_a_client_gets_a_token_and_is_known_by_it(rig: MainRig) -> None:
    """No client gets in."""
    rights = (grant("chatdb", READ), grant("logs*", WRITE, key_prefix="ada/"))
    ada = rig.add_client("ada", *rights)
    issued = rig.authorization.issue_token("ada", ada.secret, "")
    assert issued.expires_in_s == limits.ACCESS_TOKEN_SECONDS
    assert issued.scope == {"read", "write"}
    for scheme in ("Bearer", "bearer", "BEARER"):
        caller = rig.access.authenticate(f"{scheme} {issued.access_token}")
        assert caller.client_id == "ada"
        assert caller.grants == rights
        assert caller.scope == {"read", "write"}
        assert (caller.subject, caller.is_user) == ("ada", False)


def test_a_claim_in_a_clients_own_grant_is_its_id(rig: MainRig) -> None:
    """A grant that many clients are given as it stands opens the template's text, or everything."""
    rights = (grant("chatdb", READ, key_prefix="services/{client_id}/{sub}/"),)
    caller = rig.caller(*rights, client_id="ada")
    assert caller.grants == (grant("chatdb", READ, key_prefix="services/ada/ada/"),)
    rig.access.authorize(caller, "chatdb", ["services/ada/ada/1"], READ)
    for key in ("services/{client_id}/{sub}/1", "services/bob/bob/1", "services/"):
        with pytest.raises(ForbiddenError):
            rig.access.authorize(caller, "chatdb", [key], READ)


def test_an_unknown_client_and_a_wrong_secret_are_one_error(rig: MainRig) -> None:
    """Whoever guesses learns which clients exist."""
    ada, bob = rig.add_client("ada"), rig.add_client("bob")
    answers = [
        refused(rig, "ada", "wrong"),
        refused(rig, "ada", ""),
        refused(rig, "ada", ada.secret + "x"),
        refused(rig, "ada", ada.secret[:-1]),
        refused(rig, "ada", bob.secret),
        refused(rig, "nobody", ada.secret),
        refused(rig, "", ""),
        refused(rig, "../clients/ada", ada.secret),
        refused(rig, "x" * 10_000, "y" * 10_000),
        refused(rig, "ada\0", ada.secret),
    ]
    assert {(type(a), a.detail, a.code) for a in answers} == {
        (UnauthenticatedError, "unknown client or wrong secret", "unauthenticated")
    }


def test_a_client_id_that_is_none_never_reaches_the_disk(rig: MainRig) -> None:
    """A login with a made-up id reads any file below the shared directory."""
    refused(rig, "../../etc/passwd", "x")
    assert rig.memory.reads["client"] == 0


def test_a_secret_is_not_stored(rig: MainRig) -> None:
    """Whoever opens a client's record can log in as that client."""
    ada = rig.add_client("ada")
    record = rig.memory.clients["ada"]
    assert ada.secret not in repr(record)
    unkeyed = [hashlib.new(name, ada.secret.encode()).digest() for name in ("sha256", "sha512")]
    assert base64.b64decode(record.secret_mac) not in unkeyed


def test_a_new_secret_replaces_the_old_one(rig: MainRig) -> None:
    """A secret that has leaked keeps working after it was replaced."""
    old = rig.add_client("ada")
    new = rig.add_client("ada")
    refused(rig, "ada", old.secret)
    rig.authorization.issue_token("ada", new.secret, "")


def test_a_secret_outlives_a_rotation_of_its_key(rig: MainRig) -> None:
    """A rotation of the client-secret key locks every client out."""
    ada = rig.add_client("ada")
    rotated = keyring.with_active(rig.keys, keyring.new_key(Purpose.CLIENT_SECRET, AT))
    secrets = ClientSecrets(rotated, rig.memory, rig.clock)
    assert secrets.authenticate("ada", ada.secret).client_id == "ada"


# -- scope -----------------------------------------------------------------------------------------


def test_a_token_can_be_narrowed(rig: MainRig) -> None:
    """A client that asks for a token for reading alone hands out one that can write."""
    ada = rig.add_client("ada", grant("*", READ, WRITE))
    caller = rig.access.authenticate(rig.bearer(ada, "read"))
    assert caller.scope == {"read"}
    rig.access.authorize(caller, "chatdb", ["k"], READ)
    with pytest.raises(ForbiddenError):
        rig.access.authorize(caller, "chatdb", ["k"], WRITE)


def test_narrowing_one_token_does_not_narrow_another(rig: MainRig) -> None:
    """A token for reading takes a client's other rights away."""
    ada = rig.add_client("ada", grant("*", READ, WRITE))
    narrow, wide = rig.bearer(ada, "read"), rig.bearer(ada)
    assert rig.access.authenticate(narrow).scope == {"read"}
    assert rig.access.authenticate(wide).scope == {"read", "write"}


@pytest.mark.parametrize("scope", ["admin", "read admin", "everything", "READ", "*"])
def test_a_token_cannot_be_widened(rig: MainRig, scope: str) -> None:
    """A client asks for more than it was granted, and gets it."""
    ada = rig.add_client("ada", grant("*", READ, WRITE))
    with pytest.raises(InvalidArgumentError):
        rig.bearer(ada, scope)


def test_a_scope_does_not_outlive_its_grant(rig: MainRig) -> None:
    """A client whose rights were taken away keeps them until its token ends."""
    ada = rig.add_client("ada", grant("*", READ, WRITE))
    bearer = rig.bearer(ada)
    rig.provisioning.make_client("ada", (grant("*", READ),))
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    caller = rig.access.authenticate(bearer)
    with pytest.raises(ForbiddenError):
        rig.access.authorize(caller, "chatdb", ["k"], WRITE)


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YWRhOng=", "Token x", "x", "Bearerx"],
)
def test_without_a_token_nobody_gets_in(rig: MainRig, authorization: str | None) -> None:
    """A request without proof of identity is served."""
    with pytest.raises(UnauthenticatedError):
        rig.access.authenticate(authorization)


def test_a_verified_token_still_ends_in_its_time(rig: MainRig) -> None:
    """A token that was used once works for as long as it stays in the cache."""
    ada = rig.add_client("ada")
    bearer = rig.bearer(ada)
    rig.access.authenticate(bearer)
    rig.clock.advance(limits.ACCESS_TOKEN_SECONDS - 0.001)
    rig.access.authenticate(bearer)
    rig.clock.advance(0.001)
    with pytest.raises(UnauthenticatedError, match="expired"):
        rig.access.authenticate(bearer)


def test_a_workers_token_is_no_clients(rig: MainRig) -> None:
    """A worker that was broken into reads through the client API."""
    rig.add_client("worker-1")
    token = tokens.issue(
        rig.keys,
        rig.clock,
        audience=tokens.WORKER_AUDIENCE,
        subject="worker-1",
        scope=frozenset({"read"}),
        lifetime_s=60,
    )
    with pytest.raises(UnauthenticatedError):
        rig.access.authenticate(f"Bearer {token}")


def removed(rig: MainRig, client: Credentials) -> str:
    """Use a client's token, then remove the client; return its `Authorization`."""
    bearer = rig.bearer(client)
    rig.access.authenticate(bearer)
    rig.store.remove_client(client.client_id)
    return bearer


def test_a_removed_client_is_refused_within_the_cache_time(rig: MainRig) -> None:
    """A client that was revoked goes on until its token ends."""
    bearer = removed(rig, rig.add_client("ada"))
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    with pytest.raises(UnauthenticatedError, match="does not exist"):
        rig.access.authenticate(bearer)
    assert limits.CLIENT_RECORD_CACHE_SECONDS < limits.REVOCATION_SECONDS_MAX == 5


def test_a_removed_client_gets_no_new_token(rig: MainRig) -> None:
    """A client that was revoked logs in again from a cache."""
    ada = rig.add_client("ada")
    removed(rig, ada)
    refused(rig, "ada", ada.secret)


def test_a_client_is_read_once_in_the_cache_time(rig: MainRig) -> None:
    """Each request reads and decrypts a record on the shared directory."""
    bearer = rig.bearer(rig.add_client("ada"))
    reads_before = rig.memory.reads["client"]
    for _ in range(10):
        rig.access.authenticate(bearer)
        rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS / 11)
    assert rig.memory.reads["client"] == reads_before + 1


class RestlessClock(ManualClock):
    """Moves on whenever it is asked, as a real one does; the step is the test's."""

    step_s = 0.0

    def boot_s(self) -> float:
        """Return the boot time, a step later each time."""
        self.now_boot_s += self.step_s
        return self.now_boot_s


@pytest.mark.parametrize("step_s", [0.1, 0.3, 0.7, 1.0, 2.0])
def test_a_record_that_expires_while_it_is_looked_up_is_read_anew(step_s: float) -> None:
    """A request at the very moment at which a cached client expires is an internal error."""
    clock = RestlessClock()
    rig = MainRig(clock=clock)
    bearer = rig.bearer(rig.add_client("ada"))
    clock.step_s = step_s
    for _ in range(20):
        assert rig.access.authenticate(bearer).client_id == "ada"


# -- authorization ---------------------------------------------------------------------------------


def test_every_key_of_a_request_has_to_be_granted(rig: MainRig) -> None:
    """With one key that is granted a client reads any other one in the same request."""
    caller = rig.caller(
        grant("chatdb", READ, key_prefix="mine/"), grant("chatdb", READ, key_prefix="ours/")
    )
    rig.access.authorize(caller, "chatdb", ["mine/1", "ours/2"], READ)
    with pytest.raises(ForbiddenError):
        rig.access.authorize(caller, "chatdb", ["mine/1", "theirs/1"], READ)


def test_a_refusal_does_not_say_what_exists(rig: MainRig) -> None:
    """A client finds out the names of databases by the errors that it gets."""
    caller = rig.caller(grant("chatdb", READ))
    details = set()
    for database in ("chatdb", "secretdb", "nosuchdb"):
        with pytest.raises(ForbiddenError) as refusal:
            rig.access.authorize(caller, database, ["k"], WRITE)
        details.add(refusal.value.detail)
    assert len(details) == 1
    assert rig.memory.reads["database"] == 0


def test_a_token_of_another_deployment_is_refused(rig: MainRig) -> None:
    """A client of a test deployment gets into production."""
    other = MainRig(keys=replace(rig.keys, deployment="other"))
    rig.add_client("ada")
    bearer = other.bearer(other.add_client("ada"))
    with pytest.raises(UnauthenticatedError):
        rig.access.authenticate(bearer)


def test_a_client_that_is_made_anew_is_another_one() -> None:
    """Whoever was removed comes back with an old token when their id is given to somebody else."""
    rig = MainRig()
    old = rig.bearer(rig.add_client("ada", grant("one", READ)))
    rig.access.authenticate(old)
    rig.provisioning.delete_client("ada")
    new = rig.bearer(rig.add_client("ada", grant("*", READ)))
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    with pytest.raises(UnauthenticatedError):
        rig.access.authenticate(old)
    assert rig.access.authenticate(new).grants == (grant("*", READ),)


def test_a_change_of_grants_leaves_tokens_as_they_are() -> None:
    """Every change of a client's grants logs it out."""
    rig = MainRig()
    token = rig.bearer(rig.add_client("ada", grant("one", READ)))
    before = rig.access.authenticate(token).unique_id
    rig.provisioning.put_client("ada", (grant("two", READ),))
    rig.clock.advance(limits.CLIENT_RECORD_CACHE_SECONDS)
    assert rig.access.authenticate(token).unique_id == before
