"""Documents as they come from a file or a pipe, and as they are printed."""

import sys
from pathlib import Path

from cli.output import as_json
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError
from strongroom_client import Entity, JsonText, Written


def read(file: str) -> JsonText:
    """Return the document of a file, of standard input for `-`; the deployment judges it.

    Raises:
        InvalidArgumentError: It is larger than a document may be.
        OSError: The kernel refuses.
    """
    bound = limits.ENTITY_BYTES_MAX + 1
    if file == "-":
        text = sys.stdin.buffer.read(bound)
    else:
        with Path(file).open("rb") as opened:
            text = opened.read(bound)
    if len(text) == bound:
        raise InvalidArgumentError(f"a document has at most {limits.ENTITY_BYTES_MAX} bytes")
    if not text.strip():
        raise InvalidArgumentError("there is no document, which is JSON text")
    return JsonText(text)


def show(entity: Entity, *, json: bool) -> None:
    """Print a document as it is stored; for a program with its key and version, on one line."""
    if json:
        sys.stdout.write(line(entity) + "\n")
    else:
        text = entity.text.decode()
        sys.stdout.write(text if text.endswith("\n") else text + "\n")


def line(entity: Entity) -> str:
    """Return an entity as a line of JSON, with the document's own text in it."""
    head = jsontext.dump({"key": entity.key, "version": entity.version}).decode()[:-1]
    return f'{head},"entity":{one_line(entity.text)}}}'


def one_line(text: bytes) -> str:
    """Return a JSON text without line feeds, which stand only between its tokens."""
    return text.decode().replace("\r", " ").replace("\n", " ")


def show_written(written: Written, *, json: bool) -> None:
    """Print what a write has made."""
    if json:
        told = {
            "key": written.key,
            "version": written.version,
            "created": written.created,
            "created_at": written.created_at,
            "updated_at": written.updated_at,
        }
        as_json(told | ({"expires_at": written.expires_at} if written.expires_at else {}))
    else:
        new = " (new)" if written.created else ""
        sys.stdout.write(f"{written.key}: version {written.version}{new}\n")
