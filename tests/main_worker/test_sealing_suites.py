"""How keys are sealed: the worker names the suite, the Main Worker may demand the stronger one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from main_api.service.workers.subscriptions import Subscriptions
from strongroom import ids, keyring, limits
from strongroom.crypto import seal
from strongroom.crypto.seal import Suite
from strongroom.errors import ForbiddenError, InvalidArgumentError
from strongroom.keyring import WORKER_PURPOSES, Key, Keyring, Purpose, State
from strongroom_pb.v1 import subscription_pb2 as pb
from tests.support.mains import AT
from tests.support.rpc_mains import SECONDS, ServedMain
from tests.support.served_mains import Served, refused, subscribe

SIZES = seal.PUBLIC_KEY_BYTES
PUBLIC_KEY_SIZES = tuple(SIZES.values())


@pytest.fixture
def demanding(served: Served) -> Iterator[Served]:
    """Serve a Main Worker beside it that gives keys with the hybrid alone."""
    demanding = Subscriptions(
        served.rig.live, served.rig.store, served.rig.clock, least=Suite.MLKEM768_X25519
    )
    face = ServedMain(replace(served.rig.main(), subscriptions=demanding), served.pki)
    yield replace(served, face=face)
    face.stop()


@pytest.mark.parametrize("suite", Suite)
def test_a_main_worker_takes_either_suite(served: Served, suite: Suite) -> None:
    """A deployment cannot go over to the hybrid one worker after the other."""
    worker = served.worker("worker-1", suite)
    subscription = worker.subscribe()
    ours = {key.key_id: key for key in served.rig.keys.of(WORKER_PURPOSES)}
    assert {key.key_id: key for key in subscription.keys} == ours
    token = worker.register(subscription.token, "127.0.0.1:1").token
    assert {key.key_id: key for key in worker.fetch_keys(token).keys} == ours
    worker.close()


@pytest.mark.parametrize("suite", Suite)
def test_a_full_keyring_reaches_a_worker(served: Served, suite: Suite) -> None:
    """After too many rotations no worker gets its keys: the whole deployment stands still."""
    full = served.rig.live.change(_filled)
    worker = served.worker("worker-1", suite)
    fetched = worker.subscribe().keys
    assert len(fetched) == len(full.of(WORKER_PURPOSES))
    assert sum(bool(key.material) for key in fetched) >= limits.DATA_KEYS_MAX
    worker.close()


def _filled(current: Keyring) -> Keyring:
    """Return a keyring with as many data keys as there may be."""

    def more(state: State, count: int) -> tuple[Key, ...]:
        made = keyring.new_key(Purpose.DATA, AT)
        material = b"" if state is State.DESTROYED else made.material
        return tuple(
            replace(made, key_id=ids.new_id(64), state=state, material=material)
            for _ in range(count)
        )

    kept, ever = limits.DATA_KEYS_MAX, limits.DATA_KEYS_EVER_MAX
    keys = (*more(State.DESTROYED, ever - kept), *more(State.DECRYPT_ONLY, kept - 1))
    return replace(current, generation=current.generation + 1, keys=(*current.keys, *keys))


def test_one_that_demands_the_hybrid_seals_with_nothing_less(demanding: Served) -> None:
    """Whoever records the traffic now reads everything with a later computer, unnoticed."""
    classical, hybrid = (demanding.worker("worker-1", suite) for suite in Suite)
    with pytest.raises(ForbiddenError, match="STRONGROOM_SEALING=mlkem768-x25519"):
        classical.subscribe()
    token = hybrid.register(hybrid.subscribe().token, "127.0.0.1:1").token
    with pytest.raises(ForbiddenError, match="STRONGROOM_SEALING=mlkem768-x25519"):
        classical.fetch_keys(token)
    assert len(hybrid.fetch_keys(token).keys) == len(demanding.rig.keys.of(WORKER_PURPOSES))
    channel, stub = demanding.stub(demanding.pki.workers["worker-1"])
    # One of an earlier version says nothing.
    assert isinstance(refused(lambda: subscribe(stub)), ForbiddenError)
    channel.close()
    classical.close()
    hybrid.close()


@pytest.mark.parametrize("name", ["X25519", "mlkem1024", "x" * 100_000])
def test_an_unknown_suite_is_refused(served: Served, name: str) -> None:
    """A worker of a later version gets keys sealed otherwise than it asked for."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    request = pb.SubscribeRequest(
        worker_id="worker-1", pubkey=seal.public_bytes(seal.new_private_key()), suite=name
    )
    error = refused(lambda: stub.Subscribe(request, timeout=SECONDS))
    assert isinstance(error, InvalidArgumentError)
    assert "x25519, mlkem768-x25519" in error.detail
    channel.close()


def test_a_public_key_is_one_of_the_suite_that_is_named(served: Served) -> None:
    """Keys are sealed with another suite than the worker has named."""
    channel, stub = served.stub(served.pki.workers["worker-1"])
    for suite in Suite:
        for size in sorted({0, 1, 31, 33, 1184, 1215, 1217, *PUBLIC_KEY_SIZES} - {SIZES[suite]}):
            request = pb.SubscribeRequest(worker_id="worker-1", pubkey=b"k" * size, suite=suite)
            error = refused(partial(stub.Subscribe, request, timeout=SECONDS))
            assert isinstance(error, InvalidArgumentError)
            assert f"{SIZES[suite]} bytes" in error.detail
    channel.close()


def test_a_worker_of_an_earlier_version_is_given_its_keys(served: Served) -> None:
    """Once its Main Worker is brought up to date, a worker that is not yet loses its keys."""
    private_key = seal.new_private_key()
    channel, stub = served.stub(served.pki.workers["worker-1"])
    request = pb.SubscribeRequest(worker_id="worker-1", pubkey=seal.public_bytes(private_key))
    key = stub.Subscribe(request, timeout=SECONDS).keys[0]
    parts = ("strongroom/worker-key/v1", "test-deployment", "worker-1", key.purpose, key.key_id)
    binding = b"".join(len(part).to_bytes(2, "big") + part.encode() for part in parts)
    ours = served.rig.keys.find(key.key_id, Purpose(key.purpose)).material
    assert seal.unseal(private_key, key.sealed, binding) == ours
    channel.close()
