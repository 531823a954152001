"""What is the matter with the files that the Main Worker writes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom import durable
from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom.finding import Condition, Finding
from strongroom.layout import TEMPORARY_PREFIX, Layout

_OF_CONTROL: Final = frozenset({"keyring.json", "clients", "workers"})


@dataclass(frozen=True, slots=True)
class Records:
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


def inspect(
    filesystem: durable.Filesystem,
    layout: Layout,
    kinds: list[Records],
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
        UnavailableError: A file cannot be read.
    """
    places = [(kind.directory, kind) for kind in kinds]
    for directory, kind in [*places, (layout.keyring().parent, None)]:
        try:
            names = sorted(filesystem.list_directory(str(directory)))
        except FileNotFoundError:
            continue
        for found in _leftovers(filesystem, directory, names, left_before_s, repair=repair):
            yield replace(found, path=layout.relative(directory / found.path))
        for name in names:
            if not name.startswith(TEMPORARY_PREFIX):
                trouble = _of_control(name) if kind is None else _judge(kind, name)
                if trouble is not None:
                    path = ascii(layout.relative(directory / name))[1:-1]
                    yield Finding(path, *trouble)


def _leftovers(
    filesystem: durable.Filesystem,
    directory: Path,
    names: list[str],
    before_s: float,
    *,
    repair: bool,
) -> Iterator[Finding]:
    left = durable.abandoned(filesystem, str(directory), names, before_s)
    if repair and left:
        left = durable.sweep(filesystem, str(directory), before_s)
    for name in left:
        yield Finding(name, Condition.STALE, "a crash has left it", repair)


def _of_control(name: str) -> tuple[Condition, str] | None:
    return None if name in _OF_CONTROL else (Condition.ORPHANED, "it is none of our files")


def _judge(kind: Records, name: str) -> tuple[Condition, str] | None:
    stem = name.removesuffix(kind.suffix)
    try:
        if stem == name or not kind.well_formed(stem):
            raise InvalidArgumentError("not a record")
        kind.read(stem)
    except InvalidArgumentError:
        return Condition.ORPHANED, "it is none of our files"
    except IntegrityError as error:
        return Condition.DAMAGED, error.detail
    return None
