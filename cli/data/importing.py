"""`strongroom import`: entities of a file or a pipe, put in batches; it goes on after a break.

How far it is stands in `FILE.import`, renewed after each batch. A batch that was under way when
everything ended is put once more with the idempotency key that it had, which makes no second
version of it.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import typer

from cli import profiles
from cli.data import progress_file, sources
from cli.data.rejects import Rejects
from cli.data.sources import Format, Item
from cli.output import as_json, line
from cli.progress import Bar
from cli.session import exit_code, session, tell
from strongroom import ids, limits
from strongroom.errors import ConflictError, InvalidArgumentError, UnavailableError
from strongroom_client import Client, InvalidError, JsonText, StrongroomClientError

_BATCH_BYTES_MAX: Final = 3 * 1024 * 1024
_REFUSED: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for.

    Attributes:
        from_line: Pass over the lines before (the entities, in one JSON text).
        ttl_seconds: How long entities live.
        format: How they stand in the file.
        rejects: Where to write those that are refused.
        keep_going: Go on after one that is refused.
        dry_run: Only validate.
        resume: Go on where the import before has ended.
    """

    from_line: int
    ttl_seconds: int | None
    format: Format
    rejects: Path | None
    keep_going: bool
    dry_run: bool
    resume: bool


class State(msgspec.Struct):
    """How far an import has come: `next_number` is the first one of which it is not known.

    `source` tells the file from another of its name; `run` is what idempotency keys are made of.
    """

    url: str
    database: str
    rejects: str
    source: list[int]
    run: str
    next_number: int
    written: int = 0
    refused: int = 0
    rejects_bytes: int = 0


@dataclass(slots=True)
class _Run:
    """An import under way."""

    client: Client
    database: str
    options: Options
    state: State
    state_file: Path | None
    rejects: Rejects

    def put(self, batch: Sequence[Item]) -> None:
        values = {one.key: JsonText(one.text) for one in batch}
        if self.options.dry_run:
            refusals = self.client.validate(self.database, values)
            for one in batch:
                self._count(one, refusals[one.key])
            return
        try:
            self.client.put_many(
                self.database,
                values,
                ttl_seconds=self.options.ttl_seconds,
                idempotency_key=f"import-{self.state.run}-{batch[0].number}-{len(batch)}",
            )
        except InvalidError as refusal:
            if len(batch) == 1:
                self._count(batch[0], refusal)
                return
            # None was written; one after the other shows which are refused.
            for one in batch:
                self.put([one])
        else:
            self.state.written += len(batch)
            self.done(batch[-1].number + 1)

    def done(self, next_number: int) -> None:
        """Keep how far it is."""
        self.state.next_number = next_number
        self.state.rejects_bytes = self.rejects.settled()
        if self.state_file is not None:
            progress_file.write(self.state_file, self.state, is_durable=False)

    def _count(self, one: Item, refusal: StrongroomClientError | None) -> None:
        self.state.next_number = one.number
        if refusal is None:
            self.state.written += 1
        else:
            tell(refusal, f"line {one.line}: {one.key}")
            if not (self.options.keep_going or self.options.dry_run):
                raise _StoppedError(exit_code(refusal))
            self.rejects.write(one, refusal)
            self.state.refused += 1
        self.done(one.number + 1)


def run(database: str, file: str, options: Options, *, json: bool, profile: str | None) -> None:
    """Put what a file has.

    Raises:
        InvalidArgumentError: It is not of its format, or there is nothing to go on with.
        typer.Exit: Something is refused, or it ended midway.
    """
    url, _ = profiles.address(profile)
    with session(profile) as client, _opened(file) as (source, size), Bar("0 entities") as shown:
        state_file = None if size is None or options.dry_run else Path(f"{file}.import")
        state = _state((url, database), source, state_file, options)
        with Rejects.opened(options.rejects, state.rejects_bytes) as rejects:
            under_way = _Run(client, database, options, state, state_file, rejects)
            _begin(under_way, file)
            with _told_where(under_way):
                shown.count(0, size)
                found = sources.items(source, options.format)
                for batch in _batches(found, state.next_number):
                    under_way.put(batch)
                    shown.count(batch[-1].read_bytes, size)
                    rate = state.written / shown.elapsed_s
                    shown.tell(f"{state.written} entities, {rate:.0f}/s")
        if state_file is not None:
            state_file.unlink(missing_ok=True)
    _report(state, options, json=json)


def _begin(under_way: _Run, file: str) -> None:
    """Keep where it begins: what an import before has kept is not true of this one.

    And the first batch, too, has an idempotency key that is known after a kill.

    Raises:
        UnavailableError: It cannot be kept.
    """
    try:
        under_way.done(under_way.state.next_number)
    except OSError as error:
        raise UnavailableError(
            f"how far it is cannot be kept beside {file} ({error.strerror}); from a pipe it is not:"
            f" strongroom import {under_way.database} - < {file}"
        ) from error


def _report(state: State, options: Options, *, json: bool) -> None:
    if json:
        as_json({"written": state.written, "refused": state.refused})
    else:
        done = "would be written" if options.dry_run else "written"
        line(f"{state.written} entities {done}, {state.refused} refused")
    if state.refused:
        raise typer.Exit(_REFUSED)


def _state(
    where: tuple[str, str], source: BinaryIO, state_file: Path | None, options: Options
) -> State:
    """Return at which entity to begin; `where` is the deployment and the database.

    Raises:
        ConflictError: The import before was of another file, or went elsewhere.
        InvalidArgumentError: There is nothing to go on with.
    """
    known = [] if state_file is None else _identity(source)
    rejects = "" if options.rejects is None else str(options.rejects.absolute())
    fresh = State(*where, rejects, known, ids.new_id(64), options.from_line)
    if not options.resume:
        return fresh
    if state_file is None:
        raise InvalidArgumentError(
            "--resume is for a file that is written; for a pipe there is --from-line"
        )
    kept = progress_file.read(state_file, State)
    if kept is None:
        return fresh
    if (kept.url, kept.database, kept.source) != (fresh.url, fresh.database, fresh.source):
        raise ConflictError(
            f"{state_file} is of another database or deployment, or the file was changed since:"
            " begin again without --resume"
        )
    if kept.rejects != fresh.rejects:
        named = f"--rejects {kept.rejects}" if kept.rejects else "no --rejects"
        raise ConflictError(f"the import before had {named}: go on with that")
    return kept


def _identity(source: BinaryIO) -> list[int]:
    """Return what tells a file from another one, and from itself after a change."""
    found = os.fstat(source.fileno())
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


class _StoppedError(Exception):
    """It was told why nothing more is done; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@contextmanager
def _told_where(under_way: _Run) -> Iterator[None]:
    """Say how to go on, where it ends before the last one."""
    try:
        yield
    except _StoppedError as stopped:
        sys.stderr.write(_advice(under_way))
        raise typer.Exit(stopped.code) from None
    except (StrongroomClientError, InvalidArgumentError, OSError, KeyboardInterrupt):
        sys.stderr.write(_advice(under_way))
        raise


def _advice(under_way: _Run) -> str:
    number = under_way.state.next_number
    how = f"--from-line {number}"
    if under_way.state_file is not None:
        with suppress(OSError):
            under_way.done(number)
            how += ", or --resume"
    return f"strongroom: the lines before {number} are done; go on with {how}\n"


def _batches(found: Iterator[Item], from_number: int) -> Iterator[list[Item]]:
    """Return what a request takes at a time."""
    batch: dict[str, Item] = {}
    size = 0
    for one in found:
        if one.number < from_number:
            continue
        is_full = len(batch) == limits.ENTITIES_PER_REQUEST_MAX
        if batch and (is_full or one.key in batch or size + len(one.text) > _BATCH_BYTES_MAX):
            yield list(batch.values())
            batch, size = {}, 0
        batch[one.key] = one
        size += len(one.text) + len(one.key.encode("utf-8", "replace"))
    if batch:
        yield list(batch.values())


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Give what is read, and its size where that is known."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    with Path(file).open("rb") as opened:
        is_regular = Path(file).is_file()
        yield opened, os.fstat(opened.fileno()).st_size if is_regular else None
