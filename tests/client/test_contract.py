"""What a client promises, in all four combinations, of one real deployment."""

import itertools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal

import httpx
import pytest

from strongroom_client import (
    ClientCredentials,
    ConflictError,
    Entity,
    ForbiddenError,
    InvalidError,
    JsonText,
    NotFoundError,
    Options,
    PreconditionFailedError,
    SchemaViolationError,
    StaticToken,
    StrongroomClientError,
    UnauthenticatedError,
    UnavailableError,
    Violation,
)
from tests.support.client_combinations import COMBINATIONS, Asked, Where, client_of
from tests.support.deployment import Deployment

ANY, CHATS = "client-any", "client-chats"
CHAT = {"chat": [{"type": "user", "text": "Grüße"}]}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def where(deployment: Deployment) -> Iterator[Where]:
    """Two databases of these tests' own: one that takes anything, one for chats."""
    with deployment.http() as http:
        bindings = {ANY: "client-anything", CHATS: "chat.v1"}
        http.put("/schemas/client-anything", json=True).raise_for_status()
        for name, schema_id in bindings.items():
            http.put(f"/databases/{name}", json={"schema_id": schema_id}).raise_for_status()
        yield Where(
            {
                "rest": deployment.facts["http_url"],
                "grpc": f"grpc://{deployment.facts['grpc_address']}",
            },
            deployment.facts["grpc_ca_file"],
        )
        for path in (*(f"/databases/{name}" for name in bindings), "/schemas/client-anything"):
            http.delete(path).raise_for_status()


@pytest.fixture(scope="module")
def admin(deployment: Deployment) -> ClientCredentials:
    """The administrator."""
    return ClientCredentials(*deployment.credentials())


@pytest.fixture(params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    """One of the four."""
    name: str = request.param
    return name


@pytest.fixture
def client(combination: str, where: Where, admin: ClientCredentials) -> Iterator[Asked]:
    """A client of the deployment."""
    with client_of(combination, where, admin) as made:
        yield made


@pytest.fixture
def prefix() -> str:
    """What keys of a test begin with."""
    return f"t{next(_numbers)}/"


@pytest.mark.parametrize("value", [CHAT, None, "ß\u2028\x7f", 10**30, -0.5, [], {"": [[True]]}])
def test_what_is_put_reads_back(client: Asked, prefix: str, value: object) -> None:
    """A value comes back as another one."""
    written = client.put(ANY, prefix, value)
    assert (written.key, written.version, written.created) == (prefix, 1, True)
    assert written.created_at == written.updated_at
    found = client.get(ANY, prefix)
    assert (found.key, found.version, found.value) == (prefix, 1, value)


def test_a_text_is_kept_to_the_last_byte(client: Asked, prefix: str) -> None:
    """Digits of a number are lost between a program and its database."""
    text = b'{ "n": 0.12345678901234567890123456789, "m":1e400}'
    client.put(ANY, prefix, JsonText(text))
    found = client.get(ANY, prefix)
    assert found.text == text
    exact = found.exact()
    assert exact == {"n": Decimal("0.12345678901234567890123456789"), "m": Decimal("1e400")}
    client.put(ANY, prefix, exact)
    assert client.get(ANY, prefix).exact() == exact


def test_conditions(client: Asked, prefix: str) -> None:
    """Two that change one entity overwrite each other."""
    assert client.put(ANY, prefix, 1, if_absent=True).version == 1
    with pytest.raises(PreconditionFailedError) as refused:
        client.put(ANY, prefix, 2, if_absent=True)
    assert refused.value.current_version == 1
    assert client.put(ANY, prefix, 2, if_version=1).version == 2
    with pytest.raises(PreconditionFailedError) as refused:
        client.delete(ANY, prefix, if_version=1)
    assert refused.value.current_version == 2
    with pytest.raises(PreconditionFailedError) as refused:
        client.put(ANY, prefix + "absent", 2, if_present=True)
    assert refused.value.current_version == 0
    assert client.put(ANY, prefix, 3, if_present=True).version == 3
    client.delete(ANY, prefix, if_version=3)


def test_a_reader_that_has_the_version_gets_no_document(client: Asked, prefix: str) -> None:
    """Whoever looks whether something has changed is sent all of it each time."""
    version = client.put(ANY, prefix, 1).version
    assert client.get_if_changed(ANY, prefix, version) is None
    client.put(ANY, prefix, 2)
    assert client.get_if_changed(ANY, prefix, version) == Entity(prefix, 2, b"2")


def test_many_keys_are_read(client: Asked, prefix: str) -> None:
    """A read of more keys than one request takes, or than a URL has room for, fails."""
    keys = [f"{prefix}{number:03}{'ü' * 150}" for number in range(130)]
    there = keys[::20]
    client.put_many(ANY, {key: number for number, key in enumerate(there)})
    found = client.get_many(ANY, [prefix + "absent", *keys, keys[0]])
    assert {key: (one.version, one.value) for key, one in found.items()} == {
        key: (1, number) for number, key in enumerate(there)
    }


def test_entities_that_are_too_large_together_are_read(client: Asked, prefix: str) -> None:
    """A read fails by how large the entities happen to be."""
    keys = [f"{prefix}{number}" for number in range(2)]
    for key in keys:
        client.put(ANY, key, "x" * 2_200_000)
    assert [len(one.text) for one in client.get_many(ANY, keys).values()] == [2_200_002] * 2
    client.delete_many(ANY, keys)


def test_a_batch_with_one_that_is_refused_writes_none(client: Asked, prefix: str) -> None:
    """Half of a batch is written."""
    with pytest.raises(SchemaViolationError) as refused:
        client.put_many(CHATS, {f"{prefix}good": CHAT, f"{prefix}bad": {"chat": 1}})
    assert refused.value.key == f"{prefix}bad"
    assert [one.pointer for one in refused.value.violations] == ["/chat"]
    assert client.get_many(CHATS, [f"{prefix}good", f"{prefix}bad"]) == {}


def test_a_batch_tells_of_each(client: Asked, prefix: str) -> None:
    """Of several writes it is not known which version each has made."""
    client.put(ANY, prefix + "old", 1)
    written = client.put_many(ANY, {prefix + "old": 2, prefix + "new": 3}, ttl_seconds=600)
    told = {key: (one.version, one.created, bool(one.expires_at)) for key, one in written.items()}
    assert told == {prefix + "old": (2, False, True), prefix + "new": (1, True, True)}


def test_patches(client: Asked, prefix: str) -> None:
    """A part of an entity cannot be changed."""
    client.put(ANY, prefix, {"a": 1, "b": 2})
    assert client.patch(ANY, prefix, {"b": None, "c": 3}).version == 2
    assert client.get(ANY, prefix).value == {"a": 1, "c": 3}
    steps = [{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/a"}]
    assert client.json_patch(ANY, prefix, steps, if_version=2).version == 3
    assert client.get(ANY, prefix).value == {"c": 3}
    with pytest.raises(ConflictError):
        client.json_patch(ANY, prefix, [{"op": "test", "path": "/c", "value": 1}])
    with pytest.raises(InvalidError) as refused:
        client.json_patch(ANY, prefix, [{"op": "remove", "path": "/absent"}])
    assert refused.value.code == "patch-failed"


def test_deletions(client: Asked, prefix: str) -> None:
    """It is not told what was there to delete."""
    keys = [f"{prefix}{number:03}" for number in range(120)]
    there = [*keys[:3], keys[-1]]
    client.put_many(ANY, dict.fromkeys(there, 1))
    client.delete(ANY, keys[0])
    with pytest.raises(NotFoundError):
        client.delete(ANY, keys[0])
    assert client.delete_many(ANY, [keys[0]]) == {keys[0]: False}
    assert client.delete_many(ANY, [keys[1]]) == {keys[1]: True}
    expected = dict.fromkeys(keys, False) | {keys[2]: True, keys[-1]: True}
    assert client.delete_many(ANY, keys) == expected
    assert client.get_many(ANY, keys) == {}
    for several in ([keys[0]], keys[:2]):
        with pytest.raises(NotFoundError):
            client.delete_many("no-such-database", several)


def test_an_idempotency_key_is_a_promise(client: Asked, prefix: str) -> None:
    """A program that starts anew after a crash writes again what it had written."""
    key = f"order-{prefix}"
    first = client.put(ANY, prefix, 1, idempotency_key=key)
    client.put(ANY, prefix, 2)
    assert client.put(ANY, prefix, 1, idempotency_key=key).version == first.version
    assert client.get(ANY, prefix).value == 2
    with pytest.raises(InvalidError) as refused:
        client.put(ANY, prefix, 3, idempotency_key=key)
    assert refused.value.code == "idempotency-mismatch"


def test_a_listing_is_read_to_its_end(client: Asked, prefix: str) -> None:
    """Entities are left out where a page ends, or come twice."""
    keys = [f"{prefix}{number:02}" for number in range(25)]
    client.put_many(ANY, {key: {"n": number} for number, key in enumerate(keys)})
    listed = list(client.list(ANY, prefix=prefix, page_size=10))
    assert sorted(one.key for one in listed) == keys
    assert {one.version for one in listed} == {1}
    selected = client.list(ANY, prefix=prefix, select="n", page_size=10)
    assert sorted(one.value for one in selected) == list(range(25))
    found = client.query(ANY, prefix=prefix, filter="n < `3`", page_size=10)
    assert sorted(one.value["n"] for one in found) == [0, 1, 2]


def test_pages(client: Asked, prefix: str) -> None:
    """A program cannot go on where it has stopped."""
    client.put_many(ANY, {f"{prefix}{number:02}": number for number in range(25)})
    pages = list(client.pages(ANY, prefix=prefix, page_size=10))
    seen = [one.key for page in pages for one in page.entities]
    assert all(len(page.entities) <= 10 for page in pages)
    assert (len(seen), len(set(seen)), pages[-1].cursor) == (25, 25, "")
    second = client.page(ANY, prefix=prefix, page_size=10, cursor=pages[0].cursor)
    assert second.entities == pages[1].entities
    assert pages[0].examined >= 10


def test_expressions(client: Asked, prefix: str) -> None:
    """What a server can make of an entity cannot be had, or not be kept."""
    client.put(ANY, prefix, {"names": ["b", "a"]})
    assert client.transform(ANY, prefix, "sort(names)").value == ["a", "b"]
    assert client.get(ANY, prefix).version == 1
    assert client.store_transformed(ANY, prefix, "{n: names[0]}", if_version=1).version == 2
    assert client.get(ANY, prefix).value == {"n": "b"}


def test_a_validation_tells_all_and_writes_nothing(client: Asked, prefix: str) -> None:
    """A form cannot be checked before it is sent."""
    refusals = client.validate(CHATS, {f"{prefix}good": CHAT, f"{prefix}bad": {"chat": 1}})
    assert refusals[f"{prefix}good"] is None
    refusal = refusals[f"{prefix}bad"]
    assert isinstance(refusal, SchemaViolationError)
    assert refusal.key == f"{prefix}bad"
    assert refusal.violations == (Violation("/chat", "type", refusal.violations[0].detail),)
    assert client.get_many(CHATS, [f"{prefix}good"]) == {}


REFUSED: dict[str, Callable[[Asked], object]] = {
    "absent": lambda client: client.get(ANY, "absent"),
    "no database": lambda client: client.get("no-such-database", "k"),
    "a template refuses": lambda client: client.put(CHATS, "k", {"chat": [{"type": "user"}]}),
    "a condition": lambda client: client.put(ANY, "absent", 1, if_version=7),
    "an expression": lambda client: client.transform(ANY, "absent", "a["),
    "a cursor": lambda client: client.page(ANY, cursor="made-up"),
    "a name": lambda client: client.get("no/name", "k"),
    "a key": lambda client: client.put(ANY, "k" * 513, 1),
    "an empty key": lambda client: client.get(ANY, ""),
    "no JSON": lambda client: client.put(ANY, "k", JsonText(b"{nonsense")),
    "repeated members": lambda client: client.put(ANY, "k", JsonText(b'{"a":1,"a":2}')),
    "too many": lambda client: client.put_many(ANY, {f"k{n}": 1 for n in range(101)}),
    "too large": lambda client: client.put(ANY, "k", "x" * (4 * 2**20 + 2**10)),
    "no time to live": lambda client: client.put(ANY, "k", 1, ttl_seconds=0),
    "a surrogate": lambda client: client.put(ANY, "k", "\ud800"),
    "a surrogate in a key": lambda client: client.get(ANY, "\ud800"),
    "no number": lambda client: client.put(ANY, "k", float("nan")),
    "two conditions": lambda client: client.put(ANY, "k", 1, if_absent=True, if_present=True),
}


@pytest.mark.parametrize("why", REFUSED)
def test_all_refuse_in_the_same_words(why: str, where: Where, admin: ClientCredentials) -> None:
    """A program that changes its transport has to handle other errors."""
    told = set()
    for combination in COMBINATIONS:
        with (
            client_of(combination, where, admin) as client,
            pytest.raises(StrongroomClientError) as refused,
        ):
            REFUSED[why](client)
        error = refused.value
        told.add((type(error), error.code, error.current_version, error.key, error.violations))
    assert len(told) == 1, told
    assert StrongroomClientError not in {kind for kind, *_ in told}


def test_an_error_names_the_request(client: Asked) -> None:
    """Of a request that failed the logs cannot be searched."""
    with pytest.raises(NotFoundError) as refused:
        client.get(ANY, "absent")
    assert len(refused.value.request_id) == 32


def test_a_wrong_secret(combination: str, where: Where) -> None:
    """A wrong secret is tried again and again, until the address is locked out."""
    wrong = ClientCredentials("admin", "wrong")
    with (
        client_of(combination, where, wrong) as client,
        pytest.raises(UnauthenticatedError),
    ):
        client.get(ANY, "k")


def test_tokens_of_somebody_else(
    combination: str, where: Where, deployment: Deployment, prefix: str
) -> None:
    """A program that has its tokens from elsewhere cannot use them."""
    with client_of(combination, where, StaticToken(deployment.token())) as client:
        client.put(ANY, prefix, 1)
    asked: list[str] = []

    def source() -> str:
        asked.append("a.b.c" if not asked else deployment.token())
        return asked[-1]

    with client_of(combination, where, source) as client:
        assert client.get(ANY, prefix).value == 1
    assert len(asked) == 2, "a token that is refused is asked for once more"
    with (
        client_of(combination, where, StaticToken("a.b.c")) as client,
        pytest.raises(UnauthenticatedError),
    ):
        client.get(ANY, prefix)


def test_a_user_of_a_client(
    combination: str, where: Where, deployment: Deployment, prefix: str
) -> None:
    """A front end acts for one user and reads another's."""
    client_id = f"front-{combination}"
    grants = [{"database": ANY, "actions": ["read", "write"]}]
    users = [{**grants[0], "key_prefix": prefix + "{sub}/"}]
    with deployment.http() as http:
        made = http.put(f"/clients/{client_id}", json={"grants": grants, "user_grants": users})
        secret = made.raise_for_status().json()["client_secret"]
        alice = ClientCredentials(client_id, secret, user="alice")
        with client_of(combination, where, alice) as client:
            client.put(ANY, f"{prefix}alice/1", 1)
            with pytest.raises(ForbiddenError):
                client.get(ANY, f"{prefix}bob/1")
        reader = ClientCredentials(client_id, secret, scope="read")
        with client_of(combination, where, reader) as client:
            assert client.get(ANY, f"{prefix}alice/1").value == 1
            with pytest.raises(ForbiddenError):
                client.put(ANY, f"{prefix}alice/1", 2)
        http.delete(f"/clients/{client_id}").raise_for_status()


def test_nobody_there(combination: str, admin: ClientCredentials) -> None:
    """A write that was never sent is said to have perhaps taken place."""
    nowhere = Where({"rest": "http://127.0.0.1:1", "grpc": "grpc://127.0.0.1:1"})
    with client_of(combination, nowhere, admin) as client:
        with pytest.raises(UnavailableError):
            client.get(ANY, "k", timeout_s=0.3)
        with pytest.raises(UnavailableError):
            client.put(ANY, "k", 1, timeout_s=0.3)


def test_who_is_not_trusted_is_told_no_secret(where: Where, admin: ClientCredentials) -> None:
    """A client hands its secret to a server whose certificate nobody vouches for."""
    options = Options(timeout_s=0.5)
    for combination in ("grpc-sync", "grpc-async"):
        with (
            client_of(combination, where, admin, options) as client,
            pytest.raises(UnavailableError),
        ):
            client.get(ANY, "k")


def test_the_rest_of_the_world_sees_the_same(client: Asked, deployment: Deployment) -> None:
    """The client writes something of its own, which others cannot read."""
    client.put(CHATS, "seen", CHAT)
    with deployment.http() as http:
        answer = http.get(f"/entity/{CHATS}", params={"key": "seen"})
    assert answer.status_code == httpx.codes.OK
    assert json.loads(answer.content) == {"seen": CHAT}
