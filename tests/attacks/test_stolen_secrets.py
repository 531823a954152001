"""What is of no use to a thief: sealed keys, stored secrets, records at other places."""

import base64
import itertools
import json
import shutil
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from processing_fn.adapters.main_worker import GrpcMainWorker
from strongroom.crypto import seal
from strongroom.errors import IntegrityError, StrongroomError
from strongroom.identity import Identity
from strongroom.rpc import tls
from strongroom_pb.v1 import subscription_pb2, subscription_pb2_grpc
from tests.support.attackers import SECONDS, Intruders, grant
from tests.support.deployment import Deployment
from tests.support.held_identities import live, mutual_channel


@dataclass(frozen=True)
class Sealed:
    """A key on its way to a worker, with whose private half and binding it was made."""

    key_id: str
    purpose: str
    sealed: bytes


@dataclass(frozen=True)
class Recorded:
    """What somebody has who reads both answers to a worker, in plaintext."""

    deployment: str
    private_key: seal.PrivateKey
    keys: tuple[Sealed, ...]
    token: str


def identity(deployment: Deployment, name: str) -> Identity:
    """Return the identity of a process of the deployment."""
    pki = deployment.root / "pki"
    return Identity(pki / "ca.pem", pki / f"{name}.pem", pki / f"{name}.key")


def subscriptions(deployment: Deployment) -> str:
    """Return where workers subscribe."""
    ready = json.loads((deployment.root / "run" / "grpc.ready").read_text())
    return f"127.0.0.1:{ready['subscription_port']}"


@pytest.fixture
def recorded(deployment: Deployment) -> Recorded:
    """Subscribe over gRPC as a worker that is not in service."""
    private_key = seal.new_private_key()
    request = subscription_pb2.SubscribeRequest(
        worker_id="worker-1", pubkey=seal.public_bytes(private_key)
    )
    own = identity(deployment, "worker-1")
    with mutual_channel(own, subscriptions(deployment), tls.MAIN_NAME) as channel:
        stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
        answer = stub.Subscribe(request, timeout=SECONDS)
    keys = tuple(Sealed(k.key_id, k.purpose, k.sealed) for k in answer.keys)
    return Recorded(answer.deployment, private_key, keys, answer.token)


def binding(recorded: Recorded, key: Sealed, **changed: str) -> bytes:
    """Return what a key is bound to, but for what is given."""
    right = {
        "deployment": recorded.deployment,
        "worker_id": "worker-1",
        "purpose": key.purpose,
        "key_id": key.key_id,
    } | changed
    return seal.info(
        right["deployment"],
        right["worker_id"],
        right["purpose"],
        right["key_id"],
        seal.Suite.X25519,
    )


def opens(private_key: seal.PrivateKey, sealed: bytes, bound: bytes) -> bool:
    """Tell whether a sealed key opens."""
    try:
        return bool(seal.unseal(private_key, sealed, bound))
    except IntegrityError:
        return False


def test_a_sealed_key_opens_for_one_worker_one_key_and_one_use(recorded: Recorded) -> None:
    """If this fails, whoever has recorded an answer has every document of the deployment."""
    for key in recorded.keys:
        assert opens(recorded.private_key, key.sealed, binding(recorded, key))
        for other in (seal.new_private_key() for _ in range(3)):
            assert not opens(other, key.sealed, binding(recorded, key))
        for changed in (
            {"worker_id": "worker-2"},
            {"deployment": "another"},
            {"key_id": "0" * 16},
            {"purpose": "control"},
        ):
            bound = binding(recorded, key, **changed)
            assert not opens(recorded.private_key, key.sealed, bound)
        for cut in (key.sealed[:-1], key.sealed[1:], key.sealed + b"x", b""):
            assert not opens(recorded.private_key, cut, binding(recorded, key))
    # One key in the place of another one.
    for one, another in itertools.permutations(recorded.keys, 2):
        assert not opens(recorded.private_key, one.sealed, binding(recorded, another))


def test_a_worker_takes_no_key_that_was_sealed_before(
    deployment: Deployment, recorded: Recorded
) -> None:
    """If this fails, whoever is between a worker and its Main Worker chooses the worker's keys."""
    worker = GrpcMainWorker(
        "worker-1", subscriptions(deployment), live(identity(deployment, "worker-1"))
    )
    try:
        now = worker.subscribe()
        assert {key.key_id for key in now.keys} == {key.key_id for key in recorded.keys}
        replayed = [
            subscription_pb2.SealedKey(
                key_id=key.key_id, purpose=key.purpose, active=True, sealed=key.sealed
            )
            for key in recorded.keys
        ]
        with pytest.raises(StrongroomError, match="not for this worker"):
            worker._opened(seal.new_private_key(), replayed)  # noqa: SLF001 - the answer's way in
    finally:
        worker.close()


def test_a_subscriptions_token_is_of_no_use_elsewhere(
    deployment: Deployment, recorded: Recorded
) -> None:
    """If this fails, the token in a recorded answer fetches keys that open for the thief."""
    public = seal.public_bytes(seal.new_private_key())
    metadata = (("authorization", f"Bearer {recorded.token}"),)
    for name in ("worker-2", "main", "server"):
        own = identity(deployment, name)
        with mutual_channel(own, subscriptions(deployment), tls.MAIN_NAME) as channel:
            stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
            for worker_id in ("worker-1", "worker-2"):
                request = subscription_pb2.FetchKeysRequest(worker_id=worker_id, pubkey=public)
                with pytest.raises(Exception, match="UNAUTHENTICATED"):
                    stub.FetchKeys(request, metadata=metadata, timeout=SECONDS)
    url = deployment.facts["http_url"]
    answer = httpx.get(
        f"{url}/entity/chatdb", headers={"Authorization": f"Bearer {recorded.token}"}
    )
    assert answer.status_code == 401


def test_a_credential_subscribes_and_is_answered_in_sealed_words_only(
    deployment: Deployment, making: Intruders
) -> None:
    """If this fails, the wire of REST shows the data key, or a credential does more than that."""
    worker_id = f"rest-{uuid.uuid4().hex[:8]}"
    made = making.root.rest.put(f"/workers/{worker_id}")
    credential = made.json()["credential"]
    private_key = seal.new_private_key()
    body = {
        "worker_id": worker_id,
        "pubkey": base64.b64encode(seal.public_bytes(private_key)).decode(),
    }
    url = f"{deployment.facts['http_url']}/workers/subscribe"
    answer = httpx.post(url, json=body, auth=(worker_id, credential))
    assert answer.status_code == 200
    given = answer.json()
    sealed = base64.b64decode(given["wrapped_key"])
    bound = seal.info(given["deployment"], worker_id, "data", given["key_id"], seal.Suite.X25519)
    material = seal.unseal(private_key, sealed, bound)
    for text in (material, material.hex().encode(), base64.b64encode(material)):
        assert text not in answer.content
    with pytest.raises(IntegrityError):
        seal.unseal(seal.new_private_key(), sealed, bound)
    # The credential is neither a client's secret, nor a token, nor good for another name.
    for other in (
        httpx.post(url, json=body | {"worker_id": "worker-1"}, auth=("worker-1", credential)),
        httpx.post(
            f"{deployment.facts['http_url']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(worker_id, credential),
        ),
        httpx.get(
            f"{deployment.facts['http_url']}/entity/chatdb",
            headers={"Authorization": f"Bearer {credential}"},
        ),
    ):
        assert other.status_code == 401
    assert making.root.rest.delete(f"/workers/{worker_id}").status_code == 204


@dataclass
class Disk:
    """Somebody who writes the shared directory, and a client that he wants to have more."""

    deployment: Deployment
    making: Intruders
    client_id: str
    secret: str

    def record(self, client_id: str) -> Any:  # noqa: ANN401 - a path
        """Return where a client's record lies."""
        return self.deployment.shared_dir / "control" / "clients" / f"{client_id}.sealed"

    def logged_in(self, client_id: str, secret: str) -> httpx.Response:
        """Ask for a token."""
        return httpx.post(
            f"{self.deployment.facts['http_url']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client_id, secret),
        )


@pytest.fixture
def disk(deployment: Deployment, making: Intruders) -> Disk:
    """Make the client."""
    who = making(grant("chatdb", "read", key_prefix="nothing/"))
    return Disk(deployment, making, who.client_id, who.secret)


def test_who_writes_the_disk_adds_no_grant(disk: Disk) -> None:
    """If this fails, an administrator of the file server is an administrator of every document."""
    own, admin = disk.record(disk.client_id), disk.record("admin")
    kept, theirs = own.read_bytes(), admin.read_bytes()
    plain = json.dumps(
        {"client_id": disk.client_id, "grants": [{"database": "*", "actions": ["admin"]}]}
    ).encode()
    forged = [
        theirs,
        plain,
        b"",
        kept[:-1],
        kept + b"\x00",
        *(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :] for at in range(0, len(kept), 37)),
    ]
    for data in forged:
        own.write_bytes(data)
        assert disk.logged_in(disk.client_id, disk.secret).status_code == 500
    own.write_bytes(kept)
    assert disk.logged_in(disk.client_id, disk.secret).json()["scope"] == "read"


def test_who_writes_the_disk_makes_no_client(disk: Disk) -> None:
    """If this fails, a copied record is a client of another name, with a secret that he knows."""
    copy = disk.record(f"copied-{uuid.uuid4().hex[:8]}")
    for source in (disk.record(disk.client_id), disk.record("admin")):
        shutil.copyfile(source, copy)
        for secret in (disk.secret, disk.making.root.secret):
            assert disk.logged_in(copy.name.partition(".")[0], secret).status_code == 500
    copy.unlink()
    # Neither is the record of a worker's credential one of a client.
    worker_id = f"w-{uuid.uuid4().hex[:8]}"
    credential = disk.making.root.rest.put(f"/workers/{worker_id}").json()["credential"]
    stored = disk.deployment.shared_dir / "control" / "worker-credentials"
    as_client = disk.record(worker_id)
    shutil.copyfile(stored / f"{worker_id}.sealed", as_client)
    assert disk.logged_in(worker_id, credential).status_code == 500
    as_client.unlink()
    assert disk.making.root.rest.delete(f"/workers/{worker_id}").status_code == 204
