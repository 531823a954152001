"""`strongroom export`: the entities of a database, a line each, as they are read."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import typer

from cli.data.documents import one_line
from cli.data.session import session
from cli.progress import Bar
from strongroom import jsontext
from strongroom.errors import ConflictError
from strongroom_client import Entity

_PRIVATE = 0o600


def run(database: str, file: str, prefix: str, *, profile: str | None) -> None:
    """Write the entities; to a file that is not there yet, or to standard output for `-`.

    Raises:
        ConflictError: The file is there.
        typer.Exit: Some are left out, or it ended midway; then there is no file.
    """
    written = damaged = 0
    with session(profile) as client, _opened(file) as target, Bar("0 entities") as shown:
        for page in client.pages(database, prefix=prefix, page_size=500):
            target.writelines(_line(one) for one in page.entities)
            written += len(page.entities)
            damaged += page.damaged
            shown.tell(f"{written} entities, {written / shown.elapsed_s:.0f}/s")
    sys.stderr.write(f"{written} entities written\n")
    if damaged:
        sys.stderr.write(
            f"strongroom: {damaged} files did not verify and are left out; `strongroom verify`"
            " names them\n"
        )
        raise typer.Exit(1)


def _line(entity: Entity) -> bytes:
    text = one_line(entity.text).encode()
    return b'{"key":%s,"entity":%s}\n' % (jsontext.string(entity.key), text)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # For its owner alone: what lies encrypted in the deployment is plaintext here.
        opened = os.fdopen(os.open(file, flags, _PRIVATE), "wb")
    except FileExistsError:
        raise ConflictError(f"{file} is there already and is not overwritten") from None
    try:
        with opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            Path(file).unlink()
        raise
