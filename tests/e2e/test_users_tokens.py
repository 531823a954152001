"""Tokens of a front end's users, of its own and of nobody, through a running deployment.

The rotation takes twelve seconds, because a signing key is published for ten before it signs.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import httpx
import jwt
import pytest

from strongroom import limits
from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc
from tests.support.deployment import Deployment, Metadata, wait_until

PEOPLE = ("alice", "bob", "al", "alice2")
EACH = 12


@dataclass
class FrontEnd:
    """A client of a deployment that acts for users, over both faces."""

    deployment: Deployment
    admin: httpx.Client
    database: str
    client_id: str
    secret: str

    def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the client's credentials."""
        url = self.deployment.facts["http_url"] + path
        trusted = self.deployment.trusted()
        basic = (self.client_id, self.secret)
        return httpx.post(url, data=fields, auth=basic, timeout=30, verify=trusted)

    def own(self) -> str:
        """Return a token of its own."""
        return str(
            self.post("/oauth/token", grant_type="client_credentials").json()["access_token"]
        )

    def token(self, user: str, **fields: str) -> str:
        """Return a user's token, over REST."""
        answer = self.post(
            "/oauth/token",
            grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
            subject_token_type="urn:strongroom:token-type:user",
            subject_token=user,
            **fields,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def token_over_grpc(self, channel: grpc.Channel, user: str) -> str:
        """Return a user's token, over gRPC."""
        request = auth_pb2.ExchangeTokenRequest(
            client_id=self.client_id, client_secret=self.secret, subject=user
        )
        return str(auth_pb2_grpc.AuthServiceStub(channel).ExchangeToken(request).access_token)

    def http(self, token: str) -> httpx.Client:
        """Return a client with a token."""
        return httpx.Client(
            base_url=self.deployment.facts["http_url"],
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )


@pytest.fixture(scope="module")
def front(deployment: Deployment) -> Iterator[FrontEnd]:
    """A front end with a database in which each of its users has some entities."""
    name, client_id = f"users-{uuid.uuid4().hex[:8]}", f"front-{uuid.uuid4().hex[:8]}"
    theirs = {"database": name, "actions": ["read", "write"], "key_prefix": "users/{sub}/"}
    grants = [{"database": name, "actions": ["read", "write", "delete"]}]
    with deployment.http() as admin:
        assert admin.put("/schemas/anything", content=b"true").status_code in {200, 201}
        assert admin.put(f"/databases/{name}", json={"schema_id": "anything"}).status_code == 201
        made = admin.put(f"/clients/{client_id}", json={"grants": grants, "user_grants": [theirs]})
        assert made.status_code == 201, made.text
        documents = {
            f"users/{user}/{n:02}": {"n": n, "of": user} for user in PEOPLE for n in range(EACH)
        }
        assert admin.put(f"/entity/{name}", json=documents).status_code == 201
        yield FrontEnd(deployment, admin, name, client_id, made.json()["client_secret"])


def pages(ask: Callable[[str], Any]) -> Iterator[Any]:
    """Yield pages until the last one."""
    cursor = ""
    while True:
        page = ask(cursor)
        yield page
        cursor = page.get("cursor", "")
        if not cursor:
            return


@pytest.mark.parametrize("limit", [1, 5, 1_000])
def test_a_user_lists_what_is_the_users_and_learns_of_nothing_else(
    front: FrontEnd, limit: int
) -> None:
    """A user sees another one's chats, or can count them."""
    mine = {f"users/alice/{n:02}" for n in range(EACH)}
    with front.http(front.token("alice")) as alice:
        found = list(
            pages(
                lambda cursor: alice.post(
                    f"/entity/{front.database}/query",
                    json={"limit": limit} | ({"cursor": cursor} if cursor else {}),
                ).json()
            )
        )
        items = [item["key"] for page in found for item in page["items"]]
        assert (sorted(items), len(items)) == (sorted(mine), EACH)
        assert sum(page["examined"] for page in found) == EACH
        listed = alice.get(f"/entity/{front.database}").json()
        assert set(listed) == mine
        assert {one["of"] for one in listed.values()} == {"alice"}
        # What is asked for by its prefix is not there. A refusal would tell that it is.
        others = alice.get(f"/entity/{front.database}?prefix=users/bob/")
        nobodys = alice.get(f"/entity/{front.database}?prefix=users/nobody/")
        assert (others.status_code, others.json()) == (nobodys.status_code, nobodys.json())
        # An expression that fails on what others have is not tried on it.
        odd = {"filter": "of == 'alice' || length(n) > `0`"}
        assert alice.post(f"/entity/{front.database}/query", json=odd).status_code == 200


def test_over_grpc_a_user_lists_the_same(front: FrontEnd) -> None:
    """The other face shows what this one hides."""
    with front.deployment.channel() as channel:
        bearer = f"Bearer {front.token_over_grpc(channel, 'alice')}"
        metadata: Metadata = (("authorization", bearer),)
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        request = entity_pb2.ListEntitiesRequest(database=front.database)
        page = stub.ListEntities(request, metadata=metadata)
        assert {entity.key.split("/")[1] for entity in page.entities} == {"alice"}
        assert (len(page.entities), page.examined, page.damaged) == (EACH, EACH, 0)
        streamed = list(stub.StreamEntities(request, metadata=metadata))
        assert sum(len(one.entities) for one in streamed) == EACH
        assert sum(one.examined for one in streamed) == EACH


def test_a_cursor_is_of_no_use_to_another_user(front: FrontEnd) -> None:
    """A user goes on where another one has stopped."""
    path = f"/entity/{front.database}/query"
    with front.http(front.token("alice")) as alice, front.http(front.token("bob")) as bob:
        cursor = alice.post(path, json={"limit": 1}).json()["cursor"]
        assert alice.post(path, json={"limit": 1, "cursor": cursor}).status_code == 200
        assert bob.post(path, json={"limit": 1, "cursor": cursor}).status_code == 400
        with front.http(front.own()) as itself:
            assert itself.post(path, json={"limit": 1, "cursor": cursor}).status_code == 400


REQUESTS: dict[str, Callable[[httpx.Client, str, str], httpx.Response]] = {
    "get": lambda http, path, key: http.get(path, params={"key": key}),
    "get with its own": lambda http, path, key: http.get(
        path, params={"key": ["users/alice/00", key]}
    ),
    "conditional get": lambda http, path, key: http.get(
        path, params={"key": key}, headers={"If-None-Match": '"1"'}
    ),
    "put": lambda http, path, key: http.put(path, json={key: 1}),
    "put with its own": lambda http, path, key: http.put(path, json={"users/alice/00": 1, key: 1}),
    "put if it matches": lambda http, path, key: http.put(
        path, json={key: 1}, headers={"If-Match": '"1"'}
    ),
    "put if it is not there": lambda http, path, key: http.put(
        path, json={key: 1}, headers={"If-None-Match": "*"}
    ),
    "dry run": lambda http, path, key: http.put(f"{path}?dry_run=true", json={key: 1}),
    "patch": lambda http, path, key: http.patch(
        path,
        content=json.dumps({key: {"n": 0}}),
        headers={"Content-Type": "application/merge-patch+json"},
    ),
    "delete": lambda http, path, key: http.delete(path, params={"key": key}),
    "transform": lambda http, path, key: http.post(
        f"{path}/transform", json={"key": key, "expression": "@"}
    ),
    "store": lambda http, path, key: http.post(
        f"{path}/transform", json={"key": key, "expression": "@", "store": True}
    ),
}


@pytest.mark.parametrize("ask", REQUESTS.values(), ids=REQUESTS)
def test_what_is_another_users_is_refused_as_what_is_nobodys(
    front: FrontEnd, ask: Callable[[httpx.Client, str, str], httpx.Response]
) -> None:
    """A user reads or changes another one's chat, or finds out that there is one."""
    path = f"/entity/{front.database}"
    told = set()
    with front.http(front.token("alice")) as alice:
        for key in (
            "users/bob/00",
            "users/nobody/00",
            "users/bob/99",
            "users/alice2/00",
            "users/al/00",
            "users/Alice/00",
            "users/alice",
            "users//00",
            "users/{sub}/00",
            "../users/alice/00",
        ):
            answer = ask(alice, path, key)
            members = {k: v for k, v in answer.json().items() if k != "request_id"}
            told.add((answer.status_code, tuple(sorted(members.items()))))
    assert len(told) == 1
    assert next(iter(told))[0] == 403
    bobs = front.admin.get(path, params={"key": "users/bob/00"})
    assert (bobs.json(), bobs.headers["etag"]) == ({"users/bob/00": {"n": 0, "of": "bob"}}, '"1"')


def test_a_key_is_no_path(front: FrontEnd) -> None:
    """A user climbs out of what is the user's, or looks like another one to some part of us."""
    path = f"/entity/{front.database}"
    looks = ("e\u0301", "\u00e9", "\u00c9", "\uff45\u0301")
    for user in ("mallory", *looks):
        key = f"users/{user}/../bob/00"
        with front.http(front.token(user)) as http:
            assert http.put(path, json={key: user}).status_code == 201
            assert http.get(path, params={"key": key}).json() == {key: user}
            assert http.get(path).json() == {key: user}
    bobs = front.admin.get(path, params={"key": "users/bob/00"})
    assert bobs.json() == {"users/bob/00": {"n": 0, "of": "bob"}}


def test_two_users_with_one_idempotency_key_make_two_writes(front: FrontEnd) -> None:
    """A user is answered what another one has written."""
    path, headers = f"/entity/{front.database}", {"Idempotency-Key": "once"}
    versions = []
    for user in ("ida", "idb"):
        with front.http(front.token(user)) as http:
            for _ in range(2):
                answer = http.put(path, json={f"users/{user}/x": 1}, headers=headers)
                versions.append(answer.json()[f"users/{user}/x"]["version"])
    assert versions == [1, 1, 1, 1]


def test_a_token_that_is_revoked_at_one_face_is_refused_at_the_other(front: FrontEnd) -> None:
    """A user who has logged out is still let in by the process next door."""
    with front.deployment.channel() as channel:
        stub = entity_pb2_grpc.EntityServiceStub(channel)
        for revoke_over_rest in (True, False):
            token, other = front.token("alice"), front.token_over_grpc(channel, "alice")
            asked: dict[str, Callable[[str], bool]] = {
                "rest": lambda text: _gets_in_over_rest(front, text),
                "grpc": lambda text: _gets_in_over_grpc(stub, front.database, text),
            }
            assert all(gets_in(text) for gets_in in asked.values() for text in (token, other))
            if revoke_over_rest:
                assert front.post("/oauth/revoke", token=token).status_code == 200
            else:
                request = auth_pb2.RevokeTokenRequest(
                    client_id=front.client_id, client_secret=front.secret, token=token
                )
                auth_pb2_grpc.AuthServiceStub(channel).RevokeToken(request)
            for face, gets_in in asked.items():
                assert wait_until(
                    partial(_is_refused, gets_in, token), limits.REVOCATION_SECONDS_MAX
                ), face
                assert gets_in(other)


def _is_refused(gets_in: Callable[[str], bool], token: str) -> bool:
    return not gets_in(token)


def _gets_in_over_rest(front: FrontEnd, token: str) -> bool:
    with front.http(token) as http:
        answer = http.get(f"/entity/{front.database}", params={"key": "users/alice/00"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def _gets_in_over_grpc(stub: entity_pb2_grpc.EntityServiceStub, database: str, token: str) -> bool:
    request = entity_pb2.GetEntityRequest(database=database, key="users/alice/00")
    try:
        stub.GetEntity(request, metadata=(("authorization", f"Bearer {token}"),))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED  # noqa: PT017
        return False
    return True


def test_no_request_fails_while_the_signing_key_is_replaced(front: FrontEnd) -> None:
    """A rotation logs clients out: at the process that signs, or at the one beside it."""
    stop = threading.Event()
    kids: set[str] = set()
    failures: list[str] = []
    requests = [0]

    def work(over_grpc_first: bool) -> None:  # noqa: FBT001 - of a thread
        with front.deployment.channel() as channel:
            stub = entity_pb2_grpc.EntityServiceStub(channel)
            while not stop.is_set():
                token = (
                    front.token_over_grpc(channel, "alice")
                    if over_grpc_first
                    else front.token("alice")
                )
                kids.add(jwt.get_unverified_header(token)["kid"])
                passed = (
                    _gets_in_over_rest(front, token)
                    if over_grpc_first
                    else _gets_in_over_grpc(stub, front.database, token)
                )
                requests[0] += 1
                if not passed:
                    failures.append(token)

    older = front.token("alice")
    threads = [threading.Thread(target=work, args=(one,)) for one in (True, False)]
    for thread in threads:
        thread.start()
    try:
        rotated = front.admin.post("/keys/rotate", json={"purpose": "token-signing"})
        assert rotated.status_code == 201
        new = rotated.json()["key_id"]
        published = httpx.get(front.deployment.facts["http_url"] + "/.well-known/jwks.json").json()
        assert new in {key["kid"] for key in published["keys"]}
        assert wait_until(lambda: new in kids, limits.SIGNING_KEY_PUBLISHED_SECONDS + 10)
        seen = requests[0]
        assert wait_until(lambda: requests[0] > max(100, seen + 20), 100)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failures == []
    assert len(kids) == 2
    assert _gets_in_over_rest(front, older)
