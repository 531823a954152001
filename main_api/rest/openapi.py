"""The OpenAPI 3.1 document, made from the operations that the routes declare.

Nothing of it is written by hand for one path: schemas are msgspec's of the structs that views
decode and answer, statuses and problem types come from the table in `problems.py`. It is made at
the first request for it, so that a cold start does not pay.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from inspect import cleandoc, getdoc
from typing import Any, Final

import msgspec

from main_api.domain.grants import Action
from main_api.rest import problems
from main_api.rest.application import StrongroomApp
from main_api.rest.operations import FORM, Answer, Content, Name, Operation, Right, Tag, WorkerId
from main_api.rest.parameters import HEADERS, REQUEST_HEADERS, REQUEST_HEADERS_OF_READS, Field
from strongroom import VERSION, errors, jsontext
from strongroom.errors import InternalError, StrongroomError

Node = dict[str, Any]
_SCHEMAS: Final = "#/components/schemas/"
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATH_MODELS: Final[Mapping[str, Any]] = {"worker_id": WorkerId}
_EXAMPLES: Final = {
    "database": "chatdb",
    "schema_id": "chat.v1",
    "client_id": "front-end",
    "issuer_name": "keycloak",
    "worker_id": "worker-9",
    "key_id": "4338abd0257bc0e8",
    "job_id": "01a20bc764d706a5ff8e11493a3a",
    "backup_id": "nightly-2026-01-01",
    "export_id": "01a20bc764d706a5",
}
_ABOUT: Final = """\
Strongroom is an encrypted JSON database: entities, each a JSON value under a key, in named
databases, every write validated by a JSON Schema template.

Get an access token at `POST /oauth/token` with a client's id and secret, and send it as
`Authorization: Bearer <token>`. Errors are problem details (RFC 9457). `X-Request-ID` comes back
on every answer. What right an operation takes is its `x-strongroom-rights`: an action on the
database in question, or `everywhere`, the action `admin` on every database."""
_ALWAYS: Final = (
    errors.InvalidArgumentError,
    errors.RateLimitedError,
    errors.InternalError,
    errors.UnavailableError,
)
_WITH_TOKEN: Final = (errors.UnauthenticatedError, errors.ForbiddenError)
_WITH_BODY: Final = (
    errors.InvalidDocumentError,
    errors.TimedOutError,
    errors.TooLargeError,
    errors.UnsupportedMediaTypeError,
)
_NO_OPERATION: Final = (
    "{method} {path} declares no operation: pass operation=Operation(...) to app.route,"
    " as main_api/rest/operations.py shows"
)


def text(app: StrongroomApp, prefix: str = "") -> bytes:
    """Return the document of an application, as JSON.

    Args:
        app: The application.
        prefix: What stands before its paths as a client sees them, such as a gateway's stage.

    Raises:
        InternalError: A route declares no operation.
    """
    return jsontext.dump(document(app, prefix))


def document(app: StrongroomApp, prefix: str = "") -> Node:
    """Return the document of an application; as `text`."""
    routes = [
        (path, method, app.operations.get((path, method)), entry.view_function)
        for path, methods in app.routes.items()
        for method, entry in methods.items()
    ]
    for path, method, operation, _ in routes:
        if operation is None:
            raise InternalError(_NO_OPERATION.format(method=method, path=path))
    declared = [(path, method, one, view) for path, method, one, view in routes if one is not None]
    schemas = _Schemas([one for _, _, one, _ in declared])
    paths: Node = {}
    for path, method, operation, view in declared:
        item = paths.setdefault(path, {})
        item[method.lower()] = _operation((path, method), operation, view, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Strongroom",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": tag.value} for tag in Tag],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {_name(status): _problem(status) for status in _problem_types()},
            "headers": {name: _header(field, schemas) for name, field in HEADERS.items()},
            "securitySchemes": _security_schemes(f"{prefix}/oauth/token"),
        },
    }


def _security_schemes(token_url: str) -> Node:
    scopes = {action.value: f"The action `{action}`, where it is granted." for action in Action}
    return {
        "oauth2": {
            "type": "oauth2",
            "description": "The client credentials grant of RFC 6749.",
            "flows": {"clientCredentials": {"tokenUrl": token_url, "scopes": scopes}},
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token, however it was come by.",
        },
        "client": {
            "type": "http",
            "scheme": "basic",
            "description": "A client's id and secret.",
        },
        "worker": {
            "type": "http",
            "scheme": "basic",
            "description": "A worker's id and its pre-shared credential.",
        },
    }


class _Schemas:
    """The JSON Schemas of all models, and the components that they refer to."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        everything = [one for operation in operations for one in _models(operation)]
        everything += [problems.Problem, Name, WorkerId]
        everything += [field.model for field in (*HEADERS.values(), *REQUEST_HEADERS.values())]
        found, components = msgspec.json.schema_components(
            everything, ref_template=_SCHEMAS + "{name}"
        )
        self._found = [(model, _tidied(one)) for model, one in zip(everything, found, strict=True)]
        self.components = {_short(name): _tidied(one) for name, one in components.items()}
        for form in {one.body[FORM].model for one in operations if FORM in one.body}:
            self._require_text(self.of(form))

    def of(self, model: Any) -> Node:  # noqa: ANN401 - any model
        """Return the schema of a model, or of several of which a value has one."""
        if isinstance(model, tuple):
            return {"anyOf": [self.of(one) for one in model]}
        return next(dict(found) for known, found in self._found if known is model)

    def _require_text(self, schema: Node) -> None:
        """Say that the further parameters of a form, which are passed over, are text."""
        for one in schema.get("anyOf", [schema]):
            component = self.components[one["$ref"].removeprefix(_SCHEMAS)]
            component["additionalProperties"] = {"type": "string"}

    def fields(self, query: type[msgspec.Struct]) -> tuple[Node, list[str]]:
        """Return the schemas of a struct's fields, and which are required."""
        struct = self.components[_short(query.__name__)]
        return struct["properties"], struct.get("required", [])


def _models(operation: Operation) -> Iterable[Any]:
    if operation.query is not None:
        yield operation.query
    contents = [operation.body, *(answer.content for answer in operation.answers)]
    for content in contents:
        for one in content.values():
            yield from one.model if isinstance(one.model, tuple) else [one.model]


def _operation(route: tuple[str, str], operation: Operation, view: Any, schemas: _Schemas) -> Node:  # noqa: ANN401 - Chalice's
    path, method = route
    summary, _, description = (getdoc(view) or "").partition("\n\n")
    found: Node = {
        "operationId": view.__name__,
        "tags": [operation.tag.value],
        "summary": summary.replace("\n", " ").rstrip("."),
        "description": description.replace("\n", " "),
        "x-strongroom-rights": [right.value for right in operation.rights],
        "parameters": [
            *(_path_parameter(name, schemas) for name in _PATH_PARAMETER.findall(path)),
            *_query_parameters(operation, schemas),
            *(
                {"in": "header", "name": name, **_header(_request_field(name, method), schemas)}
                for name in ("X-Request-ID", *operation.headers)
            ),
        ],
        "responses": {
            **{str(one.status): _answer(one, schemas) for one in operation.answers},
            **{
                str(status): {"$ref": "#/components/responses/" + _name(status)}
                for status in sorted(_error_statuses(operation))
            },
        },
        "security": _security(operation),
    }
    if operation.further_rights:
        found["x-strongroom-further-rights"] = [
            {"when": when, "right": right.value} for when, right in operation.further_rights.items()
        ]
    if operation.body:
        found["requestBody"] = {
            "required": not operation.body_optional,
            "content": _content(operation.body, schemas),
        }
    return {name: value for name, value in found.items() if value not in ("", [])} | {
        "security": found["security"]
    }


def _path_parameter(name: str, schemas: _Schemas) -> Node:
    return {
        "in": "path",
        "name": name,
        "required": True,
        "schema": schemas.of(_PATH_MODELS.get(name, Name)),
        **({"example": _EXAMPLES[name]} if name in _EXAMPLES else {}),
    }


def _request_field(name: str, method: str) -> Field:
    fields = REQUEST_HEADERS_OF_READS if method == "GET" else REQUEST_HEADERS
    return fields.get(name) or REQUEST_HEADERS[name]


def _query_parameters(operation: Operation, schemas: _Schemas) -> Iterable[Node]:
    if operation.query is None:
        return
    properties, required = schemas.fields(operation.query)
    for name, found in properties.items():
        schema = dict(found)
        about = schema.pop("description", None)
        yield {
            "in": "query",
            "name": name,
            "required": name in required,
            **({"description": about} if about else {}),
            "schema": schema,
        }


def _header(field: Field, schemas: _Schemas) -> Node:
    schema = schemas.of(field.model)
    schema.pop("description", None)
    example = {} if field.example is None else {"example": field.example}
    return {"description": field.about, "schema": schema, **example}


def _answer(answer: Answer, schemas: _Schemas) -> Node:
    headers = {"X-Request-ID": True} | {
        name.rstrip("?"): not name.endswith("?") for name in answer.headers
    }
    found: Node = {
        "description": answer.about,
        "headers": {
            name: {"$ref": "#/components/headers/" + name}
            if not always
            else {**_header(HEADERS[name], schemas), "required": True}
            for name, always in headers.items()
        },
    }
    if answer.content:
        found["content"] = _content(answer.content, schemas)
    if answer.links:
        found["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)}
            for name, parameters in answer.links.items()
        }
    return found


def _content(content: Mapping[str, Content], schemas: _Schemas) -> Node:
    return {
        media_type: {
            "schema": {"type": "string"} if one.model is None else schemas.of(one.model),
            **({} if one.example is None else {"example": _plain(one.example)}),
        }
        for media_type, one in content.items()
    }


def _security(operation: Operation) -> list[Node]:
    if operation.takes_token:
        actions = sorted(
            {
                Right.ADMIN.value if right is Right.EVERYWHERE else right.value
                for right in operation.rights
            }
        )
        return [{"bearer": []}, {"oauth2": actions}]
    if Right.CLIENT in operation.rights:
        return [{"client": []}]
    return [{"worker": []}] if Right.WORKER in operation.rights else []


def _error_statuses(operation: Operation) -> set[int]:
    found: list[type[StrongroomError]] = [*_ALWAYS, *operation.errors]
    if operation.takes_token:
        found += _WITH_TOKEN
    if operation.body:
        found += _WITH_BODY
    if operation.media_types:
        found.append(errors.NotAcceptableError)
    return {problems.status_of(kind) for kind in found}


def _problem_types() -> dict[int, list[type[StrongroomError]]]:
    """Return the kinds of errors of each status."""
    by_status: dict[int, list[type[StrongroomError]]] = {}
    for kind in errors.BY_CODE.values():
        by_status.setdefault(problems.status_of(kind), []).append(kind)
    return by_status


def _problem(status: int) -> Node:
    kinds = _problem_types()[status]
    headers = ["X-Request-ID", *_PROBLEM_HEADERS.get(status, ())]
    example = problems.Problem(
        type=problems.TYPE_PREFIX + kinds[0].code,
        title=kinds[0].title,
        status=status,
        detail=" ".join(cleandoc(kinds[0].__doc__ or "").split()),
        request_id="189f64e23614696987f9e2dab67c6d46",
    )
    return {
        "description": HTTPStatus(status).phrase + ": " + "; ".join(one.title for one in kinds),
        "headers": {name: {"$ref": "#/components/headers/" + name} for name in headers},
        "content": {
            problems.MEDIA_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": _SCHEMAS + "Problem"},
                        {
                            "properties": {
                                "type": {
                                    "enum": [problems.TYPE_PREFIX + one.code for one in kinds]
                                },
                                "status": {"const": status},
                            }
                        },
                    ]
                },
                "example": _plain(example),
            }
        },
    }


_PROBLEM_HEADERS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}


def _name(status: int) -> str:
    return re.sub(r"\W", "", HTTPStatus(status).phrase.title())


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as JSON has it."""
    return msgspec.json.decode(jsontext.dump(value))


def _short(name: str) -> str:
    """Return a component's name; msgspec qualifies those that several modules have."""
    return "".join(part.title() for part in name.split(".")[-2:-1]) + name.rpartition(".")[2]


def _tidied(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a schema without what is for readers of the code alone."""
    if isinstance(node, list | tuple):
        return [_tidied(one) for one in node]
    if not isinstance(node, dict):
        return node
    # What is repeated in a set is taken, and is there once.
    dropped = {"title", "uniqueItems"}
    tidied = {name: _tidied(one) for name, one in node.items() if name not in dropped}
    about = node.get("description")
    if isinstance(about, str):
        tidied["description"] = " ".join(about.partition("\n\n")[0].split())
    reference = node.get("$ref")
    if isinstance(reference, str):
        tidied["$ref"] = _SCHEMAS + _short(reference.removeprefix(_SCHEMAS))
    return tidied
