"""The table of (face, operation, identity): each cell is granted by the rules, or refused.

What an operation takes is read out of the OpenAPI document and the proto files; what an identity
has, out of its own grants; whether the two meet is worked out here. An operation that declares no
right, or is not asked for below, fails a test.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from main_api.adapters.keys.escrow import EscrowWrapper
from main_api.rest import openapi, routes
from main_api.rpc import declared
from main_api.rpc.server import CLIENT_SERVICES
from strongroom.rpc import status
from strongroom_pb.v1 import common_pb2, entity_pb2
from tests.support import admin_operations, entity_operations, recovery_keys
from tests.support.faces import Given, Operation, Refused, RestFace, RpcFace
from tests.support.identities import Identity, everybody
from tests.support.mains import Built, MainRig
from tests.support.rpc_mains import SECONDS, Pki, ServedMain
from tests.support.wsgi import WsgiClient

OPERATIONS: Final = (*entity_operations.OPERATIONS, *admin_operations.OPERATIONS)
WITHOUT_TOKEN: Final = frozenset({"public", "client", "worker"})
NOT_PROVEN, NOT_GRANTED = "unauthenticated", "forbidden"
STREAM: Final = "StreamEntities"
Face = RestFace | RpcFace


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """The deployment's certificates."""
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    return openapi.document(routes.build(Built(MainRig().main())))


def _expected(
    identity: Identity, rights: frozenset[str], database: str | None, keys: list[str] | None
) -> str | None:
    """Return the reason by which an identity is refused; None where it is not."""
    if rights & WITHOUT_TOKEN:
        return None
    if identity.grants is None:
        return NOT_PROVEN
    return None if all(identity.has(r, database, keys) for r in rights) else NOT_GRANTED


def _keys(given: Given) -> list[str] | None:
    if "key" in given:
        return [given["key"]]
    several = given.get("keys", given.get("several"))
    return None if several is None else list(several)


def _declared_over_rpc(operation: Operation, message: Message) -> frozenset[str]:
    """Return the rights that the proto files say a message takes."""
    service, _, name = operation.rpc.partition(".")
    file: Any = message.DESCRIPTOR.file
    method = file.services_by_name[service].methods_by_name[name]
    also = [f.GetOptions().Extensions[common_pb2.also_takes] for f, _ in message.ListFields()]
    names = {common_pb2.Right.Name(right) for rights in also for right in rights}
    return declared.rights(method) | {n.removeprefix("RIGHT_").lower() for n in names}


def _declared_over_rest(document: dict[str, Any], operation: Operation) -> frozenset[str]:
    method, _, path = operation.rest.partition(" ")
    return frozenset(document["paths"][path][method.lower()]["x-strongroom-rights"])


def _prepared(operation: Operation) -> tuple[MainRig, Given]:
    rig = MainRig(escrow=EscrowWrapper(recovery_keys.one().public))
    rig.add_workers("worker-1", "worker-2")
    return rig, {**operation.given, **operation.prepare(rig)}


@pytest.fixture(params=["rest", "grpc"])
def face_of(request: pytest.FixtureRequest, pki: Pki) -> Iterator[Callable[[MainRig], Face]]:
    """A function that serves a Main Worker by one of its faces."""
    faces: list[Face] = []

    def serve(rig: MainRig) -> Face:
        faces.append(RestFace(rig) if request.param == "rest" else RpcFace(rig, pki))
        return faces[-1]

    yield serve
    for face in faces:
        face.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_each_is_granted_by_the_rules_or_refused(
    operation: Operation, face_of: Callable[[MainRig], Face], document: dict[str, Any]
) -> None:
    """Somebody does what no grant of theirs names, or is refused what one names."""
    rig, given = _prepared(operation)
    people = everybody(rig)
    face = face_of(rig)
    rights = _declared_over_rpc(operation, operation.message(given))
    assert _declared_over_rest(document, operation) <= rights
    refused = []
    for identity in people:
        outcome = face.ask(operation, given, identity.authorization)
        reason = outcome.reason if isinstance(outcome, Refused) else None
        expected = _expected(identity, rights, given.get("database"), _keys(given))
        shown = reason if reason in {NOT_PROVEN, NOT_GRANTED} else None
        assert shown == expected, (identity.name, sorted(rights), outcome)
        refused.append(expected is not None)
    # A table in which nobody is refused, or everybody is, would show nothing.
    assert len(set(refused)) == (1 if rights & WITHOUT_TOKEN else 2)


def test_a_stream_is_granted_or_refused_alike(pki: Pki) -> None:
    """Who may not list may stream."""
    rig, _ = _prepared(OPERATIONS[0])
    people = everybody(rig)
    served = ServedMain(rig.main(), pki)
    with pki.client_channel(served.clients) as channel:
        stream: Any = channel.unary_stream(
            f"/strongroom_pb.v1.EntityService/{STREAM}",
            request_serializer=entity_pb2.ListEntitiesRequest.SerializeToString,
            response_deserializer=entity_pb2.ListEntitiesResponse.FromString,
        )
        for identity in people:
            sent = () if identity.authorization is None else identity.authorization
            metadata = (("authorization", sent),) if sent else ()
            request = entity_pb2.ListEntitiesRequest(database="chatdb")
            reason = None
            try:
                list(stream(request, metadata=metadata, timeout=SECONDS))
            except grpc.RpcError as error:
                reason = status.from_rpc_error(error).code
            expected = _expected(identity, frozenset({"read"}), "chatdb", None)
            assert reason == expected, identity.name
    served.stop()


def test_what_is_on_one_face_only_is_granted_or_refused_alike(document: dict[str, Any]) -> None:
    """A path that the other face has not was forgotten."""
    rig, _ = _prepared(OPERATIONS[0])
    people = everybody(rig)
    client = WsgiClient(routes.build(Built(rig.main())))
    for method, path, rights in _alone_over_rest(document):
        for identity in people:
            headers = (
                {} if identity.authorization is None else {"Authorization": identity.authorization}
            )
            answer = client(method, path, b"", headers)
            shown = answer.status if answer.status in {401, 403} else None
            expected = {None: None, NOT_PROVEN: 401, NOT_GRANTED: 403}[
                _expected(identity, rights, None, None)
            ]
            if not rights & {"client", "worker"}:
                assert shown == expected, (method, path, identity.name)
            else:
                # It takes credentials of another kind, which no identity here has.
                assert answer.status in {400, 401, 415}, (method, path, identity.name)


def _alone_over_rest(document: dict[str, Any]) -> list[tuple[str, str, frozenset[str]]]:
    asked = {operation.rest for operation in OPERATIONS}
    return [
        (method.upper(), path, frozenset(operation["x-strongroom-rights"]))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if f"{method.upper()} {path}" not in asked
    ]


def test_no_operation_is_left_out(document: dict[str, Any]) -> None:
    """A new route or method is in no row of the table."""
    assert all("{" not in path for _, path, _ in _alone_over_rest(document))
    ours = declared.methods(CLIENT_SERVICES)
    asked = {operation.rpc for operation in OPERATIONS}
    alone = [m for m in ours if f"{m.containing_service.name}.{m.name}" not in asked]
    assert {m.name for m in alone if declared.takes_token(m)} == {STREAM}
    assert all(declared.rights(method) for method in ours)
