"""What is the matter with the files that the Main Worker writes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom import durable, limits
from strongroom.errors import IntegrityError, InvalidArgumentError, UnavailableError
from strongroom.finding import Condition, Finding
from strongroom.layout import RECORD_KINDS, TEMPORARY_PREFIX, Layout

_OF_CONTROL: Final = frozenset({"keyring.json", "audit", *RECORD_KINDS})
_TOLD_BY_NAME_MAX: Final = limits.FINDINGS_PER_PAGE // 4
"""How much of one directory is told one by one: an answer is bounded."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """The files of one kind.

    Attributes:
        directory: Where they lie.
        suffix: How their names end.
        well_formed: Returns the name of a record, or raises InvalidArgumentError.
        read: Reads the record of a name; raises IntegrityError for a damaged one.
    """

    directory: Path
    suffix: str
    well_formed: Callable[[str], str]
    read: Callable[[str], object]

    def stems(self, names: Iterable[str]) -> list[str]:
        """Return the names of records among those of files, in order."""
        stems = (n.removesuffix(self.suffix) for n in names if n.endswith(self.suffix))
        return sorted(stem for stem in stems if self._is_well_formed(stem))

    def _is_well_formed(self, name: str) -> bool:
        try:
            return bool(self.well_formed(name))
        except InvalidArgumentError:
            return False


def inspect(
    filesystem: durable.Filesystem,
    layout: Layout,
    kinds: list[FileKind],
    *,
    left_before_s: float,
    repair: bool,
) -> Iterator[Finding]:
    """Yield what is not as it should be.

    Args:
        filesystem: Where.
        layout: The paths.
        kinds: What there is to read.
        left_before_s: Temporary files last written before this instant were left by a crash.
        repair: Remove these.

    Raises:
        OSError: A directory cannot be listed.
    """
    places = [(kind.directory, kind) for kind in kinds]
    for directory, kind in [*places, (layout.keyring().parent, None)]:
        try:
            names = sorted(filesystem.list_directory(str(directory)))
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            yield Finding(layout.relative(directory), Condition.DAMAGED, "it is no directory")
            continue
        shown = _Names(layout, directory)
        left = _leftovers(filesystem, shown, names, left_before_s, repair=repair)
        found = [*left, *_strangers_and_damaged(kind, shown, names)]
        yield from found[:_TOLD_BY_NAME_MAX]
        more = found[_TOLD_BY_NAME_MAX:]
        if more:
            reason = f"{len(more)} more in it are not as they should be"
            mended = all(one.repaired for one in more)
            yield Finding(layout.relative(directory), more[-1].condition, reason, mended)


@dataclass(frozen=True, slots=True)
class _Names:
    layout: Layout
    directory: Path

    def path(self, name: str) -> str:
        # A name that is no text, or one that would move a terminal's cursor, is shown escaped.
        return ascii(self.layout.relative(self.directory / name))[1:-1]


def _leftovers(
    filesystem: durable.Filesystem,
    shown: _Names,
    names: list[str],
    before_s: float,
    *,
    repair: bool,
) -> list[Finding]:
    directory = str(shown.directory)
    left = durable.abandoned(filesystem, directory, names, before_s)
    staying = set(left)
    if repair and left:
        # A directory of such a name ends the sweep.
        with suppress(IsADirectoryError):
            durable.sweep(filesystem, directory, before_s)
        staying = set(filesystem.list_directory(directory))
    return [
        Finding(shown.path(name), Condition.STALE, "a crash has left it", name not in staying)
        for name in left
    ]


def _strangers_and_damaged(
    kind: FileKind | None, shown: _Names, names: list[str]
) -> Iterator[Finding]:
    for name in names:
        if not name.startswith(TEMPORARY_PREFIX):
            trouble = _of_control(name) if kind is None else _judge(kind, name)
            if trouble is not None:
                yield Finding(shown.path(name), *trouble)


def _of_control(name: str) -> tuple[Condition, str] | None:
    return None if name in _OF_CONTROL else (Condition.ORPHANED, "it is none of our files")


def _judge(kind: FileKind, name: str) -> tuple[Condition, str] | None:
    stem = name.removesuffix(kind.suffix)
    try:
        if stem == name or not kind.well_formed(stem):
            raise InvalidArgumentError("not a record")
        kind.read(stem)
    except InvalidArgumentError:
        return Condition.ORPHANED, "it is none of our files"
    except IntegrityError as error:
        return Condition.DAMAGED, error.detail
    except UnavailableError:
        return Condition.UNJUDGED, "it cannot be read"
    return None
