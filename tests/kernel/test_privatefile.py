"""Files with a secret in them: for one user, made once, and not read where others may."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom import privatefile
from strongroom.errors import ConflictError, NotFoundError, UnavailableError

SECRET = b"0123456789abcdef"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_a_private_file_is_made_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    """Every user of the machine reads the master key."""
    before = os.umask(umask)
    try:
        privatefile.create(tmp_path / "key", SECRET)
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o7777 == 0o600
    assert privatefile.read(tmp_path / "key", 16) == SECRET
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def _file(path: Path) -> None:
    path.write_bytes(b"mine")


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("there", [_file, _dangling, Path.mkdir], ids=["file", "link", "directory"])
def test_nothing_that_is_there_is_overwritten(
    tmp_path: Path, there: Callable[[Path], None]
) -> None:
    """A second command replaces the only copy of a key, or writes where a link leads."""
    there(tmp_path / "key")
    before = (tmp_path / "key").lstat()
    with pytest.raises(ConflictError, match="is there already"):
        privatefile.create(tmp_path / "key", SECRET)
    assert (tmp_path / "key").lstat() == before
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_a_directory_that_is_missing_leaves_nothing(tmp_path: Path) -> None:
    """A mistyped path ends in directories that nobody has asked for."""
    with pytest.raises(FileNotFoundError):
        privatefile.create(tmp_path / "none" / "key", SECRET)
    assert [one.name for one in tmp_path.iterdir()] == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601], ids=oct)
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """A master key that everybody has read is in use, and nobody notices."""
    key = tmp_path / "key"
    privatefile.create(key, SECRET)
    key.chmod(mode)
    with pytest.raises(UnavailableError, match=f"has mode {mode:04o}.*chmod 600"):
        privatefile.read(key, 16)


def _linked(path: Path) -> None:
    privatefile.create(path.with_name("other"), SECRET)
    path.symlink_to("other")


def _longer(path: Path) -> None:
    privatefile.create(path, SECRET * 2)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a symbolic link": (_linked, "is a symbolic link"),
    "a pipe": (lambda path: os.mkfifo(path, 0o600), "is not a regular file"),
    "a directory": (lambda path: path.mkdir(0o700), "is not a regular file"),
    "a longer file": (_longer, "longer than 16 bytes"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_file_of_its_kind_is_refused(tmp_path: Path, what: str) -> None:
    """A start hangs at a pipe, or takes a key from where somebody else has put it."""
    make, told = ODD[what]
    make(tmp_path / "key")
    with pytest.raises(UnavailableError, match=told) as failure:
        privatefile.read(tmp_path / "key", 16)
    assert "\n" not in failure.value.detail


def test_a_missing_file_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    """A new key is made where the old one only could not be read."""
    with pytest.raises(NotFoundError, match="is missing"):
        privatefile.read(tmp_path / "key", 16)
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be read"):
        privatefile.read(tmp_path / "file" / "key", 16)
