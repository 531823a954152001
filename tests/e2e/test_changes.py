"""Patch, transform and dry runs over both faces of a running deployment."""

import uuid
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest

from strongroom_client import (
    Client,
    ConflictError,
    ForbiddenError,
    Grant,
    JsonText,
    SchemaViolationError,
)
from tests.support.deployment import CHAT, Deployment

MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client of the REST face, whose statuses and media types are judged."""
    with deployment.http() as client:
        yield client


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    """An administrator's client, over gRPC."""
    with deployment.client("grpc") as client:
        yield client


@pytest.fixture
def key(client: Client) -> str:
    """The key of an entity of the test's own."""
    name = f"changed-{uuid.uuid4().hex}"
    assert client.put("chatdb", name, CHAT).created
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


def test_changes_over_grpc(client: Client, key: str) -> None:
    """The gRPC face lacks what REST can."""
    assert client.patch("chatdb", key, JsonText(b'{"n":1.50}')).version == 2
    assert client.transform("chatdb", key, "n").text == b"1.50"
    assert client.store_transformed("chatdb", key, "{chat: chat}").version == 3
    verdicts = client.validate("chatdb", {"good": {"chat": []}, "bad": {}})
    assert verdicts["good"] is None
    assert isinstance(verdicts["bad"], SchemaViolationError)
    with pytest.raises(ConflictError):
        client.json_patch("chatdb", key, [{"op": "test", "path": "/n", "value": 1}])
    assert client.get("chatdb", key).value == CHAT


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_a_test_operation_does_not_read_for_whom_may_only_write(
    deployment: Deployment, client: Client, key: str, transport: Literal["rest", "grpc"]
) -> None:
    """A client with a write grant finds a document's content out by failing tests."""
    name = f"writer-{uuid.uuid4().hex[:8]}"
    made = client.admin.put_client(name, [Grant("chatdb", {"write"})])
    assert made.client_secret is not None
    guess = {"op": "test", "path": "/chat/0/text", "value": "HERE TEXT"}
    with deployment.client(transport, (name, made.client_secret)) as theirs:
        with pytest.raises(ForbiddenError):
            theirs.json_patch("chatdb", key, [guess])
        with pytest.raises(ForbiddenError):
            theirs.store_transformed("chatdb", key, "@")
        with pytest.raises(ForbiddenError):
            theirs.get("chatdb", key)
        assert theirs.patch("chatdb", key, {"n": 1}).version == 2
