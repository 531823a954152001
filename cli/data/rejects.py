"""Entities that were refused, in a file of lines that `import` takes again once they are mended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from cli.data.documents import one_line
from cli.data.sources import Item
from strongroom import jsontext
from strongroom.errors import ConflictError
from strongroom_client import StrongroomClientError

_PRIVATE: Final = 0o600


class Rejects:
    """Where they go; nowhere, where nobody has named a file."""

    def __init__(self, file: BinaryIO | None) -> None:
        """Take the file, opened at its end."""
        self._file = file

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, size: int) -> Iterator["Rejects"]:
        """Open a file for its owner alone, with so much of it as an import before has kept.

        Raises:
            ConflictError: There is something in it that is not of that import: what is mended
                there, or what is just being read.
            OSError: The kernel refuses.
        """
        if path is None:
            yield cls(None)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            there = os.fstat(descriptor).st_size
            if there < size:
                raise ConflictError(f"{path} is shorter than it was: begin again")
            if there and not size:
                raise ConflictError(f"{path} is there already and is not overwritten")
            file.truncate(size)
            file.seek(size)
            yield cls(file)

    def write(self, one: Item, refusal: StrongroomClientError) -> None:
        """Add one, and why it was refused; raises OSError."""
        if self._file is None:
            return
        why = {
            "line": one.line,
            "error": refusal.code,
            "detail": refusal.detail,
            "violations": [msgspec.to_builtins(found) for found in refusal.violations],
        }
        told = jsontext.dump(why)[1:]
        head = b'{"key":%s,"entity":%s,' % (jsontext.string(one.key), one_line(one.text).encode())
        self._file.write(head + told + b"\n")

    def settled(self) -> int:
        """Hand what was written to the kernel; return how many bytes there are."""
        if self._file is None:
            return 0
        self._file.flush()
        return self._file.tell()
