"""AdminService over the wire: what has no counterpart over REST. The rest: test_parity.py."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from main_api.domain import jobs
from main_api.rpc.admin.jobs import KINDS, PHASES, STATES
from main_api.rpc.admin.keys import KEY_STATES
from strongroom.errors import InvalidArgumentError, InvalidDocumentError
from strongroom.keyring import State
from strongroom.rpc import status
from strongroom_pb.v1 import admin_pb2 as pb
from strongroom_pb.v1 import admin_pb2_grpc
from tests.support.mains import MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain


@dataclass
class Client:
    """An administrator of a served Main Worker."""

    rig: MainRig
    stub: admin_pb2_grpc.AdminServiceStub
    metadata: tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return the deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def client(pki: Pki) -> Iterator[Client]:
    """Serve a Main Worker and return an administrator of it."""
    rig = MainRig()
    face = ServedMain(rig.main(), pki)
    metadata = (("authorization", rig.bearer(rig.add_client("admin"))),)
    with pki.client_channel(face.clients) as channel:
        yield Client(rig, admin_pb2_grpc.AdminServiceStub(channel), metadata)
    face.stop()


def test_every_state_has_a_number() -> None:
    """A job or a key in a state that was added cannot be shown over gRPC."""
    assert set(KEY_STATES) == set(State)
    assert (set(KINDS), set(STATES)) == (set(jobs.Kind), set(jobs.State))
    assert set(PHASES) == set(jobs.Phase)


def test_a_template_is_only_validated(client: Client) -> None:
    """Who asks whether a template would be taken has changed it by that."""
    request = pb.PutTemplateRequest(schema_id="new.v1", schema=b"{}", validate_only=True)
    made = client.stub.PutTemplate(request, metadata=client.metadata, timeout=SECONDS)
    assert (made.template.schema_version, made.created) == (1, True)
    assert client.rig.store.template("new.v1") is None
    request.schema = b'{"type": 5}'
    with pytest.raises(grpc.RpcError) as refused:
        client.stub.PutTemplate(request, metadata=client.metadata, timeout=SECONDS)
    assert isinstance(status.from_rpc_error(refused.value), InvalidDocumentError)


def test_an_action_that_nobody_knows_is_refused(client: Client) -> None:
    """A newer client grants something that this server takes for something else, or for nothing."""
    for number in (0, 5, -1, 2**31 - 1):
        grant = pb.Grant(database="*", actions=[number])  # type: ignore[list-item]
        request = pb.PutClientRequest(client_id="ada", grants=[grant])
        with pytest.raises(grpc.RpcError) as refused:
            client.stub.PutClient(request, metadata=client.metadata, timeout=SECONDS)
        assert isinstance(status.from_rpc_error(refused.value), InvalidArgumentError)
    assert client.rig.store.client("ada") is None


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 0.0, 5e-324])
def test_a_rate_that_is_none_is_refused(client: Client, rate: float) -> None:
    """A number that JSON does not have stops a job, or lets it go on without end."""
    request = pb.RewrapKeysRequest(files_per_second=rate)
    with pytest.raises(grpc.RpcError) as refused:
        client.stub.RewrapKeys(request, metadata=client.metadata, timeout=SECONDS)
    assert isinstance(status.from_rpc_error(refused.value), InvalidArgumentError)
    assert client.rig.store.jobs.names() == []
