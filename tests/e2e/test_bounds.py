"""Bounds of requests and answers, at n and at n + 1, through both faces of a running deployment."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from strongroom import limits
from strongroom_pb.v1 import entity_pb2, entity_pb2_grpc
from tests.support.deployment import CHAT, Deployment

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with deployment.http() as client:
        yield client


def _document(size_bytes: int) -> bytes:
    empty = b'{"chat":[],"s":""}'
    return b'{"chat":[],"s":"' + b"x" * (size_bytes - len(empty)) + b'"}'


def test_the_largest_entity_over_rest(http: httpx.Client) -> None:
    """An entity of just the size that is allowed cannot be written, or not be read again."""
    key = f"large-{uuid.uuid4().hex}"
    for size, status in ((limits.ENTITY_BYTES_MAX, 201), (limits.ENTITY_BYTES_MAX + 1, 413)):
        document = _document(size)
        assert len(document) == size
        body = b'{"%s":%s}' % (key.encode(), document)
        answer = http.put("/entity/chatdb", content=body, headers=JSON)
        assert answer.status_code == status, answer.text
    found = http.get("/entity/chatdb", params={"key": key})
    assert found.content == b'{"%s":%s}' % (key.encode(), _document(limits.ENTITY_BYTES_MAX))
    assert http.delete("/entity/chatdb", params={"key": key}).status_code == 204


def test_the_largest_entity_over_grpc(deployment: Deployment) -> None:
    """The gRPC face holds less, or more, than REST does."""
    roots = grpc.ssl_channel_credentials(Path(deployment.facts["grpc_ca_file"]).read_bytes())
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    _, metadata = deployment.grpc()
    key = f"large-{uuid.uuid4().hex}"
    with grpc.secure_channel(deployment.facts["grpc_address"], roots, options) as channel:
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        largest = _document(limits.ENTITY_BYTES_MAX)
        request = entity_pb2.PutEntityRequest(database="chatdb", key=key, document=largest)
        assert stub.PutEntity(request, metadata=metadata).created
        get = entity_pb2.GetEntityRequest(database="chatdb", key=key)
        assert stub.GetEntity(get, metadata=metadata).document == largest
        request.document += b" "
        with pytest.raises(grpc.RpcError) as refused:
            stub.PutEntity(request, metadata=metadata)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        gone = entity_pb2.DeleteEntityRequest(database="chatdb", key=key)
        stub.DeleteEntity(gone, metadata=metadata)


def test_entities_of_one_request(http: httpx.Client) -> None:
    """A hundred entities are too many, or a hundred and one are not."""
    keys = [f"many-{number}" for number in range(limits.ENTITIES_PER_REQUEST_MAX + 1)]
    most = dict.fromkeys(keys[:-1], CHAT)
    assert http.put("/entity/chatdb", json=most).status_code in {200, 201}
    found = http.get("/entity/chatdb", params=[("key", key) for key in keys[:-1]])
    assert found.json() == most
    assert http.put("/entity/chatdb", json=dict.fromkeys(keys, CHAT)).status_code == 400
    asked = http.get("/entity/chatdb", params=[("key", key) for key in keys])
    assert asked.status_code == 400


def test_an_answer_of_many_that_is_too_large(http: httpx.Client) -> None:
    """A multi-key read that cannot be answered ends in a 500, a 429 or a broken connection."""
    keys = [f"big-{number}" for number in range(3)]
    for key in keys:
        body = b'{"%s":%s}' % (key.encode(), _document(2 * 1024 * 1024))
        assert http.put("/entity/chatdb", content=body, headers=JSON).status_code in {200, 201}
    two = http.get("/entity/chatdb", params=[("key", key) for key in keys[:2]])
    assert (two.status_code, len(two.json())) == (200, 2)
    three = http.get("/entity/chatdb", params=[("key", key) for key in keys])
    assert three.status_code == 413
    for key in keys:
        http.delete("/entity/chatdb", params={"key": key})


@pytest.mark.parametrize(("depth", "status"), [(63, 200), (64, 400)])
def test_nesting(http: httpx.Client, depth: int, status: int) -> None:
    """The bound on nesting counts what is not the document's."""
    document = b'{"chat":[],"d":' + b"[" * depth + b"]" * depth + b"}"
    http.put("/entity/chatdb", json={"deep": CHAT})
    answer = http.put("/entity/chatdb", content=b'{"deep":%s}' % document, headers=JSON)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("9" * 1_000, 200),
        ("9" * 1_001, 400),
        ("0." + "9" * 999, 200),
        ("0." + "9" * 1_000, 400),
        ("1e1000", 200),
        ("1e1001", 400),
        ("-0", 200),
        ("-0.0e-5", 200),
    ],
)
def test_numbers_come_back_to_the_last_digit(http: httpx.Client, number: str, status: int) -> None:
    """A number is rounded, or one that would be is accepted."""
    http.put("/entity/chatdb", json={"number": CHAT})
    body = f'{{"number":{{"chat":[],"n":{number}}}}}'.encode()
    answer = http.put("/entity/chatdb", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert http.get("/entity/chatdb", params={"key": "number"}).content == body
        shown = http.get(
            "/entity/chatdb", params={"limit": 1000, "prefix": "number", "select": "n"}
        )
        assert f'"number":{number}'.encode() in shown.content
