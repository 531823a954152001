"""`strongroom export`: the entities of a database, a line each, as they are read.

A file gets its name only when it is whole. Until then its lines are in `FILE.part`, and
`FILE.export` says up to which byte they are good, and where to read on: it is renewed after each
page, once the page is on the disk. So after a kill nothing is lost and nothing comes twice: what is
behind that byte is cut off and read again.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import typer

from cli import profiles
from cli.data import progress_file
from cli.data.documents import one_line
from cli.output import as_json
from cli.progress import Bar
from cli.session import session
from strongroom import jsontext
from strongroom.clock import Clock, SystemClock, rfc3339
from strongroom.durable import LocalFilesystem
from strongroom.errors import ConflictError, InvalidArgumentError
from strongroom_client import Client, Entity, Page

_PRIVATE: Final = 0o600
_PAGE_SIZE: Final = 500


class State(msgspec.Struct):
    """How far an export has come, and of what it is one."""

    url: str
    database: str
    prefix: str
    begun_at: str
    cursor: str = ""
    bytes: int = 0
    written: int = 0
    damaged: int = 0


def run(
    database: str, file: str, prefix: str, *, resume: bool, json: bool, profile: str | None
) -> None:
    """Write the entities; to a file that is not there yet, or to standard output for `-`.

    Raises:
        ConflictError: The file is there, or an export of it that broke.
        InvalidArgumentError: There is no file to go on with.
        typer.Exit: Some are left out, or it ended midway.
    """
    clock = SystemClock()
    if file == "-":
        if resume or json:
            raise InvalidArgumentError("--resume and --json go with a file")
        state = _fresh(database, prefix, "", clock)
        with session(profile) as client, Bar("0 entities") as shown:
            for page in _pages(client, state):
                sys.stdout.buffer.writelines(_line(one) for one in page.entities)
                _count(state, page, shown)
            sys.stdout.buffer.flush()
    else:
        url, _ = profiles.address(profile)
        state = _fresh(database, prefix, url, clock)
        with session(profile) as client:
            state = _to_file(client, Path(file), state, resume=resume)
    _report(state, clock, json=json)


def _to_file(client: Client, file: Path, fresh: State, *, resume: bool) -> State:
    part, kept = Path(f"{file}.part"), Path(f"{file}.export")
    if file.is_symlink() or file.exists():
        raise ConflictError(f"{file} is there already and is not overwritten")
    state = _begin(part, kept, fresh, resume=resume)
    with _part(part, state.bytes) as target:
        with _told_how(file, state), Bar("0 entities") as shown:
            for page in _pages(client, state):
                target.writelines(_line(one) for one in page.entities)
                _count(state, page, shown)
                target.flush()
                os.fsync(target.fileno())
                state.bytes, state.cursor = target.tell(), page.cursor
                if page.cursor:
                    progress_file.write(kept, state, is_durable=True)
        # Unlike a rename a link takes no other file's place.
        os.link(part, file)
        # While it is locked, or another export would go on in what is whole.
        part.unlink()
        kept.unlink(missing_ok=True)
    return state


def _begin(part: Path, kept: Path, fresh: State, *, resume: bool) -> State:
    """Return from where on to read; raises ConflictError."""
    state = progress_file.read(kept, State)
    if state is None:
        # A page was not yet whole, or it is none of ours.
        if part.exists() and not resume:
            raise ConflictError(f"{part} is there already; enter it with --resume, or remove it")
        return fresh
    if not resume:
        raise ConflictError(
            f"an export into this file broke after {state.written} entities; go on with --resume,"
            f" or remove {part} and {kept}"
        )
    if (state.url, state.database, state.prefix) != (fresh.url, fresh.database, fresh.prefix):
        raise ConflictError(f"{kept} is of an export of something else")
    return state


@contextmanager
def _part(part: Path, size: int) -> Iterator[BinaryIO]:
    """Open what there is, for its owner alone: what lies encrypted there is plaintext here.

    Raises:
        ConflictError: Another export writes it, or it has another name, or was cut off.
        OSError: The kernel refuses.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, _PRIVATE), "r+b") as opened:
        if not LocalFilesystem().try_lock_file(opened.fileno()):
            raise ConflictError(f"another export writes {part}")
        found = os.fstat(opened.fileno())
        # One that has ended meanwhile, or was killed just before it would have, has made it FILE.
        if found.st_nlink != 1 or not (part.exists() and os.path.samestat(found, part.stat())):
            raise ConflictError(f"{part} is whole, under another name; begin again without it")
        if found.st_size < size:
            raise ConflictError(f"{part} is shorter than it was: begin again")
        opened.truncate(size)
        opened.seek(size)
        yield opened


@contextmanager
def _told_how(file: Path, state: State) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if state.cursor:
            sys.stderr.write(
                f"strongroom: {state.written} entities are in {file}.part; --resume goes on there\n"
            )
        else:
            Path(f"{file}.part").unlink(missing_ok=True)
        raise


def _pages(client: Client, state: State) -> Iterator[Page]:
    if not state.cursor:
        yield from client.pages(state.database, prefix=state.prefix, page_size=_PAGE_SIZE)
        return
    cursor = state.cursor
    while cursor:
        page = client.page(state.database, prefix=state.prefix, page_size=_PAGE_SIZE, cursor=cursor)
        cursor = page.cursor
        yield page


def _fresh(database: str, prefix: str, url: str, clock: Clock) -> State:
    return State(url, database, prefix, rfc3339(clock.wall_ms()))


def _count(state: State, page: Page, shown: Bar) -> None:
    state.written += len(page.entities)
    state.damaged += page.damaged
    shown.tell(f"{state.written} entities, {state.written / shown.elapsed_s:.0f}/s")


def _report(state: State, clock: Clock, *, json: bool) -> None:
    ended_at = rfc3339(clock.wall_ms())
    if json:
        counted = {"written": state.written, "damaged": state.damaged}
        as_json(counted | {"begun_at": state.begun_at, "ended_at": ended_at})
    else:
        sys.stderr.write(
            f"{state.written} entities written, each as it was at some time from"
            f" {state.begun_at} to {ended_at}\n"
        )
    if state.damaged:
        sys.stderr.write(
            f"strongroom: {state.damaged} files did not verify and are left out; `strongroom"
            " verify` names them\n"
        )
        raise typer.Exit(1)


def _line(entity: Entity) -> bytes:
    text = one_line(entity.text).encode()
    return b'{"key":%s,"entity":%s}\n' % (jsontext.string(entity.key), text)
