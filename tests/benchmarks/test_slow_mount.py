"""The mount that stands in for a network's disk: slow, faithful, and gone with whoever made it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.figure import NotHereError
from benchmarks.figures import disk_calls
from tests.support.deployment import wait_until

PAUSE_S = 0.001
# A shell starts what runs in its background with SIGINT ignored, and the tests maybe, too.
MOUNTED = """
import signal
import sys
from pathlib import Path
from benchmarks.figures import disk_calls
signal.signal(signal.SIGINT, signal.default_int_handler)
with disk_calls.mounted(*map(Path, sys.argv[1:])):
    print("mounted", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file in it; nothing is mounted over it afterwards."""
    path = tmp_path / "shared"
    path.mkdir()
    (path / "file").write_bytes(b"old")
    try:
        disk_calls.require_fuse()
    except NotHereError as lacking:
        pytest.skip(str(lacking))
    yield path
    subprocess.run(["fusermount3", "-u", "-z", "-q", path], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607 - Debian's


def is_mounted(path: Path) -> bool:
    """Tell whether the kernel has a mount there, of a living process or of a dead one."""
    return f" {path} " in Path("/proc/self/mounts").read_text()


def test_each_call_takes_a_millisecond_more_and_does_what_it_says(
    there: Path, tmp_path: Path
) -> None:
    """The figures of the slow mount are of another disk than they say."""
    with disk_calls.mounted(tmp_path / "behind", there):
        began_s = time.perf_counter()
        with (there / "new").open("xb", buffering=0) as file:
            file.write(b"new")
            os.fsync(file.fileno())
        (there / "new").rename(there / "file")
        took_s = time.perf_counter() - began_s
        assert (there / "file").read_bytes() == b"new"
        assert [one.name for one in there.iterdir()] == ["file"]
    # To create, write, force to the disk, and rename.
    assert took_s >= 4 * PAUSE_S
    assert not is_mounted(there)
    assert (tmp_path / "behind" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_a_mount_ends_with_whoever_made_it(
    there: Path, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """A benchmark that was broken off leaves a dead mount, which stops whoever looks into it."""
    maker = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", MOUNTED, tmp_path / "behind", there],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"mounted\n"
        assert is_mounted(there)
        maker.send_signal(ended_by)
        assert wait_until(lambda: not is_mounted(there), 20.0)
