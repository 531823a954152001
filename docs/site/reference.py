"""Writes the reference out of the code, so that it cannot say anything else.

Returned are pages in Markdown by their place in the site: REST out of the OpenAPI document, gRPC
out of the `.proto` files with their comments, the command line out of its commands, errors out of
their classes, metrics out of their catalogue.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer.main
from google.protobuf import descriptor_pb2
from google.rpc import code_pb2
from grpc_tools import protoc
from typer.cli import get_docs_for_click

from cli.main import app as command
from docs.site import disk_format, limits, metrics, settings
from main_api.rest import openapi, problems
from main_api.rest.app import app as rest
from strongroom import errors
from strongroom.rpc import status

_PROTO: Final = Path(__file__).parents[2] / "proto"
_FOR_CLIENTS: Final = ("entity", "auth", "admin", "common")
_ABOUT_ERRORS: Final = (
    "REST answers them as `application/problem+json` (RFC 9457), whose `type` is"
    " `urn:strongroom:problem:` and the code; gRPC as a `google.rpc.Status`, whose `ErrorInfo` has"
    " the code as its reason."
)
_TYPES: Final = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}


def pages() -> dict[str, str]:
    """Return every page: its place in the site, and its text."""
    return {
        "reference/rest.md": _rest(),
        "reference/grpc.md": _grpc(),
        "reference/command-line.md": _command_line(),
        "reference/errors.md": _errors(),
        "reference/settings.md": settings.page(),
        "reference/limits.md": limits.page(),
        "reference/disk-format.md": disk_format.page(),
        "reference/metrics.md": metrics.page(),
    }


# -- REST ------------------------------------------------------------------------------------------


def _rest() -> str:
    document = openapi.document(rest)
    lines = ["# REST API", "", "A running deployment has this as `/openapi.json` and `/docs`.", ""]
    shared = document["components"]["responses"]
    by_tag: dict[str, list[str]] = {one["name"]: [] for one in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = {
                code: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                for code, answer in operation["responses"].items()
            }
            described = _operation(method.upper(), path, operation, answers)
            by_tag[operation["tags"][0]] += described
    for tag, operations in by_tag.items():
        lines += [f"## {tag}", "", *operations]
    return "\n".join(lines)


def _operation(
    method: str, path: str, operation: dict[str, Any], answers: dict[str, Any]
) -> list[str]:
    lines = [f"### {method} {path}", "", operation["summary"], ""]
    lines += [operation.get("description", ""), ""]
    parameters = [one for one in operation.get("parameters", []) if "name" in one]
    if parameters:
        lines += ["| parameter | in | |", "|---|---|---|"]
        for one in parameters:
            needed = "" if one.get("required") else "optional; "
            said = _cell(one.get("description", ""))
            lines.append(f"| `{one['name']}` | {one['in']} | {needed}{said} |")
        lines.append("")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        lines += _example(f"Body, `{kind}`:", content)
    lines += ["| status | |", "|---|---|"]
    lines += [f"| {code} | {_cell(one['description'])} |" for code, one in answers.items()]
    lines.append("")
    for code, answer in answers.items():
        for kind, content in answer.get("content", {}).items():
            lines += _example(f"{code}, `{kind}`:", content) if code.startswith("2") else []
    return lines


def _example(heading: str, content: dict[str, Any]) -> list[str]:
    if "example" not in content:
        return []
    shown = content["example"]
    text = shown if isinstance(shown, str) else json.dumps(shown, indent=2)
    return [heading, "", "```json", *text.splitlines(), "```", ""]


# -- gRPC ------------------------------------------------------------------------------------------


def _grpc() -> str:
    lines = ["# gRPC API", ""]
    for file in _described():
        comments = _comments(file)
        for number, service in enumerate(file.service):
            lines += [f"## {file.package}.{service.name}", "", comments.get((6, number), ""), ""]
            lines += ["| method | takes | answers | |", "|---|---|---|---|"]
            for nth, method in enumerate(service.method):
                stream = "stream of " if method.server_streaming else ""
                takes, answers = _short(method.input_type), stream + _short(method.output_type)
                said = _cell(comments.get((6, number, 2, nth), ""))
                lines.append(f"| `{method.name}` | {takes} | {answers} | {said} |")
            lines.append("")
        for number, message in enumerate(file.message_type):
            lines += [f"### {message.name}", "", comments.get((4, number), ""), ""]
            if message.field:
                lines += ["| field | type | |", "|---|---|---|"]
            for nth, field in enumerate(message.field):
                said = _cell(comments.get((4, number, 2, nth), ""))
                lines.append(f"| `{field.name}` = {field.number} | {_type(field)} | {said} |")
            lines.append("")
    return "\n".join(lines)


def _described() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """Compile the `.proto` files of clients, comments and all."""
    files = [f"strongroom_pb/v1/{name}.proto" for name in _FOR_CLIENTS]
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "set"
        beside = [Path(protoc.__file__).parent / "_proto", Path(code_pb2.__file__).parents[2]]
        include = [f"-I{path}" for path in (_PROTO, *beside)]
        options = ["--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *include, *options, *files]):
            raise RuntimeError("protoc refuses the .proto files")
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    yield from found.file


def _comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {
        tuple(one.path): " ".join(one.leading_comments.split())
        for one in file.source_code_info.location
        if one.leading_comments
    }


def _type(field: descriptor_pb2.FieldDescriptorProto) -> str:
    name = _short(field.type_name) if field.type_name else _TYPES[field.type]
    return f"repeated {name}" if field.label == field.LABEL_REPEATED else name


def _short(type_name: str) -> str:
    return (
        type_name.removeprefix(".")
        .removeprefix("strongroom_pb.v1.")
        .removeprefix("strongroom_pb.v1.")
    )


# -- the command line, and errors ------------------------------------------------------------------


def _command_line() -> str:
    click = typer.main.get_command(command)
    context = typer.Context(click, info_name="strongroom")
    with context:
        return get_docs_for_click(obj=click, ctx=context, name="strongroom", title="Command line")


def _errors() -> str:
    lines = [
        "# Errors",
        "",
        _ABOUT_ERRORS,
        "",
        "| code | HTTP | gRPC | worth repeating | |",
        "|---|---|---|---|---|",
    ]
    for error in sorted(_tree(errors.StrongroomError), key=lambda one: one.code):
        over_grpc = code_pb2.Code.Name(status.to_status(error("")).code)
        told = "yes" if error.retryable else ""
        row = (f"`{error.code}`", problems.status_of(error), over_grpc, told, _cell(error.title))
        lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def _tree(root: type[errors.StrongroomError]) -> Sequence[type[errors.StrongroomError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= {one.code: one for one in _tree(child)}
    return list(found.values())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
