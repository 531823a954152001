"""`strongroom import`: entities of a file or a pipe, a line each, put in batches."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import typer

from cli.data.session import exit_code, session, tell
from cli.output import as_json, line
from cli.progress import Bar
from strongroom import jsontext, limits
from strongroom.errors import InvalidArgumentError
from strongroom_client import Client, InvalidError, JsonText, StrongroomClientError

_BATCH_BYTES_MAX: Final = 3 * 1024 * 1024
_LINE_BYTES_MAX: Final = limits.MESSAGE_BYTES_MAX
_REFUSED: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """From which line on, how long entities live, and what is done about those that are refused."""

    from_line: int
    ttl_seconds: int | None
    keep_going: bool
    dry_run: bool


class _Line(msgspec.Struct, frozen=True):
    key: str
    entity: msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    key: str
    text: bytes = field(repr=False)


@dataclass(slots=True)
class _Outcome:
    """How far it has come: `next_line` is the first one of which it is not known."""

    next_line: int
    written: int = 0
    refused: int = 0


def run(database: str, file: str, options: Options, *, json: bool, profile: str | None) -> None:
    """Put what a file has.

    Raises:
        InvalidArgumentError: A line is none of an export's.
        typer.Exit: Something is refused, or it ended midway.
    """
    outcome = _Outcome(options.from_line)
    with (
        session(profile) as client,
        _opened(file) as (source, size),
        _progress(size) as shown,
        _told_where(outcome),
    ):
        for batch, read_bytes in _batches(source, options.from_line):
            _put(client, database, batch, options, outcome)
            outcome.next_line = batch[-1].number + 1
            shown.count(read_bytes, size)
            shown.tell(f"{outcome.written} entities, {outcome.written / shown.elapsed_s:.0f}/s")
    if json:
        as_json({"written": outcome.written, "refused": outcome.refused})
    else:
        done = "would be written" if options.dry_run else "written"
        line(f"{outcome.written} entities {done}, {outcome.refused} refused")
    if outcome.refused:
        raise typer.Exit(_REFUSED)


def _put(
    client: Client, database: str, batch: Sequence[_Numbered], options: Options, outcome: _Outcome
) -> None:
    values = {one.key: JsonText(one.text) for one in batch}
    if options.dry_run:
        refusals = client.validate(database, values)
        for one in batch:
            _count(one, refusals[one.key], options, outcome)
        return
    try:
        client.put_many(database, values, ttl_seconds=options.ttl_seconds)
        outcome.written += len(batch)
    except InvalidError as refusal:
        if len(batch) > 1:
            # None was written; one after the other shows which are refused.
            for one in batch:
                _put(client, database, [one], options, outcome)
        else:
            _count(batch[0], refusal, options, outcome)


def _count(
    one: _Numbered, refusal: StrongroomClientError | None, options: Options, outcome: _Outcome
) -> None:
    outcome.next_line = one.number
    if refusal is None:
        outcome.written += 1
        return
    if not (options.keep_going or options.dry_run):
        tell(refusal, f"line {one.number}: {one.key}")
        raise _StoppedError(exit_code(refusal))
    tell(refusal, f"line {one.number}: {one.key}")
    outcome.refused += 1


class _StoppedError(Exception):
    """It was told why nothing more is done; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@contextmanager
def _told_where(outcome: _Outcome) -> Iterator[None]:
    """Say by which line to go on, where it ends before the last one."""
    advice = "strongroom: the lines before {} are done; go on with --from-line {}\n"
    try:
        yield
    except _StoppedError as stopped:
        sys.stderr.write(advice.format(outcome.next_line, outcome.next_line))
        raise typer.Exit(stopped.code) from None
    except (StrongroomClientError, InvalidArgumentError, KeyboardInterrupt):
        sys.stderr.write(advice.format(outcome.next_line, outcome.next_line))
        raise


def _batches(source: BinaryIO, from_line: int) -> Iterator[tuple[list[_Numbered], int]]:
    """Return what a request takes at a time, and how many bytes were read so far."""
    batch: dict[str, _Numbered] = {}
    size = read_bytes = number = 0
    while raw := source.readline(_LINE_BYTES_MAX + 1):
        number += 1
        read_bytes += len(raw)
        if len(raw) > _LINE_BYTES_MAX:
            raise InvalidArgumentError(f"line {number} has more than {_LINE_BYTES_MAX} bytes")
        if number < from_line or not raw.strip():
            continue
        one = _parsed(number, raw)
        is_full = len(batch) == limits.ENTITIES_PER_REQUEST_MAX
        if batch and (is_full or one.key in batch or size + len(raw) > _BATCH_BYTES_MAX):
            yield list(batch.values()), read_bytes - len(raw)
            batch, size = {}, 0
        batch[one.key] = one
        size += len(raw)
    if batch:
        yield list(batch.values()), read_bytes


def _parsed(number: int, raw: bytes) -> _Numbered:
    try:
        parsed = msgspec.json.decode(raw, type=_Line)
    except jsontext.UNREADABLE:
        # Without its text, which may quote a document.
        raise InvalidArgumentError(
            f'line {number} is not of the form {{"key": "...", "entity": ...}}'
        ) from None
    return _Numbered(number, parsed.key, bytes(parsed.entity))


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Give what is read, and its size where that is known."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    with Path(file).open("rb") as opened:
        yield opened, Path(file).stat().st_size or None


@contextmanager
def _progress(size: int | None) -> Iterator[Bar]:
    with Bar("0 entities") as bar:
        bar.count(0, size)
        yield bar
