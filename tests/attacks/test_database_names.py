"""Spellings of a database's name that could be one name to the check and another one to the use."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from strongroom_pb.v1 import admin_pb2, entity_pb2
from tests.support.attackers import (
    Intruder,
    Intruders,
    Refusal,
    answers_of,
    grant,
    raw_exchange,
    refused_or_answer,
)
from tests.support.deployment import CHAT, Deployment

NOBODYS = {400, 403, 404}


@dataclass
class Pair:
    """A client has all rights on `own`; `theirs` is another database, of a name alike."""

    deployment: Deployment
    making: Intruders
    who: Intruder
    own: str
    theirs: str

    def get(self, target: str) -> int:
        """Send a request line as it stands, which no library would; return the status."""
        head = (
            f"GET {target} HTTP/1.1\r\nHost: strongroom\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.who.token}\r\n\r\n"
        )
        raw = raw_exchange(self.deployment, head.encode("latin-1"))
        (answer,) = answers_of(raw)
        assert b"HERE TEXT" not in answer.body
        return answer.status


@pytest.fixture
def pair(deployment: Deployment, making: Intruders) -> Iterator[Pair]:
    """Make both."""
    own = f"d{uuid.uuid4().hex[:8]}-a"
    theirs = f"{own}.b"
    root = making.root.rest
    for name in (own, theirs):
        assert root.put(f"/databases/{name}", json={"schema_id": "chat.v1"}).status_code == 201
    making.put(theirs, {"x": CHAT})
    making.put(own, {"x": {"chat": []}})
    who = making(grant(own, "read", "write", "delete", "admin"))
    yield Pair(deployment, making, who, own, theirs)
    for name in (own, theirs):
        root.delete(f"/databases/{name}")


def spellings(own: str, theirs: str) -> dict[str, str]:
    """Return what is not the name `own`, percent-encoded for a request line."""
    return {
        "theirs": theirs,
        "theirs, escaped": theirs.replace(".", "%2E").replace("b", "%62"),
        "escaped twice": own.replace("-", "%252D"),
        "upper case": own.upper(),
        "one letter": own[:-1] + "A",
        "a dot behind": f"{own}.",
        "an escaped dot behind": f"{own}%2E",
        "a newline behind": f"{own}%0A",
        "a carriage return behind": f"{own}%0D",
        "a NUL behind": f"{own}%00",
        "a NUL and theirs": f"{own}%00{theirs}",
        "a space behind": f"{own}%20",
        "a plus behind": f"{own}+",
        "a tab before": f"%09{own}",
        "a semicolon": f"{own};x",
        "overlong": own.replace("-", "%c0%ad"),
        "overlong of three bytes": own.replace("-", "%e0%80%ad"),
        "no UTF-8": f"{own}%ff",
        "a wide letter": f"%ef%bd%84{own[1:]}",
        "another hyphen": own.replace("-", "%e2%80%90"),
        "an invisible letter": f"{own}%e2%80%8b",
        "a way up": f"{own}%2f..%2f{theirs}",
        "a way up, with slashes": f"{own}/../{theirs}",
        "a way up, overlong": f"{own}%c0%af..%c0%af{theirs}",
        "a backslash": f"{own}%5c..%5c{theirs}",
        "a wildcard": f"{own}*",
        "any": "*",
        "a pattern": f"{own[:-2]}%2A",
        "a percent sign": f"{own}%",
        "half an escape": f"{own}%6",
        "no name": "",
        "a dot": ".",
        "two dots": "%2e%2e",
    }


def test_no_other_spelling_is_granted(pair: Pair) -> None:
    """If this fails, who may have one database has another one, or learns which ones exist."""
    for name, spelled in spellings(pair.own, pair.theirs).items():
        for target in (
            f"/entity/{spelled}?key=x",
            f"/entity/{spelled}",
            f"/databases/{spelled}",
        ):
            # The list of one's own databases has a path of its own.
            if target == "/databases/":
                continue
            assert pair.get(target) in NOBODYS, (name, target)


def test_the_same_name_in_another_spelling_is_the_same_database(pair: Pair) -> None:
    """If this fails, a proxy that escapes more than it has to gets other answers."""
    for spelled in (
        pair.own.replace("-", "%2D"),
        pair.own.replace("-", "%2d"),
        f"%64{pair.own[1:]}",
    ):
        assert pair.get(f"/entity/{spelled}?key=x") == 200


def test_what_is_not_there_is_refused_like_what_is(pair: Pair) -> None:
    """If this fails, names of databases are found out by trying."""
    for target in ("/entity/{}?key=x", "/entity/{}", "/databases/{}"):
        there, missing = (
            pair.who.rest.get(target.format(name)) for name in (pair.theirs, f"{pair.own}.c")
        )
        assert there.status_code == missing.status_code == 403
        assert there.json()["detail"] == missing.json()["detail"]


def raw_names(own: str, theirs: str) -> list[str]:
    """Return names for a message's field, which decodes nothing."""
    return [
        theirs,
        own.upper(),
        f"{own}.",
        f"{own}\n",
        f"{own}\x00",
        f"{own} ",
        own.replace("-", "%2D"),
        own.replace("-", "\u2010"),
        f"\uff44{own[1:]}",
        f"{own}/../{theirs}",
        f"{own}*",
        "*",
        "",
        ".",
        "..",
        own * 10,
    ]


def test_over_grpc_a_name_is_what_it_is(pair: Pair) -> None:
    """If this fails, what REST refuses is had over gRPC."""
    who = pair.who
    for name in raw_names(pair.own, pair.theirs):
        named: dict[str, Any] = {"database": name, "key": "x"}
        calls = [
            (who.entities.GetEntity, entity_pb2.GetEntityRequest(**named)),
            (who.entities.ListEntities, entity_pb2.ListEntitiesRequest(database=name)),
            (
                who.entities.PutEntity,
                entity_pb2.PutEntityRequest(**named, document=b'{"chat": []}'),
            ),
            (who.entities.DeleteEntity, entity_pb2.DeleteEntityRequest(**named)),
            (who.admin.GetDatabase, admin_pb2.GetDatabaseRequest(database=name)),
        ]
        for call, request in calls:
            answer = who.call(call, request)
            assert isinstance(answer, Refusal), (name, answer)
            assert answer.reason in {"forbidden", "invalid-argument"}, (name, answer)


def test_a_grant_names_databases_in_one_way_only(making: Intruders) -> None:
    """If this fails, a pattern that looks narrow is wide."""
    for pattern in (
        "",
        "**",
        "*x",
        "a*b",
        "a*\n",
        "a\n",
        "*\n",
        "a\x00",
        ".*",
        "%2A",
        "a/*",
        "\uff0a",
        "a" * 65,
        "^a",
        "a|b",
    ):
        answer = making.root.rest.put(
            "/clients/never-made", json={"grants": [grant(pattern, "read")]}
        )
        assert answer.status_code == 400, pattern
        refused = making.root.call(
            making.root.admin.PutClient,
            admin_pb2.PutClientRequest(
                client_id="never-made", grants=[admin_pb2.Grant(database=pattern)]
            ),
        )
        assert refused.reason == "invalid-argument", pattern
    assert making.root.rest.get("/clients/never-made").status_code == 404


def test_without_a_token_no_spelling_reaches_anything(pair: Pair) -> None:
    """If this fails, a path that the check does not know is served without one."""
    for name, spelled in spellings(pair.own, pair.theirs).items():
        for target in (f"/entity/{spelled}?key=x", f"/databases/{spelled}", f"/{spelled}"):
            head = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            (answer,) = answers_of(raw_exchange(pair.deployment, head.encode("latin-1")))
            assert answer.status in {400, 401, 404}, (name, target)
    unproven = refused_or_answer(
        lambda: pair.who.entities.GetEntity(
            entity_pb2.GetEntityRequest(database=pair.own, key="x"), timeout=20
        )
    )
    assert unproven.reason == "unauthenticated"
