"""The REST application: one request per thread, closed by default, errors that show nothing."""

import importlib
import inspect
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from wsgiref.validate import validator

import msgspec
import pytest
from chalice.app import Chalice, Response
from hypothesis import given
from hypothesis import strategies as st

from main_api.rest import problems, routes
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Operation, Right, Tag
from main_api.service.requests.batches import PartlyWrittenError
from main_api.service.workers.ports import Written
from strongroom import errors
from strongroom.entity import Metadata
from strongroom.errors import StrongroomError, UnavailableError, Violation
from tests.support.mains import Built, MainRig, Unbuildable, grant
from tests.support.wsgi import Answer, WsgiClient, an_environ

SECONDS = 30.0
THREADS = 16


class AnyQuery(msgspec.Struct):
    """The parameters of the views of this page."""

    marker: str = ""


ROUTES = routes.build(Unbuildable(UnavailableError("not built"))).routes
OPEN = Operation(tag=Tag.SERVICE, rights=(Right.PUBLIC,), answers=(), query=AnyQuery)


@pytest.fixture
def rig() -> MainRig:
    """Return a Main Worker with a Processing Worker."""
    made = MainRig()
    made.add_workers("worker-1")
    return made


@pytest.fixture
def http(rig: MainRig) -> WsgiClient:
    """Return a client of the REST face that sends no token."""
    return WsgiClient(routes.build(Built(rig.main())))


@pytest.fixture
def admin(rig: MainRig) -> WsgiClient:
    """Return an administrator."""
    bearer = rig.bearer(rig.add_client("admin"))
    return WsgiClient(routes.build(Built(rig.main())), authorization=bearer)


def problem(answer: Answer) -> dict[str, Any]:
    """Return the problem details of an answer, which has to be some (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json"
    members: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(members)
    assert members["status"] == answer.status
    assert members["request_id"] == answer.headers["x-request-id"]
    return members


# -- threads ---------------------------------------------------------------------------------------


def looking_twice(app: Chalice, barrier: threading.Barrier) -> None:
    """Give an application a view that looks at its request before and after all others have."""
    declared = {"operation": OPEN} if isinstance(app, StrongroomApp) else {}

    @app.route("/look", methods=["GET"], **declared)
    def look() -> Response:
        seen = []
        for _ in range(2):
            request = app.current_request
            assert request is not None
            assert request.query_params is not None
            seen.append(request.query_params.get("marker"))
            seen.append(getattr(app, "request_id", None))
            seen.append(app.lambda_context)
            barrier.wait(SECONDS)
        return Response(json.dumps(seen), {"Content-Type": "application/json"}, 200)


def crossed(app: Chalice) -> list[str]:
    """Send many requests at once; return the markers of those that saw another's."""
    barrier = threading.Barrier(THREADS)
    looking_twice(app, barrier)
    http = WsgiClient(cast("StrongroomApp", app))

    def send(number: int) -> bool:
        marker = f"marker-{number}"
        answer = http("GET", f"/look?marker={marker}", headers={"X-Request-ID": f"id-{number}"})
        one, other = answer.json()[:3], answer.json()[3:]
        kept = isinstance(app, StrongroomApp)
        expected = [marker, f"id-{number}" if kept else None, None]
        sent_back = answer.headers.get("x-request-id") == (f"id-{number}" if kept else None)
        return one == other == expected and sent_back

    with ThreadPoolExecutor(THREADS) as pool:
        alone = list(pool.map(send, range(THREADS)))
    return [f"marker-{n}" for n, was_alone in enumerate(alone) if not was_alone]


def test_no_thread_sees_the_request_of_another() -> None:
    """A client is answered with the request, and so the data, of another client."""
    app = StrongroomApp("test", Unbuildable(UnavailableError("not built")))
    assert crossed(app) == []


def test_the_scenario_shows_what_chalice_alone_does() -> None:
    """The test above would be worth nothing: it has to fail on the application it guards from."""
    assert len(crossed(Chalice("test", configure_logs=False))) >= THREADS - 1


def test_no_thread_acts_as_the_caller_of_another(rig: MainRig) -> None:
    """A client reads with the grants of another client."""
    app = routes.build(Built(rig.main()))
    barrier = threading.Barrier(THREADS)

    @app.route("/who", methods=["GET"])
    def who() -> Response:
        before = app.caller.client_id
        barrier.wait(SECONDS)
        return Response(f"{before} {app.caller.client_id}", {}, 200)

    http = WsgiClient(app)
    bearers = {f"c{n}": rig.bearer(rig.add_client(f"c{n}")) for n in range(THREADS)}

    def send(client_id: str) -> bytes:
        return http("GET", "/who", headers={"Authorization": bearers[client_id]}).body

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(send, bearers)) == [f"{c} {c}".encode() for c in bearers]


def test_a_thread_forgets_who_it_has_served(rig: MainRig) -> None:
    """A request without a token is served as the client that this thread has served before."""
    app = routes.build(Built(rig.main()))
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(app)
    assert http("GET", "/workers", headers={"Authorization": bearer}).status == 200
    with pytest.raises(errors.InternalError):
        _ = app.caller
    assert app.current_request is None
    assert http("GET", "/workers").status == 401


# -- closed by default -----------------------------------------------------------------------------


def path_of(route: str) -> str:
    """Return a path that leads to a route."""
    return route.replace("{", "").replace("}", "")


WITHOUT_TOKEN = {
    ("/oauth/token", "POST"),
    ("/oauth/revoke", "POST"),
    ("/workers/subscribe", "POST"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/openapi.json", "GET"),
    ("/docs", "GET"),
    ("/.well-known/jwks.json", "GET"),
}
EVERY_ROUTE = [(path, method) for path, methods in ROUTES.items() for method in methods]


def test_there_are_routes() -> None:
    """The tests below would be worth nothing."""
    assert ("/entity/{database}", "GET") in EVERY_ROUTE
    assert set(EVERY_ROUTE) > WITHOUT_TOKEN


@pytest.mark.parametrize(("path", "method"), EVERY_ROUTE)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer x.y.z", "Basic YWRtaW46YWRtaW4="], ids=str
)
def test_every_route_is_public_or_refuses_without_a_token(
    rig: MainRig, http: WsgiClient, path: str, method: str, authorization: str | None
) -> None:
    """A route was added that anybody can use."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = http(method, path_of(path), b"{}", headers)
    if (path, method) not in WITHOUT_TOKEN:
        assert answer.status == 401
        assert problem(answer)["type"] == "urn:strongroom:problem:unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert rig.workers.calls == []


@pytest.mark.parametrize(("path", "method"), EVERY_ROUTE)
def test_every_route_wants_a_grant(rig: MainRig, path: str, method: str) -> None:
    """A route was added that every client can use, whatever it was granted."""
    if (path, method) in WITHOUT_TOKEN:
        return
    bearer = rig.bearer(rig.add_client("nobody", grant("elsewhere")))
    http = WsgiClient(routes.build(Built(rig.main())), authorization=bearer)
    bodies = [
        b"{}",
        b'{"k": 1}',
        b'{"schema_id": "s"}',
        b'{"grants": []}',
        b'{"key": "k", "expression": "@"}',
        b'{"worker_id": "worker-1", "pubkey": ""}',
    ]
    for body in bodies:
        for query in ("", "?key=k"):
            answer = http(method, path_of(path) + query, body)
            assert answer.status in {400, 401, 403}, (body, query, answer)
    assert rig.workers.calls == []
    assert not rig.memory.templates
    assert set(rig.memory.clients) == {"nobody"}
    assert set(rig.memory.databases) == {"chatdb"}


@pytest.mark.parametrize(("path", "method"), EVERY_ROUTE)
def test_every_view_is_translated(path: str, method: str) -> None:
    """A view's failure is answered in Chalice's own words, or with a stack trace."""
    app = routes.build(Unbuildable(UnavailableError("not built")))

    @app.route("/probe", methods=["GET"])
    def probe() -> Response:
        raise ValueError("hunter2")

    del probe
    translating = cast("Any", app.routes["/probe"]["GET"].view_function).__code__
    view = cast("Any", ROUTES[path][method].view_function)
    assert view.__code__ is translating
    assert view.__wrapped__.__module__.startswith("main_api.rest.")


def test_every_view_has_an_explanation() -> None:
    """The generated documentation has an operation without a word."""
    for path, method in EVERY_ROUTE:
        assert inspect.getdoc(ROUTES[path][method].view_function), (path, method)


# -- errors ----------------------------------------------------------------------------------------


def failing(error: Exception) -> WsgiClient:
    """Return a client of an application with a view that fails."""
    app = StrongroomApp("test", Unbuildable(UnavailableError("not built")))

    @app.route("/fail", methods=["GET"], operation=OPEN)
    def fail() -> Response:
        raise error

    del fail
    return WsgiClient(app)


def kernel_errors() -> list[type[StrongroomError]]:
    """Return every class of error."""
    return list(errors.BY_CODE.values())


@pytest.mark.parametrize("kind", kernel_errors(), ids=lambda kind: kind.code)
def test_every_error_is_a_problem(kind: type[StrongroomError]) -> None:
    """A refusal is an internal error, because nobody gave its class a status."""
    error = kind(
        "a detail",
        retry_after_s=7,
        current_version=3,
        entity_key="k",
        violations=[Violation("/a", "type", "not a string")],
    )
    answer = failing(error)("GET", "/fail")
    shown = problem(answer)
    assert shown["type"] == f"urn:strongroom:problem:{kind.code}"
    assert (shown["title"], shown["detail"]) == (kind.title, "a detail")
    assert (shown["current_version"], shown["key"]) == (3, "k")
    assert shown["errors"] == [{"pointer": "/a", "keyword": "type", "detail": "not a string"}]
    assert answer.headers["retry-after"] == "7"


DOCUMENTED = {
    400: ["invalid-argument", "invalid-json"],
    401: ["unauthenticated"],
    403: ["forbidden"],
    404: ["not-found"],
    405: ["method-not-allowed"],
    406: ["not-acceptable"],
    408: ["request-timeout"],
    409: ["conflict"],
    410: ["key-destroyed"],
    412: ["precondition-failed"],
    413: ["too-large"],
    415: ["unsupported-media-type"],
    422: ["schema-violation", "patch-failed", "idempotency-mismatch"],
    429: ["rate-limited"],
    500: ["internal", "integrity-error"],
    503: ["unavailable", "busy", "outcome-unknown", "stale-binding"],
}


def test_the_statuses_are_the_documented_ones() -> None:
    """A client that handles a status as documented meets another one."""
    found = {
        code: problems.response(kind("a detail"), "id").status_code
        for code, kind in errors.BY_CODE.items()
    }
    assert found == {code: status for status, codes in DOCUMENTED.items() for code in codes}


def test_a_write_that_failed_midway_shows_what_became_of_each() -> None:
    """After a PUT of several a client does not know which of them it has to repeat."""
    metadata = Metadata(4, "", "", None, "s", 1)
    outcomes: dict[str, Written | StrongroomError] = {
        "a": Written("a", created=False, metadata=metadata),
        "b": errors.ConflictError("taken"),
    }
    answer = failing(PartlyWrittenError(outcomes))("GET", "/fail")
    assert answer.status == 503
    assert problem(answer)["outcomes"] == {
        "a": {"version": 4, "created": False},
        "b": {"error": "conflict", "detail": "taken"},
    }


def test_an_unforeseen_failure_shows_nothing_of_itself() -> None:
    """A stack trace, a path of the server or a secret reaches the client."""
    answer = failing(ValueError("hunter2 in /srv/strongroom"))("GET", "/fail")
    assert answer.status == 500
    assert problem(answer)["type"] == "urn:strongroom:problem:internal"
    assert b"hunter2" not in answer.body
    assert b"/srv" not in answer.body
    assert b"Traceback" not in answer.body


def test_an_application_that_cannot_start_yet_says_so() -> None:
    """A Lambda that starts during an outage of KMS answers 500 for as long as it lives."""
    app = routes.build(Unbuildable(UnavailableError("KMS does not answer", retry_after_s=5)))
    answer = WsgiClient(app)("GET", "/entity/chatdb?key=k", headers={"Authorization": "Bearer x"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert WsgiClient(app)("GET", "/healthz").status == 200
    assert WsgiClient(app)("GET", "/readyz").status == 503


# -- paths and methods -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/nothing",
        "/entity",
        "/entity/",
        "/entity/a/b/c",
        "/healthz/",
        "//healthz",
        "/HEALTHZ",
        "/entity/a%2Fb",
        "/%00",
        "/%ff",
        "/%f0%9f%98%80",
        "/entity/{database}/nothing",
        "/..",
        "/%2e%2e/x",
    ],
)
def test_an_unknown_path_is_not_found(http: WsgiClient, path: str) -> None:
    """A mistyped path is an internal error, or tells of routes."""
    assert problem(http("GET", path))["type"] == "urn:strongroom:problem:not-found"


@pytest.mark.parametrize("path", ROUTES)
def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(
    http: WsgiClient, path: str
) -> None:
    """A client does not learn what it may do there, or an odd method is an internal error."""
    for method in (
        "GET",
        "PUT",
        "POST",
        "DELETE",
        "PATCH",
        "HEAD",
        "OPTIONS",
        "TRACE",
        "BREW",
        "get",
    ):
        implied = {"OPTIONS", "HEAD"} if "GET" in ROUTES[path] else {"OPTIONS"}
        if method not in {*ROUTES[path], *implied}:
            answer = http(method, path_of(path))
            assert answer.status == 405
            if method != "HEAD":
                assert problem(answer)["type"] == "urn:strongroom:problem:method-not-allowed"
            allowed = {m.strip() for m in answer.headers["allow"].split(",")}
            assert allowed == {*ROUTES[path], *implied}


# -- request ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/nothing", "/entity/chatdb?key=k"])
def test_a_request_id_comes_back_on_every_answer(http: WsgiClient, target: str) -> None:
    """A client cannot name the request that it asks about."""
    for sent in ("a", "x" * 128, "!#$%&'*+-.^_`|~09azAZ"):
        assert http("GET", target, headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", " ", "x" * 129, "a b", "a;b", "é", "a\x00", "<script>", '"'])
def test_a_request_id_that_is_none_is_replaced(http: WsgiClient, sent: str) -> None:
    """A client writes what it likes into the log and into an answer's header."""
    answers = [http("GET", "/healthz", headers={"X-Request-ID": sent}) for _ in range(2)]
    one, other = (answer.headers["x-request-id"] for answer in answers)
    assert sent not in {one, other}
    assert one != other
    assert len(bytes.fromhex(one)) == 16


# -- WSGI ------------------------------------------------------------------------------------------


def test_the_adapter_keeps_to_wsgi(rig: MainRig) -> None:
    """A WSGI server other than granian, or the next version of it, does not serve us."""
    bearer = rig.bearer(rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(rig.main())))
    checked = validator(cast("Any", http.adapter))
    for method, target, body in [
        ("GET", "/healthz", b""),
        ("PUT", "/entity/chatdb", b'{"k": 1}'),
        ("GET", "/entity/chatdb?key=k", b""),
        ("GET", "/nothing", b""),
    ]:
        environ = an_environ(method, target, body, {"Authorization": bearer})
        chunks = checked(environ, lambda *_: cast("Any", None))
        assert b"".join(chunks)
        cast("Any", chunks).close()


def lambda_event(method: str, path: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any
    """Return a proxy event as API Gateway sends it to the function."""
    return {
        "resource": path,
        "path": path_of(path),
        "httpMethod": method,
        "headers": None,
        "multiValueHeaders": None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"database": "chatdb"},
        "stageVariables": None,
        "requestContext": {"resourcePath": path, "httpMethod": method, "identity": {}},
        "body": None,
        "isBase64Encoded": False,
    } | fields


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"body": ""},
        {"body": "{"},
        {"body": "not base64!", "isBase64Encoded": True},
        {"body": "/w==", "isBase64Encoded": True},
        {"body": None, "isBase64Encoded": True},
    ],
    ids=str,
)
def test_a_lambda_event_with_a_broken_body_is_refused(rig: MainRig, fields: dict[str, Any]) -> None:
    """On AWS a request without a body, or with a broken one, is an internal error."""
    app = routes.build(Built(rig.main()))
    headers = {"Authorization": rig.bearer(rig.add_client("admin"))}
    event = lambda_event("PUT", "/entity/{database}", headers=headers, **fields)
    answer = app(event, None)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["type"] == "urn:strongroom:problem:invalid-json" or (
        json.loads(answer["body"])["type"] == "urn:strongroom:problem:invalid-argument"
    )


def test_lambda_and_wsgi_give_the_same_answer(rig: MainRig) -> None:
    """What works behind granian does not work on AWS, or the reverse."""
    app = routes.build(Built(rig.main()))
    headers = {"authorization": rig.bearer(rig.add_client("admin")), "x-request-id": "id"}
    http = WsgiClient(app)
    put = app(
        lambda_event("PUT", "/entity/{database}", headers=headers, body='{"k": {"grüße": 1.50}}'),
        None,
    )
    assert put["statusCode"] == 201
    query = {"multiValueQueryStringParameters": {"key": ["k"]}}
    got = app(lambda_event("GET", "/entity/{database}", headers=headers, **query), None)
    answer = http("GET", "/entity/chatdb?key=k", headers=headers)
    assert (got["statusCode"], got["body"].encode()) == (answer.status, answer.body)
    assert {k.lower(): v for k, v in got["headers"].items()} == {
        k: v for k, v in answer.headers.items() if k != "content-length"
    }
    assert app(lambda_event("GET", "/healthz"), None)["statusCode"] == 200


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]),
    path=st.sampled_from([path_of(p) for p in ROUTES])
    | st.binary(max_size=20).map(lambda raw: "/" + "".join(f"%{byte:02x}" for byte in raw)),
    query=st.text(alphabet=st.characters(max_codepoint=255), max_size=40)
    | st.sampled_from(
        ["key=k", "key=%", "key=%zz", "key=%ff", "limit=x", "cursor=%00", "prefix=%0a"]
    ),
    headers=st.dictionaries(
        st.sampled_from(
            [
                "Authorization",
                "Content-Type",
                "If-Match",
                "If-None-Match",
                "Idempotency-Key",
                "X-Request-ID",
                "Accept",
                "Content-Encoding",
                "Host",
            ]
        ),
        st.text(alphabet=st.characters(max_codepoint=255), max_size=20),
    ),
    body=st.binary(max_size=40) | st.sampled_from([b"{}", b'{"k": 1}', b'{"": 1}', b"[]"]),
    is_admin=st.booleans(),
)
def test_no_request_is_an_internal_error(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, *, is_admin: bool
) -> None:
    """Some odd request ends in a 500, a stack trace in the log, and an alarm at night."""
    rig = MainRig()
    rig.add_workers("worker-1")
    http = WsgiClient(routes.build(Built(rig.main())))
    if is_admin:
        headers = headers | {"Authorization": rig.bearer(rig.add_client("admin"))}
    answer = http(method, f"{path}?{query.replace('#', '')}", body, headers)
    assert answer.status < 500, answer


# -- import ----------------------------------------------------------------------------------------

IMPORT = """
import sys
seen = []
def hook(event, arguments):
    if event == "open":
        path, mode = str(arguments[0]), arguments[1]
        if isinstance(mode, str) and set(mode) & set("wax+"):
            seen.append(f"writes {path}")
        elif not path.startswith(tuple(code)):
            seen.append(f"reads {path}")
    elif event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess.", "os.exec")):
        seen.append(f"{event} {arguments}")
    elif event in {"os.mkdir", "os.rename", "os.remove", "os.truncate"}:
        seen.append(f"{event} {arguments}")
root = sys.argv[1]
sys.path[:0] = [root, root + "/layers/core/python"]
code = [root + "/", sys.prefix, sys.base_prefix]
sys.addaudithook(hook)
import app
print(type(app.app).__name__)
print(seen)
"""


def test_the_entry_point_is_imported_without_environment_disk_or_network(tmp_path: Path) -> None:
    """Packaging for AWS, which imports it, fails, or each cold start pays for it."""
    root = Path(importlib.import_module("app").__file__ or "").parent
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-B", "-W", "error", "-c", IMPORT, str(root)],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["StrongroomApp", "[]"]
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []


UNFORESEEN = """
import json, sys
import app as entry_point
from main_api.bootstrap import Current
from main_api.rest.application import StrongroomApp
context = {"resourcePath": "/healthz", "httpMethod": "GET"}
event = {"requestContext": context, "headers": {}, "pathParameters": {}, "body": None}
event |= {"multiValueQueryStringParameters": None, "stageVariables": None, "isBase64Encoded": False}
assert entry_point.app(event, None)["statusCode"] == 200
failing = StrongroomApp("failing", Current())
declared = entry_point.app.operations["/healthz", "GET"]
@failing.route("/healthz", methods=["GET"], operation=declared)
def healthz():
    secret = "hunter2"
    raise ValueError(secret)
print(failing(event, None)["statusCode"])
"""


def test_an_unforeseen_failure_on_lambda_is_logged_as_everywhere() -> None:
    """On AWS a document, a token or a secret lies readable in CloudWatch."""
    root = Path(importlib.import_module("app").__file__ or "").parent
    ended = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", UNFORESEEN],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == "500"
    assert "hunter2" not in ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["error"] == "ValueError"
