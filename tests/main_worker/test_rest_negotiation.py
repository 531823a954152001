"""Content negotiation, compression, HEAD, OPTIONS and CORS over REST."""

import functools
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from main_api.domain import http_policy
from main_api.domain.http_policy import HttpPolicy
from main_api.rest import coding, negotiation, routes
from main_api.rest.operations import NDJSON
from strongroom import limits
from strongroom.errors import InvalidArgumentError, NotAcceptableError, TooLargeError
from tests.support.mains import Built, MainRig
from tests.support.wsgi import Answer, WsgiClient

TEXT = "a sentence that comes again and again; "
LONG = {"text": TEXT * 500}
JSON = "application/json"


class Rig:
    """A Main Worker with a Processing Worker, and an administrator's client."""

    def __init__(self, *origins: str, compress: bool = True) -> None:
        """Put it together."""
        self.main = MainRig()
        self.main.add_workers("worker-1")
        policy = HttpPolicy(frozenset(origins), compress=compress)
        self.app = routes.build(Built(self.main.main(), policy))
        self.admin = self.main.add_client("admin")
        self.http = WsgiClient(self.app, authorization=self.main.bearer(self.admin))
        self.anybody = WsgiClient(self.app)

    def put(self, **entities: object) -> None:
        """Put entities."""
        assert self.http("PUT", "/entity/chatdb", json.dumps(entities).encode()).status == 201

    def get(self, query: str, **headers: str) -> Answer:
        """Get entities."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http("GET", f"/entity/chatdb{query}", headers=named)


@pytest.fixture
def rig() -> Rig:
    """Return a Main Worker with a Processing Worker."""
    return Rig()


# -- Accept ----------------------------------------------------------------------------------------

OFFERED = (JSON, NDJSON)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("*", JSON),
        (JSON, JSON),
        (NDJSON, NDJSON),
        (f"{NDJSON}, {JSON}", JSON),
        (f"{NDJSON};q=0.9, {JSON};q=0.8", NDJSON),
        (f"{JSON};q=0, */*", NDJSON),
        ("APPLICATION/JSON", JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (f"text/html, {JSON};q=0.001", JSON),
        ("text/html;q=0.9, application/*;q=0.1", JSON),
        (f"*/*;q=0.1, {NDJSON}", NDJSON),
        (f"*/*, application/*;q=0, {NDJSON};q=0.5", NDJSON),
        (f"{JSON};q=.5", JSON),
        (f",,{NDJSON},", NDJSON),
    ],
)
def test_the_media_type_is_the_one_that_is_preferred(accept: str | None, chosen: str) -> None:
    """A client gets what it cannot read although it has said what it can."""
    assert negotiation.media_type(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "text/html",
        f"{JSON};q=0",
        "*/*;q=0",
        f"{JSON};q=2",
        f"{JSON};q=x",
        f"{JSON};q=.",
        "json",
    ],
)
def test_what_there_is_not_is_not_acceptable(accept: str) -> None:
    """A client gets what it has said it cannot read."""
    with pytest.raises(NotAcceptableError):
        negotiation.media_type(accept, OFFERED)


def test_nothing_is_done_for_an_answer_that_nobody_can_read(rig: Rig) -> None:
    """A write took place, and the client is told that its request was refused."""
    body = b'{"k": 1}'
    refused = rig.http("PUT", "/entity/chatdb", body, {"Accept": "text/html"})
    assert (refused.status, refused.headers["content-type"]) == (406, "application/problem+json")
    assert refused.json()["type"] == "urn:strongroom:problem:not-acceptable"
    assert rig.get("?key=k").status == 404
    rig.put(k=1)
    # What has no content is acceptable to everybody.
    deleted = rig.http("DELETE", "/entity/chatdb?key=k", headers={"Accept": "text/html"})
    assert deleted.status == 204
    rig.put(a=1, b=2)
    several = rig.http("DELETE", "/entity/chatdb?key=a&key=b", headers={"Accept": "text/html"})
    assert several.status == 406
    assert rig.get("?key=a&key=b").json() == {"a": 1, "b": 2}


def test_entities_come_as_lines(rig: Rig) -> None:
    """A client has to hold a whole page to read the first entity of it."""
    rig.put(a=1, b={"text": "two\nlines"}, c=3)
    several = rig.get("?key=b&key=a", accept=NDJSON)
    assert several.headers["content-type"] == NDJSON
    assert [json.loads(line) for line in several.body.splitlines()] == [
        {"key": "b", "version": 1, "entity": {"text": "two\nlines"}},
        {"key": "a", "version": 1, "entity": 1},
    ]
    page = rig.get("?limit=2", accept=NDJSON)
    assert [json.loads(line)["key"] for line in page.body.splitlines()] == ["a", "b"]
    assert page.headers["strongroom-examined"] == "2"
    assert page.headers["link"].endswith('rel="next"')
    assert "Accept" in page.headers["vary"].split(", ")


def test_a_query_is_answered_in_lines(rig: Rig) -> None:
    """A client that reads lines cannot go on to the next page."""
    rig.put(a=1, b=2, c=3)
    cursor, seen = "", []
    for _ in range(2):
        body = json.dumps({"limit": 2, "cursor": cursor}).encode()
        page = rig.http("POST", "/entity/chatdb/query", body, {"Accept": NDJSON})
        assert (page.status, page.headers["content-type"]) == (200, NDJSON)
        seen += [json.loads(line) for line in page.body.splitlines()]
        cursor = page.headers.get("strongroom-cursor", "")
    assert cursor == ""
    assert seen == [{"key": k, "version": 1, "entity": n} for n, k in enumerate("abc", 1)]


# -- answers in gzip -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "gzip_wanted", "identity"),
    [
        (None, False, True),
        ("", False, True),
        ("gzip", True, True),
        ("x-gzip", True, True),
        ("GZIP", True, True),
        ("deflate, gzip;q=1.0, *;q=0.5", True, True),
        ("gzip;q=0", False, True),
        ("gzip;q=0.5, identity;q=0.8", False, True),
        ("gzip;q=0.8, identity;q=0.5", True, True),
        ("gzip, identity;q=0", True, False),
        ("*", True, True),
        ("*;q=0", False, False),
        ("gzip, *;q=0", True, False),
        ("identity;q=0", False, False),
        ("br", False, True),
        ("br, identity;q=0", False, False),
    ],
)
def test_the_coding_is_the_one_that_is_preferred(
    header: str | None, *, gzip_wanted: bool, identity: bool
) -> None:
    """A client gets what it cannot decode."""
    found = negotiation.codings(header)
    assert (found.gzip, found.identity) == (gzip_wanted, identity)


def test_a_long_answer_is_compressed_for_who_takes_it(rig: Rig) -> None:
    """A page of a megabyte travels as a megabyte."""
    rig.put(k=LONG)
    plain = rig.get("?key=k")
    coded = rig.get("?key=k", accept_encoding="gzip, deflate")
    assert "content-encoding" not in plain.headers
    assert coded.headers["content-encoding"] == "gzip"
    assert len(coded.body) * 10 < len(plain.body)
    assert gzip.decompress(coded.body) == plain.body
    for answer in (plain, coded):
        assert "Accept-Encoding" in answer.headers["vary"].split(", ")
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["content-type"] == JSON


def test_a_short_answer_is_not(rig: Rig) -> None:
    """Compressing costs time and makes the answer larger."""
    rig.put(k=1)
    assert "content-encoding" not in rig.get("?key=k", accept_encoding="gzip").headers
    forced = rig.get("?key=k", accept_encoding="gzip, identity;q=0")
    assert gzip.decompress(forced.body) == b'{"k":1}'
    refused = rig.get("?key=k", accept_encoding="identity;q=0")
    assert refused.status == 406


def test_how_well_one_entity_compresses_tells_nothing_of_another(rig: Rig) -> None:
    """Who writes into one entity, and sees lengths on the wire, guesses another one (BREACH)."""
    secret = "the password of the vault is 4711-oxidised-teapot"
    others = ("the password of the vault is 4711-oxidised-teapot", "x" * len(secret))
    rest = [json.dumps({"n": n, "text": TEXT * 40}) for n in range(3)]
    sizes = {
        len(coding.gzipped([secret.encode(), *(one.encode() for one in (guess, *rest))]))
        - len(coding.gzipped([guess.encode()]))
        for guess in others
    }
    assert len(sizes) == 1
    together = {len(gzip.compress((secret + guess).encode(), mtime=0)) for guess in others}
    assert len(together) == len(others), "the guesses show nothing: the test is worth nothing"
    names = [f"k{n}" for n in range(5)]
    rig.put(**dict.fromkeys(names, LONG))
    page = rig.get("?limit=5", accept_encoding="gzip")
    assert json.loads(gzip.decompress(page.body)) == dict.fromkeys(names, LONG)
    alone = len(rig.get("?key=k1", accept_encoding="gzip").body)
    assert len(page.body) > 4 * alone


def test_what_holds_a_secret_is_never_compressed(rig: Rig) -> None:
    """A secret is guessed from the length of the answer that shows it."""
    grants = [{"database": "d" * 60, "actions": ["read"], "key_prefix": TEXT * 13}] * 9
    body = json.dumps({"grants": grants}).encode()
    wish = {"Accept-Encoding": "gzip"}
    made = rig.http("PUT", "/clients/new", body, wish)
    assert made.status == 201
    assert len(made.body) > limits.COMPRESSED_BYTES_MIN
    assert "client_secret" in made.json()
    rotated = rig.http("POST", "/clients/new/rotate-secret", b"", wish)
    assert "client_secret" in rotated.json()
    read = rig.http("GET", "/clients/new", b"", wish)
    assert read.headers["content-encoding"] == "gzip"
    insisting = {"Accept-Encoding": "gzip, identity;q=0"}
    assert rig.http("PUT", "/clients/other", body, insisting).status == 406
    assert rig.http("GET", "/clients/other").status == 404


def test_compression_can_be_switched_off() -> None:
    """A deployment whose writers must not guess at an entity cannot have it so."""
    rig = Rig(compress=False)
    rig.put(k=LONG)
    answer = rig.get("?key=k", accept_encoding="gzip")
    assert (answer.status, answer.json()) == (200, {"k": LONG})
    assert "vary" not in answer.headers or "Accept-Encoding" not in answer.headers["vary"]


# -- requests in gzip ------------------------------------------------------------------------------

CODED = {"Content-Encoding": "gzip", "Content-Type": JSON}


def test_a_body_may_be_gzip(rig: Rig) -> None:
    """A client that compresses is refused, or something else is stored."""
    body = gzip.compress(json.dumps({"k": LONG}).encode())
    assert rig.http("PUT", "/entity/chatdb", body, CODED).status == 201
    assert rig.get("?key=k").json() == {"k": LONG}
    plain = {**CODED, "Content-Encoding": "identity"}
    assert rig.http("PUT", "/entity/chatdb", b'{"k": 1}', plain).status == 200


@functools.cache
def bomb(size_bytes: int) -> bytes:
    """Return a small gzip stream of something large."""
    return gzip.compress(b'{"k": "' + b"x" * size_bytes + b'"}')


BROKEN: dict[str, tuple[Callable[[], bytes], int]] = {
    "no gzip": (lambda: b'{"k": 1}', 400),
    "cut short": (lambda: gzip.compress(b'{"k": 1}')[:-4], 400),
    "a wrong checksum": (lambda: gzip.compress(b'{"k": 1}')[:-8] + b"\0" * 8, 400),
    "more behind it": (lambda: gzip.compress(b'{"k": 1}') + b"x", 400),
    "two of them": (lambda: gzip.compress(b'{"k": ') + gzip.compress(b"1}"), 400),
    "zlib": (lambda: zlib.compress(b'{"k": 1}'), 400),
    "twice": (lambda: gzip.compress(gzip.compress(b'{"k": 1}')), 400),
    "a bomb": (lambda: bomb(100 * 1024 * 1024), 413),
    "one byte too much": (lambda: bomb(limits.MESSAGE_BYTES_MAX), 413),
    "a bomb with a cut end": (lambda: bomb(100 * 1024 * 1024)[:-9], 413),
}


@pytest.mark.parametrize(("made", "status"), BROKEN.values(), ids=BROKEN)
def test_a_broken_or_endless_gzip_body_is_refused(
    rig: Rig, made: Callable[[], bytes], status: int
) -> None:
    """Half a body is stored, or some kilobytes fill the memory."""
    answer = rig.http("PUT", "/entity/chatdb", made(), CODED)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert rig.get("?key=k").status == 404


@pytest.mark.parametrize("name", ["br", "deflate", "gzip, gzip", "gzip, br", "aws-chunked", ","])
def test_another_coding_is_refused_with_the_one_that_is_taken(rig: Rig, name: str) -> None:
    """A client does not learn how it may compress."""
    answer = rig.http("PUT", "/entity/chatdb", b"{}", {**CODED, "Content-Encoding": name})
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip")


def peak_bytes(work: Callable[[], object]) -> int:
    """Return how much memory is held at once for something."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_more_than_the_bound_is_made_of_a_bomb() -> None:
    """The memory is full before the bound is looked at."""
    sent = bomb(100 * 1024 * 1024)

    def inflate() -> None:
        with pytest.raises(TooLargeError):
            coding.inflated(sent, 1_000)

    assert peak_bytes(inflate) < 1024 * 1024


def test_a_stranger_has_nothing_large_inflated(rig: Rig) -> None:
    """Without a token, some kilobytes cost as much work as megabytes."""
    form = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    large = gzip.compress(b"x" * limits.ENTITY_BYTES_MAX)
    for target, status in (("/oauth/token", 413), ("/workers/subscribe", 413), ("/entity/d", 401)):
        method = "PUT" if target == "/entity/d" else "POST"

        def send(method: str = method, target: str = target, status: int = status) -> None:
            assert rig.anybody(method, target, large, form).status == status

        assert peak_bytes(send) < 1024 * 1024, target
    body = gzip.compress(b"grant_type=client_credentials")
    issued = rig.anybody("POST", "/oauth/token", body, {**form, "Authorization": rig.admin.basic})
    assert issued.status == 200


# -- HEAD and OPTIONS ------------------------------------------------------------------------------


def test_head_is_get_without_the_content(rig: Rig) -> None:
    """A client cannot ask for a version without the document."""
    rig.put(k=LONG)
    for query in ("?key=k", "?key=x", "", "?unknown=1"):
        for wish in ({}, {"Accept-Encoding": "gzip"}):
            head = rig.http("HEAD", f"/entity/chatdb{query}", headers=wish)
            get = rig.http("GET", f"/entity/chatdb{query}", headers=wish)
            assert (head.status, head.body) == (get.status, b"")
            differ = {"x-request-id"}
            assert {k: v for k, v in head.headers.items() if k not in differ} == {
                k: v for k, v in get.headers.items() if k not in differ
            }
    assert rig.anybody("HEAD", "/entity/chatdb?key=k").status == 401
    assert rig.anybody("HEAD", "/healthz").status == 200


def test_options_says_what_a_path_takes(rig: Rig) -> None:
    """A client has to try methods out."""
    told = rig.anybody("OPTIONS", "/entity/chatdb")
    assert (told.status, told.body) == (204, b"")
    assert told.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    assert told.headers["accept-patch"] == (
        "application/merge-patch+json, application/json-patch+json"
    )
    assert rig.anybody("OPTIONS", "/oauth/token").headers["allow"] == "OPTIONS, POST"
    assert rig.anybody("OPTIONS", "/nothing").status == 404
    assert rig.anybody("OPTIONS", "*").status == 204


# -- CORS ------------------------------------------------------------------------------------------

PAGE = "https://app.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}


def cors_fields(answer: Answer) -> dict[str, Any]:
    """Return the fields of the CORS protocol."""
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


def test_no_page_reads_anything_without_the_setting(rig: Rig) -> None:
    """Any page that a user visits calls the database."""
    for answer in (
        rig.anybody("GET", "/healthz", headers={"Origin": PAGE}),
        rig.anybody("OPTIONS", "/entity/chatdb", headers=PREFLIGHT),
    ):
        assert cors_fields(answer) == {}


def test_a_page_that_is_named_reads_answers_and_errors() -> None:
    """A web application cannot use the database, or does not see why it was refused."""
    rig = Rig(PAGE, "http://localhost:5173")
    preflight = rig.anybody("OPTIONS", "/entity/chatdb", headers=PREFLIGHT)
    assert preflight.status == 204
    shown = cors_fields(preflight)
    assert shown["access-control-allow-origin"] == PAGE
    assert "PUT" in shown["access-control-allow-methods"].split(", ")
    headers = shown["access-control-allow-headers"].split(", ")
    assert {"Authorization", "If-Match", "Idempotency-Key", "traceparent"} <= set(headers)
    assert "access-control-allow-credentials" not in shown
    for answer in (rig.anybody("GET", "/entity/chatdb", headers={"Origin": PAGE}),):
        assert answer.status == 401
        assert cors_fields(answer)["access-control-allow-origin"] == PAGE
        assert "ETag" in cors_fields(answer)["access-control-expose-headers"].split(", ")
        assert "Origin" in answer.headers["vary"].split(", ")


@pytest.mark.parametrize(
    "origin", ["null", "https://app.example.evil", "http://app.example", "https://app.example:8443"]
)
def test_another_page_reads_nothing(origin: str) -> None:
    """A page with a similar name reads what a user may."""
    rig = Rig(PAGE)
    answer = rig.anybody("GET", "/healthz", headers={"Origin": origin})
    assert cors_fields(answer) == {}
    assert "Origin" in answer.headers["vary"]


def test_every_page_may_be_allowed() -> None:
    """A public service has to name its pages."""
    answer = Rig("*").anybody("GET", "/healthz", headers={"Origin": PAGE})
    assert cors_fields(answer)["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "text",
    ["app.example", "https://app.example/", "https://*.example", "ftp://a", "HTTPS://A", "null"],
)
def test_what_is_no_origin_is_refused_as_a_setting(text: str) -> None:
    """A mistyped origin is allowed to nobody, and nobody notices."""
    with pytest.raises(InvalidArgumentError):
        http_policy.origins(f"{PAGE},{text}")


# -- what no answer and no request lacks -----------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/entity/chatdb?key=k"),
        ("GET", "/entity/chatdb?key=x"),
        ("GET", "/entity/chatdb"),
        ("DELETE", "/entity/chatdb?key=k"),
        ("GET", "/nothing"),
        ("BREW", "/healthz"),
        ("OPTIONS", "/healthz"),
        ("GET", "/healthz?x=1"),
    ],
)
def test_nobody_on_the_way_keeps_an_answer(rig: Rig, method: str, target: str) -> None:
    """A cache shows a document to somebody else, or an error that is over."""
    rig.put(k=1)
    answer = rig.http(method, target)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "Content-Range"])
def test_a_condition_that_would_be_passed_over_is_refused(rig: Rig, name: str) -> None:
    """A client believes that it does not replace anything, and it does."""
    body = b'{"schema_id": "chat.v1"}'
    answer = rig.http("PUT", "/databases/other", body, {name: "*"})
    assert answer.status == 400
    assert rig.http("GET", "/databases/other").status == 404


def test_a_gateway_that_tells_of_every_value_is_believed(rig: Rig) -> None:
    """Behind API Gateway, of two conditions or credentials one is chosen."""
    rig.put(k=1)
    event: dict[str, Any] = {
        "requestContext": {
            "resourcePath": "/entity/{database}",
            "httpMethod": "GET",
            "path": "/prod/entity/chatdb",
        },
        "headers": {"If-None-Match": '"7"'},
        "multiValueHeaders": {
            "If-None-Match": ['"1"', '"7"'],
            "Authorization": [rig.main.bearer(rig.main.add_client("other"))],
        },
        "multiValueQueryStringParameters": {"key": ["k"]},
        "pathParameters": {"database": "chatdb"},
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    assert rig.app(event, None)["statusCode"] == 304
    event["multiValueQueryStringParameters"] = {"limit": ["1"]}
    rig.put(other=2)
    link = rig.app(event, None)["headers"]["Link"]
    assert link.startswith("</prod/entity/chatdb?limit=1&cursor=")
