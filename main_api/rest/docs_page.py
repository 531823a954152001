"""The OpenAPI document as a page to read: HTML without a script, a picture or an address."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from main_api.rest.docs_style import STYLE
from main_api.rest.problems import MEDIA_TYPE as PROBLEM

Node = Mapping[str, Any]
STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_CODE: Final = re.compile("`([^`]+)`")
_METHODS: Final = ("get", "put", "patch", "post", "delete")
_DEPTH_MAX: Final = 6


def html(document: Node) -> str:
    """Return the page of a document of `openapi.document`."""
    chapters = _chapters(document)
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(document['info']['title'])} API</title>",
            f"<style>{STYLE}</style></head><body>",
            _menu(document, chapters),
            f"<main>{_head(document)}",
            *(_chapter(document, name, one) for name, one in chapters.items()),
            _errors(document),
            "</main></body></html>",
        )
    )


def _chapters(document: Node) -> dict[str, list[tuple[str, str, Node]]]:
    """Return (method, path, operation) by tag; tags without an operation are left out."""
    found: dict[str, list[tuple[str, str, Node]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in sorted(item, key=_METHODS.index):
            found[item[method]["tags"][0]].append((method.upper(), path, item[method]))
    return {name: operations for name, operations in found.items() if operations}


def _menu(document: Node, chapters: Mapping[str, list[tuple[str, str, Node]]]) -> str:
    entries = "".join(
        f"<h2>{escape(name)}</h2>"
        + "".join(
            f'<a href="#{escape(one["operationId"])}" title="{escape(one["summary"])}">'
            f"{_badge(method)}<span>{_path(path)}</span></a>"
            for method, path, one in operations
        )
        for name, operations in chapters.items()
    )
    title, version = escape(document["info"]["title"]), escape(document["info"]["version"])
    return f'<nav><a class="top" href="#top">{title} <small>{version}</small></a>{entries}</nav>'


def _head(document: Node) -> str:
    about = "".join(
        f"<p>{_prose(one)}</p>" for one in document["info"]["description"].split("\n\n")
    )
    return (
        f'<header id="top"><h1>{escape(document["info"]["title"])} API</h1>{about}'
        '<p>The same for machines: <a href="openapi.json">openapi.json</a></p></header>'
    )


def _chapter(document: Node, name: str, operations: list[tuple[str, str, Node]]) -> str:
    return f"<h2>{escape(name)}</h2>" + "".join(
        _operation(document, method, path, one) for method, path, one in operations
    )


def _operation(document: Node, method: str, path: str, operation: Node) -> str:
    rights = "".join(f"<i>{escape(one)}</i>" for one in operation["x-strongroom-rights"])
    further = "".join(
        f"<p>Where {_prose(one['when'])}, it takes the right <i>{escape(one['right'])}</i> too.</p>"
        for one in operation.get("x-strongroom-further-rights", ())
    )
    about = operation.get("description")
    return (
        f'<details id="{escape(operation["operationId"])}"><summary>{_badge(method)}'
        f"<code>{_path(path)}</code><span>{_prose(operation['summary'])}</span>{rights}</summary>"
        "<div>"
        + (f"<p>{_prose(about)}</p>" if about else "")
        + further
        + _parameters(operation.get("parameters", ()))
        + _body(document, operation.get("requestBody"))
        + _answers(document, operation["responses"])
        + "</div></details>"
    )


def _parameters(parameters: Iterable[Node]) -> str:
    rows = "".join(
        _row(one["name"], one["in"], one["schema"], one.get("description"), one.get("required"))
        for one in parameters
    )
    return f"<h3>Parameters</h3><table>{rows}</table>" if rows else ""


def _row(
    name: str,
    place: str,
    schema: Node,
    about: str | None,
    required: bool | None,  # noqa: FBT001 - a member of the document
) -> str:
    star = "<b>*</b>" if required else ""
    told = _prose(about or schema.get("description", ""))
    return (
        f"<tr><th><code>{escape(name)}</code>{star}<small>{escape(place)}</small></th>"
        f"<td>{told}<small>{_constraints(schema)}</small></td></tr>"
    )


def _body(document: Node, body: Node | None) -> str:
    if body is None:
        return ""
    optional = "" if body["required"] else " <small>may be left out</small>"
    return f"<h3>Body{optional}</h3>" + _content(document, body["content"])


def _answers(document: Node, responses: Mapping[str, Node]) -> str:
    own = "".join(
        _answer(document, status, one)
        for status, one in sorted(responses.items())
        if "$ref" not in one
    )
    errors = "".join(
        f'<a href="#error-{status}"><em class="bad">{status}</em></a>'
        for status, one in responses.items()
        if "$ref" in one
    )
    return f"<h3>Answers</h3>{own}<p class=errors>Errors: {errors}</p>"


def _errors(document: Node) -> str:
    """Return the chapter of what goes wrong, which every operation refers to."""
    answers = {
        one["content"][PROBLEM]["example"]["status"]: one
        for one in document["components"]["responses"].values()
    }
    shown = "".join(
        _answer(document, str(status), answers[status]).replace(
            "<details", f'<details id="error-{status}"', 1
        )
        for status in sorted(answers)
    )
    return f"<h2>Errors</h2>{shown}"


def _answer(document: Node, status: str, answer: Node) -> str:
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", ()))
    content = _content(document, answer.get("content", {}))
    kind = "good" if status < "4" else "bad"
    return (
        f'<details class="answer"><summary><em class="{kind}">{status}</em>'
        f"<span>{_prose(answer['description'])}</span></summary>"
        f"<div><p>Header fields: {headers}</p>{content}</div></details>"
    )


def _content(document: Node, content: Mapping[str, Node]) -> str:
    return "".join(
        f"<p><code>{escape(media_type)}</code></p>"
        + _schema(document, one["schema"])
        + (f"<pre>{escape(_shown(one['example']))}</pre>" if "example" in one else "")
        for media_type, one in content.items()
    )


def _schema(document: Node, schema: Node, depth: int = 0) -> str:
    """Return the members of an object, and of those in it."""
    schema = _merged(document, schema)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several and depth < _DEPTH_MAX:
        told = "<p><small>or</small></p>".join(_schema(document, one, depth + 1) for one in several)
        return told.removesuffix("<p><small>or</small></p>")
    about = f"<p>{_prose(schema['description'])}</p>" if schema.get("description") else ""
    required = schema.get("required", ())
    rows = "".join(
        _member(document, name, one, depth, required=name in required)
        for name, one in schema.get("properties", {}).items()
    )
    if rows:
        return f"{about}<table>{rows}</table>"
    inner = schema.get("additionalProperties") or schema.get("items")
    if isinstance(inner, Mapping) and inner and depth < _DEPTH_MAX:
        of = "each item" if "items" in schema else "each value"
        return f"{about}<p><small>{of}</small></p>{_schema(document, inner, depth + 1)}"
    return about


def _member(document: Node, name: str, schema: Node, depth: int, *, required: bool) -> str:
    found = _merged(document, schema)
    items = found.get("items")
    inner = items if isinstance(items, Mapping) else found
    nested = _merged(document, inner).get("properties") and depth < _DEPTH_MAX
    below = _schema(document, inner, depth + 1) if nested else ""
    row = _row(name, "", found, schema.get("description") or found.get("description"), required)
    return row.removesuffix("</td></tr>") + f"{below}</td></tr>"


def _resolved(document: Node, node: Node) -> Node:
    """Return what a node refers to, or itself."""
    reference = node.get("$ref")
    if reference is None:
        return node
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(document, found)


def _merged(document: Node, schema: Node) -> Node:
    """Return a schema with what it refers to and what all of its parts say."""
    found = _resolved(document, schema)
    if "allOf" not in found:
        return found
    merged: dict[str, Any] = {}
    for one in (_merged(document, part) for part in found["allOf"]):
        properties = {**merged.get("properties", {}), **one.get("properties", {})}
        merged |= {**one, "properties": properties}
    return merged


def _constraints(schema: Node) -> str:
    """Return the type of a schema and what bounds it, in a few words."""
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    told = [escape(str(schema.get("type", "")))]
    told += [escape(schema["format"])] if "format" in schema else []
    told += _between(schema.get("minimum"), schema.get("maximum"), "")
    told += _between(schema.get("minLength"), schema.get("maxLength"), " characters")
    told += _between(schema.get("minItems"), schema.get("maxItems"), " items")
    told += [f"<code>{escape(schema['pattern'])}</code>"] if "pattern" in schema else []
    default = schema.get("default")
    if default not in (None, "", []):
        told.append(f"default <code>{escape(json.dumps(default))}</code>")
    return " · ".join(one for one in told if one)


def _between(least: float | None, most: float | None, unit: str) -> list[str]:
    if least is None and most is None:
        return []
    if most is None:
        return [f"at least {least:,}{unit}"]
    return [f"{least:,} to {most:,}{unit}" if least is not None else f"up to {most:,}{unit}"]


def _badge(method: str) -> str:
    return f'<em class="{method.lower()}">{method}</em>'


def _path(path: str) -> str:
    return re.sub(r"(\{\w+\})", r"<var>\1</var>", escape(path).replace("/", "<wbr>/"))


def _prose(text: str) -> str:
    """Return text in HTML; what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _shown(example: object) -> str:
    return (
        example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    )
