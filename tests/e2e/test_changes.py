"""Patch, transform and dry runs over both faces of a running deployment."""

import uuid
from collections.abc import Iterator

import grpc
import httpx
import pytest

from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with deployment.http() as client:
        yield client


@pytest.fixture
def key(http: httpx.Client) -> str:
    """The key of an entity of the test's own."""
    name = f"changed-{uuid.uuid4().hex}"
    assert http.put("/entity/chatdb", json={name: CHAT}).status_code == 201
    return name


def test_patches_over_rest(http: httpx.Client, key: str) -> None:
    """A PATCH answers otherwise than the interface says."""
    merged = http.patch("/entity/chatdb", json={key: {"n": 1}}, headers=MERGE)
    assert (merged.status_code, merged.headers["ETag"]) == (200, '"2"')
    operations = [{"op": "test", "path": "/n", "value": 1}, {"op": "remove", "path": "/n"}]
    patched = http.patch("/entity/chatdb", json={key: operations}, headers=JSON_PATCH)
    assert patched.json()[key]["version"] == 3
    again = http.patch("/entity/chatdb", json={key: operations}, headers=JSON_PATCH)
    assert again.status_code == 409
    nowhere = [{"op": "remove", "path": "/n"}]
    lost = http.patch("/entity/chatdb", json={key: nowhere}, headers=JSON_PATCH)
    assert lost.status_code == 422
    assert http.get("/entity/chatdb", params={"key": key}).json() == {key: CHAT}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"nowhere": {}}, MERGE, 404),
        ({}, MERGE, 400),
        ({"a": {}, "b": {}}, MERGE, 400),
        ({"a": {}}, {"Content-Type": "application/json"}, 415),
        ({"a": {}}, JSON_PATCH, 400),
    ],
)
def test_bad_patches_over_rest(
    http: httpx.Client, body: dict[str, object], headers: dict[str, str], status: int
) -> None:
    """A bad PATCH is applied, or ends in a 500."""
    assert http.patch("/entity/chatdb", json=body, headers=headers).status_code == status


def test_transform_over_rest(http: httpx.Client, key: str) -> None:
    """POST /transform answers otherwise than the interface says."""
    body: dict[str, object] = {"key": key, "expression": "chat[0].text"}
    shown = http.post("/entity/chatdb/transform", json=body)
    assert shown.json() == {key: "HERE TEXT"}
    body = {"key": key, "expression": "{chat: chat[?type=='user']}", "store": True}
    stored = http.post("/entity/chatdb/transform", json=body)
    assert (stored.status_code, stored.json()[key]["version"]) == (200, 2)
    assert http.get("/entity/chatdb", params={"key": key}).json() == {key: {"chat": []}}
    refused = http.post("/entity/chatdb/transform", json=body | {"expression": "chat"})
    assert refused.status_code == 422


def test_a_dry_run_over_rest(http: httpx.Client) -> None:
    """A dry run writes, or tells less than a put would."""
    key = f"dry-{uuid.uuid4().hex}"
    answer = http.put("/entity/chatdb?dry_run=true", json={key: CHAT, "bad": {"chat": [1]}})
    assert answer.status_code == 200
    assert answer.json()[key] == {"valid": True}
    assert answer.json()["bad"]["errors"][0]["pointer"] == "/chat/0"
    assert http.get("/entity/chatdb", params={"key": key}).status_code == 404


def test_changes_over_grpc(deployment: Deployment, http: httpx.Client, key: str) -> None:
    """The gRPC face lacks what REST can."""
    stub, metadata = deployment.grpc()
    patch = entity_pb2.PatchEntityRequest(database="chatdb", key=key, merge_patch=b'{"n":1.50}')
    assert stub.PatchEntity(patch, metadata=metadata).metadata.version == 2
    transform = entity_pb2.TransformEntityRequest(database="chatdb", key=key, expression="n")
    assert stub.TransformEntity(transform, metadata=metadata).document == b"1.50"
    transform.expression = "{chat: chat}"
    assert stub.StoreTransformedEntity(transform, metadata=metadata).metadata.version == 3
    validate = entity_pb2.ValidateEntitiesRequest(
        database="chatdb",
        entities=[
            entity_pb2.KeyedDocument(key="good", document=b'{"chat":[]}'),
            entity_pb2.KeyedDocument(key="bad", document=b"{}"),
        ],
    )
    verdicts = stub.ValidateEntities(validate, metadata=metadata).verdicts
    assert [(v.key, v.HasField("refusal")) for v in verdicts] == [("good", False), ("bad", True)]
    test = b'[{"op":"test","path":"/n","value":1}]'
    failing = entity_pb2.PatchEntityRequest(database="chatdb", key=key, json_patch=test)
    with pytest.raises(grpc.RpcError) as refused:
        stub.PatchEntity(failing, metadata=metadata)
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert http.get("/entity/chatdb", params={"key": key}).json() == {key: CHAT}


def test_a_test_operation_does_not_read_for_whom_may_only_write(
    deployment: Deployment, http: httpx.Client, key: str
) -> None:
    """A client with a write grant finds a document's content out by failing tests."""
    name = f"writer-{uuid.uuid4().hex[:8]}"
    grants = [{"database": "chatdb", "actions": ["write"]}]
    secret = http.put(f"/clients/{name}", json={"grants": grants}).json()["client_secret"]
    token = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(name, secret),
    ).json()["access_token"]
    theirs = {"Authorization": f"Bearer {token}"}
    guess = [{"op": "test", "path": "/chat/0/text", "value": "HERE TEXT"}]
    stored = {"key": key, "expression": "@", "store": True}
    refused = [
        http.patch("/entity/chatdb", json={key: guess}, headers=JSON_PATCH | theirs),
        http.post("/entity/chatdb/transform", json=stored, headers=theirs),
        http.get("/entity/chatdb", params={"key": key}, headers=theirs),
    ]
    assert [answer.status_code for answer in refused] == [403] * 3
    assert (
        http.patch("/entity/chatdb", json={key: {"n": 1}}, headers=MERGE | theirs).status_code
        == 200
    )
