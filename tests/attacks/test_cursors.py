"""Cursors that are somebody else's, of another question, of an older grant, or forged.

A cursor is the place at which a page has ended. Whoever could use another one's could begin where
he has no business, or compare places to learn about keys that he may not see.
"""

import base64
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from strongroom import limits
from strongroom_pb.v1 import entity_pb2
from tests.support.attackers import Intruder, Intruders, Refusal, grant
from tests.support.deployment import CHAT, Deployment, wait_until

SOON_S = limits.REVOCATION_SECONDS_MAX
NOT_OF_THIS = "the cursor is not one of this query"


@dataclass
class Shelf:
    """A prefix with ten entities below it, and a client that may read them."""

    making: Intruders
    root: str
    who: Intruder

    def query(self, who: Intruder, **members: Any) -> Any:  # noqa: ANN401 - httpx's answer
        """Ask for a page of three."""
        body = {"prefix": f"{self.root}/", "limit": 3, **members}
        return who.rest.post("/entity/chatdb/query", json=body)

    def cursor(self, who: Intruder, **members: Any) -> str:  # noqa: ANN401 - as above
        """Return the cursor of a first page."""
        answer = self.query(who, **members)
        assert answer.status_code == 200
        return str(answer.json()["cursor"])


@pytest.fixture
def shelf(making: Intruders) -> Shelf:
    """Fill it."""
    root = uuid.uuid4().hex[:8]
    making.put("chatdb", {f"{root}/{part}/{n}": CHAT for part in "ab" for n in range(5)})
    return Shelf(making, root, making(grant("chatdb", "read", key_prefix=f"{root}/")))


def refused(answer: Any) -> bool:  # noqa: ANN401 - httpx's answer
    """Tell whether it is refused as a cursor, in the one way that there is."""
    return bool(answer.status_code == 400 and answer.json()["detail"] == NOT_OF_THIS)


def test_a_cursor_is_of_its_own_client_and_query(shelf: Shelf) -> None:
    """If this fails, a stolen cursor shows what its thief may not see, or skips what he should."""
    cursor = shelf.cursor(shelf.who)
    assert shelf.query(shelf.who, cursor=cursor).status_code == 200
    twin = shelf.making(grant("chatdb", "read", key_prefix=f"{shelf.root}/"))
    assert refused(shelf.query(twin, cursor=cursor))
    assert refused(shelf.query(shelf.making.root, cursor=cursor))
    for changed in (
        {"prefix": f"{shelf.root}/a"},
        {"prefix": ""},
        {"filter": "chat"},
        {"select": "chat"},
    ):
        assert refused(shelf.query(shelf.who, cursor=cursor, **changed)), changed
    # As the cursor of a listing it means the same; how many are wanted does not matter.
    listed = shelf.who.rest.get(
        "/entity/chatdb", params={"prefix": f"{shelf.root}/", "cursor": cursor, "limit": 2}
    )
    assert len(listed.json()) == 2
    assert refused(shelf.who.rest.get("/entity/chatdb", params={"cursor": cursor}))


def test_a_cursor_is_of_one_database_and_its_incarnation(shelf: Shelf) -> None:
    """If this fails, a place in one database is one in another, or in one that was made anew."""
    name, root = f"d{uuid.uuid4().hex[:8]}", shelf.making.root.rest
    assert root.put(f"/databases/{name}", json={"schema_id": "chat.v1"}).status_code == 201
    shelf.making.put(name, {f"k{n}": CHAT for n in range(5)})
    page = root.post(f"/entity/{name}/query", json={"limit": 2}).json()
    assert refused(root.post("/entity/chatdb/query", json={"limit": 2, "cursor": page["cursor"]}))
    assert root.delete(f"/databases/{name}").status_code == 204
    assert root.put(f"/databases/{name}", json={"schema_id": "chat.v1"}).status_code == 201
    shelf.making.put(name, {f"k{n}": CHAT for n in range(5)})
    again = root.post(f"/entity/{name}/query", json={"limit": 2, "cursor": page["cursor"]})
    assert refused(again)
    root.delete(f"/databases/{name}")


def test_a_cursor_ends_with_the_grant_that_it_was_made_under(shelf: Shelf) -> None:
    """If this fails, who was granted less goes on to the end of what he was granted before."""
    cursor = shelf.cursor(shelf.who)
    narrower = {"grants": [grant("chatdb", "read", key_prefix=f"{shelf.root}/a/")]}
    client = f"/clients/{shelf.who.client_id}"
    assert shelf.making.root.rest.put(client, json=narrower).status_code == 200
    assert wait_until(lambda: refused(shelf.query(shelf.who, cursor=cursor)), SOON_S)
    pages = shelf.query(shelf.who).json()
    assert all(item["key"].startswith(f"{shelf.root}/a/") for item in pages["items"])
    # Nor is an earlier one good for what was granted since.
    before = shelf.cursor(shelf.who)
    wider = {"grants": [grant("chatdb", "read")]}
    assert shelf.making.root.rest.put(client, json=wider).status_code == 200
    assert wait_until(lambda: refused(shelf.query(shelf.who, cursor=before)), SOON_S)


def test_a_client_made_anew_has_no_cursor_of_the_one_before(shelf: Shelf) -> None:
    """If this fails, who gets a name that somebody had before gets what he had under way."""
    cursor = shelf.cursor(shelf.who)
    root = shelf.making.root.rest
    assert root.delete(f"/clients/{shelf.who.client_id}").status_code == 204
    again = shelf.making(
        grant("chatdb", "read", key_prefix=f"{shelf.root}/"), client_id=shelf.who.client_id
    )
    # A Main Worker goes on for two seconds with the record that it has read of the one before.
    assert wait_until(lambda: shelf.query(again).status_code == 200, SOON_S)
    assert refused(shelf.query(again, cursor=cursor))


def test_what_is_forged_is_refused_like_what_is_foreign(shelf: Shelf) -> None:
    """If this fails, places are made up, or the answers tell how near a forgery comes."""
    cursor = shelf.cursor(shelf.who)
    raw = base64.urlsafe_b64decode(cursor)
    forged = [
        base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode(),
        base64.urlsafe_b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode(),
        base64.urlsafe_b64encode(raw[:12]).decode(),
        base64.urlsafe_b64encode(raw + b"x").decode(),
        base64.urlsafe_b64encode(bytes(len(raw))).decode(),
        cursor[:-4],
        cursor + cursor,
        "00" * 32,
        "x",
        "\u00e9",
        "a" * limits.CURSOR_CHARS_MAX,
    ]
    for one in forged:
        assert refused(shelf.query(shelf.who, cursor=one)), one[:20]
        listed = shelf.who.rest.get(
            "/entity/chatdb", params={"prefix": f"{shelf.root}/", "cursor": one}
        )
        assert refused(listed)
    too_long = shelf.query(shelf.who, cursor="a" * (limits.CURSOR_CHARS_MAX + 1))
    assert too_long.status_code == 400


def test_a_cursor_shows_no_place(deployment: Deployment, shelf: Shelf) -> None:
    """If this fails, whoever sees two cursors learns where keys lie, or that they are the same."""
    one, other = shelf.cursor(shelf.who), shelf.cursor(shelf.who)
    assert one != other
    found = shelf.query(shelf.who).json()
    file_ids = [path.name for path in (deployment.shared_dir / "files").rglob("*.json.enc")]
    assert file_ids
    for cursor in (one, other, found["cursor"]):
        raw = base64.urlsafe_b64decode(cursor)
        assert not any(bytes.fromhex(name.partition(".")[0]) in raw for name in file_ids)


def test_over_grpc_page_tokens_are_bound_alike(shelf: Shelf) -> None:
    """If this fails, what REST refuses is had over gRPC."""
    who, prefix = shelf.who, f"{shelf.root}/"

    def page(one: Intruder, token: str, **members: Any) -> Any:  # noqa: ANN401 - or a refusal
        request = entity_pb2.ListEntitiesRequest(
            database="chatdb", page_size=3, page_token=token, **{"prefix": prefix, **members}
        )
        return one.call(one.entities.ListEntities, request)

    token = page(who, "").next_page_token
    assert len(page(who, token).entities) == 3
    twin = shelf.making(grant("chatdb", "read", key_prefix=prefix))
    refusals = [
        page(twin, token),
        page(shelf.making.root, token),
        page(who, token, prefix=f"{prefix}a"),
        page(who, token, filter="chat"),
        page(who, token[:-2]),
        page(who, shelf.cursor(twin)),
    ]
    for one in refusals:
        assert isinstance(one, Refusal)
        assert (one.reason, one.detail) == ("invalid-argument", NOT_OF_THIS)
    # Both faces take each other's: they are one place of one query.
    assert len(page(who, shelf.cursor(who)).entities) == 3
