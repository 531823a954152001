"""Step 2: a put through REST, and two requests that are refused."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from cli.demo.stage import Stage, document
from cli.demo.step import Step
from strongroom import jsontext
from strongroom_client.rest.messages import HttpResponse

_MEANING: Final = (
    "A client presents its id and secret and gets an access token; with the token it writes. The"
    " answer is 201 once the entity lies on the disk, and its ETag is the entity's version."
    " Without a token, or with a document that the template refuses, nothing happens."
)
_SHOWN_HEADERS: Final = ("content-type", "etag", "cache-control", "x-request-id")
_NOT_A_CHAT: Final = b'{"chat": "hello"}'


def show(stage: Stage) -> Step:
    """Ask for a token, put an entity with it, and try what is refused."""
    database, key, written = stage.database.name, stage.entity_key, document(stage.text)
    credentials, nobody = stage.deployment.credentials, stage.rest.with_token("")
    issued = nobody.ask_token(credentials.client_id, credentials.client_secret)
    put = stage.rest.put(database, _mapping(key, written))
    refused = nobody.entity(database, key), stage.rest.put(database, _mapping(key, _NOT_A_CHAT))
    found = stage.rest.entity(database, key)
    observed = {
        "token_request": f"POST {stage.rest.url}/oauth/token by {credentials.client_id}",
        "token_answer": _issued(issued),
        "put_request": f"PUT {stage.rest.url}/entity/{database}",
        "put_body": _mapping(key, written).decode(),
        "put_answer": _shown(put),
        "get_without_a_token": _refusal(refused[0]),
        "put_against_the_template": _refusal(refused[1]),
        "get_afterwards": _shown(found),
    }
    expected = {
        "the client's secret gets a Bearer token": _issued(issued)["type"] == "Bearer",
        "the put is answered with 201 and the ETag of version 1": (
            put.status == HTTPStatus.CREATED and put.headers.get("etag") == '"1"'
        ),
        **_expected_refusals(*map(_refusal, refused)),
        "what was refused has changed nothing": (
            found.headers.get("etag") == put.headers.get("etag")
            and jsontext.parse(found.body) == {key: jsontext.parse(written)}
        ),
    }
    return Step("put", "A put through REST", _MEANING, observed, expected)


def _expected_refusals(
    no_token: Mapping[str, Any], not_a_chat: Mapping[str, Any]
) -> dict[str, bool]:
    return {
        "without a token: 401": no_token["status"] == HTTPStatus.UNAUTHORIZED,
        "against the template: 422, which names the place": (
            not_a_chat["status"] == HTTPStatus.UNPROCESSABLE_ENTITY
            and not_a_chat["places"] == ["/chat"]
        ),
    }


def _mapping(key: str, entity: bytes) -> bytes:
    return b"{%b: %b}" % (jsontext.string(key), entity)


def _issued(answer: HttpResponse) -> dict[str, Any]:
    """Return what is known of a token that is not shown."""
    members = jsontext.parse(answer.body)
    return {
        "status": answer.status,
        "type": members.get("token_type"),
        "characters": len(members.get("access_token", "")),
        "expires_in_seconds": members.get("expires_in"),
        "scope": members.get("scope"),
    }


def _shown(answer: HttpResponse) -> dict[str, Any]:
    headers = {name: answer.headers[name] for name in _SHOWN_HEADERS if name in answer.headers}
    return {"status": answer.status, **headers, "body": answer.body.decode()}


def _refusal(answer: HttpResponse) -> dict[str, Any]:
    problem = jsontext.parse(answer.body)
    return {
        "status": answer.status,
        "title": problem.get("title"),
        "places": [violation["pointer"] for violation in problem.get("errors", [])],
    }
