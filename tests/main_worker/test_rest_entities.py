"""Entities over REST: what a client sends and what it gets."""

from urllib.parse import quote

import pytest

from main_api.domain import conditions
from main_api.domain.grants import Action
from main_api.rest import routes
from main_api.service.workers.ports import WorkerLostError
from strongroom import limits
from strongroom.entity import UNCONDITIONAL, Condition
from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    SchemaViolationError,
    UnavailableError,
    Violation,
)
from tests.support.mains import Built, MainRig, grant
from tests.support.wsgi import WsgiClient

MIB = 1024 * 1024


class Rig:
    """A Main Worker with a Processing Worker, and an administrator's client."""

    def __init__(self) -> None:
        """Put it together."""
        self.main = MainRig()
        self.main.add_workers("worker-1")
        self.app = routes.build(Built(self.main.main()))
        self.http = self.client("admin")

    def client(self, client_id: str, **headers: str) -> WsgiClient:
        """Return a client that may do everything."""
        bearer = self.main.bearer(self.main.add_client(client_id))
        return WsgiClient(self.app, authorization=bearer, **headers)


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with a Processing Worker."""
    return Rig()


# -- reading and writing ---------------------------------------------------------------------------


def test_what_was_put_is_got_to_the_byte(rig: Rig) -> None:
    """A document reads back as another one over REST."""
    document = '{ "grüße" : [1.50, 1E400, "\\u00e9"], "" : null }'.encode()
    written = rig.http("PUT", "/entity/chatdb", b'{"k": %s}' % document)
    assert written.status == 201
    assert written.headers["etag"] == '"1"'
    assert written.headers["cache-control"] == "no-store"
    members = written.json()["k"]
    assert members == {
        "version": 1,
        "created": True,
        "created_at": "2027-01-15T08:00:01.000Z",
        "updated_at": "2027-01-15T08:00:01.000Z",
    }
    found = rig.http("GET", "/entity/chatdb?key=k")
    assert (found.status, found.headers["etag"]) == (200, '"1"')
    assert found.headers["content-type"] == "application/json"
    assert found.headers["cache-control"] == "no-store"
    assert found.body == b'{"k":%s}' % document
    again = rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    assert (again.status, again.headers["etag"], again.json()["k"]["created"]) == (
        200,
        '"2"',
        False,
    )


@pytest.mark.parametrize(
    "key", ["a", " ", "a&b=c", "100%", "grüße 😀", 'a"b\\c', "a/b?c#d", "+", "\u2028"]
)
def test_any_key_can_be_named_in_a_query(rig: Rig, key: str) -> None:
    """An entity can be put under a key that no request can name."""
    encoded = quote(key, safe="").encode().decode()
    body = f'{{{quoted(key)}: "here"}}'.encode()
    assert rig.http("PUT", "/entity/chatdb", body).status == 201
    assert rig.http("GET", f"/entity/chatdb?key={encoded}").json() == {key: "here"}


def quoted(text: str) -> str:
    """Return a JSON string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_several_are_put_and_got_at_once(rig: Rig) -> None:
    """One of several entities gets lost, or one that is missing fails the rest."""
    written = rig.http("PUT", "/entity/chatdb", b'{"a": 1, "b": 2}')
    assert written.status == 201
    assert "etag" not in written.headers
    found = rig.http("GET", "/entity/chatdb?key=b&key=nothing&key=a&key=b")
    assert (found.status, found.body) == (200, b'{"b":2,"a":1}')
    mixed = rig.http("PUT", "/entity/chatdb", b'{"a": 1, "c": 3}')
    assert (mixed.status, mixed.json()["c"]["created"]) == (200, True)
    assert rig.http("GET", "/entity/chatdb?key=x&key=y").body == b"{}"
    assert rig.http("GET", "/entity/chatdb?key=x").status == 404
    assert rig.http("GET", "/entity/chatdb?key=x&key=x").status == 404


def test_an_entity_that_was_deleted_is_gone(rig: Rig) -> None:
    """A deleted entity can still be read."""
    rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    gone = rig.http("DELETE", "/entity/chatdb?key=k")
    assert (gone.status, gone.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert rig.http(method, "/entity/chatdb?key=k").status == 404
    too_many = "?" + "&".join(f"key=k{number}" for number in range(101))
    for query in ("", too_many, "?key=", "?key=a&key=", "?kee=a", "?key=a&x=1"):
        assert rig.http("DELETE", f"/entity/chatdb{query}").status == 400


def test_several_are_deleted_with_an_outcome_each(rig: Rig) -> None:
    """Of several entities a client does not learn which it has deleted, or one stops the others."""
    rig.http("PUT", "/entity/chatdb", b'{"a": 1, "b": 2, "c": 3}')
    answer = rig.http("DELETE", "/entity/chatdb?key=b&key=x&key=a&key=b")
    assert answer.status == 200
    assert answer.json() == {
        "b": {"deleted": True, "version": 2},
        "x": {"deleted": False},
        "a": {"deleted": True, "version": 2},
    }
    assert rig.http("GET", "/entity/chatdb?key=a&key=b&key=c").json() == {"c": 3}
    again = rig.http("DELETE", "/entity/chatdb?key=a&key=b")
    assert (again.status, again.json()) == (200, {"a": {"deleted": False}, "b": {"deleted": False}})
    assert rig.http("DELETE", "/entity/chatdb?key=c&key=c").status == 204, "it is one"
    conditional = rig.http("DELETE", "/entity/chatdb?key=a&key=b", b"", {"If-Match": "*"})
    assert conditional.status == 400


def test_a_deletion_that_failed_midway_says_what_became_of_each(rig: Rig) -> None:
    """After a deletion of several a client does not know which of them it has to repeat."""
    rig.http("PUT", "/entity/chatdb", b'{"a": 1, "b": 2}')
    rig.main.workers.fail_item("b", UnavailableError("the disk fails", retry_after_s=1))
    answer = rig.http("DELETE", "/entity/chatdb?key=a&key=b&key=x")
    assert answer.status == 503
    assert answer.json()["type"].endswith(":outcome-unknown")
    assert answer.json()["outcomes"] == {
        "a": {"deleted": True, "version": 2},
        "b": {"error": "unavailable", "detail": "the disk fails"},
        "x": {"deleted": False},
    }
    assert answer.headers["retry-after"] == "1"


def test_what_is_to_be_tried_only_is_not_done(rig: Rig) -> None:
    """With `dry_run` an entity is changed or deleted, or nothing is said of what would be."""
    rig.http("PUT", "/entity/chatdb", b'{"a": {"n": 1}, "b": 2}')
    patch = {"Content-Type": "application/merge-patch+json"}
    body = b'{"key": "a", "expression": "n", "store": true}'
    for answer in (
        rig.http("PATCH", "/entity/chatdb?dry_run=true", b'{"a": {"n": 2}}', patch),
        rig.http("POST", "/entity/chatdb/transform?dry_run=true", body),
    ):
        assert (answer.status, answer.json()["a"]["version"]) == (200, 2)
        assert answer.headers["etag"] == '"2"'
    assert rig.http("DELETE", "/entity/chatdb?key=a&dry_run=true").status == 204
    assert rig.http("DELETE", "/entity/chatdb?key=x&dry_run=true").status == 404
    several = rig.http("DELETE", "/entity/chatdb?key=a&key=x&dry_run=true")
    assert several.json() == {"a": {"deleted": True, "version": 2}, "x": {"deleted": False}}
    known = {"If-Match": '"7"'}
    assert rig.http("DELETE", "/entity/chatdb?key=a&dry_run=true", b"", known).status == 412
    assert rig.http("DELETE", "/entity/chatdb?key=a&dry_run=false").status == 400
    assert rig.http("GET", "/entity/chatdb?key=a&key=b").json() == {"a": {"n": 1}, "b": 2}


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_put_that_only_validates_takes_no_condition(rig: Rig, name: str) -> None:
    """A client is told that a PUT would be accepted, whose condition does not hold."""
    target, condition = "/entity/chatdb?dry_run=true", {name: '"7"'}
    assert rig.http("PUT", target, b'{"k": 1}', condition).status == 400
    assert rig.http("PUT", target, b'{"k": 1}').json() == {"k": {"valid": True}}


def test_a_part_can_be_changed(rig: Rig) -> None:
    """A client has to send a whole document to change a part of it."""
    rig.http("PUT", "/entity/chatdb", b'{"k": {"a": 1, "b": 2}}')
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = rig.http("PATCH", "/entity/chatdb", b'{"k": {"a": null}}', merge)
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    assert rig.http("GET", "/entity/chatdb?key=k").json() == {"k": {"b": 2}}
    assert rig.http("PATCH", "/entity/chatdb", b'{"x": {}}', merge).status == 404
    for body in (b"{}", b'{"a": {}, "b": {}}', b"[]", b"{"):
        assert rig.http("PATCH", "/entity/chatdb", body, merge).status == 400
    plain = {"Content-Type": "application/json"}
    assert rig.http("PATCH", "/entity/chatdb", b'{"k": {}}', plain).status == 415


def test_pages_lead_to_one_another(rig: Rig) -> None:
    """A client that follows the links misses entities, or never comes to an end."""
    keys = [f"k&{n}" for n in range(7)]
    rig.http("PUT", "/entity/chatdb", ("{" + ",".join(f'"{k}": 0' for k in keys) + "}").encode())
    seen: list[str] = []
    target = "/entity/chatdb?limit=3&prefix=k%26"
    for _ in range(3):
        page = rig.http("GET", target)
        seen += page.json()
        link = page.headers.get("link", "")
        if link:
            assert link.endswith('>; rel="next"')
            target = link.partition("<")[2].partition(">")[0]
    assert seen == keys
    assert link == ""


# -- conditions ------------------------------------------------------------------------------------


def test_conditions_hold(rig: Rig) -> None:
    """A client overwrites what it has not seen."""

    def put(**headers: str) -> tuple[int, object]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = rig.http("PUT", "/entity/chatdb", b'{"k": 1}', named)
        return answer.status, answer.json().get("current_version")

    assert put(if_match="*") == (412, 0)
    assert put(if_match='"1"') == (412, 0)
    assert put(if_none_match="*") == (201, None)
    assert put(if_none_match="*") == (412, 1)
    assert put(if_match='"1"') == (200, None)
    assert put(if_match='"1"') == (412, 2)
    assert put(if_match="*") == (200, None)
    delete = rig.http("DELETE", "/entity/chatdb?key=k", headers={"If-Match": '"1"'})
    assert (delete.status, delete.json()["current_version"]) == (412, 3)
    assert rig.http("DELETE", "/entity/chatdb?key=k", headers={"If-Match": '"3"'}).status == 204


def test_an_unchanged_entity_is_not_sent_again(rig: Rig) -> None:
    """A client that has the current version gets the whole document each time."""
    rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    for value in ('"1"', 'W/"1"', ' "1" ', '"7", "1"', 'W/"1","2"', '"abc", "1"', "*"):
        unchanged = rig.http("GET", "/entity/chatdb?key=k", headers={"If-None-Match": value})
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert unchanged.headers["etag"] == '"1"'
    assert rig.http("GET", "/entity/chatdb?key=x", headers={"If-None-Match": "*"}).status == 404
    for value in ('"2"', '"0"', "1", "", '"01"', '"99999999999999999999"', "\xff"):
        sent = rig.http("GET", "/entity/chatdb?key=k", headers={"If-None-Match": value})
        assert (sent.status, sent.json()) == (200, {"k": 1})


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "expected"),
    [
        (None, None, UNCONDITIONAL),
        ('"3"', None, Condition(if_version=3)),
        (' "3" ', None, Condition(if_version=3)),
        ('"9007199254740991"', None, Condition(if_version=2**53 - 1)),
        ("*", None, Condition(if_present=True)),
        (" * ", None, Condition(if_present=True)),
        (None, "*", Condition(if_absent=True)),
        (None, " * ", Condition(if_absent=True)),
        ('"3","4"', None, Condition(if_one_of=(3, 4))),
        ('"4" , "x,y", "3",', None, Condition(if_one_of=(3, 4))),
        ('"3", "abc"', None, Condition(if_version=3)),
        ('W/"3", "4"', None, Condition(if_version=4)),
        (None, '"3"', Condition(if_none_of=(3,))),
        (None, 'W/"3", "4"', Condition(if_none_of=(3, 4))),
        ("*", '"3"', Condition(if_present=True, if_none_of=(3,))),
        ('"4"', '"3"', Condition(if_version=4, if_none_of=(3,))),
        # What no version matches.
        ('"0"', None, Condition(if_version=0)),
        ('"-1"', None, Condition(if_version=0)),
        ('"03"', None, Condition(if_version=0)),
        ('W/"3"', None, Condition(if_version=0)),
        ('"abc"', None, Condition(if_version=0)),
        ('""', None, Condition(if_version=0)),
        ('"12345678901234567"', None, Condition(if_version=0)),
        ("*", "*", Condition(if_version=0)),
        ('"3"', "*", Condition(if_version=0)),
        (None, '"abc"', Condition(if_none_of=(0,))),
    ],
)
def test_a_condition_is_read(
    if_match: str | None, if_none_match: str | None, expected: Condition
) -> None:
    """A condition that a client sends is passed over, and its write is blind."""
    assert conditions.of_request(if_match, if_none_match) == expected


@pytest.mark.parametrize(
    ("if_match", "if_none_match"),
    [
        ("", None),
        (" ", None),
        (",", None),
        ("3", None),
        ('"3', None),
        ('"3" "4"', None),
        ('w/"3"', None),
        ('*, "3"', None),
        ('"3", *', None),
        ('"٣"', None),
        ('"a b"', None),
        (",".join(['"3"'] * (limits.ENTITY_TAGS_MAX + 1)), None),
        (None, ""),
        (None, "3"),
        ('"3"', "3"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    if_match: str | None, if_none_match: str | None
) -> None:
    """A condition that cannot be read is passed over, and the write is blind."""
    with pytest.raises(InvalidArgumentError):
        conditions.of_request(if_match, if_none_match)


# -- bad requests ----------------------------------------------------------------------------------

BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "no JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "a string": (b'"k"', 400),
    "no entities": (b"{}", 400),
    "an empty key": (b'{"": 1}', 400),
    "a key with a control character": (b'{"a\\u0000": 1}', 400),
    "a long key": (b'{"%s": 1}' % (b"x" * 513), 400),
    "a repeated key": (b'{"k": 1, "k": 2}', 400),
    "a repeated member": (b'{"k": {"a": 1, "a": 2}}', 400),
    "NaN": (b'{"k": NaN}', 400),
    "a lone surrogate": (b'{"k": "\\ud800"}', 400),
    "not UTF-8": (b'{"k": "\xff"}', 400),
    "UTF-16": ('{"k": 1}'.encode("utf-16"), 400),
    "too many entities": (b"{" + b",".join(b'"%d":1' % n for n in range(101)) + b"}", 400),
    "too deep": (b'{"k":' + b"[" * 65 + b"]" * 65 + b"}", 400),
    "too many members": (b'{"k":[' + b"0," * limits.MEMBERS_MAX + b"0]}", 413),
    "too large": (b'{"k": "' + b"x" * limits.MESSAGE_BYTES_MAX + b'"}', 413),
    "far too large": (b"x" * 20 * MIB, 413),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused(rig: Rig, body: bytes, status: int) -> None:
    """A broken body is an internal error, or something of it is stored."""
    answer = rig.http("PUT", "/entity/chatdb", body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert rig.main.workers.calls == []


def test_a_body_of_the_largest_size_is_taken(rig: Rig) -> None:
    """An entity of the documented size is refused."""
    body = b'{"k": "' + b"x" * (limits.MESSAGE_BYTES_MAX - 9) + b'"}'
    assert len(body) == limits.MESSAGE_BYTES_MAX
    assert rig.http("PUT", "/entity/chatdb", body).status == 201


def test_a_body_that_is_too_large_is_not_read_to_its_end(rig: Rig) -> None:
    """One client's endless body takes the memory of the whole process."""

    class Endless:
        def __init__(self) -> None:
            self.read_bytes = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= MIB
            self.read_bytes += size
            return b"x" * size

    stream = Endless()
    begun: list[str] = []
    environ = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/entity/chatdb",
        "QUERY_STRING": "",
        "wsgi.input": stream,
        "HTTP_AUTHORIZATION": rig.main.bearer(rig.main.add_client("endless")),
    }
    list(rig.http.adapter(environ, lambda status, _: begun.append(status)))
    assert [status.split()[0] for status in begun] == ["413"]
    assert stream.read_bytes <= limits.MESSAGE_BYTES_MAX + MIB


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 201),
        ("application/json", 201),
        ("Application/JSON ; charset=utf-8", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("application/merge-patch+json", 415),
        ("json", 415),
        ("\xff", 415),
    ],
)
def test_a_put_takes_json_alone(rig: Rig, content_type: str | None, status: int) -> None:
    """A form of a foreign web page writes into a database."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert rig.http("PUT", "/entity/chatdb", b'{"k": 1}', headers).status == status


QUERIES = {
    "unknown parameter": "key=k&unknown=1",
    "key with another parameter": "key=k&limit=1",
    "repeated limit": "limit=1&limit=2",
    "limit of nothing": "limit=",
    "limit of zero": "limit=0",
    "limit past its bound": f"limit={limits.PAGE_SIZE_MAX + 1}",
    "limit that is no number": "limit=ten",
    "negative limit": "limit=-1",
    "limit in digits of another script": "limit=%D9%A1",
    "limit of many digits": "limit=" + "9" * 5_000,
    "empty key": "key=",
    "key that is not UTF-8": "key=%ff",
    "key cut in a character": "key=%f0%9f%98",
    "key that is a lone surrogate": "key=%ed%a0%80",
    "key with a control character": "key=a%00b",
    "long key": "key=" + "x" * 513,
    "too many keys": "&".join(f"key={n}" for n in range(101)),
    "prefix that is not UTF-8": "prefix=%ff",
    "cursor that is not UTF-8": "cursor=%ff",
    "long cursor": "cursor=" + "x" * 10_000,
    "select that is not UTF-8": "select=%ff",
    "long select": "select=" + "x" * 10_000,
    "name that is not UTF-8": "%ff=1",
    "1,001 parameters": "&".join(["key=k"] * 1_001),
    "100,000 parameters": "&".join(["key=k"] * 100_000),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_bad_query_is_refused(rig: Rig, query: str) -> None:
    """A broken query is an internal error, or is answered as if it had been another one."""
    answer = rig.http("GET", f"/entity/chatdb?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["key=%", "key=%zz", "key=%u0041", "key=a%2", "key=+", "key=%C3%A9"]
)
def test_an_odd_percent_encoding_is_no_internal_error(rig: Rig, query: str) -> None:
    """A client with a broken URL encoder gets a 500 and does not learn why."""
    assert rig.http("GET", f"/entity/chatdb?{query}").status in {400, 404}


@pytest.mark.parametrize(
    "database", ["..", "%2e%2e", "a%00b", "%ff", "%f0%9f%98%80", "a%20b", "x" * 65, "-a", "*"]
)
def test_a_bad_database_name_is_refused(rig: Rig, database: str) -> None:
    """A path leads out of the directory of databases, or is an internal error."""
    for method, body in (("GET", b""), ("PUT", b'{"k": 1}')):
        assert rig.http(method, f"/entity/{database}?", body).status in {400, 404}
        answer = rig.http(method, f"/entity/{database}?key=k", body)
        assert answer.status in {400, 404}
    assert rig.main.memory.reads["database"] == 0


@pytest.mark.parametrize(
    "lifetime", ["0", "-1", "1.5", "", "x", "1&ttl_seconds=2", "9" * 11, "315360001"]
)
def test_a_bad_lifetime_is_refused(rig: Rig, lifetime: str) -> None:
    """An entity is gone at once, or never."""
    answer = rig.http("PUT", f"/entity/chatdb?ttl_seconds={lifetime}", b'{"k": 1}')
    assert answer.status == 400


def test_a_lifetime_shows_in_the_answer(rig: Rig) -> None:
    """A client does not learn when what it has put will be gone."""
    answer = rig.http("PUT", "/entity/chatdb?ttl_seconds=60", b'{"k": 1}')
    assert answer.json()["k"]["expires_at"] == "2027-01-15T08:01:01.000Z"


def test_an_idempotency_key_makes_a_repetition_safe(rig: Rig) -> None:
    """A client that repeats a write after a lost answer has written twice."""
    headers = {"Idempotency-Key": "order-17"}
    first = rig.http("PUT", "/entity/chatdb", b'{"k": 1}', headers)
    again = rig.http("PUT", "/entity/chatdb", b'{"k": 1}', headers)
    assert (first.status, first.body) == (again.status, again.body)
    assert rig.http("PUT", "/entity/chatdb", b'{"k": 2}', headers).status == 422
    for bad in ("x" * 129, "\xe9", "a\tb"):
        headers = {"Idempotency-Key": bad}
        assert rig.http("PUT", "/entity/chatdb", b'{"k": 1}', headers).status == 400


# -- refusals of others ----------------------------------------------------------------------------


def test_what_is_not_granted_is_forbidden_whether_it_exists_or_not(rig: Rig) -> None:
    """A client learns by the status what exists."""
    rig.http("PUT", "/entity/chatdb", b'{"theirs": 1}')
    ada = rig.main.add_client("ada", grant("chatdb", Action.READ, key_prefix="mine/"))
    http = WsgiClient(rig.app, authorization=rig.main.bearer(ada))
    requests = [
        ("GET", "/entity/chatdb?key=theirs", b""),
        ("GET", "/entity/chatdb?key=nothing", b""),
        ("GET", "/entity/nosuchdb?key=mine/1", b""),
        ("GET", "/entity/chatdb?key=mine/1&key=theirs", b""),
        ("GET", "/entity/nosuchdb", b""),
        ("PUT", "/entity/chatdb", b'{"mine/1": 1}'),
        ("PUT", "/entity/nosuchdb", b'{"mine/1": 1}'),
        ("DELETE", "/entity/chatdb?key=mine/1", b""),
    ]
    calls = len(rig.main.workers.calls)
    answers = [http(*request) for request in requests]
    assert [a.status for a in answers] == [403] * len(requests)
    assert len(rig.main.workers.calls) == calls
    reads = {a.json()["detail"] for a, r in zip(answers, requests, strict=True) if r[0] == "GET"}
    assert len(reads) == 1


def test_a_schemas_refusal_says_where_and_why(rig: Rig) -> None:
    """A client does not learn what is wrong with its document."""
    violation = Violation("/chat/0/text", "type", "the value is not of type string")
    rig.main.workers.fail_item("k", SchemaViolationError("refused", violations=[violation]))
    answer = rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    assert answer.status == 422
    assert answer.json()["errors"] == [
        {"pointer": "/chat/0/text", "keyword": "type", "detail": "the value is not of type string"}
    ]


def test_a_damaged_file_is_said_to_be_one(rig: Rig) -> None:
    """A damaged entity looks as if it were not there."""
    rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    rig.main.workers.fail_item("k", IntegrityError("the file does not verify"))
    answer = rig.http("GET", "/entity/chatdb?key=k")
    assert answer.status == 500
    assert answer.json()["type"] == "urn:strongroom:problem:integrity-error"


def test_a_write_with_an_unknown_outcome_says_so(rig: Rig) -> None:
    """A client takes a write that was applied for one that was not."""
    rig.main.workers.fail("worker-1", WorkerLostError(delivered=True), applies_first=True)
    answer = rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    assert answer.status == 503
    assert answer.json()["type"] == "urn:strongroom:problem:outcome-unknown"
    assert int(answer.headers["retry-after"]) >= 1


def test_a_put_of_several_that_failed_midway_has_an_outcome_for_each(rig: Rig) -> None:
    """A client does not know which of its entities it has to repeat."""
    rig.main.workers.fail_item("b", ConflictError("taken"))
    answer = rig.http("PUT", "/entity/chatdb", b'{"a": 1, "b": 2}')
    assert answer.status == 503
    assert answer.json()["outcomes"] == {
        "a": {"version": 1, "created": True},
        "b": {"error": "conflict", "detail": "taken"},
    }


def test_while_no_worker_is_up_a_client_may_retry() -> None:
    """During a restart of the workers clients get errors that they do not retry."""
    rig = Rig()
    rig.main.memory.registry.clear()
    rig.main.clock.advance(1)
    for method, body in (("GET", b""), ("PUT", b'{"k": 1}')):
        answer = rig.http(method, "/entity/chatdb" + ("?key=k" if method == "GET" else ""), body)
        assert answer.status == 503
        assert answer.json()["type"] == "urn:strongroom:problem:unavailable"
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "?key=k", {"If-Match": "3"}, b""),
        ("GET", "", {"If-Match": "3"}, b""),
        ("GET", "", {"If-Match": '"3"'}, b""),
        ("GET", "?key=a&key=b", {"If-Match": "*"}, b""),
        ("PUT", "?dry_run=true", {"If-None-Match": "x"}, b'{"k": 1}'),
        ("PUT", "?dry_run=true", {"Idempotency-Key": ""}, b'{"k": 1}'),
        ("POST", "/transform", {"Idempotency-Key": "é"}, b'{"key": "k", "expression": "@"}'),
        ("POST", "/transform", {"If-Match": "x"}, b'{"key": "k", "expression": "@"}'),
    ],
)
def test_a_field_that_means_nothing_is_refused_though_it_is_not_needed(
    rig: Rig, method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    """A client goes on with a mistake until the request that needed the field."""
    rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    answer = rig.http(method, f"/entity/chatdb{target}", body, headers)
    assert (answer.status, answer.json()["type"]) == (
        400,
        "urn:strongroom:problem:invalid-argument",
    )


def test_a_read_is_conditional_too(rig: Rig) -> None:
    """A client that asks for the version that it knows gets another one (RFC 9110, 13.1.1)."""
    rig.http("PUT", "/entity/chatdb", b'{"k": 1}')
    for value, status in (
        ('"1"', 200),
        ('"2", "1"', 200),
        ("*", 200),
        ('"2"', 412),
        ('W/"1"', 412),
    ):
        answer = rig.http("GET", "/entity/chatdb?key=k", headers={"If-Match": value})
        assert answer.status == status
    transform = b'{"key": "k", "expression": "@"}'
    for name, value, status in (
        ("If-Match", '"1"', 200),
        ("If-Match", '"2"', 412),
        ("If-None-Match", '"1"', 412),
        ("If-None-Match", '"2"', 200),
    ):
        answer = rig.http("POST", "/entity/chatdb/transform", transform, {name: value})
        assert answer.status == status
