"""The main job, end to end, on real processes: what a newcomer tries first."""

import uuid

from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment


def test_put_then_get_over_rest(deployment: Deployment) -> None:
    """A newcomer's first two requests do not answer as the README says."""
    # The key of the examples may have been somebody's before, and its versions go on.
    key = f"Chat_{uuid.uuid4()}"
    with deployment.http() as http:
        created = http.put("/entity/chatdb", json={key: CHAT})
        found = http.get("/entity/chatdb", params={"key": key})
    assert created.status_code == 201
    assert created.json()[key]["version"] == 1
    assert found.status_code == 200
    assert found.json() == {key: CHAT}
    assert found.headers["ETag"] == '"1"'
    assert found.headers["Cache-Control"] == "no-store"


def test_delete_over_both_faces(deployment: Deployment) -> None:
    """What a client deletes is still there, or cannot be deleted."""
    stub, metadata = deployment.grpc()
    gone = entity_pb2.DeleteEntityRequest(database="chatdb", key="by-grpc")
    with deployment.http() as http:
        http.put("/entity/chatdb", json={"by-rest": CHAT, "by-grpc": CHAT})
        assert http.delete("/entity/chatdb", params={"key": "by-rest"}).status_code == 204
        stub.DeleteEntity(gone, metadata=metadata)
        for key in ("by-rest", "by-grpc"):
            assert http.get("/entity/chatdb", params={"key": key}).status_code == 404
            assert http.delete("/entity/chatdb", params={"key": key}).status_code == 404


def test_what_rest_wrote_grpc_reads(deployment: Deployment) -> None:
    """The two faces show two databases."""
    document = b'{"chat": [], "n": 1.50}'
    with deployment.http() as http:
        http.put("/entity/chatdb", content=b'{"shared": %s}' % document)
    stub, metadata = deployment.grpc()
    found = stub.GetEntity(
        entity_pb2.GetEntityRequest(database="chatdb", key="shared"), metadata=metadata
    )
    assert found.document == document
