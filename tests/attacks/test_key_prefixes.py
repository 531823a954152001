"""Tricks with keys, against a grant that ends at a prefix.

A key is text: nothing in it is a path, nothing is normalized, folded or decoded twice. A prefix is
compared with it byte for byte, after the one decoding that its way into the request prescribes.
"""

import json
import unicodedata
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from strongroom_pb.v1 import entity_pb2
from tests.support.attackers import Intruder, Intruders, Refusal, grant
from tests.support.deployment import CHAT

MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Neighbours:
    """`own` belongs to a client; `theirs` lies beside it."""

    making: Intruders
    who: Intruder
    own: str
    theirs: str

    def untouched(self) -> bool:
        """Tell whether what is theirs is as it was."""
        answer = self.making.root.rest.get("/entity/chatdb", params={"key": self.theirs})
        return answer.status_code == 200 and answer.headers["etag"] == '"1"'


@pytest.fixture
def two(making: Intruders) -> Neighbours:
    """Return a client of `<random>/alice/` and a key of `<random>/bob/`."""
    root = f"p{uuid.uuid4().hex[:8]}"
    own, theirs = f"{root}/alice/", f"{root}/bob/x"
    making.put("chatdb", {theirs: CHAT, f"{own}1": CHAT, f"{root}/alicia": CHAT})
    who = making(grant("chatdb", "read", "write", "delete", key_prefix=own))
    return Neighbours(making, who, own, theirs)


def statuses(who: Intruder, key: str) -> set[int]:
    """Do everything with a key over REST; return what it is answered with."""
    rest, named = who.rest, {"key": key}
    return {
        rest.get("/entity/chatdb", params=named).status_code,
        rest.put("/entity/chatdb", json={key: CHAT}).status_code,
        rest.patch("/entity/chatdb", json={key: {}}, headers=MERGE).status_code,
        rest.post("/entity/chatdb/transform", json={"key": key, "expression": "@"}).status_code,
        rest.delete("/entity/chatdb", params=named).status_code,
    }


def over_grpc(who: Intruder, key: str) -> set[str]:
    """Do the same over gRPC; return the reasons of the refusals."""
    stub = who.entities
    base: dict[str, Any] = {"database": "chatdb", "key": key}
    answers = [
        who.call(stub.GetEntity, entity_pb2.GetEntityRequest(**base)),
        who.call(stub.PutEntity, entity_pb2.PutEntityRequest(**base, document=b'{"chat": []}')),
        who.call(stub.PatchEntity, entity_pb2.PatchEntityRequest(**base, merge_patch=b"{}")),
        who.call(stub.TransformEntity, entity_pb2.TransformEntityRequest(**base, expression="@")),
        who.call(stub.DeleteEntity, entity_pb2.DeleteEntityRequest(**base)),
    ]
    return {one.reason if isinstance(one, Refusal) else "answered" for one in answers}


def outside(two: Neighbours) -> dict[str, str]:
    """Return keys that somebody could take for being below `own`, and that are not."""
    own, root = two.own, two.own.partition("/")[0]
    return {
        "the neighbour": two.theirs,
        "without its slash": own[:-1],
        "a name that begins alike": f"{root}/alicia",
        "upper case": f"{own.upper()}1",
        "one letter in upper case": f"{root}/Alice/1",
        "a slash before": f"/{own}1",
        "two slashes": f"{root}//alice/1",
        "a dot before": f"./{own}1",
        "a way through the neighbour": f"{root}/bob/../alice/1",
        "another slash": f"{root}/alice\u2215\u0031",
        "a wide slash": f"{root}/alice\uff0f1",
        "a wide letter": f"{root}/\uff41lice/1",
        "a Cyrillic letter": f"{root}/\u0430lice/1",
        "an invisible letter": f"{root}/al\u200bice/1",
        "a soft hyphen": f"{root}/al\u00adice/1",
        "written from the right": f"\u202e{own}1",
        "a byte order mark": f"\ufeff{own}1",
        "escaped": f"{quote(own, safe='')}1",
        "escaped twice": f"{quote(quote(own, safe=''), safe='')}1",
        "a backslash": f"{root}\\alice\\1",
        "a space": f" {own}1",
    }


def test_no_other_spelling_of_a_key_is_below_a_prefix(two: Neighbours) -> None:
    """If this fails, a chat front end's user reads, writes and deletes another user's chats."""
    for name, key in outside(two).items():
        assert statuses(two.who, key) == {403}, name
        assert over_grpc(two.who, key) == {"forbidden"}, name
    assert two.untouched()


def test_a_way_up_is_a_name_like_any_other(two: Neighbours) -> None:
    """If this fails, `alice/../bob/x` is bob's, for who may have what is alice's."""
    for way in ("../bob/x", "./../bob/x", "..//bob/x", "%2e%2e/bob/x", "..\\bob\\x", "/../bob/x"):
        key = two.own + way
        assert two.who.rest.put("/entity/chatdb", json={key: {"chat": []}}).status_code == 201
        # It is the client's own, another entity than the one that it looks like.
        found = two.making.root.rest.get("/entity/chatdb", params={"key": key})
        assert found.json() == {key: {"chat": []}}
        assert two.who.rest.delete("/entity/chatdb", params={"key": key}).status_code == 204
    assert two.untouched()


def test_normal_forms_are_different_keys(making: Intruders) -> None:
    """If this fails, who is called "jose\u0301" has the chats of who is called "jos\u00e9"."""
    root = uuid.uuid4().hex[:8]
    composed, decomposed = (
        unicodedata.normalize(form, f"{root}/jos\u00e9/") for form in ("NFC", "NFD")
    )
    making.put("chatdb", {f"{composed}1": CHAT, f"{decomposed}1": {"chat": []}})
    for own, other in ((composed, decomposed), (decomposed, composed)):
        who = making(grant("chatdb", "read", "write", "delete", key_prefix=own))
        assert statuses(who, f"{other}1") == {403}
        assert over_grpc(who, f"{other}1") == {"forbidden"}
        listed = who.rest.get("/entity/chatdb").json()
        assert list(listed) == [f"{own}1"]
        assert who.rest.get("/entity/chatdb", params={"prefix": other}).json() == {}
    # Of compatibility forms and case folding it is the same.
    for own, other in (("\u212b", "\u00c5"), ("\ufb01", "fi"), ("\u00df", "ss"), ("\u0130", "i")):
        who = making(grant("chatdb", "read", key_prefix=f"{root}/{own}/"))
        answer = who.rest.get("/entity/chatdb", params={"key": f"{root}/{other}/1"})
        assert answer.status_code == 403


def test_a_key_is_decoded_once(two: Neighbours) -> None:
    """If this fails, escapes hide a key from the check that its use then undoes."""
    root = two.own.partition("/")[0]
    url = "/entity/chatdb?key="
    # One decoding makes it the neighbour's: refused, in every spelling of one decoding.
    for spelled in (
        f"{root}%2Fbob%2Fx",
        f"{root}/%62ob/x",
        "".join(f"%{byte:02x}" for byte in two.theirs.encode()),
        f"{root}/bob/x&key={two.own}1",
        f"{two.own}1&key={root}%2fbob/x",
    ):
        assert two.who.rest.get(url + spelled).status_code == 403, spelled
    # What would take two decodings is a key with a percent sign in it, below nobody's prefix.
    assert two.who.rest.get(f"{url}{root}%252Fbob%252Fx").status_code == 403
    # Bytes that are no UTF-8, and overlong forms of a slash and of a dot.
    for broken in ("%c0%af", "%e0%80%af", "%f0%80%80%af", "%c0%ae", "%ff", "%ed%a0%80", "%00"):
        assert two.who.rest.get(f"{url}{two.own}{broken}").status_code == 400, broken
    # In JSON, too.
    escaped = "".join(f"\\u{ord(char):04x}" for char in two.theirs)
    for body in (
        f'{{"{escaped}": {{"chat": []}}}}',
        f'{{"{two.own}1": {{"chat": []}}, "{escaped}": {{"chat": []}}}}',
    ):
        answer = two.who.rest.put("/entity/chatdb", content=body, headers=JSON)
        assert answer.status_code == 403
    assert two.untouched()


JSON = {"Content-Type": "application/json"}


def test_one_key_that_is_not_granted_refuses_all(two: Neighbours) -> None:
    """If this fails, a foreign key rides along with one's own."""
    own = f"{two.own}1"
    before = two.making.root.rest.get("/entity/chatdb", params={"key": own}).headers["etag"]
    for order in ([own, two.theirs], [two.theirs, own]):
        answer = two.who.rest.put("/entity/chatdb", json=dict.fromkeys(order, CHAT))
        assert answer.status_code == 403
        read = two.who.rest.get("/entity/chatdb", params=[("key", key) for key in order])
        assert read.status_code == 403
        documents = [entity_pb2.KeyedDocument(key=key, document=b'{"chat": []}') for key in order]
        stub = two.who.entities
        for call, request in (
            (
                stub.BatchPutEntities,
                entity_pb2.BatchPutEntitiesRequest(database="chatdb", entities=documents),
            ),
            (
                stub.ValidateEntities,
                entity_pb2.ValidateEntitiesRequest(database="chatdb", entities=documents),
            ),
            (
                stub.BatchGetEntities,
                entity_pb2.BatchGetEntitiesRequest(database="chatdb", keys=order),
            ),
        ):
            assert two.who.call(call, request).reason == "forbidden"
    # A name that stands twice could be checked in one place and used in the other.
    twice = f'{{"{own}": {{"chat": []}}, "{own}": {json.dumps(CHAT)}}}'
    assert two.who.rest.put("/entity/chatdb", content=twice, headers=JSON).status_code == 400
    after = two.making.root.rest.get("/entity/chatdb", params={"key": own}).headers["etag"]
    assert (two.untouched(), after) == (True, before)


def test_listings_and_queries_end_at_the_prefix(two: Neighbours) -> None:
    """If this fails, a page, a filter or a count tells of what others have."""
    root, rest = two.own.partition("/")[0], two.who.rest
    for prefix in ("", root, f"{root}/", f"{root}/bob", f"{two.own}../bob", f"{root}/alic"):
        listed = rest.get("/entity/chatdb", params={"prefix": prefix} if prefix else {})
        assert listed.status_code == 200
        assert all(key.startswith(two.own) for key in listed.json()), prefix
        queried = rest.post("/entity/chatdb/query", json={"prefix": prefix} if prefix else {})
        found = queried.json()
        assert all(item["key"].startswith(two.own) for item in found["items"]), prefix
        assert found["examined"] <= 1
        assert "damaged" not in found
    # A filter that only the neighbour's document fulfils.
    asked = rest.post("/entity/chatdb/query", json={"filter": "chat[?text=='HERE TEXT']"})
    assert [item["key"] for item in asked.json()["items"]] in ([f"{two.own}1"], [])


def test_a_prefix_without_its_slash_is_what_it_says(making: Intruders) -> None:
    """If this fails, the docs warn of something else than what happens.

    Whoever grants `team-a` grants `team-alpha/` too; `{sub}` in a prefix is followed by a slash, so
    that nobody's name begins another's.
    """
    root = uuid.uuid4().hex[:8]
    making.put("chatdb", {f"{root}/team-alpha/1": CHAT, f"{root}/team-a/1": CHAT})
    wide = making(grant("chatdb", "read", key_prefix=f"{root}/team-a"))
    narrow = making(grant("chatdb", "read", key_prefix=f"{root}/team-a/"))
    assert set(wide.rest.get("/entity/chatdb").json()) == {
        f"{root}/team-alpha/1",
        f"{root}/team-a/1",
    }
    assert set(narrow.rest.get("/entity/chatdb").json()) == {f"{root}/team-a/1"}
    for bad in (f"{root}/{{sub}}", f"{root}/{{sub}}x/", "{{sub}}/", "{/", "}"):
        refused = making.root.rest.put(
            f"/clients/x{root}", json={"grants": [grant("chatdb", "read", key_prefix=bad)]}
        )
        assert refused.status_code == httpx.codes.BAD_REQUEST
