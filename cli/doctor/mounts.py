r"""What a directory is mounted from, and whether that keeps what the design relies on.

A line of /proc/self/mountinfo (proc_pid_mountinfo(5)), with \040 for a blank in a path:

    36 35 98:0 / /mnt/db rw,noatime master:1 - nfs4 server:/ rw,vers=4.1,hard,...
    id parent device root mount-point options [tags...] - type source super-options
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from cli.doctor.findings import Finding, failure, ok, warning

_CHECK: Final = "mount"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_TRIED: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"})
_PASSING: Final = {
    "tmpfs": "it is the memory of this machine",
    "ramfs": "it is the memory of this machine",
    "overlay": "it is the layer of a container, and goes with it",
}
_NO_BARRIERS: Final = frozenset({"nobarrier", "barrier=0"})
_SAYS_WHEN_READ: Final = frozenset({"noatime", "relatime", "nodiratime", "ro"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A filesystem where it is mounted.

    Attributes:
        point: Where.
        kind: Its type: ext4, nfs4, tmpfs.
        options: Those of the mount and of the filesystem.
    """

    point: PurePosixPath
    kind: str
    options: frozenset[str]

    @property
    def is_network(self) -> bool:
        """Whether an NFS server has the files."""
        return self.kind in {"nfs", "nfs4"}


def mount_of(path: PurePosixPath, listed: str) -> Mount | None:
    """Return what an absolute path is mounted from, by the text of mountinfo; None: not told.

    Of two mounts on one point the later one hides the earlier.
    """
    found = None
    for mount in _mounts(listed):
        is_above = mount.point == path or mount.point in path.parents
        if is_above and (found is None or len(mount.point.parts) >= len(found.point.parts)):
            found = mount
    return found


def judged(mount: Mount | None) -> Iterator[Finding]:
    """Yield what is to be said of a mount; one line at least."""
    if mount is None:
        yield warning(
            _CHECK, "the system does not say what it is", "look at `findmnt -T DIRECTORY`"
        )
        return
    told = f"{mount.kind} at {mount.point}"
    found = [*_anywhere(mount, told), *(_network(mount, told) if mount.is_network else ())]
    if not mount.is_network:
        found += _local(mount, told)
    yield from found or [ok(_CHECK, told)]


def _anywhere(mount: Mount, told: str) -> Iterator[Finding]:
    if "ro" in mount.options:
        yield failure(_CHECK, f"{told} is read-only", "mount it with `rw`")


def _network(mount: Mount, told: str) -> Iterator[Finding]:
    options = mount.options
    apart = {one for one in options if one.startswith("local_lock=")} - {"local_lock=none"}
    if "nolock" in options or apart:
        yield failure(
            _CHECK,
            f"{told} keeps locks on this machine ({', '.join(sorted(apart)) or 'nolock'})",
            "mount it with NFS 4.1 and without `nolock` and `local_lock`: machines would overwrite"
            " each other's writes",
        )
    if options & {"soft", "softerr", "softreval"}:
        yield failure(
            _CHECK,
            f"{told} is mounted `soft`",
            "mount it with `hard`: else a call fails that the server carries out later",
        )
    if "vers=3" in options:
        yield warning(
            _CHECK,
            f"{told} is NFS 3",
            "mount it with `nfsvers=4.1`: there locks end with their holder's lease",
        )
    if "noresvport" not in options:
        yield warning(
            _CHECK,
            f"{told} lacks `noresvport`",
            "mount it with `noresvport`: else it may hang after the network has come back",
        )


def _local(mount: Mount, told: str) -> Iterator[Finding]:
    if mount.kind in _PASSING:
        yield warning(
            _CHECK,
            f"{told}: {_PASSING[mount.kind]}",
            "for data that has to stay take a directory on a disk",
        )
    elif mount.kind not in _TRIED:
        yield warning(
            _CHECK,
            f"{told} is of a kind on which nobody has tried Strongroom",
            "take a local disk or NFS 4.1; at least look at what this says of locks and fsync",
        )
    if mount.options & _NO_BARRIERS:
        yield failure(
            _CHECK,
            f"{told} is mounted without barriers",
            "mount it without `nobarrier`: a power cut loses writes that were acknowledged",
        )
    if not mount.options & _SAYS_WHEN_READ:
        yield warning(_CHECK, f"{told} notes each read", "mount it with `noatime`: reads write")


def _mounts(listed: str) -> Iterator[Mount]:
    for line in listed.splitlines():
        before, _, after = line.partition(" - ")
        places, kinds = before.split(" "), after.split(" ")
        if len(places) < 6 or len(kinds) < 3:  # noqa: PLR2004 - as drawn above
            continue
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), places[4])
        options = frozenset(places[5].split(",")) | frozenset(kinds[2].split(","))
        yield Mount(PurePosixPath(point), kinds[0], options)
