"""What API Gateway is told beside what Chalice generates (OpenAPI 2 with Amazon's extensions).

Three things, so that a client hears us and not the gateway: every method of every path comes
through, and every other path; bodies come as bytes; and where the gateway itself refuses, it does
so in problem details (RFC 9457).
"""

from typing import Any, Final

import msgspec

from strongroom import errors

Document = dict[str, Any]

_TYPE_PREFIX: Final = "urn:strongroom:problem:"
_ANY: Final = "x-amazon-apigateway-any-method"
_INTEGRATION: Final = "x-amazon-apigateway-integration"
_EVERY_OTHER_PATH: Final = ("/", "/{proxy+}")
_UNKNOWN: Final = "the request may or may not have taken effect; repeat it with its request id"

# Every kind of answer that API Gateway makes by itself, as far as one can be had here: there are no
# API keys, no authorizers and no models
# (https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html).
_REFUSALS: Final[dict[str, tuple[int, type[errors.StrongroomError], str]]] = {
    "ACCESS_DENIED": (403, errors.ForbiddenError, "the API's policy does not let you in"),
    "BAD_REQUEST_BODY": (400, errors.InvalidArgumentError, "the body is not of its form"),
    "BAD_REQUEST_PARAMETERS": (400, errors.InvalidArgumentError, "a parameter is not of its form"),
    "MISSING_AUTHENTICATION_TOKEN": (404, errors.NotFoundError, "no such path"),
    "RESOURCE_NOT_FOUND": (404, errors.NotFoundError, "no such path"),
    "REQUEST_TOO_LARGE": (413, errors.TooLargeError, "the body is larger than is accepted"),
    "UNSUPPORTED_MEDIA_TYPE": (
        415,
        errors.UnsupportedMediaTypeError,
        "not a media type of this path",
    ),
    "QUOTA_EXCEEDED": (429, errors.RateLimitedError, "too many requests"),
    "THROTTLED": (429, errors.RateLimitedError, "too many requests"),
    "WAF_FILTERED": (403, errors.ForbiddenError, "the firewall does not let the request through"),
    "API_CONFIGURATION_ERROR": (503, errors.OutcomeUnknownError, _UNKNOWN),
    "INTEGRATION_FAILURE": (503, errors.OutcomeUnknownError, _UNKNOWN),
    "INTEGRATION_TIMEOUT": (503, errors.OutcomeUnknownError, _UNKNOWN),
    # Whatever has no line above. A 4xx keeps its status: it was the client's doing.
    "DEFAULT_4XX": (0, errors.InvalidArgumentError, "the request is not one that is served here"),
    "DEFAULT_5XX": (503, errors.OutcomeUnknownError, _UNKNOWN),
}
_RETRY_AFTER: Final = {429: "'1'", 503: "'1'"}


def complete(document: Document) -> Document:
    """Return the document that Chalice has made, with the three things.

    Raises:
        ValueError: It has no path, or one without an integration.
    """
    paths = {path: _any_method(path, methods) for path, methods in document["paths"].items()}
    if not paths:
        raise ValueError("Chalice has generated no path")
    one = next(iter(paths.values()))
    for path in _EVERY_OTHER_PATH:
        parameters = [_path_parameter("proxy")] if "{proxy+}" in path else []
        others = {_INTEGRATION: one[_ANY][_INTEGRATION], "responses": {}}
        if parameters:
            others["parameters"] = parameters
        paths.setdefault(path, {_ANY: others})
    return {
        **document,
        "paths": paths,
        "x-amazon-apigateway-binary-media-types": ["*/*"],
        "x-amazon-apigateway-gateway-responses": {
            kind: _refusal(*row) for kind, row in _REFUSALS.items()
        },
    }


def _any_method(path: str, methods: Document) -> Document:
    some: Document = next(iter(methods.values()), {})
    if _INTEGRATION not in some:
        raise ValueError(f"Chalice has generated no integration for {path}")
    made = {_INTEGRATION: some[_INTEGRATION], "responses": {}}
    if "parameters" in some:
        made["parameters"] = some["parameters"]
    return {_ANY: made}


def _path_parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "type": "string"}


def _refusal(status: int, kind: type[errors.StrongroomError], detail: str) -> Document:
    problem = {
        "type": _TYPE_PREFIX + kind.code,
        "title": kind.title,
        "status": status,
        "detail": detail,
        "request_id": "$context.requestId",
    }
    template = msgspec.json.encode(problem).decode()
    headers = {
        "gatewayresponse.header.Content-Type": "'application/problem+json'",
        "gatewayresponse.header.Cache-Control": "'no-store'",
        "gatewayresponse.header.X-Request-ID": "context.requestId",
    }
    made: Document = {"responseParameters": headers}
    if status:
        made["statusCode"] = str(status)
        if status in _RETRY_AFTER:
            headers["gatewayresponse.header.Retry-After"] = _RETRY_AFTER[status]
    else:
        template = template.replace('"status":0', '"status":$context.status')
    made["responseTemplates"] = {"application/json": template}
    return made
