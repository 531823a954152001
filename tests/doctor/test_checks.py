"""What `strongroom doctor` says of a filesystem and a machine, well and ill."""

import errno
import os
import resource
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from cli.doctor import deployment as asking
from cli.doctor import machine, mounts, shared_directory
from cli.doctor.findings import Check, Finding, Outcome
from cli.emulation.pki import CertificateAuthority
from main_api import bootstrap
from main_api.settings import KeySettings, ProviderKind, Settings
from strongroom.clock import SystemClock
from strongroom.durable import LocalFilesystem
from strongroom.identity import Identity
from tests.support.clocks import ManualClock
from tests.support.filesystems import GenerousFilesystem, ObservedFilesystem
from tests.support.mains import NO_IDENTITY
from tests.support.scripted_server import scripted

DAY_MS = 24 * 3600 * 1000
LISTED = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 27 0:30 / /mnt/my\\040db rw,noatime - nfs4 server:/ rw,vers=4.1,hard,noresvport,local_lock=none
31 27 0:31 / /mnt/over rw,relatime - xfs /dev/b rw
32 31 0:32 / /mnt/over rw,relatime - tmpfs tmpfs rw
short line
"""


def outcomes(findings: Iterable[Finding]) -> list[Outcome]:
    """Return how checks ended."""
    return [one.outcome for one in findings]


def only(findings: Iterable[Finding]) -> Finding:
    """Return the one finding that there is."""
    (found,) = findings
    assert bool(found.advice) == (found.outcome in {Outcome.WARNING, Outcome.FAILURE})
    return found


# -- locks, fsync, rename --------------------------------------------------------------------------


def test_a_local_disk_is_well_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """An operator is warned of a disk on which everything works."""
    filesystem, clock = LocalFilesystem(), SystemClock()
    with shared_directory.scratch(tmp_path) as folder:
        found = [
            only(shared_directory.locks(filesystem, folder)),
            only(shared_directory.rename(filesystem, folder)),
            only(shared_directory.file_clock(filesystem, clock, folder)),
        ]
        synced = only(shared_directory.fsync(filesystem, clock, folder))
    assert outcomes(found) == [Outcome.OK] * 3
    assert synced.outcome is not Outcome.FAILURE
    assert list(tmp_path.iterdir()) == []


def test_locks_that_keep_nobody_out_are_found(tmp_path: Path) -> None:
    """Workers overwrite each other's writes, on a mount that was called sound."""
    found = only(shared_directory.locks(GenerousFilesystem(), tmp_path))
    assert (found.outcome, found.found) == (
        Outcome.FAILURE,
        "two processes hold the same lock at once",
    )


def test_locks_that_are_never_given_back_are_found(tmp_path: Path) -> None:
    """Every entity is busy for ever after its first write."""

    class Keeping(LocalFilesystem):
        def unlock(self, descriptor: int, offset: int) -> None:
            """Give nothing back."""

    found = only(shared_directory.locks(Keeping(), tmp_path))
    assert found.outcome is Outcome.FAILURE
    assert "given back" in found.found


@pytest.mark.parametrize(
    ("call", "look"),
    [
        ("try_lock", shared_directory.locks),
        ("fsync", lambda f, folder: shared_directory.fsync(f, SystemClock(), folder)),
        ("rename", shared_directory.rename),
    ],
)
def test_what_a_filesystem_refuses_is_a_finding(
    call: str, look: Callable[..., Iterator[Finding]], tmp_path: Path
) -> None:
    """The command ends with a stack trace where it should say what does not work."""

    def refuse(name: str, _: tuple[Any, ...]) -> None:
        if name == call:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    check = Check(call, lambda: look(ObservedFilesystem(refuse), tmp_path), "take another disk")
    found = only(check.findings())
    assert found.outcome is Outcome.FAILURE
    assert "Operation not supported" in found.found


@pytest.mark.parametrize(
    ("took_s", "outcome"), [(0.0, Outcome.WARNING), (0.002, Outcome.OK), (0.2, Outcome.WARNING)]
)
def test_an_fsync_is_neither_slow_nor_too_fast_to_be_true(
    took_s: float, outcome: Outcome, tmp_path: Path
) -> None:
    """A disk that only says so passes for one that has written."""
    clock = ManualClock()
    filesystem = ObservedFilesystem(lambda name, _: clock.advance(took_s * (name == "fsync")))
    assert only(shared_directory.fsync(filesystem, clock, tmp_path)).outcome is outcome


def test_a_rename_that_a_reader_sees_halfway_is_found(tmp_path: Path) -> None:
    """Readers are told that an entity is not there while it is written."""

    def unlinked_first(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "rename" and (tmp_path / arguments[1]).exists():
            (tmp_path / arguments[1]).unlink()
            time.sleep(0.001)

    filesystem = ObservedFilesystem(unlinked_first)
    assert only(shared_directory.rename(filesystem, tmp_path)).outcome is Outcome.FAILURE


def test_a_file_server_whose_clock_is_off_is_found(tmp_path: Path) -> None:
    """Temporary files are swept while they are in use, or never."""
    clock = ManualClock(SystemClock().wall_ms() - 60_000)
    found = only(shared_directory.file_clock(LocalFilesystem(), clock, tmp_path))
    assert found.outcome is Outcome.WARNING


@pytest.mark.parametrize(
    ("free_bytes", "free_inodes", "outcome"),
    [
        (10 * 1024**3, 1_000_000, Outcome.OK),
        (10 * 1024**3, None, Outcome.OK),
        (512 * 1024**2, None, Outcome.WARNING),
        (10 * 1024**3, 50_000, Outcome.WARNING),
        (1024**2, 1_000_000, Outcome.FAILURE),
        (10 * 1024**3, 10, Outcome.FAILURE),
    ],
)
def test_room_is_for_bytes_and_for_files(
    free_bytes: int, free_inodes: int | None, outcome: Outcome
) -> None:
    """A disk is called empty that takes no file more."""
    assert only([shared_directory.room_judged(free_bytes, free_inodes)]).outcome is outcome


# -- mounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/strongroom", "ext4"),
        ("/mnt/my db/shared", "nfs4"),
        ("/mnt/my db", "nfs4"),
        ("/mnt/my db2", "ext4"),
        ("/mnt/over/x", "tmpfs"),
    ],
)
def test_the_mount_of_a_path_is_the_innermost(path: str, kind: str) -> None:
    """The options that are judged are those of another filesystem."""
    found = mounts.mount_of(PurePosixPath(path), LISTED)
    assert found is not None
    assert found.kind == kind


def test_a_mount_that_is_not_told_is_a_warning() -> None:
    """What could not be looked at passes for sound."""
    assert only(mounts.judged(mounts.mount_of(PurePosixPath("/x"), ""))).outcome is Outcome.WARNING


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("ext4", "rw,relatime", {"ok": ""}),
        ("nfs4", "rw,vers=4.1,hard,noresvport,local_lock=none", {"ok": ""}),
        ("nfs4", "rw,vers=4.1,hard", {"warning": "noresvport"}),
        ("nfs4", "rw,vers=4.1,soft,noresvport", {"failure": "`soft`"}),
        ("nfs", "rw,vers=3,hard,noresvport", {"warning": "NFS 3"}),
        ("nfs", "rw,hard,noresvport,local_lock=all", {"failure": "local_lock=all"}),
        ("nfs", "rw,hard,noresvport,nolock", {"failure": "nolock"}),
        ("xfs", "ro,noatime", {"failure": "read-only"}),
        ("ext4", "rw,noatime,nobarrier", {"failure": "barriers"}),
        ("ext4", "rw", {"warning": "each read"}),
        ("tmpfs", "rw,relatime", {"warning": "memory"}),
        ("overlay", "rw,relatime", {"warning": "container"}),
        ("fuse.sshfs", "rw,relatime", {"warning": "nobody has tried"}),
    ],
)
def test_options_that_break_a_promise_are_named(
    kind: str, options: str, told: dict[str, str]
) -> None:
    """A mount loses writes, or hangs, and nobody was told."""
    mount = mounts.Mount(PurePosixPath("/mnt"), kind, frozenset(options.split(",")))
    found = only(mounts.judged(mount))
    assert {found.outcome.value} == set(told)
    assert all(words in found.found for words in told.values())


# -- the machine -----------------------------------------------------------------------------------


def test_a_clock_that_is_being_set_is_found() -> None:
    """Leases and certificates go by a clock that jumps."""
    clock = ManualClock()
    assert only(machine.clock(clock)).outcome is Outcome.OK
    ticks = iter(range(10_000))

    class Jumping(ManualClock):
        def wall_ms(self) -> int:
            return super().wall_ms() + 10_000 * next(ticks)

    class Backwards(ManualClock):
        def boot_s(self) -> float:
            return super().boot_s() - next(ticks) / 1e6

    for ill in (Jumping(), Backwards()):
        assert only(machine.clock(ill)).outcome is Outcome.FAILURE


@pytest.mark.parametrize(
    ("soft", "hard", "outcome"),
    [
        (1_024, 4_096, Outcome.OK),
        (1_024, resource.RLIM_INFINITY, Outcome.OK),
        (1_024, 2_048, Outcome.WARNING),
        (256, 256, Outcome.FAILURE),
    ],
)
def test_open_files_go_by_what_a_process_may_raise_itself_to(
    soft: int, hard: int, outcome: Outcome
) -> None:
    """A worker runs out of descriptors under load."""
    assert only([machine.open_files_judged(soft, hard)]).outcome is outcome


@pytest.mark.parametrize(
    ("days", "outcome"),
    [(1, Outcome.OK), (300, Outcome.WARNING), (366, Outcome.FAILURE), (-2, Outcome.FAILURE)],
)
def test_a_certificate_is_judged_by_its_dates(days: int, outcome: Outcome, tmp_path: Path) -> None:
    """Workers stop on the day that a certificate ends, unwarned."""
    now_ms = SystemClock().wall_ms()
    CertificateAuthority(tmp_path / "pki", SystemClock()).issue("main", ["localhost"])
    found = machine.identities({}, tmp_path)
    assert [one.key_file.name for one in found] == ["main.key"]
    *_, last = machine.certificates_of(found, now_ms + days * DAY_MS)
    assert (last.outcome, "main.pem" in last.found) == (outcome, True)


def test_certificates_that_do_not_belong_together_are_found(tmp_path: Path) -> None:
    """A process does not start, and the message is one of TLS."""
    clock = SystemClock()
    ours, theirs = (CertificateAuthority(tmp_path / one, clock) for one in ("ours", "theirs"))
    good, other = ours.issue("a", ["a"]), ours.issue("b", ["b"])
    foreign = theirs.issue("c", ["c"])
    for spoiled in (
        Identity(good.ca_file, good.certificate_file, other.key_file),
        Identity(foreign.ca_file, good.certificate_file, good.key_file),
        Identity(good.ca_file, good.certificate_file, tmp_path / "missing"),
    ):
        environment = {
            "STRONGROOM_CA_FILE": str(spoiled.ca_file),
            "STRONGROOM_CERTIFICATE_FILE": str(spoiled.certificate_file),
            "STRONGROOM_KEY_FILE": str(spoiled.key_file),
        }
        named = machine.identities(environment, tmp_path)
        assert named == [spoiled]
        assert outcomes(machine.certificates_of(named, clock.wall_ms())) == [
            Outcome.OK,
            Outcome.FAILURE,
        ]
    assert outcomes(machine.certificates_of([], 0)) == [Outcome.SKIPPED]


def test_a_port_is_free_or_somebody_answers() -> None:
    """A deployment does not start, for an address that was called fine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        silent = only([machine.port_judged("127.0.0.1", port, "STRONGROOM_HTTP_LISTEN")])
        taken.listen()
        answered = only([machine.port_judged("127.0.0.1", port, "STRONGROOM_HTTP_LISTEN")])
    free = only([machine.port_judged("127.0.0.1", port, "STRONGROOM_HTTP_LISTEN")])
    elsewhere = only([machine.port_judged("192.0.2.1", 80, "STRONGROOM_HTTP_LISTEN")])
    found = [silent.outcome, answered.outcome, free.outcome, elsewhere.outcome]
    assert found == [Outcome.FAILURE, Outcome.OK, Outcome.OK, Outcome.FAILURE]
    wrong = machine.ports({"STRONGROOM_HTTP_LISTEN": "8080", "STRONGROOM_GRPC_LISTEN": "[::1]:0"})
    assert outcomes(wrong)[0] is Outcome.FAILURE


# -- the deployment --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "outcome"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", Outcome.OK),
        ("Wed, 31 Dec 2025 23:59:59 GMT", Outcome.OK),
        ("Thu, 01 Jan 2026 00:00:02 GMT", Outcome.FAILURE),
        ("Wed, 31 Dec 2025 23:59:57 GMT", Outcome.FAILURE),
        ("yesterday", Outcome.SKIPPED),
        ("", Outcome.SKIPPED),
    ],
)
def test_clocks_are_compared_by_a_date_cut_to_seconds(date: str, outcome: Outcome) -> None:
    """Two machines disagree on the time, or are said to where they do not."""
    midnight_ms = 1_767_225_600_000
    assert asking.clocks_judged(date, midnight_ms + 100, midnight_ms + 900).outcome is outcome


def test_what_a_deployment_says_of_its_parts_is_passed_on() -> None:
    """The key provider is down, and the doctor finds all well."""
    ready = (
        b'{"status": "ok", "workers": 2, "audit": {"status": "ok", "since": ""},'
        b' "key_provider": {"status": "unavailable", "since": "", "reason": "timeout"}}'
    )
    problem = b'{"detail": "no worker is available"}'
    answers = [
        (200, "application/json", ready),
        (503, "application/problem+json", problem),
        (200, "text/html", b"<html>"),
    ]
    with scripted(*answers) as (url, _):
        environment = {"STRONGROOM_URL": url}
        well, ill, foreign = (list(asking.asked(environment, SystemClock())) for _ in answers)
    assert [one.found for one in well if one.outcome is Outcome.WARNING] == ["unavailable: timeout"]
    assert ill[-1].found.endswith("answers 503: no worker is available")
    assert (ill[-1].outcome, foreign[-1].outcome) == (Outcome.FAILURE, Outcome.FAILURE)
    assert outcomes(Check("d", lambda: asking.asked(environment, SystemClock())).findings()) == [
        Outcome.FAILURE
    ]
    assert outcomes(asking.asked({}, SystemClock())) == [Outcome.SKIPPED]


def test_the_master_key_has_to_open_the_keyring(tmp_path: Path) -> None:
    """A deployment is called sound that cannot start again."""
    shared, file = tmp_path / "shared", tmp_path / "kms" / "master.key"
    file.parent.mkdir()
    shared.mkdir()
    clock = SystemClock()
    assert outcomes(asking.key_provider({}, shared, clock)) == [Outcome.SKIPPED]
    keys = KeySettings(ProviderKind.FILE, master_key_file=file)
    bootstrap.create_deployment(Settings(shared, keys, NO_IDENTITY))
    found = only(asking.key_provider({}, shared, clock))
    assert (found.outcome, "opens the keyring" in found.found) == (Outcome.OK, True)
    file.write_bytes(os.urandom(32))
    check = Check("key provider", lambda: asking.key_provider({}, shared, clock), "restore it")
    assert only(check.findings()).outcome is Outcome.FAILURE
    unnamed = Check(
        "key provider",
        lambda: asking.key_provider({"STRONGROOM_KEY_PROVIDER": "kms"}, shared, clock),
        "name it",
    )
    assert "STRONGROOM_KMS_KEY_ARN" in only(unnamed.findings()).found
