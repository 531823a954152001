"""Pages over both faces of a running deployment."""

import re
import uuid
from collections.abc import Iterator

import httpx
import pytest

from strongroom_pb.v1 import entity_pb2
from tests.support.deployment import Deployment


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client."""
    with deployment.http() as client:
        yield client


@pytest.fixture
def database(http: httpx.Client) -> str:
    """A database of the test's own with thirty numbered entities."""
    name = f"pages-{uuid.uuid4().hex[:12]}"
    assert http.put("/schemas/anything", content=b"true").status_code in {200, 201}
    assert http.put(f"/databases/{name}", json={"schema_id": "anything"}).status_code == 201
    written = http.put(f"/entity/{name}", json={f"k{n:02d}": {"n": n} for n in range(30)})
    assert written.status_code == 201
    return name


def test_following_the_links_lists_everything_once(http: httpx.Client, database: str) -> None:
    """A client that follows `Link` misses entities, or never comes to the end."""
    found: list[tuple[str, int]] = []
    url: str | None = f"/entity/{database}?limit=7&select=n"
    while url is not None:
        answer = http.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json().items()
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        url = link[1] if link else None
    assert sorted(found) == [(f"k{n:02d}", n) for n in range(30)]


def test_query(http: httpx.Client, database: str) -> None:
    """A query over REST answers otherwise than the interface says."""
    body = {"filter": "n >= `10`", "select": "{double: sum([n, n])}", "prefix": "k1", "limit": 4}
    items, examined, cursor = [], 0, ""
    while True:
        given = body | ({"cursor": cursor} if cursor else {})
        answer = http.post(f"/entity/{database}/query", json=given).json()
        items += answer["items"]
        examined += answer["examined"]
        cursor = answer.get("cursor")
        if cursor is None:
            break
    wanted = [{"key": f"k{n}", "version": 1, "entity": {"double": 2.0 * n}} for n in range(10, 20)]
    assert sorted(items, key=lambda item: item["key"]) == wanted
    assert examined == 30


def test_both_faces_list_the_same(
    deployment: Deployment, http: httpx.Client, database: str
) -> None:
    """The two faces page differently."""
    stub, metadata = deployment.grpc()
    request = entity_pb2.ListEntitiesRequest(database=database, page_size=10, filter="n > `4`")
    listed: list[tuple[str, bytes]] = []
    while True:
        answer = stub.ListEntities(request, metadata=metadata)
        listed += [(entity.key, entity.document) for entity in answer.entities]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    items = http.post(f"/entity/{database}/query", json={"filter": "n > `4`"}).json()["items"]
    assert [key for key, _ in listed] == [item["key"] for item in items]
    assert len(listed) == 25


def test_a_listing_shows_what_is_granted(
    deployment: Deployment, http: httpx.Client, database: str
) -> None:
    """A client lists entities outside its grants."""
    name = f"lister-{uuid.uuid4().hex[:8]}"
    grants = [{"database": database, "actions": ["read"], "key_prefix": "k2"}]
    secret = http.put(f"/clients/{name}", json={"grants": grants}).json()["client_secret"]
    token = httpx.post(
        f"{deployment.facts['http_url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(name, secret),
    ).json()["access_token"]
    theirs = {"Authorization": f"Bearer {token}"}
    listed = http.get(f"/entity/{database}", headers=theirs).json()
    queried = http.post(f"/entity/{database}/query", json={}, headers=theirs).json()
    assert set(listed) == {item["key"] for item in queried["items"]}
    assert set(listed) == {f"k{n}" for n in range(20, 30)}
    assert queried["examined"] == 10
    assert http.get("/entity/chatdb", headers=theirs).status_code == 403
    cursor = http.post(f"/entity/{database}/query", json={"limit": 1}).json()["cursor"]
    stolen = http.post(f"/entity/{database}/query", json={"cursor": cursor}, headers=theirs)
    assert stolen.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "a["},
        {"filter": "length(n)"},
        {"select": "unknown(@)"},
        {"limit": 0},
        {"limit": 1_001},
        {"limit": "all"},
        {"cursor": "nonsense"},
        {"prefix": "\x00"},
        {"filter": "x" * 5_000},
        {"unknown": 1},
        {"limit": 10**30},
    ],
)
def test_bad_queries(http: httpx.Client, database: str, body: dict[str, object]) -> None:
    """A bad query ends in a 500, or is answered."""
    answer = http.post(f"/entity/{database}/query", json=body)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "cursor=x", "key=a&limit=1"]
)
def test_bad_listings(http: httpx.Client, database: str, query: str) -> None:
    """A bad parameter of a listing is passed over."""
    assert http.get(f"/entity/{database}?{query}").status_code == 400
