"""Hostile requests through both faces of a running deployment: refused clearly, nothing written."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import CHAT, Deployment, is_alive

GOOD = json.dumps({"x": CHAT}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with deployment.http() as client:
        yield client


def _files(deployment: Deployment) -> set[Path]:
    return {p for p in (deployment.shared_dir / "files").rglob("*") if p.is_file()}


def _problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert {"type", "title", "detail"} <= set(problem)
    assert "Traceback" not in answer.text
    return problem


BODIES = {
    "empty": (b"", 400),
    "cut short": (b'{"x": {"chat": [', 400),
    "not an object": (b"[]", 400),
    "no entity": (b"{}", 400),
    "repeated entity": (b'{"x": {"chat": []}, "x": {"chat": []}}', 400),
    "repeated member": (b'{"x": {"chat": [], "chat": []}}', 400),
    "repeated by an escape": (b'{"x": {"chat": [], "ch\\u0061t": []}}', 400),
    "NaN": (b'{"x": {"chat": [], "n": NaN}}', 400),
    "Infinity": (b'{"x": {"chat": [], "n": -Infinity}}', 400),
    "not UTF-8": (b'{"x": {"chat": [], "s": "\xff"}}', 400),
    "unpaired surrogate": (b'{"x": {"chat": [], "s": "\\ud800"}}', 400),
    "nested too deep": (b'{"x": {"chat": [], "d": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
    "1,001 digits": (b'{"x": {"chat": [], "n": ' + b"9" * 1_001 + b"}}", 400),
    "huge exponent": (b'{"x": {"chat": [], "n": 1e999999999}}', 400),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, 400),
    "key with a control character": (b'{"x\\u0000y": {"chat": []}}', 400),
    "empty key": (b'{"": {"chat": []}}', 400),
    "key of 10 KB": (b'{"' + b"k" * 10_240 + b'": {"chat": []}}', 400),
    "101 entities": (
        json.dumps({f"k{n}": CHAT for n in range(101)}).encode(),
        400,
    ),
    "schema refuses": (b'{"x": {"chat": "hush-hush"}}', 422),
    "schema refuses one of two": (b'{"x": {"chat": []}, "y": {"chat": "hush-hush"}}', 422),
    "too large an entity": (b'{"x": {"chat": [], "s": "' + b"x" * 4_194_304 + b'"}}', 413),
    "too large a request": (b" " * 4_300_000 + GOOD, 413),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_body_is_refused_and_nothing_is_written(
    deployment: Deployment, http: httpx.Client, case: str
) -> None:
    """A malformed body is stored, or ends in a 500 or a dead process."""
    body, status = BODIES[case]
    before = _files(deployment)
    answer = http.put("/entity/chatdb", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert "hush" not in answer.text
    _problem(answer)
    assert _files(deployment) == before
    assert all(is_alive(pid) for pid in deployment.all_pids())


def test_a_violation_has_a_pointer_and_no_value(http: httpx.Client) -> None:
    """A client does not learn what is wrong with its document, or a log learns too much."""
    body = {"x": {"chat": [{"type": "a", "text": "t"}, {"type": 5, "text": "hush-hush"}]}}
    answer = http.put("/entity/chatdb", json=body)
    problem = _problem(answer)
    assert [(e["pointer"], e["keyword"]) for e in problem["errors"]] == [("/chat/1/type", "type")]
    assert "hush" not in answer.text


def test_of_several_entities_the_refused_one_is_named(http: httpx.Client) -> None:
    """A client that puts many cannot tell which one was refused."""
    answer = http.put("/entity/chatdb", json={"good": CHAT, "bad": {"chat": 1}})
    assert _problem(answer)["key"] == "bad"


TOKENS = {
    "none": None,
    "another scheme": "Basic YWRtaW46eA==",
    "not a token": "Bearer nonsense",
    "unsigned": "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJhZG1pbiJ9.",
    "endless": "Bearer " + "a" * 5_000,
}


@pytest.mark.parametrize("case", TOKENS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/entity/chatdb?key=x"),
        ("GET", "/entity/nowhere?key=x"),
        ("PUT", "/entity/chatdb"),
        ("PUT", "/clients/me"),
        ("GET", "/schemas/chat.v1"),
    ],
)
def test_without_a_good_token_there_is_nothing(
    deployment: Deployment, case: str, method: str, path: str
) -> None:
    """Somebody without credentials reads, writes or learns what exists."""
    token = TOKENS[case]
    headers = JSON | ({"Authorization": token} if token else {})
    answer = httpx.request(
        method,
        deployment.facts["http_url"] + path,
        content=GOOD,
        headers=headers,
        verify=deployment.trusted(),
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert _problem(answer)["type"] == "urn:strongroom:problem:unauthenticated"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"grant_type": "client_credentials"}, 200),
        ({"grant_type": "client_credentials", "scope": "read"}, 200),
        ({"grant_type": "client_credentials", "scope": "everything"}, 400),
        ({"grant_type": "password"}, 400),
        ({}, 400),
    ],
)
def test_token_requests(deployment: Deployment, form: dict[str, str], status: int) -> None:
    """The token endpoint differs from RFC 6749, or gives out more than was asked for."""
    url = f"{deployment.facts['http_url']}/oauth/token"
    answer = httpx.post(
        url,
        data=form,
        auth=deployment.credentials(),
        headers={} if form else JSON,
        verify=deployment.trusted(),
    )
    if not form:
        assert answer.status_code == 415
        return
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["scope"] == form.get("scope", "admin delete read write")
    else:
        assert _problem(answer)["error"] in {"invalid_scope", "unsupported_grant_type"}


@pytest.mark.parametrize("client", ["admin", "nobody", "../admin", "a" * 100])
def test_wrong_credentials(deployment: Deployment, client: str) -> None:
    """An unknown client can be told from a wrong secret."""
    answer = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(client, "wrong"),
        verify=deployment.trusted(),
    )
    assert answer.status_code == 401
    assert _problem(answer)["detail"] == "unknown client or wrong secret"
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_narrowed_token_cannot_write(deployment: Deployment, http: httpx.Client) -> None:
    """The scope of a token is decoration."""
    issued = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials", "scope": "read"},
        auth=deployment.credentials(),
    ).json()
    http.headers["Authorization"] = f"Bearer {issued['access_token']}"
    assert http.put("/entity/chatdb", content=GOOD, headers=JSON).status_code == 403


def test_a_client_sees_what_its_grants_name_and_no_more(
    deployment: Deployment, http: httpx.Client
) -> None:
    """A client reads another client's database or keys, or learns that they exist."""
    http.put("/entity/chatdb", json={"mine/1": CHAT, "yours/1": CHAT})
    name = f"client-{uuid.uuid4().hex[:8]}"
    grants = [{"database": "chatdb", "actions": ["read"], "key_prefix": "mine/"}]
    made = http.put(f"/clients/{name}", json={"grants": grants})
    assert made.status_code == 201
    issued = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(name, made.json()["client_secret"]),
    ).json()
    theirs = {"Authorization": f"Bearer {issued['access_token']}"}
    url = deployment.facts["http_url"]
    refused = [
        httpx.get(f"{url}/entity/{path}", headers=theirs)
        for path in ("chatdb?key=yours/1", "nowhere?key=mine/1", "chatdb?key=mine/1&key=yours/1")
    ]
    assert httpx.get(f"{url}/entity/chatdb?key=mine/1", headers=theirs).status_code == 200
    assert {answer.status_code for answer in refused} == {403}
    assert len({answer.json()["detail"] for answer in refused}) == 1
    assert httpx.put(f"{url}/clients/x", json={"grants": []}, headers=theirs).status_code == 403
    assert http.delete(f"/clients/{name}").status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/entity/nowhere?key=x", 404),
        ("GET", "/entity/chatdb?key=is-not-there", 404),
        ("GET", "/entity/chatdb?key=", 400),
        ("GET", "/entity/chatdb?key=%ff", 400),
        ("GET", "/entity/chatdb?key=%00", 400),
        ("GET", "/entity/chatdb?key=x&unknown=1", 400),
        ("GET", "/entity/..%2f..%2fcontrol?key=x", 400),
        ("GET", "/entity%2Fchatdb?key=x", 404),
        ("POST", "/keys%2frotate", 404),
        ("GET", "/entity/chatdb%2Fquery?key=x", 400),
        ("GET", "/%65ntity/%63hatdb?key=is-not-there", 404),
        ("GET", "/entity/chatdb%00?key=x", 400),
        ("GET", "/entity/%E2%80%AEchatdb?key=x", 400),
        ("GET", "/entity/chatdb;v=1?key=x", 400),
        ("GET", "/entity/%c0%ae%c0%ae?key=x", 400),
        ("GET", "/entity/chatdb?key=%", 400),
        ("GET", "/entity/chatdb?key=%zz", 400),
        ("GET", "/entity/chatdb?%6bey=is-not-there", 404),
        ("GET", "/entity/chatdb?KEY=x", 400),
        ("GET", "/entity/chatdb?key[]=x", 400),
        ("GET", "/entity/chatdb?key=x;limit=1", 404),
        ("GET", "/entity/chatdb?limit=1&limit=2", 400),
        ("GET", "/entity/chatdb?cursor=&cursor=", 400),
        ("GET", "/entity/chatdb?limit=-1", 400),
        ("GET", "/entity/chatdb?limit=0", 400),
        ("GET", "/entity/chatdb?limit=1001", 400),
        ("GET", "/entity/chatdb?limit=99999999999999999999999", 400),
        ("GET", "/entity/chatdb?limit=0x10", 400),
        ("GET", "/entity/chatdb?limit=%2B1", 400),
        ("GET", "/entity/chatdb?limit=1_0", 400),
        ("GET", "/entity/chatdb?limit=%201", 400),
        ("GET", "/entity/chatdb?limit=", 400),
        ("GET", "/entity/chatdb?limit", 400),
        ("GET", "/entity/chatdb?key=x&" + "&".join(["key=x"] * 101), 400),
        ("GET", "/entity/chatdb?" + "&".join(f"p{n}=" for n in range(1_001)), 400),
        ("GET", "/entity/chatdb?key=x&key=y&limit=1", 400),
        ("GET", "/schemas?limit=-1", 400),
        ("GET", "/clients?cursor=" + "c" * 513, 400),
        ("PUT", "/schemas/x?dry_run=false", 400),
        ("DELETE", "/clients/..", 404),
        ("GET", "/entity/.hidden?key=x", 400),
        ("GET", "/entity/" + "d" * 65 + "?key=x", 400),
        ("GET", "/entity/chatdb/more?key=x", 404),
        ("POST", "/entity/chatdb?key=x", 405),
        ("DELETE", "/entity/chatdb", 400),
        ("DELETE", "/entity/chatdb?key=a&key=", 400),
        ("GET", "/", 404),
        ("PUT", "/entity/chatdb?ttl_seconds=0", 400),
        ("PUT", "/entity/chatdb?ttl_seconds=-1", 400),
        ("PUT", "/entity/chatdb?ttl_seconds=%D9%A1", 400),
        ("PUT", "/entity/chatdb?ttl_seconds=99999999999", 400),
    ],
)
def test_paths_and_parameters(http: httpx.Client, method: str, path: str, status: int) -> None:
    """A strange path or parameter ends in a 500, or means something."""
    answer = http.request(method, path, content=GOOD, headers=JSON)
    assert answer.status_code == status, answer.text
    _problem(answer)


def test_a_key_like_a_path_is_only_a_key(deployment: Deployment, http: httpx.Client) -> None:
    """A key leads out of the database's directory."""
    key = "../../../etc/passwd"
    assert http.put("/entity/chatdb", json={key: CHAT}).status_code in {200, 201}
    assert http.get("/entity/chatdb", params={"key": key}).json() == {key: CHAT}
    assert all(len(path.name.partition(".")[0]) == 64 for path in _files(deployment))


def test_conditions(http: httpx.Client) -> None:
    """Optimistic locking over HTTP does not lock."""
    key = f"conditional-{uuid.uuid4().hex}"
    assert (
        http.put("/entity/chatdb", json={key: CHAT}, headers={"If-None-Match": "*"}).headers["ETag"]
        == '"1"'
    )
    again = http.put("/entity/chatdb", json={key: CHAT}, headers={"If-None-Match": "*"})
    assert (again.status_code, _problem(again)["current_version"]) == (412, 1)
    stale = http.put("/entity/chatdb", json={key: CHAT}, headers={"If-Match": '"7"'})
    assert (stale.status_code, _problem(stale)["current_version"]) == (412, 1)
    assert (
        http.put("/entity/chatdb", json={key: CHAT}, headers={"If-Match": '"1"'}).headers["ETag"]
        == '"2"'
    )
    unchanged = http.get("/entity/chatdb", params={"key": key}, headers={"If-None-Match": '"2"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (
        http.put("/entity/chatdb", json={key: CHAT}, headers={"If-Match": "2"}).status_code == 400
    )


def test_an_idempotency_key_applies_once(http: httpx.Client) -> None:
    """A client that repeats a request after a lost answer writes twice."""
    key, headers = f"once-{uuid.uuid4().hex}", {"Idempotency-Key": uuid.uuid4().hex}
    first = http.put("/entity/chatdb", json={key: CHAT}, headers=headers)
    again = http.put("/entity/chatdb", json={key: CHAT}, headers=headers)
    other = http.put("/entity/chatdb", json={key: {"chat": []}}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert first.json() == again.json()
    assert _problem(other)["type"] == "urn:strongroom:problem:idempotency-mismatch"


@pytest.mark.parametrize(
    ("given", "taken"), [("trace-1.2", True), ("a" * 129, False), ("two words", False), ("", False)]
)
def test_a_request_id_is_taken_over_or_replaced(
    http: httpx.Client, given: str, *, taken: bool
) -> None:
    """A client cannot find its request in our logs, or writes into them."""
    answer = http.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is taken


GRPC_CASES = {
    "not there": ("chatdb", "is-not-there", grpc.StatusCode.NOT_FOUND),
    "no such database": ("nowhere", "x", grpc.StatusCode.NOT_FOUND),
    "bad database name": ("../x", "x", grpc.StatusCode.INVALID_ARGUMENT),
    "empty key": ("chatdb", "", grpc.StatusCode.INVALID_ARGUMENT),
    "long key": ("chatdb", "k" * 10_240, grpc.StatusCode.INVALID_ARGUMENT),
}


@pytest.mark.parametrize("case", GRPC_CASES)
def test_bad_reads_over_grpc(deployment: Deployment, case: str) -> None:
    """The gRPC face lets through what REST refuses."""
    database, key, code = GRPC_CASES[case]
    stub, metadata = deployment.grpc()
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetEntity(entity_pb2.GetEntityRequest(database=database, key=key), metadata=metadata)
    assert refused.value.code() == code


ABOUT_THE_MAPPING = {"not an object", "no entity", "byte order mark", "empty key", "key of 10 KB"}
ABOUT_THE_MAPPING |= {"key with a control character", "repeated entity", "101 entities"}
ABOUT_THE_MAPPING |= {"schema refuses one of two", "too large a request"}


@pytest.mark.parametrize("case", [case for case in BODIES if case not in ABOUT_THE_MAPPING])
def test_bad_documents_over_grpc(deployment: Deployment, case: str) -> None:
    """The gRPC face stores what REST refuses."""
    body, _ = BODIES[case]
    document = body.removeprefix(b'{"x": ').removesuffix(b"}")
    before = _files(deployment)
    stub, metadata = deployment.grpc()
    request = entity_pb2.PutEntityRequest(database="chatdb", key="x", document=document)
    with pytest.raises(grpc.RpcError) as refused:
        stub.PutEntity(request, metadata=metadata)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert _files(deployment) == before


def _all_of(stream: Any) -> Any:  # noqa: ANN401 - as grpcio declares calls
    """Return what makes one call of a stream: its messages to the end."""
    return lambda request, metadata: list(stream(request, metadata=metadata))


@pytest.mark.parametrize("token", [None, "Bearer nonsense", "nonsense"])
def test_grpc_without_a_good_token(deployment: Deployment, token: str | None) -> None:
    """The gRPC face serves whom REST refuses."""
    stub, _ = deployment.grpc()
    metadata = (("authorization", token),) if token else ()
    calls: list[tuple[Any, Any]] = [
        (stub.GetEntity, entity_pb2.GetEntityRequest(database="chatdb", key="x")),
        (stub.BatchGetEntities, entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=["x"])),
        (stub.PutEntity, entity_pb2.PutEntityRequest(database="chatdb", key="x", document=b"{}")),
        (stub.ListEntities, entity_pb2.ListEntitiesRequest(database="chatdb")),
        (_all_of(stub.StreamEntities), entity_pb2.ListEntitiesRequest(database="chatdb")),
        (stub.PatchEntity, entity_pb2.PatchEntityRequest(database="chatdb", key="x")),
        (stub.TransformEntity, entity_pb2.TransformEntityRequest(database="chatdb", key="x")),
        (stub.StoreTransformedEntity, entity_pb2.TransformEntityRequest(database="chatdb")),
        (stub.ValidateEntities, entity_pb2.ValidateEntitiesRequest(database="chatdb")),
        (stub.DeleteEntity, entity_pb2.DeleteEntityRequest(database="chatdb", key="x")),
        (stub.BatchPutEntities, entity_pb2.BatchPutEntitiesRequest(database="chatdb")),
        (stub.BatchDeleteEntities, entity_pb2.BatchDeleteEntitiesRequest(database="chatdb")),
    ]
    methods = entity_pb2.DESCRIPTOR.services_by_name["EntityService"].methods
    assert len(calls) == len(methods)
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call(request, metadata=metadata)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_no_stored_byte_shows_what_is_secret(deployment: Deployment, http: httpx.Client) -> None:
    """A stolen disk or log shows a document, an entity key, a token or a secret."""
    marker = uuid.uuid4().hex
    document = {"chat": [{"type": "user", "text": f"text-{marker}"}]}
    http.put("/entity/chatdb", json={f"key-{marker}": document})
    http.get("/entity/chatdb", params={"key": f"key-{marker}"})
    http.put("/entity/chatdb", json={f"key-{marker}": {"chat": f"text-{marker}"}})
    stored = deployment.every_stored_byte()
    token = http.headers["Authorization"].removeprefix("Bearer ")
    secret = deployment.facts["client_secret"]
    for hidden in (marker, token, secret):
        assert hidden.encode() not in stored
        assert hidden.encode().hex().encode() not in stored
