"""Finds secrets in what must not show them: in every form in which a program may have written one.

A secret is looked for as a whole and by halves (one that was cut to fit a line is out all the
same), as it is, in hex, in base64 at each of its three alignments, in UTF-16, and as Python prints
bytes. What is shaped like a token or a private key is found without being known.
"""

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HALVED_FROM_BYTES: Final = 16
_SHORTEST_BYTES: Final = 8
_SHAPES: Final = {
    "a JWT": re.compile(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{40,}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}


@dataclass(frozen=True, order=True)
class Leak:
    """A secret where it must not be."""

    place: str
    secret: str
    form: str


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name of the form, its bytes) for all ways in which a secret is looked for."""
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    for offset in range(3):
        for name, alphabet in (("base64", b"+/"), ("base64url", b"-_")):
            padded = base64.b64encode(bytes(offset) + secret, altchars=alphabet)
            # Only characters that no neighbour has a bit in.
            yield (
                f"{name} at {offset}",
                padded[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6],
            )
    yield "repr", repr(secret)[2:-1].encode()
    yield "numbers", ", ".join(map(str, secret)).encode()
    if secret.isascii():
        yield "UTF-16", secret.decode().encode("utf-16-le")
        yield "UTF-16 BE", secret.decode().encode("utf-16-be")


class Search:
    """Looks for known secrets, and for what has the shape of one."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        """Take the secrets by name.

        Raises:
            ValueError: One is too short: it would be found by chance.
        """
        if any(len(secret) < _SHORTEST_BYTES for secret in secrets.values()):
            raise ValueError(f"a secret has at least {_SHORTEST_BYTES} bytes")
        self._needles = {
            needle: (name, form)
            for name, secret in secrets.items()
            for piece in _pieces(secret)
            for form, needle in forms(piece)
        }

    def look(self, place: str, content: bytes) -> list[Leak]:
        """Return what shows in some bytes, or in their name."""
        haystack = content + b"\n" + os.fsencode(place)
        found = {Leak(place, *who) for needle, who in self._needles.items() if needle in haystack}
        shaped = {
            Leak(place, "?", what) for what, shape in _SHAPES.items() if shape.search(content)
        }
        return sorted(found | shaped)

    def look_into(self, paths: Iterable[Path]) -> list[Leak]:
        """Return what shows in some files, or in their names."""
        return [leak for path in paths for leak in self.look(str(path), path.read_bytes())]


def files_below(directory: Path, allowed: Iterable[Path] = ()) -> list[Path]:
    """Return every file there is, hidden and temporary ones too, but for those allowed by name."""
    excepted = set(allowed)
    return [path for path in directory.rglob("*") if path.is_file() and path not in excepted]


def shown_of_processes(pids: Iterable[int]) -> dict[str, bytes]:
    """Return what the system shows of processes and of all that they have started, by path.

    An `environ` that this user may not read is nobody's but root's, and left out.
    """
    shown = {}
    for pid in _with_descendants(set(pids)):
        for name in ("cmdline", "environ", "comm"):
            path = Path(f"/proc/{pid}/{name}")
            try:
                shown[str(path)] = path.read_bytes()
            except PermissionError:
                continue
            except (FileNotFoundError, ProcessLookupError):
                break
    return shown


def _with_descendants(pids: set[int]) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    while more := {child for child, parent in parents.items() if parent in pids} - pids:
        pids = pids | more
    return pids


def _pieces(secret: bytes) -> list[bytes]:
    half = len(secret) // 2
    return [secret, secret[:half], secret[half:]] if half >= _HALVED_FROM_BYTES // 2 else [secret]
