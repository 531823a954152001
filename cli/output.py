"""What commands print: a table for eyes, tab-separated lines for a pipe, JSON for programs."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strongroom import jsontext
from strongroom.jsontext import JsonValue


def printable(text: str) -> str:
    """Return a text that was received, on one line and without a terminal's control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)


def line(text: str) -> None:
    """Print a line."""
    sys.stdout.write(printable(text) + "\n")


def as_json(value: JsonValue) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.write(jsontext.dump(value).decode() + "\n")


def told(record: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass of the client library
    """Return the members of a record; what does not apply, which is None, is left out."""
    return {name: one for name, one in msgspec.to_builtins(record).items() if one is not None}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: with headings for a terminal, else each as a line, its cells apart by tabs."""
    clean = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in clean)
        return
    shown = Table(box=None, pad_edge=False)
    for column in columns:
        # An id that is folded over two lines cannot be copied.
        shown.add_column(column, no_wrap=True, overflow="ignore")
    for row in clean:
        shown.add_row(*map(Text, row))
    Console().print(shown)
