"""A step of the demonstration, for people."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.demo.step import Step

_INDENT: Final = 3
_PIPED_WIDTH: Final = 100


def console() -> Console:
    """Return a console on standard output; where that is no terminal, wide enough for the tables.

    Nothing of what is printed is taken for markup: it is data.
    """
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(highlight=False, markup=False, width=width)


def show(out: Console, number: int, step: Step) -> None:
    """Print a step: what it is about, what was seen, and whether that is as it should be."""
    out.print()
    out.print(Text(f"{number}. {step.title}", style="bold"))
    _show(out, Text(step.meaning), _INDENT)
    out.print()
    _show_mapping(out, step.observed, _INDENT)
    out.print()
    for sentence, is_true in step.expected.items():
        mark, style = ("yes", "green") if is_true else ("NO ", "bold red")
        _show(out, Text.assemble((mark, style), f"  {sentence}"), _INDENT)


def _show_mapping(out: Console, values: Mapping[str, Any], indent: int) -> None:
    """Print plain values as two columns, what has an inside under a heading of its own."""
    plain: list[tuple[str, str]] = []
    for name, value in values.items():
        if not _has_inside(value):
            plain.append((_words(name), _text(value)))
            continue
        _show_plain(out, plain, indent)
        plain.clear()
        _show(out, Text(_words(name), style="bold"), indent)
        if isinstance(value, Mapping):
            _show_mapping(out, value, indent + _INDENT)
        else:
            _show(out, _table(value), indent + _INDENT)
    _show_plain(out, plain, indent)


def _show_plain(out: Console, rows: list[tuple[str, str]], indent: int) -> None:
    if rows:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(Text(name, style="dim"), Text(value))
        _show(out, grid, indent)


def _show(out: Console, what: RenderableType, indent: int) -> None:
    out.print(Padding(what, (0, 0, 0, indent), expand=False))


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in rows[0]:
        table.add_column(_words(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    return table


def _has_inside(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    """Return a value in one cell; a pair is a counter before and after, shown if it has changed."""
    if isinstance(value, Mapping):
        changed = [(name, pair) for name, pair in value.items() if pair[0] != pair[1]]
        return ", ".join(f"{_words(name)} {_text(pair)}" for name, pair in changed)
    if isinstance(value, tuple):
        return " -> ".join(map(str, value))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
