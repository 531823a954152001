"""Processing Workers coming into service, over real gRPC with real certificates."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import msgspec
import pytest

from main_api.domain.registry import Report
from main_api.service.keys.live_keyring import LiveKeyring
from main_api.service.workers.presence import Presence
from processing_fn.adapters.main_worker import GrpcMainWorker
from processing_fn.service.ports import Subscription, WorkerReport
from strongroom import keyring, limits, tokens
from strongroom.crypto import seal
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.keyring import WORKER_PURPOSES, Key, Purpose
from strongroom.layout import Layout
from strongroom_pb.v1 import subscription_pb2 as pb
from tests.support.deployment import wait_until
from tests.support.held_identities import live
from tests.support.mains import AT
from tests.support.rpc_mains import SECONDS, ServedMain
from tests.support.served_mains import Served, Stub, bearer, refused, subscribe

# -- the way into service --------------------------------------------------------------------------


def test_a_worker_comes_into_service_stays_and_leaves(served: Served) -> None:
    """No worker gets its keys, or one that does is never asked."""
    worker = served.worker("worker-1")
    subscription = worker.subscribe()
    ours = {key.key_id: key for key in served.rig.keys.of(WORKER_PURPOSES)}
    assert {key.key_id: key for key in subscription.keys} == ours
    assert subscription.deployment == "test-deployment"
    assert subscription.lease_s == limits.LEASE_SECONDS
    assert subscription.wall_ms == served.rig.clock.wall_ms()
    assert served.live() == []
    renewal = worker.register(subscription.token, "127.0.0.1:1234")
    assert served.live() == ["worker-1"]
    for _ in range(5):
        served.rig.clock.advance(limits.LEASE_SECONDS - 0.001)
        renewal = worker.renew(renewal.token, "", 0)
        assert served.live() == ["worker-1"]
    (record,) = served.rig.store.workers()
    assert record.address == "127.0.0.1:1234"
    worker.leave(renewal.token)
    assert served.live() == []
    worker.close()


def test_a_worker_turns_to_another_main_worker_when_its_own_is_gone(served: Served) -> None:
    """The death of one Main Worker ends every worker's lease, though another one is there."""
    first, other = served.face, ServedMain(served.rig.main(), served.pki)
    for face in (first, other):
        Presence(served.rig.store, served.rig.clock, face.subscriptions).renew()
    worker = served.worker("worker-1")
    renewal = worker.register(worker.subscribe().token, "127.0.0.1:1234")
    watch = worker.watch(renewal.token)
    assert set(renewal.main_addresses) == {first.subscriptions, other.subscriptions}
    served.face = other
    first.stop()
    with pytest.raises(UnavailableError):
        worker.renew(renewal.token, "", 0)
    served.rig.clock.advance(limits.LEASE_SECONDS - 0.001)
    renewal = worker.renew(renewal.token, "", 0)
    assert served.live() == ["worker-1"]
    # What ends now was the other one's; nobody is turned from for it.
    with suppress(StrongroomError):
        list(watch)
    worker.leave(renewal.token)
    assert served.live() == []
    worker.close()


def test_a_worker_that_knows_of_one_main_worker_waits_for_it(served: Served) -> None:
    """After the only Main Worker was restarted no worker comes back to it."""
    worker = served.worker("worker-1")
    Presence(served.rig.store, served.rig.clock, served.face.subscriptions).renew()
    renewal = worker.register(worker.subscribe().token, "127.0.0.1:1234")
    assert renewal.main_addresses == (served.face.subscriptions,)
    port = int(served.face.subscriptions.rpartition(":")[2])
    served.face.stop()
    with pytest.raises(UnavailableError):
        worker.renew(renewal.token, "", 0)
    served.face = ServedMain(served.rig.main(), served.pki, subscription_port=port)

    def renewed() -> bool:
        with suppress(UnavailableError):
            worker.renew(renewal.token, "", 0)
            return True
        return False

    assert wait_until(renewed, SECONDS)
    worker.close()


def test_a_worker_that_falls_silent_is_not_listed(served: Served) -> None:
    """Requests go to a worker that is dead."""
    worker = served.worker("worker-1")
    worker.register(worker.subscribe().token, "127.0.0.1:1234")
    served.rig.clock.advance(limits.LEASE_SECONDS - 0.001)
    assert served.live() == ["worker-1"]
    served.rig.clock.advance(0.001)
    assert served.live() == []
    worker.close()


def test_a_damaged_record_keeps_no_worker_out(served: Served, tmp_path: Path) -> None:
    """One bad file and a worker can never serve again; or a lease that still runs is forgotten."""
    worker = served.worker("worker-1")
    renewal = worker.register(worker.subscribe().token, "127.0.0.1:1234")
    path = Layout(tmp_path).record("workers", "worker-1")
    path.write_bytes(b"damaged")
    assert served.rig.store.every_worker() == ([], ["worker-1"])
    with pytest.raises(IntegrityError):
        worker.renew(renewal.token, "", 0)
    worker.register(worker.subscribe().token, "127.0.0.1:1235")
    assert served.live() == ["worker-1"]
    (record,) = served.rig.store.workers()
    assert record.superseded_until_ms == served.rig.clock.wall_ms() + limits.LEASE_SECONDS * 1000
    worker.close()


def test_the_active_data_key_is_named_and_the_former_one_is_there(served: Served) -> None:
    """A worker writes under a key that was retired, or cannot read what is older."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    answer = stub.Subscribe(
        pb.SubscribeRequest(worker_id="worker-1", pubkey=seal.public_bytes(seal.new_private_key())),
        timeout=SECONDS,
    )
    data = [key for key in answer.keys if key.purpose == Purpose.DATA]
    assert [key.active for key in sorted(data, key=lambda k: k.active)] == [False, True]
    assert answer.key_id == served.rig.keys.active(Purpose.DATA).key_id
    assert {key.purpose for key in answer.keys} == set(map(str, WORKER_PURPOSES))
    channel.close()


def test_records_of_workers_that_are_long_gone_are_removed(served: Served) -> None:
    """The registry grows with each worker that was ever started."""
    gone, here = served.worker("worker-1"), served.worker("worker-2")
    gone.register(gone.subscribe().token, "127.0.0.1:1")
    served.rig.clock.advance(limits.REGISTRY_KEPT_SECONDS + limits.LEASE_SECONDS + 1)
    here.register(here.subscribe().token, "127.0.0.1:2")
    assert served.rig.store.worker("worker-1") is None
    assert served.live() == ["worker-2"]
    gone.close()
    here.close()


# -- who is who ------------------------------------------------------------------------------------


def test_without_a_certificate_nobody_connects(served: Served) -> None:
    """Anybody on the network gets the data key."""
    with served.pki.client_channel(served.face.subscriptions) as channel:
        assert isinstance(refused(lambda: subscribe(Stub(channel))), UnavailableError)


def test_a_certificate_of_another_authority_does_not_connect(served: Served) -> None:
    """Whoever makes themself a certificate gets the data key."""
    identity = replace(served.foreign.workers["worker-1"], ca_file=served.pki.ca_file)
    channel, stub = served.stub(identity)
    assert isinstance(refused(lambda: subscribe(stub)), UnavailableError)
    channel.close()


def test_a_worker_does_not_subscribe_to_a_foreign_main_worker(served: Served) -> None:
    """A worker takes keys from whoever answers at the address, and encrypts under them."""
    identity = replace(served.pki.workers["worker-1"], ca_file=served.foreign.ca_file)
    channel, stub = served.stub(identity)
    assert isinstance(refused(lambda: subscribe(stub)), UnavailableError)
    channel.close()


def test_one_worker_does_not_pass_for_the_main_worker(served: Served) -> None:
    """A worker that was broken into vends keys of its own to the others."""
    impostor = replace(served.pki, main=served.pki.workers["worker-2"])
    face = ServedMain(served.rig.main(), impostor)
    worker = GrpcMainWorker("worker-1", face.subscriptions, live(served.pki.workers["worker-1"]))
    with pytest.raises(UnavailableError):
        worker.subscribe()
    worker.close()
    face.stop()


@pytest.mark.parametrize("kind", ["main", "server"])
def test_a_certificate_that_is_no_workers_gets_no_keys(served: Served, kind: str) -> None:
    """Every certificate of the deployment, a client's gateway's too, gets the data key."""
    channel, stub = served.stub({"main": served.pki.main, "server": served.pki.server}[kind])
    error = refused(lambda: subscribe(stub))
    assert isinstance(error, UnauthenticatedError)
    assert "worker's certificate" in error.detail
    channel.close()


def test_a_worker_acts_in_its_own_name_only(served: Served) -> None:
    """A worker that was broken into takes another one's place, and its requests."""
    victim = served.worker("worker-1")
    token = victim.register(victim.subscribe().token, "127.0.0.1:1").token
    channel, stub = served.stub(served.pki.workers["worker-2"])
    calls: list[Callable[[], object]] = [
        lambda: subscribe(stub, "worker-1"),
        lambda: stub.Register(
            pb.RegisterRequest(worker_id="worker-1", address="127.0.0.1:2"),
            metadata=bearer(token),
            timeout=SECONDS,
        ),
        lambda: stub.Renew(
            pb.RenewRequest(worker_id="worker-1"), metadata=bearer(token), timeout=SECONDS
        ),
        lambda: stub.Leave(
            pb.LeaveRequest(worker_id="worker-1"), metadata=bearer(token), timeout=SECONDS
        ),
        # In its own name, with the other one's token.
        lambda: stub.Register(
            pb.RegisterRequest(worker_id="worker-2", address="127.0.0.1:2"),
            metadata=bearer(token),
            timeout=SECONDS,
        ),
    ]
    for call in calls:
        assert isinstance(refused(call), UnauthenticatedError)
    (record,) = served.rig.store.workers()
    assert (record.worker_id, record.address) == ("worker-1", "127.0.0.1:1")
    channel.close()
    victim.close()


@pytest.mark.parametrize("worker_id", ["", "WORKER-1", "worker-1.x", "../worker-1", "worker-1\n"])
def test_a_name_that_is_no_workers_is_refused(served: Served, worker_id: str) -> None:
    """A worker's name becomes a path outside the registry."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    assert isinstance(refused(lambda: subscribe(stub, worker_id)), InvalidArgumentError)
    channel.close()


@pytest.mark.parametrize(
    "public_key", [b"", b"x" * 31, b"x" * 33, bytes(32)], ids=["", "31", "33", "0"]
)
def test_a_broken_public_key_is_refused(served: Served, public_key: bytes) -> None:
    """A worker's defect is an internal error, or its keys are sealed to nobody."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    error = refused(lambda: subscribe(stub, public_key=public_key))
    assert isinstance(error, InvalidArgumentError)
    channel.close()


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", ":1", "127.0.0.1:", "127.0.0.1:x", "x" * 300 + ":1"]
)
def test_a_broken_address_is_refused(served: Served, address: str) -> None:
    """A worker is listed that nobody can reach."""
    worker = served.worker("worker-1")
    token = worker.subscribe().token
    with pytest.raises(InvalidArgumentError):
        worker.register(token, address)
    assert served.live() == []
    worker.close()


# -- tokens ----------------------------------------------------------------------------------------


def with_token(served: Served, token: str) -> list[StrongroomError]:
    """Return what Register, Renew and Leave say to a token."""
    worker = served.worker("worker-1")
    said: list[StrongroomError] = []
    for call in (
        lambda: worker.register(token, "127.0.0.1:1"),
        lambda: worker.renew(token, "", 0),
        lambda: worker.leave(token),
    ):
        with pytest.raises(StrongroomError) as caught:
            call()
        said.append(caught.value)
    worker.close()
    return said


def test_an_expired_token_is_refused(served: Served) -> None:
    """A subscription that has ended long ago still lists a worker."""
    worker = served.worker("worker-1")
    token = worker.subscribe().token
    worker.close()
    served.rig.clock.advance(limits.WORKER_TOKEN_SECONDS)
    assert {type(error) for error in with_token(served, token)} == {UnauthenticatedError}
    assert served.live() == []


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
def test_without_a_token_nothing_is_done(served: Served, token: str) -> None:
    """A certificate alone lists a worker whose keys nobody has vended."""
    assert {type(error) for error in with_token(served, token)} == {UnauthenticatedError}


def test_a_clients_token_is_no_workers_and_the_reverse(served: Served) -> None:
    """A client lists a worker of its own, or a worker reads through the client API."""
    client_token = served.rig.bearer(served.rig.add_client("worker-1")).removeprefix("Bearer ")
    assert {type(error) for error in with_token(served, client_token)} == {UnauthenticatedError}
    worker = served.worker("worker-1")
    with pytest.raises(UnauthenticatedError):
        served.rig.access.authenticate(f"Bearer {worker.subscribe().token}")
    worker.close()


def test_a_token_of_another_deployment_is_refused(served: Served) -> None:
    """A worker of a test deployment comes into service in production."""
    elsewhere = replace(served.rig.keys, deployment="elsewhere")
    token = tokens.issue(
        elsewhere,
        served.rig.clock,
        audience=tokens.WORKER_AUDIENCE,
        subject="worker-1",
        scope=frozenset({"0" * 32}),
        lifetime_s=60,
    )
    assert {type(error) for error in with_token(served, token)} == {UnauthenticatedError}


# -- leases ----------------------------------------------------------------------------------------


def registered(served: Served, port: int) -> tuple[GrpcMainWorker, str]:
    """Bring a process of worker-1 into service; return it and its token."""
    worker = served.worker("worker-1")
    return worker, worker.register(worker.subscribe().token, f"127.0.0.1:{port}").token


def test_a_later_subscription_takes_the_place_of_an_earlier_one(served: Served) -> None:
    """Two processes of one name push each other out of the registry, for ever."""
    old, old_token = registered(served, 1)
    served.rig.clock.advance(1)
    new, new_token = registered(served, 2)
    for call in (lambda: old.renew(old_token, "", 0), lambda: old.leave(old_token)):
        with pytest.raises(UnauthenticatedError, match="later subscription"):
            call()
    new.renew(new_token, "", 0)
    (record,) = served.rig.store.workers()
    assert record.address == "127.0.0.1:2"
    old.close()
    new.close()


def test_an_earlier_subscription_does_not_come_back(served: Served) -> None:
    """A stalled process registers late, and the requests of its successor go to nobody."""
    stalled = served.worker("worker-1")
    early: Subscription = stalled.subscribe()
    served.rig.clock.advance(1)
    new, new_token = registered(served, 2)
    with pytest.raises(UnauthenticatedError):
        stalled.register(early.token, "127.0.0.1:1")
    new.renew(new_token, "", 0)
    stalled.close()
    new.close()


def test_a_lease_that_has_ended_is_not_renewed(served: Served) -> None:
    """A worker goes on with keys that it should have dropped."""
    worker, token = registered(served, 1)
    served.rig.clock.advance(limits.LEASE_SECONDS)
    for call in (lambda: worker.renew(token, "", 0), lambda: worker.leave(token)):
        with pytest.raises(UnauthenticatedError, match="lease has ended"):
            call()
    assert served.live() == []
    worker.close()


def test_a_worker_that_has_left_is_not_renewed(served: Served) -> None:
    """A worker that was stopped is listed again by a renewal on its way."""
    worker, token = registered(served, 1)
    worker.leave(token)
    with pytest.raises(UnauthenticatedError):
        worker.renew(token, "", 0)
    assert served.live() == []
    worker.close()


# -- keys ------------------------------------------------------------------------------------------


def test_a_sealed_key_opens_for_its_worker_alone(served: Served) -> None:
    """Whoever records a subscription, or replays it to another worker, has the data key."""
    private_key = seal.new_private_key()
    channel, stub = served.stub(served.pki.workers["worker-1"])
    request = pb.SubscribeRequest(worker_id="worker-1", pubkey=seal.public_bytes(private_key))
    answer = stub.Subscribe(request, timeout=SECONDS)
    channel.close()
    for key in answer.keys:
        binding = seal.info(answer.deployment, "worker-1", key.purpose, key.key_id)
        material = seal.unseal(private_key, key.sealed, binding)
        assert material == served.rig.keys.find(key.key_id, Purpose(key.purpose)).material
        with pytest.raises(IntegrityError):
            seal.unseal(seal.new_private_key(), key.sealed, binding)
        for other in (
            seal.info(answer.deployment, "worker-2", key.purpose, key.key_id),
            seal.info("elsewhere", "worker-1", key.purpose, key.key_id),
            seal.info(answer.deployment, "worker-1", "control", key.key_id),
            seal.info(answer.deployment, "worker-1", key.purpose, "0" * 16),
        ):
            with pytest.raises(IntegrityError):
                seal.unseal(private_key, key.sealed, other)


def test_no_key_crosses_the_wire_in_plaintext(served: Served) -> None:
    """Whoever ends the TLS connection in between has the data key."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    key = seal.public_bytes(seal.new_private_key())
    answer = stub.Subscribe(
        pb.SubscribeRequest(worker_id="worker-1", pubkey=key), timeout=SECONDS
    ).SerializeToString()
    channel.close()
    assert not [k for k in served.rig.keys.keys if k.material in answer]


# -- two ports -------------------------------------------------------------------------------------


def test_subscriptions_are_not_served_on_the_client_port(served: Served) -> None:
    """The port that clients reach hands out the data key."""
    channel = served.pki.client_channel(served.face.clients)
    with channel, pytest.raises(grpc.RpcError) as caught:
        subscribe(Stub(channel))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


# -- a keyring that changes ------------------------------------------------------------------------


def test_a_change_of_the_keyring_is_told_and_the_keys_are_there(served: Served) -> None:
    """After a rotation a worker goes on under the old key until it is restarted."""
    worker = served.worker("worker-1")
    subscription = worker.subscribe()
    renewal = worker.register(subscription.token, "127.0.0.1:1234")
    watch = worker.watch(renewal.token)
    told = iter(watch)
    first = next(told)
    made = keyring.new_key(Purpose.DATA, AT)
    served.rig.live.change(lambda current: keyring.with_active(current, made))
    assert next(told) == first + 1
    fetched = {key.key_id: key for key in worker.fetch_keys(renewal.token).keys}
    assert fetched[made.key_id] == made
    assert worker.fetch_keys(renewal.token).generation == first + 1
    assert {key.key_id for key in subscription.keys} < set(fetched)
    renewal = worker.renew(renewal.token, made.key_id, 2)
    worker.renew(renewal.token, "", 0)
    (record,) = served.rig.store.workers()
    assert record.key_id == made.key_id, "what was confirmed stays confirmed"
    watch.cancel()
    worker.close()


def test_keys_and_events_are_for_who_has_a_lease(served: Served) -> None:
    """Whoever had a lease once, or has another's token, gets the keys of today."""
    worker, other = served.worker("worker-1"), served.worker("worker-2")
    token = worker.register(worker.subscribe().token, "127.0.0.1:1234").token
    theirs = other.register(other.subscribe().token, "127.0.0.1:1235").token
    for refused_token in ("", "nonsense", theirs):
        with pytest.raises(UnauthenticatedError):
            worker.fetch_keys(refused_token)
        with pytest.raises(UnauthenticatedError):
            next(iter(worker.watch(refused_token)))
    served.rig.clock.advance(limits.LEASE_SECONDS)
    with pytest.raises(UnauthenticatedError):
        worker.fetch_keys(token)
    with pytest.raises(UnauthenticatedError):
        next(iter(worker.watch(token)))
    worker.close()
    other.close()


def test_what_a_worker_tells_of_itself_stands_in_the_registry(served: Served) -> None:
    """An administrator does not see how busy a worker is, or that it is leaving."""
    worker = served.worker("worker-1")
    first = WorkerReport(load=0.0, version="0.1.0")
    token = worker.register(worker.subscribe().token, "127.0.0.1:1234", first).token
    (record,) = served.rig.store.workers()
    assert record.report == Report(version="0.1.0")
    told = WorkerReport(1.5, 20, 3_000, "0.1.0", is_draining=True)
    worker.renew(token, "", 0, 0, told)
    (record,) = served.rig.store.workers()
    expected = Report(
        load=1.5, cache_entries=20, cache_bytes=3_000, version="0.1.0", is_draining=True
    )
    assert record.report == expected
    assert served.live() == [], "it is not asked any more"
    worker.renew(token, "", 0)
    worker.close()


@pytest.mark.parametrize(
    "report",
    [
        WorkerReport(load=-1),
        WorkerReport(load=float("nan")),
        WorkerReport(load=float("inf")),
        WorkerReport(cache_entries=-1),
        WorkerReport(cache_bytes=-1),
        WorkerReport(version="x" * (limits.VERSION_CHARS_MAX + 1)),
        WorkerReport(version="0.1\n0"),
    ],
    ids=repr,
)
def test_what_no_worker_can_have_to_tell_is_refused(served: Served, report: WorkerReport) -> None:
    """A worker that is out of its mind decides where everybody's requests go."""
    worker = served.worker("worker-1")
    token = worker.subscribe().token
    with pytest.raises(InvalidArgumentError):
        worker.register(token, "127.0.0.1:1234", report)
    token = worker.register(token, "127.0.0.1:1234").token
    with pytest.raises(InvalidArgumentError):
        worker.renew(token, "", 0, 0, report)
    worker.close()


def test_a_stream_on_which_nothing_happens_is_left_alone(served: Served) -> None:
    """A worker asks whether its Main Worker is alive so often that this one hangs up on it."""
    worker = served.worker("worker-1")
    token = worker.register(worker.subscribe().token, "127.0.0.1:1234").token
    watch = worker.watch(token)
    told: list[object] = []

    def follow() -> None:
        try:
            told.extend(watch)
        except StrongroomError as error:
            told.append(error)

    following = threading.Thread(target=follow)
    following.start()
    following.join(15 * limits.PING_AFTER_SECONDS)
    assert following.is_alive(), told
    assert told == [served.rig.live.generation]
    watch.cancel()
    following.join(SECONDS)
    worker.close()


def test_a_rotation_by_another_main_worker_is_vended_at_once(served: Served) -> None:
    """A worker gets a key as the active one that was rotated away a moment ago elsewhere.

    A job that waits for the workers to leave that key has asked all who were registered then.
    """
    other = LiveKeyring(served.rig.keyring_store, served.rig.key_provider)
    worker = served.worker("worker-1")
    token = worker.register(worker.subscribe().token, "127.0.0.1:1234").token
    vended: list[Callable[[], tuple[Key, ...]]] = [
        lambda: worker.fetch_keys(token).keys,
        lambda: worker.subscribe().keys,
    ]
    for keys_of_now in vended:
        made = keyring.new_key(Purpose.DATA, AT)
        other.change(partial(keyring.with_active, key=made))
        assert made in keys_of_now()
    worker.close()


def test_a_damaged_keyring_stops_no_worker(served: Served) -> None:
    """Whoever damages one file on the disk ends every worker that renews its subscription."""
    worker = served.worker("worker-1")
    served.rig.keyring_store.write(b"damaged")
    assert worker.subscribe().keys
    worker.close()


def test_a_former_lease_stays_on_record_until_it_is_over(served: Served) -> None:
    """A process that has left, or was replaced, may still write; who destroys keys has to know."""
    worker = served.worker("worker-1")
    token = worker.register(worker.subscribe().token, "127.0.0.1:1234").token
    (first,) = served.rig.store.workers()
    worker.leave(token)
    (left,) = served.rig.store.workers()
    assert left == msgspec.structs.replace(first, has_left=True)
    assert served.live() == []
    served.rig.clock.advance(1)
    token = worker.register(worker.subscribe().token, "127.0.0.1:1235").token
    (second,) = served.rig.store.workers()
    assert second.superseded_until_ms == first.lease_until_ms
    worker.renew(token, "", 0)
    (renewed,) = served.rig.store.workers()
    assert renewed.superseded_until_ms == first.lease_until_ms
    served.rig.clock.advance(limits.LEASE_SECONDS - 0.1)
    worker.renew(token, "", 0)
    (later,) = served.rig.store.workers()
    assert later.superseded_until_ms == 0
    worker.close()
