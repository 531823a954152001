"""Pages over both faces of a running deployment."""

import re
import uuid
from collections.abc import Iterator

import httpx
import pytest

from strongroom_client import Client, ForbiddenError, Grant, InvalidError
from tests.support.deployment import Deployment


@pytest.fixture
def http(deployment: Deployment) -> Iterator[httpx.Client]:
    """An authorized client of the REST face, for what it alone has."""
    with deployment.http() as client:
        yield client


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    """An administrator's client."""
    with deployment.client() as client:
        yield client


@pytest.fixture
def database(client: Client) -> str:
    """A database of the test's own with thirty numbered entities."""
    name = f"pages-{uuid.uuid4().hex[:12]}"
    client.admin.put_schema("anything", schema=True)
    client.admin.put_database(name, "anything")
    client.put_many(name, {f"k{n:02d}": {"n": n} for n in range(30)})
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


def test_both_faces_list_the_same(deployment: Deployment, client: Client, database: str) -> None:
    """The two faces page differently."""
    with deployment.client("grpc") as rpc:
        listed = list(rpc.query(database, filter="n > `4`", page_size=10))
    assert listed == list(client.query(database, filter="n > `4`"))
    assert len(listed) == 25


def test_a_listing_shows_what_is_granted(
    deployment: Deployment, http: httpx.Client, client: Client, database: str
) -> None:
    """A client lists entities outside its grants."""
    name = f"lister-{uuid.uuid4().hex[:8]}"
    made = client.admin.put_client(name, [Grant(database, {"read"}, key_prefix="k2")])
    assert made.client_secret is not None
    granted = {f"k{n}" for n in range(20, 30)}
    with deployment.client(who=(name, made.client_secret)) as theirs:
        page = theirs.page(database)
        assert ({entity.key for entity in page.entities}, page.examined) == (granted, 10)
        with pytest.raises(ForbiddenError):
            theirs.page("chatdb")
        with pytest.raises(InvalidError, match="cursor"):
            theirs.page(database, cursor=client.page(database, page_size=1).cursor)
    # What lists without a query is a request of its own over REST.
    token = deployment.token((name, made.client_secret))
    listed = http.get(f"/entity/{database}", headers={"Authorization": f"Bearer {token}"})
    assert set(listed.json()) == granted


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
