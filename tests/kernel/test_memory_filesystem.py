"""The filesystem in memory beyond the contract: any calls at all, and a power that can be cut."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import durable
from strongroom.durable import Filesystem, LocalFilesystem
from tests.support.memory_filesystem import MemoryFilesystem
from tests.support.shared_directories import SharedDirectory, shared_directory

# -- any calls at all ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """Stands in a step for one of the open descriptors."""

    index: int


OPENED = st.builds(Opened, st.integers(0, 5))
NAME = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/d", "a/b"])
PLACE = st.none() | OPENED
STEP = st.one_of(
    *(
        st.tuples(st.just(call), NAME)
        for call in ("open_directory", "open_lock_file", "make_directory", "list_directory")
    ),
    *(st.tuples(st.just(call), NAME, PLACE) for call in ("open", "create", "unlink")),
    st.tuples(st.just("rename"), NAME, NAME, PLACE),
    *(st.tuples(st.just(call), OPENED, st.integers(0, 3)) for call in ("read", "try_lock")),
    st.tuples(st.just("unlock"), OPENED, st.integers(0, 3)),
    st.tuples(st.just("write"), OPENED, st.binary(max_size=5)),
    st.tuples(st.just("close"), OPENED),
)


class Player:
    """Plays steps on a filesystem; what it answers can be compared."""

    def __init__(self, disk: Filesystem, root: str) -> None:
        """Begin with one open descriptor, that of the root."""
        self._disk, self._root = disk, root
        disk.close(durable.open_or_make_directory(disk, root))
        self._open = [disk.open_directory(root)]

    def step(self, call: str, *arguments: Any) -> object:  # noqa: ANN401 - whatever was drawn
        """Return what a call answers, or the name of its error."""
        if call == "close" and len(self._open) == 1:
            return "kept open"
        relative = any(isinstance(argument, Opened) for argument in arguments)
        try:
            answer = getattr(self._disk, call)(*(self._real(a, relative) for a in arguments))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        if call.startswith(("open", "create")):
            self._open.append(answer)
            return "opened"
        if call == "close":
            self._open.remove(self._real(arguments[0], relative))
        return sorted(answer) if call == "list_directory" else answer

    def _real(self, argument: Any, relative: bool) -> Any:  # noqa: ANN401, FBT001 - as `step`
        if isinstance(argument, Opened):
            return self._open[argument.index % len(self._open)]
        if isinstance(argument, str) and not relative:
            return f"{self._root}/{argument}"
        return argument

    def end(self) -> None:
        """Close what is open."""
        for descriptor in self._open:
            self._disk.close(descriptor)


@settings(max_examples=300)
@given(st.lists(STEP, max_size=30))
def test_any_calls_are_answered_as_the_real_filesystem_answers_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    """A combination of calls that the contract does not name ends otherwise on a real disk."""
    root = str(tmp_path_factory.mktemp("steps"))
    memory, real = Player(MemoryFilesystem(), root), Player(LocalFilesystem(), root)
    for step in steps:
        try:
            expected = memory.step(*step)
        except NotImplementedError:
            continue
        assert expected == real.step(*step), step
    memory.end()
    real.end()


# -- the power -------------------------------------------------------------------------------------

CUTS: dict[str, Callable[[MemoryFilesystem], None]] = {
    "all": lambda memory: memory.cut(),
    "contents": lambda memory: memory.cut(lambda _: True),
    "names": lambda memory: memory.cut(contents_kept=True),
    "none": lambda memory: memory.cut(lambda _: True, contents_kept=True),
}


@pytest.fixture
def shared() -> SharedDirectory:
    """Return a directory in memory with a file `old` that is on the disk."""
    made = shared_directory("memory", Path())
    made.write(made.root / "old", b"old")
    return made


@pytest.fixture
def memory(shared: SharedDirectory) -> MemoryFilesystem:
    """Return the filesystem of that directory."""
    assert isinstance(shared.filesystem, MemoryFilesystem)
    return shared.filesystem


@pytest.mark.parametrize(
    ("lost", "expected"), [("all", None), ("contents", b""), ("names", None), ("none", b"new")]
)
def test_a_new_file_needs_two_fsyncs(
    shared: SharedDirectory, memory: MemoryFilesystem, lost: str, expected: bytes | None
) -> None:
    """A test of power cuts passes though the product syncs neither files nor directories."""
    durable.replace_file(memory, shared.root / "new", b"new", is_durable=False)
    assert shared.read(shared.root / "new") == b"new"
    CUTS[lost](memory)
    assert shared.read(shared.root / "new") == expected
    assert shared.read(shared.root / "old") == b"old"


@pytest.mark.parametrize(
    ("synced", "expected"),
    [("neither", None), ("file", None), ("directory", b""), ("both", b"new")],
)
def test_each_fsync_is_of_one_thing(
    shared: SharedDirectory, memory: MemoryFilesystem, synced: str, expected: bytes | None
) -> None:
    """A test of power cuts passes though the product syncs one of the two alone."""
    directory = memory.open_directory(str(shared.root))
    file = memory.create("new", directory)
    memory.write(file, b"new")
    if synced in {"file", "both"}:
        memory.fsync(file)
    if synced in {"directory", "both"}:
        memory.fsync(directory)
    memory.cut()
    assert shared.read(shared.root / "new") == expected


@pytest.mark.parametrize("lost", CUTS)
def test_what_is_synced_stays(shared: SharedDirectory, memory: MemoryFilesystem, lost: str) -> None:
    """A test of power cuts fails though the product syncs all that there is."""
    shared.write(shared.root / "directory" / "new", b"new")
    shared.write(shared.root / "old", b"replaced")
    CUTS[lost](memory)
    assert shared.read(shared.root / "directory" / "new") == b"new"
    assert shared.read(shared.root / "old") == b"replaced"


def test_a_replacement_that_is_not_synced_gives_the_old_file_back(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """A test of power cuts does not see that a directory was not synced after its rename."""
    durable.replace_file(memory, shared.root / "old", b"new", is_durable=False)
    memory.cut()
    assert shared.read(shared.root / "old") == b"old"
    assert shared.names(shared.root) == ["old"]


def test_one_name_can_reach_the_disk_before_another_one(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """A test of power cuts holds only on a disk that keeps the order of names."""
    durable.replace_file(memory, shared.root / "first", b"1", is_durable=False)
    durable.replace_file(memory, shared.root / "second", b"2", is_durable=False)
    memory.cut(lambda name: name == "second", contents_kept=True)
    assert shared.names(shared.root) == ["old", "second"]


def test_a_removed_file_comes_back_unless_its_directory_was_synced(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """A test of power cuts does not see that a removal was not synced."""
    memory.unlink(str(shared.root / "old"), None)
    memory.cut()
    shared.remove(shared.root / "old")
    memory.cut()
    assert shared.names(shared.root) == []


def test_a_directory_that_is_not_synced_is_lost_with_all_that_is_in_it(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """A test of power cuts does not see that a new directory's own name was not synced."""
    directory = shared.root / "directory"
    memory.make_directory(str(directory))
    with durable.opened(memory, memory.open_directory(str(directory))) as opened:
        name = durable.stage(memory, opened, b"synced", is_durable=True)
        memory.rename(name, "file", opened)
        memory.fsync(opened)
    memory.cut()
    assert shared.names(shared.root) == ["old"]


def test_with_the_power_every_process_is_gone(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """After a power cut of a test there are locks of nobody."""
    locks = str(shared.root / "locks")
    before = memory.open_lock_file(locks)
    assert memory.try_lock(before, 0)
    durable.sync_directory(memory, str(shared.root))
    memory.cut()
    assert memory.descriptors() == 0
    assert memory.try_lock(memory.open_lock_file(locks), 0)


def test_what_a_failed_fsync_was_to_write_no_later_one_writes(
    shared: SharedDirectory, memory: MemoryFilesystem
) -> None:
    """A product that tries a failed fsync again passes its tests."""
    root = shared.root
    descriptor = memory.create(str(root / "file"), None)
    memory.write(descriptor, b"new")
    directory = memory.open_directory(str(root))
    for opened in (descriptor, directory):
        memory.break_fsync(0)
        with pytest.raises(OSError, match="Input/output"):
            memory.fsync(opened)
        memory.fsync(opened)
    shared.write(root / "later", b"later")
    memory.cut()
    assert shared.names(root) == ["later", "old"]
