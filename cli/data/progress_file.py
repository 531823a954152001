"""How far an import or an export has come, in a small file beside its data."""

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from strongroom import durable, jsontext
from strongroom.durable import LocalFilesystem
from strongroom.errors import InvalidArgumentError

_BYTES_MAX: Final = 64 * 1024

T = TypeVar("T", bound=msgspec.Struct)


def read(path: Path, kind: type[T]) -> T | None:
    """Return what stands in a file, None where there is none.

    Raises:
        InvalidArgumentError: It is none of ours.
        OSError: The disk refuses.
    """
    raw = durable.read_file(LocalFilesystem(), str(path), _BYTES_MAX)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except jsontext.UNREADABLE as error:
        raise InvalidArgumentError(f"{path} does not say how far it is; remove it") from error


def write(path: Path, state: msgspec.Struct, *, is_durable: bool) -> None:
    """Replace the file in one step; raises OSError."""
    data = msgspec.json.encode(state) + b"\n"
    durable.replace_file(LocalFilesystem(), path, data, is_durable=is_durable)
