"""What clients ask of a deployment, well and badly, in words that each are drawn for one use.

Every word has to stay unseen, but for the refusals: those are kept, and searched for less, because
a client may be told the keys that it has named itself.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import grpc
import httpx
import pytest

from strongroom_pb.v1 import entity_pb2 as pb
from tests.support.deployment import CHAT, Deployment, Metadata
from tests.support.known_secrets import KnownSecrets

DATABASE = "/entity/chatdb"
_JSON = {"Content-Type": "application/json"}
_TOO_LARGE = "x" * 5_000_000


class RestClient:
    """The deployment's administrator, over REST."""

    def __init__(self, http: httpx.Client, known: KnownSecrets) -> None:
        """Take an authorized client."""
        self._http = http
        self._word = known.word
        self.refusals: list[bytes] = []

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Send a request; a refusal is kept."""
        answer = self._http.request(method, path, **what)
        if answer.is_error:
            self.refusals.append(answer.content + repr(answer.headers.raw).encode())
        return answer

    def succeed(self) -> None:
        """Use every operation on entities as it is meant."""
        key, other = self._word("key"), self._word("key")
        document = {"chat": [{"type": "user", "text": self._word("text")}], self._word("name"): 1}
        once = {"Idempotency-Key": self._word("request id")}
        changed = f"{{chat: chat, note: '{self._word('text')}'}}"
        query = {"filter": f"note == '{self._word('text')}'", "prefix": key[:10], "select": "note"}
        merged = {key: {self._word("name"): self._word("text")}}
        added = {key: [{"op": "add", "path": f"/{self._word('name')}", "value": key}]}
        again = {"Idempotency-Key": self._word("request id")}
        merge = {"Content-Type": "application/merge-patch+json", **again}
        json_patch = {"Content-Type": "application/json-patch+json"}
        transform = {"key": key, "expression": changed}
        for method, path, what in (
            ("PUT", "", {"json": {key: document, other: CHAT}, "headers": once}),
            ("PUT", "", {"json": {key: document, other: CHAT}, "headers": once}),
            ("PUT", "", {"json": {key: document}, "headers": {"If-Match": '"1"'}}),
            ("PUT", "?dry_run=true", {"json": {key: document}}),
            ("GET", "", {"params": {"key": [key, other]}}),
            ("GET", "", {"params": {"prefix": key, "limit": 1}}),
            ("PATCH", "", {"content": json.dumps(merged), "headers": merge}),
            ("PATCH", "", {"content": json.dumps(added), "headers": json_patch}),
            ("POST", "/transform", {"json": transform}),
            ("POST", "/transform", {"json": {**transform, "store": True}}),
            ("POST", "/query", {"json": query}),
            ("DELETE", "", {"params": {"key": other}}),
        ):
            answer = self.ask(method, DATABASE + path, **what)
            assert answer.is_success, (method, path, answer.text)

    def fail(self) -> None:
        """Make the mistakes that clients make, and those that nobody makes by mistake."""
        key, text, name = (self._word(kind) for kind in ("key", "text", "name"))
        wrong, good = {key: {"chat": text, text: [text]}}, {key: CHAT}
        forged = {"Authorization": self._http.headers["Authorization"][:-9] + "AAAAAAAAA"}
        get, post = {"params": {"key": key}}, {"key": key, "expression": f"{text}[?"}
        nowhere = "/entity/nowhere"
        for method, path, what, status in (
            ("PUT", DATABASE, {"json": wrong}, 422),
            ("PUT", f"{DATABASE}?dry_run=true", {"json": wrong}, 200),
            ("PUT", DATABASE, {"json": {key: CHAT, self._word("key"): text}}, 422),
            ("PUT", DATABASE, {"content": f'{{"{key}": {{"chat": "{text}'}, 400),
            ("PUT", DATABASE, {"content": f'{{"{key}": 1, "{key}": 2}}'}, 400),
            ("PUT", DATABASE, {"content": f'{{"{key}": {{"{text}": NaN}}}}'}, 400),
            ("PUT", DATABASE, {"content": f'{{"{key}": "{text}'.encode() + b'\xff"}'}, 400),
            ("PUT", DATABASE, {"content": f'{{"{key}": "{text}{_TOO_LARGE}"}}'}, 413),
            ("PUT", DATABASE, {"content": text, "headers": {"Content-Type": "text/plain"}}, 415),
            ("PUT", f"{DATABASE}?{name}=1", {"json": good}, 400),
            ("PUT", DATABASE, {"json": good, "headers": {"If-Match": text}}, 400),
            ("PUT", DATABASE, {"json": good, "headers": {"Idempotency-Key": text * 20}}, 400),
            ("PUT", nowhere, {"json": good}, 404),
            ("GET", nowhere, get, 404),
            ("GET", DATABASE, get, 404),
            ("GET", DATABASE, {"params": {"cursor": text}}, 400),
            ("GET", DATABASE, {"params": {"key": f"{key}\n"}}, 400),
            ("GET", DATABASE, {**get, "headers": forged}, 401),
            ("POST", f"{DATABASE}/query", {"json": {"filter": f"{text}[?"}}, 400),
            ("POST", f"{DATABASE}/query", {"json": {name: text}}, 400),
            ("POST", f"{DATABASE}/transform", {"json": post}, 400),
            ("PATCH", DATABASE, {"content": f"[{text}"}, 415),
            ("POST", DATABASE, {"json": good}, 405),
            ("GET", f"/{name}", {}, 404),
        ):
            headers = {**_JSON, **what.pop("headers", {})}  # type: ignore[dict-item]
            answer = self.ask(method, path, headers=headers, **what)
            assert answer.status_code == status, (method, path, answer.text)
        for client_id in ("admin", self._word("client")):
            told = {"data": {"grant_type": "client_credentials"}, "auth": (client_id, text)}
            assert self.ask("POST", "/oauth/token", **told).status_code == 401


def work_over_grpc(deployment: Deployment, known: KnownSecrets) -> list[bytes]:
    """Use and misuse the client API; return the refusals, with all that came with them."""
    stub, metadata = deployment.grpc()
    known.add_token("token over gRPC", str(metadata[0][1]).removeprefix("Bearer "))
    key, text = known.word("key"), known.word("text")
    document = json.dumps({"chat": [{"type": "user", "text": text}]}).encode()
    put = pb.PutEntityRequest(
        database="chatdb", key=key, document=document, request_id=known.word("request id")
    )
    get = pb.GetEntityRequest(database="chatdb", key=key)
    both = [pb.KeyedDocument(key=known.word("key"), document=document) for _ in "ab"]
    stub.PutEntity(put, metadata=metadata)
    stub.GetEntity(get, metadata=metadata)
    stub.BatchPutEntities(
        pb.BatchPutEntitiesRequest(database="chatdb", entities=both), metadata=metadata
    )
    stub.ListEntities(pb.ListEntitiesRequest(database="chatdb", prefix=key), metadata=metadata)
    refused = f'{{"chat": "{text}"'.encode()
    violating = pb.KeyedDocument(key=key, document=refused + b"}")
    forged: Metadata = (("authorization", f"Bearer {text}"),)
    calls: list[Callable[[], object]] = [
        lambda: stub.PutEntity(
            pb.PutEntityRequest(database="chatdb", key=key, document=refused), metadata=metadata
        ),
        lambda: stub.BatchPutEntities(
            pb.BatchPutEntitiesRequest(database="chatdb", entities=[violating]), metadata=metadata
        ),
        lambda: stub.ListEntities(
            pb.ListEntitiesRequest(database="chatdb", filter=f"{text}[?"), metadata=metadata
        ),
        lambda: stub.GetEntity(pb.GetEntityRequest(database="nowhere", key=key), metadata=metadata),
        lambda: stub.GetEntity(get, metadata=forged),
        lambda: stub.GetEntity(get),
        lambda: _garbage(deployment, text.encode(), metadata),
    ]
    return [_refusal(call) for call in calls]


def keep_writing(http: httpx.Client, known: KnownSecrets, is_over: Callable[[], bool]) -> int:
    """Put entities until it is over, whatever the answers are; return how many were accepted."""
    accepted = 0
    # Few words: each one is looked for in every file, in forty forms.
    key, text = known.word("key"), known.word("text")
    for number in count():
        if is_over():
            break
        body = {f"{key}-{number}": {"chat": [{"type": "user", "text": text * 500}]}}
        with suppress(httpx.HTTPError):
            accepted += http.put(DATABASE, json=body).is_success
    return accepted


def _garbage(deployment: Deployment, data: bytes, metadata: Metadata) -> object:
    """Send what is no message."""
    with deployment.channel() as channel:
        call: Any = channel.unary_unary("/strongroom_pb.v1.EntityService/PutEntity")
        return call(b"\x0a\xff" + data, metadata=metadata)


def _refusal(call: Callable[[], object]) -> bytes:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    error: Any = refused.value
    return f"{error.details()} {error.trailing_metadata()!r}".encode()
