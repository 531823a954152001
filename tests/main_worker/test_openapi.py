"""The OpenAPI document: every route in it, and true."""

import base64
import hashlib
import json
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from main_api.rest import docs_page, openapi, problems, routes
from main_api.rest.operations import JSON, Content, Right
from strongroom import errors, jsontext
from strongroom.errors import InternalError, UnavailableError
from tests.support.mains import Built, MainRig, Unbuildable
from tests.support.wsgi import WsgiClient

ROOT = Path(__file__).parents[2]
APP = routes.build(Unbuildable(UnavailableError("not built")))
DOCUMENT: dict[str, Any] = openapi.document(APP)
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]
HOW = (
    "{method} {path} declares no operation. Give app.route(...) an operation=Operation(...): tag,"
    " rights, query, headers, body, answers, errors, as main_api/rest/operations.py shows; the"
    " struct that the view decodes is `body`, the one that it answers stands in `answers`"
)


def test_every_route_declares_its_operation() -> None:
    """A path is served that no client knows of, and nobody has said who may call it."""
    for path, methods in APP.routes.items():
        for method in methods:
            assert (path, method) in APP.operations, HOW.format(method=method, path=path)


def test_a_route_that_declares_nothing_ends_the_document() -> None:
    """A new route is missing in the document, and nobody notices."""
    app = routes.build(Unbuildable(UnavailableError("not built")))
    app.route("/undeclared", methods=["GET"])(lambda: None)
    with pytest.raises(InternalError, match="GET /undeclared declares no operation"):
        openapi.document(app)


def test_the_document_is_served_without_a_token_and_without_a_keyring() -> None:
    """A generator of clients cannot fetch it, or only while everything is well."""
    answer = WsgiClient(APP)("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == JSON
    assert answer.json() == json.loads(openapi.text(APP)) == DOCUMENT


def test_every_operation_has_a_name_of_its_own_and_words() -> None:
    """Of two operations a generated client has one, or a reader learns nothing of one."""
    named = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(named)) == len(named)
    for path, method in OPERATIONS:
        assert DOCUMENT["paths"][path][method]["summary"], (path, method)


def contents() -> list[tuple[str, Content]]:
    """Return all contents that have an example and a model."""
    return [
        (f"{method} {path} {media_type}", content)
        for (path, method), operation in APP.operations.items()
        for part in (operation.body, *(answer.content for answer in operation.answers))
        for media_type, content in part.items()
        if content.example is not None and content.model is not None
    ]


@pytest.mark.parametrize(
    ("where", "content"), contents(), ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_example_is_one(where: str, content: Content) -> None:
    """Whoever sends what the document shows is refused."""
    del where
    text = jsontext.dump(content.example)
    models = content.model if isinstance(content.model, tuple) else (content.model,)
    assert msgspec.json.decode(text, type=models[0]) is not None


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that carries what it refers to."""
    return {**node, "components": DOCUMENT["components"]}


def schemas(node: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return every schema of the document."""
    found = []
    if isinstance(node, dict):
        found += [one for name, one in node.items() if name == "schema" and isinstance(one, dict)]
        found += [one for name, child in node.items() if name != "schema" for one in schemas(child)]
    if isinstance(node, list):
        found += [one for child in node for one in schemas(child)]
    return found


def test_every_schema_is_one() -> None:
    """A generator of clients, or a validator, stops at the document."""
    found = [*schemas(DOCUMENT), *DOCUMENT["components"]["schemas"].values()]
    assert len(found) > len(OPERATIONS)
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("code", errors.BY_CODE)
def test_every_error_is_one_of_the_document(code: str) -> None:
    """A client that checks answers by the document stumbles over a problem."""
    error = errors.BY_CODE[code](
        "a detail",
        retry_after_s=1,
        current_version=0,
        entity_key="k",
        violations=[errors.Violation("/a", "type", "not a string")],
    )
    answer = problems.response(error, "an-id")
    responses = {
        one["content"][problems.MEDIA_TYPE]["example"]["status"]: one
        for one in DOCUMENT["components"]["responses"].values()
    }
    schema = responses[answer.status_code]["content"][problems.MEDIA_TYPE]["schema"]
    jsonschema.validate(json.loads(answer.body), resolved(schema))


def test_what_takes_no_token_asks_for_none() -> None:
    """The document sends a client without a token to where one is wanted, or the reverse."""
    for (path, method), operation in APP.operations.items():
        shown = DOCUMENT["paths"][path][method.lower()]
        assert shown["x-strongroom-rights"] == [str(right) for right in operation.rights]
        schemes = {name for one in shown["security"] for name in one}
        assert (schemes == {"bearer", "oauth2"}) is operation.takes_token
        assert (schemes == set()) is (operation.rights == (Right.PUBLIC,))


def test_parameters_are_those_that_are_taken(main_rig: MainRig) -> None:
    """A parameter of the document is refused, or one that is not there is passed over."""
    bearer = main_rig.bearer(main_rig.add_client("admin"))
    http = WsgiClient(routes.build(Built(main_rig.main())), authorization=bearer)
    for path, method in OPERATIONS:
        filled = path.replace("{", "").replace("}", "")
        answer = http(method.upper(), f"{filled}?surely-not=1")
        assert answer.status == 400, (method, path)
        assert answer.json()["detail"].startswith("known parameters here: ")


@pytest.fixture
def main_rig() -> MainRig:
    """Return a Main Worker with a Processing Worker."""
    made = MainRig()
    made.add_workers("worker-1")
    return made


def test_the_document_is_asked_for_again_only_when_it_has_changed() -> None:
    """A client fetches a hundred kilobytes at each start."""
    http = WsgiClient(APP)
    for path in ("/openapi.json", "/docs"):
        first = http("GET", path)
        assert first.headers["cache-control"] == "no-cache"
        again = http("GET", path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert http("GET", path, headers={"If-None-Match": '"3"'}).status == 200


def test_the_document_knows_where_a_gateway_has_put_it() -> None:
    """Behind API Gateway, every call of a generated client goes past the stage."""
    event = {
        "requestContext": {
            "resourcePath": "/openapi.json",
            "httpMethod": "GET",
            "path": "/prod/openapi.json",
        },
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    document = json.loads(APP(event, None)["body"])
    assert document["servers"] == [{"url": "/prod"}]
    flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "/prod/oauth/token"
    assert DOCUMENT["servers"] == [{"url": "/"}]


def test_the_version_is_that_of_the_project() -> None:
    """A client cannot tell which version it speaks to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert DOCUMENT["info"]["version"] == project["version"]


def test_links_lead_to_operations_and_their_parameters() -> None:
    """A client that follows what the document says goes on to nothing."""
    parameters = {
        one["operationId"]: {p["name"] for p in one.get("parameters", ())}
        for item in DOCUMENT["paths"].values()
        for one in item.values()
    }
    found = 0
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                for link in answer.get("links", {}).values():
                    assert set(link["parameters"]) <= parameters[link["operationId"]]
                    found += 1
    assert found


# -- the page --------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What stands on the page, and whatever it would fetch."""

    def __init__(self) -> None:
        """Start with nothing."""
        super().__init__()
        self.fetched: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag."""
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "link", "img", "iframe", "object", "base", "form"} or "src" in given:
            self.fetched.append(tag)
        self.fetched += [name for name in given if name.startswith("on") or name == "style"]
        self.targets += [given["href"]] if "href" in given else []
        self.ids += [given["id"]] if "id" in given else []
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Look at its end."""
        assert self.open.pop() == tag


def the_page() -> tuple[Page, str, dict[str, str]]:
    """Return the page, its text and its header fields."""
    answer = WsgiClient(APP)("GET", "/docs")
    assert answer.status == 200
    page = Page()
    page.feed(answer.body.decode())
    page.close()
    assert page.open == []
    return page, answer.body.decode(), answer.headers


def test_the_page_needs_no_network() -> None:
    """Somebody who reads the page is seen by others, or reads nothing where there is no network."""
    page, text, headers = the_page()
    assert page.fetched == []
    assert {one for one in page.targets if not one.startswith("#")} == {"openapi.json"}
    assert "@import" not in text
    assert "url(" not in text
    policy = headers["content-security-policy"]
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_the_page_tells_of_every_operation_and_every_error() -> None:
    """A reader does not learn of an operation."""
    page, text, _ = the_page()
    assert len(set(page.ids)) == len(page.ids)
    assert {one[1:] for one in page.targets if one.startswith("#")} <= set(page.ids)
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            assert operation["operationId"] in page.ids
    statuses = {int(one.removeprefix("error-")) for one in page.ids if one.startswith("error-")}
    assert statuses == {problems.status_of(kind) for kind in errors.BY_CODE.values()}
    assert ">None<" not in text


def test_what_a_document_says_is_text_on_the_page() -> None:
    """A description with a tag in it is run in the browser of whoever reads it."""
    hostile = "<script>alert(1)</script>`<b>`"
    document = json.loads(json.dumps(DOCUMENT))
    document["info"]["title"] = hostile
    for item in document["paths"].values():
        for operation in item.values():
            operation["summary"] = operation["description"] = hostile
            for one in operation.get("parameters", ()):
                one["description"] = one["name"] = hostile
    text = docs_page.html(document)
    assert "<script>" not in text
    assert "<b>" not in text.replace("<b>*</b>", "")
