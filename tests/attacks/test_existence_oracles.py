"""Answers that would tell whether an entity is there to somebody who may not know.

The rule (docs/guarantees.md, section 6): a grant to write shows existence and version, one to read
everything; one to delete shows only what deleting shows, that it was there and is not any more; and
no grant shows nothing.
"""

import uuid
from typing import Any

import grpc
import pytest

from strongroom_pb.v1 import common_pb2, entity_pb2
from tests.support.attackers import Intruder, Intruders, Refusal, grant
from tests.support.deployment import CHAT

THERE, MISSING = "oracle/there", "oracle/missing"
HEADERS: dict[str, dict[str, str]] = {
    "If-Match of a version that is not": {"If-Match": '"999999"'},
    "If-Match of the version that is": {"If-Match": '"1"'},
    "If-Match of any": {"If-Match": "*"},
    "If-None-Match of any": {"If-None-Match": "*"},
    "If-None-Match of a version": {"If-None-Match": '"1"'},
    "If-None-Match of another": {"If-None-Match": '"999999"'},
    "none": {},
}
CONDITIONS = {
    "of a version that is not": common_pb2.Condition(if_version=999_999),
    "of the version that is": common_pb2.Condition(if_version=1),
    "of any": common_pb2.Condition(if_present=True),
    "of none": common_pb2.Condition(if_absent=True),
    "of one of several": common_pb2.Condition(if_one_of=[1, 7]),
    "of none of several": common_pb2.Condition(if_none_of=[1, 7]),
}


@pytest.fixture
def there(making: Intruders) -> str:
    """Return the prefix of a pair of keys, one of which is there."""
    prefix = uuid.uuid4().hex
    making.put("chatdb", {f"{prefix}/{THERE}": CHAT})
    return prefix


def shown(answer: Any) -> tuple[int, dict[str, Any], dict[str, str]]:  # noqa: ANN401 - httpx's
    """Return what of an answer could tell two keys apart."""
    body = answer.json() if answer.content else {}
    body.pop("request_id", None)
    ignored = {"x-request-id", "date", "content-length", "traceparent", "tracestate"}
    return answer.status_code, body, {k: v for k, v in answer.headers.items() if k not in ignored}


def attempts(who: Intruder, key: str, headers: dict[str, str]) -> list[Any]:
    """Do everything over REST that names one key."""
    rest, named = who.rest, {"key": key}
    return [
        rest.get("/entity/chatdb", params=named, headers=headers),
        rest.head("/entity/chatdb", params=named, headers=headers),
        rest.put("/entity/chatdb", json={key: CHAT}, headers=headers),
        rest.put("/entity/chatdb", params={"dry_run": "true"}, json={key: CHAT}, headers=headers),
        rest.patch(
            "/entity/chatdb",
            json={key: {}},
            headers={"Content-Type": "application/merge-patch+json", **headers},
        ),
        rest.patch(
            "/entity/chatdb",
            json={key: [{"op": "test", "path": "/chat", "value": []}]},
            headers={"Content-Type": "application/json-patch+json", **headers},
        ),
        rest.delete("/entity/chatdb", params=named, headers=headers),
        rest.post("/entity/chatdb/transform", json={"key": key, "expression": "@"}),
        rest.post("/entity/chatdb/query", json={"prefix": key}),
        rest.get("/entity/chatdb", params={"prefix": key}),
        rest.get("/entity/chatdb", params=[("key", key), ("key", key + "x")]),
    ]


@pytest.mark.parametrize("case", HEADERS)
def test_who_has_no_grant_there_sees_one_answer(making: Intruders, there: str, case: str) -> None:
    """If this fails, any client learns which keys of any other one exist, and in which version."""
    who = making(grant("chatdb", "read", "write", "delete", key_prefix="elsewhere/"))
    known, unknown = (
        [shown(one) for one in attempts(who, f"{there}/{key}", HEADERS[case])]
        for key in (THERE, MISSING)
    )
    assert known == unknown
    assert {status for status, _, _ in known} <= {400, 403, 200}
    assert making.root.rest.get(f"/entity/chatdb?key={there}/{THERE}").headers["etag"] == '"1"'


@pytest.mark.parametrize("case", [case for case in HEADERS if case != "none"])
def test_who_may_only_delete_asks_nothing_by_conditions(
    making: Intruders, there: str, case: str
) -> None:
    """If this fails, a retention job, which may only delete, learns every key's version."""
    who = making(grant("chatdb", "delete", key_prefix=f"{there}/"))
    known, unknown = (
        [shown(one) for one in attempts(who, f"{there}/{key}", HEADERS[case])]
        for key in (THERE, MISSING)
    )
    assert known == unknown
    assert not any("current_version" in body for _, body, _ in known)
    assert making.root.rest.get(f"/entity/chatdb?key={there}/{THERE}").headers["etag"] == '"1"'


def test_who_may_only_delete_deletes(making: Intruders, there: str) -> None:
    """If this fails, the rule above has taken the right to delete with it."""
    who = making(grant("chatdb", "delete", key_prefix=f"{there}/"))
    gone = who.rest.delete("/entity/chatdb", params={"key": f"{there}/{THERE}"})
    assert gone.status_code == 204
    # A condition is for who knows versions already.
    making.put("chatdb", {f"{there}/{THERE}": CHAT})
    for more in ("read", "write"):
        both = making(grant("chatdb", "delete", more, key_prefix=f"{there}/"))
        answer = both.rest.delete(
            "/entity/chatdb", params={"key": f"{there}/{THERE}"}, headers={"If-Match": '"1"'}
        )
        assert (answer.status_code, answer.json()["current_version"]) == (412, 3)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_over_grpc_it_is_the_same(making: Intruders, there: str, condition: str) -> None:
    """If this fails, what REST hides is asked over gRPC."""
    nobody = making(grant("chatdb", "read", "write", "delete", key_prefix="elsewhere/"))
    deleter = making(grant("chatdb", "delete", key_prefix=f"{there}/"))
    asked = CONDITIONS[condition]
    for who in (nobody, deleter):
        seen: dict[str, list[Refusal]] = {}
        for key in (THERE, MISSING):
            named: dict[str, Any] = {"database": "chatdb", "key": f"{there}/{key}"}
            conditional = {**named, "condition": asked}
            seen[key] = [
                who.call(who.entities.GetEntity, entity_pb2.GetEntityRequest(**named)),
                who.call(
                    who.entities.PutEntity,
                    entity_pb2.PutEntityRequest(**conditional, document=b'{"chat": []}'),
                ),
                who.call(
                    who.entities.PatchEntity,
                    entity_pb2.PatchEntityRequest(**conditional, merge_patch=b"{}"),
                ),
                who.call(
                    who.entities.StoreTransformedEntity,
                    entity_pb2.TransformEntityRequest(**conditional, expression="@"),
                ),
                who.call(who.entities.DeleteEntity, entity_pb2.DeleteEntityRequest(**conditional)),
            ]
        assert seen[THERE] == seen[MISSING]
        assert {one.code for one in seen[THERE]} == {grpc.StatusCode.PERMISSION_DENIED}
    assert making.root.rest.get(f"/entity/chatdb?key={there}/{THERE}").headers["etag"] == '"1"'


def test_who_may_only_write_learns_the_version_and_no_more(making: Intruders, there: str) -> None:
    """If this fails, a client that may only write reads documents by guessing at them."""
    who = making(grant("chatdb", "write", key_prefix=f"{there}/"))
    key = f"{there}/{THERE}"
    refused = who.rest.put("/entity/chatdb", json={key: CHAT}, headers={"If-Match": '"7"'})
    assert (refused.status_code, refused.json()["current_version"]) == (412, 1)
    guess = [{"op": "test", "path": "/chat/0/text", "value": CHAT["chat"][0]["text"]}]
    # Each of these answers differently for a right guess and a wrong one, if it is answered.
    for request in (
        who.rest.build_request(
            "PATCH",
            "/entity/chatdb",
            json={key: guess},
            headers={"Content-Type": "application/json-patch+json"},
        ),
        who.rest.build_request("GET", "/entity/chatdb", params={"prefix": key, "select": "chat"}),
        who.rest.build_request(
            "POST",
            "/entity/chatdb/transform",
            json={"key": key, "expression": "chat", "store": True},
        ),
        who.rest.build_request("POST", "/entity/chatdb/query", json={"filter": "chat"}),
    ):
        assert who.rest.send(request).status_code == 403
    assert making.root.rest.get("/entity/chatdb", params={"key": key}).headers["etag"] == '"1"'


def test_a_refused_merge_patch_shows_who_may_not_read_no_place(making: Intruders) -> None:
    """If this fails, who may only write learns the structure of what others have written.

    A template that was replaced refuses what was stored before; the places are of the document.
    """
    name, secret = f"d{uuid.uuid4().hex}", f"member-{uuid.uuid4().hex}"
    root = making.root.rest
    assert root.put(f"/schemas/{name}", json={"type": "object"}).status_code == 201
    assert root.put(f"/databases/{name}", json={"schema_id": name}).status_code == 201
    making.put(name, {"k": {secret: 1}})
    strict = {"type": "object", "additionalProperties": False, "properties": {"a": {}}}
    assert root.put(f"/schemas/{name}", json=strict).status_code == 200
    merge = {"Content-Type": "application/merge-patch+json"}
    writer, both = making(grant(name, "write")), making(grant(name, "write", "read"))
    told = [
        one.rest.patch(f"/entity/{name}", json={"k": {"a": 1}}, headers=merge)
        for one in (writer, both)
    ]
    assert [answer.status_code for answer in told] == [422, 422]
    assert secret not in told[0].text
    assert "errors" not in told[0].json()
    assert told[1].json()["errors"]
    over_grpc = writer.call(
        writer.entities.PatchEntity,
        entity_pb2.PatchEntityRequest(database=name, key="k", merge_patch=b'{"a": 1}'),
    )
    assert (over_grpc.reason, secret in over_grpc.detail) == ("schema-violation", False)
    root.delete(f"/databases/{name}")
    root.delete(f"/schemas/{name}")
