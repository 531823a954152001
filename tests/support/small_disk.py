"""A disk that is really full: a tmpfs of one mebibyte, filled to the last page."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZE_BYTES, PAGE_BYTES = 1024 * 1024, 4096


@contextmanager
def mounted(path: Path) -> Iterator[Path]:
    """Mount a small tmpfs; unmount it in the end, whoever still has a file of it open."""
    path.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if mount is None or unmount is None:
        pytest.skip("there is no mount(8) here")
    done = _run(mount, "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0700", "tmpfs", str(path))
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        # Lazily: workers keep their lock files open as long as they live.
        unmounted = _run(unmount, "--lazy", str(path))
    assert unmounted.returncode == 0, unmounted.stderr


def fill(root: Path, *, pages_left: int) -> Path:
    """Fill the disk up to so many pages, and return the file that does it."""
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file:
        size = SIZE_BYTES - _used_bytes(root) - pages_left * PAGE_BYTES
        assert file.write(bytes(size)) == size
    assert SIZE_BYTES - _used_bytes(root) == pages_left * PAGE_BYTES
    return filler


def _used_bytes(root: Path) -> int:
    return shutil.disk_usage(root).used


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - see above
